"""The sandbox's albumoftheyear.org on the wire: its pages, and /robots.txt, at the root as on the real one.

In: requests. Out: answers, with the faults that are asked for. Every request is in the sandbox's log, under
``aoty.album`` and the like, ``aoty.robots``, and ``aoty.search`` for what robots.txt disallows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from lastfm_crawl.sandbox.aoty import Page, refused, route_of
from lastfm_crawl.sandbox.faults import error_of
from lastfm_crawl.sandbox.wire import bad_gateway

if TYPE_CHECKING:
    from lastfm_crawl.sandbox.log import LoggedRequest
    from lastfm_crawl.sandbox.server import Sandbox


class AotyRoutes:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/robots.txt", self._robots)
        for kind in ("album", "artist", "ratings", "search", "scripts"):
            router.add_get(f"/{kind}/{{path:.*}}", self._page)

    async def _robots(self, request: web.Request) -> web.StreamResponse:
        return await self._sandbox.logged(request, {"method": "aoty.robots"}, self._rules)

    def _rules(self, _: LoggedRequest) -> web.Response:
        return web.Response(text=self._sandbox.robots)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        method, in_path = route_of(request.path)

        def respond(call: LoggedRequest) -> web.Response:
            said = self._sandbox.aoty.answer(self._sandbox.world, method, in_path)
            return self._instead(call.fault, said) or _sent(said)

        return await self._sandbox.logged(request, {**in_path, "method": method}, respond)

    def _instead(self, kind: str | None, said: Page) -> web.Response | None:
        """Give the faulty answer that takes the place of the one *said*; None for a kind that changes nothing."""
        if kind in {"challenge", "denied"}:
            return _sent(refused(kind))
        if coded := error_of(kind or ""):
            return _sent(Page(coded[1], "<html><body>Error</body></html>"))
        if kind == "rate_limit":
            return _sent(Page(429, "", self._sandbox.faults.retry_headers))
        if kind == "truncated":
            return _sent(said._replace(html=said.html[: len(said.html) // 2]))
        if kind == "html_502":
            return bad_gateway()
        return _sent(Page(200, "")) if kind == "empty" else None


def _sent(page: Page) -> web.Response:
    return web.Response(
        status=page.status, text=page.html, content_type="text/html", charset="utf-8", headers=page.headers
    )
