"""Rows as other people wrote them -> ``Record``: lengths and years in any notation, values in the wrong column.

A row is a mapping of column names to text, in the order of its columns. A column that is there and empty may have its
value in another one: times, dates, prices, rights and genres are recognised wherever they stand. A row in which the
length stands one column too far right is moved back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from lastfm_crawl.matching.normalise import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = {
    "title": ("title", "song_name", "track", "song", "name", "track_name"),
    "artist": ("artist", "artist_name"),
    "album": ("album", "album_name"),
    "duration": ("duration", "length", "time"),
    "year": ("year", "released", "date", "release_date"),
    "number": ("number", "track_number", "position"),
    "genre": ("genre", "genres"),
    "price": ("price",),
    "rights": ("copyright", "rights"),
}
_NOTHING = frozenset([
    "", "null", "none", "nan", "unk", "unk.", "unknown", "[unknown]", "[no artist]", "[untitled]", "#name ?", "#name?",
    "-", "n/a",
])  # fmt: skip

_MINUTES = re.compile(r"(?:(\d{1,3}) ?h(?:ours?)? ?)?(?:(\d{1,4}) ?m(?:in)?\.? ?)?(?:(\d{1,5}) ?s(?:ec)?\.?)?")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d\d)")
#: No track in seconds is longer than this, none in milliseconds shorter.
_MOST_SECONDS = 6000
_FULL_YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)")
_SHORT_YEAR = re.compile(r"'?(\d\d)|\d{1,2}-[a-z]{3}-(\d\d)", re.IGNORECASE)
_CENTURY = 30

_NUMBERED = re.compile(r"(\d{2,3})[a-z]?-+\s*")
_ALBUM_YEAR = re.compile(r"\s*\((1[89]\d\d|20\d\d|unkn?own?|unknon|null)\)$", re.IGNORECASE)

_DATE_TAIL = re.compile(r"\s((?:\d{1,2}-[A-Z][a-z]{2}-\d\d)|(?:[A-Z][a-z]{2,8} \d{1,2} ?, ?\d{4}))$")
_TIME_TAIL = re.compile(r"\s(\d{1,2}:\d\d(?::\d\d)?)$")
_YEAR_AFTER_TIME = re.compile(r"(?<=\d:\d\d)\s((?:19|20)\d\d)$")
_PRICE = re.compile(r"\s\$ ?\d{1,3}\.\d\d(?=\s|$)")
_RIGHTS = re.compile(
    r"\s(?:\( ?[cp] ?\)|[©℗]|‰ ?ãÑ) ?(?:\d{4})?|\s(?:19|20)\d\d(?=\s+(?:[^\s]+\s+){0,6}?(?:records?|recordings?|music"
    r"|ltd|llc|inc|entertainment|group|company|exclusive|label|limited|division|gmbh|productions?)\b)",
    re.IGNORECASE,
)
_GENRE_WORDS = """
    & , /
    adult age alternative americana and bluegrass blues breakbeat britpop christian christmas classical coast
    contemporary country cowboy dance dancehall dirty disco dubstep east easy electronic electronica folk french
    funk gangsta general gospel hard hardcore heavy hip hip-hop hip-hop/rap holiday honky hop house indie jazz
    jungle/drum'n'bass latin latino listening metal miscellaneous music new pop pop/rock punk r&b r&b/soul rap
    reggae rock singer singer/songwriter songwriter soul soundtrack southern techno teen today's tonk traditional
    trance underground urban vocal west world
