"""Tracks, albums and scrobbles into PostgreSQL: names become ids in the loader, rows go through COPY and one upsert.

A play is one row however many answers name it; the newest says with which album and ids. What a complete window does
not name any more is removed, unless a newer answer named it: so the order of loading does not matter.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.items import LovedTracksPage, RecentTracksPage, TopTracksPage, user_key
from lastfm_crawl.warehouse import binary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from lastfm_crawl.items import Page
    from lastfm_crawl.warehouse.names import Catalogue, Ids, RecordingIds, RecordingName

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_scrobbles (
    fetch_id integer, user_id integer, seen_at timestamptz, first integer, last integer,
    uts integer[], tracks integer[], recordings integer[]) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_named (fetch_id integer, tracks integer[]) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_tracks (
    fetch_id integer, tracks integer[], recordings integer[], ranks integer[], playcounts integer[]
    ) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_loved (
    fetch_id integer, tracks integer[], recordings integer[], loved_at integer[]) ON COMMIT DELETE ROWS;
"""

# Answers about times of which there are scrobbles. Nobody else can add some: the user is locked.
_NOT_NEW = """
SELECT s.fetch_id, bool_or(o.seen_at < s.seen_at) FROM stage_scrobbles s
JOIN scrobbles o ON o.user_id = s.user_id AND o.at >= to_timestamp(s.first) AND o.at <= to_timestamp(s.last)
GROUP BY s.fetch_id
"""
# Of these, those that bring anything: to look a row up costs half of what it costs to offer it again. (OFFSET 0: one
# look into the index for each, however few rows the planner believes there are.)
_CHANGED = """
SELECT DISTINCT s.fetch_id
FROM stage_scrobbles s, unnest(s.uts, s.tracks, s.recordings) AS p (uts, track_id, recording_id)
WHERE s.fetch_id = ANY(%s) AND NOT EXISTS (
    SELECT FROM scrobbles o
    WHERE o.user_id = s.user_id AND o.at = to_timestamp(p.uts) AND o.track_id = p.track_id
      AND (o.seen_at > s.seen_at OR (o.seen_at = s.seen_at AND o.recording_id = p.recording_id))
    OFFSET 0)
"""
_COUNT_EDITED = """
SELECT count(*)
FROM stage_scrobbles s, unnest(s.uts, s.tracks, s.recordings) AS p (uts, track_id, recording_id), scrobbles o
WHERE s.fetch_id = ANY(%s) AND o.user_id = s.user_id AND o.at = to_timestamp(p.uts) AND o.track_id = p.track_id
  AND o.seen_at < s.seen_at AND o.recording_id <> p.recording_id
"""
_SCROBBLES = """
INSERT INTO scrobbles (user_id, at, track_id, recording_id, seen_at)
SELECT DISTINCT ON (s.user_id, p.uts, p.track_id)
       s.user_id, to_timestamp(p.uts), p.track_id, p.recording_id, s.seen_at
FROM stage_scrobbles s, unnest(s.uts, s.tracks, s.recordings) AS p (uts, track_id, recording_id)
WHERE (s.fetch_id = ANY(%s)) IS {}
ORDER BY s.user_id, p.uts, p.track_id, s.seen_at DESC, p.recording_id
"""
# Without a look at what is there: half the time.
_ADD_SCROBBLES = _SCROBBLES.format("FALSE")
_MERGE_SCROBBLES = f"""
{_SCROBBLES.format("TRUE")}
ON CONFLICT (user_id, at, track_id) DO UPDATE
SET recording_id = excluded.recording_id, seen_at = excluded.seen_at
WHERE scrobbles.seen_at < excluded.seen_at
   OR (scrobbles.seen_at = excluded.seen_at AND scrobbles.recording_id <> excluded.recording_id)  -- read anew
"""
_REMOVE_GONE = """
DELETE FROM scrobbles s USING history_windows w
WHERE w.user_id = ANY(%s) AND w.complete
  AND s.user_id = w.user_id AND s.at >= w.window_from AND s.at < w.window_to AND s.seen_at < w.first_answer_at
"""
_SAVE_NAMED = """
INSERT INTO named_tracks (fetch_id, tracks) SELECT fetch_id, tracks FROM stage_named
ON CONFLICT (fetch_id) DO UPDATE SET tracks = excluded.tracks
"""
_REPLACE_TRACKS = "DELETE FROM user_tracks WHERE fetch_id = ANY(%s)"
_SAVE_TRACKS = """
INSERT INTO user_tracks (fetch_id, track_id, recording_id, rank, playcount)
SELECT DISTINCT ON (s.fetch_id, t.track_id) s.fetch_id, t.track_id, t.recording_id, t.rank, t.playcount
FROM stage_tracks s,
     unnest(s.tracks, s.recordings, s.ranks, s.playcounts) AS t (track_id, recording_id, rank, playcount)
ORDER BY s.fetch_id, t.track_id, t.rank
"""
_REPLACE_LOVED = "DELETE FROM loved_tracks WHERE fetch_id = ANY(%s)"
_SAVE_LOVED = """
INSERT INTO loved_tracks (fetch_id, track_id, recording_id, loved_at)
SELECT DISTINCT ON (s.fetch_id, t.track_id) s.fetch_id, t.track_id, t.recording_id, to_timestamp(nullif(t.loved_at, 0))
FROM stage_loved s, unnest(s.tracks, s.recordings, s.loved_at) AS t (track_id, recording_id, loved_at)
ORDER BY s.fetch_id, t.track_id, t.loved_at DESC
"""


