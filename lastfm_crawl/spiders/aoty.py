"""Ratings of the most played albums, from the pages of albumoftheyear.org: optional, slow, and gone when told to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.exceptions import IgnoreRequest

from lastfm_crawl.items import AotyAlbumPage, AotyListPage
from lastfm_crawl.services import aoty
from lastfm_crawl.spiders.arguments import Argument, count
from lastfm_crawl.spiders.enrichment import EnrichmentSpider
from lastfm_crawl.stop import REASONS, Exit, stop_run
from lastfm_crawl.warehouse import aoty_matches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    import psycopg
    from scrapy import Request
    from scrapy.http import Response
    from twisted.python.failure import Failure

#: Pages after which a share of pages without a score where scores are known to be means a new markup, and that share.
ENOUGH_PAGES = 20
DRIFT = 0.05


class AotySpider(EnrichmentSpider):
    """The pages of albums whose address is known (from imports, earlier charts), then of those that charts name.

    The site's search is closed to robots, so addresses come from its charts: ``charts`` pages of the best albums of
    each year from which music was played, the most played year first.
    """

    name = "aoty"
    phase = "aoty"
    unit = "albums"
    about = "albums"
    methods = ("aoty.album", "aoty.list")
    needs = ("CONTACT",)
    arguments: ClassVar[Mapping[str, Argument]] = {**EnrichmentSpider.arguments, "charts": Argument(count, 4)}
    # A site for people: what robots.txt allows, one page at a time, 20 a minute.
    custom_settings = {  # noqa: RUF012  (Scrapy's own way)
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_DELAY": 3.0,
        "CONCURRENT_REQUESTS": 1,
    }

    def __init__(self, **given: str) -> None:
        super().__init__(**given)
        self._played = aoty_matches.Played(())
        self._pages = self._drifted = 0

    async def left(self) -> Sequence[int]:
        """Albums of the site that were played, and whose page is not there or older than pages are kept."""
        await self._match(aoty_matches.match_albums_after)
        before = max(self.since or 0.0, self.started - aoty.GOOD_TTL)
        return await self.warehouse.run(aoty_matches.pages_left, datetime.fromtimestamp(before, UTC))

    async def chosen(self) -> Sequence[int]:
        """Those of them that the arguments do not leave out; ``top`` counts the albums that were played."""
        ids = await self.warehouse.run(aoty_matches.of_most_played, await self.left(), self.args["top"])
        return ids[: self.args["limit"]]

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """Their pages."""
        urls = await self.warehouse.run(aoty_matches.urls_of, ids)
        return [self.ask(aoty.get_album(url), self.parse) for url in urls]

    async def start(self) -> AsyncIterator[Request]:
        """The pages that are known, then the charts."""
        async for request in super().start():
            yield request
        if self._full() or (self.state.not_before and not self.total):
            return
        self._played = aoty_matches.Played(await self.warehouse.run(aoty_matches.albums_without_page, self.args["top"]))
        for year in await self.warehouse.run(aoty_matches.years_played):
            yield self.ask(aoty.get_list(f"ratings/user-highest-rated/{year}"), self.parse)

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        """An album; or a page of a chart, whose played albums are asked for, and then the next page."""
        if self.is_refused(response):
            return
        item = self.answer(response)
        if isinstance(item, AotyAlbumPage):
            self.done += 1
            self._watch(item)
        elif isinstance(item, AotyListPage):
            for row in self._played.wanted(item.rows):
                if self._full():
                    break
                self.total += 1
                yield self.ask(aoty.get_album(row.url), self.parse, priority=1)
            if item.rows and item.page < self.args["charts"] and not self._full():
                yield self.ask(aoty.get_list(item.subject, item.page + 1), self.parse)
        yield item

    async def closed(self, reason: str) -> None:
        """Everything is loaded: find out which albums and tracks the new pages are."""
        if REASONS.get(reason) is Exit.CRITICAL or not self._pages:
            return
        for chunk_after in (aoty_matches.match_albums_after, aoty_matches.match_tracks_after):
            await self._match(chunk_after)

    async def _match(self, chunk_after: Callable[[psycopg.Connection, int], list[int]]) -> None:
        """Match all albums or tracks, chunk after chunk."""
        ids = [0]
        while ids:
            ids = await self.warehouse.run(chunk_after, ids[-1])

    def lost(self, failure: Failure) -> Any:
        """What robots.txt does not allow ends the run: there is nothing to ask for then."""
        if isinstance(failure.value, IgnoreRequest) and "robots.txt" in str(failure.value):
            stop_run(self.crawler, "unavailable", "robots.txt of albumoftheyear.org does not allow these pages")
            return None
        return super().lost(failure)

    def _full(self) -> bool:
        return self.args["limit"] is not None and self.total >= self.args["limit"]

    def _watch(self, page: AotyAlbumPage) -> None:
        """Count pages that have no score where scores are known to be; many of them are a new markup: an alarm."""
        if page.album is None:
            return
        self._pages += 1
        self._drifted += aoty.drifted(page.album)
        if self._pages >= ENOUGH_PAGES and self._drifted > DRIFT * self._pages:
            self.crawler.stats.set_value("lastfm_crawl/drifted", self._drifted)