"""
_GENRES = frozenset(_GENRE_WORDS.split())
_TAIL_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Record:
    """One track: seconds, the year, the place on the album; what is not known is empty or None."""

    title: str = ""
    artist: str = ""
    album: str = ""
    duration: float | None = None
    year: int | None = None
    number: int | None = None


def read_row(row: Mapping[str, object]) -> Record:
    """The record that a row means, its values back in their places."""
    texts = _moved_back({name.strip().casefold().replace(" ", "_"): _text(value) for name, value in row.items()})
    for field in ("title", "artist", "album"):
        if texts[field]:
            _take_strays(field, texts)
    number = _number(texts["number"] or "")
    title = texts["title"] or ""
    album = texts["album"] or ""
    year = parse_year(texts["year"] or "")
    if dated := _ALBUM_YEAR.search(album[-12:]):
        album = album[: -len(dated[0])]
        year = year or parse_year(dated[1])
    if numbered := _NUMBERED.match(title):
        title = title[numbered.end() :] if int(numbered[1]) == number or len(numbered[1]) == 3 else title
    return Record(
        title=_without_album(_something(title), album),
        artist=_something(texts["artist"] or ""),
        album=_something(album),
        duration=parse_duration(texts["duration"] or ""),
        year=year,
        number=number,
    )


def parse_duration(text: str) -> float | None:
    """Seconds of ``4:02``, ``4m 2sec``, ``242``, ``242000`` (milliseconds) and ``4.033`` (minutes); 0 is unknown."""
    text = text.strip().casefold()
    seconds = None
    if match := _CLOCK.fullmatch(text):
        seconds = 3600.0 * int(match[1] or 0) + 60 * int(match[2]) + int(match[3])
    elif text.isascii() and text.isdigit() and len(text) <= 9:
        seconds = float(text)
        if seconds > _MOST_SECONDS:
            seconds /= 1000
    elif re.fullmatch(r"\d{1,4}\.\d{1,9}", text):
        seconds = 60 * float(text)
    elif text and (match := _MINUTES.fullmatch(text)):
        seconds = sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    return float(seconds) if seconds else None


def parse_year(text: str) -> int | None:
    """The year in ``2005``, ``'05``, ``95``, ``18-May-15`` and ``May 18, 2015``."""
    text = text.strip()
    if match := _FULL_YEAR.search(text):
        return int(match[1])
    if match := _SHORT_YEAR.fullmatch(text):
        short = int(match[1] or match[2])
        return short + (2000 if short < _CENTURY else 1900)
    return None


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _something(text: str) -> str:
    return "" if fold(text) in _NOTHING else text


def _moved_back(row: dict[str, str]) -> dict[str, str | None]:
    """The row by our names of columns; None is a column that it does not have."""
    columns = {field: next((name for name in names if name in row), None) for field, names in _COLUMNS.items()}
    names = list(row)
    length = names.index(columns["duration"]) if columns["duration"] else len(names)
    if length + 1 < len(names) and _something(row[names[length]]) and parse_duration(row[names[length]]) is None:
        following = row[names[length + 1]]
        if parse_duration(following) and not _CLOCK.fullmatch(row[names[length]]):
            row = dict(zip(names, [*list(row.values())[1:], ""], strict=True))
    return {field: None if name is None else row[name] for field, name in columns.items()}


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def _take_strays(field: str, texts: dict[str, str | None]) -> None:
    """Move what is no name from the end of a column to the empty column that it belongs to.

    Values that moved stand in the order of the columns: names, genre, price, rights, time, date.
    """
    text = texts[field] or ""
    for column, pattern in (("year", _DATE_TAIL), ("year", _YEAR_AFTER_TIME), ("duration", _TIME_TAIL)):
        if texts[column] == "" and (match := pattern.search(text[-_TAIL_LONGEST:])):
            texts[column] = match[1]
            text = text[: -len(match[0])].rstrip()
    tail = text[-_TAIL_LONGEST:]
    offset = len(text) - len(tail)
    if texts["price"] == "" and (price := _PRICE.search(tail)):
        texts["price"] = price[0].strip()
        if texts["rights"] == "":
            texts["rights"] = tail[price.end() :].strip()
        text = text[: offset + price.start()].rstrip()
    elif texts["rights"] == "" and (at := _rights(tail)):
        texts["rights"] = tail[at:].strip()
        text = text[: offset + at].rstrip()
    if texts["genre"] == "":
        words = text.split(" ")
        keep = len(words)
        while keep > 1 and words[keep - 1].casefold() in _GENRES:
            keep -= 1
        texts["genre"] = " ".join(words[keep:])
        text = " ".join(words[:keep])
    texts[field] = text


def _rights(text: str) -> int:
    """Where the owner of the rights begins: at a sign, at a year before a company or behind a genre; 0 for nowhere."""
    found = [match.start() for match in _RIGHTS.finditer(text)]
    for year in _FULL_YEAR.finditer(text):
        before = text[: year.start()].rsplit(maxsplit=1)
        if len(before) > 1 and before[1].casefold() in _GENRES:
            found.append(year.start())
    return max(found, default=0)


def _without_album(title: str, album: str) -> str:
    """``Song (Album)`` is ``Song``, where the album is known: some catalogues write it so."""
    if not album or not title.endswith(")"):
        return title
    length = len(album) + 2
    for start in range(max(1, len(title) - length - 3), min(len(title) - 1, len(title) - length + 4)):
        if title[start] == "(" and fuzz.ratio(fold(title[start + 1 : -1]), fold(album)) >= 85:
            return title[:start].rstrip() or title
    return title
