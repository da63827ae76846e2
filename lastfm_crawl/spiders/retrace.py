"""The walks that earlier runs made over the friends graph, made again over the stored answers: whom they admitted.

Pure: run records and stored answers in, admissions out. The same :class:`Frontier` decides as did in the crawl, so the
same users become members, with the same seeds and depths, at the same cut.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.items import Admissions, Member, Page, UserMark, user_key
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import each_once
from lastfm_crawl.spiders.frontier import Frontier
from lastfm_crawl.spiders.members import Members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lastfm_crawl.spiders.frontier import Step
    from lastfm_crawl.spiders.stored import Outline
    from lastfm_crawl.warehouse.membership import Membership


#: Members that are admitted at a time where all are known from the beginning.
_AT_ONCE = 1000


class Run(NamedTuple):
    """What is recorded of a run. ``named`` are the users of its argument ``users``; times in seconds since 1970."""

    id: str
    spider: str
    args: Mapping[str, Any]
    started: float
    finished: float | None
    complete: bool
    members_before: int
    members_after: int | None
    named: Sequence[str] = ()

    @property
    def discovers(self) -> bool:
        """Whether it walked over the friends graph."""
        return "seeds" in self.args


class Strangers:
    """Users who became members because a run named them: at the time of the first answer that they got in it."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._windows: dict[str, list[tuple[float, float]]] = {}
        self._spelling: dict[str, str] = {}
        self.found: list[Member] = []
        for run in runs:
            end = math.inf if run.finished is None else run.finished
            for name in run.named:
                self._windows.setdefault(user_key(name), []).append((run.started, end))
            for name in run.args.get("seeds", run.named):
                self._spelling.setdefault(user_key(name), name)

    def spelling(self, user: str) -> str:
        """*user* as it was first written in an argument: the name it has until a profile tells the real one."""
        return self._spelling.get(user_key(user), user) if self._spelling else user

    def admitted(self, page: Page) -> Admissions | None:
        """Whom *page* made a member."""
        windows = self._windows.get(user_key(page.user))
        if windows is None or page.page != 1:
            return None
        if not any(start <= page.fetched_at <= end for start, end in windows):
            return None
        self.found.append(Member(self.spelling(page.user), None, None, page.fetched_at))
        return Admissions((self.found[-1],))


class _Mark(NamedTuple):
    at: float
    status: str
    method: str


class Marks:
    """Who was known to be gone when a run began, by all the answers that had come until then."""

    def __init__(self, starts: Iterable[float]) -> None:
        self._starts = sorted(starts)
        self._marks: dict[str, list[tuple[str, _Mark]]] = {}
        # Of the answers between two starts the latest is enough, for each user and method.
        self._good: dict[str, dict[tuple[str, int], float]] = {}

    def note(self, user: str, method: str, params: str, status: str | None, at: float) -> None:
        """An answer about *user*: a mark with a *status*, or a good one (None)."""
        key = user_key(user)
        if status is not None:
            self._marks.setdefault(key, []).append((params, _Mark(at, status, method)))
            return
        latest = self._good.setdefault(key, {})
        slot = (method, bisect_right(self._starts, at))
        latest[slot] = max(at, latest.get(slot, at))

    def unavailable(self, start: float, since: float) -> set[str]:
        """Keys of users who had been found gone before *start*, and after *since*."""
        return {key for key in self._marks if self._is_gone(key, start, since)}

    def _is_gone(self, key: str, start: float, since: float) -> bool:
        newest: dict[tuple[str, str], _Mark] = {}
        for params, mark in self._marks[key]:
            if mark.at < start:
                newest[mark.method, params] = max(mark, newest.get((mark.method, params), mark))
        before = bisect_right(self._starts, math.nextafter(start, 0))
        good = [(method, at) for (method, slot), at in self._good.get(key, {}).items() if slot <= before and at < start]
        valid = [
            mark
            for mark in newest.values()
            if not any(at > mark.at and (mark.status == "not_found" or method == mark.method) for method, at in good)
        ]
        # Of two at the same time the warehouse takes the first by name.
        last = min(valid, key=lambda mark: (-mark.at, mark.status), default=None)
        return last is not None and last.status == "not_found" and last.at >= since


