"""What spiders, progress and commands ask the warehouse: a connection and plain values in, plain values out.

What is done is what ``fetches`` says. *since* (seconds since 1970) makes older answers count as not done.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

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


def members_left(
    connection: psycopg.Connection,
    method: str,
    params: str,
    max_pages: int | None = None,
    since: float | None = None,
    marks_since: float = 0,
) -> list[str]:
    """Names of members whose list (*method*, *params*) is not complete, those nearest to the seeds first.

    A list is complete with all its pages, or the first *max_pages* of them, or with a mark that says that there is
    none. Users found gone after *marks_since* are left out.
    """
    rows = connection.execute(
        """
        SELECT u.name FROM users u
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
              AND f.fetched_at >= coalesce(newest.fetched_at, '-infinity'))
          AND greatest(least(newest.pages, %(max_pages)s), 1) > (
            SELECT count(*) FROM fetches f
            WHERE f.user_id = u.id AND f.method = %(method)s AND f.params = %(params)s AND f.status = 'ok'
              AND f.fetched_at >= %(since)s AND f.page <= greatest(least(newest.pages, %(max_pages)s), 1))
        ORDER BY u.crawl_depth NULLS LAST, u.key
        """,
        {
            "method": method,
            "params": params,
            "max_pages": max_pages,
            "since": _when(since),
            "marks": _when(marks_since),
        },
    )
    return [name for (name,) in rows]


def known_names(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, str]:
    """The names as Last.fm writes them of those of *names* who are members, by key."""
    rows = connection.execute(
        "SELECT key, name FROM users WHERE key = ANY(%s) AND discovered_at IS NOT NULL",
        [[user_key(n) for n in names]],
    )
    return dict(rows.fetchall())


def totals(connection: psycopg.Connection) -> Totals:
    """Users, friendships, artists, and rows of top-artists lists."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM lastfm_users), (SELECT count(*) FROM lastfm_friends),
               (SELECT count(*) FROM artists), (SELECT count(*) FROM lastfm_user_artists)
        """
    ).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    return Totals(*row)


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
