"""What a title says of the version: ``Hey Jude - Remastered 2015`` is the base ``Hey Jude`` and the flag ``remaster``.

A version stands in brackets or behind `` - ``. ``parse_title`` takes it apart, ``without`` takes some kinds of it away,
``compatible`` says whether two versions may be one recording. Every step is linear in the length of the title: titles
are written by strangers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.normalise import fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: Longer than any version's name: what is longer belongs to the title.
_LONGEST = 160

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("remaster", r"\bre-? ?master(?:ed|s|isé|izado|izada|ing)?\b|リマスター"),
        ("reissue", r"\bre-?issued?\b|\bre-?released?\b"),
        ("anniversary", r"\banniversary\b"),
        (
            "deluxe",
            r"\bdeluxe\b|\bexpanded\b|\bbonus\b|\b(?:special|limited|collectors?|collector's|legacy|super|gold|platinum"
            r"|complete|standard|international|japanese|digital|amazon|itunes) (?:edition|version)\b|\bedition$"
            r"|\bbox set$|\bdigital booklet\b",
        ),
        ("explicit", r"^explicit\b|\bexplicit (?:version|lyrics|content)\b|^dirty version$"),
        ("clean", r"^(?:clean|censored|edited)(?: (?:version|edit|lyrics))?$"),
        ("mono", r"\bmono\b"),
        ("stereo", r"\bstereo\b"),
        (
            "original",
            r"^original$|^original(?: [^ ]+){0,2} (?:version|mix|recording|edit)\b|^(?:[^ ]+ )?album track$"
            r"|^(?:album|lp|ep|full|main|studio)(?: (?:length|album))? (?:version|mix|edit)\b",
        ),
        ("edit", r"\b(?:radio|single|video|short|7(?:\"|''| ?-?inch)) (?:edit|version|mix|cut)\b|\bedit$"),
        ("extended", r"\bextended\b|\blong version\b|\b12(?:\"|''| ?-?inch)(?: (?:mix|version|single))?$"),
        (
            "live",
            r"^live$|^(?:recorded |filmed )?live (?:[@/(\[,:;&-]|at\b|in\b|from\b|on\b|with\b|and\b|acoustic\b|\d)"
            r"|\blive (?:version|session|sessions|recording|performance|album|take|video|edition)\b|\d live$"
            r"|\b(?:en vivo|en directo|en concert|ao vivo|dal vivo|in concert|unplugged|canl\u0131)\b|^na żywo$"
            r"|ライ[ブヴ]",
        ),
        ("acoustic", r"\bacoustic\b|\bac[uú]stic[oa]\b|\bacoustique\b|\bakustik\b|\bunplugged\b|\bstripped\b"),
        ("demo", r"\bdemos?$|\bdemos? (?:version|recording|take|tape|\d{4})\b|^demo\b|\brehearsal\b|\bouttakes?\b"),
        (
            "remix",
            r"\bre-?mix(?:ed|es)?\b|\brmx\b|\bmash-?up\b|\bbootleg\b|^vip\b|\bvip(?: mix)?$|\bre-?work(?:ed)?\b"
            r"|\bre-?fix$|\bdub$|\bdub (?:mix|version)\b|\bmix$|\bmixed\b|\bremake\b",
        ),
        ("instrumental", r"\binstrumentals?\b|^inst\.?$|インスト"),
        ("a cappella", r"\ba ?cap+ell?a\b"),
        (
            "karaoke",
            r"\bkaraoke\b|カラオケ|\bbacking (?:track|version)\b|\bsing-?along\b|\bin the style of\b"
            r"|\boriginally performed by\b|\bmade famous by\b",
        ),
        ("cover", r"\btribute (?:to|version)\b|\bcover(?: version)?$|\bcover(?:ed)? (?:of|by)\b"),
        ("sped up", r"\bsped[ -]?up\b|\bspeed[ -]up\b|\bnightcore\b"),
        ("slowed", r"\bslowed\b|\bdaycore\b|\bchopped (?:and|&|n'?|'n'?) screwed\b"),
        ("rerecorded", r"\bre-? ?record(?:ed|ing)\b|\b[^ ]+'s version\b|\b[^ ]+s' version\b"),
        ("parody", r"\bparody\b|\blyrical adapt(?:at)?ion of\b"),
        ("alternate", r"\b(?:alternate|alternative|early|rough)(?: [^ ]+)? (?:version|take|mix)\b|^take \d+$"),
        (
            "media",
            r"^(?:[^ ]+ )?(?:official|oficial|officiel|offizielles)\b|\b(?:video|videoclip|visuali[sz]er|audio)$"
            r"|^(?:with |w/ ?)?lyrics?\b|\blyrics? video\b|^(?:track )?stream$",
        ),
        (
            "source",
            r"^(?:music |theme |songs? )?from (?:the\b|\"|[^ ]+ [^ ]+$)|^as (?:heard|featured|seen) (?:in|on)\b"
            r"|\b(?:original )?(?:motion picture |game |television )?soundtrack$",
        ),
        ("version", r"\bversions?$|\bversion \d{4}$"),
    )
)
#: These are one and the same recording, or as good as that for who counts plays: of any two the bases decide.
SAME = frozenset({
    "remaster", "reissue", "anniversary", "deluxe", "explicit", "clean", "mono", "stereo", "original", "edit", "media",
    "source",
})  # fmt: skip
#: These are recordings of their own.
DISTINCT = frozenset(kind for kind, _ in _KINDS) - SAME
# "mix" and "version" say nothing where another word of the segment says what is meant: stereo mix, remastered version.
_VAGUE_MIX = re.compile(r"\bre-?mix|\bdub\b|\bvip\b|\brmx\b|\bboot|\bmash|\bre-?work|\bre-?fix|\bremake")
_SAYS_MIX = frozenset({"mono", "stereo", "original", "edit", "alternate", "demo"})

_FEATURING = re.compile(r"^(?:feat|ft|featuring|with|w/|con|avec)(?: ?\.| |(?<=/))\s*", re.IGNORECASE)
_FEATURING_INLINE = re.compile(r"(?<=\s)(?:feat ?\.|feat|ft ?\.|ft|featuring)\s", re.IGNORECASE)
_NAMES = re.compile(r"\s*[,;&+]\s*|\s(?:and|x|y|et|und)\s", re.IGNORECASE)
# Also the wide and the black ones of East Asia.
_OPENING = {
    "(": ")",
    "[": "]",
    "{": "}",
    "\uff08": "\uff09",
    "\u3010": "\u3011",
    "\uff3b": "\uff3d",
    "\u300c": "\u300d",
}
_BRACKETS = re.compile(f"[{re.escape(''.join((*_OPENING, *_OPENING.values())))}]")
_DASH = re.compile("(?<=\\s)[-\u2010-\u2015~](?=\\s)")
_PARTS = re.compile(r"\s*/\s*|\s*;\s*")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_ONLY_YEAR = re.compile(r"(?:19|20)\d\d")
_BARE = re.compile(
    r"\s(?:(?:19|20)\d\d )?(?:re-?issue|(?:digital )?remaster(?:ed)?(?: version)?)(?: (?:19|20)\d\d)?$", re.IGNORECASE
)
_BARE_LONGEST = 48
#: Kinds that say which edition an album is: its release group has them all, under the name without them.
_EDITIONS = frozenset({"anniversary", "clean", "deluxe", "explicit", "mono", "reissue", "remaster", "stereo"})
#: What Apple's shops add.
_SHOP_FORMAT = re.compile(r" - (?:Single|EP)$")


class Title(NamedTuple):
    """A title taken apart; ``version`` is what the flags in ``DISTINCT`` were read from (``Tiësto remix``)."""

    base: str
    flags: frozenset[str] = frozenset()
    featuring: tuple[str, ...] = ()
    year: int | None = None
    version: str = ""


class _Segment(NamedTuple):
    start: int
    end: int
    inner: str
    bracket: bool


def parse_title(text: str) -> Title:
    """The base title, what kind of version it is, who else plays on it, and the year of a remaster or a reissue.

    A title that would have no base (``(Live)``) has no version either.
    """
    kept: list[str] = []
    flags: set[str] = set()
    featuring: list[str] = []
    versions: list[str] = []
    year = None
    at = 0
    for segment in _version_segments(text):
        names = _names_featured(segment.inner) if segment.bracket else ()
        kinds = frozenset[str]() if names else _kinds(segment.inner)
        flags |= kinds
        featuring += names
        if kinds & DISTINCT:
            versions.append(segment.inner.strip())
        if found := _YEAR.search(segment.inner):
            year = int(found[0])
        kept.append(text[at : segment.start])
        at = segment.end
    base = " ".join([*kept, text[at:]])
    if bare := _BARE.search(base[-_BARE_LONGEST:].rstrip()):
        base = base.rstrip()[: -len(bare[0])]
        flags |= _kinds(bare[0])
        if found := _YEAR.search(bare[0]):
            year = int(found[0])
    base, names = _split_featured(base)
    base = " ".join(base.split())
    if not _says_something(base):
        return Title(" ".join(text.split()))
    return Title(base, frozenset(flags), (*featuring, *names), year, " ".join(versions))


def compatible(flags_a: Collection[str], flags_b: Collection[str]) -> bool:
    """Whether versions of these flags may be one recording: a remaster and the original are, a live one is not."""
    return DISTINCT.intersection(flags_a) == DISTINCT.intersection(flags_b)


def versions(text: str) -> list[tuple[str, frozenset[str]]]:
    """The segments of *text* that name a version, each with its kinds: ``[("Live at Wembley", {"live"})]``."""
    found = ((segment.inner.strip(), _kinds(segment.inner)) for segment in _version_segments(text))
    return [(inner, kinds) for inner, kinds in found if kinds]


def without(text: str, kinds: Collection[str]) -> str:
    """*text* without the versions of these *kinds*: ``without("Song (Live / Remastered)", {"remaster"})`` is
    ``Song (Live)``. What has nothing else stays."""
    kept: list[str] = []
    at = 0
    for segment in _version_segments(text):
        parts = [part for part in _PARTS.split(segment.inner) if part.strip()]
        # A year on its own belongs to what stood behind it: "- 2011 - Remaster".
        left = [part for part in parts if not _is_of(part, kinds)]
        if len(left) == len(parts):
            continue
        kept.append(text[at : segment.start].rstrip())
        if left:
            opening, closing = text[segment.start], text[segment.end - 1]
            kept.append(
                f" {opening}{' / '.join(left)}{closing}" if segment.bracket else f" - {' / '.join(left).strip()}"
            )
        at = segment.end
    kept.append(text[at:])
    found = "".join(kept).strip()
    bare = _BARE.search(found[-_BARE_LONGEST:])
    if bare and _kinds(bare[0]) & set(kinds):
        found = found[: -len(bare[0])].rstrip()
    return found if _says_something(found) else text.strip()


def without_featuring(text: str) -> str:
    """*text* without the guests: ``Song (feat. B) [Live]`` is ``Song [Live]``, ``A feat. B`` is ``A``."""
    kept: list[str] = []
    at = 0
    for segment in _segments(text):
        if segment.bracket and _names_featured(segment.inner):
            kept.append(text[at : segment.start].rstrip())
            at = segment.end
    kept.append(text[at:])
    found = _split_featured("".join(kept))[0].strip()
    return found if _says_something(found) else text.strip()


def group_title(title: str) -> str:
    """The *title* of an album without its edition, its guests and what shops add: what its release group is called."""
    return _SHOP_FORMAT.sub("", without_featuring(without(title, _EDITIONS)))


def bracket_version(text: str) -> str:
    """Versions in brackets, as most services write them: ``Song - X Remix`` is ``Song (X Remix)``."""
    for segment in reversed(list(_version_segments(text))):
        if not segment.bracket and segment.end == len(text) and not _ONLY_YEAR.fullmatch(segment.inner.strip()):
            return f"{text[: segment.start].rstrip()} ({segment.inner.strip()})"
    return text


def _is_of(part: str, kinds: Collection[str]) -> bool:
    found = _kinds(part)
    return bool(found.intersection(kinds)) or (not found and _ONLY_YEAR.fullmatch(part.strip()) is not None)


def _kinds(inner: str) -> frozenset[str]:
    """What kinds of version the text of a segment names; none if it is a part of the title."""
    if len(inner) > _LONGEST:
        return frozenset()
    folded = fold(inner).replace("\u2019", "'").replace(" .", ".").replace(" '", "'").strip(" *")
    found = {kind for kind, pattern in _KINDS if pattern.search(folded)}
    if len(found) > 1:
        if "remix" in found and found & _SAYS_MIX and not _VAGUE_MIX.search(folded):
            found.discard("remix")
        found.discard("version")
        if "remix" in found:
            found.discard("edit")
    return frozenset(found)


def _segments(text: str) -> Iterator[_Segment]:
    """The brackets that stand in no others, and the tails behind dashes, which end where a bracket begins; in order."""
    groups = _groups(text)
    cuts: list[tuple[int, int, bool]] = []
    number = 0
    for dash in _DASH.finditer(text):
        while number < len(groups) and groups[number][1] <= dash.start():
            cuts.append((*groups[number], True))
            number += 1
        if number == len(groups) or dash.start() < groups[number][0]:
            cuts.append((dash.start(), dash.end(), False))
    cuts += [(start, end, True) for start, end in groups[number:]]
    for place, (start, end, bracket) in enumerate(cuts):
        if bracket:
            yield _Segment(start, end, text[start + 1 : end - 1], bracket=True)
        else:
            stop = cuts[place + 1][0] if place + 1 < len(cuts) else len(text)
            yield _Segment(start, stop, text[end:stop], bracket=False)


def _groups(text: str) -> list[tuple[int, int]]:
    """Where brackets open and close, the outermost of those that close."""
    opened: list[tuple[int, str]] = []
    groups: list[tuple[int, int]] = []
    for match in _BRACKETS.finditer(text):
        sign = match[0]
        if sign in _OPENING:
            opened.append((match.start(), _OPENING[sign]))
        elif opened and opened[-1][1] == sign:
            start = opened.pop()[0]
            while groups and groups[-1][0] > start:
                groups.pop()
            groups.append((start, match.end()))
    return groups


def _version_segments(text: str) -> list[_Segment]:
    """The segments that name a version or guests. Of the tails those behind the last that names none."""
    found: list[_Segment] = []
    tails = True
    for segment in reversed(list(_segments(text))):
        if segment.bracket:
            if _names_featured(segment.inner) or _kinds(segment.inner):
                found.append(segment)
        elif tails:
            known = _kinds(segment.inner)
            # A year says something only before a version: "1999" may be the title.
            tails = bool(known) or bool(found and _ONLY_YEAR.fullmatch(segment.inner.strip()))
            if tails:
                found.append(segment)
    return found[::-1]


def _names_featured(inner: str) -> tuple[str, ...]:
    if len(inner) > 4 * _LONGEST:
        return ()
    inner = inner.strip()
    match = _FEATURING.match(inner)
    if not match or fold(inner) in {"with lyrics", "with lyric"}:
        return ()
    return tuple(name for name in _NAMES.split(inner[match.end() :]) if name)


def _split_featured(text: str) -> tuple[str, tuple[str, ...]]:
    """The text before ``feat.``, and the names behind it as far as the next bracket or dash."""
    match = _FEATURING_INLINE.search(text)
    if not match or not _says_something(text[: match.start()]):
        return text, ()
    rest = text[match.end() :]
    end = min((found.start() for found in (_BRACKETS.search(rest), _DASH.search(rest)) if found), default=len(rest))
    names = tuple(name for name in _NAMES.split(rest[:end].strip()) if name) if end <= 4 * _LONGEST else ()
    return f"{text[: match.start()].rstrip()} {rest[end:]}".rstrip(), names


def _says_something(text: str) -> bool:
    return bool(text.strip(" \t\n-()[]{}"))
