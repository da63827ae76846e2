"""Scrapy's cache with a store behind it: what it answers, what it keeps, and when it stops the run."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from doubles import crawler_with
from scrapy import Request
from scrapy.exceptions import CloseSpider, IgnoreRequest, NotConfigured
from scrapy.http import HtmlResponse, Response, TextResponse

from lastfm_crawl.httpcache import StoreError, middleware, process, worker
from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.middleware import AsyncHttpCacheMiddleware
from lastfm_crawl.httpcache.spool import Spool

KEY = "requests/user.getInfo/rj/all.json.gz"
URL = "https://ws.audioscrobbler.com/2.0/?method=user.getInfo&user=rj"
BODY = b'{"user":{"name":"RJ"}}'
NOW = 1_763_690_278.25


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(middleware, "RETRY_DELAYS", (0, 0, 0))


@pytest.fixture
def clock(monkeypatch):
    """The wall clock: ``clock["now"]`` is what it says."""
    times = {"now": NOW}
    monkeypatch.setattr(middleware.time, "time", lambda: times["now"])
    return times


@pytest.fixture
async def make(store, spool, monkeypatch):
    """Opened middlewares over one store, or over one that is given; what serves it is a thread of the test."""
    made, storages = [], []

    def start(location, spool, connection):
        spool = Spool(storages[-1], Path(spool))
        serving = threading.Thread(target=worker.serve, args=(storages[-1], spool, connection.dup()))
        serving.start()
        return SimpleNamespace(wait=serving.join)

    monkeypatch.setattr(process, "_start", start)

    async def new(storage=None, **settings) -> AsyncHttpCacheMiddleware:
        storages.append(storage or store)
        crawler = crawler_with(HTTPCACHE_ENABLED=True, RESPONSE_STORE=store.location, RESPONSE_SPOOL=spool, **settings)
        made.append(AsyncHttpCacheMiddleware.from_crawler(crawler))
        await made[-1].spider_opened()
        return made[-1]

    yield new
    for one in made:
        await one.engine_stopped()


@pytest.fixture
async def cache(make):
    return await make()


@pytest.fixture
def store(tmp_path):
    return FolderStorage(tmp_path / "store")


@pytest.fixture
def spool(tmp_path):
    return str(tmp_path / "spool")


def ask(**meta) -> Request:
    question = {"method": "user.getInfo", "params": {"user": "rj"}}
    return Request(URL, meta={"store_key": KEY, "store_request": question, **meta})


def answer(body: bytes = BODY, status: int = 200) -> TextResponse:
    headers = {"Content-Type": "application/json", "Date": "today", "Set-Cookie": "secret", "Server": "openresty"}
    return TextResponse(URL, status=status, headers=headers, body=body)


async def fetch(cache, request: Request, response: Response | None = None) -> Response:
    """What Scrapy does: ask the cache, then the service, then give the answer to the cache."""
    found = await cache.process_request(request)
    if found is None:
        found = response or answer()
    return await cache.process_response(request, found)


def count(cache, name: str) -> int:
    return cache._crawler.stats.get_value(f"httpcache/{name}", 0)


# --- hits and misses ----------------------------------------------------------------------------------------------


async def test_what_is_not_stored_is_a_miss(cache):
    assert await cache.process_request(ask()) is None
    assert (count(cache, "hit"), count(cache, "miss")) == (0, 1)


async def test_an_answer_is_stored_before_it_is_used(cache, store):
    response = answer()
    request = ask()
    assert await cache.process_request(request) is None
    assert await cache.process_response(request, response) is response
    assert decode(store.get(KEY)).body == BODY
    assert count(cache, "store") == 1


async def test_what_is_stored_is_a_hit(make, clock):
    await fetch(await make(), ask())
    clock["now"] += 1e9
    cache, request = await make(), ask()
    found = await cache.process_request(request)
    assert (found.body, found.status, found.url, found.flags) == (BODY, 200, URL, ["cached"])
    assert found.headers["Content-Type"] == b"application/json"
    assert request.meta["cache_timestamp"] == NOW
    assert (count(cache, "hit"), count(cache, "miss")) == (1, 0)


async def test_a_hit_is_not_stored_again(make, clock):
    await fetch(await make(), ask())
    cache = await make()
    clock["now"] += 60
    request = ask()
    await fetch(cache, request)
    assert count(cache, "store") == 0
    assert request.meta["cache_timestamp"] == NOW


async def test_the_envelope_says_what_was_asked_and_when(cache, store, clock):
    request = ask(store_ttl=60)
    await cache.process_request(request)
    clock["now"] += 2
    await cache.process_response(request, answer())
    envelope = decode(store.get(KEY))
    assert (envelope.method, envelope.params, envelope.url) == ("user.getInfo", {"user": "rj"}, URL)
    assert (envelope.asked_at, envelope.answered_at, envelope.expires) == (NOW, NOW + 2, NOW + 62)
    assert request.meta["cache_timestamp"] == NOW + 2


async def test_the_handler_knows_better_when_the_answer_came(cache, store):
    request = ask()
    await cache.process_request(request)
    request.meta["answered_at"] = 1234.5
    await cache.process_response(request, answer())
    assert decode(store.get(KEY)).answered_at == request.meta["cache_timestamp"] == 1234.5


async def test_only_harmless_headers_are_kept(cache, store):
    await fetch(cache, ask())
    assert decode(store.get(KEY)).headers == {"Content-Type": "application/json", "Date": "today"}


async def test_a_request_without_a_question_is_kept_under_its_http_method(cache, store):
    await fetch(cache, Request(URL, meta={"store_key": KEY}))
    assert decode(store.get(KEY)).method == "GET"


async def test_an_answer_comes_back_as_what_it_is(cache):
    page = HtmlResponse(URL, headers={"Content-Type": "text/html; charset=latin-1"}, body="<p>é".encode("latin-1"))
    await fetch(cache, ask(), page)
    found = await cache.process_request(ask())
    assert isinstance(found, HtmlResponse)
    assert found.text == "<p>é"


@pytest.mark.parametrize("meta", [{"store_key": None}, {"dont_cache": True}])
async def test_requests_that_take_no_part(cache, store, meta):
    response, request = answer(), ask(**meta)
    assert await fetch(cache, request, response) is response
    assert list(store.keys()) == []
    assert count(cache, "miss") == 0
    assert request.meta["cache_timestamp"] > 0


async def test_an_answer_that_is_not_to_be_kept_after_all(cache, store):
    request = ask()
    await cache.process_request(request)
    request.meta["dont_cache"] = True  # whoever judged the answer did not believe it
    assert (await cache.process_response(request, answer())).body == BODY
    assert list(store.keys()) == []


# --- age ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "found"), [(0, True), (59, True), (60, False), (61, False)])
async def test_an_answer_expires(make, clock, age, found):
    await fetch(await make(), ask(store_ttl=60))
    clock["now"] += age
    assert (await (await make()).process_request(ask()) is not None) is found


@pytest.mark.parametrize(("age", "found"), [(0, True), (60, True), (61, False)])
async def test_a_request_may_want_a_younger_answer(make, clock, age, found):
    await fetch(await make(), ask())
    clock["now"] += age
    assert (await (await make()).process_request(ask(store_max_age=60)) is not None) is found


async def test_a_request_may_want_a_fresh_answer(make):
    await fetch(await make(), ask())
    cache = await make()
    assert await cache.process_request(ask(store_refresh=True)) is None
    assert count(cache, "miss") == 1


async def test_an_older_answer_goes_to_the_archive(cache, store):
    await fetch(cache, ask())
    await fetch(cache, ask(store_refresh=True), answer(b'{"user":{"name":"new"}}'))
    assert b"new" in decode(store.get(KEY)).body
    (archived,) = store.keys("archive/")
    assert decode(store.get(archived)).body == BODY


# --- offline ------------------------------------------------------------------------------------------------------


async def test_offline_every_stored_answer_is_good(make, clock):
    await fetch(await make(), ask(store_ttl=60))
    clock["now"] += 1e6
    cache = await make(HTTPCACHE_IGNORE_MISSING=True)
    assert (await cache.process_request(ask(store_max_age=1))).body == BODY


async def test_offline_what_is_missing_is_ignored(make):
    cache = await make(HTTPCACHE_IGNORE_MISSING=True)
    with pytest.raises(IgnoreRequest, match="not in the store"):
        await cache.process_request(ask())
    assert (count(cache, "ignore"), count(cache, "miss")) == (1, 1)
    assert cache._crawler.engine.reasons == []


async def test_offline_nothing_is_written(make, store):
    await make(HTTPCACHE_IGNORE_MISSING=True)
    assert not store.root.exists()


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoilt", [b"", b"no gzip", b"\x1f\x8b\x08", BODY])
async def test_what_cannot_be_read_is_a_miss(cache, store, spoilt, caplog):
    store.put(KEY, spoilt)
    assert await cache.process_request(ask()) is None
    assert (count(cache, "corrupt"), count(cache, "miss")) == (1, 1)
    assert KEY in caplog.text
    assert cache._crawler.engine.reasons == []
    await fetch(cache, ask())
    assert decode(store.get(KEY)).body == BODY
    (archived,) = store.keys("archive/")
    assert store.get(archived) == spoilt


async def test_what_a_newer_version_stored_is_not_asked_for_again(cache, store, caplog):
    newer = gzip.compress(b'{"version": 2}')
    store.put(KEY, newer)
    with pytest.raises(IgnoreRequest, match="cannot be read"):
        await cache.process_request(ask())
    assert await closed(cache) == ["store_unavailable"]
    assert f"{KEY}: it is an envelope of version 2" in caplog.text
    assert (count(cache, "corrupt"), count(cache, "miss")) == (0, 0)
    assert {key: store.get(key) for key in store.keys("")} == {KEY: newer}


class Broken:
    """A store that fails a number of times, and then works as the one behind it."""

    location = "nowhere"

    def __init__(self, storage, times):
        self._storage, self.left, self.refused = storage, times, "nothing"

    def _fail(self, key):
        if key.startswith(self.refused):
            raise StoreError("Permission denied")
        if self.left:
            self.left -= 1
            raise StoreError("No space left on device")

    def get(self, key):
        self._fail(key)
        return self._storage.get(key)

    def put(self, key, blob):
        self._fail(key)
        self._storage.put(key, blob)

    def write(self, key, blob):
        self._fail(key)
        self._storage.write(key, blob)

    def delete(self, key):
        self._storage.delete(key)


async def closed(cache) -> list[str]:
    """Why the engine was told to close."""
    await asyncio.sleep(0.01)
    return cache._crawler.engine.reasons


@pytest.fixture
def broken(store):
    return Broken(store, 0)


async def test_an_answer_that_cannot_be_stored_is_not_used_and_stops_the_run(make, broken, store, caplog):
    cache = await make(broken)
    request = ask()
    await cache.process_request(request)
    broken.left = 10
    with pytest.raises(IgnoreRequest):
        await cache.process_response(request, answer())
    assert await closed(cache) == ["store_unavailable"]
    assert "No space left on device" in cache._crawler.stats.get_value("lastfm_crawl/stopped")
    assert [r.levelname for r in caplog.records if "stopping" in r.getMessage()] == ["CRITICAL"]
    assert list(store.keys()) == []
    assert count(cache, "store") == 0


async def test_a_store_that_cannot_be_read_stops_the_run(make, broken, store):
    cache = await make(broken)
    broken.left = 10
    with pytest.raises(IgnoreRequest):
        await cache.process_request(ask())
    assert await closed(cache) == ["store_unavailable"]


async def test_the_run_is_stopped_once(make, broken, store):
    cache = await make(broken)
    broken.left = 1000
    results = await asyncio.gather(*(cache.process_request(ask()) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {IgnoreRequest}
    assert await closed(cache) == ["store_unavailable"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_store_that_hiccups_gets_more_attempts(make, broken, store, times):
    cache = await make(broken)
    broken.left = times
    request = ask()
    assert await cache.process_request(request) is None
    broken.left = times
    await cache.process_response(request, answer())
    assert decode(store.get(KEY)).body == BODY
    assert await closed(cache) == []


async def test_an_answer_that_could_not_be_stored_is_stored_by_the_next_run_first(make, broken, store, caplog):
    caplog.set_level("INFO")
    cache = await make(broken)
    request = ask()
    await cache.process_request(request)
    broken.left = 10
    with pytest.raises(IgnoreRequest):
        await cache.process_response(request, answer())
    broken.left = 0
    found = await (await make(broken)).process_request(ask())
    assert (found.body, found.flags) == (BODY, ["cached"])
    assert "1 answers that an earlier run could not store" in caplog.text


async def test_a_run_is_not_begun_while_the_spool_cannot_be_uploaded(make, broken, store):
    cache = await make(broken)
    request = ask()
    await cache.process_request(request)
    broken.left = 10
    with pytest.raises(IgnoreRequest):
        await cache.process_response(request, answer())
    broken.refused = "requests/"
    broken.left = 0
    with pytest.raises(CloseSpider):
        await make(broken)


async def test_what_a_patient_client_gave_up_is_not_tried_again(make, broken, monkeypatch):
    monkeypatch.setattr(middleware, "PATIENCE", -1.0)
    cache = await make(broken)
    broken.left = 2
    with pytest.raises(IgnoreRequest):
        await cache.process_request(ask())
    assert broken.left == 1


async def test_a_run_is_not_begun_without_a_store(make, store):
    store.root.write_bytes(b"I am no folder")
    with pytest.raises(CloseSpider) as caught:
        await make()
    assert caught.value.reason == "store_unavailable"


async def test_a_store_that_works_is_probed_and_left_empty(cache, store):
    assert list(store.root.rglob(".probe")) == []


async def test_it_can_be_switched_off(tmp_path):
    with pytest.raises(NotConfigured):
        AsyncHttpCacheMiddleware.from_crawler(crawler_with(HTTPCACHE_ENABLED=False, RESPONSE_STORE=str(tmp_path)))


# --- nobody waits -------------------------------------------------------------------------------------------------


class Far(FolderStorage):
    """A store 30 ms away."""

    def get(self, key):
        time.sleep(0.03)
        return super().get(key)


async def test_a_far_store_does_not_stop_the_loop(make, store):
    await fetch(await make(), ask())
    cache = await make(Far(store.root))
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    found = await asyncio.gather(*(cache.process_request(ask()) for _ in range(400)))
    assert time.monotonic() - began < 1.5
    watching.cancel()
    assert all(response.body == BODY for response in found)
    assert count(cache, "hit") == 400
    assert longest < 0.5
