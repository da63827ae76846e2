"""How alike two records are, in numbers: ``prepare`` each record once, then ``features`` of as many pairs as wanted.

What is not known of one of the two is NaN, never "different". Where one record has an artist or an album in its place
and the other seems to have it within the title (``Artist - Title``), it is looked for there, so that titles are
compared with titles.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from lastfm_crawl.matching.normalise import latin
from lastfm_crawl.matching.titles import DISTINCT, parse_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lastfm_crawl.matching.rows import Record

#: Each feature, and whether more of it speaks for (1) or against (-1) two records being one.
FEATURES = {
    "title_ratio": 1,  # base titles, 0 to 1
    "title_sort": 1,  # the same, words in any order
    "title_lead": 1,  # Jaro-Winkler: the same beginning
    "title_grams": 1,  # cosine of char-3-grams
    "title_same": 1,
    "numbers_differ": -1,  # Part 1 against Part 2
    "title_full": 1,  # with versions, as written
    "flag_conflict": -1,  # live against studio
    "row_conflict": -1,  # the same with the albums' flags
    "conflict_delta": -1,  # seconds, where flags are in conflict: some catalogues leave them out
    "version": 1,  # which remix, where both are versions
    "featuring": 1,  # guests, where both name some
    "artist": 1,  # names assigned to names, mean of the best assignment
    "artist_ratio": 1,
    "album": 1,
    "album_grams": 1,
    "duration_delta": -1,  # seconds
    "year_delta": -1,
    "number_delta": -1,
    "row_tokens": 1,  # all names of the row in one: Jaccard of words, weighted by length
    "row_sort": 1,
    "row_grams": 1,
    "worst": 1,  # the least alike of title, artist and duration
}

_SEPARATORS = re.compile(r"\s*[,;&+/|]\s*|\s(?:and|x|vs\.?|with|y|et|und|feat\.?|ft\.?)\s", re.IGNORECASE)
_MOST_NAMES = 8
#: Texts longer than this are compared by their beginnings.
_LONGEST = 400
_SHORTEST_FOUND = 3
_DIGITS = re.compile(r"\d+")
#: Without "v" and "x", which are letters, and "i", which is a word.
ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "xi": "11", "xii": "12"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record in the forms that are compared."""

    record: Record
    full: str
    base: str
    flags: frozenset[str]
    row_flags: frozenset[str]
    version: str
    featuring: frozenset[str]
    artist: str
    artists: tuple[str, ...]
    album: str
    row: str
    grams: Counter[str]


def prepare(record: Record) -> Prepared:
    """The record taken apart and folded, once for all pairs that it is in."""
    title = parse_title(record.title)
    album = parse_title(record.album)
    base, artist, album_base = _plain(title.base), _without_the(_plain(record.artist)), _plain(album.base)
    credit = parse_title(record.artist)
    row = " ".join(part for part in (_plain(record.title), artist, album_base) if part)
    return Prepared(
        record=record,
        full=_plain(record.title),
        base=base,
        flags=title.flags & DISTINCT,
        row_flags=(title.flags | album.flags) & DISTINCT,
        version=_plain(title.version),
        featuring=frozenset(
            _without_the(_plain(name)) for name in (*title.featuring, *credit.featuring) if name.strip()
        ),
        artist=artist,
        artists=tuple(credited_names(credit.base)),
        album=album_base,
        row=row,
        grams=_grams(row),
    )


def features(pairs: Sequence[tuple[Prepared, Prepared]]) -> NDArray[np.float64]:
    """One row of ``FEATURES`` for each pair; the order within a pair makes no difference."""
    values = np.empty((len(pairs), len(FEATURES)))
    for number, (a, b) in enumerate(pairs):
        values[number] = _pair(a, b)
    return values


def _pair(a: Prepared, b: Prepared) -> list[float]:
    title_a, title_b, artist_a, artist_b, album_a, album_b = _aligned(a, b)
    title = fuzz.ratio(title_a, title_b) / 100 if title_a and title_b else math.nan
    artist, artist_ratio = _artists(a, b, artist_a, artist_b)
    duration = _delta(a.record.duration, b.record.duration)
    row_a, row_b = set(a.row.split()), set(b.row.split())
    known = [value for value in (title, artist) if not math.isnan(value)]
    if not math.isnan(duration):
        known.append(max(0.0, 1 - duration / 30))
    return [
        title,
        fuzz.token_sort_ratio(title_a, title_b) / 100 if title_a and title_b else math.nan,
        JaroWinkler.similarity(title_a, title_b) if title_a and title_b else math.nan,
        _cosine(_grams(title_a), _grams(title_b)) if title_a and title_b else math.nan,
        float(title_a == title_b) if title_a and title_b else math.nan,
        float(numbers(title_a) != numbers(title_b)) if title_a and title_b else math.nan,
        fuzz.ratio(a.full, b.full) / 100 if a.full and b.full else math.nan,
        float(a.flags != b.flags),
        float(a.row_flags != b.row_flags),
        duration if a.flags != b.flags else 0.0,
        fuzz.token_sort_ratio(a.version, b.version) / 100 if a.version and b.version else math.nan,
        _best_names(sorted(a.featuring), sorted(b.featuring)),
        artist,
        artist_ratio,
        fuzz.token_sort_ratio(album_a, album_b) / 100 if album_a and album_b else math.nan,
        _cosine(_grams(album_a), _grams(album_b)) if album_a and album_b else math.nan,
        duration,
        _delta(a.record.year, b.record.year),
        _delta(a.record.number, b.record.number),
        _weight(row_a & row_b) / (_weight(row_a | row_b) or 1),
        fuzz.token_sort_ratio(a.row, b.row) / 100,
        _cosine(a.grams, b.grams),
        min(known, default=math.nan),
    ]


