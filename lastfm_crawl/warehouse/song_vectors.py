"""The similarity vectors of songs: from the plays of all users into ``ml.song_vectors``."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

_CHUNK = 50_000
# By keys and not by ids, which depend on the order in which things were loaded.
_PLAYS = """
SELECT dense_rank() OVER (ORDER BY u.key) - 1, s.place, p.playcount
FROM (SELECT g.user_id, t.song_id, sum(g.playcount) AS playcount
      FROM listening g JOIN song_tracks t USING (track_id) GROUP BY g.user_id, t.song_id) p
JOIN users u ON u.id = p.user_id
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM songs) s ON s.id = p.song_id
WHERE p.playcount > 0
ORDER BY u.key, s.place
"""


def build_vectors(connection: psycopg.Connection, now: float) -> int:
    """Make the vectors of all songs anew, in the transaction of whoever calls; how many songs have one."""
    # A second to import, and the arithmetic in one thread: its order is part of the result.
    import numpy as np  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from lastfm_crawl.matching.cooccurrence import METHOD, song_vectors  # noqa: PLC0415

    connection.execute("LOCK TABLE ml.song_vectors IN SHARE ROW EXCLUSIVE MODE")
    ids = [identity for (identity,) in connection.execute("SELECT id FROM songs ORDER BY id")]
    users, songs, plays = array("i"), array("i"), array("d")
    with connection.cursor(name="plays") as cursor:
        cursor.execute(_PLAYS)
        while chunk := cursor.fetchmany(_CHUNK):
            for user, song, count in chunk:
                users.append(user)
                songs.append(song)
                plays.append(count)
    with threadpool_limits(1):
        vectors = song_vectors(
            np.frombuffer(users, np.int32), np.frombuffer(songs, np.int32), np.frombuffer(plays, np.float64), len(ids)
        )
    (kind,) = connection.execute(
        """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
           WHERE attrelid = 'ml.song_vectors'::regclass AND attname = 'vector'"""
    ).fetchone() or ("",)
    opening, closing = "{}" if kind == "real[]" else "[]"
    connection.execute("DELETE FROM ml.song_vectors")
    at = datetime.fromtimestamp(now, UTC)
    written = 0
    copying = sql.SQL("COPY ml.song_vectors (song_id, vector, method, built_at) FROM STDIN")
    with connection.cursor() as writer, writer.copy(copying) as copy:
        for identity, vector in zip(ids, vectors, strict=True):
            if vector.any():
                text = ",".join(f"{number:.6g}" for number in vector.tolist())
                copy.write_row((identity, f"{opening}{text}{closing}", METHOD, at))
                written += 1
    return written
