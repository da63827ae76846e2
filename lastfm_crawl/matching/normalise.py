"""The forms in which names are compared: each gives up a little more of what is written than the one before.

``fold`` keeps all but case and invisible differences, ``strong`` keeps letters and digits, ``latin`` is ``strong`` in
ASCII. Different names may have one strong form (``!!!`` and ``???`` do not: what would leave nothing stays as it is).
"""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

#: Stamped on every match: rows of another version are matched again. Raise it with any change of what follows.
NORMALISER_VERSION = 1

# Soft hyphens, joiners, marks of direction, variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_AND = re.compile(r"\s*[&+|]\s*")
_APOSTROPHES = re.compile("['`\u00b4\u02bb\u02bc\u2018-\u201b\u2032\uff07]")
_NO_WORD = re.compile(r"[\W_]+")
# What NFKC could not compose with a letter: the dot of a Turkish I in lower case.
_LOOSE_MARKS = re.compile("[\u0300-\u036f]")


def fold(text: str) -> str:
    """*text* without differences of case, width, composition and blanks: ``ABBA`` and ``abba`` are one."""
    if text.isascii():  # most names, and nothing to compose
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        # Case folding may take a composed character apart.
        folded = _INVISIBLE.sub("", unicodedata.normalize("NFKC", folded))
    return " ".join(folded.split())


def strong(text: str) -> str:
    """The letters and digits of *text*, ``&``, ``+`` and ``|`` as ``and``; what has neither stays folded (``!!!``)."""
    folded = fold(text)
    if folded.isascii() and folded.replace(" ", "").isalnum():  # most names: nothing to take away
        return folded
    plain = _APOSTROPHES.sub("", _AND.sub(" and ", folded))
    if plain.isascii():
        plain = _NO_WORD.sub(" ", plain).strip()
    else:
        plain = " ".join(_NO_WORD.sub(_blank, _LOOSE_MARKS.sub("", plain)).split())
    return folded if plain in {"", "and"} else plain


def _blank(match: re.Match[str]) -> str:
    """Blanks, but for the marks that are part of a word: the vowels of Thai and of the scripts of India."""
    return "".join(char if unicodedata.category(char)[0] == "M" else " " for char in match[0])


def latin(text: str) -> str:
    """``strong`` in ASCII: ``Björk`` is ``bjork``, ``Кино`` is ``kino``. Only a second key: of Chinese and Japanese
    it keeps one reading of several."""
    form = strong(text)
    if form.isascii():
        return form
    return strong(anyascii(form)) or form
