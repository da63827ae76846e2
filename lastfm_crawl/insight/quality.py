"""How good the data is: coverage, match rates, what must not be there, what the last runs did, and pairs to read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.insight import checks
from lastfm_crawl.insight.checks import PASSES, Finding
from lastfm_crawl.warehouse import figures
from lastfm_crawl.warehouse.figures import CACHE_TARGET, Figure, RunFigures
from lastfm_crawl.warehouse.matches import match_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

#: Runs that the cache and the loader are judged by, and pairs of each kind and band that are shown.
RUNS = 10
PAIRS = 5
#: How often :func:`report` calls *advance*.
STEPS = len(PASSES) + 3

SERVICES = ("Last.fm", "Spotify", "MusicBrainz", "AOTY", "songs")


@dataclass(frozen=True, slots=True)
class Matched:
    """How many of a kind were found in a certain way, and whether that is believed (accept), to be read, or not."""

    kind: str
    band: str
    tier: str
    count: int


class Pair(NamedTuple):
    """What was matched with what, and why; for somebody to read."""

    kind: str
    band: str
    ours: str
    theirs: str
    tier: str
    score: float
    evidence: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The answer. Findings of nothing are among the findings: they say what was looked for."""

    coverage: tuple[Figure, ...]
    match_rates: tuple[Figure, ...]
    matched: tuple[Matched, ...]
    findings: tuple[Finding, ...]
    cache: Figure
    runs: tuple[RunFigures, ...]
    pairs: tuple[Pair, ...]

    @property
    def below(self) -> tuple[Figure, ...]:
        """The figures that miss their targets."""
        return tuple(figure for figure in (*self.coverage, *self.match_rates, self.cache) if figure.below)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What was found and is in no sound warehouse."""
        return tuple(finding for finding in self.findings if finding.count and finding.check.fault)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a JSON object."""
        return {
            "coverage": [figure.as_json() for figure in self.coverage],
            "match_rates": [figure.as_json() for figure in self.match_rates],
            "matched": [asdict(row) for row in self.matched],
            "findings": [
                {
                    "kind": finding.check.kind,
                    "check": finding.check.what,
                    "fault": finding.check.fault,
                    "count": finding.count,
                    "example": finding.example,
                }
                for finding in self.findings
            ],
            "cache_hits": self.cache.as_json(),
            "runs": [{"run_id": run.run_id, "spider": run.spider, **run.as_json()} for run in self.runs],
            "pairs": [pair._asdict() for pair in self.pairs],
            "below_target": len(self.below),
            "faults": sum(finding.count for finding in self.faults),
        }


# One pass over the plays; the rest is about recordings, which are far fewer.
_BY_PLAYS = """
WITH played AS MATERIALIZED (SELECT recording_id, count(*) AS plays FROM scrobbles GROUP BY recording_id),
rated AS (
    SELECT m.album_id FROM aoty_album_matches m JOIN aoty_albums b ON b.id = m.aoty_id
    WHERE m.band = 'accept' AND (b.user_score IS NOT NULL OR b.critic_score IS NOT NULL))
SELECT coalesce(sum(plays), 0)::bigint, coalesce(sum(plays) FILTER (WHERE y.year IS NOT NULL), 0)::bigint,
       coalesce(sum(plays) FILTER (WHERE rated.album_id IS NOT NULL), 0)::bigint,
       coalesce(sum(plays) FILTER (WHERE t.believed), 0)::bigint,
       coalesce(sum(plays) FILTER (WHERE s.track_id IS NOT NULL), 0)::bigint
FROM played p
JOIN recordings r ON r.id = p.recording_id
LEFT JOIN album_years y ON y.album_id = r.album_id
LEFT JOIN rated ON rated.album_id = r.album_id
LEFT JOIN aoty_track_matches t ON t.track_id = r.track_id
LEFT JOIN song_tracks s ON s.track_id = r.track_id
"""

