"""One canonical song of many tracks: what the warehouse knows of tracks, folded, with ids that stay from run to run.

``songs`` and the tables that hang on it hold exactly the songs that were chosen last, so that their size is what was
asked for and no song in them stands for plays and ratings of long ago. ``song_aliases`` holds every canonical id that
was ever given: a song that falls out and comes back is the same song.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.matching.song_ids import Claim, keep_ids, song_uuid
from lastfm_crawl.matching.songs import Track, artist_form, fold_songs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import psycopg
    from psycopg.abc import Query

    from lastfm_crawl.matching.song_ids import Kept

#: The kinds of canonical id, the strongest first: columns of stage_songs. The last is never another song's.
_LEVELS = ("'isrc:' || isrc", "'spotify:' || spotify_id", "'mbid:' || mbid", "name_id", "raw_id")
# Rows that are read, and songs that are written, at a time.
_CHUNK = 10_000

_STAGING = (
    "DROP TABLE IF EXISTS stage_forms, stage_songs, stage_edges, stage_listening, stage_mbids, stage_chosen",
    "CREATE TEMP TABLE stage_forms (artist_id integer PRIMARY KEY, form text COLLATE \"C\") ON COMMIT DROP",
    """
    CREATE TEMP TABLE stage_songs (
        number integer PRIMARY KEY, artist_id integer, title text COLLATE "C", isrc text, spotify_id text, mbid text,
        name_id text COLLATE "C", raw_id text COLLATE "C", plays bigint, richness integer, canonical_id text COLLATE "C"
    ) ON COMMIT DROP
    """,
    """
    CREATE TEMP TABLE stage_edges (track_id integer PRIMARY KEY, number integer, reason text, own_id text)
    ON COMMIT DROP
    """,
    """
    CREATE TEMP TABLE stage_chosen (
        number integer PRIMARY KEY, canonical_id text COLLATE "C", uuid uuid, song_id uuid
    ) ON COMMIT DROP
    """,
    "CREATE TEMP TABLE stage_listening ON COMMIT DROP AS SELECT user_id, track_id, playcount FROM listening",
    # The id that most plays of a track give.
    """
    CREATE TEMP TABLE stage_mbids ON COMMIT DROP AS
    SELECT DISTINCT ON (track_id) track_id, mbid
    FROM (SELECT r.track_id, lower(r.track_mbid) AS mbid, sum(p.n) AS n
          FROM recordings r
          LEFT JOIN (SELECT recording_id, count(*) AS n FROM scrobbles GROUP BY recording_id) p ON p.recording_id = r.id
          WHERE r.track_mbid <> '' GROUP BY 1, 2) counted
    ORDER BY track_id, n DESC NULLS LAST, mbid
    """,
)  # fmt: skip
_TRACKS = """
SELECT f.form, t.artist_id, y.track_id IS NOT NULL, coalesce(jsonb_array_length(g.tags), 0) > 0, t.id, a.name, t.name,
       coalesce(p.plays, 0)::bigint, coalesce(s.isrc, linked.isrc), coalesce(s.id, linked.id, m.spotify_id), b.mbid,
       coalesce(s.duration_ms, linked.duration_ms) / 1000.0::float8
FROM tracks t
JOIN artists a ON a.id = t.artist_id
JOIN stage_forms f ON f.artist_id = t.artist_id
LEFT JOIN (SELECT track_id, sum(playcount) AS plays FROM stage_listening GROUP BY track_id) p ON p.track_id = t.id
LEFT JOIN track_matches m ON m.track_id = t.id AND m.band = 'accept'
LEFT JOIN spotify_tracks s ON s.id = m.spotify_id
LEFT JOIN spotify_aliases l ON l.asked_id = m.spotify_id
LEFT JOIN spotify_tracks linked ON linked.id = l.id
LEFT JOIN stage_mbids b ON b.track_id = t.id
LEFT JOIN aoty_track_matches y ON y.track_id = t.id AND y.believed
LEFT JOIN track_tags g ON g.track_id = t.id
ORDER BY f.form, t.id
"""
# Who bears an id that several songs have (nothing folds across artists: so there are some): who bore it already, or who
# is called by a stronger one, so that nobody is; the rest go on to a weaker one.
_NAME = """
UPDATE stage_songs s SET canonical_id = w.id
FROM (SELECT DISTINCT ON (id) number, id
      FROM (SELECT number, {level} AS id, canonical_id IS NOT NULL AS named, raw_id FROM stage_songs) one
      WHERE id IS NOT NULL
      ORDER BY id, EXISTS (
          SELECT FROM songs before JOIN song_tracks t ON t.song_id = before.id JOIN stage_edges e USING (track_id)
          WHERE before.canonical_id = one.id AND e.number = one.number) DESC, named DESC, raw_id) w
