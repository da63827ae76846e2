"""Log lines of items: what they are, never their rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy.logformatter import LogFormatter, LogFormatterResult

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.http import Response
    from twisted.python.failure import Failure


class ShortLogFormatter(LogFormatter):
    """Scrapy's, except that items print in one short line."""

    def scraped(
        self,
        item: Any,
        response: Response | Failure | None,
        spider: Spider,
    ) -> LogFormatterResult:
        """One line for an item."""
        return {"level": logging.DEBUG, "msg": "Scraped %(item)r", "args": {"item": _short(item)}}

    def item_error(
        self,
        item: Any,
        exception: BaseException,
        response: Response | Failure | None,
        spider: Spider,
    ) -> LogFormatterResult:
        """One line for an item that a pipeline failed on; the traceback follows."""
        return {"level": logging.ERROR, "msg": "Error processing %(item)s", "args": {"item": _short(item)}}


def _short(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 200 else text[:200] + "…"
