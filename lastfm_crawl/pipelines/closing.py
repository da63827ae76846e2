"""In which order pipelines finish: Scrapy closes them all at once, and some work on what others have committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

_closings: WeakKeyDictionary[Crawler, dict[str, asyncio.Event]] = WeakKeyDictionary()


def expect(crawler: Crawler, name: str) -> asyncio.Event:
    """To be set by the pipeline *name* of *crawler* when it is closed, whatever happens; said when it is made."""
    return _closings.setdefault(crawler, {}).setdefault(name, asyncio.Event())


async def closed(crawler: Crawler, *names: str) -> None:
    """Wait until those of the pipelines *names* that *crawler* has are closed."""
    expected = _closings.get(crawler, {})
    for name in names:
        if name in expected:
            await expected[name].wait()
