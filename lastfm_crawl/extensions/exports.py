"""Writes the users found so far into the store, every now and then while a crawl runs and once at its end."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.httpcache import open_store
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.exports import export_to_store

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class Exports:
    """``exports/lastfm_users_YYYYMMDD.json.gz``, every ``EXPORT_EVERY`` seconds; 0 switches it off."""

    def __init__(self, crawler: Crawler) -> None:
        self._interval = crawler.settings.getfloat("EXPORT_EVERY")
        if self._interval <= 0:
            raise NotConfigured
        self._warehouse: Warehouse | None = None
        self._store = open_store(crawler.settings["RESPONSE_STORE"])
        self._ticking: asyncio.Task[None] | None = None
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Exports:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        return extension

    async def spider_opened(self) -> None:
        """Begin to wait."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def spider_closed(self) -> None:
        """Write the last export of the run."""
        if self._ticking is not None:
            self._ticking.cancel()
            await self._export()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._export()

    async def _export(self) -> None:
        try:
            if self._warehouse is None:
                first = Warehouse.of(self._crawler)
                await first.open()
                # A connection of its own: nothing waits for an export.
                self._warehouse = first.another(self._crawler)
            await self._warehouse.open()
            day = datetime.now(UTC).date()
            key, rows = await self._warehouse.run(export_to_store, "users", "ndjson", self._store, day)
            logger.info("%s: %d users", key, rows)
        except (WarehouseUnavailableError, psycopg.Error, OSError) as exc:
            logger.warning("the users could not be exported: %s", exc)