WHERE s.number = w.number AND s.canonical_id IS NULL
"""
_CHOOSE = """
INSERT INTO stage_chosen (number, canonical_id)
SELECT number, canonical_id FROM stage_songs ORDER BY richness DESC, plays DESC, canonical_id LIMIT %s
"""
_CLAIMS = """
WITH found AS (
    SELECT c.number, a.uuid AS before, 0 AS strength
    FROM stage_chosen c JOIN song_aliases a USING (canonical_id)
    WHERE EXISTS (SELECT FROM song_aliases l WHERE l.song_id = a.uuid)
    UNION ALL
    SELECT c.number, a.song_id, 1 FROM stage_chosen c JOIN song_aliases a USING (canonical_id)
    UNION ALL
    SELECT c.number, t.song_id, 2
    FROM stage_chosen c JOIN stage_edges e USING (number) JOIN song_tracks t USING (track_id)
    UNION ALL
    SELECT c.number, a.song_id, 3
    FROM stage_chosen c JOIN stage_songs s USING (number)
    CROSS JOIN LATERAL (VALUES ('isrc:' || s.isrc), ('spotify:' || s.spotify_id), ('mbid:' || s.mbid), (s.name_id))
               AS other (id)
    JOIN song_aliases a ON a.canonical_id = other.id
    WHERE NOT EXISTS (SELECT FROM stage_songs o WHERE o.canonical_id = other.id))
