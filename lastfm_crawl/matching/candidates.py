"""Which records of a catalogue may be meant, among many: those that share the most unusual groups of three characters.

For what exact keys leave. An index is built once and asked in batches; besides the catalogue's matrix (about 350 bytes
a text) it holds one batch and its best candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn

from lastfm_crawl.matching.normalise import latin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Of the right records of Music-20K 99 % are among so many, and twice as many find no more.
BEST = 10
#: Texts with fewer characters share too few groups: only equal ones are candidates.
SHORTEST = 4
_BATCH = 20_000
#: Less alike than this is chance.
_LEAST = 0.1


class Candidate(NamedTuple):
    """The place of a text in the catalogue, and the cosine of the two texts."""

    place: int
    cosine: float


def text_of(artist: str, title: str) -> str:
    """The text under which a track or an album is looked for."""
    return f"{latin(artist)} {latin(title)}".strip()


class Index:
    """A catalogue of texts in the form of ``text_of``."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._equal: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            if len(text) < SHORTEST:
                self._equal.setdefault(text, []).append(place)
        self._vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True, dtype=np.float32)
        # A catalogue of short texts alone has no vocabulary.
        self._columns = None
        if any(len(text) >= SHORTEST for text in texts):
            long = (text if len(text) >= SHORTEST else "" for text in texts)
            self._columns = self._vectors.fit_transform(long).T.tocsr()

    def query(self, texts: Iterable[str], best: int = BEST) -> Iterator[list[Candidate]]:
        """The candidates of each text, the most alike first; of equals the earlier."""
        batch: list[str] = []
        for text in texts:
            batch.append(text)
            if len(batch) == _BATCH:
                yield from self._query(batch, best)
                batch = []
        if batch:
            yield from self._query(batch, best)

    def _query(self, texts: list[str], best: int) -> Iterator[list[Candidate]]:
        found = None
        if self._columns is not None:
            rows = self._vectors.transform(text if len(text) >= SHORTEST else "" for text in texts)
            found = sp_matmul_topn(rows, self._columns, top_n=best, threshold=_LEAST, sort=True)
        for number, text in enumerate(texts):
            if len(text) < SHORTEST:
                yield [Candidate(place, 1.0) for place in self._equal.get(text, [])[:best]]
            elif found is None:
                yield []
            else:
                start, end = found.indptr[number], found.indptr[number + 1]
                pairs = zip(found.indices[start:end].tolist(), found.data[start:end].tolist(), strict=True)
                yield sorted((Candidate(*pair) for pair in pairs), key=lambda pair: (-pair.cosine, pair.place))
