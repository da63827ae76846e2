"""Where the crawl is: who is known, what is fetched, left or failing, what runs now, and how much is kept.

:func:`as_json` makes one JSON object of a :class:`Status` or a :class:`UserDetail`, with the names of their fields, so
these names stay. Times are ISO 8601 in UTC, durations seconds, sizes bytes of answers before compression; what nobody
knows is null. Of a :class:`Status`:

``read_at`` · ``users`` {status: how many} · ``totals`` {users, friendships, artists, user_artists, scrobbles, counted}
· ``lists`` [{spider, method, fetched, left, begun, nothing, beyond}] · ``failing`` [{method, status, reason, users,
example}] · ``jobs`` [{scope, username, year, status, phase, progress, total, unit, matched, fuzzy_matched, not_found,
error_message, …, per_minute, seconds_left}] · ``runs`` [{id, spider, started_at, finished_at, finish_reason, exit_code,
lost, problems}] · ``sinks`` [{sink, target, kind, rows, users, since, attempts, last_error}] · ``kept`` {size, cap,
by_method, by_user: [{name, answers, size}]} · ``disk`` {path, free, total} · ``estimates`` [{phase, requests, seconds,
size, basis, because}] of what is left to ask Last.fm for

and of a :class:`UserDetail`: ``user`` {name, status, detail, playcount, scrobbles} · ``statuses`` [{status, detail,
since}] · ``lists`` [{method, params, done, pages}] · ``windows`` [{first, end, reported, stored, undated, duplicates,
explained, rows_done}] · ``failing`` · ``jobs``
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.insight.estimates import Estimate, Wanted, count, estimates
from lastfm_crawl.items import user_key
from lastfm_crawl.services import lastfm
from lastfm_crawl.warehouse import backlog, jobs, queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import psycopg

RUNS = 5
#: Users of whom most is kept.
USERS = 5
#: Reasons of failures, the most frequent first.
REASONS = 10
#: Jobs that have ended; those that run are all there.
ENDED = 5
#: Rows that are counted; of larger tables the planner's figure has to do.
_COUNTED = 3_000_000
#: What `crawl friends` takes as max_users when nothing else is said.
_MAX_USERS = 10_000
_HISTORIES = "user.getRecentTracks"
#: Phases that ask Last.fm about users; what the others would ask takes a look at all plays.
_ESTIMATED = ("friends", "top_artists", "top_tracks", "recent_tracks")


class Totals(NamedTuple):
    """What the warehouse holds; ``counted`` is False when there are so many scrobbles that they are estimated."""

    users: int
    friendships: int
    artists: int
    user_artists: int
    scrobbles: int
    counted: bool


class ListStatus(NamedTuple):
    """How far a spider is that asks every known user for a list.

    ``fetched`` have it whole, as long as the spider wants it by default. ``left`` are asked by the next run, of whom
    ``begun`` have a part of it. With ``nothing`` there is nothing to have: gone, private, or an empty list. ``beyond``
    the limits of the last crawl of friends (max_users, max_depth) nobody is asked.
    """

    spider: str
    method: str
    fetched: int
    left: int
    begun: int
    nothing: int
    beyond: int = 0


class Failing(NamedTuple):
    """Why ``users`` users have nothing of a method, in Last.fm's words, and one of them."""

    method: str
    status: str
    reason: str
    users: int
    example: str


class Run(NamedTuple):
    """A run, with the pages that it gave up and the problems that it met by their kind."""

    id: str
    spider: str
    started_at: datetime
    finished_at: datetime | None
    finish_reason: str | None
    exit_code: int | None
    lost: int
    problems: dict[str, int]


class Kept(NamedTuple):
    """How much of Last.fm's data is kept, and the cap of its terms (None with an agreement)."""

    size: int
    cap: int | None
    by_method: Sequence[queries.StoredData]
    by_user: Sequence[queries.StoredData]


class Disk(NamedTuple):
    """Room where the data folder is."""

    path: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Status:
    """Where the crawl is."""

    read_at: datetime
    users: dict[str, int]
    totals: Totals
    lists: Sequence[ListStatus]
    failing: Sequence[Failing]
    jobs: Sequence[jobs.Job]
    runs: Sequence[Run]
    sinks: Sequence[backlog.Lag]
    kept: Kept
    disk: Disk
    estimates: Sequence[Estimate]


@dataclass(frozen=True, slots=True)
class UserDetail:
    """Where the crawl is with one user."""

    user: queries.UserStatus
    statuses: Sequence[queries.StatusChange]
    lists: Sequence[queries.UserList]
    windows: Sequence[queries.AuditedWindow]
    failing: Sequence[Failing]
    jobs: Sequence[jobs.Job]


