"""Spotify's access tokens: fetched when one is needed, kept in memory, renewed once for all who wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from scrapy import Request
from scrapy.exceptions import DownloadFailedError, IgnoreRequest

from lastfm_crawl.config import secret
from lastfm_crawl.downloader.pace import pacer_of
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import spotify
from lastfm_crawl.services.problems import Action, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.crawler import Crawler
    from scrapy.http import Response

    #: Sends a request as it is, past all middlewares.
    Send = Callable[[Request], Awaitable[Response]]

#: Seconds before its end at which a token is not used any more.
_MARGIN = 30.0


class CredentialsRefusedError(IgnoreRequest):
    """A service does not take our credentials: one line that says what to do. The run stops."""


class LoginExpiredError(IgnoreRequest):
    """A user has to log in again: one line that says so. The others go on."""


class _Held(NamedTuple):
    text: str
    good_until: float  # of the monotonic clock
    number: int


class SpotifySigner:
    """Adds the token of the app, or of the user whom a call is about."""

    def __init__(self, crawler: Crawler, send: Send) -> None:
        self._settings = crawler.settings
        self._logins = Logins(crawler.settings, "spotify")
        self._pacer = pacer_of(crawler)
        self._send = send
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._fetched = 0

    async def sign(self, request: Request) -> Request:
        """A copy of *request* with a token. Raises CredentialsRefusedError, LoginExpiredError, and what a download
        raises.
        """
        call: spotify.Call = request.meta["call"]
        held = await self._token(call.user)
        # The number tells which token it was without being one.
        request.meta["token_number"] = held.number
        sent = request.copy()
        sent.headers["Authorization"] = f"Bearer {held.text}"
        return sent

    async def renew(self, request: Request) -> None:
        """Drop the token that *request* went out with, unless another has taken its place."""
        user = request.meta["call"].user
        held = self._held.get(user)
        if held is not None and held.number == request.meta.get("token_number"):
            del self._held[user]

    async def _token(self, user: str) -> _Held:
        async with self._locks.setdefault(user, asyncio.Lock()):
            held = self._held.get(user)
            if held is None or held.good_until <= time.monotonic():
                held = await (self._of_user(user) if user else self._of_app())
                self._held[user] = held
            return held

    async def _of_app(self) -> _Held:
        identity, key = self._settings["SPOTIFY_CLIENT_ID"], secret("SPOTIFY_CLIENT_SECRET")
        if not identity or not key:
            raise CredentialsRefusedError("SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET are not set")
        return self._hold(await self._ask(spotify.client_credentials(identity, key)))

    async def _of_user(self, user: str) -> _Held:
        refresh_token = await asyncio.to_thread(self._logins.token, user)
        again = f"run `scrapy spotify login {user}`"
        if refresh_token is None:
            raise LoginExpiredError(f"{user} is not logged in with Spotify; {again}")
        try:
            token = await self._ask(spotify.refresh(refresh_token, self._settings["SPOTIFY_CLIENT_ID"] or ""))
        except LoginExpiredError as exc:
            raise LoginExpiredError(f"Spotify wants the consent of {user} again ({exc}); {again}") from None
        if token.refresh_token:
            await asyncio.to_thread(self._logins.keep, user, token.refresh_token)
        return self._hold(token)

    def _hold(self, token: spotify.Token) -> _Held:
        self._fetched += 1
        return _Held(token.access_token, time.monotonic() + token.expires_in - _MARGIN, self._fetched)

    async def _ask(self, question: spotify.TokenRequest) -> spotify.Token:
        url = self._settings["SPOTIFY_TOKEN_URL"]
        request = Request(url, method="POST", body=question.body, headers=dict(question.headers), dont_filter=True)
        await self._pacer.turn(request)
        response = await self._send(request)
        answer = spotify.read_token(response.status, response.body)
        if not isinstance(answer, Problem):
            return answer
        if answer.rule.action in {Action.STOP_KEY, Action.STOP_FAULT}:
            credentials = spotify.SERVICE.credentials
            raise CredentialsRefusedError(f"Spotify refuses our login ({answer.message}); check {credentials}")
        if answer.rule.action is Action.DENIED:
            raise LoginExpiredError(answer.message)
        raise DownloadFailedError(f"Spotify gives no token: {answer.message}")