_MATCHED = """
SELECT 'artist', band, tier, count(*) FROM artist_matches GROUP BY band, tier
UNION ALL
SELECT 'track', band, tier, count(*) FROM track_matches GROUP BY band, tier
UNION ALL
SELECT 'album in MusicBrainz', CASE WHEN group_mbid IS NULL THEN 'reject' ELSE 'accept' END, 'id', count(*)
FROM releases GROUP BY 2
UNION ALL
SELECT 'album in MusicBrainz', band, tier, count(*) FROM album_searches GROUP BY band, tier
UNION ALL
SELECT 'album in AOTY', band, tier, count(*) FROM aoty_album_matches GROUP BY band, tier
UNION ALL
SELECT 'track in AOTY', CASE WHEN believed THEN 'accept' WHEN match_type = 'no_match' THEN 'reject' ELSE 'review' END,
       match_type || ', ' || confidence, count(*)
FROM aoty_track_matches GROUP BY 2, 3
ORDER BY 1, 2, 4 DESC, 3
"""
# Chosen by a hash of the names: the same pairs each time, and no matter in which order they were loaded.
_PAIRS = """
SELECT * FROM (
    SELECT 'artist', m.band, a.name AS ours, coalesce(s.name, m.spotify_id), m.tier, m.score, m.evidence
    FROM artist_matches m JOIN artists a ON a.id = m.artist_id LEFT JOIN spotify_artists s ON s.id = m.spotify_id
    WHERE m.band = {band} ORDER BY md5(a.name) LIMIT {limit}) artists
UNION ALL
SELECT * FROM (
    SELECT 'track', m.band, a.name || ' - ' || t.name,
           coalesce(array_to_string(s.artist_names, ', ') || ' - ' || s.name, m.spotify_id), m.tier, m.score, m.evidence
    FROM track_matches m JOIN tracks t ON t.id = m.track_id JOIN artists a ON a.id = t.artist_id
    LEFT JOIN spotify_tracks s ON s.id = m.spotify_id
    WHERE m.band = {band} ORDER BY md5(a.name || t.name) LIMIT {limit}) tracks
UNION ALL
SELECT * FROM (
    SELECT 'album in MusicBrainz', m.band, m.artist || ' - ' || m.title, g.artist || ' - ' || g.title, m.tier, m.score,
           m.evidence
    FROM album_searches m LEFT JOIN release_groups g ON g.mbid = m.group_mbid
    WHERE m.band = {band} ORDER BY md5(m.artist || m.title) LIMIT {limit}) searches
UNION ALL
SELECT * FROM (
    SELECT 'album in AOTY', m.band, a.name || ' - ' || l.name,
           array_to_string(b.artists, ', ') || ' - ' || b.title, m.tier, m.score, m.evidence
    FROM aoty_album_matches m JOIN albums l ON l.id = m.album_id JOIN artists a ON a.id = l.artist_id
    LEFT JOIN aoty_albums b ON b.id = m.aoty_id
    WHERE m.band = {band} ORDER BY md5(a.name || l.name || l.mbid) LIMIT {limit}) rated
UNION ALL
SELECT * FROM (
    SELECT 'track in AOTY', {band}, a.name || ' - ' || t.name,
           array_to_string(b.artists, ', ') || ' - ' || coalesce(o.title, b.title), m.match_type, m.score, m.reason
    FROM aoty_track_matches m JOIN tracks t ON t.id = m.track_id JOIN artists a ON a.id = t.artist_id
    LEFT JOIN aoty_albums b ON b.id = m.aoty_id
    LEFT JOIN aoty_tracks o ON o.album_id = m.aoty_id AND o.place = m.place
    WHERE m.believed = ({band} = 'accept') AND m.match_type <> 'no_match'
    ORDER BY md5(a.name || t.name) LIMIT {limit}) listed
"""


def report(connection: psycopg.Connection, advance: Callable[[], None] = lambda: None) -> Quality:
    """How good the data of the warehouse is. Calls *advance* after each of its :data:`STEPS`."""
    # Joins of all plays with what they refer to fit into this; with the default they go to disk.
    connection.execute("SET LOCAL work_mem = '64MB'")
    covered = _coverage(connection)
    advance()
    matched = tuple(Matched(*row) for row in connection.execute(_MATCHED))
    rates = tuple(figures.match_rates(connection))
    advance()
    findings = []
    for one in PASSES:
        findings += checks.find(connection, one)
        advance()
    pairs = [
        Pair(kind, band, ours, theirs or "", tier, score, evidence)
        for name in ("accept", "review")
        for kind, band, ours, theirs, tier, score, evidence in connection.execute(
            _PAIRS.format(band=f"'{name}'", limit=PAIRS)
        )
    ]
    runs = tuple(figures.of_last_runs(connection, RUNS))
    advance()
    hits, asked = sum(run.cache.part for run in runs), sum(run.cache.whole for run in runs)
    cache = Figure("store", f"cache hits of the last {RUNS} runs", hits, asked, CACHE_TARGET)
    return Quality(covered, rates, matched, tuple(findings), cache, runs, tuple(pairs))


def _coverage(connection: psycopg.Connection) -> tuple[Figure, ...]:
    """What each service has told about, by count and by plays, service by service."""
    covered = figures.coverage(connection)
    by_count = connection.execute("SELECT count(year), count(*) FROM album_years").fetchone()
    by_plays = connection.execute(_BY_PLAYS).fetchone()
    assert by_count is not None  # noqa: S101  (an aggregate always has a row)
    assert by_plays is not None  # noqa: S101
    dated, albums = by_count
    plays, plays_dated, plays_rated, plays_in_aoty, plays_in_songs = by_plays
    artists, tracks = (match_counts(connection, kind) for kind in ("artist", "track"))
    covered += [
        Figure("Spotify", "artists, by plays of top-artists lists", artists.plays_accepted, artists.plays),
        Figure("Spotify", "tracks, by plays", tracks.plays_accepted, tracks.plays),
        Figure("MusicBrainz", "albums with a year", dated, albums),
        Figure("MusicBrainz", "albums with a year, by plays", plays_dated, plays),
        Figure("AOTY", "albums with a score, by plays", plays_rated, plays),
        Figure("AOTY", "tracks, by plays", plays_in_aoty, plays),
        Figure("songs", "tracks that are of a song, by plays", plays_in_songs, plays),
    ]
    return tuple(sorted(covered, key=lambda figure: SERVICES.index(figure.service)))
