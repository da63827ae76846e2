"""Artists of Last.fm and those of the catalogue: which are to be looked for, and what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.artists import credit, key
from lastfm_crawl.matching.names import NameIndex
from lastfm_crawl.warehouse.catalogue import artists_with_keys
from lastfm_crawl.warehouse.matches import JUST_SEARCHED, Artist, save_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from lastfm_crawl.items import SpotifyArtist


def artists_named(connection: psycopg.Connection, ids: Sequence[int]) -> list[Artist]:
    """The artists with *ids*, in their order."""
    rows = connection.execute(
        """
        SELECT a.id, a.name FROM unnest(%s::integer[]) WITH ORDINALITY AS wanted (id, place)
        JOIN artists a USING (id) ORDER BY wanted.place
        """,
        [list(ids)],
    )
    return [Artist(*row) for row in rows]


def match_equals(connection: psycopg.Connection, artists: Sequence[Artist]) -> int:
    """Match *artists* with those of the catalogue that are equal in some form; how many of them are believed.

    What is left gets its row as well, so that it is not looked for again: it wants the whole catalogue.
    """
    keys: set[str] = set()

    def ask(text: str) -> bool:
        keys.add(key(text))
        return False  # so that every text that might be an artist is asked for

    for artist in artists:
        ask(artist.name)
        for part in credit(artist.name, ask):
            for text in (part,) if isinstance(part, str) else part:
                ask(text)
    return match_artists(connection, index_of(artists_with_keys(connection, list(keys))), artists, fuzzy=False)


def index_of(artists: Sequence[SpotifyArtist]) -> NameIndex:
    """The index of *artists*."""
    listeners = [_listeners(artist.popularity) for artist in artists]
    return NameIndex([artist.id for artist in artists], [artist.name for artist in artists], listeners)


def _listeners(popularity: int | None) -> float:
    """A popularity of 0 to 100 as the number of people that matching compares: the scale is one of magnitudes."""
    return 10 ** ((popularity or 0) / 20)


def whole_index(connection: psycopg.Connection) -> NameIndex:
    """The index of the whole catalogue: half a kilobyte an artist."""
    ids: list[str] = []
    names: list[str] = []
    listeners: list[float] = []
    with connection.cursor(name="catalogue") as cursor:
        cursor.itersize = 50_000
        cursor.execute("SELECT id, name, coalesce(popularity, 0) FROM spotify_artists ORDER BY id")
        for identity, name, popularity in cursor:
            ids.append(identity)
            names.append(name)
            listeners.append(_listeners(popularity))
    return NameIndex(ids, names, listeners)


def match_artists(
    connection: psycopg.Connection,
    index: NameIndex,
    artists: Sequence[Artist],
    *,
    fuzzy: bool = True,
    catalogue: int = 0,
) -> int:
    """Match *artists* against *index*, with typos if *fuzzy*; how many of them are believed."""
    found = index.match([artist.name for artist in artists], fuzzy=fuzzy)
    matches = {artist.id: match for artist, match in zip(artists, found, strict=True)}
    return save_matches(connection, "artist", matches, "catalogue", catalogue=catalogue)


def judge_search(
    connection: psycopg.Connection, name: str, candidates: Sequence[SpotifyArtist], searched_at: float
) -> None:
    """What a search for *name*, answered with *candidates*, means for the artist of that name.

    A replay may come to the search before it comes to those who play the artist: it is added then.
    """
    (match,) = index_of(candidates).match([name])
    save_matches(connection, "artist", {artist_id(connection, name): match}, "search", searched_at=searched_at)


def artist_id(connection: psycopg.Connection, name: str) -> int:
    """The id of the artist with *name*, who is added if there is none yet."""
    connection.execute("INSERT INTO artists (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
    row = connection.execute("SELECT id FROM artists WHERE name = %s", [name]).fetchone()
    assert row is not None  # it is there now  # noqa: S101
    return int(row[0])


def artists_to_search(connection: psycopg.Connection, now: float) -> list[int]:
    """Ids of the artists without a match that is believed, and not just searched for, most played first."""
    rows = connection.execute(
        f"""
        WITH plays AS (SELECT artist_id, sum(playcount) AS n FROM user_artists GROUP BY artist_id)
        SELECT a.id FROM artists a
        LEFT JOIN artist_matches m ON m.artist_id = a.id
        LEFT JOIN plays p ON p.artist_id = a.id
        WHERE (m.band IS NULL OR m.band <> 'accept') AND NOT {JUST_SEARCHED}
        ORDER BY p.n DESC NULLS LAST, a.id
        """,  # noqa: S608  (a constant)
        {"now": datetime.fromtimestamp(now, UTC)},
    )
    return [row for (row,) in rows]


class Asked(NamedTuple):
    """An artist to search for, and the seconds since the last search that was loaded; None: there was none."""

    name: str
    searched: float | None


def artists_to_ask(connection: psycopg.Connection, ids: Sequence[int], now: float) -> list[Asked]:
    """The artists with *ids*, in their order."""
    rows = connection.execute(
        """
        SELECT a.name, %(now)s - extract(epoch FROM m.searched_at)::float8
        FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS wanted (id, place)
        JOIN artists a USING (id) LEFT JOIN artist_matches m ON m.artist_id = a.id ORDER BY wanted.place
        """,
        {"ids": list(ids), "now": now},
    )
    return [Asked(*row) for row in rows]


def ids_without_row(connection: psycopg.Connection) -> list[str]:
    """Spotify ids that are believed to be an artist's, of which no name is known (any more)."""
    rows = connection.execute(
        """
        SELECT DISTINCT spotify_id FROM artist_matches m
        WHERE band = 'accept' AND NOT EXISTS (SELECT FROM spotify_artists s WHERE s.id = m.spotify_id) ORDER BY 1
        """
    )
    return [row for (row,) in rows]
