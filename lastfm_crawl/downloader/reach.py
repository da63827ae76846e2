"""One plain question to a web service outside of a crawl: does it answer, does it take our credentials, is our clock
right. Everything here blocks, and no error holds a secret.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.config import secret, user_agent
from lastfm_crawl.downloader.credentials import with_key
from lastfm_crawl.downloader.redact import redact
from lastfm_crawl.services import lastfm, spotify
from lastfm_crawl.services.problems import Action, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.settings import BaseSettings

TIMEOUT = 20  # seconds
_MOST = 1_000_000  # bytes of an answer
#: One of the founders of Last.fm: an account that has been there from the beginning. Unknown to a stand-in, it shows as
#: well that the key is taken.
_USER = "RJ"


class UnreachableError(Exception):
    """A service does not answer as it should: one line that says how."""


class RefusedError(Exception):
    """A service answers, and does not take our credentials: one line with its words."""


class _Answer(NamedTuple):
    status: int
    date: str | None
    body: bytes


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to wherever it leads."""

    def redirect_request(self, *_: object) -> None:
        """None, so that the redirect is an answer like any other."""


def ask_lastfm(settings: BaseSettings) -> float | None:
    """Ask for one profile; by how many seconds our clock is ahead of the service's, None when it does not tell.

    Raises :class:`UnreachableError` and :class:`RefusedError`.
    """
    call = lastfm.get_info(_USER)
    answer = _send(settings, with_key(call.url(settings["LASTFM_API_URL"])))
    now = datetime.now(UTC)
    page = lastfm.read(call, answer.status, answer.body)
    if isinstance(page, Problem) and page.rule.status != "not_found":
        said = redact(page.message)
        if page.rule.action in {Action.STOP_KEY, Action.DENIED}:
            raise RefusedError(said)
        raise UnreachableError(said)
    try:
        told = parsedate_to_datetime(answer.date or "")
    except ValueError:
        return None
    return (now - told.replace(tzinfo=told.tzinfo or UTC)).total_seconds()


def ask_spotify(settings: BaseSettings) -> None:
    """Ask for a token of the app. Raises :class:`UnreachableError` and :class:`RefusedError`."""
    question = spotify.client_credentials(settings["SPOTIFY_CLIENT_ID"], secret("SPOTIFY_CLIENT_SECRET") or "")
    answer = _send(settings, settings["SPOTIFY_TOKEN_URL"], question.body, question.headers)
    token = spotify.read_token(answer.status, answer.body)
    if isinstance(token, Problem):
        said = redact(token.message)
        if token.rule.action in {Action.STOP_KEY, Action.STOP_FAULT, Action.DENIED}:
            raise RefusedError(said)
        raise UnreachableError(said)


def _send(
    settings: BaseSettings, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> _Answer:
    request = urllib.request.Request(url, body, {"User-Agent": user_agent(settings), **(headers or {})})  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return _Answer(response.status, response.headers["Date"], response.read(_MOST))
        except urllib.error.HTTPError as exc:  # an answer, too
            with exc:
                return _Answer(exc.code, exc.headers["Date"], exc.read(_MOST))
    except (OSError, HTTPException, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise UnreachableError(redact(" ".join(str(reason).split())) or type(exc).__name__) from None
