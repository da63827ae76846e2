"""The artists of Last.fm by the key that all spellings of a name have in common, for those whom people name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.matching.artists import key
from lastfm_crawl.matching.normalise import NORMALISER_VERSION
from lastfm_crawl.warehouse.matches import Artist

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg


def add_keys(connection: psycopg.Connection) -> None:
    """Give every artist a key who has none yet, or one of an older normalisation."""
    row = connection.execute("SELECT normaliser FROM artist_keys LIMIT 1").fetchone()
    if row is not None and row[0] != NORMALISER_VERSION:
        connection.execute("DELETE FROM artist_keys")
    artists = connection.execute(
        """
        SELECT a.id, a.name FROM artists a
        WHERE NOT EXISTS (SELECT FROM artist_keys k WHERE k.artist_id = a.id)
        """
    ).fetchall()
    if not artists:
        return
    # Another process may have added some of them meanwhile.
    connection.execute(
        'CREATE TEMP TABLE IF NOT EXISTS stage_keys (artist_id integer, key text COLLATE "C") ON COMMIT DELETE ROWS'
    )
    with connection.cursor().copy("COPY stage_keys FROM STDIN") as copy:
        for identity, name in artists:
            copy.write_row((identity, key(name)))
    connection.execute(
        """
        INSERT INTO artist_keys (artist_id, key, normaliser)
        SELECT artist_id, key, %s FROM stage_keys ORDER BY artist_id ON CONFLICT DO NOTHING
        """,
        [NORMALISER_VERSION],
    )
    connection.execute("TRUNCATE stage_keys")


def artists_keyed(connection: psycopg.Connection, keys: Sequence[str]) -> list[Artist]:
    """The artists with one of *keys*, the oldest first."""
    rows = connection.execute(
        "SELECT a.id, a.name FROM artist_keys k JOIN artists a ON a.id = k.artist_id WHERE k.key = ANY(%s) ORDER BY 1",
        [list(keys)],
    )
    return [Artist(*row) for row in rows]


def all_artists(connection: psycopg.Connection) -> list[Artist]:
    """Every artist, the oldest first."""
    return [Artist(*row) for row in connection.execute("SELECT id, name FROM artists ORDER BY id")]
