"""Counts what answers hold while a run goes on, and has it examined at the end: nothing changes in silence."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from scrapy import signals

from lastfm_crawl.extensions.checks import Limits, examine
from lastfm_crawl.extensions.fields import counted
from lastfm_crawl.items import Answered
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from lastfm_crawl.extensions.checks import Examined, Verdict

logger = logging.getLogger(__name__)

#: Earlier runs that are looked through for those that are worth a comparison: most may have had nothing to do.
RUNS = 100

_monitors: WeakKeyDictionary[Crawler, Monitors] = WeakKeyDictionary()


class Monitors:
    """What fails is put into the stat ``lastfm_crawl/alarms``, from where the outcome of the run has it."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        settings = crawler.settings
        self._limits = Limits(
            settings.getfloat("MONITOR_MAX_ERRORS"),
            settings.getfloat("MONITOR_MIN_COVERAGE"),
            settings.getfloat("MONITOR_LOST_FIELD"),
            settings.getfloat("MONITOR_MIN_ROWS"),
        )
        _monitors[crawler] = self

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Monitors:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.item_scraped, signals.item_scraped)
        return extension

    def item_scraped(self, item: Any) -> None:
        """Count what a first-hand answer held; a stored one was counted in the run that asked for it."""
        stats = self._crawler.stats
        started = stats.get_value("start_time")
        if isinstance(item, Answered) and started and item.fetched_at >= started.timestamp():
            for stat, count in counted(item):
                stats.inc_value(stat, count)

    async def verdicts(self, run_id: str, spider: str, run: Examined) -> list[Verdict]:
        """What there is to say of *run*; failures and warnings are logged, and failures kept for the outcome."""
        try:
            warehouse = Warehouse.of(self._crawler)
            earlier = await warehouse.run(queries.earlier_runs, spider, run_id, RUNS)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("the run could not be compared with earlier ones: %s", exc)
            earlier = []
        verdicts = examine(run, earlier, self._limits)
        failed = [verdict for verdict in verdicts if not verdict.ok]
        for verdict in failed:
            logger.log(logging.WARNING if verdict.warning else logging.ERROR, "%s: %s", verdict.name, verdict.line)
        if alarms := [verdict.line for verdict in failed if not verdict.warning]:
            self._crawler.stats.set_value("lastfm_crawl/alarms", alarms)
        return verdicts


def monitors_of(crawler: Crawler) -> Monitors | None:
    """The monitors of *crawler*, unless they are switched off."""
    return _monitors.get(crawler)
