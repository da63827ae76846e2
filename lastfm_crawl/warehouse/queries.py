"""What spiders, progress and commands ask the warehouse: a connection and plain values in, plain values out.

What is done is what ``fetches`` says. *since* (seconds since 1970) makes older answers count as not done.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.items import Member, user_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg


class StoredList(NamedTuple):
    """A page of a friends list as the warehouse has it: the friends in the answer's order, and when it came."""

    page: int
    pages: int
    friends: list[str]
    fetched_at: float


class Totals(NamedTuple):
    """What the warehouse holds."""

    users: int
    friendships: int
    artists: int
    user_artists: int
    scrobbles: int


def _when(since: float | None) -> datetime:
    return datetime.fromtimestamp(since or 0, UTC)


def members(connection: psycopg.Connection) -> list[Member]:
    """Every member of the crawl; seeds first, in the order in which they were first named."""
    rows = connection.execute(
        """
        SELECT u.name, s.name, u.crawl_depth, extract(epoch FROM u.discovered_at)::float8
        FROM users u LEFT JOIN users s ON s.id = u.crawl_seed
        WHERE u.discovered_at IS NOT NULL ORDER BY u.seed_no NULLS LAST, u.id
        """
    )
    return [Member(*row) for row in rows]


def seeds(connection: psycopg.Connection) -> list[str]:
    """The seeds of all runs so far, in the order in which they were first named."""
    rows = connection.execute("SELECT name FROM users WHERE seed_no IS NOT NULL ORDER BY seed_no")
    return [name for (name,) in rows]


def unavailable(connection: psycopg.Connection, since: float) -> set[str]:
    """Keys of users who were found gone after *since*: they are asked nothing until that mark expires."""
    rows = connection.execute("SELECT key FROM users WHERE status = 'not_found' AND status_at >= %s", [_when(since)])
    return {key for (key,) in rows}


def users_fetched(connection: psycopg.Connection, method: str, since: float | None = None) -> dict[str, float]:
    """Keys of users with at least one answer of *method*, and when the first of these came."""
    rows = connection.execute(
        """
        SELECT u.key, extract(epoch FROM min(f.fetched_at))::float8
        FROM fetches f JOIN users u ON u.id = f.user_id
        WHERE f.method = %s AND f.status <> 'error' AND f.fetched_at >= %s
        GROUP BY u.key
        """,
        [method, _when(since)],
    )
    return dict(rows.fetchall())


def friend_lists(
    connection: psycopg.Connection, keys: Sequence[str], params: str, since: float | None = None
) -> dict[str, list[StoredList]]:
    """The stored pages of the friends lists of *keys*, in page order."""
    rows = connection.execute(
        """
        SELECT u.key, f.page, f.pages, extract(epoch FROM f.fetched_at)::float8,
               array(SELECT friend.name FROM friendships e JOIN users friend ON friend.id = e.friend_id
                     WHERE e.fetch_id = f.id ORDER BY e.position)
        FROM fetches f JOIN users u ON u.id = f.user_id
        WHERE u.key = ANY(%s) AND f.method = 'user.getFriends' AND f.params = %s AND f.status = 'ok'
          AND f.fetched_at >= %s
        ORDER BY u.key, f.page
        """,
        [list(keys), params, _when(since)],
    )
    lists: dict[str, list[StoredList]] = {}
    for key, page, pages, fetched_at, friends in rows:
        lists.setdefault(key, []).append(StoredList(page, pages, friends, fetched_at))
    return {key: _current(pages) for key, pages in lists.items()}


def _current(pages: list[StoredList]) -> list[StoredList]:
    """Those of *pages* that the list has now, by its newest answer (the view current_pages, for one list)."""
    newest = max(pages, key=lambda page: (page.fetched_at, page.page))
    return [page for page in pages if page.page <= max(newest.pages, 1)]


# Who is logged in, and since when, beside the row of the user.
_LOGINS = "LEFT JOIN unnest(%(logins)s::text[], %(logged_in)s::timestamptz[]) AS login(key, at) ON login.key = u.key"


def _logins(logins: Mapping[str, float] | None) -> dict[str, object]:
    """The parameters of :data:`_LOGINS`."""
    given = logins or {}
    return {"logins": list(given), "logged_in": [_when(at) for at in given.values()]}


