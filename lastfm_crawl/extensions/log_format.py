"""Log lines of answers and items: what they are, never their rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy.logformatter import LogFormatter, LogFormatterResult

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure


class ShortLogFormatter(LogFormatter):
    """Scrapy's, except that items print in one short line, and that nobody formats DEBUG lines that nobody sees."""

    def __init__(self, crawler: Crawler) -> None:
        level = crawler.settings["LOG_LEVEL"]
        number = logging.getLevelName(level) if isinstance(level, str) else level
        # Scrapy makes a record for each and lets the handler drop it: a tenth of the time of a small page.
        self._debug = not isinstance(number, int) or number <= logging.DEBUG

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> ShortLogFormatter:
        """Scrapy's constructor."""
        return cls(crawler)

    def crawled(self, request: Request, response: Response, spider: Spider) -> LogFormatterResult | None:  # type: ignore[override]
        """Scrapy's line, at DEBUG."""
        return super().crawled(request, response, spider) if self._debug else None

    def scraped(  # type: ignore[override]
        self, item: Any, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        """One line for an item, at DEBUG."""
        if not self._debug:
            return None
        return {"level": logging.DEBUG, "msg": "Scraped %(item)s", "args": {"item": _short(item)}}

    def item_error(
        self, item: Any, exception: BaseException, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult:
        """One line for an item that a pipeline failed on; the traceback follows."""
        return {"level": logging.ERROR, "msg": "Error processing %(item)s", "args": {"item": _short(item)}}


def _short(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 200 else text[:200] + "…"
