"""What goes on the wire besides the question, by service: added on the way out, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from lastfm_crawl.config import secret
from lastfm_crawl.downloader.tokens import SpotifySigner
from lastfm_crawl.services import lastfm, name_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from lastfm_crawl.downloader.tokens import Send
    from lastfm_crawl.services.service import Call


class Signer(Protocol):
    """Knows the credentials of one service."""

    async def sign(self, request: Request) -> Request:
        """A copy of *request* with credentials."""

    def renew(self, request: Request) -> None:
        """What *request* went out with is worn out: the next one gets something fresh."""


def with_key(url: str) -> str:
    """*url* with the key of Last.fm, when there is one."""
    key = secret("LASTFM_API_KEY")
    return url if key is None else lastfm.signed(url, key)


class LastfmSigner:
    """Adds the API key to the URL."""

    @staticmethod
    async def sign(request: Request) -> Request:
        """A copy of *request* with the key, when there is one."""
        return request.replace(url=with_key(request.url))

    def renew(self, request: Request) -> None:
        """Nothing: a key does not wear out."""


class Signers:
    """The signers of one crawl; those that have to ask for credentials do so by *send*."""

    def __init__(self, crawler: Crawler, send: Send) -> None:
        self._signers: dict[str, Signer] = {"user": LastfmSigner(), "spotify": SpotifySigner(crawler, send)}

    def of(self, call: Call) -> Signer | None:
        """Whoever signs *call*; None where no credentials are needed."""
        return self._signers.get(name_of(call.method))


_signers: WeakKeyDictionary[Crawler, Signers] = WeakKeyDictionary()


def make_signers(crawler: Crawler, send: Send) -> Signers:
    """The signers of *crawler*, made once, whichever download handler is the first to be."""
    return _signers.setdefault(crawler, Signers(crawler, send))


def renew(crawler: Crawler, request: Request) -> None:
    """The credentials of *request* are worn out."""
    signers = _signers.get(crawler)
    if signers is not None and (signer := signers.of(request.meta["call"])):
        signer.renew(request)
