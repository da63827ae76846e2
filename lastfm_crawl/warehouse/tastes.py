"""The artists that every user listens to, as arrays with an index: ten million rows in a few tenths of a second.

The table ``tastes`` is made of ``user_artists``. Whoever reads it brings it up to date first: only users whose answers
changed are made anew, so what is read is always what the lists say, and loading is not slowed down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lastfm_crawl.warehouse.artist_keys import add_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

#: Users whose lists are made at once.
CHUNK = 500
#: With more of them to make than this share of all, the index is made anew.
_MANY = 0.05

# A user's answers have another version whenever one of them comes, goes or is replaced.
_CHANGED = """
SELECT user_id, n.version
FROM (SELECT user_id, sum((extract(epoch FROM fetched_at) * 1000000)::bigint + id) AS version
      FROM fetches WHERE method = 'user.getTopArtists' AND status = 'ok' GROUP BY user_id) n
FULL JOIN tastes t USING (user_id)
WHERE n.version IS DISTINCT FROM t.version
ORDER BY user_id
"""
# A list that changes while it is asked for can have an artist on two pages: the first of them counts.
_MAKE = """
INSERT INTO tastes AS t (user_id, version, artists, playcounts, artist_ids)
SELECT u.id, v.version, coalesce(l.artists, ''), coalesce(l.playcounts, ''), coalesce(l.artist_ids, '{}')
FROM unnest(%(users)s::integer[], %(versions)s::numeric[]) AS v (id, version)
JOIN users u USING (id)
LEFT JOIN (
    SELECT user_id, string_agg(int4send(artist_id), ''::bytea ORDER BY page, rank, artist_id) AS artists,
           string_agg(int4send(playcount), ''::bytea ORDER BY page, rank, artist_id) AS playcounts,
           array_agg(artist_id) AS artist_ids
    FROM current_charts c JOIN user_artists ua ON ua.fetch_id = c.id
    WHERE c.period = 'overall' AND c.user_id = ANY(%(users)s::integer[])
      AND (c.page = 1 OR NOT EXISTS (
          SELECT FROM current_charts earlier
          JOIN user_artists other ON other.fetch_id = earlier.id AND other.artist_id = ua.artist_id
          WHERE earlier.user_id = c.user_id AND earlier.params = c.params AND earlier.page < c.page))
    GROUP BY user_id) l ON l.user_id = u.id
ON CONFLICT (user_id) DO UPDATE
SET version = excluded.version, artists = excluded.artists, playcounts = excluded.playcounts,
    artist_ids = excluded.artist_ids
"""
# To add many rows to the index takes ten times as long as to make it.
_DROP_INDEX = "DROP INDEX IF EXISTS tastes_by_artist"
_MAKE_INDEX = "CREATE INDEX IF NOT EXISTS tastes_by_artist ON tastes USING gin (artist_ids)"
_SHARING = """
SELECT t.user_id
FROM (SELECT t.user_id, {count} AS shared
      FROM unnest(%(artists)s::integer[], %(choices)s::integer[]) AS a (id, choice)
      JOIN tastes t ON t.artist_ids @> ARRAY[a.id]
      GROUP BY t.user_id) s
JOIN tastes t USING (user_id)
JOIN users u ON u.id = t.user_id
WHERE s.shared >= %(least)s
ORDER BY s.shared DESC, octet_length(t.artists), u.key
LIMIT %(limit)s
"""
_LISTENERS = """
SELECT a.id, count(*) FROM unnest(%s::integer[]) AS a (id) JOIN tastes t ON t.artist_ids @> ARRAY[a.id] GROUP BY a.id
"""


class Tastes(NamedTuple):
    """Who listens to whom. The artists of user number n are ``artists[starts[n]:starts[n + 1]]``, most played first.

    Users without artists are left out. ``playcounts`` is as long as ``artists``, or empty when it was not asked for.
    """

    users: NDArray[np.int32]  # ids
    starts: NDArray[np.int64]  # one more than users
    artists: NDArray[np.int32]  # ids
    playcounts: NDArray[np.int32]

    def listeners(self) -> NDArray[np.int64]:
        """How many users listen to each artist, by id; as long as the highest id asks for."""
        return np.bincount(self.artists)

    def hits(self, marked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in ``artists`` those are that are *marked* (by id), and how many of these places each user has."""
        places = np.flatnonzero(marked[self.artists])
        return places, np.diff(np.searchsorted(places, self.starts))


