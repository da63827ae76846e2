"""From pairs whose answer is known to a ``Model``.

Boosted steps, no interactions, each feature only in the direction that makes sense (``FEATURES``): few hundred pairs
are enough, and the sum of the steps of a feature is a table. Bagged: the tables of several resamples are averaged, and
each pair's score from the resamples without it is what calibration and thresholds are chosen on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from lastfm_crawl.matching.model import Bands, Model, Table
from lastfm_crawl.matching.records import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAGS = 16
_STEPS = 24
_ROUNDS = 300
#: Wanted of what is accepted, and of all matches that they are not rejected.
_PURE = 0.995
_MARGIN = 0.1
#: A feature that adds less is left out.
_LEAST = 0.005


class Trained(NamedTuple):
    """A model, and for each pair it was trained on the probability by the parts of it that had not seen the pair."""

    model: Model
    held_out: NDArray[np.float64]


def train(
    values: NDArray[np.float64],
    labels: NDArray[np.int_],
    groups: NDArray[np.int_] | None = None,
    seed: int = 0,
) -> Trained:
    """A model of feature rows and labels (1 for one and the same). Rows of one group are resampled together."""
    rng = np.random.default_rng(seed)
    groups = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    edges = [_edges(values[:, column]) for column in range(values.shape[1])]
    codes = _codes(values, edges)
    tables = [np.zeros(len(edge) + 2) for edge in edges]
    totals, unseen = np.zeros(len(labels)), np.zeros(len(labels))
    intercept = 0.0
    # Several threads wait for each other longer than they work, much longer where the machine has other work.
    with threadpool_limits(1):
        for _ in range(_BAGS):
            size = int(groups.max()) + 1
            drawn = np.bincount(rng.integers(0, size, size), minlength=size)[groups]
            steps = _boost(codes, labels, drawn, int(rng.integers(2**31)))
            base, added = _read(steps, edges)
            intercept += base / _BAGS
            tables = [table + part / _BAGS for table, part in zip(tables, added, strict=True)]
            out = drawn == 0
            totals[out] += steps.decision_function(codes[out])
            unseen[out] += 1
    held_out = totals / np.maximum(unseen, 1)
    told = unseen > 0
    slope, offset = _platt(held_out[told], labels[told])
    probabilities = 1 / (1 + np.exp(-(slope * held_out + offset)))
    model = Model(
        intercept=round(slope * intercept + offset, 4),
        tables={
            name: _table(edge, slope * table)
            for name, edge, table in zip(FEATURES, edges, tables, strict=True)
            if np.abs(table).max() > _LEAST
        },
        bands=choose_bands(probabilities[told], labels[told]),
    )
    # One in a thousand is in every sample; all that can be said of it is what the whole model says.
    return Trained(model, np.where(told, probabilities, model.score(values)))


def f1_threshold(scores: NDArray[np.float64], labels: NDArray[np.int_]) -> float:
    """The score from which to call a pair one for the best F1: of calibrated scores it is half the F1 that is reached.

    The threshold that was best for the pairs at hand is chance where they are few.
    """
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(labels[order]) / (np.arange(1, len(labels) + 1) + labels.sum())
    return float(f1.max() / 2)


def choose_bands(scores: NDArray[np.float64], labels: NDArray[np.int_]) -> Bands:
    """From where ``_PURE`` of the pairs are one, and from where so few are that rejecting loses no more of them."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order])
    pure = np.flatnonzero(right >= _PURE * np.arange(1, len(labels) + 1))
    kept = np.flatnonzero(right >= _PURE * labels.sum())
    accept = max(0.5, float(scores[order][pure[-1]]) if len(pure) else 1.0)
    reject = min(0.5, float(scores[order][kept[0]]))
    return Bands(round(accept, 3), round(reject, 3), _MARGIN)


def _boost(
    codes: NDArray[np.float64], labels: NDArray[np.int_], drawn: NDArray[np.int_], seed: int
) -> HistGradientBoostingClassifier:
    used = drawn > 0
    # A feature that no pair of the sample knows: a constant, which no step can use.
    codes = np.where(np.isnan(codes[used]).all(axis=0), 0.0, codes[used])
    steps = HistGradientBoostingClassifier(
        max_iter=_ROUNDS,
        learning_rate=0.06,
        max_depth=2,
        min_samples_leaf=6,
        l2_regularization=1.0,
        interaction_cst="no_interactions",
        monotonic_cst=list(FEATURES.values()),
        early_stopping=False,
        random_state=seed,
    )
    return steps.fit(codes, labels[used], sample_weight=drawn[used])


def _edges(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between which values the steps of a feature may lie."""
    known = np.sort(column[~np.isnan(column)])
    if not len(known):
        return np.empty(0)
    quantiles = np.quantile(known, np.linspace(0, 1, _STEPS + 1)[1:-1], method="inverted_cdf")
    return np.array([edge for edge in np.unique(quantiles.round(4)) if edge < known[-1]])


def _codes(values: NDArray[np.float64], edges: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    codes = np.empty_like(values)
    for column, edge in enumerate(edges):
        known = values[:, column]
        codes[:, column] = np.where(np.isnan(known), np.nan, np.searchsorted(edge, known, side="left"))
    return codes


def _read(
    steps: HistGradientBoostingClassifier, edges: list[NDArray[np.float64]]
) -> tuple[float, list[NDArray[np.float64]]]:
    """The sum that the steps are: a total for codes of zero, and what each code of each feature adds to it."""
    probes = [np.zeros(len(edges))]
    for column, edge in enumerate(edges):
        for code in (*range(len(edge) + 1), np.nan):
            probe = np.zeros(len(edges))
            probe[column] = code
            probes.append(probe)
    totals = steps.decision_function(np.array(probes))
    ends = np.cumsum([len(edge) + 2 for edge in edges])[:-1]
    return float(totals[0]), np.split(totals[1:] - totals[0], ends)


def _platt(scores: NDArray[np.float64], labels: NDArray[np.int_]) -> tuple[float, float]:
    curve = LogisticRegression(C=1.0).fit(scores[:, None], labels)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])


def _table(edges: NDArray[np.float64], values: NDArray[np.float64]) -> Table:
    """Rounded, and steps of one height made one."""
    *heights, missing = [round(float(value), 3) for value in values]
    kept = [place for place in range(len(edges)) if heights[place] != heights[place + 1]]
    return Table([float(edges[place]) for place in kept], [*(heights[place] for place in kept), heights[-1]], missing)
