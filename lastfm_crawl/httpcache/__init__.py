"""The response store: every answer, kept as one gzip JSON envelope under a readable key.

This package imports nothing from the rest of the project. Any Scrapy project can use it: put
:class:`~lastfm_crawl.httpcache.middleware.AsyncHttpCacheMiddleware` in the place of Scrapy's own
``HttpCacheMiddleware``, name a folder in ``RESPONSE_STORE``, and give each request a ``store_key`` in its meta.
"""

from lastfm_crawl.httpcache.storage import Storage, StoreError, open_store

__all__ = ["Storage", "StoreError", "open_store"]
