"""Which of some release groups is an album that was scrobbled under the names of an artist and an album.

Equal names are one album, unless one is live and the other is not, or nobody can tell several of one name apart. What
is merely alike is as probable as artist and title are alike, each for itself: ``0.95 * artist * title``. What speaks
against a candidate (another kind of recording, a sampler, a best-of that is not equal) takes a fifth of its score,
which is enough to keep it from being accepted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rapidfuzz import fuzz

from lastfm_crawl.matching.album_titles import AlbumTitle, parse_album
from lastfm_crawl.matching.artists import key, main_artist, plain
from lastfm_crawl.matching.names import Match
from lastfm_crawl.matching.normalise import fold
from lastfm_crawl.matching.records import credited_names, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lastfm_crawl.matching.names import Band, Tier

NOTHING = Match(None, None, "none", 0.0, 0.0, "no album is like it", "reject")
#: How sure an album is whose title is equal to the letter, without editions, or without its subtitle.
STRONG, EDITION, SUBTITLE = 0.97, 0.96, 0.92
#: How sure one is that is merely alike, at most.
FUZZY = 0.95
#: From here on an album is accepted, if the next one is at least so much less probable; below there it is none.
ACCEPT, MARGIN, REJECT = 0.86, 0.1, 0.6
#: What each thing that speaks against a candidate leaves of its score; a live album is not the studio's.
DOUBT, LIVE_IS_ANOTHER = 0.8, 0.6
#: What is left of a live album whose title, equal to the letter, does not say so: accepted if there is no other.
LIVE_BY_TYPE = 0.9
#: So much below the chosen one is another type of release of the same name, if it came out in another year.
_OTHER_TYPE = 0.05
#: So alike is an artist to a credit that names others, too, and to Various Artists.
_CREDITED = 0.95
#: Names that are shorter say too little to be alike.
_SHORTEST = 4
#: Longer texts are compared by their beginnings.
_LONGEST = 400

_SHOWN = 60

_PREFIX = re.compile(r"(?: ?:| [\u2010-\u2015-]) (?=[^\W_])")
_YEAR = re.compile(r"(?:19|20)\d\d")
_HOW = {
    1.0: "but for case", STRONG: "in letters and digits", EDITION: "without the edition",
    SUBTITLE: "without the subtitle",
}  # fmt: skip
_VARIOUS = "various artists"
_VARIOUS_ASKED = frozenset({_VARIOUS, "various", "va", "v a"})
_SELF_TITLED = frozenset({"s/t", "self titled", "self-titled", "selftitled", "(self-titled)", "[self-titled]"})
_SHORT = frozenset({"EP", "Single"})
_TYPES = ("Album", "EP", "Single", "", "Broadcast", "Other")
_KIND_OF_TYPE = {
    "Live": "live", "Remix": "remix", "DJ-mix": "remix", "Demo": "demo", "Compilation": "compilation",
}  # fmt: skip
# Kinds that are other recordings; a compilation has the same ones.
_RECORDINGS = frozenset({"live", "remix", "demo"})


class AlbumCandidate(NamedTuple):
    """A release group of MusicBrainz. ``id`` is its MBID, ``artist`` the credit as on the cover, ``year`` the first."""

    id: str
    title: str
    artist: str
    year: int | None = None
    primary_type: str = ""
    secondary_types: tuple[str, ...] = ()


class _Artist(NamedTuple):
    name: str
    folded: str
    native: str
    form: str
    names: frozenset[str]
    various: bool


class _Album(NamedTuple):
    artist: _Artist
    title: AlbumTitle


class _Scored(NamedTuple):
    """A candidate; of equal scores the least ``place`` is meant. ``name`` is what albums of one name share."""

    candidate: AlbumCandidate
    score: float
    tier: Tier
    evidence: str
    place: tuple[int, ...]
    name: tuple[str, str]


def album_key(artist: str, title: str) -> str:
    """The key of *title* by *artist*: of the artist without guests, and of the title without editions and type."""
    of = _artist(artist, _VARIOUS_ASKED)
    return f"{of.form}\t{_title(of, title).base}"


def match_album(artist: str, title: str, candidates: Sequence[AlbumCandidate]) -> Match:
    """The one of *candidates* that *title* by *artist* is, how it was found, and how sure that is.

    ``exact``: artist and title are equal but for case. ``strong``: in a weaker form, or without an edition or a
    subtitle. ``fuzzy``: alike. Neither the order of the candidates nor anything that a service says of them counts.
    """
    if not fold(artist) or not fold(title):
        return NOTHING._replace(evidence="an album is looked for by artist and title")
    if not candidates:
        return NOTHING
    asked = _artist(artist, _VARIOUS_ASKED)
    wanted = _Album(asked, _title(asked, title))
    best, *others = sorted((_score(wanted, candidate) for candidate in candidates), key=_rank)
    runner_up, evidence = _rival(best, [other for other in others if other.candidate.id != best.candidate.id])
    if best.score < REJECT:
        return NOTHING._replace(score=best.score, runner_up=runner_up, evidence=f"the nearest is not: {best.evidence}")
    # Equal is equal: what is merely alike is no rival of it.
    clear = runner_up < best.score if best.score >= EDITION else best.score - runner_up >= MARGIN
    band: Band = "accept" if best.score >= ACCEPT and clear else "review"
    return Match(best.candidate.id, best.candidate.title, best.tier, best.score, runner_up, evidence, band)


def _rival(best: _Scored, others: list[_Scored]) -> tuple[float, str]:
    """The score of the next best, and what is to be said of the choice.

    Groups of one name are no rivals of each other if a rule chooses between them (album before single) or if it makes
    no difference (one year).
    """
    runner_up = 0.0
    chosen_from, twins = [], []
    for other in others:
        if other.score < best.score or other.name != best.name:
            runner_up = max(runner_up, other.score)
        elif other.place == best.place:
            twins.append(other)
        else:
            chosen_from.append(other)
    evidence = best.evidence
    year = best.candidate.year
    if chosen_from:
        evidence += f"; {_kind(best)} before {', '.join(sorted({_kind(other) for other in chosen_from}))}"
        if any(other.candidate.year != year for other in chosen_from):
            evidence += f", which differ in year ({_years([best, *chosen_from])})"
            runner_up = max(runner_up, round(best.score - _OTHER_TYPE, 4))
    if twins and (year is None or any(twin.candidate.year != year for twin in twins)):
        return best.score, f"{evidence}; {len(twins) + 1} have this name ({_years([best, *twins])})"
    return runner_up, evidence


def _score(wanted: _Album, candidate: AlbumCandidate) -> _Scored:
    credited = _artist(candidate.artist)
    found = _Album(credited, _title(credited, candidate.title))
    artist = _equal_artists(wanted.artist, found.artist)
    title = _equal_titles(wanted.title, found.title)
    tier: Tier = "fuzzy"
    if artist and title:
        score = min(artist, title)
        tier = "exact" if score == 1 else "strong"
        evidence = f"equal {_HOW[score]}"
    else:
        alike_artist = artist or _alike_artists(wanted.artist, found.artist)
        alike_title = title or _alike_titles(wanted.title, found.title)
        score = FUZZY * alike_artist * alike_title
        evidence = f"artist {alike_artist:.2f}, title {alike_title:.2f} alike"
    evidence = f"{candidate.artist[:_SHOWN]}: {candidate.title[:_SHOWN]}, {evidence}"
    if score >= REJECT:
        for share, doubt in _doubts(wanted, found, candidate, title, equal=tier != "fuzzy"):
            score *= share
            evidence += f", but {doubt}"
    place = _place(wanted.title, candidate)
    return _Scored(candidate, round(score, 4), tier, evidence, place, (found.artist.form, found.title.base))


def _equal_artists(wanted: _Artist, found: _Artist) -> float:
    """How sure equal artists are; 0 if they are not equal."""
    if wanted.folded == found.folded:
        return 1.0
    if wanted.various != found.various:
        return 0.0
    if wanted.form == found.form and _scripts_agree(wanted.native, found.native):
        return STRONG
    return STRONG if wanted.names and wanted.names == found.names else 0.0


def _equal_titles(wanted: AlbumTitle, found: AlbumTitle) -> float:
    """How sure equal titles are: to the letter, without editions, without the subtitle of one; 0 if they are not."""
    if wanted.folded == found.folded:
        return 1.0
    if not _scripts_agree(wanted.native, found.native):
        return 0.0
    if wanted.full == found.full:
        return STRONG
    if wanted.base == found.base:
        return EDITION if wanted.soundtrack or not found.soundtrack else SUBTITLE
    without_subtitle = wanted.base == found.head or (found.base and wanted.head == found.base)
    return SUBTITLE if without_subtitle and _numbers_agree(wanted, found) else 0.0


def _alike_artists(wanted: _Artist, found: _Artist) -> float:
    if wanted.various:
        return 0.0
    if found.various or (wanted.names and found.names and (wanted.names < found.names or found.names < wanted.names)):
        return _CREDITED
    return _alike(wanted.form, found.form) if numbers(wanted.form) == numbers(found.form) else 0.0


def _alike_titles(wanted: AlbumTitle, found: AlbumTitle) -> float:
    if not _numbers_agree(wanted, found):
        return 0.0
    if _scripts_agree(wanted.native, found.native):
        return _alike(wanted.base, found.base)
    return _alike(wanted.native, found.native)


def _numbers_agree(wanted: AlbumTitle, found: AlbumTitle) -> bool:
    """Whether both have the same numbers; years that only one has may be said of any album."""
    ours, theirs = wanted.numbers, found.numbers
    return ours == theirs or (not (ours and theirs) and all(_YEAR.fullmatch(number) for number in ours | theirs))


def _alike(a: str, b: str) -> float:
    """How alike two forms are: the mean of the whole and of the words that are not in both, where one word of a kind
    makes the difference (Red Album, Blue Album)."""
    a, b = a[:_LONGEST], b[:_LONGEST]
    if a == b:
        return 1.0
    if min(len(a), len(b)) < _SHORTEST:
        return 0.0
    words_a, words_b = a.split(), b.split()
    only_a = "".join(word for word in words_a if word not in words_b)
    only_b = "".join(word for word in words_b if word not in words_a)
    rest = fuzz.ratio(only_a, only_b) / 100 if only_a and only_b else 0.5
    return (fuzz.ratio(a, b) / 100 + rest) / 2


def _doubts(
    wanted: _Album, found: _Album, candidate: AlbumCandidate, title: float, *, equal: bool
) -> Iterator[tuple[float, str]]:
    """What speaks against a candidate, and what that leaves of its score."""
    kinds = found.title.kinds | _kinds_of_type(candidate)
    if title >= STRONG:  # they say the same
        if unsaid := (kinds - wanted.title.kinds) & _RECORDINGS:
            yield LIVE_BY_TYPE, f"it is {', '.join(sorted(unsaid))} by its type"
    else:
        if "live" in wanted.title.kinds - kinds:
            yield LIVE_IS_ANOTHER, "it is not live"
        elif differing := (wanted.title.kinds ^ kinds) - {"compilation"}:
            yield DOUBT, f"only one is {', '.join(sorted(differing))}"
        yield from ((DOUBT, doubt) for doubt in _doubts_of_titles(wanted.title, found.title, candidate, title))
    if found.artist.various and not wanted.artist.various:
        yield DOUBT, "it is a sampler"
    elif "compilation" in wanted.title.kinds | kinds and not (equal and title >= EDITION):
        # Its year is one of its own.
        yield DOUBT, "it is a compilation and not equal"


def _doubts_of_titles(wanted: AlbumTitle, found: AlbumTitle, candidate: AlbumCandidate, title: float) -> Iterator[str]:
    if wanted.soundtrack and not (found.soundtrack or "Soundtrack" in candidate.secondary_types):
        yield "it is no soundtrack"
    if wanted.type and wanted.type != found.type and candidate.primary_type in {"Album", ""}:
        yield f"nothing says that it is a {wanted.type}"
    if title == SUBTITLE and (found.type or candidate.primary_type) in _SHORT - {wanted.type}:
        yield "it is shorter"
    if wanted.year and candidate.year and abs(wanted.year - candidate.year) > 1:
        yield f"it is of {candidate.year}"
    if wanted.numbers != found.numbers:
        yield "only one has a year in its title"


def _kinds_of_type(candidate: AlbumCandidate) -> frozenset[str]:
    return frozenset(_KIND_OF_TYPE[kind] for kind in candidate.secondary_types if kind in _KIND_OF_TYPE)


def _place(wanted: AlbumTitle, candidate: AlbumCandidate) -> tuple[int, ...]:
    """Where a candidate stands among those of one name: of the year asked for, of no kind that was not asked for, of
    the type asked for, else Album before EP before Single."""
    off = abs(wanted.year - candidate.year) if wanted.year and candidate.year else 0
    unasked = len(_kinds_of_type(candidate) - wanted.kinds)
    kind = candidate.primary_type if candidate.primary_type in _TYPES else "Other"
    return off, unasked, kind != wanted.type if wanted.type else 0, _TYPES.index(kind)


def _rank(scored: _Scored) -> tuple[float, tuple[int, ...], int, AlbumCandidate]:
    """Best first; of equals the first in place, then the earliest; the rest only so that no order changes anything."""
    candidate = scored.candidate
    return -scored.score, scored.place, candidate.year or 9999, candidate._replace(year=candidate.year or 0)


@lru_cache(maxsize=1024)  # the candidates for one album are mostly of one artist
def _artist(name: str, various: frozenset[str] = frozenset({_VARIOUS})) -> _Artist:
    """An artist in the forms that are compared, without guests; *various* are the names of nobody in particular."""
    main = main_artist(name)
    form = key(main)
    if form in various:
        return _Artist(main, fold(name), form, _VARIOUS, frozenset(), various=True)
    return _Artist(main, fold(name), plain(main), form, frozenset(credited_names(main)), various=False)


def _title(artist: _Artist, title: str) -> AlbumTitle:
    """A title taken apart, without the artist before it (``Blur: The Best Of``), if there is more behind it than an
    edition (``Blur - EP``); the artist's name for a title that says just that (``S/T``)."""
    if artist.name and fold(title) in _SELF_TITLED:
        return parse_album(artist.name)
    found = parse_album(title)
    if artist.name and title[: len(artist.name)].casefold() == artist.name.casefold():
        prefix = _PREFIX.match(title, len(artist.name))
        if prefix and plain(artist.name) != found.native:
            return parse_album(title[prefix.end() :])._replace(folded=found.folded, full=found.full)
    return found


def _scripts_agree(a: str, b: str) -> bool:
    """Whether ASCII may be compared: of Chinese and Japanese it keeps one reading of several, so it says something only
    where one of the two is written so. One may have a subtitle more."""
    return a.isascii() or b.isascii() or a.startswith(b) or b.startswith(a)


def _kind(scored: _Scored) -> str:
    return " ".join((*scored.candidate.secondary_types, scored.candidate.primary_type)) or "unknown type"


def _years(scored: Iterable[_Scored]) -> str:
    return ", ".join(sorted({str(one.candidate.year or "unknown") for one in scored}))
