"""People out of the warehouse, and everything out of it.

A DELETE leaves what it deletes in the files of the server until they are written anew: :func:`compact` does that for
the tables that hold names, and for what the planner remembers of their columns. The server's write-ahead log goes by
itself, after some more checkpoints; copies of it elsewhere, and backups, are their owner's business.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from psycopg import sql

from lastfm_crawl.items import user_key
from lastfm_crawl.warehouse import backlog, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import psycopg

# Rows that belong to an answer, by what they are called in a report.
_OF_ANSWERS = {
    "friendships": "friendships", "user_artists": "top artists", "user_albums": "top albums",
    "user_tracks": "top tracks", "loved_tracks": "loved tracks", "named_tracks": None,
    "spotify_top_artists": "top artists of Spotify", "spotify_top_tracks": "top tracks of Spotify",
}  # fmt: skip
# Music that nobody else names, in the order in which it can go.
_CANDIDATES = """
DROP TABLE IF EXISTS gone_recordings, gone_albums, gone_artists;
CREATE TEMP TABLE gone_recordings ON COMMIT DROP AS
    SELECT r.id, r.track_id, r.album_id, t.artist_id
    FROM (SELECT recording_id FROM scrobbles WHERE user_id = ANY(%(users)s)
          UNION SELECT recording_id FROM user_tracks WHERE fetch_id IN (SELECT id FROM gone_fetches)
          UNION SELECT recording_id FROM loved_tracks WHERE fetch_id IN (SELECT id FROM gone_fetches)) n
    JOIN recordings r ON r.id = n.recording_id JOIN tracks t ON t.id = r.track_id;
CREATE TEMP TABLE gone_albums ON COMMIT DROP AS
    SELECT album_id AS id FROM gone_recordings
    UNION SELECT album_id FROM user_albums WHERE fetch_id IN (SELECT id FROM gone_fetches);
CREATE TEMP TABLE gone_artists ON COMMIT DROP AS
    SELECT artist_id AS id FROM gone_recordings
    UNION SELECT artist_id FROM albums WHERE id IN (SELECT id FROM gone_albums)
    UNION SELECT artist_id FROM user_artists WHERE fetch_id IN (SELECT id FROM gone_fetches)