def _aligned(a: Prepared, b: Prepared) -> tuple[str, str, str, str, str, str]:
    """Titles, artists and albums to compare, what stood within the other's title in its place."""
    title_a, title_b, artist_a, artist_b, album_a, album_b = a.base, b.base, a.artist, b.artist, a.album, b.album
    if artist_a and not artist_b:
        title_b, artist_b = _cut(title_b, artist_a, title_a)
    elif artist_b and not artist_a:
        title_a, artist_a = _cut(title_a, artist_b, title_b)
    if album_a and not album_b:
        title_b, album_b = _cut(title_b, album_a, title_a)
    elif album_b and not album_a:
        title_a, album_a = _cut(title_a, album_b, title_b)
    return title_a, title_b, artist_a, artist_b, album_a, album_b


def _cut(title: str, name: str, other: str) -> tuple[str, str]:
    """*title* without *name* and what was found for it, if the title is no less like the *other* one for it."""
    if len(name) < _SHORTEST_FOUND or len(title) <= len(name):
        return title, ""
    found = fuzz.partial_ratio_alignment(name, title, score_cutoff=75)
    if found is None:
        return title, ""
    start, end = found.dest_start, found.dest_end
    # Whole words only: a name that ends within a word is another one.
    while start > 0 and title[start - 1] != " ":
        start -= 1
    while end < len(title) and title[end] != " ":
        end += 1
    rest = f"{title[:start]}{title[end:]}".strip()
    piece = title[start:end].strip()
    rest = " ".join(rest.split())
    if not rest or fuzz.ratio(rest, other) < fuzz.ratio(title, other):
        return title, ""
    return rest, piece


def _artists(a: Prepared, b: Prepared, artist_a: str, artist_b: str) -> tuple[float, float]:
    """How alike the sets of artists are, and their texts."""
    if not artist_a or not artist_b:
        return math.nan, math.nan
    names_a = a.artists if artist_a == a.artist else (artist_a,)
    names_b = b.artists if artist_b == b.artist else (artist_b,)
    # Guests are named in the title here and in the credit there.
    guests = a.featuring | b.featuring
    hosts_a, hosts_b = (tuple(name for name in names if name not in guests) for names in (names_a, names_b))
    texts = [fuzz.token_sort_ratio(artist_a, artist_b)]
    if hosts_a and hosts_b:
        texts.append(fuzz.token_sort_ratio(" ".join(hosts_a), " ".join(hosts_b)))
    text = max(texts) / 100
    return max(text, _best_names(hosts_a or names_a, hosts_b or names_b)), text


def _best_names(names_a: Sequence[str], names_b: Sequence[str]) -> float:
    """How alike two sets of names are: each given its best partner, those without one count a quarter."""
    if not names_a or not names_b:
        return math.nan
    if len(names_a) == len(names_b) == 1:
        return fuzz.ratio(names_a[0], names_b[0]) / 100
    alike = np.array([[fuzz.ratio(x, y) / 100 for y in names_b[:_MOST_NAMES]] for x in names_a[:_MOST_NAMES]])
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  (a third of a second to import)

    rows, columns = linear_sum_assignment(alike, maximize=True)
    least, most = sorted(alike.shape)
    return float(alike[rows, columns].sum() / (least + (most - least) / 4))


def _plain(text: str) -> str:
    return latin(text[:_LONGEST]) if text else ""


def credited_names(credit: str) -> list[str]:
    """The names in a credit, for comparing sets: split too often does no harm, both sides are split alike."""
    return [name for part in _SEPARATORS.split(credit[:_LONGEST]) if (name := _without_the(_plain(part)))]


def _without_the(name: str) -> str:
    return name.removeprefix("the ").removesuffix(" the")


def numbers(text: str) -> set[str]:
    """The numbers in a text in its ``latin`` form, Roman ones with the others: ``part ii`` has ``2``."""
    found = {number.lstrip("0") for number in _DIGITS.findall(text)}
    return found | {ROMAN[word] for word in text.split() if word in ROMAN}


def _grams(text: str) -> Counter[str]:
    padded = f" {text} "
    return Counter(padded[at : at + 3] for at in range(len(padded) - 2))


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    if not a or not b:
        return 0.0
    if len(a) > len(b):
        a, b = b, a
    dot = sum(count * b[gram] for gram, count in a.items() if gram in b)
    return dot / math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))


def _weight(words: set[str]) -> int:
    return sum(map(len, words))


def _delta(a: float | None, b: float | None) -> float:
    return math.nan if a is None or b is None else abs(a - b)
