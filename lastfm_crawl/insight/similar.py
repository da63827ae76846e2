"""Users with the same taste: those who share some of a few chosen artists, and those who are like one user.

Both answer from PostgreSQL alone, the first by an index, the second by reading all lists at once
(:mod:`lastfm_crawl.warehouse.tastes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lastfm_crawl.insight.named import look_up
from lastfm_crawl.items import user_key
from lastfm_crawl.warehouse.tastes import artist_names, read_tastes, users_sharing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg
    from numpy.typing import NDArray

    from lastfm_crawl.insight.named import Chosen
    from lastfm_crawl.warehouse.tastes import Tastes

MIN_SHARED = 3
LIMIT = 20
#: How many artists of a similar user are shown beside those that are shared.
OTHERS = 10
# Okapi BM25 as it is used for play counts: beyond some hundred plays more of them say little, and what users with long
# histories play counts as much as what others do.
_K1 = 100.0
_B = 0.8


class Played(NamedTuple):
    """An artist and how often the user played it."""

    name: str
    playcount: int


@dataclass(frozen=True, slots=True)
class SimilarUser:
    """A user, the artists in common, and the user's other top artists: both those most played first.

    ``score`` is how alike the tastes are, from 0 to 1; None where only shared artists were counted.
    """

    user: str
    playcount: int | None  # all plays, as Last.fm counts them
    shared: tuple[str, ...]
    others: tuple[Played, ...]
    score: float | None = None


def users_who_share(
    connection: psycopg.Connection,
    artists: Sequence[str],
    min_shared: int = MIN_SHARED,
    limit: int | None = LIMIT,
    others: int = OTHERS,
) -> list[SimilarUser]:
    """Users who listen to at least *min_shared* of *artists*, those who share most first, at most *limit* of them.

    Of two who share as many the one with the shorter list comes first. Names are understood as
    :func:`lastfm_crawl.insight.named.look_up` does; those it is not sure of are left out.
    """
    return share(connection, look_up(connection, artists).chosen, min_shared, limit, others)


def share(
    connection: psycopg.Connection,
    artists: Sequence[Chosen],
    min_shared: int = MIN_SHARED,
    limit: int | None = LIMIT,
    others: int = OTHERS,
) -> list[SimilarUser]:
    """:func:`users_who_share` for artists who are looked up already."""
    choices = {identity: number for number, artist in enumerate(artists) for identity in artist.ids}
    users = users_sharing(connection, choices, max(1, min_shared), limit)
    names = {identity: artists[number].name for identity, number in choices.items()}
    return _described(connection, users, names, others)


def similar_to(
    connection: psycopg.Connection,
    user: str,
    min_shared: int = MIN_SHARED,
    limit: int | None = LIMIT,
    others: int = OTHERS,
) -> list[SimilarUser] | None:
    """The users whose taste is most like that of *user*, who have *min_shared* artists in common or more.

    The score is the cosine of the two lists of artists, each weighted by BM25: an artist with p plays weighs
    ``idf * p / (p + k)``, where idf falls with the number of listeners and k grows with the user's plays. None for a
    user whom the warehouse does not know or whose artists it does not have.
    """
    row = connection.execute("SELECT id FROM users WHERE key = %s", [user_key(user)]).fetchone()
    tastes = read_tastes(connection, playcounts=True)
    me = int(np.searchsorted(tastes.users, row[0])) if row else len(tastes.users)
    if row is None or me == len(tastes.users) or tastes.users[me] != row[0]:
        return None
    weights, lengths = _weighed(tastes)
    own = slice(tastes.starts[me], tastes.starts[me + 1])
    mine = dict(zip(tastes.artists[own].tolist(), weights[own].tolist(), strict=True))
    places, counts = tastes.hits(_marked(tastes, mine))
    wanted = np.zeros(int(tastes.artists.max()) + 1, np.float32)
    wanted[tastes.artists[own]] = weights[own]
    products = np.zeros(len(places) + 1)
    np.cumsum(wanted[tastes.artists[places]] * weights[places], dtype=np.float64, out=products[1:])
    ends = np.cumsum(counts)
    scores = (products[ends] - products[ends - counts]) / (lengths * lengths[me])
    found = np.flatnonzero(counts >= max(1, min_shared))
    found = found[found != me]
    order = np.lexsort((tastes.users[found], -scores[found]))
    numbers = found[order][:limit].tolist()
    return _described(
        connection,
        [int(tastes.users[number]) for number in numbers],
        artist_names(connection, list(mine)),
        others,
        [min(1.0, float(scores[number])) for number in numbers],
    )


def _weighed(tastes: Tastes) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The weight of each artist for each user, and the length of each user's list of weights."""
    starts = tastes.starts[:-1]
    plays = tastes.playcounts.astype(np.float32)
    totals = np.add.reduceat(plays, starts, dtype=np.float64)
    damping = _K1 * (1 - _B + _B * totals / max(1.0, totals.mean()))
    rarity = np.log1p(len(tastes.users) / (1.0 + tastes.listeners())).astype(np.float32)
    weights = plays / (plays + np.repeat(damping.astype(np.float32), np.diff(tastes.starts))) * rarity[tastes.artists]
    lengths = np.sqrt(np.add.reduceat(weights * weights, starts, dtype=np.float64))
    return weights, np.maximum(lengths, np.finfo(np.float32).tiny)


def _marked(tastes: Tastes, ids: Collection[int]) -> NDArray[np.bool_]:
    """Which artists, by id, are among *ids*."""
    most = int(tastes.artists.max()) if len(tastes.artists) else 0
    marked = np.zeros(most + 1, np.bool_)
    marked[[identity for identity in ids if identity <= most]] = True
    return marked


def _described(
    connection: psycopg.Connection,
    users: Sequence[int],
    shared: dict[int, str],
    others: int,
    scores: Sequence[float] | None = None,
) -> list[SimilarUser]:
    """All about the *users*, in their order; *shared* has the names of what was looked for, by id."""
    lists = read_tastes(connection, users, playcounts=True)
    numbers = {identity: number for number, identity in enumerate(lists.users.tolist())}
    about = {
        identity: (name, playcount)
        for identity, name, playcount in connection.execute(
            "SELECT id, name, playcount FROM users WHERE id = ANY(%s)", [list(users)]
        )
    }
    rows = []
    for user in users:
        part = slice(*lists.starts[numbers[user] : numbers[user] + 2])
        pairs = list(zip(lists.artists[part].tolist(), lists.playcounts[part].tolist(), strict=True))
        common = tuple(dict.fromkeys(shared[artist] for artist, _ in pairs if artist in shared))
        rows.append((user, common, [pair for pair in pairs if pair[0] not in shared][:others]))
    names = artist_names(connection, list({artist for *_, top in rows for artist, _ in top}))
    return [
        SimilarUser(
            user=about[user][0],
            playcount=about[user][1],
            shared=common,
            others=tuple(Played(names[artist], playcount) for artist, playcount in top),
            score=None if scores is None else scores[place],
        )
        for place, (user, common, top) in enumerate(rows)
    ]
