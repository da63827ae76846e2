"""What happens about an answer that is no page: the meaning comes from services/, this acts on it.

Answers pass here before they are stored, so nothing that is not believed ever reaches the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    IgnoreRequest,
    NotSupported,
)

from lastfm_crawl.downloader.credentials import logged_in_at, renew
from lastfm_crawl.downloader.pace import StoppedWaitingError, pacer_of
from lastfm_crawl.downloader.redact import redact, redact_bytes
from lastfm_crawl.downloader.tokens import CredentialsRefusedError, LoginExpiredError
from lastfm_crawl.services import name_of, service_of
from lastfm_crawl.services.problems import Action, Problem, Rule
from lastfm_crawl.stop import PageLostError, PageTooLargeError, stop_run, stopping
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.service_states import leave_alone

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from lastfm_crawl.services.service import Call, Service

logger = logging.getLogger(__name__)

#: Times a page is asked for before it is given up; a page given up is a loss.
MAX_ATTEMPTS = 8
#: The same while nothing has ever answered: then the URL or the network is wrong, and waiting is no help.
MAX_FIRST_CONNECTIONS = 3
#: Times a page that may be split is asked for before it is: a big page of a big account may never come.
MAX_LARGE_ATTEMPTS = 3
#: Rate-limit answers without a good one between, after which the run stops (resumable).
MAX_RATE_LIMITS = 10
#: Refused authentications (403) without a good answer between, after which it is the key.
MAX_DENIALS = 3
#: Seconds without a question after a quota is used up, unless the service says how long.
_NO_QUOTA = 86_400.0
#: Seconds that a page waits at most for its next attempt, whatever the service says.
_LONGEST_PAUSE = 3600.0
_STEP = 0.5

#: What is no fault of the service: an answer that may be a result, a question in another form, a worn-out token.
_NO_ERRORS = {Action.CONFIRM, Action.REPHRASE, Action.RENEW}
_CANNOT_CONNECT = (DownloadConnectionRefusedError, CannotResolveHostError)


class ErrorMiddleware:
    """Judges every answer to a ``meta["call"]``; puts the page (or the recorded problem) into ``meta["answer"]``."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._pacer = pacer_of(crawler)
        self._first_pause = crawler.settings.getfloat("BACKOFF_FIRST")
        self._max_pause = crawler.settings.getfloat("BACKOFF_MAX")
        self._last_good: float | None = None
        self._rate_limits = 0
        self._denials = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> ErrorMiddleware:
        """Scrapy's constructor."""
        return cls(crawler)

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        """The response when it holds a page or a problem to record; otherwise the request again, after a pause."""
        call: Call | None = request.meta.get("call")
        if call is None:
            return response
        service = _service(call)
        cached = "cached" in response.flags
        if not cached and (clean := redact_bytes(response.body)) is not response.body:
            response = response.replace(body=clean)
        refused = None if cached or service.refusal is None else _refusal(service, response)
        answer = refused or service.read(call, response.status, response.body)
        if isinstance(answer, Problem) and (
            not self._is_result(request, answer, cached=cached) or (cached and await self._is_open_now(request, answer))
        ):
            return await self._act(request, response, answer, cached=cached)
        if not cached:
            self._good(request, call)
        request.meta["answer"] = answer
        request.meta["store_ttl"] = service.time_to_live(call, answer)
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """A download that failed is a transient problem of its own."""
        call: Call | None = request.meta.get("call")
        if call is None and request.url.endswith("/robots.txt"):
            # Scrapy goes on without, and logs a traceback unless the request was ignored.
            raise IgnoreRequest(str(exception)) from exception
        if call is None or isinstance(exception, NotSupported):
            return None
        if isinstance(exception, CredentialsRefusedError):
            stop_run(self._crawler, "key_rejected", str(exception))
        if isinstance(exception, LoginExpiredError):
            self._crawler.stats.inc_value("lastfm_crawl/lost")
            logger.error("%s is lost: %s", _what(request), exception)
        if isinstance(exception, IgnoreRequest) or request.meta.get("dont_retry"):
            return None
        if isinstance(exception, StoppedWaitingError):
            return request.replace(dont_filter=True)
        problem = Problem(
            Rule(Action.RETRY),
            type(exception).__name__,
            redact(str(exception)) or type(exception).__name__,
        )
        self._crawler.stats.inc_value(f"lastfm_crawl/errors/{problem.kind}")
        cannot_connect = isinstance(exception, _CANNOT_CONNECT)
        limit = MAX_FIRST_CONNECTIONS if cannot_connect and self._last_good is None else MAX_ATTEMPTS
        return await self._again(request, problem, limit)

    @staticmethod
    def _is_result(request: Request, problem: Problem, *, cached: bool) -> bool:
        """Whether *problem* is believed and worth keeping: what the store kept, or what two calls said alike."""
        if problem.rule.action is Action.CONFIRM and not cached:
            return bool(request.meta.get("unconfirmed") == problem.rule.status)
        return problem.lasting

    async def _is_open_now(self, request: Request, problem: Problem) -> bool:
        """Whether a stored "private" is from before its user logged in: we may be shown now what we were not then."""
        if problem.rule.status != "private" or self._crawler.settings.getbool("HTTPCACHE_IGNORE_MISSING"):
            return False
        at: float = request.meta["cache_timestamp"]
        return at < await logged_in_at(self._crawler, request.meta["call"])

    def _good(self, request: Request, call: Call) -> None:
        self._last_good = time.time()
        self._rate_limits = self._denials = 0
        self._pacer.of(request).good()
        self._crawler.stats.inc_value(f"lastfm_crawl/received/{call.method}")

    async def _act(self, request: Request, response: Response, problem: Problem, *, cached: bool) -> Request | Response:
        stats = self._crawler.stats
        self._count(problem, cached=cached)
        # Stored by other rules than today's, or spoilt, or before a login: ask afresh, the old one goes to the archive.
        if cached:
            return request.replace(dont_filter=True, meta={**request.meta, "store_refresh": True})
        action = problem.rule.action
        match action:
            case Action.STOP_KEY:
                raise self._stop(request, "key_rejected", problem)
            case Action.STOP_FAULT:
                raise self._stop(request, "program_fault", problem)
            case Action.STOP_QUOTA:
                raise await self._leave_alone(request, _retry_after(response) or _NO_QUOTA, problem)
            case Action.SLOW_DOWN:
                return await self._slow_down(request, response, problem)
            case Action.CONFIRM:
                stats.inc_value("lastfm_crawl/confirmations")
                await self._pause(self._first_pause)
                return _retry(request, unconfirmed=problem.rule.status)
            case Action.RENEW if not request.meta.get("renewed"):
                await renew(self._crawler, request)
                return _retry(request, renewed=True)
            case Action.DENIED | Action.RENEW | Action.RECORD | Action.REPHRASE:
                return self._passed_on(request, response, problem)
            case _:
                if action is Action.RETRY_SMALLER:
                    self._split(request, problem)
                return await self._again(request, problem, MAX_ATTEMPTS, _retry_after(response))

    def _count(self, problem: Problem, *, cached: bool) -> None:
        self._crawler.stats.inc_value(f"lastfm_crawl/problem/{problem.kind}")
        if not cached and problem.rule.action not in _NO_ERRORS:
            self._crawler.stats.inc_value(f"lastfm_crawl/errors/{problem.kind}")

    def _passed_on(self, request: Request, response: Response, problem: Problem) -> Response:
        """The response with *problem*, for the spider; neither stored nor done: the next run asks again."""
        if problem.rule.action in {Action.DENIED, Action.RENEW}:
            self._denials += 1
            if self._denials >= MAX_DENIALS:
                raise self._stop(request, "key_rejected", problem)
        request.meta.update(answer=problem, dont_cache=True)
        if problem.rule.action is not Action.REPHRASE:
            self._count_loss(request, problem, "was refused")
        return response

    async def _slow_down(self, request: Request, response: Response, problem: Problem) -> Request:
        """The request once more, when the host may be asked again. Raises IgnoreRequest when the run stops instead."""
        service = _service(request.meta["call"])
        wait = _retry_after(response)
        if wait is None and service.blind_wait:
            wait = min(service.blind_wait * 2**self._rate_limits, self._max_pause)
        if wait is not None and wait > service.longest_wait:
            raise await self._leave_alone(request, wait, problem)
        # What was under way when the host slowed down says nothing new.
        if await self._pacer.of(request).slow_down(request.meta.get("sent_at", 0.0), wait):
            self._rate_limits += 1
        if self._rate_limits >= MAX_RATE_LIMITS:
            raise self._stop(request, "rate_limited", problem)
        # Not an attempt: the page is as good as any other, and the pacer does the waiting.
        return _retry(request, attempts=request.meta.get("attempts", 0))

    def _split(self, request: Request, problem: Problem) -> None:
        """Raise PageTooLargeError when *request* may be split and was asked for often enough as it is."""
        if not request.meta.get("may_be_split") or request.meta.get("attempts", 0) + 1 < MAX_LARGE_ATTEMPTS:
            return
        self._crawler.stats.inc_value("lastfm_crawl/failed_answers")
        self._crawler.stats.inc_value("lastfm_crawl/split_pages")
        logger.info("%s: %s; asking for its halves", _what(request), problem.message)
        raise PageTooLargeError(problem.message)

    async def _again(self, request: Request, problem: Problem, limit: int, retry_after: float | None = None) -> Request:
        """The request once more after a pause. Raises IgnoreRequest when it has had its attempts."""
        attempts = request.meta.get("attempts", 0) + 1
        first = request.meta.get("first_attempt_at") or time.time()
        stats = self._crawler.stats
        stats.inc_value("lastfm_crawl/failed_answers")
        if attempts >= limit:
            if self._last_good is None or self._last_good < first:
                raise self._stop(request, "service_unreachable", problem)
            self._count_loss(request, problem, f"was given up after {attempts} attempts")
            raise PageLostError(problem.message)
        ceiling = min(self._max_pause, self._first_pause * 2 ** (attempts - 1))
        pause = random.uniform(0, ceiling) if retry_after is None else min(retry_after, _LONGEST_PAUSE)
        level = logging.INFO if attempts == 1 else logging.WARNING
        logger.log(
            level, "%s: %s; asking again in %.1f s (%d of %d)", _what(request), problem.message, pause, attempts, limit
        )  # fmt: skip
        stats.inc_value("lastfm_crawl/retries")
        await self._pause(pause)
        return _retry(request, attempts=attempts, first_attempt_at=first)

    async def _pause(self, seconds: float) -> None:
        """Wait without blocking anybody, and not a moment longer than the run goes on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stopping(self._crawler):  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(min(left, _STEP))

    def _count_loss(self, request: Request, problem: Problem, what: str) -> None:
        self._crawler.stats.inc_value("lastfm_crawl/lost")
        logger.error("%s %s: %s", _what(request), what, problem.message)

    def _stop(self, request: Request, reason: str, problem: Problem) -> IgnoreRequest:
        service = _service(request.meta["call"])
        host = urlsplit(request.url).netloc
        messages = {
            "key_rejected": f"{service.title} refuses the key ({problem.message}); check {service.credentials}, then"
            " run again",
            "program_fault": f"{service.title} says that we asked wrongly ({problem.message}); please report this",
            "rate_limited": f"{MAX_RATE_LIMITS} rate limits in a row ({problem.message}); run again later",
            "service_unreachable": f"{host} does not answer ({problem.message}); check {service.url_setting} and the"
            " network, then run again",
        }
        stop_run(self._crawler, reason, messages[reason])
        return IgnoreRequest(messages[reason])

    async def _leave_alone(self, request: Request, seconds: float, problem: Problem) -> IgnoreRequest:
        """End the run, and keep the next ones from asking before *seconds* have passed."""
        call: Call = request.meta["call"]
        service = _service(call)
        until = time.time() + seconds
        try:
            await Warehouse.of(self._crawler).run(leave_alone, name_of(call.method), until, problem.message)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("that %s asks to be left alone could not be kept: %s", service.title, exc)
        when = datetime.fromtimestamp(until, UTC)
        message = f"{service.title} asks to be left alone until {when:%Y-%m-%d %H:%M} UTC ({problem.message})"
        reason = "unavailable" if problem.rule.status == "unavailable" else "rate_limited"
        stop_run(self._crawler, reason, f"{message}; run again then")
        return IgnoreRequest(message)


def _refusal(service: Service, response: Response) -> Problem | None:
    assert service.refusal is not None  # noqa: S101  (asked by the caller)
    headers = {str(name).lower(): value for name, value in response.headers.to_unicode_dict().items()}
    return service.refusal(response.status, headers, response.body)


def _retry(request: Request, **meta: object) -> Request:
    """A copy of *request* that goes before everything new, without what belongs to the last attempt."""
    kept = {k: v for k, v in request.meta.items() if k not in {"answer", "cached_response", "download_latency"}}
    return request.replace(dont_filter=True, priority=request.priority + 10, meta={**kept, **meta})


def _what(request: Request) -> str:
    return str(request.meta["call"])


def _service(call: Call) -> Service:
    service = service_of(call.method)
    assert service is not None  # noqa: S101  (spiders ask what services offer)
    return service


def _retry_after(response: Response) -> float | None:
    """Seconds that the answer asks to wait; None when it does not say."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
