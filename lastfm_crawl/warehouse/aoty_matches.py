"""Albums and tracks of Last.fm and those of albumoftheyear.org: which is which, and whose page is to be fetched."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.album_tracks import ListedTrack, match_listed
from lastfm_crawl.matching.albums import AlbumCandidate, match_album
from lastfm_crawl.matching.artists import key, main_artist
from lastfm_crawl.matching.normalise import NORMALISER_VERSION
from lastfm_crawl.warehouse.most_played import among_most_played

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import psycopg

    from lastfm_crawl.items import AotyRow
    from lastfm_crawl.matching.names import Match

#: Albums or tracks that are matched in one transaction.
CHUNK = 5_000
#: Their words for kinds of albums, in MusicBrainz's.
_TYPES = {"lp": "Album", "album": "Album", "single": "Single", "ep": "EP"}
_KINDS = {"live": "Live", "compilation": "Compilation", "demo": "Demo", "dj mix": "DJ-mix"}

_SAVE_ALBUM = """
INSERT INTO aoty_album_matches AS m
    (album_id, aoty_id, band, tier, score, runner_up, evidence, normaliser, matched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (album_id) DO UPDATE
SET aoty_id = excluded.aoty_id, band = excluded.band, tier = excluded.tier, score = excluded.score,
    runner_up = excluded.runner_up, evidence = excluded.evidence, normaliser = excluded.normaliser,
    matched_at = excluded.matched_at
"""
_SAVE_TRACK = """
INSERT INTO aoty_track_matches AS m
    (track_id, aoty_id, place, match_type, confidence, score, reason, normaliser, matched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (track_id) DO UPDATE
SET aoty_id = excluded.aoty_id, place = excluded.place, match_type = excluded.match_type,
    confidence = excluded.confidence, score = excluded.score, reason = excluded.reason,
    normaliser = excluded.normaliser, matched_at = excluded.matched_at
"""


class PlayedAlbum(NamedTuple):
    """An album of Last.fm."""

    id: int
    artist: str
    title: str


def match_albums_after(connection: psycopg.Connection, after: int) -> list[int]:
    """Match the next albums with an id above *after* with those of the site that are known; their ids.

    An album whose artist the site's lists do not have gets no row.
    """
    rows = connection.execute(
        """
        SELECT al.id, a.name, al.name FROM albums al JOIN artists a ON a.id = al.artist_id
        WHERE al.id > %s ORDER BY al.id LIMIT %s
        """,
        [after, CHUNK],
    )
    albums = [PlayedAlbum(*row) for row in rows]
    keys = {album.id: key(main_artist(album.artist)) for album in albums}
    candidates: dict[str, list[AlbumCandidate]] = defaultdict(list)
    for artist_key, *values in connection.execute(
        "SELECT artist_key, id, title, artists, release_date, format FROM aoty_albums WHERE artist_key = ANY(%s)"
        " ORDER BY id",
        [list(set(keys.values()))],
    ):
        candidates[artist_key].append(_candidate(*values))
    found = [
        (album, match_album(album.artist, album.title, candidates[keys[album.id]]))
        for album in albums
        if candidates[keys[album.id]]
    ]
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.executemany(
            _SAVE_ALBUM,
            [
                (
                    album.id, match.id and int(match.id), match.band, match.tier, match.score, match.runner_up,
                    match.evidence, NORMALISER_VERSION, now,
                )
                for album, match in found
            ],
        )  # fmt: skip
    return [album.id for album in albums]


class Played:
    """The played albums without a page, to look the rows of lists up in; in memory by artist."""

    def __init__(self, albums: Iterable[PlayedAlbum]) -> None:
        self._by_artist: dict[str, list[PlayedAlbum]] = defaultdict(list)
        for album in albums:
            self._by_artist[key(main_artist(album.artist))].append(album)

    def wanted(self, rows: Sequence[AotyRow]) -> Iterator[AotyRow]:
        """Those of *rows* that are one of the albums, each album once."""
        by_artist: dict[str, list[AotyRow]] = defaultdict(list)
        for row in rows:
            by_artist[key(main_artist(row.artist))].append(row)
        for artist, some in by_artist.items():
            left = self._by_artist.get(artist, [])
            candidates = [_candidate(row.id, row.title, [row.artist], str(row.year or ""), row.type) for row in some]
            by_id = {str(row.id): row for row in some}
            matched = {album: match for album in left if (match := _accepted(album, candidates))}
            self._by_artist[artist] = [album for album in left if album not in matched]
            for identity in dict.fromkeys(str(match.id) for match in matched.values()):
                yield by_id[identity]


def albums_without_page(connection: psycopg.Connection, top: int | None = None) -> list[PlayedAlbum]:
    """Played albums of which no page was read, of the *top* most played ones or of all."""
    rows = connection.execute(
        """
        SELECT al.id, a.name, al.name FROM albums al JOIN artists a ON a.id = al.artist_id
        WHERE NOT EXISTS (SELECT FROM aoty_album_matches m JOIN aoty_albums s ON s.id = m.aoty_id
                          WHERE m.album_id = al.id AND m.band = 'accept' AND s.source = 'page')
        """
    )
    albums = [PlayedAlbum(*row) for row in rows]
    chosen = set(among_most_played(connection, "albums", [album.id for album in albums], top))
    return [album for album in albums if album.id in chosen]


def pages_left(connection: psycopg.Connection, before: datetime) -> list[int]:
    """Ids of the site's albums that were played and have no page newer than *before*, most played first."""
    rows = connection.execute(
        """
        WITH plays AS (
            SELECT r.album_id, count(*) AS n FROM scrobbles s JOIN recordings r ON r.id = s.recording_id
            WHERE r.album_id <> 0 GROUP BY r.album_id)
        SELECT s.id FROM aoty_album_matches m JOIN aoty_albums s ON s.id = m.aoty_id
        LEFT JOIN plays p ON p.album_id = m.album_id
        WHERE m.band = 'accept' AND (s.source <> 'page' OR s.fetched_at < %s)
          AND NOT EXISTS (SELECT FROM lookups l WHERE l.method = 'aoty.album' AND l.subject = s.id::text
                          AND l.status = 'not_found' AND l.fetched_at >= %s)
        GROUP BY s.id ORDER BY coalesce(sum(p.n), 0) DESC, s.id
        """,
        [before, before],
    )
    return [row for (row,) in rows]


def of_most_played(connection: psycopg.Connection, ids: Sequence[int], top: int | None) -> Sequence[int]:
    """Those of the site's albums with *ids* that are one of the *top* most played albums (None: all of them)."""
    if top is None or not ids:
        return ids
    rows = connection.execute(
        "SELECT album_id, aoty_id FROM aoty_album_matches WHERE band = 'accept' AND aoty_id = ANY(%s)", [list(ids)]
    ).fetchall()
    chosen = set(among_most_played(connection, "albums", [album for album, _ in rows], top))
    wanted = {identity for album, identity in rows if album in chosen}
    return [identity for identity in ids if identity in wanted]


def urls_of(connection: psycopg.Connection, ids: Sequence[int]) -> list[str]:
    """The addresses of the albums with *ids*, in their order."""
    rows = connection.execute(
        "SELECT s.url FROM unnest(%s::integer[]) WITH ORDINALITY AS wanted (id, place)"
        " JOIN aoty_albums s USING (id) ORDER BY wanted.place",
        [list(ids)],
    )
    return [row for (row,) in rows]


def years_played(connection: psycopg.Connection) -> list[int]:
    """The release years of what was played, most played first: the charts in which to look."""
    rows = connection.execute(
        """
        SELECT y.year FROM album_years y
        LEFT JOIN (SELECT r.album_id, count(*) AS n FROM scrobbles s JOIN recordings r ON r.id = s.recording_id
                   GROUP BY r.album_id) p USING (album_id)
        WHERE y.year IS NOT NULL GROUP BY y.year ORDER BY sum(coalesce(p.n, 0)) DESC, y.year
        """
    )
    return [row for (row,) in rows]


def known(connection: psycopg.Connection) -> bool:
    """Whether any album of the site is known."""
    return connection.execute("SELECT FROM aoty_albums LIMIT 1").rowcount > 0


def rated(connection: psycopg.Connection) -> int:
    """How many of the played albums have a score."""
    row = connection.execute(
        "SELECT count(*) FROM aoty_album_matches m JOIN aoty_albums s ON s.id = m.aoty_id"
        " WHERE m.band = 'accept' AND coalesce(s.user_score, s.critic_score) IS NOT NULL"
    ).fetchone()
    return row[0] if row else 0


def match_tracks_after(connection: psycopg.Connection, after: int) -> list[int]:
    """Match the next tracks with an id above *after* with the track lists that are known; their ids.

    The albums must have been matched before: they say which lists a track was played from.
    """
    tracks = connection.execute(
        """
        SELECT t.id, a.name, t.name,
               array(SELECT DISTINCT m.aoty_id FROM recordings r
                     JOIN aoty_album_matches m ON m.album_id = r.album_id AND m.band = 'accept'
                     WHERE r.track_id = t.id ORDER BY 1)
        FROM tracks t JOIN artists a ON a.id = t.artist_id WHERE t.id > %s ORDER BY t.id LIMIT %s
        """,
        [after, CHUNK],
    ).fetchall()
    keys = {artist: key(main_artist(artist)) for _, artist, _, _ in tracks}
    lists: dict[str, list[ListedTrack]] = defaultdict(list)
    known: set[str] = set()
    rows = connection.execute(
        """
        SELECT s.artist_key, s.id, t.place, t.title, s.artists, s.title, t.seconds
        FROM aoty_albums s LEFT JOIN aoty_tracks t ON t.album_id = s.id
        WHERE s.artist_key = ANY(%(keys)s) OR s.id = ANY(%(albums)s) ORDER BY s.id, t.place
        """,
        {"keys": list(set(keys.values())), "albums": list({album for *_, albums in tracks for album in albums})},
    )
    of_album: dict[int, list[ListedTrack]] = defaultdict(list)
    for artist_key, album, place, title, artists, album_title, seconds in rows:
        known.add(artist_key)
        if place is not None:
            track = ListedTrack(album, place, title, tuple(artists), album_title, seconds)
            lists[artist_key].append(track)
            of_album[album].append(track)
    now = datetime.now(UTC)
    values = []
    for track_id, artist, title, played in tracks:
        listed = {(track.album, track.place): track for track in lists[keys[artist]]}
        for album in played:
            # On a compilation the album has other artists: the track's own counts.
            for track in of_album[album]:
                listed[album, track.place] = track._replace(played=True, artists=(*track.artists, artist))
        match = match_listed(
            artist, title, list(listed.values()), played[0] if played else None, artist_known=keys[artist] in known
        )
        values.append((
            track_id, match.album, match.place, match.match_type, match.confidence, match.score, match.reason,
            NORMALISER_VERSION, now,
        ))  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(_SAVE_TRACK, values)
    return [track_id for track_id, *_ in tracks]


def _accepted(album: PlayedAlbum, candidates: Sequence[AlbumCandidate]) -> Match | None:
    match = match_album(album.artist, album.title, candidates)
    return match if match.band == "accept" else None


def _candidate(album: int, title: str, artists: Sequence[str], released: str | None, kind: str) -> AlbumCandidate:
    year = int(released[:4]) if released and released[:4].isdecimal() else None
    word = kind.casefold()
    secondary = (_KINDS[word],) if word in _KINDS else ()
    return AlbumCandidate(str(album), title, " & ".join(artists), year, _TYPES.get(word, ""), secondary)
