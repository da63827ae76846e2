"""Artists that a crawl brings find their ids while it runs, as far as names that are equal in some form can tell.

Behind the loader, on a connection of its own: what is committed is looked up in the catalogue, in batches, and no page
waits for it. Names with typos want the whole catalogue in memory: that is what ``scrapy match`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import psycopg

from lastfm_crawl.items import LovedTracksPage, RecentTracksPage, TopAlbumsPage, TopArtistsPage, TopTracksPage
from lastfm_crawl.pipelines.closing import closed, expect
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.matches import catalogue_version, new_artists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.crawler import Crawler

    from lastfm_crawl.warehouse.matches import Artist

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is new.
INTERVAL = 2.0
_WITH_ARTISTS = (LovedTracksPage, RecentTracksPage, TopAlbumsPage, TopArtistsPage, TopTracksPage)


class MatchPipeline:
    """Lets pages pass, and matches their artists behind them."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._matching: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        self._closed = expect(crawler, "match")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> MatchPipeline:
        """Scrapy's constructor."""
        return cls(crawler)

    async def process_item(self, item: Any) -> Any:
        """The same item; the first that names artists wakes the matching."""
        if self._matching is None and isinstance(item, _WITH_ARTISTS):
            self._matching = asyncio.get_running_loop().create_task(self._match())
        return item

    async def close_spider(self) -> None:
        """Match what is left, after the last page is loaded."""
        try:
            await closed(self._crawler, "load")
            self._end.set()
            if self._matching is not None:
                await self._matching
        finally:
            self._closed.set()

    async def _match(self) -> None:
        """Match what is new until the crawl ends; that it cannot be done is no loss, for it can be done later."""
        try:
            warehouse = Warehouse.of(self._crawler).another(self._crawler)
            await warehouse.open()
            if not await warehouse.run(catalogue_version, "artists"):
                return
            first = after = await warehouse.run(_oldest_unmatched)
            while not self._end.is_set():
                after = await self._match_after(warehouse, after)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end.wait(), INTERVAL)
            # Ids are given before they are committed: one that was passed by is found now.
            await self._match_after(warehouse, first)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("artists could not be matched (%s); `scrapy match` does it later", exc)

    async def _match_after(self, warehouse: Warehouse, after: int) -> int:
        """Match the artists with ids above *after* that were never looked for; the last of these ids."""
        while artists := await warehouse.run(new_artists, after):
            believed = await warehouse.run(_match_equals, artists)
            self._crawler.stats.inc_value("lastfm_crawl/artists_matched", believed)
            self._crawler.stats.inc_value("lastfm_crawl/artists_looked_up", len(artists))
            after = artists[-1].id
        return after


def _match_equals(connection: psycopg.Connection, artists: Sequence[Artist]) -> int:
    from lastfm_crawl.warehouse.artist_matches import match_equals  # noqa: PLC0415  (only who has a catalogue waits)

    return match_equals(connection, artists)


def _oldest_unmatched(connection: psycopg.Connection) -> int:
    """An id below which every artist was looked for."""
    found = new_artists(connection, 0, 1)
    if found:
        return found[0].id - 1
    row = connection.execute("SELECT coalesce(max(id), 0) FROM artists").fetchone()
    return row[0] if row else 0
