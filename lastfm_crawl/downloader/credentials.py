"""What goes on the wire besides the question, by service: added on the way out, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from scrapy.exceptions import IgnoreRequest

from lastfm_crawl.config import secret
from lastfm_crawl.services import lastfm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from lastfm_crawl.services.service import Call

    #: Sends a request as it is, past all middlewares.
    Send = Callable[[Request], Awaitable[Response]]


class CredentialsRefusedError(IgnoreRequest):
    """A service does not take our credentials, or there are none: one line that says what to do. The run stops."""


class Signer(Protocol):
    """Knows the credentials of one service."""

    async def sign(self, request: Request) -> Request:
        """A copy of *request* with credentials. Raises CredentialsRefusedError, and what a download raises."""

    def renew(self, request: Request) -> None:
        """What *request* went out with is worn out: the next one gets something fresh."""


class LastfmSigner:
    """Adds the API key to the URL."""

    async def sign(self, request: Request) -> Request:  # noqa: D102
        key = secret("LASTFM_API_KEY")
        return request if key is None else request.replace(url=lastfm.signed(request.url, key))

    def renew(self, request: Request) -> None:
        """Nothing: a key does not wear out."""


class Signers:
    """The signers of one crawl."""

    def __init__(self) -> None:
        self._signers: dict[str, Signer] = {"user": LastfmSigner()}

    def of(self, call: Call) -> Signer | None:
        """Whoever signs *call*; None where no credentials are needed."""
        return self._signers.get(call.method.partition(".")[0])


_signers: WeakKeyDictionary[Crawler, Signers] = WeakKeyDictionary()


def signers_of(crawler: Crawler) -> Signers:
    """The signers of *crawler*: the handlers sign with them, the error middleware says when to renew."""
    if crawler not in _signers:
        _signers[crawler] = Signers()
    return _signers[crawler]
