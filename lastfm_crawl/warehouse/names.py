"""Ids of users and music by name: resolved in bulk, and kept in the loader with bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

#: Names whose ids are kept in memory; beyond that the oldest half is forgotten (and looked up again when needed).
MAX_IDS = 250_000

#: Artist, album, album's MBID; "" is not known.
AlbumName = tuple[str, str, str]
#: Artist, artist's MBID, album, album's MBID, track, track's MBID; "" is not known. One tuple, one recording.
RecordingName = tuple[str, str, str, str, str, str]
#: The id of a recording, and that of its track.
RecordingIds = tuple[int, int]

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_recordings (
    place integer, artist_id integer, artist_mbid text COLLATE "C", album text COLLATE "C", album_mbid text COLLATE "C",
    track text COLLATE "C", track_mbid text COLLATE "C") ON COMMIT DELETE ROWS;
"""
# Sorted, so that two loaders which add the same names wait for each other instead of deadlocking.
_ADD_TRACKS = """
INSERT INTO tracks (artist_id, name)
SELECT DISTINCT s.artist_id, s.track FROM stage_recordings s
WHERE NOT EXISTS (SELECT FROM tracks t WHERE t.artist_id = s.artist_id AND t.name = s.track)
ORDER BY s.artist_id, s.track ON CONFLICT DO NOTHING
"""
_ADD_ALBUMS = """
INSERT INTO albums (artist_id, name, mbid)
SELECT DISTINCT s.artist_id, s.album, s.album_mbid FROM stage_recordings s
WHERE s.album <> '' AND NOT EXISTS (
    SELECT FROM albums a WHERE a.artist_id = s.artist_id AND a.name = s.album AND a.mbid = s.album_mbid)
ORDER BY s.artist_id, s.album, s.album_mbid ON CONFLICT DO NOTHING
"""
_ALBUMS = """
SELECT s.place, a.id FROM stage_recordings s
JOIN albums a ON a.artist_id = s.artist_id AND a.name = s.album AND a.mbid = s.album_mbid
"""
_NAMED = """
FROM stage_recordings s
JOIN tracks t ON t.artist_id = s.artist_id AND t.name = s.track
LEFT JOIN albums a ON a.artist_id = s.artist_id AND a.name = s.album AND a.mbid = s.album_mbid
"""
_ADD_RECORDINGS = f"""
INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid)
SELECT DISTINCT t.id, coalesce(a.id, 0), s.artist_mbid, s.track_mbid {_NAMED}
ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING
"""
_RECORDINGS = f"""
SELECT s.place, r.id, t.id {_NAMED}
JOIN recordings r ON r.track_id = t.id AND r.album_id = coalesce(a.id, 0)
                 AND r.artist_mbid = s.artist_mbid AND r.track_mbid = s.track_mbid
"""

K = TypeVar("K")
V = TypeVar("V")


class Ids(Generic[K, V]):
    """Ids by name, bounded; what an uncommitted transaction added is forgotten again."""

    def __init__(self, limit: int = MAX_IDS) -> None:
        self._limit = limit
        self._ids: dict[K, V] = {}
        self._uncommitted: list[K] = []

    def begin(self) -> None:
        """A new transaction: forget what the last one added, unless it was committed."""
        for name in self._uncommitted:
            self._ids.pop(name, None)
        self._uncommitted = []

    def add(self, pairs: Iterable[tuple[K, V]]) -> None:
        """Ids that the current transaction sees."""
        fresh = dict(pairs)
        self._uncommitted += fresh
        self._ids |= fresh

    def commit(self) -> None:
        """The transaction is committed: its ids are good for all that follow."""
        self._uncommitted = []
        if len(self._ids) > self._limit:
            self._ids = dict(list(self._ids.items())[len(self._ids) // 2 :])

    def missing(self, names: Iterable[K]) -> list[K]:
        """Those of *names* without a known id, each once, sorted."""
        return sorted(set(names).difference(self._ids))  # type: ignore[type-var]

    def of(self, names: Iterable[K]) -> list[V]:
        """The ids of *names*, all of them known."""
        return list(map(self._ids.__getitem__, names))

    def __getitem__(self, name: K) -> V:
        return self._ids[name]


class Catalogue(NamedTuple):
    """Artists and albums by name, and recordings by all that plays say of them."""

    artists: Ids[str, int]
    albums: Ids[AlbumName, int]
    recordings: Ids[RecordingName, RecordingIds]

    @classmethod
    def empty(cls) -> Catalogue:
        """Nothing is known yet."""
        return cls(Ids(), Ids(), Ids())

    def begin(self) -> None:
        """A new transaction begins."""
        for ids in self:
            ids.begin()

    def commit(self) -> None:
        """The transaction is committed."""
        for ids in self:
            ids.commit()

    def know_artists(self, cursor: psycopg.Cursor[Any], names: Iterable[str]) -> None:
        """Know the id of each of *names*, adding those that are new."""
        for statement in (
            "SELECT name, id FROM artists WHERE name = ANY(%s)",
            "INSERT INTO artists (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING name, id",
            "SELECT name, id FROM artists WHERE name = ANY(%s)",  # what another loader added in between
        ):
            missing = self.artists.missing(names)
            if not missing:
                return
            cursor.execute(statement, [missing])
            self.artists.add(cursor.fetchall())
            names = missing

    def know_albums(self, cursor: psycopg.Cursor[Any], names: Iterable[AlbumName]) -> None:
        """Know the id of each of *names*, adding artists and albums that are new."""
        missing = self.albums.missing(names)
        if not missing:
            return
        self._stage(cursor, [(artist, "", album, mbid, "", "") for artist, album, mbid in missing])
        cursor.execute(_ADD_ALBUMS)
        cursor.execute(_ALBUMS)
        self.albums.add((missing[place], album) for place, album in cursor.fetchall())

    def know_recordings(self, cursor: psycopg.Cursor[Any], names: Iterable[RecordingName]) -> None:
        """Know the ids of each of *names*, adding artists, albums, tracks and recordings that are new."""
        missing = self.recordings.missing(names)
        if not missing:
            return
        self._stage(cursor, missing)
        for statement in (_ADD_TRACKS, _ADD_ALBUMS, _ADD_RECORDINGS):
            cursor.execute(statement)
        cursor.execute(_RECORDINGS)
        self.recordings.add((missing[place], (recording, track)) for place, recording, track in cursor.fetchall())

    def _stage(self, cursor: psycopg.Cursor[Any], names: Sequence[RecordingName]) -> None:
        """Put *names* into the staging table by their places, with the ids of their artists."""
        self.know_artists(cursor, (name[0] for name in names))
        cursor.execute("TRUNCATE stage_recordings")
        with cursor.copy("COPY stage_recordings FROM STDIN") as copy:
            for place, (artist, *others) in enumerate(names):
                copy.write_row((place, self.artists[artist], *others))
