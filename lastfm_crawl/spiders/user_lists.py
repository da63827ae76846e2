"""The walk over the users who have not been asked for one of their lists yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Request, signals

from lastfm_crawl.items import Admissions, Member, Page, user_key
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import Argument, names
from lastfm_crawl.spiders.base import ServiceSpider
from lastfm_crawl.spiders.profile_checks import VALIDATE, ProfileChecks
from lastfm_crawl.stop import stopping
from lastfm_crawl.warehouse import queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from scrapy.http import Response


class UserListSpider(ServiceSpider):
    """Walks the users that have not been asked for one of their lists yet, page after page of each.

    A subclass says which list: :meth:`call` and, when the list has a limit, :meth:`max_pages`.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {"users": Argument(names), **VALIDATE}

    def __init__(self, **given: str) -> None:
        super().__init__(**given)
        self._strangers: set[str] = set()
        self._returned: dict[str, float] = {}

    def call(self, user: str, page: int = 1) -> lastfm.Call:
        """The question for a page of the list of *user*."""
        raise NotImplementedError(f"{type(self).__name__} must say what it asks for")

    def max_pages(self) -> int | None:
        """Pages after which the list is long enough; None for all."""
        return None

    async def start(self) -> AsyncIterator[Request]:
        """The first requests for each user that is left, as fast as the downloader takes them."""
        if await self.is_left_alone():
            return
        users = await self.users_left()
        self.total = len(users)
        if self.args["validate"] and self._strangers:
            strangers = [user for user in users if user_key(user) in self._strangers]
            users = [user for user in users if user_key(user) not in self._strangers]
            yield Request("data:,", self.look_first, cb_kwargs={"users": strangers}, dont_filter=True)
        for user in users:
            if self.crawler.engine.needs_backout():
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            async for request in self.first_requests(user):
                yield request

    async def look_first(self, _: Response, users: list[str]) -> AsyncIterator[Any]:
        """The first requests for those of *users* who have a profile page, as far as the site says that."""
        checks = ProfileChecks(self)
        for user in users:
            check = await checks.look(user)
            if stopping(self.crawler):
                return
            if check is not None:
                yield check
            if check is not None and not check.total:
                self.done += 1
                continue
            async for request in self.first_requests(user):
                yield request

    async def first_requests(self, user: str) -> AsyncIterator[Request]:
        """What to ask of *user* before anything is known of the list: its first page."""
        # That they were gone is stored as the answer to this.
        yield self.ask_after(self.call(user), self.parse, self._returned.get(user_key(user)))

    async def left(self) -> list[str]:
        """Names of the members who are left."""
        first = self.call("")
        self._returned = await self.warehouse.run(queries.returned, first.method, first.list_params)
        return await self.warehouse.run(
            queries.members_left,
            first.method,
            first.list_params,
            self.max_pages(),
            self.since,
            self.marks_since(lastfm.NEGATIVE_TTL),
            await self.logins(),
        )

    async def logins(self) -> dict[str, float]:
        """Since when those who have logged in with Last.fm are, by key: a hidden list may be open to us now."""
        if self.settings.getbool("HTTPCACHE_IGNORE_MISSING"):
            return {}
        logins = await asyncio.to_thread(Logins(self.settings, "lastfm").all)
        return {key: login.at for key, login in logins.items()}

    async def users_left(self) -> list[str]:
        """Names to ask for: the members that are left, or those of ``users`` who are left or not known yet."""
        left = await self.left()
        named = self.named("users")
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
        pages = page.pages if most is None else min(page.pages, most)
        self.user_pages[user_key(page.user)] = page.page, max(page.page, pages)
        if page.page < pages:
            yield self.ask(self.call(page.user, page.page + 1), self.parse, priority=1)
        if page.page == 1:
            self.done += 1
        for admission in self.admissions(page):
            yield admission
        yield page