SELECT f.number, f.before, min(f.strength), began.canonical_id
FROM found f JOIN song_aliases began ON began.uuid = f.before
GROUP BY f.number, f.before, began.canonical_id
"""
_SAVE = (
    """
    INSERT INTO song_aliases AS a (canonical_id, uuid, song_id, given_at)
    SELECT canonical_id, uuid, song_id, %(now)s FROM stage_chosen ORDER BY canonical_id
    ON CONFLICT (canonical_id) DO UPDATE SET song_id = excluded.song_id WHERE a.song_id <> excluded.song_id
    """,
    "DELETE FROM songs s WHERE NOT EXISTS (SELECT FROM stage_chosen c WHERE c.song_id = s.id)",
    """
    INSERT INTO songs AS s (id, artist_id, artist, title, canonical_id, isrc, spotify_id, mbid, added_at, changed_at)
    SELECT c.song_id, n.artist_id, a.name, n.title, n.canonical_id, n.isrc, n.spotify_id, n.mbid, %(now)s, %(now)s
    FROM stage_chosen c JOIN stage_songs n USING (number) JOIN artists a ON a.id = n.artist_id ORDER BY c.number
    ON CONFLICT (id) DO UPDATE
    SET artist_id = excluded.artist_id, artist = excluded.artist, title = excluded.title,
        canonical_id = excluded.canonical_id, isrc = excluded.isrc, spotify_id = excluded.spotify_id,
        mbid = excluded.mbid, changed_at = excluded.changed_at
    WHERE (s.artist_id, s.artist, s.title, s.canonical_id, s.isrc, s.spotify_id, s.mbid) IS DISTINCT FROM
          (excluded.artist_id, excluded.artist, excluded.title, excluded.canonical_id, excluded.isrc,
           excluded.spotify_id, excluded.mbid)
    """,
    "DELETE FROM song_tracks",
    """
    INSERT INTO song_tracks (track_id, song_id, reason, own_id)
    SELECT e.track_id, c.song_id, e.reason, e.own_id FROM stage_chosen c JOIN stage_edges e USING (number)
    ORDER BY c.number, e.track_id
    """,
    "ANALYZE song_tracks",
    "DELETE FROM spotify_attrs",
    """
    INSERT INTO spotify_attrs
    SELECT s.id, t.duration_ms, t.popularity, t.album_id, t.artist_ids[1], t.album_name, t.release_date,
           t.release_precision, t.explicit, t.track_number
    FROM songs s JOIN spotify_tracks t ON t.id = s.spotify_id
    """,
    "DELETE FROM lastfm_stats",
    """
    INSERT INTO lastfm_stats (song_id, playcount, listeners, tags)
    SELECT s.id, coalesce(p.playcount, 0), coalesce(p.listeners, 0), coalesce(g.tags, '[]')
    FROM songs s
    LEFT JOIN (SELECT t.song_id, sum(l.playcount) AS playcount,
                      count(DISTINCT l.user_id) FILTER (WHERE l.playcount > 0) AS listeners
               FROM song_tracks t JOIN stage_listening l USING (track_id) GROUP BY t.song_id) p ON p.song_id = s.id
    LEFT JOIN (SELECT song_id, jsonb_agg(jsonb_build_object('name', name, 'count', count)
                                         ORDER BY count DESC, name COLLATE "C") AS tags
               FROM (SELECT t.song_id, lower(tag ->> 'name') AS name, max((tag ->> 'count')::integer) AS count
                     FROM song_tracks t JOIN track_tags g USING (track_id), jsonb_array_elements(g.tags) AS tag
                     WHERE tag ->> 'name' <> '' GROUP BY 1, 2) once
               GROUP BY song_id) g ON g.song_id = s.id
    """,
    "DELETE FROM aoty_attrs",
    # Of several tracks the surest match; of equals the one that most people rated.
    """
    INSERT INTO aoty_attrs (song_id, aoty_id, place, rated, user_score, rating_count, critic_score, album_score, tags,
                            genres)
    SELECT DISTINCT ON (t.song_id) t.song_id, b.id, m.place,
           CASE WHEN r.rating IS NOT NULL THEN 'track' WHEN own.score IS NOT NULL THEN 'album' ELSE 'none' END,
           coalesce(r.rating, own.score), CASE WHEN r.rating IS NOT NULL THEN r.ratings ELSE b.user_count END,
           coalesce(b.critic_score_exact, b.critic_score), own.score, to_jsonb(b.tags),
           to_jsonb(b.genres || b.secondary_genres)
    FROM song_tracks t
    JOIN aoty_track_matches m ON m.track_id = t.track_id AND m.believed
    JOIN aoty_albums b ON b.id = m.aoty_id
    LEFT JOIN aoty_tracks r ON r.album_id = m.aoty_id AND r.place = m.place
    CROSS JOIN LATERAL (SELECT coalesce(b.user_score_exact, b.user_score) AS score) own
    ORDER BY t.song_id, m.score DESC, r.ratings DESC NULLS LAST, b.user_count DESC NULLS LAST, b.id, m.place
    """,
)  # fmt: skip


class SongCounts(NamedTuple):
    """What a build made: songs that are kept, by the strongest id they have, and what they come from."""

    tracks: int
    folded: int  # tracks that are another's version
    found: int  # songs before the best were chosen
    songs: int
    isrc: int
    spotify: int
    mbid: int
    name_only: int
    aliases: int  # canonical ids of these songs that are not their own any more


def count_tracks(connection: psycopg.Connection) -> int:
    """How many tracks there are to fold."""
    row = connection.execute("SELECT count(*) FROM tracks").fetchone()
    return row[0] if row else 0


def build(
    connection: psycopg.Connection, max_songs: int, now: float, advance: Callable[[int], None] = lambda _: None
) -> SongCounts:
    """Make the songs of all tracks and keep the *max_songs* best: the most complete, then the most played.

    To be run in one transaction, which whoever calls it ends: until then readers find the songs as they were.
    *advance* is told how many tracks were folded.
    """
    # Two at a time would give two ids to one song.
    connection.execute("LOCK TABLE songs, song_aliases IN SHARE ROW EXCLUSIVE MODE")
    for statement in _STAGING:
        connection.execute(statement)
    _stage_forms(connection)
    _stage_songs(connection, advance)
    for table in ("stage_songs", "stage_edges"):
        connection.execute(f"ANALYZE {table}")
    for level in _LEVELS:
        connection.execute(_NAME.format(level=level))
    connection.execute(_CHOOSE, [max_songs])
    _keep_ids(connection)
    for save in _SAVE:
        connection.execute(save, {"now": datetime.fromtimestamp(now, UTC)} if "%(now)s" in save else None)
    return _counts(connection)


def _stage_forms(connection: psycopg.Connection) -> None:
    """The form of every artist who has tracks."""
    statement = "SELECT id, name FROM artists a WHERE EXISTS (SELECT FROM tracks t WHERE t.artist_id = a.id)"
    for chunk in _chunks(connection, statement):
        _copy(connection, "stage_forms", ((identity, artist_form(name)) for identity, name in chunk))
    connection.execute("ANALYZE stage_forms")


def _stage_songs(connection: psycopg.Connection, advance: Callable[[int], None]) -> None:
    """The songs of every artist, and their edges: one artist's tracks are in memory at a time, and a chunk of songs."""
    songs: list[tuple[Any, ...]] = []
    edges: list[tuple[Any, ...]] = []
    number = 0

    def write() -> None:
        _copy(connection, "stage_songs", songs)
        _copy(connection, "stage_edges", edges)
        advance(len(edges))
        songs.clear()
        edges.clear()

    rows = (row for chunk in _chunks(connection, _TRACKS) for row in chunk)
    for _, block in groupby(rows, key=itemgetter(0)):
        own = list(block)
        artist_id = _spelling(own)
        rated = {row[4] for row in own if row[2]}
        tagged = {row[4] for row in own if row[3]}
        for song in fold_songs(Track(*row[4:]) for row in own):
            number += 1
            members = {edge.track_id for edge in song.edges}
            has = (song.isrc, song.spotify_id, song.mbid, members & rated, members & tagged)
            songs.append((
                number, artist_id, song.title, song.isrc, song.spotify_id, song.mbid, song.name_id, song.raw_id,
                song.plays, sum(map(bool, has)), None,
            ))  # fmt: skip
            edges += ((edge.track_id, number, edge.reason, edge.own_id) for edge in song.edges)
        if len(edges) >= _CHUNK:
            write()
    write()


