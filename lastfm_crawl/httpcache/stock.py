"""The store as a storage of Scrapy's own ``HttpCacheMiddleware``, for projects that stay with that.

    HTTPCACHE_ENABLED = True
    HTTPCACHE_STORAGE = "lastfm_crawl.httpcache.stock.GCSCacheStorage"
    RESPONSE_STORE = "gs://bucket/prefix"

Scrapy calls it on the event loop's thread, which waits: with a bucket far away
:class:`~lastfm_crawl.httpcache.middleware.AsyncHttpCacheMiddleware` crawls many times as fast.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, NewerEnvelopeError, decode, encode
from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.httpcache.messages import KEPT_HEADERS, to_envelope, to_response
from lastfm_crawl.httpcache.storage import StoreError, open_store, probe

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: What Scrapy's middlewares between the cache and the spider need to make sense of a stored answer.
HEADERS = (*KEPT_HEADERS, "Content-Encoding", "Location", "Age", "Vary")


class CacheStorage:
    """Any store that ``RESPONSE_STORE`` names. Raises ValueError for one that no storage knows.

    A request without a ``store_key`` in its meta is kept under its spider's name and its fingerprint.
    """

    def __init__(self, settings: BaseSettings) -> None:
        self._storage = open_store(settings["RESPONSE_STORE"])
        self._expiration = settings.getint("HTTPCACHE_EXPIRATION_SECS")

    def open_spider(self, spider: Spider) -> None:
        """Probe the store. Raises StoreError, which Scrapy only logs."""
        self._fingerprinter = spider.crawler.request_fingerprinter
        probe(self._storage)

    def close_spider(self, spider: Spider) -> None:
        """Nothing is open."""

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """The stored answer, or None: there is none, it has expired, or it cannot be read. Raises StoreError."""
        key = self._key(spider, request)
        blob = self._storage.get(key)
        if blob is None:
            return None
        try:
            envelope = decode(blob)
        except NewerEnvelopeError as exc:
            raise StoreError(f"{key}: {exc}") from exc
        except CorruptEnvelopeError as exc:
            spider.crawler.stats.inc_value("httpcache/corrupt")
            logger.warning("%s in the store cannot be read (%s); asking again", key, exc)
            return None
        now = time.time()
        if envelope.expired(now) or 0 < self._expiration < now - envelope.answered_at:
            return None
        return to_response(envelope, request)

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Keep *response*; what was there moves to the archive. Raises StoreError."""
        now = round(time.time(), 6)
        envelope = to_envelope(request, response, asked_at=now, answered_at=now, headers=HEADERS)
        self._storage.put(self._key(spider, request), encode(envelope))

    def _key(self, spider: Spider, request: Request) -> str:
        key = request.meta.get("store_key")
        if key is not None:
            return str(key)
        return request_key([spider.name, self._fingerprinter.fingerprint(request).hex()], {})


#: The name under which it is looked for; a folder works as well.
GCSCacheStorage = CacheStorage