def members_left(
    connection: psycopg.Connection,
    method: str,
    params: str,
    max_pages: int | None = None,
    since: float | None = None,
    marks_since: float = 0,
    logins: Mapping[str, float] | None = None,
) -> list[str]:
    """Names of members whose list (*method*, *params*) is not complete, those nearest to the seeds first.

    A list is complete with all its pages, or the first *max_pages* of them, or with a mark that says that there is
    none. Users found gone after *marks_since* are left out; what was not there only because they were gone is not done
    once they are back. A mark "private" from before its user logged in (*logins*: when, by key) says nothing any more.
    """
    rows = connection.execute(
        f"""
        SELECT u.name FROM users u
        {_LOGINS}
        LEFT JOIN LATERAL (
            SELECT f.pages, f.fetched_at FROM fetches f
            WHERE f.user_id = u.id AND f.method = %(method)s AND f.params = %(params)s AND f.status = 'ok'
            ORDER BY f.fetched_at DESC, f.page DESC LIMIT 1
        ) newest ON true
        WHERE u.discovered_at IS NOT NULL
          AND NOT (u.status = 'not_found' AND u.status_at >= %(marks)s)
          AND NOT EXISTS (
            SELECT FROM fetches f
            WHERE f.user_id = u.id AND f.method = %(method)s AND f.params = %(params)s
              AND f.status IN ('not_found', 'private') AND f.fetched_at >= greatest(%(since)s, %(marks)s)
              AND NOT (f.status = 'private' AND f.fetched_at < coalesce(login.at, '-infinity'))
              AND f.fetched_at >= coalesce(newest.fetched_at, '-infinity')
              AND NOT (f.status = 'not_found' AND EXISTS (  -- gone, and back
                SELECT FROM fetches a
                WHERE a.user_id = u.id AND a.method LIKE 'user.get%%' AND a.page > 0 AND a.fetched_at > f.fetched_at)))
          AND greatest(least(newest.pages, %(max_pages)s), 1) > (
            SELECT count(*) FROM fetches f
            WHERE f.user_id = u.id AND f.method = %(method)s AND f.params = %(params)s AND f.status = 'ok'
              AND f.fetched_at >= %(since)s AND f.page <= greatest(least(newest.pages, %(max_pages)s), 1))
        ORDER BY u.crawl_depth NULLS LAST, u.key
        """,  # noqa: S608  (a constant of this module)
        {
            "method": method,
            "params": params,
            "max_pages": max_pages,
            "since": _when(since),
            "marks": _when(marks_since),
            **_logins(logins),
        },
    )
    return [name for (name,) in rows]


def returned(connection: psycopg.Connection, method: str, params: str) -> dict[str, float]:
    """Keys of users who were gone when their list (*method*, *params*) was asked for, and have answered to something
    since: when they were gone.
    """
    rows = connection.execute(
        """
        SELECT u.key, extract(epoch FROM m.fetched_at)::float8
        FROM fetches m JOIN users u ON u.id = m.user_id
        WHERE m.method = %s AND m.params = %s AND m.page = 0 AND m.status = 'not_found'
          AND EXISTS (
            SELECT FROM fetches a
            WHERE a.user_id = m.user_id AND a.method LIKE 'user.get%%' AND a.page > 0 AND a.fetched_at > m.fetched_at)
        """,
        [method, params],
    )
    return dict(rows.fetchall())


def known_names(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, str]:
    """The names as Last.fm writes them of those of *names* who are members, by key."""
    rows = connection.execute(
        "SELECT key, name FROM users WHERE key = ANY(%s) AND discovered_at IS NOT NULL",
        [[user_key(n) for n in names]],
    )
    return dict(rows.fetchall())


def totals(connection: psycopg.Connection) -> Totals:
    """Users, friendships, artists, rows of top-artists lists, and scrobbles."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM lastfm_users), (SELECT count(*) FROM lastfm_friends),
               (SELECT count(*) FROM artists), (SELECT count(*) FROM lastfm_user_artists),
               (SELECT count(*) FROM scrobbles)
        """
    ).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    return Totals(*row)


class HistoryPage(NamedTuple):
    """A stored page of a history: its window in seconds since 1970, and the rows of the window that came with it."""

    first: int
    end: int
    per_page: int
    page: int
    total: int
    rows: int


class History(NamedTuple):
    """What the warehouse has of a user's history; *newest* is the time of the newest scrobble, in seconds."""

    pages: list[HistoryPage]
    newest: int | None


