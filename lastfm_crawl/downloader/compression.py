"""Scrapy's decompression, for services that now and then send what cannot be decompressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response


class TolerantCompressionMiddleware(HttpCompressionMiddleware):
    """A body that cannot be decompressed becomes an empty one, which is judged, and asked for again, as any other.

    An exception here would pass by every middleware: no retry, and no loss counted.
    """

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """The response with a plain body."""
        try:
            return super().process_response(request, response)
        except Exception:  # noqa: BLE001  (zlib's, brotli's, zstd's and Scrapy's own size limit)
            headers = {k: v for k, v in response.headers.items() if k != b"Content-Encoding"}
            return response.replace(body=b"", headers=headers)
