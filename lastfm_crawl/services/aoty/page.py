"""A page as selectors see it, and the texts of pages as values: the same for albums and for lists."""

from __future__ import annotations

import json
import re
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from parsel import Selector

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A count that a column takes.
MAX_COUNT = 2**31 - 1
#: How the site writes that there is no score.
NO_SCORE = "NR"

_NUMBER = re.compile(r"\(?(-?[\d,]{1,14})(?:(?:\.(\d))?([KM]))?\)?(?:\s+\D{0,40})?", re.ASCII)
_TENTHS = {"K": 100, "M": 100_000}
_ISO_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T.*)?", re.ASCII)
_WRITTEN_DATE = re.compile(r"(?:([a-z]{3,9})\.?\s+(?:(\d{1,2})\s*,\s*)?)?(\d{4})", re.ASCII | re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PRECISIONS = ("year", "month", "day")


class Html:
    """A page; the site's are UTF-8, and what is none in one of them is shown as such. No body makes it raise."""

    def __init__(self, body: bytes) -> None:
        self.source = body.decode("utf-8", "replace")
        self.root = Selector(self.source, type="html")

    def one(self, css: str) -> str:
        """The text of the first match that has any; "" without one."""
        return next(iter(self.texts(css)), "")

    def texts(self, css: str) -> list[str]:
        """The texts of all matches that have any."""
        return texts(self.root, css)

    @cached_property
    def visible(self) -> str:
        """The whole text, without markup and scripts."""
        return clean(" ".join(self.root.xpath("//text()[not(parent::script or parent::style)]").getall()))

    @cached_property
    def canonical(self) -> str:
        """The address that the page gives itself, or ""."""
        return self.one('link[rel="canonical"]::attr(href)') or self.one('meta[property="og:url"]::attr(content)')

    @cached_property
    def json_ld(self) -> dict[str, Any]:
        """The first object of the type MusicAlbum; an empty one without any."""
        for script in self.root.css('script[type="application/ld+json"]').xpath("string()").getall():
            try:
                value = json.loads(script)
            except (ValueError, RecursionError):
                continue
            for found in _objects(value):
                kind = found.get("@type")
                if kind == "MusicAlbum" or (isinstance(kind, list) and "MusicAlbum" in kind):
                    return found
        return {}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects at the top of a JSON-LD block: it, or those in its list or graph."""
    graph = value.get("@graph", [value]) if isinstance(value, dict) else value
    yield from (found for found in graph if isinstance(found, dict)) if isinstance(graph, list) else ()


def texts(node: Selector, css: str) -> list[str]:
    """The texts of all matches below *node* that have any: of an element all that is in it, of ``::…`` that alone."""
    matches = node.css(css)
    found = matches.getall() if "::" in css else matches.xpath("string()").getall()
    return [text for one in found if (text := clean(one))]


def clean(value: object) -> str:
    """A text or a number as one line, blanks (the unbreakable one too) as one; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        text = str(value)
    except ValueError:  # more digits than Python writes
        return ""
    return " ".join(text.replace("\0", "").encode("utf-8", "replace").decode().split())


def number(text: str) -> int | None:
    """The number that *text* begins with and otherwise only explains: ``20,489``, ``(148)``, ``4304 Ratings``.

    Lists shorten big ones, ``(13.4K)``: what is left of those is 13,400.
    """
    found = _NUMBER.fullmatch(text)
    digits = found[1].replace(",", "") if found else ""
    if found is None or not digits.lstrip("-"):
        return None
    return int(digits + (found[2] or "0")) * _TENTHS[found[3]] if found[3] else int(digits)


def seconds(text: str) -> int | None:
    """A length like ``2:51`` or ``1:02:03``; None for what is none, or not below a day."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(p.isascii() and p.isdigit() and len(p) <= 3 for p in parts):
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return total if 0 < total < 86_400 else None


def released(text: str) -> str | None:
    """A date as far as it is known, ``YYYY[-MM[-DD]]``: of ``2026-01-16``, ``January 16, 2026``, ``March 1994``."""
    if found := _ISO_DATE.fullmatch(text):
        parts = [part for part in found.groups() if part]
    elif found := _WRITTEN_DATE.fullmatch(text):
        name, day, year = found.groups()
        month = _MONTHS.index(name[:3].lower()) + 1 if name and name[:3].lower() in _MONTHS else None
        if name and month is None:
            return None
        parts = [year, *([f"{month:02}"] if month else []), *([f"{int(day):02}"] if day else [])]
    else:
        return None
    while len(parts) > 1 and parts[-1] == "00":
        parts.pop()
    try:
        date(*map(int, [*parts, "1", "1"][:3]))
    except ValueError:  # no such day, or the year 0
        return None
    return "-".join(parts)


def precision(released_on: str) -> str:
    """How far a date is known."""
    return PRECISIONS[released_on.count("-")]
