"""One JSON object to ``ALERT_WEBHOOK`` when a run stops on a critical fault."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.outcome import Outcome, judge
from lastfm_crawl.extensions.webhook import WebhookError, post
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)


class Alerts:
    """Tells the owner; a webhook that fails is logged and changes nothing."""

    def __init__(self, crawler: Crawler) -> None:
        url: str | None = crawler.settings["ALERT_WEBHOOK"]
        if not url:
            raise NotConfigured
        self._url = url
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
        if outcome.code is Exit.CRITICAL:
            await asyncio.to_thread(_tell, self._url, spider.name, reason, outcome)


def never_begun(settings: BaseSettings, spider: str) -> Outcome:
    """The outcome of a run that could not be set up, told as any critical fault: no extension is there to do it."""
    outcome = Outcome(Exit.CRITICAL, ["the run could not be set up; the log above says why"])
    logger.critical("stopping (never_begun): %s", outcome.faults[0])
    if url := settings["ALERT_WEBHOOK"]:
        _tell(url, spider, "never_begun", outcome)
    return outcome


def _tell(url: str, spider: str, reason: str, outcome: Outcome) -> None:
    alert = {"spider": spider, "reason": reason, "exit_code": int(outcome.code), "faults": outcome.faults}
    try:
        post(url, alert)
    except WebhookError as exc:
        logger.warning("the alert could not be sent: %s", exc)
