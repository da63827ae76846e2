"""What the title of an album says beside its name: ``Hues: Live at Home (Deluxe Edition) - EP`` is ``Hues: Live at
Home``, live, and an EP.

Versions in brackets are the business of ``titles``; here is what only albums have: discs, pressings, the type that
shops write behind a title, soundtracks, subtitles.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lastfm_crawl.matching.artists import plain
from lastfm_crawl.matching.normalise import fold, latin
from lastfm_crawl.matching.records import ROMAN, numbers
from lastfm_crawl.matching.titles import DISTINCT, SAME, parse_title, without, without_featuring

# A source is looked for when soundtracks are known.
_SOURCES = frozenset({"source"})
_EDITIONS = SAME - _SOURCES
# What takes time is done only for titles that have one of these.
_MARKED = re.compile(
    r"[(\[{\uff08\u3010\uff3b\u300c:\u2010-\u2015~-]"
    r"|\b(?:e\.?p\.?|soundtrack|score|ost|recording|edition|version|re-?master(?:ed)?|re-?issue|dis[ck]|cd) ?\d*$"
    r"|\b(?:remaster|reissue|feat|ft|featuring)\b",
    re.IGNORECASE,
)
# Every tail begins with what parts it from the title; blanks are single ones.
_PARTED = r"(?: ?[:,(\[{\u2010-\u2015-] ?| )"
_TYPE = re.compile(
    r"(?: ?[(\[\u2010-\u2015-] ?(?:cd |maxi[ -]|digital )?(single|e\.?p\.?)| (e\.?p\.?))[)\]]?$", re.IGNORECASE
)
_YEAR = re.compile(r" ?[(\[]((?:19|20)\d\d)[)\]]$")
_FILM = r"(?:motion picture|film|movie|tv|television|series|(?:video ?)?game|netflix|hbo|show|musical)"
_SOUNDTRACK = re.compile(
    rf"{_PARTED}(?:(?:the|more|music|songs|from|and|&|inspired|by|original|official|complete) ){{0,6}}"
    rf"(?:(?:{_FILM} ){{0,3}}(?:soundtrack|score|ost)(?: album| recording)?"
    rf"|(?:music|songs)(?: from)?(?: and| &)?(?: inspired)?(?: by)? (?:the )?(?:original )?(?:{_FILM} ?){{1,3}}"
    rf"|from (?:the )?(?:original )?(?:{_FILM} ?){{1,3}}"
    r"|(?:broadway |london )?cast recording|bande originale(?: du film)?|musique (?:du|de) film)[)\]]?$",
    re.IGNORECASE,
)
_PRESSING = re.compile(
    r"[ ,:]{1,2}(?:(?:cd|dis[ck])s? ?(?:\d{1,2}|one|two|three)"
    r"|(?:(?:\d{1,3}(?:st|nd|rd|th)|super|ultra|deluxe|expanded|limited|special|anniversary|collector'?s|legacy"
    r"|bonus) ){1,4}(?:edition|version))$"
    r"|(?: ?[(\[{]| [\u2010-\u2015-] )(?:(?:\d ?)?(?:x ?)?(?:cd|lp|vinyl|dis[ck])s?"
    r"(?: ?(?:\d{1,2}|one|two|three)\b.*)?"
    r"|digital(?: (?:download|release|album))?|album|import|promo|advance|hi-?res|\d{1,2} tracks?"
    r"|(?:the )?(?:us|usa|uk|eu|european|non[ -]eu|japan|german|french|australian|canadian|international|int'l)"
    r"(?: (?:version|edition|release|import|pressing))?)[)\]}]?$",
    re.IGNORECASE,
)
_SUBTITLE = re.compile(r":| [\u2010-\u2015/-] | ?[(\[\uff08]|; ")
# Longer titles are not taken apart, longer tails not taken away.
_LONGEST, _TAIL = 400, 100
_NO_TITLE = frozenset({"", "the", "a", "an"})
#: As much of a head as may stand for the whole.
_SHORTEST_HEAD = 4

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (
            "live",
            r"^live!?$|(?:^|[-:,/(\[\u2010-\u2015] ?)live (?:(?:in|on|with) \w|@|\d)|\blive (?:at|from)\b"
            r"|[-:(\[\u2010-\u2015] ?live\b|\blive!?[)\]]|\w live!$|\blive (?:album|recordings?|sessions?|bootleg|tour"
            r"|ep$)"
            r"|\bunplugged\b|\bin concert\b|\b(?:bbc|peel|radio one) sessions?\b|\bbootleg\b"
            r"|\b(?:en vivo|en directo|en concert|ao vivo|dal vivo)\b|\bna żywo\b|ライ[ブヴ]",
        ),
        ("remix", r"\bre-?mix(?:es|ed)?\b|\brmx\b|\bmixed by\b"),
        ("demo", r"\bdemos?\b"),
        ("instrumental", r"\binstrumentals?\b"),
        ("karaoke", r"\bkaraoke\b"),
        ("cover", r"\btribute to\b"),
        ("rerecorded", r"\b[^ ]+['\u2019]s version\b"),
        (
            "compilation",
            r"\bgreatest hits\b|\bbest of\b|\bthe best\b|\bhits\b|\banthology\b|\bcollection\b|\bthe essential\b"
            r"|\bthe singles\b|\bb-?sides\b|\brarities\b|\bplaylist\b",
        ),
    )
)
# Most titles have none of their words.
_OF_A_KIND = re.compile(
    r"live|\bre-?mix|\brmx|\bmixed|\bdemo|instrumental|karaoke|tribute|version|unplugged|concert|session|bootleg"
    r"|vivo|directo|dal vivo|na żywo|ライ|hits|\bbest|anthology|collection|essential|singles|sides|rarities|playlist"
)
# A word that says nothing on its own, or that live says, too.
_NO_KIND = frozenset({"version", "alternate"})

_ABBREVIATED = {"vol": "volume", "vols": "volume", "pt": "part", "pts": "part", "no": "number", "chap": "chapter"}
_COUNTED = frozenset({"volume", "part", "number", "chapter", "book", "act", "episode", "side"})
_COUNTS = {word: str(count) for count, word in enumerate(
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1)
}  # fmt: skip
# Words and letters elsewhere, numbers at the end of a title.
_ROMAN_AT_END = {"i": "1", "v": "5", "x": "10"}


class AlbumTitle(NamedTuple):
    """A title taken apart. ``full`` is all of it, ``base`` is without what leaves the album the same one, ``head`` is
    ``base`` before its subtitle (empty without one): each in the form that is compared.

    ``native`` is ``base`` in its own script, ``type`` is Single, EP or nothing.
    """

    folded: str
    full: str
    base: str
    head: str
    native: str
    numbers: set[str]
    kinds: frozenset[str]
    type: str = ""
    soundtrack: bool = False
    year: int | None = None


def parse_album(text: str) -> AlbumTitle:
    """The title of an album taken apart; never without a base, unless the text is blank."""
    text = " ".join(text.split())
    folded = fold(text)
    native = plain(text)
    full = _form(native)
    if len(text) > _LONGEST:
        return AlbumTitle(folded, full, full, "", native, numbers(full), frozenset())
    kinds = _kinds(folded)
    if not _MARKED.search(text):
        return AlbumTitle(folded, full, full, "", native, numbers(full), kinds)
    rest, type_, soundtrack, year = _without_tails(text)
    if not any(map(str.isalnum, rest)):
        full = folded  # of "÷ (Deluxe)" the form would be that of "= (Deluxe)"
    kinds |= _kinds(fold(rest)) | ((parse_title(text).flags & DISTINCT) - _NO_KIND)
    if "live" in kinds:
        kinds -= {"acoustic"}
    found = _SUBTITLE.search(rest, 1)
    head = _form(plain(rest[: found.start()])) if found else ""
    head = head if len(head) >= _SHORTEST_HEAD else ""
    native = plain(rest)
    base = _form(native)
    return AlbumTitle(folded, full, base, head, native, numbers(base), kinds, type_, soundtrack, year)


def _kinds(folded: str) -> frozenset[str]:
    if not _OF_A_KIND.search(folded):
        return frozenset()
    return frozenset(kind for kind, pattern in _KINDS if pattern.search(folded))


def _without_tails(text: str) -> tuple[str, str, bool, int | None]:
    """*text* without editions, type, soundtrack and year, which stand in any order; and what those were."""
    type_, soundtrack, year = "", False, None
    before = ""
    while before != text:
        before = text
        if found := _cut(_TYPE, text):
            type_ = type_ or ("Single" if (found[1] or "").lower() == "single" else "EP")
            text = text[: found.start()]
        text = without(without_featuring(text), _EDITIONS)
        if found := _cut(_SOUNDTRACK, text):
            soundtrack = True
            text = text[: found.start()]
        if found := _cut(_YEAR, text):
            year = int(found[1])
            text = text[: found.start()]
        if found := _cut(_PRESSING, text):
            text = text[: found.start()]
        text = without(text, _SOURCES).rstrip(" :,")
    return text, type_, soundtrack, year


def _cut(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Where the tail begins that *pattern* finds, if it leaves something."""
    found = pattern.search(text, max(1, len(text) - _TAIL))
    return found if found and fold(text[: found.start()]).strip(" -:,([") not in _NO_TITLE else None


def _form(native: str) -> str:
    """The key of what is ``plain``, with numbers in figures and abbreviations in full: ``vol ii`` is ``volume 2``."""
    words = (native if native.isascii() else latin(native)).split(" ")
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        counted = before in _COUNTED
        if word in _ABBREVIATED and place + 1 < len(words):
            words[place] = _ABBREVIATED[word]
        elif word in ROMAN:
            words[place] = ROMAN[word]
        elif word in _ROMAN_AT_END and before and (counted or place + 1 == len(words)):
            words[place] = _ROMAN_AT_END[word]
        elif word in _COUNTS and counted:
            words[place] = _COUNTS[word]
    return " ".join(words)
