"""Sinks beside PostgreSQL are fed while a crawl runs, from what it has committed; no page waits for them.

The loader marks whose rows it changed, in the transaction that changes them; here the marks are worked off. What is not
sent when the process dies, or while a sink is down, stays marked: the next run, or ``scrapy sync``, sends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from lastfm_crawl.config import database_folder
from lastfm_crawl.pipelines.closing import closed
from lastfm_crawl.warehouse import backlog
from lastfm_crawl.warehouse.database import Database, Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.sinks import configured

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from lastfm_crawl.warehouse.sinks import Sink

logger = logging.getLogger(__name__)


class SinkPipeline:
    """Lets pages pass, and feeds every configured sink behind them, each in a task of its own."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._warehouse = Warehouse.of(crawler)
        self._began = datetime.now(UTC)
        self._end = asyncio.Event()
        self._feeding: list[asyncio.Task[None]] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> SinkPipeline:
        """Scrapy's constructor."""
        return cls(crawler)

    async def open_spider(self) -> None:
        """Make the sinks known before the first page is loaded."""
        sinks = configured(self._crawler.settings)
        if not sinks:
            return
        try:
            await self._warehouse.open()
            for sink in sinks:
                await self._warehouse.run(backlog.register, sink)
        except (WarehouseUnavailableError, psycopg.Error):
            return  # the load pipeline stops the run and says why
        self._feeding = [asyncio.get_running_loop().create_task(self._feed(sink)) for sink in sinks]

    async def process_item(self, item: Any) -> Any:
        """The same item."""
        return item

    async def close_spider(self) -> None:
        """Send what is left, after the last page is loaded and the last artist is matched."""
        if not self._feeding:
            return
        await closed(self._crawler, "load", "match")
        with contextlib.suppress(WarehouseUnavailableError, psycopg.Error):
            await self._warehouse.run(backlog.mark_matched, self._began)
        self._end.set()
        await asyncio.gather(*self._feeding)

    async def _feed(self, sink: Sink) -> None:
        """Feed *sink* from time to time, and at the end of the crawl with everything that is left."""
        settings = self._crawler.settings
        database = Database(self._warehouse.database.conninfo, database_folder(settings))
        feeder = Feeder(database, sink)
        try:
            while not self._end.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end.wait(), sink.interval)
                if not self._interrupted():
                    await asyncio.to_thread(feeder.drain, stopping=self._interrupted)
            left = await asyncio.to_thread(feeder.left)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.error("%s could not be fed: %s", sink.name, exc)  # noqa: TRY400  (one line)
            self._crawler.stats.inc_value("lastfm_crawl/not_sent")
        else:
            if left and not self._interrupted():
                self._crawler.stats.inc_value("lastfm_crawl/not_sent", left)
                logger.error(
                    "%d lists of users did not reach %s (%s); `scrapy sync %s` sends them",
                    left, sink.name, feeder.fault or "they are new", sink.name,
                )  # fmt: skip
        finally:
            await asyncio.to_thread(feeder.close)
            await asyncio.to_thread(database.close)
            self._crawler.stats.set_value(f"lastfm_crawl/sent/{sink.name}", feeder.fed.rows)

    def _interrupted(self) -> bool:
        """Whether somebody wants the run to end: then nothing more is sent, and the next run goes on."""
        return not self._crawler.crawling or self._crawler.stats.get_value("lastfm_crawl/stopped") is not None
