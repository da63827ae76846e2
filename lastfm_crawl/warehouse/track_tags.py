"""How Last.fm's listeners tag tracks: which tracks are to be asked about, and what was answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import TrackTags

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from lastfm_crawl.items import Lookup

# Last.fm takes a name of blanks for none at all, and that for a fault of the program.
_HAS_NAMES = r"a.name ~ '\S' AND t.name ~ '\S'"
# In one order, so that two loaders wait for each other instead of deadlocking.
_ADD_ARTISTS = """
INSERT INTO artists (name)
SELECT DISTINCT asked.name COLLATE "C" FROM unnest(%s::text[]) AS asked (name)
WHERE NOT EXISTS (SELECT FROM artists a WHERE a.name = asked.name)
ORDER BY 1 ON CONFLICT DO NOTHING
"""
_ADD_TRACKS = """
INSERT INTO tracks (artist_id, name)
SELECT DISTINCT a.id, asked.name COLLATE "C" FROM unnest(%s::text[], %s::text[]) AS asked (artist, name)
JOIN artists a ON a.name = asked.artist
WHERE NOT EXISTS (SELECT FROM tracks t WHERE t.artist_id = a.id AND t.name = asked.name)
ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""
_SAVE = """
INSERT INTO track_tags AS g (track_id, tags, fetched_at)
SELECT t.id, %s, %s FROM tracks t JOIN artists a ON a.id = t.artist_id WHERE a.name = %s AND t.name = %s
ON CONFLICT (track_id) DO UPDATE SET tags = excluded.tags, fetched_at = excluded.fetched_at
WHERE g.fetched_at <= excluded.fetched_at
"""


def load_answers(cursor: psycopg.Cursor[Any], lookups: Iterable[Lookup]) -> None:
    """The tags among *lookups*. A replay may come to them before the plays: tracks that are not there are added."""
    answers = sorted(
        (lookup for lookup in lookups if isinstance(lookup, TrackTags)), key=lambda row: (row.asked, row.fetched_at)
    )
    if not answers:
        return
    artists, titles = (list(names) for names in zip(*(row.asked for row in answers), strict=True))
    cursor.execute(_ADD_ARTISTS, [artists])
    cursor.execute(_ADD_TRACKS, [artists, titles])
    cursor.executemany(
        _SAVE, [(_json(row), datetime.fromtimestamp(row.fetched_at, UTC), *row.asked) for row in answers]
    )


def _json(answer: TrackTags) -> str:
    return json.dumps([{"name": name, "count": count} for name, count in answer.tags])


def tracks_left(connection: psycopg.Connection, before: float) -> list[int]:
    """Ids of the tracks whose tags are not known, or those of *before* (seconds since 1970).

    Where songs were made, the tracks of these, those of the most played song first; otherwise all, the most played
    first.
    """
    rows = connection.execute(
        f"""
        WITH plays AS (SELECT track_id, sum(playcount) AS n FROM listening GROUP BY track_id)
        SELECT t.id FROM tracks t
        JOIN artists a ON a.id = t.artist_id
        LEFT JOIN song_tracks s ON s.track_id = t.id
        LEFT JOIN lastfm_stats l USING (song_id)
        LEFT JOIN plays p ON p.track_id = t.id
        LEFT JOIN track_tags g ON g.track_id = t.id
        WHERE (g.fetched_at IS NULL OR g.fetched_at < %(before)s) AND {_HAS_NAMES}
          AND (s.track_id IS NOT NULL OR NOT EXISTS (SELECT FROM song_tracks))
        ORDER BY l.playcount DESC NULLS LAST, s.song_id, p.n DESC NULLS LAST, t.id
        """,  # noqa: S608  (a constant)
        {"before": datetime.fromtimestamp(before, UTC)},
    )
    return [row for (row,) in rows]
