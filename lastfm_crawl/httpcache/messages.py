"""Between Scrapy's messages and envelopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.http import Headers
from scrapy.responsetypes import responsetypes

from lastfm_crawl.httpcache.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.http import Response

#: Response headers worth keeping; none of them says anything about who asked.
KEPT_HEADERS = ("Content-Type", "Date", "ETag", "Last-Modified", "Cache-Control", "Expires")


def to_envelope(
    request: Request,
    response: Response,
    *,
    asked_at: float,
    answered_at: float,
    headers: Iterable[str] = KEPT_HEADERS,
) -> Envelope:
    """What is kept of *response*. Times are seconds since 1970; *headers* are the names of those that are kept."""
    question = request.meta.get("store_request") or {"method": request.method, "params": {}}
    ttl = request.meta.get("store_ttl")
    kept = ((name, response.headers.get(name)) for name in headers)
    return Envelope(
        method=question["method"],
        params=question["params"],
        url=request.url,
        asked_at=asked_at,
        status=response.status,
        headers={name: value.decode("latin-1") for name, value in kept if value is not None},
        answered_at=answered_at,
        body=response.body,
        expires=None if ttl is None else answered_at + ttl,
        redacted=request.meta.get("store_redacted", 0),
    )


def to_response(envelope: Envelope, request: Request) -> Response:
    """The stored answer to *request*; its meta gets ``cache_timestamp``, as Scrapy's own storages do it."""
    request.meta["cache_timestamp"] = envelope.answered_at
    headers = Headers(dict(envelope.headers))
    response_class = responsetypes.from_args(headers=headers, url=request.url, body=envelope.body)
    return response_class(request.url, status=envelope.status, headers=headers, body=envelope.body)
