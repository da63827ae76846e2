"""Says when more of Last.fm's data is kept than its terms allow without an agreement."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class StorageCap:
    """Warns at the beginning and at the end of a run; ``LASTFM_STORAGE_CAP_MB=0`` switches it off."""

    def __init__(self, crawler: Crawler) -> None:
        self._cap = crawler.settings.getfloat("LASTFM_STORAGE_CAP_MB")
        if not self._cap:
            raise NotConfigured
        self._warehouse = Warehouse.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> StorageCap:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.check, signals.spider_opened)
        crawler.signals.connect(extension.check, signals.spider_closed)
        return extension

    async def check(self) -> None:
        """Warn when the answers that the warehouse knows of are more than the cap."""
        try:
            await self._warehouse.open()
            stored = await self._warehouse.run(queries.stored_bytes)
        except (WarehouseUnavailableError, psycopg.Error):
            return  # the load pipeline says it
        if stored > self._cap * 1e6:
            logger.warning(
                "%.0f MB of Last.fm's data are stored, and its terms allow %.0f MB without an agreement (README, "
                '"Last.fm\'s terms"); LASTFM_STORAGE_CAP_MB=0 says that you have one',
                stored / 1e6, self._cap,
            )  # fmt: skip