def _spelling(block: list[tuple[Any, ...]]) -> int:
    """The artist of one artist's tracks: the spelling that is played most, the shortest of equals."""
    plays: dict[tuple[int, str], int] = {}
    for row in block:
        plays[row[1], row[5]] = plays.get((row[1], row[5]), 0) + row[7]
    (identity, _), _ = min(plays.items(), key=lambda item: (-item[1], len(item[0][1]), item[0][1]))
    return identity


def _keep_ids(connection: psycopg.Connection) -> None:
    """Every chosen song gets the id that it had, or a new one; ids that ended in a merge lead to the one that lives."""
    chosen: dict[int, str] = dict(connection.execute("SELECT number, canonical_id FROM stage_chosen ORDER BY number"))
    kept: Kept = keep_ids(chosen, (Claim(*row) for row in connection.execute(_CLAIMS)))
    connection.execute("TRUNCATE stage_chosen")
    rows = ((number, name, song_uuid(name), kept.ids[number]) for number, name in chosen.items())
    _copy(connection, "stage_chosen", rows)
    connection.execute("ANALYZE stage_chosen")
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE song_aliases SET song_id = %s WHERE song_id = %s",
            [(heir, former) for former, heir in sorted(kept.merged.items())],
        )


def _counts(connection: psycopg.Connection) -> SongCounts:
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM stage_edges), (SELECT count(*) FROM stage_edges WHERE reason <> 'best'),
               (SELECT count(*) FROM stage_songs), count(*), count(isrc),
               count(spotify_id) FILTER (WHERE isrc IS NULL),
               count(mbid) FILTER (WHERE isrc IS NULL AND spotify_id IS NULL),
               count(*) FILTER (WHERE coalesce(isrc, spotify_id, mbid) IS NULL),
               (SELECT count(*) FROM song_aliases a JOIN songs o ON o.id = a.song_id
                WHERE a.canonical_id <> o.canonical_id)
        FROM songs
        """
    ).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    return SongCounts(*row)


def _chunks(connection: psycopg.Connection, statement: str) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor(name="songs") as cursor:
        cursor.execute(statement)
        while chunk := cursor.fetchmany(_CHUNK):
            yield chunk


def _copy(connection: psycopg.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    statement: Query = f"COPY {table} FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
