"""One JSON object to ``ALERT_WEBHOOK`` when a run stops on a critical fault."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)
_TIMEOUT = 10  # seconds


class Alerts:
    """Tells the owner; a webhook that fails is logged and changes nothing."""

    def __init__(self, crawler: Crawler) -> None:
        self._url: str | None = crawler.settings["ALERT_WEBHOOK"]
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
            await asyncio.to_thread(self._post, json.dumps(alert).encode())
        except (OSError, ValueError, HTTPException) as exc:
            # The URL is a secret of its own kind: whoever has it can post.
            logger.warning("the alert could not be sent: %s", type(exc).__name__)

    def _post(self, body: bytes) -> None:
        assert self._url is not None  # noqa: S101  (checked when we were made)
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310  (the owner's own setting)
            pass
