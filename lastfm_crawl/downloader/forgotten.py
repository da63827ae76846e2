"""Who is forgotten is not in what others' answers say: not stored, not read, not loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.services import redacted
from lastfm_crawl.warehouse.database import Warehouse

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from lastfm_crawl.services.service import Call


class ForgottenMiddleware:
    """Takes their entries out of every answer, from the wire or the store, before it is judged and stored.

    Nobody is asked about them, for spiders leave them out of the names that they are given, and the warehouse has none
    of them to tell.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> ForgottenMiddleware:
        """Scrapy's constructor."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """The answer without them; ``store_redacted`` in the request's meta says how many entries went."""
        forgotten = Warehouse.of(self._crawler).forgotten
        call: Call | None = request.meta.get("call")
        if not forgotten or call is None:
            return response
        body, entries = redacted(call.method, response.body, forgotten.__contains__)
        if not entries:
            return response
        request.meta["store_redacted"] = entries
        return response.replace(body=body)
