"""How far the run is: a bar on a terminal, one plain line a minute elsewhere."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from scrapy import signals

from lastfm_crawl.extensions.outcome import requests_made

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)
_REFRESH = 0.25  # seconds
#: Seconds of the past that the rate and the time left are taken from.
_WINDOW = 120
_WIDE = 110  # columns


class Progress:
    """Shows done of total, requests a minute, stored answers used, errors, and the time left."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._interval = crawler.settings.getfloat("PROGRESS_INTERVAL")
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._narrow = False
        self._ticking: asyncio.Task[None] | None = None
        self._past = [(time.monotonic(), 0, 0)]  # when, requests, done
        self._handlers: list[logging.StreamHandler[Any]] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Progress:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        return extension

    def spider_opened(self, spider: Spider) -> None:
        """Begin to show."""
        if sys.stderr.isatty():  # rich also takes FORCE_COLOR for a terminal
            self._start_bar(spider)
        task = self._show_bar(spider) if self._bar else self._log_lines(spider)
        self._ticking = asyncio.get_running_loop().create_task(task)

    def spider_closed(self, spider: Spider) -> None:
        """Show the last state, and give the terminal back."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._bar is None:
            logger.info("%s: %s", spider.name, self._line(spider))
            return
        self._update(self._bar, spider)
        self._bar.stop()
        for handler in self._handlers:
            handler.setStream(sys.stderr)

    def _start_bar(self, spider: Spider) -> None:
        # On eighty columns what counts is there, with a short bar; the rest has to go.
        self._narrow = self._console.width < _WIDE
        columns: list[ProgressColumn] = [
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=5 if self._narrow else 40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
        ]
        if not self._narrow:
            columns = [SpinnerColumn(), *columns, TimeElapsedColumn()]
        self._bar = Bar(*columns, console=self._console)
        self._bar.add_task(spider.name, total=None, detail="")
        stderr = sys.stderr
        self._bar.start()
        # Log lines go above the bar instead of through it.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is stderr:
                handler.setStream(sys.stderr)
                self._handlers.append(handler)

    async def _show_bar(self, spider: Spider) -> None:
        while self._bar is not None:
            self._update(self._bar, spider)
            await asyncio.sleep(_REFRESH)

    def _update(self, bar: Bar, spider: Spider) -> None:
        done, total = _position(spider)
        bar.update(bar.task_ids[0], completed=done, total=total or None, detail=self._detail(spider))

    async def _log_lines(self, spider: Spider) -> None:
        while True:
            await asyncio.sleep(self._interval or 60)
            logger.info("%s: %s", spider.name, self._line(spider))

    def _line(self, spider: Spider) -> str:
        done, total = _position(spider)
        unit = getattr(spider, "unit", "pages")
        return f"{done} of {total} {unit}, {self._detail(spider)}"

    def _detail(self, spider: Spider) -> str:
        stats = self._crawler.stats.get_stats()
        rows = getattr(spider, "rows", None)  # of a replay, which asks for nothing
        requests = requests_made(stats) if rows is None else rows
        done, total = _position(spider)
        now = time.monotonic()
        self._past.append((now, requests, done))
        # The one before the window's first stays: of two lines that are far apart the earlier is the start.
        while len(self._past) > 2 and self._past[1][0] < now - _WINDOW:
            self._past.pop(0)
        then, requests_then, done_then = self._past[0]
        minutes = (now - then) / 60
        rate = (requests - requests_then) / minutes if minutes else 0
        left = (total - done) / ((done - done_then) / minutes) if minutes and done > done_then else None
        if rows is None:
            parts = [
                f"{requests} requests",
                f"{rate:.0f}/min",
                f"{stats.get('httpcache/hit', 0)} {'stored' if self._narrow else 'from the store'}",
                f"{stats.get('lastfm_crawl/failed_answers', 0)} errors",
            ]
        else:
            parts = [
                f"{getattr(spider, 'pages', 0)} pages",
                f"{rows} rows",
                f"{rate / 60:.0f}/s",
                f"{stats.get('lastfm_crawl/bad_objects', 0)} {'bad' if self._narrow else 'skipped'}",
            ]
        if left is not None and total > done:
            parts.append(f"~{_duration(left)}" if self._narrow else f"{_duration(left)} left")
        return ", ".join(parts)


def _position(spider: Spider) -> tuple[int, int]:
    return getattr(spider, "done", 0), getattr(spider, "total", 0)


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
