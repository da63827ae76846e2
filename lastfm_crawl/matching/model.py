"""How probable it is that two records are one, and what to do about it.

The model is a sum: each feature adds what its value stands for in a table, and a logistic curve makes a probability of
the total. ``model.json`` holds the tables of tracks (``matching.train`` writes it), so that anyone can read why a pair
scored what it did.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lastfm_crawl.matching.records import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastfm_crawl.matching.names import Band

_COLUMNS = {name: column for column, name in enumerate(FEATURES)}

SHIPPED = files("lastfm_crawl.matching") / "model.json"


class Verdict(NamedTuple):
    """What a score comes to beside the next best candidate's."""

    score: float
    runner_up: float
    gap: float
    band: Band


@dataclass(frozen=True, slots=True)
class Table:
    """What a feature adds to the log-odds: ``values[i]`` up to ``edges[i]``, the last value above; ``missing`` where
    it is not known."""

    edges: list[float]
    values: list[float]
    missing: float


@dataclass(frozen=True, slots=True)
class Bands:
    """From ``accept`` a pair is one, if the runner-up is at least ``margin`` less probable; below ``reject`` it is
    not. A copy of the best candidate is no runner-up."""

    accept: float
    reject: float
    margin: float


@dataclass(frozen=True, slots=True)
class Model:
    """An intercept, a table for each feature that says something, and the bands that fit the scores."""

    intercept: float
    tables: dict[str, Table]
    bands: Bands

    def log_odds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The total of each row of features."""
        total = np.full(len(values), self.intercept)
        for name in self.tables:
            total += self._part(name, values)
        return total

    def score(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability that the two records of each row of features are one."""
        return np.asarray(1 / (1 + np.exp(-self.log_odds(values))), dtype=np.float64)

    def decide(self, score: float, runner_up: float = 0.0) -> Verdict:
        """*score* of the best candidate, *runner_up* that of the second best, 0 if there is none."""
        gap = score - runner_up
        band: Band = "review"
        if score < self.bands.reject:
            band = "reject"
        elif score >= self.bands.accept and gap >= self.bands.margin:
            band = "accept"
        return Verdict(score, runner_up, gap, band)

    def dumps(self) -> str:
        """The model as JSON, a line for each feature."""
        lines = ",\n".join(
            f"    {json.dumps(name)}: {json.dumps(asdict(table))}" for name, table in self.tables.items()
        )
        bands = json.dumps(asdict(self.bands))
        return f'{{\n  "intercept": {self.intercept},\n  "bands": {bands},\n  "tables": {{\n{lines}\n  }}\n}}\n'

    def _part(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        table, column = self.tables[name], values[:, _COLUMNS[name]]
        # NaN is sorted behind all edges: the place behind the last value is the missing one's.
        places = np.where(np.isnan(column), len(table.values), np.searchsorted(table.edges, column, side="left"))
        return np.asarray([*table.values, table.missing], dtype=np.float64)[places]


def loads(text: str) -> Model:
    """A model from what ``dumps`` wrote."""
    found = json.loads(text)
    if unknown := found["tables"].keys() - FEATURES.keys():
        raise ValueError(f"the model was trained on features that there are no more, train it again: {sorted(unknown)}")
    tables = {name: Table(**table) for name, table in found["tables"].items()}
    return Model(found["intercept"], tables, Bands(**found["bands"]))


@cache
def shipped() -> Model:
    """The model of tracks that comes with the project."""
    return loads(SHIPPED.read_text(encoding="utf-8"))
