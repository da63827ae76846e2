"""Which of some candidates is a track: equal in some form, or as probable as the model says.

A song is on many releases. Those of one recording are no rivals: the best known of them is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.keys import track_key
from lastfm_crawl.matching.model import shipped
from lastfm_crawl.matching.names import Match
from lastfm_crawl.matching.normalise import fold
from lastfm_crawl.matching.records import features, prepare
from lastfm_crawl.matching.rows import Record
from lastfm_crawl.matching.titles import compatible, parse_title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lastfm_crawl.matching.names import Band, Tier

NOTHING = Match(None, None, "none", 0.0, 0.0, "no track is like it", "reject")
#: How sure a track is whose artist and title are equal in a weaker form.
STRONG = 0.97
#: Release types from the best known to the least; anything else is behind.
_TYPES = ("album", "single", "compilation")


class TrackCandidate(NamedTuple):
    """A track of a catalogue. ``artists`` are those credited, the first first; ``duration`` in seconds."""

    id: str
    title: str
    artists: tuple[str, ...]
    album: str = ""
    album_type: str = ""
    duration: float | None = None
    year: int | None = None
    isrc: str | None = None
    popularity: int | None = None


class _Scored(NamedTuple):
    candidate: TrackCandidate
    score: float
    tier: Tier
    evidence: str


def match_track(wanted: Record, candidates: Sequence[TrackCandidate]) -> Match:
    """The one of *candidates* that *wanted* is, how it was found, and how sure that is.

    ``exact``: artist and title are equal but for case. ``strong``: in a weaker form, with a version that may be the
    same recording. ``fuzzy``: the model's probability.
    """
    if not candidates:
        return NOTHING
    best, *others = sorted(_scores(wanted, candidates), key=_rank)
    song = _song(best.candidate)
    rival = next((other.score for other in others if _song(other.candidate) != song), 0.0)
    verdict = shipped().decide(best.score, rival)
    # Equal is equal: what is merely alike is no rival of it.
    band: Band = "accept" if best.tier in {"exact", "strong"} and rival < best.score else verdict.band
    if not compatible(parse_title(wanted.title).flags, parse_title(best.candidate.title).flags) and band == "accept":
        band = "review"
    if band == "reject":
        return NOTHING._replace(score=best.score, runner_up=rival, evidence=f"the nearest is {best.evidence}")
    return Match(best.candidate.id, best.candidate.title, best.tier, best.score, rival, best.evidence, band)


def _scores(wanted: Record, candidates: Sequence[TrackCandidate]) -> Iterator[_Scored]:
    left = []
    wanted_key = track_key(wanted.artist, wanted.title)
    flags = parse_title(wanted.title).flags
    for candidate in candidates:
        if fold(wanted.title) == fold(candidate.title) and fold(wanted.artist) in map(fold, _credits(candidate)):
            yield _Scored(candidate, 1.0, "exact", "artist and title are equal but for case")
        elif wanted_key in (track_key(artist, candidate.title) for artist in _credits(candidate)) and compatible(
            flags, parse_title(candidate.title).flags
        ):
            yield _Scored(candidate, STRONG, "strong", f"artist and title are {wanted_key!r} in the strong form")
        else:
            left.append(candidate)
    if left:
        ours = prepare(wanted)
        values = features([(ours, prepare(_record(candidate))) for candidate in left])
        for candidate, score in zip(left, shipped().score(values).tolist(), strict=True):
            yield _Scored(candidate, score, "fuzzy", f"{', '.join(candidate.artists)}: {candidate.title}")


def _rank(scored: _Scored) -> tuple[float, int, int, str]:
    """Best first; of equals the most popular, then the best type of release, then the first id."""
    candidate = scored.candidate
    kind = _TYPES.index(candidate.album_type) if candidate.album_type in _TYPES else len(_TYPES)
    return (-scored.score, -(candidate.popularity or 0), kind, candidate.id)


def _song(candidate: TrackCandidate) -> tuple[str, frozenset[str]]:
    """What releases of one recording have in common."""
    return track_key(candidate.artists[0], candidate.title), parse_title(candidate.title).flags


def _credits(candidate: TrackCandidate) -> list[str]:
    return [*candidate.artists, ", ".join(candidate.artists)]


def _record(candidate: TrackCandidate) -> Record:
    return Record(candidate.title, ", ".join(candidate.artists), candidate.album, candidate.duration, candidate.year)
