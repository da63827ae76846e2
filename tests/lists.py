"""Lists of top artists, put into a warehouse by SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import psycopg

from lastfm_crawl.sandbox import hetrec_world

#: Artists and playcounts, the most played first.
List = Iterable[tuple[str, int]]


def list_artists(connection: psycopg.Connection, lists: Mapping[str, List], *, page: int = 1, pages: int = 1) -> None:
    """Each user of *lists* is a member and has this page of the list of all times."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS rows (key text, rank integer, artist text, plays integer)")
    connection.execute("TRUNCATE rows")
    for user in lists:
        connection.execute(
            """INSERT INTO users (key, name, playcount, discovered_at) VALUES (%s, %s, 1000, now())
               ON CONFLICT DO NOTHING""",
            [user.lower(), user],
        )
    with connection.cursor().copy("COPY rows FROM STDIN") as copy:
        for user, artists in lists.items():
            for rank, (artist, plays) in enumerate(artists, 1 + 1000 * (page - 1)):
                copy.write_row((user.lower(), rank, artist, plays))
    connection.execute("INSERT INTO artists (name) SELECT DISTINCT artist FROM rows ON CONFLICT DO NOTHING")
    connection.execute(
        """INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at, bytes)
           SELECT id, 'user.getTopArtists', 'limit=1000,period=overall', %s, %s, 0, 0, 0, clock_timestamp(), 1
           FROM users WHERE key = ANY(%s)
           ON CONFLICT (user_id, method, params, page)
           DO UPDATE SET fetched_at = excluded.fetched_at, pages = excluded.pages""",
        [page, pages, [user.lower() for user in lists]],
    )
    fetched = """rows JOIN users u USING (key)
                 JOIN fetches f ON f.user_id = u.id AND f.method = 'user.getTopArtists' AND f.page = %(page)s"""
    connection.execute("ANALYZE rows, users, fetches, artists")
    connection.execute(f"DELETE FROM user_artists WHERE fetch_id IN (SELECT f.id FROM {fetched})", {"page": page})
    connection.execute(
        f"""INSERT INTO user_artists (fetch_id, artist_id, rank, playcount)
            SELECT f.id, a.id, rows.rank, rows.plays FROM {fetched} JOIN artists a ON a.name = rows.artist""",
        {"page": page},
    )
    connection.commit()


def hetrec_lists(folder: Path) -> dict[str, List]:
    """The lists of the users of HetRec-2011 under the names ``user N``, with the artists' names."""
    return {f"user {name}": list(rows) for name, rows in hetrec_world(folder).artists.items()}
