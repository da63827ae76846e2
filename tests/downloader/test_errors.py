"""What is done about each kind of answer: used, recorded, asked again, given up, or the end of the run."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate

import pytest
from conftest import KEY
from doubles import crawler_with
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotSupported,
)
from scrapy.http import TextResponse

from lastfm_crawl import settings as project_settings
from lastfm_crawl.downloader import errors
from lastfm_crawl.downloader.errors import MAX_ATTEMPTS, ErrorMiddleware, _retry_after
from lastfm_crawl.downloader.pace import StoppedWaitingError
from lastfm_crawl.items import FriendsPage, ProfilePage
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.lastfm import get_friends, get_info
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.stop import PageLostError

API = "https://ws.audioscrobbler.com/2.0/"


class Middleware(ErrorMiddleware):
    """The middleware with a crawler that does not run, and pauses that are remembered instead of waited for."""

    def __init__(self, **settings):
        crawler = crawler_with(LASTFM_API_URL=API, BACKOFF_FIRST=1.0, BACKOFF_MAX=60.0, DOWNLOAD_DELAY=0, **settings)
        super().__init__(crawler)
        self.pauses = []

    async def _pause(self, seconds):
        self.pauses.append(seconds)

    def stat(self, name):
        return self._crawler.stats.get_value(f"lastfm_crawl/{name}", 0)

    async def reasons(self):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self._crawler.engine.reasons

    @property
    def gap(self):
        return self._pacer.of(ask()).own.gap


@pytest.fixture
def middleware():
    return Middleware()


def ask(call=None, **meta) -> Request:
    call = call or get_info("rj")
    return Request(call.url(API), meta={"call": call, "sent_at": time.monotonic(), **meta})


def reply(body, status=200, **headers) -> TextResponse:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return TextResponse(API, status=status, headers=names, body=body)


def error(code, status=400, message="", **headers) -> TextResponse:
    return reply({"error": code, "message": message}, status, **headers)


GOOD = reply({"user": {"name": "RJ"}})
NOT_FOUND = error(6, 404, "User not found")
RATE_LIMIT = error(29, 429, "Rate Limit Exceeded")
OVERLOADED = error(8, 500, "Operation failed")
DENIED = reply(b"", 403)


# --- answers that are used ----------------------------------------------------------------------------------------


async def test_a_page_goes_on_with_what_it_is(middleware):
    request = ask()
    assert await middleware.process_response(request, GOOD) is GOOD
    assert isinstance(request.meta["answer"], ProfilePage)
    assert request.meta["store_ttl"] == lastfm.PROFILE_TTL
    assert middleware.stat("received/user.getInfo") == 1
    assert "dont_cache" not in request.meta


async def test_a_stored_page_counts_as_no_sign_of_life(middleware):
    request = ask()
    cached = GOOD.replace(flags=["cached"])
    assert await middleware.process_response(request, cached) is cached
    assert isinstance(request.meta["answer"], ProfilePage)
    assert middleware.stat("received/user.getInfo") == 0
    assert middleware._last_good is None


async def test_no_friends_is_a_result(middleware):
    request = ask(get_friends("rj"))
    response = error(6, 400, "no such page")
    assert await middleware.process_response(request, response) is response
    assert isinstance(request.meta["answer"], FriendsPage)
    assert request.meta["store_ttl"] == lastfm.NEGATIVE_TTL


async def test_private_is_a_result(middleware):
    request, response = ask(), error(17, 403, "Login: User required to be logged in")
    assert await middleware.process_response(request, response) is response
    assert request.meta["answer"].rule.status == "private"
    assert request.meta["store_ttl"] == lastfm.NEGATIVE_TTL
    assert "dont_cache" not in request.meta
    assert middleware.stat("lost") == 0


async def test_a_robots_txt_that_does_not_come_is_no_fault(middleware):
    """Scrapy goes on without it, and logs a traceback unless it was ignored."""
    with pytest.raises(IgnoreRequest):
        await middleware.process_exception(Request("https://elsewhere/robots.txt"), DownloadTimeoutError("x"))


@pytest.mark.parametrize("failure", [DownloadTimeoutError("x"), StoppedWaitingError()])
async def test_what_may_go_missing_is_not_asked_again(middleware, failure):
    request = Request("https://elsewhere/", meta={"call": get_info("rj"), "dont_retry": True})
    assert await middleware.process_exception(request, failure) is None
    assert (middleware.stat("failed_answers"), middleware.stat("lost")) == (0, 0)


async def test_requests_without_a_call_are_none_of_its_business(middleware):
    request = Request("https://elsewhere/")
    assert await middleware.process_response(request, OVERLOADED) is OVERLOADED
    assert await middleware.process_exception(request, DownloadTimeoutError("x")) is None


async def test_a_key_in_an_answer_is_not_kept(middleware, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    response = reply({"user": {"name": "RJ", "url": f"?api_key={KEY}"}})
    found = await middleware.process_response(ask(), response)
    assert KEY.encode() not in found.body
    assert b"***" in found.body


# --- confirm ------------------------------------------------------------------------------------------------------


async def test_one_not_found_is_not_believed(middleware):
    request = ask()
    again = await middleware.process_response(request, NOT_FOUND)
    assert isinstance(again, Request)
    assert again.dont_filter
    assert again.priority > request.priority
    assert "answer" not in request.meta
    assert middleware.stat("confirmations") == 1
    assert middleware.pauses == [1.0]


async def test_two_are(middleware):
    again = await middleware.process_response(ask(), NOT_FOUND)
    assert await middleware.process_response(again, NOT_FOUND) is NOT_FOUND
    assert again.meta["answer"].rule.status == "not_found"
    assert again.meta["store_ttl"] == lastfm.NEGATIVE_TTL
    assert middleware.stat("lost") == 0


async def test_a_false_not_found_is_forgotten(middleware):
    again = await middleware.process_response(ask(), NOT_FOUND)
    assert await middleware.process_response(again, GOOD) is GOOD
    assert isinstance(again.meta["answer"], ProfilePage)


async def test_a_stored_not_found_was_confirmed(middleware):
    request = ask()
    cached = NOT_FOUND.replace(flags=["cached"])
    assert await middleware.process_response(request, cached) is cached
    assert request.meta["answer"].rule.status == "not_found"


async def test_a_failure_between_is_no_confirmation(middleware):
    again = await middleware.process_response(ask(), NOT_FOUND)
    again = await middleware.process_response(again, OVERLOADED)
    assert await middleware.process_response(again, GOOD) is GOOD


# --- retry, and giving up -----------------------------------------------------------------------------------------


async def give_up(middleware, request, response, attempts) -> Request:
    """Answer *request* with *response* that many times, each of them to be asked again."""
    for _ in range(attempts):
        request = await middleware.process_response(request, response)
        assert isinstance(request, Request)
    return request


@pytest.mark.parametrize(
    "response",
    [
        OVERLOADED,
        error(11, 503, "Service Offline"),
        error(16, 400, "temporary"),
        reply(b"<html>502</html>", 502),
        reply(b"", 200),
        reply(b'{"user":{"name"', 200),
        reply({"user": {"name": "somebody else"}}),
    ],
    ids=["8", "11", "16", "html", "empty", "cut", "wrong user"],
)
async def test_transient_answers_are_asked_for_again_and_then_lost(middleware, response):
    request = await give_up(middleware, ask(), response, MAX_ATTEMPTS - 1)
    await middleware.process_response(ask(), GOOD)  # others are answered meanwhile
    with pytest.raises(PageLostError):
        await middleware.process_response(request, response)
    assert MAX_ATTEMPTS == 8
    assert middleware.stat("lost") == 1
    assert middleware.stat("retries") == 7
    assert middleware.stat("failed_answers") == 8
    assert await middleware.reasons() == []


async def test_a_page_that_comes_at_last_is_not_lost(middleware):
    request = await give_up(middleware, ask(), OVERLOADED, MAX_ATTEMPTS - 1)
    assert await middleware.process_response(request, GOOD) is GOOD
    assert middleware.stat("lost") == 0


async def test_what_is_asked_again_is_the_same_question(middleware):
    request = ask(get_friends("rj", 3), store_key="k", answer="old", download_latency=5)
    again = await middleware.process_response(request, OVERLOADED)
    assert (again.url, again.meta["call"], again.meta["store_key"]) == (request.url, request.meta["call"], "k")
    assert not {"answer", "download_latency"} & again.meta.keys()
    assert again.dont_filter


async def test_when_nothing_is_good_any_more_the_service_is_unreachable(middleware):
    await middleware.process_response(ask(), GOOD)
    await asyncio.sleep(0.01)
    request = await give_up(middleware, ask(), OVERLOADED, MAX_ATTEMPTS - 1)
    with pytest.raises(IgnoreRequest) as caught:
        await middleware.process_response(request, OVERLOADED)
    assert not isinstance(caught.value, PageLostError)
    assert await middleware.reasons() == ["service_unreachable"]
    assert middleware.stat("lost") == 0


@pytest.mark.parametrize("exception", [DownloadTimeoutError("took too long"), OSError("reset")])
async def test_downloads_that_fail_are_asked_for_again(middleware, exception):
    request = ask()
    for _ in range(MAX_ATTEMPTS - 1):
        request = await middleware.process_exception(request, exception)
        assert isinstance(request, Request)
    with pytest.raises(IgnoreRequest):
        await middleware.process_exception(request, exception)
    assert await middleware.reasons() == ["service_unreachable"]


@pytest.mark.parametrize("exception", [DownloadConnectionRefusedError("refused"), CannotResolveHostError("no host")])
async def test_a_service_that_never_answered_is_given_up_soon(middleware, exception):
    request = ask()
    for _ in range(2):
        request = await middleware.process_exception(request, exception)
    with pytest.raises(IgnoreRequest):
        await middleware.process_exception(request, exception)
    assert await middleware.reasons() == ["service_unreachable"]
    assert "ws.audioscrobbler.com" in middleware._crawler.stats.get_value("lastfm_crawl/stopped")


async def test_a_service_that_did_answer_gets_all_attempts(middleware):
    await middleware.process_response(ask(), GOOD)
    request = ask()
    for _ in range(MAX_ATTEMPTS - 1):
        request = await middleware.process_exception(request, DownloadConnectionRefusedError("refused"))
        assert isinstance(request, Request)
    assert await middleware.reasons() == []


@pytest.mark.parametrize("exception", [IgnoreRequest("offline"), NotSupported("ftp")])
async def test_what_is_meant_to_end_a_request_ends_it(middleware, exception):
    assert await middleware.process_exception(ask(), exception) is None


async def test_a_request_that_did_not_leave_before_the_end_goes_back(middleware):
    request = ask()
    again = await middleware.process_exception(request, StoppedWaitingError())
    assert (again.url, again.dont_filter) == (request.url, True)
    assert middleware.stat("failed_answers") == 0


async def test_a_stored_answer_that_is_none_is_asked_for_afresh(middleware):
    again = await middleware.process_response(ask(), OVERLOADED.replace(flags=["cached"]))
    assert again.meta["store_refresh"] is True
    assert again.meta.get("attempts", 0) == 0
    assert middleware.pauses == []


# --- pauses -------------------------------------------------------------------------------------------------------


async def test_pauses_are_a_random_part_of_twice_the_last_one(middleware, monkeypatch):
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        return high / 2

    monkeypatch.setattr(errors.random, "uniform", uniform)
    await give_up(middleware, ask(), OVERLOADED, 7)
    assert asked == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32), (0, 60)]
    assert middleware.pauses == [0.5, 1, 2, 4, 8, 16, 30]


async def test_pauses_are_not_all_alike():
    pauses = []
    for _ in range(20):
        middleware = Middleware()
        await give_up(middleware, ask(), OVERLOADED, 1)
        pauses += middleware.pauses
    assert len(set(pauses)) > 10
    assert all(0 <= pause <= 1 for pause in pauses)


async def test_retry_after_in_seconds(middleware):
    await middleware.process_response(ask(), error(8, 503, Retry_After="17"))
    assert middleware.pauses == [17]


async def test_retry_after_as_a_date(middleware):
    await middleware.process_response(ask(), error(8, 503, Retry_After=formatdate(time.time() + 30, usegmt=True)))
    assert middleware.pauses == [pytest.approx(30, abs=2)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("2.5", 2.5),
        ("-5", 0),
        ("999999", 999999),
        ("inf", None),
        ("", None),
        ("soon", None),
        (formatdate(0), 0),
    ],
)
def test_what_retry_after_says(value, seconds):
    assert _retry_after(reply(b"", 503, Retry_After=value)) == seconds


def test_without_retry_after_it_says_nothing():
    assert _retry_after(reply(b"", 503)) is None


def test_a_date_beyond_all_times_says_nothing():
    assert _retry_after(reply(b"", 503, Retry_After=f"Mon, 01 Jan {10**20} 00:00:00 GMT")) is None


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=15))
def test_any_retry_after_is_read(value):
    seconds = _retry_after(reply(b"", 503, Retry_After=value.encode("latin-1", "replace")))
    assert seconds is None or not seconds < 0


async def test_a_pause_is_waited_for():
    middleware = ErrorMiddleware(crawler_with(LASTFM_API_URL=API, BACKOFF_FIRST=0.1, BACKOFF_MAX=1, DOWNLOAD_DELAY=0))
    began = time.monotonic()
    await middleware.process_response(ask(), NOT_FOUND)
    assert 0.1 <= time.monotonic() - began < 0.5


async def test_a_pause_ends_with_the_run():
    crawler = crawler_with(LASTFM_API_URL=API, BACKOFF_FIRST=60, BACKOFF_MAX=60, DOWNLOAD_DELAY=0)
    waiting = asyncio.create_task(ErrorMiddleware(crawler).process_response(ask(), NOT_FOUND))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    crawler.engine._slot.closing = True
    assert isinstance(await asyncio.wait_for(waiting, 2), Request)


# --- rate limits --------------------------------------------------------------------------------------------------


async def test_a_rate_limit_slows_the_host_down_and_costs_no_attempt(middleware):
    gap = middleware.gap
    again = await middleware.process_response(ask(attempts=3), RATE_LIMIT)
    assert again.meta["attempts"] == 3
    assert middleware.gap > gap
    assert middleware.pauses == []
    assert middleware.stat("problem/error_29") == 1


async def test_good_answers_end_the_slowness(middleware):
    gap = middleware.gap
    await middleware.process_response(ask(), RATE_LIMIT)
    for _ in range(20):
        await middleware.process_response(ask(), GOOD)
    assert middleware.gap == gap


async def test_ten_rate_limits_in_a_row_end_the_run(middleware):
    for _ in range(9):
        assert isinstance(await middleware.process_response(ask(), RATE_LIMIT), Request)
    with pytest.raises(IgnoreRequest):
        await middleware.process_response(ask(), RATE_LIMIT)
    assert await middleware.reasons() == ["rate_limited"]


async def test_a_good_answer_between_begins_the_count_anew(middleware):
    for _ in range(3):
        for _ in range(9):
            await middleware.process_response(ask(), RATE_LIMIT)
        await middleware.process_response(ask(), GOOD)
    assert await middleware.reasons() == []


async def test_what_was_under_way_counts_as_one(middleware):
    requests = [ask() for _ in range(30)]
    for request in requests:
        assert isinstance(await middleware.process_response(request, RATE_LIMIT), Request)
    assert await middleware.reasons() == []


async def test_a_rate_limit_that_says_how_long(middleware):
    await middleware.process_response(ask(), error(29, 429, Retry_After="40"))
    wait = middleware._pacer.of(ask()).own.wait(time.monotonic())
    assert wait == pytest.approx(40, abs=1)


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"), [(10, "key_rejected"), (26, "key_rejected"), (3, "program_fault"), (13, "key_rejected")]
)
async def test_some_errors_end_the_run_at_once(middleware, code, reason):
    with pytest.raises(IgnoreRequest) as caught:
        await middleware.process_response(ask(), error(code, 403, "because"))
    assert not isinstance(caught.value, PageLostError)
    assert await middleware.reasons() == [reason]
    assert "because" in middleware._crawler.stats.get_value("lastfm_crawl/stopped")


async def test_the_run_is_ended_once(middleware):
    for _ in range(3):
        with pytest.raises(IgnoreRequest):
            await middleware.process_response(ask(), error(10, 403))
        await asyncio.sleep(0)
    assert await middleware.reasons() == ["key_rejected"]


async def test_one_denial_is_recorded_and_lost(middleware):
    request = ask()
    assert await middleware.process_response(request, DENIED) is DENIED
    assert request.meta["answer"].rule.status == "error"
    assert request.meta["dont_cache"] is True
    assert middleware.stat("lost") == 1
    assert await middleware.reasons() == []


async def test_three_denials_are_the_key(middleware):
    for _ in range(2):
        await middleware.process_response(ask(), DENIED)
    with pytest.raises(IgnoreRequest):
        await middleware.process_response(ask(), DENIED)
    assert await middleware.reasons() == ["key_rejected"]


async def test_denials_with_a_good_answer_between_are_not(middleware):
    for _ in range(4):
        await middleware.process_response(ask(), DENIED)
        await middleware.process_response(ask(), GOOD)
    assert await middleware.reasons() == []
    assert middleware.stat("lost") == 4


async def test_an_unknown_refusal_is_recorded_and_lost(middleware):
    request, response = ask(), error(7, 400, "Invalid resource specified")
    assert await middleware.process_response(request, response) is response
    assert isinstance(request.meta["answer"], Problem)
    assert request.meta["dont_cache"] is True
    assert middleware.stat("lost") == 1


# --- in the chain of Scrapy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_cannot_be_decompressed_is_asked_for_again(encoding):
    chain = {k: v for k, v in project_settings.DOWNLOADER_MIDDLEWARES.items() if "httpcache.middleware" not in k}
    crawler = crawler_with(
        LASTFM_API_URL=API,
        BACKOFF_FIRST=0.0,
        BACKOFF_MAX=0.0,
        DOWNLOAD_DELAY=0,
        DOWNLOADER_MIDDLEWARES=chain,
        DATA_DIR="unused",
    )
    manager = DownloaderMiddlewareManager.from_crawler(crawler)

    async def download(request):
        return reply(b"<html>502 Bad Gateway</html>", 502, Content_Encoding=encoding)

    assert isinstance(await manager.download_async(download, ask()), Request)
