"""The catalogue that names are looked up in: rows of any source into ``spotify_artists`` and ``spotify_tracks``."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.items import SpotifyArtist, SpotifyTrack, name_fault
from lastfm_crawl.matching.artists import key
from lastfm_crawl.matching.keys import track_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_spotify_artists (LIKE spotify_artists) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_spotify_tracks (LIKE spotify_tracks) ON COMMIT DELETE ROWS;
"""
# What a restricted answer leaves out does not take away what is known; an older row changes nothing.
_SAVE_ARTISTS = """
INSERT INTO spotify_artists (id, name, key, popularity, followers, source, fetched_at)
SELECT DISTINCT ON (id) id, name, key, popularity, followers, source, fetched_at FROM stage_spotify_artists
ORDER BY id, fetched_at DESC, popularity DESC NULLS LAST, name
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, key = excluded.key, source = excluded.source, fetched_at = excluded.fetched_at,
    popularity = coalesce(excluded.popularity, spotify_artists.popularity),
    followers = coalesce(excluded.followers, spotify_artists.followers)
WHERE spotify_artists.fetched_at <= excluded.fetched_at
"""
_SAVE_TRACKS = """
INSERT INTO spotify_tracks
SELECT DISTINCT ON (id) * FROM stage_spotify_tracks ORDER BY id, fetched_at DESC, popularity DESC NULLS LAST, name
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, key = excluded.key, artist_ids = excluded.artist_ids, artist_names = excluded.artist_names,
    source = excluded.source, fetched_at = excluded.fetched_at,
    album_id = coalesce(excluded.album_id, spotify_tracks.album_id),
    album_name = coalesce(excluded.album_name, spotify_tracks.album_name),
    album_type = coalesce(excluded.album_type, spotify_tracks.album_type),
    release_date = coalesce(excluded.release_date, spotify_tracks.release_date),
    release_precision = coalesce(excluded.release_precision, spotify_tracks.release_precision),
    duration_ms = coalesce(excluded.duration_ms, spotify_tracks.duration_ms),
    explicit = coalesce(excluded.explicit, spotify_tracks.explicit),
    track_number = coalesce(excluded.track_number, spotify_tracks.track_number),
    disc_number = coalesce(excluded.disc_number, spotify_tracks.disc_number),
    isrc = coalesce(excluded.isrc, spotify_tracks.isrc),
    popularity = coalesce(excluded.popularity, spotify_tracks.popularity)
WHERE spotify_tracks.fetched_at <= excluded.fetched_at
"""


class Saved(NamedTuple):
    """How many rows were taken, and how many were not, by reason."""

    rows: int
    skipped: Counter[str]


def save_artists(
    cursor: psycopg.Cursor[Any], artists: Iterable[SpotifyArtist], source: str, fetched_at: float
) -> Saved:
    """Add *artists* (``source``: catalogue or api), or bring them up to date."""
    when = datetime.fromtimestamp(fetched_at, UTC)
    skipped: Counter[str] = Counter()
    rows = 0
    cursor.execute(_STAGING)
    with cursor.copy("COPY stage_spotify_artists FROM STDIN") as copy:
        for artist in artists:
            if fault := _fault(artist.id, artist.name):
                skipped[fault] += 1
                continue
            rows += 1
            popularity = _within(artist.popularity, 100)
            followers = _within(artist.followers, 2**63 - 1)
            copy.write_row((artist.id, artist.name, key(artist.name), popularity, followers, source, when))
    cursor.execute(_SAVE_ARTISTS)
    return Saved(rows, skipped)


def save_tracks(cursor: psycopg.Cursor[Any], tracks: Iterable[SpotifyTrack], source: str, fetched_at: float) -> Saved:
    """Add *tracks* (``source``: catalogue or api), or bring them up to date."""
    when = datetime.fromtimestamp(fetched_at, UTC)
    skipped: Counter[str] = Counter()
    rows = 0
    cursor.execute(_STAGING)
    with cursor.copy("COPY stage_spotify_tracks FROM STDIN") as copy:
        for track in tracks:
            fault = _fault(track.id, track.name) or next(filter(None, map(name_fault, track.artist_names)), None)
            if fault or not track.artist_names:
                skipped[fault or "no artist"] += 1
                continue
            rows += 1
            copy.write_row((
                track.id, track.name, track_key(track.artist_names[0], track.name), list(track.artist_ids),
                list(track.artist_names), _text(track.album_id), _text(track.album_name), _text(track.album_type),
                _text(track.release_date), _text(track.release_precision), _within(track.duration_ms, 2**31 - 1),
                track.explicit, _within(track.track_number, 2**31 - 1), _within(track.disc_number, 2**31 - 1),
                _text(track.isrc), _within(track.popularity, 100), source, when,
            ))  # fmt: skip
    cursor.execute(_SAVE_TRACKS)
    return Saved(rows, skipped)


def artists_with_keys(connection: psycopg.Connection, keys: Sequence[str]) -> list[SpotifyArtist]:
    """The artists of the catalogue with one of *keys*."""
    rows = connection.execute(
        "SELECT id, name, popularity, followers FROM spotify_artists WHERE key = ANY(%s)", [list(keys)]
    )
    return [SpotifyArtist(*row) for row in rows]


def _fault(identity: str, name: str) -> str | None:
    if not identity or "\0" in identity or len(identity) > 200:
        return "no id"
    return name_fault(name)


def _within(number: int | None, most: int) -> int | None:
    return number if number is not None and 0 <= number <= most else None


def _text(text: str | None) -> str | None:
    return text if text and not name_fault(text) else None
