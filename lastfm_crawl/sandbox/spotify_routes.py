"""The sandbox's Spotify on the wire: /spotify/v1/…, and of the accounts service /authorize and /api/token.

In: requests. Out: answers, with the faults that are asked for. Every request is in the sandbox's log, under
``spotify.search`` and the like, ``spotify.token`` and ``spotify.authorize``; no credential ever is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from lastfm_crawl.sandbox.answers import Answer
from lastfm_crawl.sandbox.bodies import Body
from lastfm_crawl.sandbox.faults import error_of
from lastfm_crawl.sandbox.spotify import route_of, with_null
from lastfm_crawl.sandbox.spotify_accounts import Access, error
from lastfm_crawl.sandbox.wire import bad_gateway, empty, negotiated, plain, truncated

if TYPE_CHECKING:
    from lastfm_crawl.sandbox.log import LoggedRequest
    from lastfm_crawl.sandbox.server import Sandbox

#: The headers of the rate limits that are Spotify's own, by the kind of fault.
_RETRY_AFTER: dict[str, dict[str, str]] = {
    "rate_limit_short": {"Retry-After": "1"},
    "rate_limit_words": {"Retry-After": "soon"},
    "rate_limit_long": {"Retry-After": "86400"},
    "quota_exceeded": {},
}


class SpotifyRoutes:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._spotify = sandbox.spotify

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/spotify/v1/{path:.*}", self._api)
        router.add_get("/spotify/authorize", self._consent)
        router.add_post("/spotify/api/token", self._token)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method, in_path = route_of(request.match_info["path"])
        accounts, authorization = self._spotify.accounts, request.headers.get("Authorization", "")
        shown = accounts.access(authorization)
        whom = {"user": shown.user} if isinstance(shown, Access) and shown.user else {}
        params = {**request.query, **in_path, **whom, "method": method}

        def respond(call: LoggedRequest) -> web.Response:
            if call.fault == "expired_token":
                accounts.expire(authorization)
            access = accounts.access(authorization)
            if not isinstance(access, Access):
                return plain(access)
            said = self._spotify.answer(self._sandbox.world, method, params, access)
            if call.fault == "null_items" and said.status == 200:
                said = Answer(200, with_null(said.body))
            return self._instead(call.fault, said) or negotiated(request, Body(said))

        return await self._sandbox.logged(request, params, respond)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        # Of the form, only what kind of grant it asks for is no secret.
        params = {"method": "spotify.token", "grant_type": form.get("grant_type", "")}

        def respond(call: LoggedRequest) -> web.Response:
            # No code and no refresh token is used up by an answer that does not arrive.
            broken = error(500, "Server error")
            faulty = plain(broken) if call.fault == "drop" else self._instead(call.fault, broken)
            return faulty or plain(self._spotify.accounts.token(form, request.headers.get("Authorization", "")))

        return await self._sandbox.logged(request, params, respond)

    async def _consent(self, request: web.Request) -> web.StreamResponse:
        user = self._spotify.consenting(self._sandbox.world)
        back = self._spotify.accounts.authorize(request.query, user)
        params = {"method": "spotify.authorize", "user": user, "scope": request.query.get("scope", "")}

        def respond(_: LoggedRequest) -> web.Response:
            if back is None:
                return web.Response(status=400, text="INVALID_CLIENT: Invalid redirect URI")
            return web.Response(status=302, headers={"Location": back})

        return await self._sandbox.logged(request, params, respond)

    def _instead(self, kind: str | None, said: Answer) -> web.Response | None:
        """Give the faulty answer that takes the place of the one *said*; None for a kind that changes nothing."""
        coded = error_of(kind or "")
        if coded and coded[1] >= 400:
            return plain(error(coded[1], "Server error"))
        if kind == "false_404":
            return plain(error(404, "Resource not found"))
        if kind == "rate_limit" or kind in _RETRY_AFTER:
            return self._limited(kind)
        if kind == "truncated":
            return truncated(Body(said))
        if kind == "html_502":
            return bad_gateway()
        return empty() if kind == "empty" else None

    def _limited(self, kind: str) -> web.Response:
        headers = self._sandbox.faults.retry_headers if kind == "rate_limit" else _RETRY_AFTER[kind]
        if kind == "quota_exceeded":
            return plain(error(429, "Too many requests", reason="QUOTA_EXCEEDED"), headers)
        return plain(error(429, "API rate limit exceeded"), headers)
