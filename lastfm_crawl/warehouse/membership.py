"""Who is a member and how they were reached, kept in the store once somebody has been forgotten.

A replay finds that out by making the walks over the friends graph again. Without the lists of somebody who is forgotten
an earlier walk would come to other ends: so it takes up from what the warehouse said then, and walks on from there.
Others stay what they were, whoever led to them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.items import Member, Profile, user_key
from lastfm_crawl.warehouse import queries

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import psycopg

    from lastfm_crawl.httpcache import Storage

KEY = "state/members.json"

_LISTS = """
SELECT u.key, array_agg(extract(epoch FROM f.fetched_at)::float8 ORDER BY f.fetched_at)
FROM fetches f JOIN users u ON u.id = f.user_id WHERE f.method = 'user.getFriends' GROUP BY u.key ORDER BY u.key
"""
# What no answer that is loaded says any more: it came from lists that are gone, or older ones.
_PROFILES = """
SELECT u.name, u.realname, u.country, u.url, u.playcount, extract(epoch FROM u.registered_at)::bigint,
       extract(epoch FROM u.profile_at)::float8
FROM users u
WHERE u.profile_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM fetches f WHERE f.fetched_at = u.profile_at AND f.method IN ('user.getFriends', 'user.getInfo'))
ORDER BY u.key
"""


class Membership(NamedTuple):
    """The crawl at one time (seconds since 1970): members, seeds first; and the times of the friends lists by user.

    ``profiles`` are those, with their times, that none of these lists, and no other answer, says.
    """

    at: float
    members: Sequence[Member]
    lists: Mapping[str, Sequence[float]]
    profiles: Sequence[tuple[Profile, float]]

    def without(self, forgotten: Container[str]) -> Membership:
        """The same as if those who are *forgotten* had never been named."""
        return Membership(
            self.at,
            [
                m._replace(seed=None, depth=None) if m.seed is not None and m.seed in forgotten else m
                for m in self.members
                if m.name not in forgotten
            ],
            {key: times for key, times in self.lists.items() if key not in forgotten},
            [row for row in self.profiles if row[0].name not in forgotten],
        )

    @property
    def seeds(self) -> list[str]:
        """The seeds, in the order in which they were first named."""
        return [member.name for member in self.members if member.depth == 0]

    def has_list(self, user: str, at: float) -> bool:
        """Whether the answer about the friends of *user* that came at that time was loaded."""
        return at in self.lists.get(user_key(user), ())


def take(connection: psycopg.Connection, now: float) -> Membership:
    """What the warehouse says now."""
    profiles = [(Profile(*row[:-1]), row[-1]) for row in connection.execute(_PROFILES)]
    return Membership(now, queries.members(connection), dict(connection.execute(_LISTS).fetchall()), profiles)


def save(store: Storage, membership: Membership) -> None:
    """Keep *membership* in the place of an earlier one. Raises StoreError."""
    store.write(KEY, json.dumps(membership, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def read(store: Storage) -> Membership | None:
    """What is kept; None when nobody was ever forgotten. Raises StoreError, and ValueError when it cannot be read."""
    blob = store.get(KEY)
    if blob is None:
        return None
    try:
        at, members, lists, profiles = json.loads(blob)
        return Membership(at, [Member(*row) for row in members], lists, [(Profile(*row), t) for row, t in profiles])
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{KEY} cannot be read: {exc}") from exc
