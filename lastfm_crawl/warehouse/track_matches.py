"""Tracks of Last.fm and those of the catalogue: which are to be looked for, and what was found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.keys import track_key
from lastfm_crawl.matching.rows import Record
from lastfm_crawl.matching.tracks import TrackCandidate, match_track
from lastfm_crawl.warehouse.artist_matches import artist_id
from lastfm_crawl.warehouse.matches import JUST_SEARCHED, Track, save_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from lastfm_crawl.items import SpotifyTrack
    from lastfm_crawl.matching.candidates import Index

#: Tracks that are matched in one transaction.
CHUNK = 5_000
_COLUMNS = "id, name, artist_names, album_name, album_type, duration_ms, release_date, isrc, popularity"


class WholeTracks(NamedTuple):
    """The catalogue's tracks by what they are called; *ids* are in the order of the texts."""

    ids: Sequence[str]
    texts: Index


def whole_tracks(connection: psycopg.Connection) -> WholeTracks:
    """The index of all tracks of the catalogue."""
    from lastfm_crawl.matching.candidates import Index, text_of  # noqa: PLC0415  (a second to import)

    ids: list[str] = []
    texts: list[str] = []
    with connection.cursor(name="catalogue") as cursor:
        cursor.itersize = 20_000
        cursor.execute("SELECT id, artist_names[1], name FROM spotify_tracks ORDER BY id")
        for identity, artist, title in cursor:
            ids.append(identity)
            texts.append(text_of(artist, title))
    return WholeTracks(ids, Index(texts))


def match_tracks(
    connection: psycopg.Connection, whole: WholeTracks, tracks: Sequence[Track], *, catalogue: int = 0
) -> int:
    """Match *tracks*: with those of one key first, and what is left with the most alike; how many are believed."""
    from lastfm_crawl.matching.candidates import text_of  # noqa: PLC0415  (a second to import)

    keys = {track.id: track_key(track.artist, track.title) for track in tracks}
    equal: dict[str, list[TrackCandidate]] = {}
    statement = f"SELECT key, {_COLUMNS} FROM spotify_tracks WHERE key = ANY(%s)"  # noqa: S608  (a constant)
    rows = connection.execute(statement, [list(set(keys.values()))])
    for key, *row in rows:
        equal.setdefault(key, []).append(_candidate(*row))
    matches = {t.id: match_track(Record(t.title, t.artist), equal.get(keys[t.id], ())) for t in tracks}
    left = [track for track in tracks if matches[track.id].band != "accept"]
    places = [
        {whole.ids[candidate.place] for candidate in found}
        for found in whole.texts.query(text_of(track.artist, track.title) for track in left)
    ]
    alike = _candidates(connection, set().union(*places))
    for track, ids in zip(left, places, strict=True):
        candidates = [alike[identity] for identity in sorted(ids)]
        matches[track.id] = match_track(Record(track.title, track.artist), candidates)
    return save_matches(connection, "track", matches, "catalogue", catalogue=catalogue)


def judge_search(
    connection: psycopg.Connection, artist: str, title: str, found: Sequence[SpotifyTrack], searched_at: float
) -> None:
    """What a search for *title* by *artist*, answered with *found*, means for the track of that name.

    A replay may come to the search before it comes to those who play the track: it is added then.
    """
    candidates = [
        _candidate(
            t.id,
            t.name,
            t.artist_names,
            t.album_name,
            t.album_type,
            t.duration_ms,
            t.release_date,
            t.isrc,
            t.popularity,
        )
        for t in found
        if t.artist_names
    ]
    by = artist_id(connection, artist)
    connection.execute("INSERT INTO tracks (artist_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", [by, title])
    row = connection.execute("SELECT id FROM tracks WHERE artist_id = %s AND name = %s", [by, title]).fetchone()
    assert row is not None  # it is there now  # noqa: S101
    match = match_track(Record(title, artist), candidates)
    save_matches(connection, "track", {row[0]: match}, "search", searched_at=searched_at)


def tracks_to_search(connection: psycopg.Connection, now: float) -> list[int]:
    """Ids of the tracks without a match that is believed, and not just searched for, most played first."""
    rows = connection.execute(
        f"""
        WITH plays AS (
            SELECT track_id, sum(n) AS n
            FROM (SELECT track_id, count(*) AS n FROM scrobbles GROUP BY track_id
                  UNION ALL SELECT track_id, sum(playcount) FROM user_tracks GROUP BY track_id) counted
            GROUP BY track_id)
        SELECT t.id FROM tracks t
        LEFT JOIN track_matches m ON m.track_id = t.id
        LEFT JOIN plays p ON p.track_id = t.id
        WHERE (m.band IS NULL OR m.band <> 'accept') AND NOT {JUST_SEARCHED}
        ORDER BY p.n DESC NULLS LAST, t.id
        """,  # noqa: S608  (a constant)
        {"now": datetime.fromtimestamp(now, UTC)},
    )
    return [row for (row,) in rows]


class Asked(NamedTuple):
    """A track to search for, and the seconds since the last search that was loaded; None: there was none."""

    artist: str
    title: str
    searched: float | None


def tracks_to_ask(connection: psycopg.Connection, ids: Sequence[int], now: float) -> list[Asked]:
    """The tracks with *ids*, in their order."""
    rows = connection.execute(
        """
        SELECT a.name, t.name, %(now)s - extract(epoch FROM m.searched_at)::float8
        FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS wanted (id, place)
        JOIN tracks t USING (id) JOIN artists a ON a.id = t.artist_id
        LEFT JOIN track_matches m ON m.track_id = t.id ORDER BY wanted.place
        """,
        {"ids": list(ids), "now": now},
    )
    return [Asked(*row) for row in rows]


def ids_without_details(connection: psycopg.Connection) -> list[str]:
    """Spotify ids that are believed to be a track's, of which neither recording code nor duration is known, and that
    Spotify has not said to be nobody's.
    """
    rows = connection.execute(
        """
        SELECT DISTINCT spotify_id FROM track_matches m
        WHERE band = 'accept'
          AND NOT EXISTS (SELECT FROM spotify_tracks s
                          WHERE s.id = m.spotify_id AND (s.isrc IS NOT NULL OR s.duration_ms IS NOT NULL))
          AND NOT EXISTS (SELECT FROM spotify_aliases a JOIN spotify_tracks s ON s.id = a.id
                          WHERE a.asked_id = m.spotify_id)
          AND NOT EXISTS (SELECT FROM lookups l
                          WHERE l.method = 'spotify.track' AND l.subject = m.spotify_id AND l.status = 'not_found')
        ORDER BY 1
        """
    )
    return [row for (row,) in rows]


def _candidates(connection: psycopg.Connection, ids: Iterable[str]) -> dict[str, TrackCandidate]:
    statement = f"SELECT {_COLUMNS} FROM spotify_tracks WHERE id = ANY(%s)"  # noqa: S608  (a constant)
    rows = connection.execute(statement, [list(ids)])
    return {row[0]: _candidate(*row) for row in rows}


def _candidate(
    identity: str, title: str, artists: Sequence[str], album: str | None, album_type: str | None,
    duration_ms: int | None, released: str | None, isrc: str | None, popularity: int | None,
) -> TrackCandidate:  # fmt: skip
    year = int(released[:4]) if released and released[:4].isdecimal() else None
    duration = None if duration_ms is None else duration_ms / 1000
    return TrackCandidate(
        identity, title, tuple(artists), album or "", album_type or "", duration, year or None, isrc, popularity
    )
