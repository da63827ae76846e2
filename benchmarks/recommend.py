"""How well "liked by fans of" recommends, beside popularity: leave-one-out on HetRec-2011.

    python -m benchmarks.recommend [--data FOLDER] [--seed 7] [--tuning 500] [--rounds 5]

Of each user with five artists or more one artist, drawn at random, is taken away, and all others that the user does not
have are ranked: by the sum of ``insight.fans.score`` over the artists that are left (what the fans of each of them
like), or by the number of listeners. The user's own list is taken out of every count first, in both. Hit rate@10 is the
share of users whose artist comes among the first ten, MRR the mean of 1 / rank; ties share the mean of their ranks.
Shrinkage and least number of fans are chosen by the hit rate on --tuning users (a draw of the seed) and measured on the
rest; each of --rounds takes another artist away. Protocols differ: figures of other papers are not comparable.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from lastfm_crawl.insight import fans

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
FIRST = 10
SHRINKAGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
LEAST_FANS = (1, 2, 3, 5)

Numbers: TypeAlias = "NDArray[np.int64]"


class Data(NamedTuple):
    """Who listens to whom, and of any two artists how many listen to both."""

    lists: list[Numbers]
    listeners: Numbers
    common: sparse.csr_matrix


class Case(NamedTuple):
    """A user, and the artist that was taken away."""

    user: int
    taken: int


class Result(NamedTuple):
    """Hit rate@10 and mean reciprocal rank."""

    hits: float
    mrr: float


def read(folder: Path) -> Data:
    rows = np.loadtxt(folder / "user_artists.dat", skiprows=1, dtype=np.int64)
    users, artists = (np.unique(rows[:, column], return_inverse=True)[1] for column in (0, 1))
    shape = (int(users.max()) + 1, int(artists.max()) + 1)
    has = sparse.csr_matrix((np.ones(len(users), np.int64), (users, artists)), shape)
    return Data(np.split(has.indices.astype(np.int64), has.indptr[1:-1]), np.bincount(artists), (has.T @ has).tocsr())


def cases(data: Data, users: list[int], rng: np.random.Generator) -> list[Case]:
    return [Case(user, int(rng.choice(data.lists[user]))) for user in users]


def by_fans(data: Data, case: Case, shrinkage: float, least: int) -> NDArray[np.float64]:
    own = data.lists[case.user]
    rest = own[own != case.taken]
    pairs = data.common[rest].tocoo()
    common = pairs.data - np.isin(pairs.col, own)
    keep = common >= least
    listeners = _without(data, own)
    fans_of, liked, common = listeners[rest][pairs.row[keep]], pairs.col[keep], common[keep]
    _, scores = fans.score(common, fans_of, listeners[liked], len(data.lists) - 1, shrinkage)
    return _ranked(np.bincount(liked, scores, minlength=len(listeners)), rest)


def by_popularity(data: Data, case: Case) -> NDArray[np.float64]:
    own = data.lists[case.user]
    return _ranked(_without(data, own), own[own != case.taken])


def measured(data: Data, some: list[Case], shrinkage: float | None = None, least: int = 1) -> Result:
    """Of fans with that *shrinkage*, or of popularity without one."""
    ranks = []
    for case in some:
        scores = by_popularity(data, case) if shrinkage is None else by_fans(data, case, shrinkage, least)
        mine = scores[case.taken]
        ranks.append(1 + (scores > mine).sum() + ((scores == mine).sum() - 1) / 2)
    return Result(statistics.fmean(rank <= FIRST for rank in ranks), statistics.fmean(1 / rank for rank in ranks))


def _without(data: Data, own: Numbers) -> Numbers:
    listeners = data.listeners.copy()
    listeners[own] -= 1
    return listeners


def _ranked(scores: NDArray[Any], known: Numbers) -> NDArray[np.float64]:
    ranked = scores.astype(np.float64)
    ranked[known] = -1
    return ranked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "hetrec2011")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tuning", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"needs the HetRec-2011 data set in {options.data} (or --data)")
    data = read(options.data)
    rng = np.random.default_rng(options.seed)
    users = [user for user in rng.permutation(len(data.lists)).tolist() if len(data.lists[user]) >= 5]
    tuning, rest = users[: options.tuning], users[options.tuning :]
    print(f"HetRec-2011: {len(data.lists):,} users, {len(data.listeners):,} artists; seed {options.seed};")
    print(f"{len(tuning)} users to choose on, {len(rest):,} to measure on, {options.rounds} artists of each in turn")

    chosen = cases(data, tuning, rng)
    grid = {(s, least): measured(data, chosen, s, least) for s in SHRINKAGES for least in LEAST_FANS}
    for (shrinkage, least), result in grid.items():
        print(f"  shrinkage {shrinkage:g}, {least} fans: hit rate@{FIRST} {result.hits:.4f}, MRR {result.mrr:.4f}")
    (shrinkage, least), _ = max(grid.items(), key=lambda item: item[1])
    print(f"chosen: shrinkage {shrinkage:g}, {least} fans; the project's: {fans.SHRINKAGE:g}, {fans.MIN_FANS}")

    rounds = [cases(data, rest, rng) for _ in range(options.rounds)]
    began = time.perf_counter()
    popularity = _mean([measured(data, some) for some in rounds])
    print(f"{'popularity':24} hit rate@{FIRST} {popularity.hits:.4f}, MRR {popularity.mrr:.4f}")
    for label, pair in {
        "fans, as chosen": (shrinkage, least),
        "fans, the project's": (fans.SHRINKAGE, fans.MIN_FANS),
    }.items():
        result = _mean([measured(data, some, *pair) for some in rounds])
        print(f"{label:24} hit rate@{FIRST} {result.hits:.4f} ({result.hits / popularity.hits:.1f} times),"
              f" MRR {result.mrr:.4f} ({result.mrr / popularity.mrr:.1f} times)")  # fmt: skip
    print(f"measured in {time.perf_counter() - began:.0f} s")


def _mean(results: list[Result]) -> Result:
    return Result(*(statistics.fmean(values) for values in zip(*results, strict=True)))


if __name__ == "__main__":
    main()