class Retrace:
    """Every walk of *runs* over the answers that it had, one after another.

    Those of the time before *kept* cannot be made again: what they came to is in it.
    """

    def __init__(
        self, runs: Sequence[Run], lists: Iterable[Outline], profiles: Iterable[Page], strangers: Iterable[Member],
        marks: Marks, kept: Membership | None = None,
    ) -> None:  # fmt: skip
        self._runs = sorted(runs, key=lambda run: (run.started, run.id))
        self._lists: dict[str, dict[int, list[Outline]]] = {}
        for outline in lists:
            self._lists.setdefault(user_key(outline.user), {}).setdefault(outline.page, []).append(outline)
        self._profiles: dict[str, list[Page]] = {}
        for page in profiles:
            self._profiles.setdefault(user_key(page.user), []).append(page)
        self._strangers = sorted(strangers, key=lambda member: member.discovered_at)
        self._marks = marks
        self._seeds: list[str] = kept.seeds if kept else []
        self._members: list[Member] = list(kept.members) if kept else []
        self._kept = kept
        #: Keys of the answers that a walk took into account: what the crawls loaded.
        self.taken: set[str] = set()
        if kept:
            outlines = (page for pages in self._lists.values() for versions in pages.values() for page in versions)
            self.taken = {page.key for page in outlines if kept.has_list(page.user, page.at)}

    def admissions(self) -> Iterator[Admissions]:
        """Whom the runs admitted, in the order in which they did."""
        if self._kept:
            for begin in range(0, len(self._members), _AT_ONCE):
                yield Admissions(tuple(self._members[begin : begin + _AT_ONCE]))
            yield Admissions((), tuple(self._kept.profiles))
        walks = [run for run in self._runs if run.discovers and (not self._kept or run.started >= self._kept.at)]
        for run, follower in zip_longest(walks, walks[1:]):
            end = math.inf if follower is None else follower.started
            walk = _Walk(self, run, end)
            yield from walk.admissions()
            self._members = list(walk.members)

    def bound(self, run: Run, end: float) -> int | None:
        """How many members there were when *run* was interrupted, if that is known."""
        if run.complete:
            return None
        if run.members_after is not None:
            return run.members_after
        pages = (page for pages in self._lists.values() for versions in pages.values() for page in versions)
        alive = max((page.at for page in pages if run.started <= page.at < end), default=run.started)
        # A run that began while this one still brought answers saw only a part of what it admitted.
        return next((later.members_before for later in self._runs if later.started > max(alive, run.started)), None)

    def known(self, start: float) -> list[Member]:
        """The members when a run began."""
        keys = {user_key(member.name) for member in self._members}
        return [
            *self._members,
            *(m for m in self._strangers if m.discovered_at < start and user_key(m.name) not in keys),
        ]

    def seeds(self, run: Run) -> list[str]:
        """The seeds of *run*: those that earlier ones admitted, then its own."""
        return each_once([*self._seeds, *run.args["seeds"]])

    def admitted(self, admissions: Admissions) -> None:
        """Remember who became a seed, in order."""
        self._seeds = each_once([*self._seeds, *(m.name for m in admissions.members if m.depth == 0)])

    def profile(self, user: str, start: float, end: float, since: float) -> tuple[Page, bool] | None:
        """The profile of a seed that a run had, and whether it had it from the beginning."""
        pages = [page for page in self._profiles.get(user_key(user), ()) if since <= page.fetched_at < end]
        earlier = [page for page in pages if page.fetched_at < start]
        newest = max(earlier or pages, key=lambda page: page.fetched_at, default=None)
        return None if newest is None else (newest, bool(earlier))

    def loaded(self, user: str, since: float) -> list[Outline]:
        """The pages of the friends list of *user* that the warehouse has by now."""
        newest: dict[int, Outline] = {}
        for number, versions in self._lists.get(user_key(user), {}).items():
            taken = [page for page in versions if page.key in self.taken and page.at >= since]
            if taken:
                newest[number] = max(taken, key=lambda page: page.at)
        pages = [page for page in newest.values() if page.friends is not None]
        if not pages:
            return []
        last = max(pages, key=lambda page: (page.at, page.page))
        return sorted((page for page in pages if page.page <= max(last.pages, 1)), key=lambda page: page.page)

    def users_loaded(self, since: float) -> set[str]:
        """Keys of users of whom the warehouse has an answer about friends."""
        return {
            key
            for key, pages in self._lists.items()
            if any(page.key in self.taken and page.at >= since for versions in pages.values() for page in versions)
        }

    def answer(self, user: str, number: int, end: float, since: float) -> Outline | None:
        """The answer that a run got for a page of a friends list."""
        versions = self._lists.get(user_key(user), {}).get(number, ())
        return max((p for p in versions if since <= p.at < end), key=lambda page: page.at, default=None)

    def unavailable(self, start: float, since: float) -> set[str]:
        """Keys of users of whom nothing was asked by a run that believed no mark from before *since*."""
        return self._marks.unavailable(start, max(start - lastfm.NEGATIVE_TTL, since))