def history(connection: psycopg.Connection, key: str, since: float | None = None) -> History:
    """The pages of the history of the user with *key* that came after *since*, and the newest scrobble."""
    pages = connection.execute(
        """
        SELECT extract(epoch FROM p.window_from)::bigint, extract(epoch FROM p.window_to)::bigint, p.per_page, p.page,
               p.total, p.received - coalesce((p.skipped ->> 'now_playing')::integer, 0)
        FROM current_history_pages p JOIN users u ON u.id = p.user_id
        WHERE u.key = %s AND p.fetched_at >= %s
        """,
        [key, _when(since)],
    ).fetchall()
    row = connection.execute(
        """
        SELECT extract(epoch FROM max(at))::bigint FROM scrobbles
        WHERE user_id = (SELECT id FROM users WHERE key = %s)
        """,
        [key],
    ).fetchone()
    return History([HistoryPage(*page) for page in pages], row[0] if row else None)


class AuditedWindow(NamedTuple):
    """A window of a history: what Last.fm counted, what is stored, and how many of its pages are there."""

    first: datetime
    end: datetime
    reported: int
    stored: int
    undated: int
    duplicates: int
    explained: bool
    rows_done: int  # rows of the window that the pages stand for which are there


def audit(connection: psycopg.Connection, user: str) -> list[AuditedWindow]:
    """The windows of the history of *user*, oldest first: what the view lastfm_history_audit says of one user.

    Asked of that view it takes as long as for all users, because PostgreSQL finds the user after summing up.
    """
    rows = connection.execute(
        """
        SELECT w.window_from, w.window_to, w.total, s.stored, w.undated::bigint,
               (w.repeated + CASE WHEN EXISTS (
                    SELECT FROM history_windows o
                    WHERE o.user_id = %(id)s AND (o.window_from, o.window_to) <> (w.window_from, w.window_to)
                      AND o.window_from < w.window_to AND o.window_to > w.window_from)
                THEN 0 ELSE w.stored - s.stored END)::bigint,
               w.complete AND w.total = w.stored + w.undated + w.before_2002 + w.repeated + w.other,
               w.covered::bigint
        FROM history_windows w
        CROSS JOIN LATERAL (
            SELECT count(*) AS stored FROM scrobbles s
            WHERE s.user_id = %(id)s AND s.at >= w.window_from AND s.at < w.window_to) s
        WHERE w.user_id = %(id)s ORDER BY w.window_from, w.window_to
        """,
        {"id": _user_id(connection, user)},
    )
    return [AuditedWindow(*row) for row in rows]


def _user_id(connection: psycopg.Connection, user: str) -> int | None:
    """What to ask views about: a join with the user's name has them computed for everybody first."""
    row = connection.execute("SELECT id FROM users WHERE key = %s", [user_key(user)]).fetchone()
    return row[0] if row else None


class UserStatus(NamedTuple):
    """What the warehouse knows of a user."""

    name: str
    status: str
    detail: str | None
    playcount: int | None  # Last.fm's own figure
    scrobbles: int


def user_status(connection: psycopg.Connection, user: str) -> UserStatus | None:
    """What is known of *user*; None for a stranger."""
    row = connection.execute(
        """
        SELECT name, status, status_detail, playcount, (SELECT count(*) FROM scrobbles s WHERE s.user_id = u.id)
        FROM users u WHERE key = %s
        """,
        [user_key(user)],
    ).fetchone()
    return UserStatus(*row) if row else None


class StatusChange(NamedTuple):
    """That a member had another status from then on; *detail* is what Last.fm said."""

    status: str
    detail: str | None
    since: datetime


def status_history(connection: psycopg.Connection, user: str) -> list[StatusChange]:
    """How the status of *user* changed, oldest first: empty for who is no member, and who was never asked about."""
    rows = connection.execute(
        """
        SELECT s.status, s.status_detail, s.since FROM users u JOIN lastfm_user_statuses s ON s.username = u.name
        WHERE u.key = %s ORDER BY s.since
        """,
        [user_key(user)],
    )
    return [StatusChange(*row) for row in rows]


class UserList(NamedTuple):
    """A list of a user that is no history: how many of the pages that Last.fm says it has are there."""

    method: str
    params: str
    done: int
    pages: int


def user_pages(connection: psycopg.Connection, user: str) -> list[UserList]:
    """The lists of *user* but for the history."""
    rows = connection.execute(
        """
        SELECT p.method, p.params, count(*), (array_agg(greatest(f.pages, 1) ORDER BY f.fetched_at DESC))[1]
        FROM current_pages p JOIN fetches f USING (id)
        WHERE p.user_id = %(id)s AND f.user_id = %(id)s AND p.page > 0
          AND p.method NOT IN ('user.getRecentTracks', 'user.page')
        GROUP BY p.method, p.params ORDER BY p.method, p.params
        """,
        {"id": _user_id(connection, user)},
    )
    return [UserList(*row) for row in rows]