def read(connection: psycopg.Connection, data: Path, cap_mb: float, paces: Mapping[str, float]) -> Status:
    """The status of the warehouse and of the data folder *data*.

    *cap_mb*: megabytes that Last.fm's terms allow (0: there is an agreement). *paces*: seconds between two requests to
    each service.
    """
    # Sums over all answers fit into this; with the defaults they go to disk, or wait for a compiler.
    connection.execute("SET LOCAL work_mem = '64MB'")
    connection.execute("SET LOCAL jit = off")
    users = dict(queries.users_by_status(connection))
    return Status(
        read_at=datetime.now(UTC),
        users=users,
        totals=_totals(connection, sum(users.values())),
        lists=_lists(connection, sum(users.values())),
        failing=_failing(connection),
        jobs=latest_jobs(connection),
        runs=_runs(connection),
        sinks=backlog.lags(connection),
        kept=Kept(
            queries.stored_bytes(connection),
            round(cap_mb * 1e6) or None,
            queries.stored_by_method(connection),
            queries.stored_by_user(connection, USERS),
        ),
        disk=disk(data),
        estimates=what_is_left(connection, paces),
    )


def read_user(connection: psycopg.Connection, name: str) -> UserDetail | None:
    """The status of the user *name*; None for a stranger."""
    user = queries.user_status(connection, name)
    if user is None:
        return None
    return UserDetail(
        user,
        queries.status_history(connection, name),
        queries.user_pages(connection, name),
        queries.audit(connection, name),
        _failing(connection, name),
        latest_jobs(connection, name),
    )


def latest_jobs(connection: psycopg.Connection, user: str | None = None) -> list[jobs.Job]:
    """All jobs that run, or were killed, and the last that ended; with *user* all of that user."""
    every = jobs.list_jobs(connection, username=user)
    if user is not None:
        return every
    under_way = [job for job in every if job.finished_at is None]
    return [*under_way, *[job for job in every if job.finished_at is not None][:ENDED]]


