"""What sinks are still to be sent: marked with every change of rows, in its transaction, until they have it.

A mark says that something may have changed; whether it did, the fingerprint of the rows tells when they are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from lastfm_crawl.warehouse.kinds import KINDS, PARTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from lastfm_crawl.warehouse.kinds import Kind
    from lastfm_crawl.warehouse.sinks import Sink

#: The "user" to whom belongs what is nobody's.
NOBODY = 0

_MARK = """
INSERT INTO sink_backlog AS b (sink, kind, user_id)
SELECT s.name, t.kind, t.user_id
FROM sinks s JOIN unnest(%s::text[], %s::integer[]) AS t (kind, user_id) ON t.kind = ANY(s.kinds)
ORDER BY 1, 2, 3  -- two that mark the same then wait for each other instead of deadlocking
ON CONFLICT (sink, kind, user_id) DO UPDATE SET version = excluded.version
"""
_MARK_ALL = """
INSERT INTO sink_backlog AS b (sink, kind, user_id)
SELECT s.name, kind, u.id
FROM sinks s, unnest(s.kinds) AS kind,
     (SELECT id FROM users WHERE discovered_at IS NOT NULL UNION SELECT user_id FROM fetches
      UNION SELECT user_id FROM sink_sent WHERE sink = %(sink)s) u
WHERE s.name = %(sink)s AND kind <> ALL(%(whole)s)
UNION ALL SELECT s.name, kind, 0 FROM sinks s, unnest(s.kinds) AS kind WHERE s.name = %(sink)s AND kind = ANY(%(whole)s)
ORDER BY 1, 2, 3
ON CONFLICT (sink, kind, user_id) DO UPDATE SET version = excluded.version
"""
# Fingerprints are of the rows as texts.
_ONE_CLOCK = "SET LOCAL timezone TO 'UTC'"
_WHOLE = [name for name, kind in KINDS.items() if kind.owner is None]


class Entry(NamedTuple):
    """A user on the backlog: the name now (None: there is no such user any more) and the one that the sink knows."""

    user_id: int
    username: str | None
    known_as: str | None
    version: int
    attempts: int
    fingerprint: Decimal | None


class Now(NamedTuple):
    """What the warehouse has of a user: how many rows, and their fingerprint."""

    rows: int
    fingerprint: Decimal


# --- marking ------------------------------------------------------------------------------------------------------


class Marks:
    """The users whose rows the transaction of a load changes, by kind. Empty and free while there is no sink."""

    def __init__(self, cursor: psycopg.Cursor) -> None:
        # Whoever registers a sink waits for all who have looked here, and then finds what they wrote.
        row = cursor.execute("SELECT EXISTS (SELECT FROM sinks)").fetchone()
        self.wanted = bool(row and row[0])
        self._users: dict[str, set[int]] = {}

    def add(self, kind: str, users: Iterable[int]) -> None:
        """Rows of *kind* (of KINDS) of *users* may be others now."""
        if self.wanted:
            self._users.setdefault(kind, set()).update(users)

    def save(self, cursor: psycopg.Cursor) -> None:
        """Put them on the backlog: the last that a transaction does, so that others wait for its marks as briefly."""
        mark(cursor, self._users)


def mark(cursor: psycopg.Cursor, users: Mapping[str, Collection[int]]) -> None:
    """Put users on the backlog of every sink, by the kind (of KINDS) of rows that may be others now."""
    marked = {(kind, user) for kind, parts in PARTS.items() for part in parts for user in users.get(part, ())}
    if marked:
        cursor.execute(_MARK, [list(column) for column in zip(*marked, strict=True)])


def mark_renamed(cursor: psycopg.Cursor, marks: Marks, users: Collection[int]) -> None:
    """*users* have other names now: that shows in all their rows, in their friends', and in those of their crawl."""
    if not users:
        return
    for kind in ("users", "friends", "artists", "scrobbles", "tracks"):
        marks.add(kind, users)
    found = cursor.execute(
        """
        SELECT DISTINCT f.user_id FROM friendships e JOIN fetches f ON f.id = e.fetch_id WHERE e.friend_id = ANY(%s)
        """,
        [list(users)],
    )
    marks.add("friends", (user for (user,) in found))
    found = cursor.execute("SELECT id FROM users WHERE crawl_seed = ANY(%s)", [list(users)])
    marks.add("users", (user for (user,) in found))


