"""What flows from the spiders to the warehouse: one frozen object per page of an API, never one per row.

Times are seconds since 1970 (UTC) of the stored answer, never the clock of the load. User names come in the
answer's own case; :func:`user_key` folds them for comparison. A page holds up to 1,000 rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: Bytes a name may have: a unique index of PostgreSQL takes 2,704 a row, real names stay below 1,000.
MAX_NAME = 2_000


def user_key(name: str) -> str:
    """The key under which a user is the same whatever the case (``RJ`` and ``rj``); spaces stay."""
    return name.lower()


def name_fault(name: str) -> str | None:
    """Why *name* cannot be stored, or None."""
    if not name:
        return "no name"
    if "\0" in name:
        return "NUL in name"
    return "name too long" if len(name) > MAX_NAME // 4 and len(name.encode()) > MAX_NAME else None


class Profile(NamedTuple):
    """What a friend list or a profile says of a user. ``registered_at`` in seconds since 1970."""

    name: str
    realname: str | None = None
    country: str | None = None
    url: str | None = None
    playcount: int | None = None
    registered_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has: whom and what was asked, where in the list it stands, what became of its rows.

    ``params`` names the list (``limit=1000,period=overall``) without user and page; ``pages`` and ``total`` are
    Last.fm's own figures for the whole list. ``skipped`` counts rows that are not stored, by reason.
    """

    method: str
    user: str
    params: str
    page: int = 1
    pages: int = 1
    total: int = 0
    received: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    fetched_at: float = 0.0

    def __repr__(self) -> str:
        """Short: a page holds a thousand rows, and Scrapy likes to log items."""
        return f"<{type(self).__name__} {self.user!r} {self.page}/{self.pages}, {self.received} rows>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProfilePage(Page):
    """An answer of user.getInfo."""

    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FriendsPage(Page):
    """A page of user.getFriends, in the answer's order: the position decides whom the crawl admits first."""

    friends: tuple[Profile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TopArtistsPage(Page):
    """A page of user.getTopArtists for one period, by columns: a thousand rows are three sequences.

    Most of what a crawl does is to pass such pages on; an object a row would be most of the time that this takes.
    Ranks count from 1 over all pages of the list.
    """

    period: str
    ranks: Sequence[int] = ()
    names: Sequence[str] = ()
    playcounts: Sequence[int] = ()

    def rows(self) -> list[tuple[int, str, int]]:
        """(rank, name, playcount) of each row."""
        return list(zip(self.ranks, self.names, self.playcounts, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UserMark(Page):
    """A confirmed answer that there is nothing to have: ``status`` is ``not_found``, ``private`` or ``error``."""

    status: str
    detail: str


class Member(NamedTuple):
    """A user whom the crawl admitted: the seed it was reached from, and how many friendships away.

    ``depth`` and ``seed`` are None for a user who was named in ``users=`` and is not part of the graph yet.
    """

    name: str
    seed: str | None
    depth: int | None
    discovered_at: float


@dataclass(frozen=True, slots=True)
class Admissions:
    """Users whom a friend list admitted to the crawl, or whose shortest way from a seed it changed, in order."""

    members: tuple[Member, ...]
