"""Ending a run before its time: the reasons, what each means for the exit code, and how it is done."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import TYPE_CHECKING

from scrapy.exceptions import IgnoreRequest

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class Exit(int, Enum):
    """Exit codes of every command."""

    COMPLETE = 0
    LOSSES = 1
    WRONG_USE = 2
    CRITICAL = 3
    RESUMABLE = 4


class CommandError(Exception):
    """What was asked for cannot be done: the exit code, and one line that says why and what to do."""

    def __init__(self, code: Exit, line: str) -> None:
        super().__init__(line)
        self.code = code


#: Finish reasons of ours, and the exit code each leads to; Scrapy's own (shutdown, closespider_…) are resumable.
REASONS = {
    "key_rejected": Exit.CRITICAL,
    "program_fault": Exit.CRITICAL,
    "store_unavailable": Exit.CRITICAL,
    "warehouse_unavailable": Exit.CRITICAL,
    "rate_limited": Exit.RESUMABLE,
    "service_unreachable": Exit.RESUMABLE,
    "unavailable": Exit.RESUMABLE,
}


class PageLostError(IgnoreRequest):
    """A page was given up after many attempts: the spider goes on without it, and the run exits with 1."""


class PageTooLargeError(IgnoreRequest):
    """A page failed where a smaller one may come; the spider asks for its halves instead."""


_closing: set[asyncio.Task[None]] = set()


def stop_run(crawler: Crawler, reason: str, message: str) -> None:
    """Say *message* once and close the spider with *reason*; returns at once, the closing goes on by itself.

    ``CloseSpider`` is heard only in callbacks: raised in a middleware it loses the answer and the crawl goes on.
    """
    if stopping(crawler):
        return
    critical = REASONS[reason] is Exit.CRITICAL
    logger.log(logging.CRITICAL if critical else logging.ERROR, "stopping (%s): %s", reason, message)
    crawler.stats.set_value("lastfm_crawl/stopped", message)
    task = asyncio.get_running_loop().create_task(crawler.engine.close_spider_async(reason=reason))
    # The loop keeps only weak references to tasks.
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def stopping(crawler: Crawler) -> bool:
    """Whether the run is ending: whoever waits should stop waiting."""
    engine = crawler.engine
    slot = engine._slot  # noqa: SLF001  (nothing public tells that a close has begun)
    return not engine.running or slot is None or slot.closing is not None


async def until_closed(crawler: Crawler) -> None:
    """Wait until the spider is closed: told to stop in the middle of that, the engine says too early that it has."""
    engine = crawler._engine  # noqa: SLF001  (the public one raises where there was none)
    while engine is not None and engine.spider is not None:  # noqa: ASYNC110  (no event says so)
        await asyncio.sleep(0.05)
