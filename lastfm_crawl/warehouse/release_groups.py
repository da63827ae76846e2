"""In which year albums first came out: which are to be asked about, and what MusicBrainz said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.items import ReleaseGroup, ReleaseGroupSearch, ReleaseLookup
from lastfm_crawl.matching.normalise import NORMALISER_VERSION
from lastfm_crawl.warehouse.matches import just_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from lastfm_crawl.items import Lookup
    from lastfm_crawl.matching.names import Match
    from lastfm_crawl.warehouse.mirror import Mirror

#: What Last.fm gives as the id of an album and is none is no reason to ask.
_IS_MBID = "al.mbid ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
# In vain is: without a result, or with one that has no year.
_JUST_SEARCHED = just_asked("s.searched_at", "s.first_searched_at")
_LEFT = f"""
SELECT al.id, a.name AS artist, al.name AS title, lower(al.mbid) AS mbid, r.asked_at, s.searched_at,
       {_IS_MBID} AND (r.mbid IS NULL OR (r.group_mbid IS NULL OR g.year IS NULL)
                       AND NOT {just_asked("r.asked_at", "r.first_asked_at")}) AS release_left,
       (NOT {_IS_MBID} OR r.mbid IS NOT NULL AND r.group_mbid IS NULL)
       AND (s.band IS NULL OR (s.band <> 'accept' OR h.year IS NULL)
            AND NOT {_JUST_SEARCHED}) AS search_left
