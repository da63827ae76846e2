"""Fetch jobs: what is being fetched for whom, how far it is, and how it ended; and whoever wants to follow.

A job is a spider, or one of the users that a run of it names. It belongs to the run that began it last; what an earlier
one says after that is not heard. Every change is announced on the channel ``fetch_jobs`` with the row as JSON
(migration 0013): the same object that the functions which change jobs return.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What is announced of a job: its columns by name, times in ISO 8601.
Notice = dict[str, Any]

#: Seconds after which a running job of which nothing was heard was killed; live ones are heard of every 30.
SILENCE = 120
#: What the runs of a spider do; those that are not named here fetch.
PHASES = {
    "spotify_artists": "matching",
    "spotify_tracks": "matching",
    "musicbrainz": "augmenting",
    "aoty": "augmenting",
    "track_tags": "augmenting",
}
#: The spider whose jobs of users count the plays that have a year, and the one that finds the years.
HISTORIES = "recent_tracks"
YEARS = "musicbrainz"

_TIMES = ("created_at", "started_at", "updated_at", "finished_at")


class Job(NamedTuple):
    """A row of ``fetch_jobs``; ``status`` is ``running``, ``completed``, ``failed``, ``stopped`` or ``killed``."""

    id: int
    scope: str
    username: str | None
    year: int | None
    status: str
    phase: str
    progress: int
    total: int | None
    unit: str
    matched: int | None
    fuzzy_matched: int | None
    not_found: int | None
    error_message: str | None
    run_id: str
    created_at: datetime
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, notice: Notice) -> Job:
        """The job of which *notice* tells."""
        times = {name: datetime.fromisoformat(notice[name]) if notice[name] else None for name in _TIMES}
        return cls(**{**notice, **times})


class Progress(NamedTuple):
    """How far a job is; the total is None while nobody knows it."""

    done: int
    total: int | None


_BEGIN = """
INSERT INTO fetch_jobs AS j (scope, username, year, status, phase, unit, run_id, started_at, updated_at)
VALUES (%(scope)s, %(username)s, %(year)s, 'running', %(phase)s, %(unit)s, %(run)s, now(), now())
ON CONFLICT (scope, coalesce(lower(username), ''), coalesce(year, 0)) DO UPDATE
SET username = excluded.username, status = 'running', phase = excluded.phase, progress = 0, total = NULL,
    unit = excluded.unit, run_id = excluded.run_id, error_message = NULL, started_at = now(), updated_at = now(),
    finished_at = NULL,
    -- What a user's plays come to stays true meanwhile; what a run finds is another in each.
    matched = CASE WHEN j.username IS NOT NULL THEN j.matched END,
    fuzzy_matched = CASE WHEN j.username IS NOT NULL THEN j.fuzzy_matched END,
    not_found = CASE WHEN j.username IS NOT NULL THEN j.not_found END
RETURNING fetch_job_as_json(j)
"""
_UPDATE = """
UPDATE fetch_jobs j SET progress = n.done, total = n.total, updated_at = now()
FROM unnest(%(ids)s::bigint[], %(done)s::bigint[], %(totals)s::bigint[]) AS n (id, done, total)
WHERE j.id = n.id AND j.run_id = %(run)s AND j.status = 'running'
RETURNING fetch_job_as_json(j)
"""
_FINISH = """
UPDATE fetch_jobs j SET status = %(status)s, error_message = %(message)s, updated_at = now(), finished_at = now()
WHERE run_id = %(run)s AND status = 'running'
RETURNING fetch_job_as_json(j)
"""
# A job that is running counts at its own end.
_COUNTED = """
SELECT j.id, j.year, u.id AS user_id FROM fetch_jobs j LEFT JOIN users u ON u.key = lower(j.username)
WHERE j.scope = %(scope)s AND j.username IS NOT NULL
  AND (j.run_id = %(run)s OR %(run)s::text IS NULL AND j.status <> 'running')
"""
# The ids of the users are given, and not asked for within: so the planner knows whether they are one or thousands.
_COUNT_PLAYS = f"""
WITH wanted AS MATERIALIZED ({_COUNTED}),
years AS MATERIALIZED (
    SELECT s.user_id, extract(year FROM s.at AT TIME ZONE 'UTC')::integer AS year,
           coalesce(y.status, 'not_found') AS status, count(*) AS plays
    FROM scrobbles s JOIN recordings r ON r.id = s.recording_id LEFT JOIN album_years y ON y.album_id = r.album_id
    WHERE s.user_id = ANY(%(users)s) GROUP BY 1, 2, 3),
counted AS (
    SELECT w.id, coalesce(sum(plays) FILTER (WHERE status = 'matched'), 0) AS matched,
           coalesce(sum(plays) FILTER (WHERE status = 'fuzzy_matched'), 0) AS fuzzy_matched,
           coalesce(sum(plays) FILTER (WHERE status = 'not_found'), 0) AS not_found
    FROM wanted w LEFT JOIN years y ON y.user_id = w.user_id AND (w.year IS NULL OR w.year = y.year) GROUP BY w.id)
UPDATE fetch_jobs j
SET matched = c.matched, fuzzy_matched = c.fuzzy_matched, not_found = c.not_found, updated_at = now()
FROM counted c
WHERE j.id = c.id
  AND (j.matched, j.fuzzy_matched, j.not_found) IS DISTINCT FROM (c.matched, c.fuzzy_matched, c.not_found)
