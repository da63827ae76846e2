"""A crawler that is not running: Scrapy's own, with an engine that only remembers why it was closed."""

from __future__ import annotations

from types import SimpleNamespace

from scrapy.utils.test import get_crawler


class FakeEngine:
    def __init__(self):
        self.running = True
        self.spider = None
        self._slot = SimpleNamespace(closing=None)
        self.reasons = []

    async def close_spider_async(self, *, reason):
        self.reasons.append(reason)
        self._slot.closing = True


def crawler_with(**settings):
    """A crawler with *settings* and a :class:`FakeEngine`."""
    crawler = get_crawler(settings_dict=settings)
    crawler.engine = FakeEngine()
    return crawler