FROM albums al
JOIN artists a ON a.id = al.artist_id
LEFT JOIN releases r ON r.mbid = lower(al.mbid)
LEFT JOIN release_groups g ON g.mbid = r.group_mbid
LEFT JOIN album_searches s ON s.artist = a.name AND s.title = al.name
LEFT JOIN release_groups h ON h.mbid = s.group_mbid
"""  # noqa: S608  (constants of this module)

_SAVE_GROUP = """
INSERT INTO release_groups AS g (mbid, title, artist, year, month, day, primary_type, secondary_types, source,
                                 fetched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (mbid) DO UPDATE
SET title = excluded.title, artist = excluded.artist, year = excluded.year, month = excluded.month, day = excluded.day,
    primary_type = excluded.primary_type, secondary_types = excluded.secondary_types, source = excluded.source,
    fetched_at = excluded.fetched_at
WHERE g.fetched_at <= excluded.fetched_at
"""
_SAVE_RELEASE = """
INSERT INTO releases AS r (mbid, current_mbid, group_mbid, first_asked_at, asked_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (mbid) DO UPDATE
SET current_mbid = CASE WHEN r.asked_at <= excluded.asked_at THEN excluded.current_mbid ELSE r.current_mbid END,
    group_mbid = CASE WHEN r.asked_at <= excluded.asked_at THEN excluded.group_mbid ELSE r.group_mbid END,
    first_asked_at = least(r.first_asked_at, excluded.first_asked_at),
    asked_at = greatest(r.asked_at, excluded.asked_at)
"""
_SAVE_SEARCH = """
INSERT INTO album_searches AS s (artist, title, group_mbid, band, tier, score, runner_up, evidence, normaliser,
                                 first_searched_at, searched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (artist, title) DO UPDATE
SET group_mbid = excluded.group_mbid, band = excluded.band, tier = excluded.tier, score = excluded.score,
    runner_up = excluded.runner_up, evidence = excluded.evidence, normaliser = excluded.normaliser,
    first_searched_at = least(s.first_searched_at, excluded.first_searched_at), searched_at = excluded.searched_at
WHERE s.searched_at <= excluded.searched_at
"""
_KEEP_FIRST_SEARCH = """
UPDATE album_searches SET first_searched_at = %(at)s WHERE artist = %(artist)s AND title = %(title)s
AND first_searched_at > %(at)s
"""


class AlbumQuestion(NamedTuple):
    """What is to be asked about an album: the release ``mbid``, or by its names where that is None.

    ``asked`` is how many seconds ago the same was asked; None: never.
    """

    artist: str
    title: str
    mbid: str | None
    asked: float | None


def albums_left(connection: psycopg.Connection, now: float) -> list[int]:
    """Ids of albums about which there is something to ask, most played first: one for each question."""
    rows = connection.execute(
        f"""
        WITH plays AS (
            SELECT r.album_id, count(*) AS n FROM scrobbles s JOIN recordings r ON r.id = s.recording_id
            WHERE r.album_id <> 0 GROUP BY r.album_id)
        SELECT min(l.id) FROM ({_LEFT}) l LEFT JOIN plays p ON p.album_id = l.id
        WHERE l.release_left OR l.search_left
        GROUP BY l.release_left, CASE WHEN l.release_left THEN l.mbid ELSE l.artist END,
                 CASE WHEN l.release_left THEN NULL ELSE l.title END
        ORDER BY coalesce(sum(p.n), 0) DESC, 1
        """,  # noqa: S608  (a constant)
        {"now": datetime.fromtimestamp(now, UTC)},
    )
    return [row for (row,) in rows]


def albums_to_ask(connection: psycopg.Connection, ids: Sequence[int], now: float) -> list[AlbumQuestion]:
    """What is to be asked about the albums with *ids*, in their order."""
    rows = connection.execute(
        f"""
        SELECT l.artist, l.title, CASE WHEN l.release_left THEN l.mbid END,
               extract(epoch FROM %(now)s - CASE WHEN l.release_left THEN l.asked_at ELSE l.searched_at END)::float8
        FROM unnest(%(ids)s::integer[]) WITH ORDINALITY AS wanted (id, place)
        JOIN ({_LEFT}) l USING (id) WHERE l.release_left OR l.search_left ORDER BY wanted.place
        """,  # noqa: S608  (a constant)
        {"ids": list(ids), "now": datetime.fromtimestamp(now, UTC)},
    )
    return [AlbumQuestion(*row) for row in rows]


def names_of(connection: psycopg.Connection, mbids: Sequence[str], now: float) -> list[AlbumQuestion]:
    """The searches by name that are left for albums whose releases *mbids* nobody knows."""
    rows = connection.execute(
        f"""
        SELECT DISTINCT ON (a.name, al.name) a.name, al.name, NULL,
               extract(epoch FROM %(now)s - s.searched_at)::float8
        FROM albums al JOIN artists a ON a.id = al.artist_id
        LEFT JOIN album_searches s ON s.artist = a.name AND s.title = al.name
        WHERE al.mbid <> '' AND lower(al.mbid) = ANY(%(mbids)s)
          AND (s.band IS NULL OR s.band <> 'accept' AND NOT {_JUST_SEARCHED})
        """,  # noqa: S608  (a constant)
        {"mbids": [mbid.lower() for mbid in mbids], "now": datetime.fromtimestamp(now, UTC)},
    )
    return [AlbumQuestion(*row) for row in rows]


def load_answers(cursor: psycopg.Cursor[Any], lookups: Sequence[Lookup], source: str = "web") -> None:
    """The release groups of *lookups*, and which album each of them is; *source* is ``web`` or ``mirror``."""
    releases = sorted((row for row in lookups if isinstance(row, ReleaseLookup)), key=lambda row: row.asked)
    searches = sorted((row for row in lookups if isinstance(row, ReleaseGroupSearch)), key=lambda row: row.asked)
    judged = [(search, *_judge(search)) for search in searches]
    groups = [(row.group, row.fetched_at) for row in releases if row.group]
    groups += [(group, search.fetched_at) for search, group, _ in judged if group]
    _save_groups(cursor, groups, source)
    cursor.executemany(
        _SAVE_RELEASE,
        [
            (row.asked, row.release or None, row.group and row.group.mbid, at, at)
            for row in releases
            for at in (datetime.fromtimestamp(row.fetched_at, UTC),)
        ],
    )
    for search, group, match in judged:
        artist, title = search.asked
        at = datetime.fromtimestamp(search.fetched_at, UTC)
        cursor.execute(
            _SAVE_SEARCH,
            (
                artist, title, group and group.mbid, match.band, match.tier, match.score, match.runner_up,
                match.evidence, NORMALISER_VERSION, at, at,
            ),
        )  # fmt: skip
        cursor.execute(_KEEP_FIRST_SEARCH, {"at": at, "artist": artist, "title": title})


def _save_groups(cursor: psycopg.Cursor[Any], groups: Iterable[tuple[ReleaseGroup, float]], source: str) -> None:
    # In one order, so that two loaders wait for each other instead of deadlocking.
    cursor.executemany(
        _SAVE_GROUP,
        [
            (
                group.mbid, group.title, group.artist, group.year, group.month, group.day, group.primary_type,
                list(group.secondary_types), source, datetime.fromtimestamp(at, UTC),
            )
            for group, at in sorted(groups, key=lambda pair: (pair[0].mbid, pair[1]))
        ],
    )  # fmt: skip


def _judge(search: ReleaseGroupSearch) -> tuple[ReleaseGroup | None, Match]:
    """Which group of *search* is the album, and how sure that is."""
    from lastfm_crawl.matching.albums import AlbumCandidate, match_album  # noqa: PLC0415  (half a second to import)

    groups = {group.mbid: group for group in search.groups}
    match = match_album(
        *search.asked,
        [
            AlbumCandidate(group.mbid, group.title, group.artist, group.year, group.primary_type, group.secondary_types)
            for group in search.groups
        ],
    )
    return groups.get(str(match.id)), match


def ask_mirror(connection: psycopg.Connection, mirror: Mirror, ids: Sequence[int], now: float) -> None:
    """Ask *mirror* about the albums with *ids* all that there is to ask, and load what it says.

    Raises :class:`~lastfm_crawl.warehouse.mirror.MirrorUnavailableError`.
    """
    questions = albums_to_ask(connection, ids, now)
    found = mirror.releases([question.mbid for question in questions if question.mbid])
    unknown = [release.asked for release in found if release.group is None]
    by_name = [question for question in questions if question.mbid is None] + names_of(connection, unknown, now)
    names = list(dict.fromkeys((question.artist, question.title) for question in by_name))
    similar = mirror.similar_groups(names)
    lookups: list[Lookup] = [
        ReleaseLookup(
            method="musicbrainz.release",
            params="",
            subject=release.asked,
            status="ok" if release.group else "not_found",
            asked=release.asked,
            release=release.release,
            group=release.group,
            fetched_at=now,
        )
        for release in found
    ]
    lookups += [
        ReleaseGroupSearch(
            method="musicbrainz.search", params="", subject=" ".join(asked), asked=asked, groups=tuple(groups),
            fetched_at=now,
        )
        for asked, groups in zip(names, similar, strict=True)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        load_answers(cursor, lookups, "mirror")