def load_histories(
    cursor: psycopg.Cursor[Any], catalogue: Catalogue, pages: Mapping[int, Page], users: Ids[str, int]
) -> Changes:
    """Load the rows of *pages*, by the ids of their fetches, and count what users changed since the last look.

    *users* knows every user of the pages. Raises psycopg.Error.
    """
    plays = {fetch: page for fetch, page in pages.items() if isinstance(page, RecentTracksPage)}
    tops = {fetch: page for fetch, page in pages.items() if isinstance(page, TopTracksPage)}
    loved = {fetch: page for fetch, page in pages.items() if isinstance(page, LovedTracksPage)}
    if not plays and not tops and not loved:
        return Changes()
    cursor.execute(STAGING)
    names = {fetch: recording_names(page) for fetch, page in (plays | tops | loved).items()}
    catalogue.know_recordings(cursor, chain.from_iterable(names.values()))
    ids = {fetch: _columns(catalogue.recordings.of(page)) for fetch, page in names.items()}
    binary.copy_into(
        cursor, "stage_named", (binary.row(binary.int4(f), binary.int4_array(sorted(set(ids[f].tracks)))) for f in ids)
    )
    cursor.execute(_SAVE_NAMED)
    if tops:
        cursor.execute(_REPLACE_TRACKS, [list(tops)])
        binary.copy_into(cursor, "stage_tracks", (_row(f, *ids[f], p.ranks, p.playcounts) for f, p in tops.items()))
        cursor.execute(_SAVE_TRACKS)
    if loved:
        cursor.execute(_REPLACE_LOVED, [list(loved)])
        binary.copy_into(
            cursor, "stage_loved", (_row(f, *ids[f], [at or 0 for at in p.loved_at]) for f, p in loved.items())
        )
        cursor.execute(_SAVE_LOVED)
    return _load_plays(cursor, plays, ids, users) if plays else Changes()


class Changes(NamedTuple):
    """Stored plays that users have changed: *gone* are not named any more, *edited* are, with other names or ids."""

    gone: int = 0
    edited: int = 0


class _Ids(NamedTuple):
    tracks: list[int]
    recordings: list[int]


def _load_plays(
    cursor: psycopg.Cursor[Any], pages: Mapping[int, RecentTracksPage], ids: Mapping[int, _Ids], users: Ids[str, int]
) -> Changes:
    owners = {fetch: users[user_key(page.user)] for fetch, page in pages.items()}
    rows = (
        binary.row(
            binary.int4(fetch),
            binary.int4(owners[fetch]),
            binary.timestamp(page.fetched_at),
            binary.int4(min(page.uts)),
            binary.int4(max(page.uts)),
            binary.int4_array(page.uts),
            *map(binary.int4_array, ids[fetch]),
        )
        for fetch, page in pages.items()
        if page.uts
    )
    binary.copy_into(cursor, "stage_scrobbles", rows)
    older = dict(cursor.execute(_NOT_NEW).fetchall())
    edited = None
    if any(older.values()):
        edited = cursor.execute(_COUNT_EDITED, [[fetch for fetch, is_older in older.items() if is_older]]).fetchone()
    cursor.execute(_ADD_SCROBBLES, [list(older)])
    if older:
        changed = [fetch for (fetch,) in cursor.execute(_CHANGED, [list(older)])]
        if changed:
            cursor.execute(_MERGE_SCROBBLES, [changed])
    cursor.execute(_REMOVE_GONE, [list(set(owners.values()))])
    return Changes(cursor.rowcount, edited[0] if edited else 0)


def recording_names(page: RecentTracksPage | TopTracksPage | LovedTracksPage) -> list[RecordingName]:
    """The name of the recording of each row."""
    nothing = repeat("")
    albums, album_mbids = (page.albums, page.album_mbids) if isinstance(page, RecentTracksPage) else (nothing, nothing)
    return list(zip(page.artists, page.artist_mbids, albums, album_mbids, page.tracks, page.track_mbids, strict=False))


def _columns(ids: Sequence[RecordingIds]) -> _Ids:
    return _Ids([track for _, track in ids], [recording for recording, _ in ids])


def _row(fetch: int, *columns: Sequence[int]) -> bytes:
    return binary.row(binary.int4(fetch), *map(binary.int4_array, columns))