def changed_users(connection: psycopg.Connection) -> list[tuple[int, object]]:
    """The users whose row of ``tastes`` is not what their answers say, each with the version that it should have."""
    return connection.execute(_CHANGED).fetchall()


def bring_up_to_date(connection: psycopg.Connection, on_users: Callable[[int], object] = lambda _: None) -> None:
    """Make the rows of ``tastes`` whose answers changed; *on_users* gets the number of those just made."""
    changed = changed_users(connection)
    if not changed:
        return
    row = connection.execute("SELECT count(*) FROM tastes").fetchone()
    many = len(changed) > _MANY * (row[0] if row else 0)
    if many:
        connection.execute(_DROP_INDEX)
    for begin in range(0, len(changed), CHUNK):
        chunk = changed[begin : begin + CHUNK]
        gone = [user for user, version in chunk if version is None]
        made = [(user, version) for user, version in chunk if version is not None]
        connection.execute("DELETE FROM tastes WHERE user_id = ANY(%s)", [gone])
        users, versions = ([row[column] for row in made] for column in (0, 1))
        connection.execute(_MAKE, {"users": users, "versions": versions})
        on_users(len(chunk))
    if many:
        connection.execute(_MAKE_INDEX)
    add_keys(connection)


def read_tastes(
    connection: psycopg.Connection, users: Sequence[int] | None = None, *, playcounts: bool = False
) -> Tastes:
    """What all users listen to now, or only those with the ids *users*; the playcounts only if they are wanted."""
    if users is None:
        bring_up_to_date(connection)
    columns = "user_id, artists" + (", playcounts" if playcounts else "")
    rows = connection.execute(
        f"""
        SELECT {columns} FROM tastes
        WHERE octet_length(artists) > 0 AND (%(users)s::integer[] IS NULL OR user_id = ANY(%(users)s))
        ORDER BY user_id
        """,  # noqa: S608  (constants)
        {"users": None if users is None else list(users)},
        binary=True,
    ).fetchall()
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row[1]) // 4 for row in rows], out=starts[1:])
    return Tastes(
        np.array([row[0] for row in rows], np.int32),
        starts,
        _integers([row[1] for row in rows]),
        _integers([row[2] for row in rows] if playcounts else []),
    )


def users_sharing(
    connection: psycopg.Connection, choices: Mapping[int, int], least: int, limit: int | None
) -> list[int]:
    """Ids of users with *least* or more of the choices: *choices* has the ids of artists, and which choice each is of.

    Those with most come first, and of several with as many those whose lists are shorter: it is more of what they like.
    """
    values = {"artists": list(choices), "choices": list(choices.values()), "least": least, "limit": limit}
    # Two spellings of one choice count once; where each has one, not to look for them takes a third of the time.
    count = "count(*)" if len(set(choices.values())) == len(choices) else "count(DISTINCT a.choice)"
    return [user for (user,) in _indexed(connection, _SHARING.format(count=count), values)]


def count_listeners(connection: psycopg.Connection, artists: Sequence[int]) -> dict[int, int]:
    """How many users listen to each of *artists*, those whom nobody listens to left out."""
    return dict(_indexed(connection, _LISTENERS, [list(artists)]))


def artist_names(connection: psycopg.Connection, ids: Sequence[int]) -> dict[int, str]:
    """The names of the artists with *ids*."""
    return dict(connection.execute("SELECT id, name FROM artists WHERE id = ANY(%s)", [list(ids)]).fetchall())


def _indexed(connection: psycopg.Connection, query: str, values: Any) -> list[Any]:
    """Rows of a *query* by the index: the planner does not know that without it each list is read from elsewhere."""
    with connection.transaction():
        connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
        rows = connection.execute(query, values).fetchall()
        connection.execute("SELECT set_config('enable_seqscan', 'on', true)")
    return rows


def _integers(texts: Sequence[bytes]) -> NDArray[np.int32]:
    return np.frombuffer(b"".join(texts), ">i4").astype(np.int32)
