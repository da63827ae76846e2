"""What goes on the wire besides the question, by service: added on the way out, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from lastfm_crawl.config import secret
from lastfm_crawl.downloader.redact import hide
from lastfm_crawl.downloader.tokens import SpotifySigner
from lastfm_crawl.items import user_key
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import lastfm, name_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from lastfm_crawl.downloader.tokens import Send
    from lastfm_crawl.logins import Login
    from lastfm_crawl.services.service import Call

logger = logging.getLogger(__name__)


class Signer(Protocol):
    """Knows the credentials of one service."""

    async def sign(self, request: Request) -> Request:
        """A copy of *request* with credentials."""

    async def renew(self, request: Request) -> None:
        """What *request* went out with is worn out: the next one gets something fresh."""


def with_key(url: str, session: str = "") -> str:
    """*url* with the key of Last.fm, when there is one; with a *session* signed, where the key's secret is known."""
    key, shared = secret("LASTFM_API_KEY"), secret("LASTFM_API_SECRET") or ""
    return url if key is None else lastfm.signed(url, key, shared, session if shared else "")


class LastfmSigner:
    """Adds the API key to the URL; to a question about a user who has logged in, their session and a signature, too.

    Every other question goes unsigned: a session is for its own user's data alone.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._stats = crawler.stats
        self._logins = Logins(crawler.settings, "lastfm")
        self._sessions: dict[str, Login] | None = None  # None until they were read

    async def sign(self, request: Request) -> Request:
        """A copy of *request* with the key, when there is one."""
        session = await self.session_of(request.meta["call"])
        return request.replace(url=with_key(request.url, session.token if session else ""))

    async def renew(self, request: Request) -> None:
        """Drop the session of the user whom *request* is about: it goes unsigned from now on. A key is never renewed.

        Pages that were under way come back refused, too; the first one alone is said and counted.
        """
        session = await self.session_of(request.meta["call"])
        if session is None or self._sessions is None or not self._sessions.pop(user_key(session.user), None):
            return
        self._stats.inc_value("lastfm_crawl/logins_ended")
        logger.error(
            "Last.fm does not take the session of %s any more; run `scrapy lastfm login %s`", session.user, session.user
        )
        await asyncio.to_thread(self._logins.forget, session.user, session.token)

    async def session_of(self, call: Call) -> Login | None:
        """The session of the user whom *call* is about; None for those who are not logged in."""
        if self._sessions is None:
            sessions = await asyncio.to_thread(self._logins.all)
            for session in sessions.values():
                hide(session.token)
            # Whoever waited for the file at the same time may have been first, and have dropped one since.
            self._sessions = sessions if self._sessions is None else self._sessions
        return self._sessions.get(user_key(call.user)) if isinstance(call, lastfm.Call) else None


class Signers:
    """The signers of one crawl; those that have to ask for credentials do so by *send*."""

    def __init__(self, crawler: Crawler, send: Send) -> None:
        self._signers: dict[str, Signer] = {"user": LastfmSigner(crawler), "spotify": SpotifySigner(crawler, send)}

    def of(self, call: Call) -> Signer | None:
        """Whoever signs *call*; None where no credentials are needed."""
        return self._signers.get(name_of(call.method))


_signers: WeakKeyDictionary[Crawler, Signers] = WeakKeyDictionary()


def make_signers(crawler: Crawler, send: Send) -> Signers:
    """The signers of *crawler*, made once, whichever download handler is the first to be."""
    return _signers.setdefault(crawler, Signers(crawler, send))


async def renew(crawler: Crawler, request: Request) -> None:
    """The credentials of *request* are worn out."""
    signers = _signers.get(crawler)
    if signers is not None and (signer := signers.of(request.meta["call"])):
        await signer.renew(request)


async def logged_in_at(crawler: Crawler, call: Call) -> float:
    """Since when *call* is asked in the name of the user whom it is about (seconds since 1970); 0 when it is not."""
    signers = _signers.get(crawler)
    signer = signers.of(call) if signers is not None else None
    session = await signer.session_of(call) if isinstance(signer, LastfmSigner) else None
    return session.at if session else 0.0