def disk(folder: Path) -> Disk:
    """Room where *folder* is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Disk(str(folder), usage.free, usage.total)


def what_is_left(connection: psycopg.Connection, paces: Mapping[str, float]) -> list[Estimate]:
    """What the spiders that ask Last.fm about users would ask for, as far as the last crawl of friends was to go."""
    now = time.time()
    limits = _limits(connection)
    wanted = Wanted(max_users=None if limits is None else limits.users, histories=True, until=now)
    return estimates(count(connection, wanted, now, _ESTIMATED), wanted, paces)


def per_minute(job: jobs.Job) -> float | None:
    """How much of a running job is done a minute, on average since it began; None while nothing is."""
    seconds = (job.updated_at - job.started_at).total_seconds()
    return 60 * job.progress / seconds if job.status == "running" and job.progress and seconds > 0 else None


def seconds_left(job: jobs.Job) -> float | None:
    """When a running job will have ended, if it goes on as it went."""
    rate = per_minute(job)
    return None if rate is None or job.total is None else max(0, job.total - job.progress) / rate * 60


def as_json(status: Status | UserDetail) -> dict[str, Any]:
    """*status* as JSON takes it."""
    plain: dict[str, Any] = _plain(status)
    return plain


# --- reading ------------------------------------------------------------------------------------------------------


def _totals(connection: psycopg.Connection, users: int) -> Totals:
    """Counted by the answers that brought the rows: there are a thousand times fewer of these."""
    row = connection.execute(
        """
        WITH rows AS MATERIALIZED (SELECT reltuples FROM pg_class WHERE oid = 'scrobbles'::regclass)
        SELECT (SELECT coalesce(sum(f.stored), 0)::bigint FROM current_pages p JOIN fetches f USING (id)
                WHERE p.method = 'user.getFriends'),
               (SELECT count(*) FROM artists),
               (SELECT coalesce(sum(f.stored), 0)::bigint FROM current_charts c JOIN fetches f USING (id)
                WHERE c.period = 'overall'),
               CASE WHEN (SELECT reltuples FROM rows) > %(counted)s THEN (SELECT reltuples FROM rows)::bigint
                    ELSE (SELECT count(*) FROM scrobbles) END,
               (SELECT reltuples FROM rows) <= %(counted)s
        """,
        {"counted": _COUNTED},
    ).fetchone()
    assert row is not None  # it has no FROM  # noqa: S101
    return Totals(users, *row)


def _lists(connection: psycopg.Connection, members: int) -> list[ListStatus]:
    """As far as the spiders are by their own questions, with the arguments that they have by default."""
    found = []
    marks_since = time.time() - lastfm.NEGATIVE_TTL
    for spider, call, max_pages in (
        ("friends", lastfm.get_friends(""), None),
        ("top_artists", lastfm.get_top_artists(""), 1),
        ("top_tracks", lastfm.get_top_tracks(""), 1),
        ("loved_tracks", lastfm.get_loved_tracks(""), None),
    ):
        waiting = queries.members_left(connection, call.method, call.list_params, max_pages, marks_since=marks_since)
        wanted = {user_key(name) for name in (_wanted(connection, waiting) if spider == "friends" else waiting)}
        answered = _answered(connection, call.method, call.list_params)
        unfinished = {user_key(name) for name in waiting}
        fetched = len(answered - unfinished)
        nothing = members - len(unfinished) - fetched
        begun = len(answered & wanted)
        found.append(
            ListStatus(spider, call.method, fetched, len(wanted), begun, nothing, len(unfinished) - len(wanted))
        )
    found.append(_histories(connection, marks_since))
    return found


def _answered(connection: psycopg.Connection, method: str, params: str) -> set[str]:
    """Keys of the members with at least one page of a list."""
    rows = connection.execute(
        """
        SELECT DISTINCT u.key FROM fetches f JOIN users u ON u.id = f.user_id
        WHERE f.method = %s AND f.params = %s AND f.status = 'ok' AND u.discovered_at IS NOT NULL
        """,
        [method, params],
    )
    return {key for (key,) in rows}


class _Limits(NamedTuple):
    """How far the last crawl of friends was to go."""

    users: int
    depth: int | None


def _limits(connection: psycopg.Connection) -> _Limits | None:
    row = connection.execute(
        "SELECT arguments ->> 'max_users', arguments ->> 'max_depth' FROM runs WHERE spider = 'friends'"
        " ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    users, depth = row
    return _Limits(int(users or _MAX_USERS), None if depth is None else int(depth))


def _wanted(connection: psycopg.Connection, names: Sequence[str]) -> list[str]:
    """Those of *names* whose friends the last crawl of friends would still ask for, if it were run again."""
    limits = _limits(connection) or _Limits(_MAX_USERS, None)
    members = queries.members(connection)
    if len(members) >= limits.users:
        return []
    if limits.depth is None:
        return list(names)
    depths = {member.name: member.depth for member in members}
    return [name for name in names if (depth := depths[name]) is not None and depth < limits.depth]


def _histories(connection: psycopg.Connection, marks_since: float) -> ListStatus:
    """Histories are never over: fetched is who has no window with a hole."""
    to_ask = {user_key(name) for name in queries.members_to_ask(connection, _HISTORIES, marks_since)}
    # As the view history_windows has it, which takes seconds for many: who was asked for pages of one size, as nearly
    # everybody is, has a window whole with all the pages that Last.fm counted.
    rows = connection.execute(
        """
        WITH windows AS (
            SELECT user_id, split_part(params, ',', 1) || split_part(params, ',', 3) AS bounds,
                   count(*) >= max(pages) AND min(total) = max(total) AS complete
            FROM fetches WHERE method = %s AND status = 'ok' AND page > 0 GROUP BY user_id, params)
        SELECT u.key, bool_and(CASE WHEN w.sizes = 1 THEN w.complete ELSE
            (SELECT bool_and(h.complete) FROM history_windows h WHERE h.user_id = w.user_id) END)
        FROM (SELECT user_id, bounds, count(*) AS sizes, bool_and(complete) AS complete
              FROM windows GROUP BY user_id, bounds) w
        JOIN users u ON u.id = w.user_id
        WHERE u.discovered_at IS NOT NULL GROUP BY u.key
        """,
        [_HISTORIES],
    )
    whole: dict[str, bool] = dict(rows.fetchall())
    fetched = {key for key, complete in whole.items() if complete}
    left = to_ask - fetched
    members = queries.count_members(connection)
    nothing = members - len(fetched) - len(left)
    return ListStatus("recent_tracks", _HISTORIES, len(fetched), len(left), len(left & whole.keys()), nothing)


def _failing(connection: psycopg.Connection, user: str | None = None) -> list[Failing]:
    rows = connection.execute(
        """
        SELECT f.method, f.status, coalesce(f.detail, ''), count(DISTINCT f.user_id), min(u.name)
        FROM fetches f JOIN users u ON u.id = f.user_id
        WHERE f.status <> 'ok' AND (%(key)s::text IS NULL OR u.key = %(key)s)
        GROUP BY f.method, f.status, f.detail ORDER BY 4 DESC, 1, 2, 3 LIMIT %(limit)s
        """,
        {"key": None if user is None else user_key(user), "limit": REASONS},
    )
    return [Failing(*row) for row in rows]


def _runs(connection: psycopg.Connection) -> list[Run]:
    rows = connection.execute(
        """
        SELECT id, spider, started_at, finished_at, finish_reason, exit_code,
               coalesce((stats ->> 'lastfm_crawl/lost')::integer, 0),
               (SELECT coalesce(jsonb_object_agg(replace(s.key, 'lastfm_crawl/problem/', ''), s.value), '{}')
                FROM jsonb_each(stats) s WHERE s.key LIKE 'lastfm_crawl/problem/%%')
        FROM runs ORDER BY id DESC LIMIT %s
        """,
        [RUNS],
    )
    return [Run(*row) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, jobs.Job):
        fields = {**value._asdict(), "per_minute": per_minute(value), "seconds_left": seconds_left(value)}
    elif dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        fields = value._asdict()
    elif isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    else:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
    return {name: _plain(field) for name, field in fields.items()}
