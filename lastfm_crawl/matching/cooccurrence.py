"""Vectors of songs from who plays them: songs that the same people play point the same way.

The plays of users and songs are weighted as words in documents are (BM25: a song that all play says little, the tenth
play of a song says less than the first, users who play a lot count no more than others), and the matrix is cut down to
its strongest directions (a truncated singular value decomposition). The same plays give the same vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS = 128
METHOD = "bm25-svd-128"
# BM25's usual constants: how soon further plays say less, and how much the length of a history counts.
_K1, _B = 1.2, 0.75
# A direction so much weaker than the strongest is rounding.
_RANK = 1e-6


def song_vectors(
    users: NDArray[np.int32], songs: NDArray[np.int32], plays: NDArray[np.float64], count: int
) -> NDArray[np.float32]:
    """A row of 128 numbers and length 1 for each of *count* songs; zeros for one that nobody plays.

    *users*, *songs* (numbers from 0) and *plays* say who played what how often, each pair once. Fewer users or songs
    than dimensions leave the last ones zero.
    """
    result = np.zeros((count, DIMENSIONS), dtype=np.float32)
    if not len(users):
        return result
    matrix = csr_array((plays.astype(np.float64), (users, songs)), shape=(int(users.max()) + 1, count))
    values, directions = _decompose(_weighted(matrix))
    strong = values > _RANK * values.max(initial=0.0)
    vectors = (directions[strong] * values[strong, np.newaxis]).T
    # The sign of a direction is anybody's choice: its largest entry, the first of equals, is positive.
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    # What is left beyond six digits depends on the machine's arithmetic. Adding zero makes -0 a 0.
    result[:, : vectors.shape[1]] = np.round(vectors, 6) + 0.0
    return result


def _weighted(matrix: csr_array) -> csr_array:
    """BM25 of *matrix*: users are the documents, songs the words."""
    users = matrix.shape[0]
    listeners = np.bincount(matrix.indices, minlength=matrix.shape[1])
    rarity = np.log1p((users - listeners + 0.5) / (listeners + 0.5))
    lengths = np.asarray(matrix.sum(axis=1)).ravel()
    norms = _K1 * (1 - _B + _B * lengths / lengths.mean())
    rows = np.repeat(np.arange(users), np.diff(matrix.indptr))
    data = matrix.data * (_K1 + 1) / (matrix.data + norms[rows]) * rarity[matrix.indices]
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _decompose(matrix: csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The strongest singular values, the greatest first, and for each the weights of the songs."""
    smaller = min(matrix.shape)
    if smaller > DIMENSIONS:
        # A start of our own, for the library's is another each time.
        start = np.random.default_rng(0).standard_normal(smaller)
        _, values, directions = svds(matrix, k=DIMENSIONS, v0=start, tol=1e-10)
        order = np.argsort(-values, kind="stable")
        return values[order], directions[order]
    # svds leaves out the last direction of a small matrix; that of its products is whole.
    by_user = matrix.shape[0] == smaller
    squares, sides = np.linalg.eigh((matrix @ matrix.T if by_user else matrix.T @ matrix).toarray())
    values = np.sqrt(np.clip(squares[::-1], 0, None))
    sides = sides[:, ::-1].T
    if not by_user:
        return values, sides
    directions = sides @ matrix
    np.divide(directions, values[:, np.newaxis], out=directions, where=values[:, np.newaxis] > 0)
    return values, directions
