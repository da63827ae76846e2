"""One JSON object to ``ALERT_WEBHOOK`` when a run stops on a critical fault."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.extensions.webhook import WebhookError, post
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class Alerts:
    """Tells the owner; a webhook that fails is logged and changes nothing."""

    def __init__(self, crawler: Crawler) -> None:
        self._url: str = crawler.settings["ALERT_WEBHOOK"] or ""
        if not self._url:
            raise NotConfigured
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Alerts:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        return extension

    async def spider_closed(self, spider: Spider, reason: str) -> None:
        """POST ``{"spider", "reason", "exit_code", "faults"}`` when the fault is critical."""
        outcome = judge({**self._crawler.stats.get_stats(), "finish_reason": reason})
        if outcome.code is not Exit.CRITICAL:
            return
        alert = {
            "spider": spider.name,
            "reason": reason,
            "exit_code": int(outcome.code),
            "faults": outcome.faults,
        }
        try:
            await asyncio.to_thread(post, self._url, alert)
        except WebhookError as exc:
            logger.warning("the alert could not be sent: %s", exc)
