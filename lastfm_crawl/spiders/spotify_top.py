"""What those who have logged in with Spotify play most there: artists and tracks, for each time range."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from lastfm_crawl.items import user_key
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import spotify
from lastfm_crawl.spiders.arguments import Argument, names
from lastfm_crawl.spiders.base import ServiceSpider
from lastfm_crawl.warehouse.forgotten import without

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy import Request
    from scrapy.http import Response


class SpotifyTopSpider(ServiceSpider):
    """Six lists a user; what was asked within the last 30 days is not asked again unless ``max_age`` says so."""

    name = "spotify_top"
    phase = "spotify"
    methods = ("spotify.top",)
    needs = ("SPOTIFY_CLIENT_ID",)
    unit = "lists"
    custom_settings = {"DOWNLOAD_DELAY": 0.6}  # noqa: RUF012  (Scrapy's own way; 100 a minute)
    arguments: ClassVar[Mapping[str, Argument]] = {"users": Argument(names)}

    async def start(self) -> AsyncIterator[Request]:
        """The first page of every list of everybody who has logged in, or of ``users``."""
        if await self.is_left_alone():
            return
        users = self.named("users")
        if users is None:
            users = without(await asyncio.to_thread(Logins(self.settings, "spotify").users), self.warehouse.forgotten)
        if not users and self.args["users"] is None:
            self.logger.warning("nobody has logged in; run `scrapy spotify login NAME`")
        calls = [
            spotify.get_top(user, kind, time_range)
            for user in users
            for kind in spotify.KINDS
            for time_range in spotify.TIME_RANGES
        ]
        self.total = len(calls)
        for user in users:
            self.user_pages[user_key(user)] = 0, len(spotify.KINDS) * len(spotify.TIME_RANGES)
        for call in calls:
            yield self.ask(call, self.parse)

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        """One page of a list, which asks for the next."""
        if self.is_refused(response):
            return
        page = self.answer(response)
        done, pages = self.user_pages.get(user_key(page.user), (0, 1))
        self.user_pages[user_key(page.user)] = done + 1, pages + (page.page < page.pages)
        if page.page < page.pages:
            params = dict(response.meta["call"].params)
            limit = int(params["limit"])
            yield self.ask(
                spotify.get_top(page.user, params["kind"], params["time_range"], limit, page.page * limit),
                self.parse,
                priority=1,
            )
        if page.page == 1:
            self.done += 1
        yield page