def members_to_ask(
    connection: psycopg.Connection, method: str, marks_since: float, logins: Mapping[str, float] | None = None
) -> list[str]:
    """Names of members without a mark of *method*, or "not found", after *marks_since*; nearest to the seeds first.

    A mark "private" from before its user logged in (*logins*: when, by key) says nothing any more.
    """
    rows = connection.execute(
        f"""
        SELECT u.name FROM users u
        {_LOGINS}
        WHERE u.discovered_at IS NOT NULL AND NOT (u.status = 'not_found' AND u.status_at >= %(marks)s)
          AND NOT EXISTS (
            SELECT FROM fetches m
            WHERE m.user_id = u.id AND m.method = %(method)s AND m.status IN ('not_found', 'private')
              AND m.fetched_at >= %(marks)s
              AND NOT (m.status = 'private' AND m.fetched_at < coalesce(login.at, '-infinity'))
              AND NOT EXISTS (SELECT FROM fetches f WHERE f.user_id = u.id AND f.status = 'ok'
                              AND f.fetched_at > m.fetched_at
                              AND (f.method = m.method OR m.status = 'not_found' AND f.method LIKE 'user.get%%')))
        ORDER BY u.crawl_depth NULLS LAST, u.key
        """,  # noqa: S608  (a constant of this module)
        {"method": method, "marks": _when(marks_since), **_logins(logins)},
    )
    return [name for (name,) in rows]


class CrawlState(NamedTuple):
    """How far the crawl is: members, those whose top artists are complete, and users on whom something failed."""

    seeds: list[str]
    members: int
    with_artists: int
    discovery_errors: int
    artist_errors: int


_WITH_ARTISTS = """
    SELECT u.id, u.name FROM users u
    WHERE u.discovered_at IS NOT NULL
      AND EXISTS (SELECT FROM fetches f
                  WHERE f.user_id = u.id AND f.method = 'user.getTopArtists' AND f.status <> 'error')
"""


def crawl_state(connection: psycopg.Connection) -> CrawlState:
    """What state/progress.json says."""
    row = connection.execute(
        f"""
        SELECT array(SELECT name FROM users WHERE seed_no IS NOT NULL ORDER BY seed_no),
               (SELECT count(*) FROM lastfm_users),
               (SELECT count(*) FROM ({_WITH_ARTISTS}) w),
               count(*) FILTER (WHERE method <> 'user.getTopArtists'),
               count(*) FILTER (WHERE method = 'user.getTopArtists')
        FROM fetches WHERE status <> 'ok'
        """  # noqa: S608  (a constant of this module)
    ).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    return CrawlState(*row)


# Every answer of Last.fm: those about users, and those about music.
_LASTFM = """(
    SELECT method, bytes FROM fetches WHERE method LIKE 'user.%'
    UNION ALL SELECT method, bytes FROM lookups WHERE method LIKE 'track.%')"""


class StoredData(NamedTuple):
    """How much Last.fm data of one kind is kept: *name* is a method, or a user."""

    name: str
    answers: int
    size: int  # bytes of the answers' bodies, before compression; without older answers in the archive


def stored_bytes(connection: psycopg.Connection) -> int:
    """Bytes of all answers of Last.fm that are kept."""
    row = connection.execute(f"SELECT coalesce(sum(bytes), 0)::bigint FROM {_LASTFM} kept").fetchone()  # noqa: S608
    return row[0] if row else 0


def stored_by_method(connection: psycopg.Connection) -> list[StoredData]:
    """What is kept of each method's answers, the largest first."""
    rows = connection.execute(
        f"SELECT method, count(*), sum(bytes)::bigint AS size FROM {_LASTFM} kept"  # noqa: S608  (a constant)
        " GROUP BY method ORDER BY size DESC, method"
    )
    return [StoredData(*row) for row in rows]


def stored_by_user(connection: psycopg.Connection, limit: int) -> list[StoredData]:
    """What is kept of the *limit* users of whom most is kept, the largest first."""
    rows = connection.execute(
        """
        SELECT u.name, f.answers, f.size
        FROM (SELECT user_id, count(*) AS answers, sum(bytes)::bigint AS size FROM fetches
              WHERE method LIKE 'user.%%' GROUP BY user_id ORDER BY size DESC, user_id LIMIT %s) f
        JOIN users u ON u.id = f.user_id ORDER BY f.size DESC, u.name
        """,
        [limit],
    )
    return [StoredData(*row) for row in rows]


