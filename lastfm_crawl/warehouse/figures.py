"""Figures that are cheap to count: how far each service is, how well matching does, what the cache and the loader did.

The record of a run and the quality report have them from here. Cheap is: counted over rows of answers, names and
matches, never over plays or rows of lists, so that ten million of those cost nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The shares that the brief wants.
MATCH_TARGET = 0.8
CACHE_TARGET = 0.7
#: Milliseconds after which the end of a run does without its figures.
PATIENCE = 2_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A part of a whole; *target* is the share of it that is wanted, where there is one."""

    service: str
    name: str
    part: int
    whole: int
    target: float | None = None

    @property
    def share(self) -> float | None:
        """From 0 to 1; None: there is nothing to have a share of."""
        return self.part / self.whole if self.whole else None

    @property
    def below(self) -> bool:
        """Whether it misses its target."""
        return self.target is not None and self.share is not None and self.share < self.target

    def as_json(self) -> dict[str, Any]:
        """For a JSON object."""
        return {**asdict(self), "share": self.share, "below_target": self.below}


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What the cache and the loader did in one run; a batch is what is loaded in one transaction."""

    run_id: str
    spider: str
    cache: Figure
    batches: int
    batch_seconds: float  # of all of them
    longest_batch: float

    @classmethod
    def of(cls, run_id: str, spider: str, stats: Mapping[str, Any]) -> RunFigures:
        """What the final *stats* of a run say."""
        hits, misses = stats.get("httpcache/hit", 0), stats.get("httpcache/miss", 0)
        return cls(
            run_id,
            spider,
            Figure("store", "cache hits", hits, hits + misses, CACHE_TARGET),
            stats.get("lastfm_crawl/batches", 0),
            stats.get("lastfm_crawl/batch_ms", 0) / 1000,
            stats.get("lastfm_crawl/batch_ms_max", 0) / 1000,
        )

    @property
    def seconds_per_batch(self) -> float | None:
        """The mean; None: nothing was loaded."""
        return self.batch_seconds / self.batches if self.batches else None

    def as_json(self) -> dict[str, Any]:
        """For a JSON object."""
        return {
            "cache_hits": self.cache.as_json(),
            "batches": self.batches,
            "seconds_per_batch": self.seconds_per_batch,
            "longest_batch": self.longest_batch,
        }


# A mark, that there is nothing to have, finishes a list as all its pages do. Of lists with a limit the pages that are
# there have no gap; nobody but the run that asked knows the limit. The view history_windows compares each page of a
# window with each: too slow for all users at once, so here the rows that the pages stand for are put together.
_COVERAGE = """
WITH members AS MATERIALIZED (
    SELECT id, status <> 'not_found' AS known, profile_at FROM users WHERE discovered_at IS NOT NULL),
finished AS (
    SELECT p.user_id, p.method
    FROM current_pages p JOIN fetches f USING (id)
    WHERE p.method IN ('user.getFriends', 'user.getTopArtists', 'user.getTopAlbums', 'user.getTopTracks',
                       'user.getLovedTracks')
    GROUP BY p.user_id, p.method, p.params
    HAVING count(*) >= CASE WHEN p.method IN ('user.getFriends', 'user.getLovedTracks')
                            THEN (array_agg(f.pages ORDER BY f.fetched_at DESC, f.page DESC))[1] ELSE max(p.page) END
    UNION
    SELECT user_id, 'user.getRecentTracks' FROM (
        SELECT user_id, min(total) = max(total) AND range_agg(int8range(first, beyond)) @> int8range(0, max(total))
               AS complete
        FROM history_pages GROUP BY user_id, window_from, window_to) windows
    GROUP BY user_id HAVING bool_and(complete)
    UNION
    SELECT user_id, method FROM fetches WHERE status IN ('not_found', 'private')),
lists AS (
    SELECT f.method, count(*) AS n FROM finished f JOIN members m ON m.id = f.user_id AND m.known GROUP BY f.method)
