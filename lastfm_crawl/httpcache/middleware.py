"""Scrapy's HTTP cache, without stopping the event loop: reads and writes run in a process of their own.

A request takes part when its meta has a ``store_key``. Other meta keys:

* ``store_request``: ``{"method", "params"}`` of the question, for the envelope (default: the HTTP method, none)
* ``store_ttl``: seconds for which an answer is good; None is for ever. Read when the answer is stored, so whoever
  judges answers can shorten it for a negative one.
* ``store_redacted``: how many entries were taken out of the body before it came here, for the envelope
* ``store_max_age``: seconds; an older answer counts as a miss for this request (it moves to the archive)
* ``store_refresh``: True asks the service whatever is stored
* ``answered_at``: when the answer came, if the download handler says so

Every answer, stored or not, leaves with ``cache_timestamp``: when it was given, in seconds since 1970.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, TypeVar

from scrapy import signals
from scrapy.exceptions import CloseSpider, IgnoreRequest, NotConfigured
from scrapy.utils.project import data_path

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError
from lastfm_crawl.httpcache.messages import to_envelope, to_response
from lastfm_crawl.httpcache.process import StoreProcess
from lastfm_crawl.httpcache.storage import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from lastfm_crawl.httpcache.envelope import Envelope

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds between the attempts at a store operation that failed.
RETRY_DELAYS = (0.1, 0.5, 2.0)
#: Seconds after which a failure is final: whatever took so long has made attempts of its own.
PATIENCE = 10.0


class AsyncHttpCacheMiddleware:
    """Answers from the store when it has them, and stores every first-hand answer before anything uses it."""

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        if not settings.getbool("HTTPCACHE_ENABLED"):
            raise NotConfigured
        self._crawler = crawler
        self._offline = settings.getbool("HTTPCACHE_IGNORE_MISSING")
        self._store = StoreProcess(settings["RESPONSE_STORE"], settings["RESPONSE_SPOOL"] or data_path("spool"))
        self._failing = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> AsyncHttpCacheMiddleware:
        """Scrapy's constructor."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.spider_opened, signals.spider_opened)
        crawler.signals.connect(middleware.engine_stopped, signals.engine_stopped)
        return middleware

    async def spider_opened(self) -> None:
        """Open and probe the store; a run whose answers cannot be kept is not begun (reason ``store_unavailable``)."""
        try:
            await self._store.open()
            if not self._offline:
                await self._insist(self._store.probe)
                if count := await self._store.upload():
                    logger.info("%d answers that an earlier run could not store are in the store now", count)
        except StoreError as exc:
            message = f"the response store does not work: {exc}"
            logger.critical("stopping (store_unavailable): %s", message)
            self._crawler.stats.set_value("lastfm_crawl/stopped", message)
            raise CloseSpider("store_unavailable") from exc

    async def engine_stopped(self) -> None:
        """Let the store's process end."""
        await self._store.close()

    async def process_request(self, request: Request) -> Response | None:
        """The stored answer, if it is still good. Raises IgnoreRequest when offline and there is none."""
        key = request.meta.get("store_key")
        if key is None or request.meta.get("dont_cache"):
            return None
        stats = self._crawler.stats
        request.meta["asked_at"] = time.time()
        envelope = None if request.meta.get("store_refresh") else await self._read(key)
        if envelope is not None and (self._offline or self._is_fresh(envelope, request)):
            stats.inc_value("httpcache/hit")
            response = to_response(envelope, request)
            response.flags.append("cached")
            return response
        stats.inc_value("httpcache/miss")
        if self._offline:
            stats.inc_value("httpcache/ignore")
            raise IgnoreRequest(f"not in the store: {key}")
        return None

    async def process_response(self, request: Request, response: Response) -> Response:
        """Store a first-hand answer, then let it pass. Raises IgnoreRequest when it cannot be stored."""
        if "cached" in response.flags:
            return response
        answered_at = request.meta.get("answered_at") or round(time.time(), 6)
        request.meta["cache_timestamp"] = answered_at
        key = request.meta.get("store_key")
        if key is None or request.meta.get("dont_cache"):
            return response
        envelope = to_envelope(request, response, asked_at=request.meta["asked_at"], answered_at=answered_at)
        try:
            await self._insist(lambda: self._store.put(key, envelope))
        except StoreError as exc:
            self._stop(f"the answer to {key} could not be stored: {exc}")
            raise IgnoreRequest("not stored, so not used") from exc
        self._crawler.stats.inc_value("httpcache/store")
        return response

    async def _read(self, key: str) -> Envelope | None:
        try:
            return await self._insist(lambda: self._store.get(key))
        except CorruptEnvelopeError as exc:
            self._crawler.stats.inc_value("httpcache/corrupt")
            logger.warning("%s in the store cannot be read (%s); asking again", key, exc)
            return None
        except StoreError as exc:
            # Asking the service for what is stored would break the store's first promise.
            self._stop(str(exc))
            raise IgnoreRequest("the store cannot be read") from exc

    async def _insist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """What *operation* brings; a store that hiccups gets a few more attempts."""
        for delay in RETRY_DELAYS:
            began = time.monotonic()
            try:
                return await operation()
            except StoreError as exc:
                if time.monotonic() - began > PATIENCE:
                    raise  # a bucket's client has insisted already
                logger.warning("%s; trying again in %s s", exc, delay)
                await asyncio.sleep(delay)
        return await operation()

    @staticmethod
    def _is_fresh(envelope: Envelope, request: Request) -> bool:
        now = time.time()
        max_age = request.meta.get("store_max_age")
        return not envelope.expired(now) and (max_age is None or now - envelope.answered_at <= max_age)

    def _stop(self, message: str) -> None:
        self._crawler.stats.inc_value("httpcache/store_error")
        if self._failing:
            return
        self._failing = True
        logger.critical("stopping (store_unavailable): %s", message)
        self._crawler.stats.set_value("lastfm_crawl/stopped", message)
        self._closing = asyncio.get_running_loop().create_task(
            self._crawler.engine.close_spider_async(reason="store_unavailable")
        )
