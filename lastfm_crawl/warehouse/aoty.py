"""What albumoftheyear.org says of albums, into the warehouse: pages that were fetched, saved pages, tables, lists."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import AotyAlbum, AotyAlbumPage, AotyListPage
from lastfm_crawl.matching.artists import key, main_artist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from lastfm_crawl.items import AotyRow, Lookup

# From the source that says least of an album to the one that says most: none replaces one that says more.
_SOURCES = "ARRAY['list', 'csv', 'page']"

_SAVE_ALBUM = f"""
INSERT INTO aoty_albums AS a (
    id, url, title, artists, artist_key, release_date, format, label, critic_score, critic_score_exact,
    critic_count, user_score, user_score_exact, user_count, genres, secondary_genres, tags, origins, rejected, era,
    source, fetched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE
SET url = excluded.url, title = excluded.title, artists = excluded.artists, artist_key = excluded.artist_key,
    release_date = excluded.release_date, format = excluded.format, label = excluded.label,
    critic_score = excluded.critic_score, critic_score_exact = excluded.critic_score_exact,
    critic_count = excluded.critic_count, user_score = excluded.user_score,
    user_score_exact = excluded.user_score_exact, user_count = excluded.user_count, genres = excluded.genres,
    secondary_genres = excluded.secondary_genres, tags = excluded.tags, origins = excluded.origins,
    rejected = excluded.rejected, era = excluded.era, source = excluded.source, fetched_at = excluded.fetched_at
WHERE (array_position({_SOURCES}, a.source), a.fetched_at)
   <= (array_position({_SOURCES}, excluded.source), excluded.fetched_at)
"""  # noqa: S608  (a constant)
_SAVE_TRACK = """
INSERT INTO aoty_tracks (album_id, place, disc, number, title, seconds, rating, ratings, featuring, note)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (album_id, place) DO UPDATE
SET disc = excluded.disc, number = excluded.number, title = excluded.title, seconds = excluded.seconds,
    rating = excluded.rating, ratings = excluded.ratings, featuring = excluded.featuring, note = excluded.note
"""


def load_answers(cursor: psycopg.Cursor[Any], lookups: Sequence[Lookup]) -> None:
    """The albums of *lookups*, pages and lists of the site."""
    for lookup in lookups:
        if isinstance(lookup, AotyAlbumPage) and lookup.album:
            save_albums(cursor, [lookup.album], "page", lookup.fetched_at)
        elif isinstance(lookup, AotyListPage):
            save_albums(cursor, map(of_row, lookup.rows), "list", lookup.fetched_at)


def save_albums(cursor: psycopg.Cursor[Any], albums: Iterable[AotyAlbum], source: str, fetched_at: float) -> None:
    """Keep *albums* of *source* (``list``, ``csv`` or ``page``), as they were at *fetched_at* (seconds since 1970)."""
    at = datetime.fromtimestamp(fetched_at, UTC)
    # In one order, so that two loaders wait for each other instead of deadlocking.
    rows = sorted({album.id: album for album in albums}.values(), key=lambda album: album.id)
    cursor.executemany(_SAVE_ALBUM, [_values(album, source, at) for album in rows])
    listed = [album for album in rows if album.tracks]
    if not listed:
        return
    # Only of those that were written: an older page does not bring back an older list.
    cursor.execute(
        "SELECT id FROM aoty_albums WHERE id = ANY(%s) AND source = %s AND fetched_at = %s",
        [[album.id for album in listed], source, at],
    )
    written = {album for (album,) in cursor.fetchall()}
    for album in listed:
        if album.id in written:
            # What stays keeps its row, for a match may point to it.
            cursor.execute("DELETE FROM aoty_tracks WHERE album_id = %s AND place > %s", [album.id, len(album.tracks)])
            cursor.executemany(
                _SAVE_TRACK,
                [
                    (
                        album.id, place, track.disc, track.number, track.title, track.seconds, track.rating,
                        track.ratings, list(track.featuring), track.note,
                    )
                    for place, track in enumerate(album.tracks, 1)
                ],
            )  # fmt: skip


def _values(album: AotyAlbum, source: str, at: datetime) -> tuple[Any, ...]:
    artist = album.artists[0] if album.artists else ""
    return (
        album.id, album.url, album.title, list(album.artists), key(main_artist(artist)), album.release_date,
        album.format, album.label, album.critic_score, album.critic_score_exact, album.critic_count,
        album.user_score, album.user_score_exact, album.user_count, list(album.genres),
        list(album.secondary_genres), list(album.tags), json.dumps(dict(album.origins)), list(album.rejected),
        None if album.era == "csv" else album.era, source, at,
    )  # fmt: skip


def of_row(row: AotyRow) -> AotyAlbum:
    """What a row of a list says of its album."""
    return AotyAlbum(
        row.id,
        row.url,
        row.title,
        (row.artist,) if row.artist else (),
        critic_score=row.critic_score,
        critic_count=row.critic_count,
        user_score=row.user_score,
        user_count=row.user_count,
        release_date=str(row.year) if row.year else None,
        format=row.type,
    )
