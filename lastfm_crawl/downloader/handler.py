"""The download handler that signs: credentials are added on the wire, and taken off the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.exceptions import DownloadFailedError, IgnoreRequest
from scrapy.utils.misc import build_from_crawler, load_object

from lastfm_crawl.downloader.credentials import make_signers
from lastfm_crawl.downloader.pace import StoppedWaitingError, pacer_of
from lastfm_crawl.downloader.proxies import Proxies
from lastfm_crawl.downloader.redact import clean_logs, redact

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.core.downloader.handlers import DownloadHandlerProtocol
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from lastfm_crawl.services.service import Call


class SigningHandler(BaseDownloadHandler):
    """Waits for its turn, signs requests that carry a call, and sends them by Scrapy's own handler.

    A middleware could not do it: what it changes is in the request that is logged, queued and stored.
    """

    lazy = False

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        base = crawler.settings["DOWNLOAD_HANDLERS_BASE"]["https"]
        self._inner = cast("DownloadHandlerProtocol", build_from_crawler(load_object(base), crawler))
        self._pacer = pacer_of(crawler)
        self._signers = make_signers(crawler, self._inner.download_request)
        self._proxies = Proxies(crawler.settings)
        clean_logs()

    async def download_request(self, request: Request) -> Response:
        """The answer to *request*, as if it had been sent without credentials. Raises what Scrapy's handler raises."""
        call: Call | None = request.meta.get("call")
        if call is None:
            await self._pacer.turn(request)
            return await self._inner.download_request(self._proxies.route(request))
        sent = request
        failure: Exception | None = None
        try:
            if signer := self._signers.of(call):
                sent = await signer.sign(request)
            sent = self._proxies.route(sent)
            begun = time.monotonic()
            await self._pacer.turn(request)
            self.crawler.stats.inc_value("lastfm_crawl/pace_ms", round((time.monotonic() - begun) * 1000))
            self.crawler.stats.inc_value(f"lastfm_crawl/asked/{call.method}")
            request.meta["sent_at"] = time.monotonic()
            response = await self._inner.download_request(sent)
        except (IgnoreRequest, StoppedWaitingError):
            raise  # texts of our own
        except Exception as exc:  # noqa: BLE001  (whatever it is, its text or its request may hold the key)
            failure = _clean(exc)
        finally:
            self._report_latency(sent.meta, request.meta)
        if failure is not None:
            # Outside the except block, so that the original is not its context, either.
            raise failure
        request.meta["answered_at"] = round(time.time(), 6)
        # Not response.replace(): it decodes the whole body to find an encoding that nobody asked for.
        return type(response)(
            request.url,
            status=response.status,
            headers=response.headers,
            body=response.body,
            flags=response.flags,
            ip_address=response.ip_address,
            protocol=response.protocol,
        )

    async def close(self) -> None:
        """Close the inner handler."""
        await self._inner.close()

    @staticmethod
    def _report_latency(sent: dict[str, Any], asked: dict[str, Any]) -> None:
        # AutoThrottle reads it from the request that it knows.
        if "download_latency" in sent:
            asked["download_latency"] = sent["download_latency"]


def _clean(exc: Exception) -> Exception:
    """An exception of the same kind with a text that holds no key."""
    text = redact(str(exc)) or type(exc).__name__
    try:
        return type(exc)(text)
    except TypeError:  # a class that takes something else than a text
        return DownloadFailedError(f"{type(exc).__name__}: {text}")