def mark_matched(connection: psycopg.Connection, since: datetime) -> None:
    """Put those on the backlog whose artists were matched from *since* on."""
    rows = connection.execute(
        """
        SELECT DISTINCT f.user_id
        FROM artist_matches m JOIN user_artists ua USING (artist_id) JOIN fetches f ON f.id = ua.fetch_id
        WHERE m.matched_at >= %s
        """,
        [since],
    )
    with connection.cursor() as cursor:
        mark(cursor, {"artists": {user for (user,) in rows}})


def mark_changed(connection: psycopg.Connection, sink: Sink) -> None:
    """Put those on the backlog of *sink* of whom the warehouse has other rows than were sent, whatever changed them."""
    connection.execute(_ONE_CLOCK)
    for kind in sink.kinds:
        if fingerprints := _fingerprints(connection, kind):
            statement = sql.SQL(
                """
                INSERT INTO sink_backlog AS b (sink, kind, user_id)
                SELECT {sink}, {kind}, coalesce(now.user_id, sent.user_id)
                FROM (SELECT CASE WHEN f.owner = '' THEN 0 ELSE u.id END AS user_id, f.*
                      FROM ({fingerprints}) f LEFT JOIN users u ON u.name = f.owner) now
                FULL JOIN (SELECT * FROM sink_sent WHERE sink = {sink} AND kind = {kind}) sent USING (user_id)
                WHERE (now.owner, now.fingerprint) IS DISTINCT FROM (sent.username, sent.fingerprint)
                ORDER BY 3
                ON CONFLICT (sink, kind, user_id) DO NOTHING
                """
            ).format(sink=sql.Literal(sink.name), kind=sql.Literal(kind), fingerprints=fingerprints)
            connection.execute(statement)


def register(connection: psycopg.Connection, sink: Sink) -> None:
    """Make *sink* known. One that is new, or was elsewhere before, has everything before it."""
    found = connection.execute("SELECT target, kinds FROM sinks WHERE name = %s", [sink.name]).fetchone()
    if found == (sink.target, list(sink.kinds)):
        return
    # After this, whatever was loaded without marks is committed and seen; whoever loads next waits, and marks.
    connection.execute("LOCK TABLE sinks IN ACCESS EXCLUSIVE MODE")
    if found and found[0] != sink.target:
        connection.execute("DELETE FROM sinks WHERE name = %s", [sink.name])
    connection.execute(
        """
        INSERT INTO sinks (name, target, kinds) VALUES (%s, %s, %s)
        ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds
        """,
        [sink.name, sink.target, list(sink.kinds)],
    )
    connection.execute(_MARK_ALL, {"sink": sink.name, "whole": _WHOLE})


def mark_all(connection: psycopg.Connection, sink: Sink) -> None:
    """Put everything on the backlog of *sink*, to be sent whatever it is known to have."""
    connection.execute("UPDATE sink_sent SET fingerprint = NULL WHERE sink = %s", [sink.name])
    connection.execute(_MARK_ALL, {"sink": sink.name, "whole": _WHOLE})


# --- sending ------------------------------------------------------------------------------------------------------


def next_users(connection: psycopg.Connection, sink: Sink, kind: str, but: Collection[int]) -> list[int]:
    """Ids of the users whose turn it is, those that wait longest first, without *but*."""
    rows = connection.execute(
        """
        SELECT user_id FROM sink_backlog WHERE sink = %s AND kind = %s AND user_id <> ALL(%s)
        ORDER BY attempts, since, user_id LIMIT %s
        """,
        [sink.name, kind, list(but), sink.kinds[kind]],
    )
    return [user for (user,) in rows]


