"""Who is admitted to the crawl, and whom to ask next: breadth first, whatever order the answers come in.

Pure: no crawler, no clock. Users are admitted in canonical order (depth, then the parent's place, the page, the
position in it), so the same answers always give the same members, seeds and depths, however a crawl was interrupted.
An answer that comes early waits for those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: A list is asked for ahead of its turn only while this many places are free for each list under way: close to the
#: cut the crawl asks for one list at a time, and so never for one that the cut makes needless.
PLACES_PER_LIST = 100
#: Stored lists that are looked up at once.
LOOK_UP = 500


class Way(NamedTuple):
    """How a user is reached: the number of friendships from a seed, and that seed's place among the seeds."""

    depth: int
    seed: int


class Admission(NamedTuple):
    """A user who became a member, or a member whose way became shorter."""

    user: str
    way: Way


class Step(NamedTuple):
    """An answer whose turn has come: whose list, which page (0: the profile of a seed), and whom it admitted."""

    user: str
    page: int
    admitted: list[Admission]


class _Answer(NamedTuple):
    pages: int
    friends: Sequence[str]
    stored: bool
    lost: bool = False


@dataclass(slots=True)
class _Entry:
    """What is to be taken of one user: the pages *turn* to *pages* (a profile is page 0 of 0)."""

    user: str
    way: Way
    turn: int
    pages: int
    asked: int = -1  # the last page that was asked for
    answers: dict[int, _Answer] = field(default_factory=dict)


class Frontier:
    """The breadth-first walk: take from it whom to ask, feed it the answers, take from it who was admitted.

    *seeds* are those of all runs, in the order in which they were first named. *members* are the users of earlier
    runs by key, with their ways (None: only named, not reached yet); they stay members, and get another way only when
    it is shorter, or as short and from an earlier seed. *stored* are the keys of users whose lists need no asking,
    *unavailable* of those who are to be asked nothing.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        max_users: int,
        max_depth: int | None = None,
        *,
        members: Mapping[str, Way | None] | None = None,
        stored: Iterable[str] = (),
        unavailable: Iterable[str] = (),
    ) -> None:
        self._max_users = max_users
        self._max_depth = max_depth
        self._members = dict(members or {})
        self._stored = set(stored)
        self._unavailable = set(unavailable)
        self._under_way = 0
        self._turn = 0
        ways = [(seed, Way(0, place)) for place, seed in enumerate(seeds)]
        self._reached = {user_key(seed) for seed in seeds}
        self._queue = [_Entry(seed, way, turn=0, pages=0) for seed, way in ways]
        self._queue += [_Entry(seed, way, turn=1, pages=1) for seed, way in ways]
        self._seeds = len(ways)

    @property
    def members(self) -> int:
        """Users admitted so far, those of earlier runs included."""
        return len(self._members)

    @property
    def full(self) -> bool:
        """Whether the cut is reached: nobody else is admitted, and no further list asked for."""
        return len(self._members) >= self._max_users

    @property
    def lists_done(self) -> int:
        """Friends lists that were taken into account."""
        return max(0, self._turn - self._seeds)

    @property
    def lists_known(self) -> int:
        """Friends lists of all users reached so far."""
        return len(self._queue) - self._seeds

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: when nothing is left to ask, either, the walk is over."""
        return self._under_way == 0

    def leave_out(self, user: str) -> None:
        """*user* turned out not to exist: nothing more is asked about it."""
        self._unavailable.add(user_key(user))

    def to_look_up(self) -> list[str]:
        """Users among the next in turn whose stored lists should be read and fed in; each is named once."""
        users = []
        for entry in islice(self._queue, self._turn, self._turn + LOOK_UP):
            key = user_key(entry.user)
            if entry.turn and key in self._stored:
                self._stored.discard(key)
                users.append(entry.user)
        return users

    def to_ask(self, ahead: int) -> list[tuple[str, int]]:
        """Users and pages to ask Last.fm for, in canonical order, so that at most *ahead* are under way."""
        places = self._max_users - len(self._members)
        ahead = max(1, min(ahead, places // PLACES_PER_LIST))
        wanted: list[tuple[str, int]] = []
        for entry in islice(self._queue, self._turn, self._turn + ahead):
            if self._skips(entry):
                continue
            for page in range(max(entry.asked + 1, entry.turn), entry.pages + 1):
                if page in entry.answers:
                    continue
                if self._under_way >= ahead or (self.full and page):
                    return wanted
                entry.asked = page
                self._under_way += 1
                wanted.append((entry.user, page))
        return wanted

    def answer(self, user: str, page: int, pages: int, friends: Sequence[str], *, stored: bool = False) -> None:
        """Page *page* of *pages* of the list of *user*; no pages when there is nothing to have.

        An answer that nobody waits for is ignored.
        """
        self._take(user, page, _Answer(pages, friends, stored))

    def give_up(self, user: str, page: int) -> None:
        """Page *page* of the list of *user* does not come in this run; a seed without a profile is not admitted."""
        self._take(user, page, _Answer(0, (), stored=False, lost=True))

    def _take(self, user: str, page: int, answer: _Answer) -> None:
        key = user_key(user)
        if not answer.stored:
            self._under_way -= 1
        for entry in islice(self._queue, self._turn, None):
            if (entry.turn > 0) == (page > 0) and user_key(entry.user) == key:
                entry.answers[page] = answer
                entry.pages = max(answer.pages, entry.turn)
                return

    def advance(self) -> Iterator[Step]:
        """The answers whose turn has come, in canonical order.

        After the cut only stored lists are walked on: what else was under way is not taken into account, so that
        the result does not depend on how much was asked ahead.
        """
        while self._turn < len(self._queue):
            entry = self._queue[self._turn]
            answer = entry.answers.get(entry.turn)
            if answer is None and self._skips(entry):
                self._turn += 1
                if entry.turn == 0 and user_key(entry.user) in self._members:  # gone, but a seed all the same
                    yield Step(entry.user, 0, self._admit(entry.user, entry.way))
                continue
            if answer is None or (self.full and entry.turn and not answer.stored):
                return
            del entry.answers[entry.turn]
            page = entry.turn
            if page == 0 and answer.lost:
                self._turn += 1
                continue
            if page < answer.pages:
                entry.turn += 1
            else:
                self._turn += 1
            yield Step(entry.user, page, self._admitted(entry, page, answer.friends))

    def _admitted(self, entry: _Entry, page: int, friends: Sequence[str]) -> list[Admission]:
        if page == 0:
            return self._admit(entry.user, entry.way)
        way = Way(entry.way.depth + 1, entry.way.seed)
        admitted: list[Admission] = []
        for friend in friends:
            key = user_key(friend)
            if key in self._reached or (self.full and key not in self._members):
                continue
            self._reached.add(key)
            self._queue.append(_Entry(friend, way, turn=1, pages=1))
            admitted += self._admit(friend, way)
        return admitted

    def _admit(self, user: str, way: Way) -> list[Admission]:
        key = user_key(user)
        known = self._members.get(key)
        if known is not None and known <= way:
            return []
        self._members[key] = way
        return [Admission(user, way)]

    def _skips(self, entry: _Entry) -> bool:
        """Whether nothing is to be asked about an entry."""
        key = user_key(entry.user)
        if entry.turn == 0:  # a seed that finds no place, or that is known to be gone
            return self.full if key not in self._members else key in self._unavailable
        return (
            key in self._unavailable
            or key not in self._members
            or (self._max_depth is not None and entry.way.depth >= self._max_depth)
        )
