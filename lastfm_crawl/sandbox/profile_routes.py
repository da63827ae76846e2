"""The sandbox's www.last.fm on the wire: the profile pages, for whoever only wants to know that they are there.

In: requests. Out: an empty page with the status that the real one would have, or the fault that is asked for. Every
request is in the sandbox's log, under ``user.page``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from aiohttp import web

from lastfm_crawl.sandbox.faults import error_of
from lastfm_crawl.sandbox.wire import bad_gateway

if TYPE_CHECKING:
    from lastfm_crawl.sandbox.log import LoggedRequest
    from lastfm_crawl.sandbox.server import Sandbox


class ProfileRoutes:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/user/{name}", self._page)  # HEAD, too

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = unquote_plus(request.raw_path.rpartition("/")[2])

        def respond(call: LoggedRequest) -> web.Response:
            if coded := error_of(call.fault or ""):
                return web.Response(status=coded[1])
            if call.fault == "html_502":
                return bad_gateway()
            user = self._sandbox.world.user(name)
            return web.Response(status=404 if user is None or user.status == "deleted" else 200)

        return await self._sandbox.logged(request, {"method": "user.page", "user": name}, respond)