class JobRun(NamedTuple):
    """A run that was a job of Scrapyd's: the last two are None while it runs, or when it was killed."""

    job: str
    started_at: datetime
    finish_reason: str | None
    exit_code: int | None


def runs_of_jobs(connection: psycopg.Connection, jobs: Sequence[str]) -> list[JobRun]:
    """The runs of *jobs*, by their ids, the oldest first; a job that was scheduled again has several."""
    rows = connection.execute(
        "SELECT arguments->>'_job', started_at, finish_reason, exit_code FROM runs"
        " WHERE arguments->>'_job' = ANY(%s) ORDER BY id",
        [list(jobs)],
    )
    return [JobRun(*row) for row in rows]


class EarlierRun(NamedTuple):
    """A run that came to an end, with what it counted."""

    arguments: Mapping[str, str]
    members_before: int
    finished_at: datetime
    exit_code: int
    stats: Mapping[str, Any]


def earlier_runs(connection: psycopg.Connection, spider: str, run_id: str, limit: int) -> list[EarlierRun]:
    """The *limit* runs of *spider* before the run *run_id* that came to an end, the newest first."""
    rows = connection.execute(
        """
        SELECT arguments, members_before, finished_at, exit_code, stats FROM runs
        WHERE spider = %s AND id < %s AND finished_at IS NOT NULL AND exit_code IS NOT NULL AND stats IS NOT NULL
        ORDER BY id DESC LIMIT %s
        """,
        [spider, run_id, limit],
    )
    return [EarlierRun(*row) for row in rows]


def users_by_status(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """How many members have each status, the most frequent first."""
    rows = connection.execute("SELECT status, count(*) FROM lastfm_users GROUP BY status ORDER BY 2 DESC, 1")
    return rows.fetchall()


def user_lists(connection: psycopg.Connection) -> dict[str, list[str]]:
    """The brief's three lists of names: who was discovered, whose artists are fetched, and who is left."""
    discovered = [name for (name,) in connection.execute("SELECT username FROM lastfm_users ORDER BY username")]
    processed = [name for _, name in connection.execute(f"{_WITH_ARTISTS} ORDER BY u.name")]
    left = sorted(set(discovered) - set(processed))
    return {"discovered_users": discovered, "processed_users": processed, "users_to_process": left}


def count_members(connection: psycopg.Connection) -> int:
    """How many users the crawl has admitted."""
    row = connection.execute("SELECT count(*) FROM lastfm_users").fetchone()
    return row[0] if row else 0


def begin_run(
    connection: psycopg.Connection,
    run_id: str,
    spider: str,
    arguments: Mapping[str, str],
    started_at: datetime,
    members: int,
) -> None:
    """Record that a run began with these *arguments* and *members* users."""
    connection.execute(
        "INSERT INTO runs (id, spider, arguments, started_at, members_before) VALUES (%s, %s, %s, %s, %s)",
        [run_id, spider, json.dumps(dict(arguments)), started_at, members],
    )


def finish_run(
    connection: psycopg.Connection,
    run_id: str,
    finished_at: datetime,
    reason: str,
    exit_code: int,
    stats: Mapping[str, object],
) -> None:
    """Record how a run ended."""
    connection.execute(
        "UPDATE runs SET finished_at = %s, finish_reason = %s, exit_code = %s, stats = %s WHERE id = %s",
        [finished_at, reason, exit_code, json.dumps(stats), run_id],
    )


def requests_since(connection: psycopg.Connection, since: datetime) -> int:
    """How many requests the runs made that began from *since* on and came to an end."""
    row = connection.execute(
        """
        SELECT coalesce(sum(asked.value::bigint), 0)::bigint
        FROM runs, jsonb_each_text(stats) AS asked
        WHERE started_at >= %s AND asked.key LIKE 'lastfm_crawl/asked/%%'
        """,
        [since],
    ).fetchone()
    return row[0] if row else 0


def restore_runs(connection: psycopg.Connection, records: Sequence[Mapping[str, object]]) -> None:
    """Write down the runs that ``state/runs/`` records, where they are missing."""
    connection.cursor().executemany(
        """
        INSERT INTO runs
            (id, spider, arguments, started_at, members_before, finished_at, finish_reason, exit_code, stats)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
        """,
        [
            (
                record["run_id"], record["spider"], json.dumps(record["arguments"]), record["started_at"],
                record["members_before"], record.get("finished_at"), record.get("finish_reason"),
                record.get("exit_code"), json.dumps(record["stats"]) if "stats" in record else None,
            )
            for record in records
        ],
    )  # fmt: skip
