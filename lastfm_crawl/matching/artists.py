"""Names of artists: the forms in which two of them are one, and whom a credit names.

``A feat. B (with C)`` is A, with B and C. ``A & B`` may be two artists or one (Simon & Garfunkel): it is taken apart
only if the caller does not know it as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.normalise import fold, latin, strong

if TYPE_CHECKING:
    from collections.abc import Callable

_MARKS = re.compile("[\u0300-\u036f]")
# Blanks are collapsed before these are used, so none of them reads a text twice.
_BRACKETED = re.compile(r" ?[(\[](?:feat\.?|ft\.?|featuring|with) ([^()\[\]]*)(?:[)\]]|$)", re.IGNORECASE)
# Little Feat & Somebody: a name that ends in such a word.
_OPEN = re.compile(
    r" (?:feat\.|ft\.|(?:feat|ft|featuring)(?= (?!(?:&|\+|and|x|vs\.?|feat\.?|ft\.?|featuring) )))(?= ?[^ ])",
    re.IGNORECASE,
)
# The blank after a word is left: it may be the blank before the next.
_SEPARATOR = re.compile(r" ?[,;/]| (?:&|\+|and|x|vs\.?)(?= )", re.IGNORECASE)
#: Separators that one artist's name has at most; with more, a part that somebody knows is looked for in vain.
_MOST_SEPARATORS = 4


class Credit(NamedTuple):
    """Whom a credit names, as it is written: the first, who else plays as an equal, and the guests."""

    main: str
    others: tuple[str, ...] = ()
    featured: tuple[str, ...] = ()


def plain(name: str) -> str:
    """``strong`` without diacritics and without the article: ``The Béatles`` and ``Beatles, The`` are ``beatles``."""
    folded = fold(name)
    if folded.endswith(", the") and len(folded) > len(", the"):
        folded = folded.removesuffix(", the")
    form = strong(folded)
    if not form.isascii():
        bare = _MARKS.sub("", unicodedata.normalize("NFD", form))
        form = unicodedata.normalize("NFC", bare) or form
    return form.removeprefix("the ")


def key(name: str) -> str:
    """``plain`` in ASCII, where it can be written so: what all spellings of one name have in common."""
    form = plain(name)
    return form if form.isascii() else latin(form)


def has_article(name: str) -> bool:
    """Whether ``plain`` takes an article away."""
    folded = fold(name)
    return folded.startswith("the ") or folded.endswith(", the")


def credit(name: str, known: Callable[[str], bool] | None = None) -> Credit:
    """Whom *name* names. *known* says whether a text is an artist's name as it stands; without it nothing is taken
    apart but guests.

    A text that is known is one artist, whatever is in it. Of parts that are known together (``Earth, Wind & Fire``
    among others) the longest run is one artist.
    """
    text = " ".join(name.split())
    if known is not None and known(text):
        return Credit(text)
    featured: list[str] = []
    for guests in _BRACKETED.findall(text):
        featured += _parts(guests, known)
    text = _BRACKETED.sub("", text)
    if found := _OPEN.search(text):
        featured += _parts(text[found.end() :], known)
        text = text[: found.start()]
    mains = _parts(text, known)
    if not mains:
        return Credit(text or " ".join(name.split()))
    return Credit(mains[0], tuple(mains[1:]), tuple(featured))


def main_artist(name: str) -> str:
    """*name* without its guests: see ``credit``."""
    return credit(name).main


def _parts(text: str, known: Callable[[str], bool] | None) -> list[str]:
    """The artists that separators part in *text*."""
    if known is None:
        return [text.strip(" ")] if text.strip(" ") else []
    # Where a part begins and ends; between the end of one and the beginning of the next is a separator.
    bounds = [0, *(place for found in _SEPARATOR.finditer(text) for place in found.span()), len(text)]
    spans = list(zip(bounds[::2], bounds[1::2], strict=True))
    parts = []
    first = 0
    while first < len(spans):
        begin = spans[first][0]
        last = min(first + _MOST_SEPARATORS, len(spans) - 1)
        while last > first and not known(text[begin : spans[last][1]].strip(" ")):
            last -= 1
        parts.append(text[begin : spans[last][1]].strip(" "))
        first = last + 1
    return [part for part in parts if part]