"""
_MUSIC = (
    """
    DELETE FROM recordings r WHERE r.id IN (SELECT id FROM gone_recordings)
      AND NOT EXISTS (SELECT FROM scrobbles o WHERE o.recording_id = r.id)
      AND NOT EXISTS (SELECT FROM user_tracks o WHERE o.recording_id = r.id)
      AND NOT EXISTS (SELECT FROM loved_tracks o WHERE o.recording_id = r.id)
    """,
    """
    DELETE FROM albums a WHERE a.id IN (SELECT id FROM gone_albums)
      AND NOT EXISTS (SELECT FROM recordings o WHERE o.album_id = a.id)
      AND NOT EXISTS (SELECT FROM user_albums o WHERE o.album_id = a.id)
    """,
    # A track whose tags were asked for is named by that answer, too.
    """
    DELETE FROM tracks t WHERE t.id IN (SELECT track_id FROM gone_recordings)
      AND NOT EXISTS (SELECT FROM recordings o WHERE o.track_id = t.id)
      AND NOT EXISTS (SELECT FROM track_tags o WHERE o.track_id = t.id)
    """,
    """
    DELETE FROM artists a WHERE a.id IN (SELECT id FROM gone_artists)
      AND NOT EXISTS (SELECT FROM tracks o WHERE o.artist_id = a.id)
      AND NOT EXISTS (SELECT FROM albums o WHERE o.artist_id = a.id)
      AND NOT EXISTS (SELECT FROM user_artists o WHERE o.artist_id = a.id)
    """,
)
_RENUMBER = """
UPDATE users u SET seed_no = s.place
FROM (SELECT id, row_number() OVER (ORDER BY -seed_no) - 1 AS place FROM users WHERE seed_no IS NOT NULL) s
WHERE s.id = u.id
"""
#: Tables that hold names as texts.
_WITH_NAMES = ("users", "runs", "fetch_jobs", "sink_sent", "sink_backlog")
#: What stays when everything goes: tombstones, and what sinks are still to be told.
_STAYS = {"forgotten", "sinks", "sink_backlog", "sink_sent"}


def users_who(connection: psycopg.Connection, is_meant: Callable[[str], bool]) -> list[int]:
    """Ids of the users whose keys *is_meant* picks."""
    return [user for user, key in connection.execute("SELECT id, key FROM users") if is_meant(key)]


def users_called(connection: psycopg.Connection, names: Iterable[str]) -> list[int]:
    """Ids of those of *names* whom the warehouse knows, whatever their case."""
    rows = connection.execute("SELECT id FROM users WHERE key = ANY(%s)", [[user_key(name) for name in names]])
    return [user for (user,) in rows]


def erase(connection: psycopg.Connection, users: Sequence[int]) -> dict[str, int]:
    """Take *users* out, with all that their answers brought and the edges that lead to them; rows, by what they were.

    Sinks are marked in the same transaction. Who was discovered through them stays, as recorded; of those who were
    reached from them as a seed, seed and depth are not known any more, as of users who were only named.
    """
    if not users:
        return {}
    cursor = connection.cursor()
    marks = backlog.Marks(cursor)
    backlog.mark_renamed(cursor, marks, users)
    marks.add("songs", [backlog.NOBODY])
    given = {"users": list(users)}
    cursor.execute("DROP TABLE IF EXISTS gone_fetches, gone_friends")
    cursor.execute(
        "CREATE TEMP TABLE gone_fetches ON COMMIT DROP AS SELECT id FROM fetches WHERE user_id = ANY(%(users)s)", given
    )
    cursor.execute(
        "CREATE TEMP TABLE gone_friends ON COMMIT DROP AS SELECT DISTINCT friend_id AS id FROM friendships"
        " WHERE fetch_id IN (SELECT id FROM gone_fetches)"
    )
    for statement in _CANDIDATES.split(";"):
        cursor.execute(statement, given if "%(users)s" in statement else None)
    gone = {"named by others": _take_from_lists(cursor, users)}
    gone["scrobbles"] = cursor.execute("DELETE FROM scrobbles WHERE user_id = ANY(%(users)s)", given).rowcount
    for table, what in _OF_ANSWERS.items():
        cursor.execute(
            sql.SQL("DELETE FROM {} WHERE fetch_id IN (SELECT id FROM gone_fetches)").format(sql.Identifier(table))
        )
        if what:
            gone[what] = cursor.rowcount
    gone["answers"] = cursor.execute("DELETE FROM fetches WHERE user_id = ANY(%(users)s)", given).rowcount
    for statement in _MUSIC:
        cursor.execute(statement)
    cursor.execute("UPDATE users SET crawl_seed = NULL, crawl_depth = NULL WHERE crawl_seed = ANY(%(users)s)", given)
    gone["users"] = cursor.execute("DELETE FROM users WHERE id = ANY(%(users)s)", given).rowcount
    # Below 0 first: two seeds never have one number.
    cursor.execute("UPDATE users SET seed_no = -1 - seed_no WHERE seed_no IS NOT NULL")
    cursor.execute(_RENUMBER)
    # Whom nobody else ever named is known from them alone.
    cursor.execute(
        """
        DELETE FROM users u
        WHERE u.id IN (SELECT id FROM gone_friends) AND u.discovered_at IS NULL
          AND NOT EXISTS (SELECT FROM fetches f WHERE f.user_id = u.id)
          AND NOT EXISTS (SELECT FROM friendships e WHERE e.friend_id = u.id)
          AND NOT EXISTS (SELECT FROM users o WHERE o.crawl_seed = u.id)
        """
    )
    marks.save(cursor)
    return {what: rows for what, rows in gone.items() if rows}


def _take_from_lists(cursor: psycopg.Cursor, users: Sequence[int]) -> int:
    """Take *users* out of the friends lists of others; how often they stood there."""
    rows = cursor.execute(
        """
        DELETE FROM friendships WHERE friend_id = ANY(%s) AND fetch_id NOT IN (SELECT id FROM gone_fetches)
        RETURNING fetch_id
        """,
        [list(users)],
    ).fetchall()
    lists = [fetch for (fetch,) in rows]
    cursor.execute(
        """
        UPDATE fetches f SET received = received - gone.rows, stored = stored - gone.rows
        FROM (SELECT id, count(*) AS rows FROM unnest(%s::integer[]) AS id GROUP BY id) gone WHERE gone.id = f.id
        """,
        [lists],
    )
    cursor.execute(
        """
        UPDATE friendships e SET position = p.place
        FROM (SELECT fetch_id, friend_id, row_number() OVER (PARTITION BY fetch_id ORDER BY position) - 1 AS place
              FROM friendships WHERE fetch_id = ANY(%s)) p
        WHERE (e.fetch_id, e.friend_id) = (p.fetch_id, p.friend_id) AND e.position <> p.place
        """,
        [lists],
    )
    return len(lists)


def note_redacted(
    connection: psycopg.Connection, user: str, params: str, page: int, answered_at: float, *, received: int, size: int
) -> None:
    """That a page of the friends list of *user* has *received* entries and *size* bytes now, if it is the one loaded.

    Who stood in it twice was counted as repeated once.
    """
    question = [user_key(user), params, page, datetime.fromtimestamp(answered_at, UTC)]
    row = connection.execute(
        """
        SELECT f.id, f.stored, f.skipped FROM fetches f JOIN users u ON u.id = f.user_id
        WHERE u.key = %s AND f.method = 'user.getFriends' AND f.params = %s AND f.page = %s AND f.fetched_at = %s
        """,
        question,
    ).fetchone()
    if row is None:
        return
    fetch, stored, skipped = row
    too_many = sum(skipped.values()) - (received - stored)
    if too_many and (repeated := skipped.pop("repeated", 0) - too_many) > 0:
        skipped["repeated"] = repeated
    connection.execute(
        "UPDATE fetches SET received = %s, bytes = %s, skipped = %s WHERE id = %s",
        [received, size, json.dumps(skipped), fetch],
    )


def scrub(
    connection: psycopg.Connection,
    is_gone: Callable[[str], bool],
    arguments: Callable[[Any], Any],
    cleaned: Callable[[Any], Any],
) -> int:
    """Take people out of the records of runs and jobs; how many of these changed.

    *arguments* gives those of a run without them, *cleaned* a text, or a JSON value with texts.
    """
    changed = 0
    for run, given, stats in connection.execute("SELECT id, arguments, stats FROM runs").fetchall():
        clean = [arguments(given), cleaned(stats)]
        if clean != [given, stats]:
            texts = [None if value is None else json.dumps(value) for value in clean]
            connection.execute("UPDATE runs SET arguments = %s, stats = %s WHERE id = %s", [*texts, run])
            changed += 1
    for job, name, error in connection.execute("SELECT id, username, error_message FROM fetch_jobs").fetchall():
        if name is not None and is_gone(name):
            connection.execute("DELETE FROM fetch_jobs WHERE id = %s", [job])
            changed += 1
        elif (clean := cleaned(error)) != error:
            connection.execute("UPDATE fetch_jobs SET error_message = %s WHERE id = %s", [clean, job])
            changed += 1
    for (error,) in connection.execute("SELECT DISTINCT last_error FROM sink_backlog").fetchall():
        if (clean := cleaned(error)) != error:
            connection.execute("UPDATE sink_backlog SET last_error = %s WHERE last_error = %s", [clean, error])
            changed += 1
    return changed


def still_sent(connection: psycopg.Connection, names: Collection[str]) -> list[str]:
    """The sinks that have rows of *names*, as far as is known."""
    keys = {user_key(name) for name in names}
    rows = connection.execute("SELECT DISTINCT sink, username FROM sink_sent").fetchall()
    return sorted({sink for sink, username in rows if user_key(username) in keys})


def compact(connection: psycopg.Connection) -> None:
    """Write the tables with names anew, without what was deleted. Takes a connection outside of a transaction."""
    for table in _WITH_NAMES:
        connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(table)))
    # The most frequent values of columns, and samples of the others. Whoever may not is warned, and goes on.
    connection.execute("VACUUM FULL pg_catalog.pg_statistic")
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row and row[0]:
        connection.execute("CHECKPOINT")


def empty(connection: psycopg.Connection) -> dict[str, int]:
    """Take everything out of the tables that our migrations make, but for tombstones; rows, by table.

    What sinks have is marked to go there, too.
    """
    connection.execute(
        """
        INSERT INTO sink_backlog AS b (sink, kind, user_id) SELECT sink, kind, user_id FROM sink_sent ORDER BY 1, 2, 3
        ON CONFLICT (sink, kind, user_id) DO UPDATE SET version = excluded.version
        """
    )
    rows = {}
    tables = [table for table in _tables() if _is_there(connection, table)]
    for table in tables:
        name = sql.Identifier(*table.split("."))
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
        if found and found[0]:
            rows[table] = found[0]
    names = sql.SQL(", ").join(sql.Identifier(*table.split(".")) for table in tables)
    connection.execute(sql.SQL("TRUNCATE {}").format(names))
    return rows


def _tables() -> list[str]:
    """Those that the migrations make: others in the database are not ours."""
    made = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?([\w.]+)")
    texts = (file.read_text(encoding="utf-8") for file in migrate.FOLDER.iterdir() if file.name.endswith(".sql"))
    return sorted({table for text in texts for table in made.findall(text)} - _STAYS)


def _is_there(connection: psycopg.Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])
