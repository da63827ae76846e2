"""Answers as aiohttp sends them: right ones, and those kinds of faulty ones that every service has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from lastfm_crawl.sandbox.bodies import Body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lastfm_crawl.sandbox.answers import Answer

_JSON_TYPE = "application/json; charset=utf-8"
_HTML = (
    "<html><head><title>502 Bad Gateway</title></head><body><h1>Error: Server Error</h1><h2>The server "
    "encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds."
    "</h2></body></html>"
)


def plain(said: Answer, headers: Mapping[str, str] | None = None) -> web.Response:
    """Send an answer as it is."""
    return web.Response(
        status=said.status, body=Body(said).plain, headers={"Content-Type": _JSON_TYPE, **(headers or {})}
    )


def negotiated(request: web.Request, body: Body) -> web.Response:
    """Gzip what is worth it, from the kept bytes: aiohttp would compress a page anew for every call."""
    headers = {"Content-Type": _JSON_TYPE}
    if body.is_large and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(status=body.status, body=body.gzipped, headers=headers)
    return web.Response(status=body.status, body=body.plain, headers=headers)


def truncated(body: Body) -> web.Response:
    """Send half of the JSON, with an honest Content-Length."""
    return web.Response(body=body.plain[: len(body.plain) // 2], headers={"Content-Type": _JSON_TYPE})


def empty() -> web.Response:
    """Send HTTP 200 without a body."""
    return web.Response(body=b"", headers={"Content-Type": _JSON_TYPE})


def bad_gateway() -> web.Response:
    """Send what a proxy says when the server behind it does not answer."""
    return web.Response(status=502, text=_HTML, content_type="text/html")
