"""What Last.fm spiders share: arguments, requests, answers, and the walk over users that are left."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Request, Spider, signals
from scrapy.exceptions import IgnoreRequest

from lastfm_crawl.items import Admissions, Member, Page, user_key
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.spiders.arguments import Argument, days, names, read_arguments
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import Warehouse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from scrapy.http import Response
    from twisted.python.failure import Failure


class LastfmSpider(Spider):
    """Base of all Last.fm spiders: ``arguments`` are declared by each and read into ``self.args``.

    ``done`` and ``total`` are what progress shows; ``phase`` is its name in state/progress.json; ``methods`` are those
    whose answers it brings.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {}
    phase: ClassVar[str]
    methods: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "users"

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.args = self.read(given)
        # What the run record keeps: names instead of the file that held them, which may change before a replay.
        self.given = {
            name: ",".join(self.args[name]) if text.startswith("@") and isinstance(self.args[name], list) else text
            for name, text in given.items()
            if not name.startswith("_")
        }
        self.done = 0
        self.total = 0

    @classmethod
    def read(cls, given: Mapping[str, str]) -> dict[str, Any]:
        """The values of this spider's arguments. Raises ArgumentError."""
        return read_arguments(cls.name, {**cls.arguments, "max_age": Argument(days)}, given)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse that this crawl loads."""
        return Warehouse.of(self.crawler)

    @property
    def since(self) -> float | None:
        """With ``max_age``: answers from before then (seconds since 1970) are asked again."""
        max_age = self.args["max_age"]
        return None if max_age is None else self.started - max_age

    @property
    def started(self) -> float:
        """When the run began, in seconds since 1970."""
        start = self.crawler.stats.get_value("start_time")
        return float(start.timestamp()) if start else time.time()

    def ask(self, call: lastfm.Call, callback: Callable[..., Any], **options: Any) -> Request:
        """The keyless request for *call*, with all that the store and the middlewares need to know."""
        meta: dict[str, Any] = {
            "call": call,
            "store_key": call.store_key,
            "store_request": {"method": call.method, "params": call.all_params},
        }
        if self.args["max_age"] is not None:
            meta["store_max_age"] = self.args["max_age"]
        # Never filtered: what was asked in an earlier run and lost there must be asked again.
        url = call.url(self.settings["LASTFM_API_URL"])
        return Request(url, callback, **{"errback": self.lost, "meta": meta, "dont_filter": True, **options})

    def lost(self, failure: Failure) -> Any:
        """A request that brought no answer. What was not given up (and counted) on purpose is a fault: count it, too.

        An exception in a middleware passes by everybody else, and the run would end as if nothing had been lost.
        """
        if not isinstance(failure.value, IgnoreRequest):
            self.crawler.stats.inc_value("lastfm_crawl/lost")
            self.logger.error("%s is lost: %r", failure.request.url, failure.value)  # type: ignore[attr-defined]

    @staticmethod
    def answer(response: Response) -> Page:
        """The page of an answer, or the mark that there is none, with the time of the stored answer."""
        meta = response.meta
        answer = meta.pop("answer")
        page = lastfm.mark(meta["call"], answer) if isinstance(answer, Problem) else answer
        return replace(page, fetched_at=meta["cache_timestamp"], size=len(response.body))


class UserListSpider(LastfmSpider):
    """Walks the users that have not been asked for one of their lists yet, page after page of each.

    A subclass says which list: :meth:`call` and, when the list has a limit, :meth:`max_pages`.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {"users": Argument(names)}

    def __init__(self, **given: str) -> None:
        super().__init__(**given)
        self._strangers: set[str] = set()

    def call(self, user: str, page: int = 1) -> lastfm.Call:
        """The question for a page of the list of *user*."""
        raise NotImplementedError(f"{type(self).__name__} must say what it asks for")

    def max_pages(self) -> int | None:
        """Pages after which the list is long enough; None for all."""
        return None

    async def start(self) -> AsyncIterator[Request]:
        """The first requests for each user that is left, as fast as the downloader takes them."""
        users = await self.users_left()
        self.total = len(users)
        for user in users:
            if self.crawler.engine.needs_backout():
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            async for request in self.first_requests(user):
                yield request

    async def first_requests(self, user: str) -> AsyncIterator[Request]:
        """What to ask of *user* before anything is known of the list: its first page."""
        yield self.ask(self.call(user), self.parse)

    async def left(self) -> list[str]:
        """Names of the members who are left."""
        first = self.call("")
        return await self.warehouse.run(
            queries.members_left,
            first.method,
            first.list_params,
            self.max_pages(),
            self.since,
            self.started - lastfm.NEGATIVE_TTL,
        )

    async def users_left(self) -> list[str]:
        """Names to ask for: the members that are left, or those of ``users`` who are left or not known yet."""
        left = await self.left()
        named: list[str] | None = self.args["users"]
        if named is None:
            return left
        known = await self.warehouse.run(queries.known_names, named)
        unfinished = {user_key(name) for name in left}
        self._strangers |= {user_key(name) for name in named} - known.keys()
        return [name for name in named if user_key(name) in unfinished | self._strangers]

    def admissions(self, page: Page) -> Iterator[Admissions]:
        """That the user of *page* is known from now on, when somebody is who was named; the earliest answer counts."""
        if page.page == 1 and user_key(page.user) in self._strangers:
            yield Admissions((Member(page.user, None, None, page.fetched_at),))

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        """One page of the list, which asks for the next: a list may grow while it is asked for."""
        page = self.answer(response)
        most = self.max_pages()
        if page.page < (page.pages if most is None else min(page.pages, most)):
            yield self.ask(self.call(page.user, page.page + 1), self.parse, priority=1)
        if page.page == 1:
            self.done += 1
        for admission in self.admissions(page):
            yield admission
        yield page