class _Walk:
    """One run's walk: what :class:`FriendsSpider` does, with the answers that are there."""

    def __init__(self, past: Retrace, run: Run, end: float) -> None:
        self._past = past
        self._run = run
        self._end = end
        self._since = -math.inf if run.args["max_age"] is None else run.started - run.args["max_age"]
        self._bound = past.bound(run, end)
        self._answers: dict[tuple[str, int], tuple[float, str | None]] = {}
        self.members = Members(past.seeds(run), past.known(run.started))
        self._frontier = Frontier(
            past.seeds(run),
            run.args["max_users"],
            run.args["max_depth"],
            members=self.members.ways(),
            stored=past.users_loaded(self._since),
            unavailable=past.unavailable(run.started, self._since),
        )

    def admissions(self) -> Iterator[Admissions]:
        frontier = self._frontier
        while True:
            for step in frontier.advance():
                if self._bound is not None and frontier.members > self._bound:
                    return  # it was interrupted before this answer
                if admissions := self._taken(step):
                    yield admissions
            if users := frontier.to_look_up():
                for user in users:
                    for page in self._past.loaded(user, self._since):
                        self._feed(page, stored=True)
                continue
            questions = frontier.to_ask(1)
            if not questions or not all(self._answer(*question) for question in questions):
                return

    def _taken(self, step: Step) -> Admissions | None:
        at, key = self._answers.pop((user_key(step.user), step.page), (None, None))
        if key is not None:
            self._past.taken.add(key)
        admissions = self.members.admit(step, at, self._run.started)
        if admissions:
            self._past.admitted(admissions)
        return admissions

    def _answer(self, user: str, number: int) -> bool:
        """Feed the frontier an answer that it wants; False when the run ended without it."""
        if number == 0:
            return self._profile(user)
        page = self._past.answer(user, number, self._end, self._since)
        if page is None:
            return self._missing(user, number)
        self._feed(page, stored=False)
        return True

    def _profile(self, user: str) -> bool:
        found = self._past.profile(user, self._run.started, self._end, self._since)
        if found is None:
            return self._missing(user, 0)
        page, known = found
        if not known and isinstance(page, UserMark) and page.status == "not_found":
            self._frontier.leave_out(user)
        self._answers[user_key(user), 0] = (page.fetched_at, None)
        self._frontier.answer(user, 0, 0, ())
        return True

    def _missing(self, user: str, number: int) -> bool:
        """An answer that is not there was lost, and the walk went on, or it was still to come when the run ended."""
        if not self._run.complete and (self._bound is None or self._frontier.members >= self._bound):
            return False
        self._frontier.give_up(user, number)
        return True

    def _feed(self, page: Outline, *, stored: bool) -> None:
        self._answers[user_key(page.user), page.page] = (page.at, page.key)
        if page.friends is None:
            if page.status == "not_found":
                self._frontier.leave_out(page.user)
            self._frontier.answer(page.user, page.page, 0, ())
        else:
            self._frontier.answer(page.user, page.page, page.pages, page.friends, stored=stored)
