"""Which of a million short texts are at most two edits from a given one.

Pass-join (Li et al., VLDB 2011): a text that is cut into one segment more than edits are allowed keeps at least one
segment whole, at almost its place. So the segments of the texts are stored sorted, by length and place; a query looks
its own substrings up there, and only what shares one is compared. All of it is in numpy arrays: 4 bytes
a text and segment, and 16 for each segment that differs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cpdist

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

#: Shorter texts have no typos, only other texts; longer ones are no names.
SHORTEST, LONGEST = 4, 100
#: So many of the texts that share a segment are compared: those that come first.
_CANDIDATES = 1000
_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, LONGEST + 1)], dtype=np.uint64)


def allowed(length: int) -> int:
    """The edits that a text of *length* may be away from what was meant."""
    return 1 if length < 8 else 2


class _Segments(NamedTuple):
    """The hashes of one segment of all texts of one length, each once, and where the texts that have it are."""

    begin: int
    end: int
    hashes: Hashes
    offsets: Numbers
    members: NDArray[np.int32]


class EditIndex:
    """ASCII texts, those that matter most first (they are compared first): see ``near``."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._tables: dict[int, list[_Segments]] = {}
        self._letters = np.zeros(len(texts), dtype=np.uint64)
        lengths = np.fromiter(map(len, texts), dtype=np.int32, count=len(texts))
        for length in range(SHORTEST, LONGEST + 1):
            members = np.flatnonzero(lengths == length)
            if len(members):
                codes = _codes([texts[member] for member in members.tolist()], length)
                self._letters[members] = _letters(codes)
                self._tables[length] = [
                    _segments(codes, members.astype(np.int32), begin, end)
                    for begin, end in pairwise(_cuts(length, allowed(length) + 1))
                ]

    def near(self, queries: Sequence[str]) -> tuple[Numbers, Numbers, Numbers]:
        """Pairs within the edits allowed for the text's length: number of the query, number of the text, edits.

        A swap of two neighbours is one edit. The pairs come in the order of the queries, then of the texts.
        """
        pairs = np.concatenate([np.empty(0, np.int64), *self._sharing(queries)])
        pairs.sort()
        asked, found = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], max(1, len(self._texts)))
        left = [queries[number] for number in asked.tolist()]
        right = [self._texts[number] for number in found.tolist()]
        edits = cpdist(left, right, scorer=OSA.distance, score_cutoff=2, dtype=np.uint8).astype(np.int64)
        most = np.array([allowed(len(self._texts[number])) for number in found.tolist()], dtype=np.int64)
        kept = edits <= most
        return asked[kept], found[kept], edits[kept]

    def _sharing(self, queries: Sequence[str]) -> Iterator[Numbers]:
        """Pairs that share a segment, as query * texts + text."""
        lengths = np.fromiter(map(len, queries), dtype=np.int64, count=len(queries))
        for length in np.unique(lengths).tolist():
            numbers = np.flatnonzero(lengths == length)
            codes = _codes([queries[number] for number in numbers.tolist()], length)
            letters = _letters(codes)
            for other in range(length - 2, length + 3):
                if abs(length - other) <= allowed(other):
                    for place, table in enumerate(self._tables.get(other, ())):
                        for begin in _begins(table, place, length, other):
                            asked, found = _look_up(table, _hashes(codes, begin, begin + table.end - table.begin))
                            likely = _alike(letters[asked], self._letters[found])
                            yield numbers[asked[likely]] * len(self._texts) + found[likely]


def _codes(texts: list[str], length: int) -> NDArray[np.uint8]:
    """The characters of texts of one length, a row each."""
    return np.array(texts, dtype=f"S{max(1, length)}").view(np.uint8).reshape(len(texts), -1)


def _letters(codes: NDArray[np.uint8]) -> Hashes:
    """Which characters each text has, a bit each, and which it has twice (figures share theirs with letters)."""
    once = np.zeros(len(codes), dtype=np.uint64)
    twice = np.zeros(len(codes), dtype=np.uint64)
    for column in codes.T:
        bit = np.left_shift(np.uint64(1), column & np.uint8(31), dtype=np.uint64)
        twice |= once & bit
        once |= bit
    return once | twice << np.uint64(32)


def _alike(some: Hashes, others: Hashes) -> NDArray[np.bool_]:
    """Whether two edits can lead from one set of characters to the other: each changes at most two bits."""
    differing = some ^ others
    for _ in range(4):
        differing &= differing - np.uint64(1)  # takes the lowest bit away
    result: NDArray[np.bool_] = differing == 0
    return result


def _cuts(length: int, segments: int) -> list[int]:
    """Where *length* is cut into segments of equal size, the longer ones last."""
    short, longer = divmod(length, segments)
    sizes = [short] * (segments - longer) + [short + 1] * longer
    return [0, *np.cumsum(sizes).tolist()]


def _begins(table: _Segments, place: int, length: int, other: int) -> range:
    """Where in a query of *length* a segment of a text of length *other* may begin, if no fewer edits than are needed
    fall before and after it (the paper's multi-match-aware selection)."""
    shift, before, after = length - other, place, allowed(other) - place
    low = max(0, table.begin - before, table.begin + shift - after)
    high = min(length - (table.end - table.begin), table.begin + before, table.begin + shift + after)
    return range(low, high + 1)


def _hashes(codes: NDArray[np.uint8], begin: int, end: int) -> Hashes:
    # Overflow is meant; texts that a hash confuses are compared in vain.
    result: Hashes = (codes[:, begin:end] * _POWERS[: end - begin]).sum(axis=1, dtype=np.uint64)
    return result


def _segments(codes: NDArray[np.uint8], members: NDArray[np.int32], begin: int, end: int) -> _Segments:
    hashes = _hashes(codes, begin, end)
    order = np.argsort(hashes, kind="stable")
    distinct, offsets = np.unique(hashes[order], return_index=True)
    return _Segments(begin, end, distinct, np.append(offsets, len(order)), members[order])


def _look_up(table: _Segments, hashes: Hashes) -> tuple[Numbers, Numbers]:
    """Which of *hashes* are in the table, and the texts that have them; once for every text."""
    places = np.minimum(np.searchsorted(table.hashes, hashes), len(table.hashes) - 1)
    asked = np.flatnonzero(table.hashes[places] == hashes)
    begins = table.offsets[places[asked]]
    counts = np.minimum(table.offsets[places[asked] + 1] - begins, _CANDIDATES)
    # 0, 1, 2, … within each run of texts.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(asked, counts), table.members[np.repeat(begins, counts) + within].astype(np.int64)