def entries(connection: psycopg.Connection, sink: Sink, kind: str, users: Sequence[int]) -> list[Entry]:
    """What the backlog says of *users*, without those whom somebody else has sent. One transaction at a time."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('sink ' || %s, 0))", [sink.name])
    rows = connection.execute(
        """
        SELECT b.user_id, CASE WHEN b.user_id = 0 THEN '' ELSE u.name END, s.username, b.version, b.attempts,
               s.fingerprint
        FROM sink_backlog b
        LEFT JOIN users u ON u.id = b.user_id
        LEFT JOIN sink_sent s USING (sink, kind, user_id)
        WHERE b.sink = %s AND b.kind = %s AND b.user_id = ANY(%s) ORDER BY b.user_id
        """,
        [sink.name, kind, list(users)],
    )
    return [Entry(*row) for row in rows]


def present(connection: psycopg.Connection, kind: str, names: Sequence[str]) -> dict[str, Now]:
    """What the warehouse has of the users called *names*, of those of whom it has anything."""
    fingerprints = _fingerprints(connection, kind, only=True)
    if fingerprints is None:
        return {}
    connection.execute(_ONE_CLOCK)
    rows = connection.execute(fingerprints, {"names": list(names)}).fetchall()
    return {owner: Now(count, fingerprint) for owner, count, fingerprint in rows}


def acknowledge(
    connection: psycopg.Connection, sink: Sink, kind: str, done: Sequence[Entry], now: Mapping[str, Now]
) -> None:
    """*sink* has of *done* what *now* says: they leave the backlog, but for who was marked again meanwhile."""
    nothing = Now(0, None)  # type: ignore[arg-type]
    rows = [(e.user_id, e.username, e.version, *now.get(e.username or "", nothing)) for e in done]
    ids, names, versions, counts, fingerprints = (list(column) for column in zip(*rows, strict=True))
    values = {"sink": sink.name, "kind": kind, "ids": ids, "versions": versions}
    connection.execute(
        """
        DELETE FROM sink_sent s USING unnest(%(ids)s::integer[], %(counts)s::bigint[]) AS d (user_id, rows)
        WHERE s.sink = %(sink)s AND s.kind = %(kind)s AND s.user_id = d.user_id AND d.rows = 0
        """,
        {**values, "counts": counts},
    )
    connection.execute(
        """
        INSERT INTO sink_sent (sink, kind, user_id, username, rows, fingerprint)
        SELECT %(sink)s, %(kind)s, user_id, username, rows, fingerprint
        FROM unnest(%(ids)s::integer[], %(names)s::text[], %(counts)s::bigint[], %(fingerprints)s::numeric[])
             AS d (user_id, username, rows, fingerprint)
        WHERE rows > 0
        ON CONFLICT (sink, kind, user_id) DO UPDATE
        SET username = excluded.username, rows = excluded.rows, fingerprint = excluded.fingerprint
        """,
        {**values, "names": names, "counts": counts, "fingerprints": fingerprints},
    )
    connection.execute(
        """
        WITH done AS (
            SELECT b.user_id FROM sink_backlog b
            JOIN unnest(%(ids)s::integer[], %(versions)s::bigint[]) AS d (user_id, version) USING (user_id, version)
            WHERE b.sink = %(sink)s AND b.kind = %(kind)s ORDER BY b.user_id FOR UPDATE OF b)
        DELETE FROM sink_backlog b USING done
        WHERE b.sink = %(sink)s AND b.kind = %(kind)s AND b.user_id = done.user_id
        """,
        values,
    )


def note_failure(connection: psycopg.Connection, sink: Sink, kind: str, users: Sequence[int], error: str) -> None:
    """*users* could not be sent, and stay on the backlog."""
    connection.execute(
        """
        UPDATE sink_backlog SET attempts = attempts + 1, last_error = %s
        WHERE (sink, kind, user_id) IN (
            SELECT sink, kind, user_id FROM sink_backlog WHERE sink = %s AND kind = %s AND user_id = ANY(%s)
            ORDER BY user_id FOR UPDATE)
        """,
        [error, sink.name, kind, list(users)],
    )


class Lag(NamedTuple):
    """How far a sink is behind: of ``kind`` it has ``rows``, and ``users`` are waiting, the first since then."""

    sink: str
    target: str
    kind: str
    rows: int
    users: int
    since: datetime | None
    attempts: int
    last_error: str | None


def lags(connection: psycopg.Connection) -> list[Lag]:
    """How far every sink that is known is behind."""
    rows = connection.execute(
        """
        SELECT s.name, s.target, k.kind, coalesce(sent.rows, 0)::bigint, coalesce(behind.users, 0), behind.since,
               coalesce(behind.attempts, 0), behind.error
        FROM sinks s CROSS JOIN unnest(s.kinds) WITH ORDINALITY AS k (kind, place)
        LEFT JOIN (SELECT sink, kind, sum(rows) AS rows FROM sink_sent GROUP BY sink, kind) sent
               ON (sent.sink, sent.kind) = (s.name, k.kind)
        LEFT JOIN (SELECT sink, kind, count(*) AS users, min(since) AS since, max(attempts) AS attempts,
                          (array_agg(last_error ORDER BY attempts DESC) FILTER (WHERE attempts > 0))[1] AS error
                   FROM sink_backlog GROUP BY sink, kind) behind ON (behind.sink, behind.kind) = (s.name, k.kind)
        ORDER BY s.name, k.place
        """
    )
    return [Lag(*row) for row in rows]


def waiting(connection: psycopg.Connection, sink: str) -> int:
    """How many marks *sink* has before it."""
    row = connection.execute("SELECT count(*) FROM sink_backlog WHERE sink = %s", [sink]).fetchone()
    return row[0] if row else 0


# --- rows ---------------------------------------------------------------------------------------------------------


def select(connection: psycopg.Connection, part: str, names: Sequence[str]) -> sql.Composed | None:
    """The statement for rows of *part* (of KINDS) of the users called *names*, by their key; None: there are none."""
    kind = KINDS[part]
    if not _exists(connection, kind):
        return None
    rows = _rows(kind, sql.Literal(list(names)) if kind.owner else None)
    return rows + sql.SQL(" ORDER BY ") + sql.SQL(", ").join(map(sql.Identifier, kind.key))


def _exists(connection: psycopg.Connection, kind: Kind) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [kind.view]).fetchone()
    return bool(row and row[0])


def _rows(kind: Kind, names: sql.Composable | None) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("{0}::text AS {0}" if column.type == "text" else "{0}").format(sql.Identifier(column.name))
        for column in kind.columns  # uuids are texts elsewhere
    )
    rows = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(kind.view))
    if names is not None and kind.owner is not None:
        rows += sql.SQL(" WHERE {} = ANY({}::text[])").format(sql.Identifier(kind.owner), names)
    return rows


def _fingerprints(connection: psycopg.Connection, kind: str, *, only: bool = False) -> sql.Composed | None:
    """The statement for (owner, rows, fingerprint) of what is there of *kind*; *only* of the users in %(names)s."""
    parts = [KINDS[part] for part in PARTS[kind] if _exists(connection, KINDS[part])]
    if not parts:
        return None
    rows = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {owner} AS owner, hashtextextended(r::text, {seed}) AS hash FROM ({rows}) r").format(
            owner=sql.SQL("r.") + sql.Identifier(part.owner) if part.owner else sql.SQL("''::text"),
            seed=sql.Literal(place),
            rows=_rows(part, sql.Placeholder("names") if only and part.owner else None),
        )
        for place, part in enumerate(parts)
    )
    return sql.SQL("SELECT owner, count(*) AS rows, sum(hash) AS fingerprint FROM ({}) v GROUP BY owner").format(rows)
