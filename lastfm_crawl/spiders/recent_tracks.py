"""user.getRecentTracks: the whole listening history of each user, kept current, or a window of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from lastfm_crawl.items import RecentTracksPage, user_key
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import Argument, ArgumentError, day, switch, year
from lastfm_crawl.spiders.base import ServiceSpider
from lastfm_crawl.spiders.user_lists import UserListSpider
from lastfm_crawl.spiders.walk import SIZES, Known, Part, Walk, Window, plan, year_start
from lastfm_crawl.stop import PageLostError, PageTooLargeError
from lastfm_crawl.warehouse import queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy import Request
    from scrapy.http import Response
    from twisted.python.failure import Failure


class RecentTracksSpider(UserListSpider):
    """Closed calendar years are windows of their own, stored for ever; the rest ends at the start of the run.

    Who was fetched before is asked for the time since the newest scrobble, less two weeks. ``until`` alone is where all
    that ends: as if the run were then. ``year``, or ``since`` with or without ``until``, is one window; ``refresh=1``
    asks for it again whatever is stored, and what Last.fm does not name any more is removed once every page of it is
    there.
    """

    name = "recent_tracks"
    phase = "histories"
    methods = ("user.getRecentTracks", "user.getWeeklyChartList")
    arguments: ClassVar[Mapping[str, Argument]] = {
        **UserListSpider.arguments,
        "since": Argument(day),
        "until": Argument(day),
        "year": Argument(year),
        "refresh": Argument(switch, False),
    }

    def __init__(self, **given: str) -> None:
        super().__init__(**given)
        self._walks: dict[str, list[Walk]] = {}  # of each user under way
        self._weeks_asked = False

    @classmethod
    def read(cls, given: Mapping[str, str]) -> dict[str, Any]:
        """The values of the arguments. Raises ArgumentError, also for those that contradict each other."""
        args = super().read(given)
        if args["year"] is not None and (args["since"] is not None or args["until"] is not None):
            raise ArgumentError(f"{cls.name}: year says all that since and until could")
        if args["since"] is not None and args["since"] >= (args["until"] or time.time()):
            raise ArgumentError(f"{cls.name}: since must lie before until, and in the past")
        if args["refresh"] and args["year"] is None and args["since"] is None:
            raise ArgumentError(f"{cls.name}: refresh=1 needs a year, or since: it asks for everything there again")
        return args

    async def left(self) -> list[str]:
        """Every member who has not said lately that there is nothing to have."""
        marks_since = self.marks_since(lastfm.NEGATIVE_TTL)
        method = "user.getRecentTracks"
        return await self.warehouse.run(queries.members_to_ask, method, marks_since, await self.logins())

    async def first_requests(self, user: str) -> AsyncIterator[Request]:
        """The newest window first: a private user is asked for no more."""
        if not self._weeks_asked:
            self._weeks_asked = True
            async for request in self._weeks(user):
                yield request
        self._walks[user_key(user)] = walks = await self._plan(user)
        if walks:
            for request in self._ask(user, walks[-1], walks[-1].begin()):
                yield request
        self._count_pages(user, walks)
        if not walks or walks[-1].done:
            for request in self._others(user, walks):
                yield request

    async def _weeks(self, user: str) -> AsyncIterator[Request]:
        """The list of weeks, for the record, once a day: it is the same for every user."""
        method = lastfm.get_weekly_chart_list(user).method
        if not await self.warehouse.run(queries.users_fetched, method, self.started - lastfm.CHART_LIST_TTL):
            yield self.ask(lastfm.get_weekly_chart_list(user), self.parse_weeks, errback=self.weeks_lost)

    def weeks_lost(self, failure: Failure) -> None:
        """Without the list of weeks nothing is missing but the record of it."""
        ServiceSpider.lost(self, failure)

    async def parse_weeks(self, response: Response) -> AsyncIterator[Any]:
        """The list of weeks."""
        page = self.answer(response)
        for admission in self.admissions(page):
            yield admission
        yield page

    async def _plan(self, user: str) -> list[Walk]:
        """The walks to make, that over the newest window last."""
        stored = await self.warehouse.run(queries.history, user_key(user), self.since)
        size = min((page.per_page for page in stored.pages), default=SIZES[0])
        known: dict[Window, list[Known]] = {}
        for page in stored.pages:
            part = Part((page.page - 1) * page.per_page, page.per_page)
            known.setdefault(Window(page.first, page.end), []).append(Known(part, page.total, page.rows))
        if (window := self._window()) is not None:
            fresh = self.args["refresh"]
            return [Walk(window, size, () if fresh else known.get(window, ()), fresh=fresh)]
        walks = [Walk(window, size, pages) for window, pages in known.items()]
        end = self.started if self.args["until"] is None else min(self.args["until"], self.started)
        return [*walks, *(Walk(window, size) for window in plan(end, known, stored.newest))]

    def _window(self) -> Window | None:
        """The window that the arguments name."""
        now = int(self.started)
        if (chosen := self.args["year"]) is not None:
            first = 0 if chosen == 2002 else year_start(chosen)
            return Window(first, min(year_start(chosen + 1), now))
        if self.args["since"] is None:
            return None
        return Window(self.args["since"], min(self.args["until"] or now, now))

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        """A page of a window, or the mark that there is nothing to have."""
        page = self.answer(response)
        call: lastfm.Call = response.meta["call"]
        for admission in self.admissions(page):
            yield admission
        yield page
        walk, part = self._place(call)
        if walk is None:
            return
        if isinstance(page, RecentTracksPage):
            for request in self._ask(call.user, walk, walk.answer(part, page)):
                yield request
            for request in self._others(call.user, self._walks[user_key(call.user)]):
                yield request
        else:
            self.user_pages[user_key(call.user)] = (1, 1)
            self._finish(call.user)

    async def lost(self, failure: Failure) -> AsyncIterator[Request]:
        """A page that was given up, or that is too large: then in halves."""
        call: lastfm.Call = failure.request.meta["call"]  # type: ignore[attr-defined]  # Scrapy puts it there
        walk, part = self._place(call)
        too_large = isinstance(failure.value, PageTooLargeError)
        if not too_large:
            super().lost(failure)
        # Other ignored requests belong to a run that is ending, or to one without a network.
        offline = self.settings.getbool("HTTPCACHE_IGNORE_MISSING")
        if walk is None or not (isinstance(failure.value, PageLostError | PageTooLargeError) or offline):
            return
        parts = walk.split(part) if too_large else walk.give_up(part)
        for other in self._walks[user_key(call.user)]:
            other.use(walk.size)
        for request in self._ask(call.user, walk, parts):
            yield request
        for request in self._others(call.user, self._walks[user_key(call.user)]):
            yield request

    def _place(self, call: lastfm.Call) -> tuple[Walk | None, Part]:
        """The walk that *call* belongs to, and its part of that; no walk when its user is done with."""
        asked = {name: int(value) for name, value in call.params}
        part = Part((asked["page"] - 1) * asked["limit"], asked["limit"])
        walks = self._walks.get(user_key(call.user), [])
        return next((w for w in walks if w.window == (asked["from"], asked["to"])), None), part

    def _ask(self, user: str, walk: Walk, parts: list[Part]) -> list[Request]:
        requests = []
        for part in parts:
            first, end = walk.window
            call = lastfm.get_recent_tracks(user, part.page, from_=first, to=end, limit=part.size)
            request = self.ask(call, self.parse, priority=1)
            request.meta["may_be_split"] = part.size > SIZES[-1]
            if walk.fresh:
                request.meta["store_refresh"] = True
            requests.append(request)
        return requests

    def _others(self, user: str, walks: list[Walk]) -> list[Request]:
        """The first pages of the windows that have not begun, once the newest has answered; and the user's end."""
        requests = []
        if walks and walks[-1].answered:
            for walk in (walk for walk in walks if not walk.begun):
                requests += self._ask(user, walk, walk.begin())
        self._count_pages(user, walks)
        if all(walk.done for walk in walks):
            self._finish(user)
        return requests

    def _count_pages(self, user: str, walks: list[Walk]) -> None:
        pages = [walk.pages for walk in walks]
        self.user_pages[user_key(user)] = sum(done for done, _ in pages), sum(total for _, total in pages)

    def _finish(self, user: str) -> None:
        walks = self._walks.pop(user_key(user), None)
        if walks is None:
            return
        self.done += 1
        for walk in walks:
            if walk.changed and not walk.lost:
                self.crawler.stats.inc_value("lastfm_crawl/unsteady_windows")
                self.logger.warning("%s: the history kept changing while %s was read", user, walk.window)