RETURNING fetch_job_as_json(j)
"""  # noqa: S608  (a constant of this module)
_ARTISTS_OR_TRACKS = """
SELECT count(*) FILTER (WHERE band = 'accept' AND tier = 'exact') AS matched,
       count(*) FILTER (WHERE band = 'accept' AND tier <> 'exact') AS fuzzy_matched,
       count(*) FILTER (WHERE band <> 'accept') AS not_found
FROM {} WHERE searched_at >= %(since)s
"""
# What came of the questions that a run asked, by spider.
_FOUND = {
    "spotify_artists": _ARTISTS_OR_TRACKS.format("artist_matches"),
    "spotify_tracks": _ARTISTS_OR_TRACKS.format("track_matches"),
    YEARS: """
SELECT (SELECT count(*) FROM releases WHERE asked_at >= %(since)s AND group_mbid IS NOT NULL) AS matched,
       count(*) FILTER (WHERE band = 'accept') AS fuzzy_matched, count(*) FILTER (WHERE band <> 'accept') AS not_found
FROM album_searches WHERE searched_at >= %(since)s
""",
}
_COUNT_FOUND = """
UPDATE fetch_jobs j SET matched = f.matched, fuzzy_matched = f.fuzzy_matched, not_found = f.not_found
FROM ({}) f WHERE j.run_id = %(run)s AND j.scope = %(scope)s
"""


def begin(
    connection: psycopg.Connection, run_id: str, scope: str, unit: str, users: Sequence[str] | None, year: int | None
) -> list[Notice]:
    """The jobs of a run that begins: of each of *users*, or one without a user. What was there is taken over."""
    values = {"run": run_id, "scope": scope, "unit": unit, "year": year, "phase": PHASES.get(scope, "fetching")}
    return [
        notice
        for username in users or (None,)
        for (notice,) in connection.execute(_BEGIN, {**values, "username": username})
    ]


def update(connection: psycopg.Connection, run_id: str, progress: Mapping[int, Progress]) -> list[Notice]:
    """How far the jobs of *run_id* with these ids are; those that are not its own any more are left alone."""
    values = {
        "run": run_id,
        "ids": list(progress),
        "done": [p.done for p in progress.values()],
        "totals": [p.total for p in progress.values()],
    }
    return [notice for (notice,) in connection.execute(_UPDATE, values)]


def finish(
    connection: psycopg.Connection,
    run_id: str,
    status: str,
    message: str | None,
    progress: Mapping[int, Progress],
    since: datetime,
) -> list[Notice]:
    """The jobs of *run_id*, begun at *since*, end as ``completed``, ``failed`` or ``stopped``; *message* says why.

    Their figures are counted: plays that have a year, or what was found.
    """
    update(connection, run_id, progress)
    count_plays(connection, run_id)
    scopes = connection.execute("SELECT DISTINCT scope FROM fetch_jobs WHERE run_id = %s", [run_id]).fetchall()
    for scope in _FOUND.keys() & {scope for (scope,) in scopes}:
        values = {"run": run_id, "scope": scope, "since": since}
        connection.execute(_COUNT_FOUND.format(_FOUND[scope]), values)
    rows = connection.execute(_FINISH, {"run": run_id, "status": status, "message": message})
    return [notice for (notice,) in rows]


def count_plays(connection: psycopg.Connection, run_id: str | None = None) -> list[Notice]:
    """How many plays of each user with a history job (in its year) have a release year: the jobs where that is new.

    Those of *run_id*, or all that are not running.
    """
    values = {"scope": HISTORIES, "run": run_id}
    users = {user for _, _, user in connection.execute(_COUNTED, values)} - {None}
    rows = connection.execute(_COUNT_PLAYS, {**values, "users": list(users)})
    return [notice for (notice,) in rows]


def list_jobs(connection: psycopg.Connection, *, username: str | None = None, running: bool = False) -> list[Job]:
    """The jobs, the newest first: all, those of *username*, those that are *running* (or were killed meanwhile)."""
    rows = connection.execute(
        """
        SELECT id, scope, username, year,
               CASE WHEN status = 'running' AND updated_at < now() - make_interval(secs => %(silence)s)
                    THEN 'killed' ELSE status END,
               phase, progress, total, unit, matched, fuzzy_matched, not_found, error_message, run_id, created_at,
               started_at, updated_at, finished_at
        FROM fetch_jobs
        WHERE (%(username)s::text IS NULL OR lower(username) = lower(%(username)s))
          AND (NOT %(running)s OR status = 'running')
        ORDER BY started_at DESC, id
        """,
        {"silence": SILENCE, "username": username, "running": running},
    )
    return [Job(*row) for row in rows]


def follow(conninfo: str, patience: float = 1.0) -> Iterator[Job | None]:
    """Every job as it is, then each as it changes; and None every *patience* seconds, for whoever has else to do.

    A job of which nothing was heard for long comes once more, as killed. Raises psycopg.OperationalError.
    """
    with psycopg.connect(conninfo, autocommit=True, application_name="lastfm_crawl") as connection:
        connection.execute("LISTEN fetch_jobs")  # before the first look: nothing is missed between the two
        heard: dict[int, float] = {}  # when each running job was heard of
        for job in list_jobs(connection):
            if job.status == "running":
                heard[job.id] = time.monotonic()
            yield job
        while True:
            for notice in connection.notifies(timeout=patience):
                job = Job.of(json.loads(notice.payload))
                heard.pop(job.id, None)
                if job.status == "running":
                    heard[job.id] = time.monotonic()
                yield job
            if any(time.monotonic() - when > SILENCE for when in heard.values()):
                for job in list_jobs(connection, running=True):
                    if job.status == "killed" and job.id in heard:
                        del heard[job.id]
                        yield job
            yield None