SELECT service, name, part, whole FROM (
    SELECT 1 AS place, 'Last.fm' AS service, 'members whom it knows' AS name, count(*) FILTER (WHERE known) AS part,
           count(*) AS whole FROM members
    UNION ALL
    SELECT 2, 'Last.fm', 'profiles', count(profile_at), count(*) FROM members WHERE known
    UNION ALL
    SELECT k.place, 'Last.fm', k.name, coalesce(l.n, 0), (SELECT count(*) FROM members WHERE known)
    FROM (VALUES (3, 'friends lists', 'user.getFriends'), (4, 'top artists', 'user.getTopArtists'),
                 (5, 'top albums', 'user.getTopAlbums'), (6, 'top tracks', 'user.getTopTracks'),
                 (7, 'loved tracks', 'user.getLovedTracks'), (8, 'histories', 'user.getRecentTracks')
         ) k (place, name, method)
    LEFT JOIN lists l USING (method)
    UNION ALL
    SELECT 9, 'Spotify', 'artists', (SELECT count(*) FROM artist_matches WHERE band = 'accept'),
           (SELECT count(*) FROM artists)
    UNION ALL
    SELECT 10, 'Spotify', 'tracks', (SELECT count(*) FROM track_matches WHERE band = 'accept'),
           (SELECT count(*) FROM tracks)
    UNION ALL
    SELECT 11, 'AOTY', 'albums with a score',
           (SELECT count(*) FROM aoty_album_matches m JOIN aoty_albums b ON b.id = m.aoty_id
            WHERE m.band = 'accept' AND (b.user_score IS NOT NULL OR b.critic_score IS NOT NULL)),
           (SELECT count(*) FROM albums)
    UNION ALL
    SELECT 12, 'AOTY', 'tracks', (SELECT count(*) FROM aoty_track_matches WHERE believed), (SELECT count(*) FROM tracks)
    UNION ALL
    SELECT 13, 'songs', 'tracks that are of a song', (SELECT count(*) FROM song_tracks), (SELECT count(*) FROM tracks)
    ) figures
ORDER BY place
"""
_RATES = """
SELECT 'Spotify', 'artists', count(*) FILTER (WHERE band = 'accept'), count(*) FROM artist_matches
UNION ALL
SELECT 'Spotify', 'tracks', count(*) FILTER (WHERE band = 'accept'), count(*) FROM track_matches
UNION ALL
SELECT 'MusicBrainz', 'releases by id', count(group_mbid), count(*) FROM releases
UNION ALL
SELECT 'MusicBrainz', 'albums by name', count(*) FILTER (WHERE band = 'accept'), count(*) FROM album_searches
UNION ALL
SELECT 'AOTY', 'albums', count(*) FILTER (WHERE band = 'accept'), count(*) FROM aoty_album_matches
UNION ALL
SELECT 'AOTY', 'tracks', count(*) FILTER (WHERE believed), count(*) FROM aoty_track_matches
"""


def coverage(connection: psycopg.Connection) -> list[Figure]:
    """How much of what there is each service has told about."""
    return [Figure(*row) for row in connection.execute(_COVERAGE)]


def match_rates(connection: psycopg.Connection) -> list[Figure]:
    """What is believed of all that was looked for, kind by kind."""
    rows: list[tuple[str, str, int, int]] = connection.execute(_RATES).fetchall()
    return [Figure(*row, MATCH_TARGET) for row in rows]


def of_last_runs(connection: psycopg.Connection, limit: int) -> list[RunFigures]:
    """The newest *limit* runs that came to an end, the newest first."""
    rows = connection.execute(
        "SELECT id, spider, stats FROM runs WHERE stats IS NOT NULL ORDER BY id DESC LIMIT %s", [limit]
    )
    return [RunFigures.of(*row) for row in rows]


def for_record(connection: psycopg.Connection, run: RunFigures) -> dict[str, Any]:
    """The figures of a run that ends, for its record; without those that take too long to count."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = {PATIENCE}")
            counted = {
                "coverage": [figure.as_json() for figure in coverage(connection)],
                "match_rates": [figure.as_json() for figure in match_rates(connection)],
            }
    except psycopg.errors.QueryCanceled:
        counted = {}
    return run.as_json() | counted
