"""What the fans of an artist like besides: more often than others do, and by enough of them to mean something.

Of N users n listen to the artist, d to another one, and c to both. That other one's *lift* is (c / n) / (d / N): how
many times as often fans listen to it as everybody does. Lift alone favours what two people in the world know, the count
c alone what everybody knows. So at least *min_fans* must be in common, and the score is

    sqrt(lift) * c / (c + shrinkage)

``benchmarks/recommend.py`` measures it as a recommender and has chosen the shrinkage; there it hardly matters how many
fans are the least, but to a reader what one fan likes says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lastfm_crawl.insight.named import look_up
from lastfm_crawl.warehouse.tastes import artist_names, read_tastes

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import NDArray

    from lastfm_crawl.insight.named import Chosen

MIN_FANS = 3
SHRINKAGE = 10.0
LIMIT = 20


class Liked(NamedTuple):
    """An artist whom fans like, by how many of them, and how much more than others do."""

    name: str
    fans: int
    share: float  # of the fans
    lift: float
    score: float


class Fans(NamedTuple):
    """An artist, how many listen to it of how many users, and what these like besides, the best first."""

    artist: str
    fans: int
    users: int
    liked: list[Liked]


def liked_by_fans_of(
    connection: psycopg.Connection,
    artist: str,
    limit: int | None = LIMIT,
    min_fans: int = MIN_FANS,
    shrinkage: float = SHRINKAGE,
) -> Fans | None:
    """What those like who listen to *artist*; None if the warehouse knows no artist whom that name means for sure."""
    chosen = look_up(connection, [artist]).chosen
    return liked_by_fans(connection, chosen[0], limit, min_fans, shrinkage) if chosen else None


def liked_by_fans(
    connection: psycopg.Connection,
    artist: Chosen,
    limit: int | None = LIMIT,
    min_fans: int = MIN_FANS,
    shrinkage: float = SHRINKAGE,
) -> Fans:
    """:func:`liked_by_fans_of` for an artist who is looked up already."""
    tastes = read_tastes(connection)
    listeners = tastes.listeners()
    own = [identity for identity in artist.ids if identity < len(listeners)]
    marked = np.zeros(max(1, len(listeners)), np.bool_)
    marked[own] = True
    is_fan = tastes.hits(marked)[1] > 0
    fans, users = int(is_fan.sum()), len(tastes.users)
    common = np.bincount(tastes.artists[np.repeat(is_fan, np.diff(tastes.starts))], minlength=len(listeners))
    common[own] = 0
    found = np.flatnonzero(common >= max(1, min_fans))
    lifts, scores = score(common[found], fans, listeners[found], users, shrinkage)
    order = np.lexsort((found, -scores))[:limit]
    names = artist_names(connection, found[order].tolist())
    return Fans(
        artist.name,
        fans,
        users,
        [
            Liked(
                names[int(found[n])],
                int(common[found[n]]),
                int(common[found[n]]) / fans,
                float(lifts[n]),
                float(scores[n]),
            )
            for n in order.tolist()
        ],
    )


def score(
    common: NDArray[np.int64], fans: int | NDArray[np.int64], listeners: NDArray[np.int64], users: int, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lift and score of artists with so many fans in common and so many listeners: see the top of this module."""
    lifts = common * float(users) / (fans * listeners.astype(np.float64))
    return lifts, np.sqrt(lifts) * common / (common + shrinkage)
