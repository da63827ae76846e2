"""The store behind Scrapy's own cache middleware, in a crawl of another project's spider."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scrapy import Request, Spider, signals
from scrapy.http import TextResponse
from scrapy.settings import Settings
from scrapy.utils.test import get_crawler

from lastfm_crawl.httpcache import stock
from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage

STORAGE = "lastfm_crawl.httpcache.stock.GCSCacheStorage"
PAGE = "<html><title>Zażółć</title></html>"


class Site(BaseHTTPRequestHandler):
    """A page that is compressed, behind a redirect."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/old":
            self.send_response(301)
            self.send_header("Location", "/new")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = gzip.compress(PAGE.encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Set-Cookie", "secret=1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def site():
    Site.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/old"
        server.shutdown()
        thread.join()


class Titles(Spider):
    name = "titles"

    async def start(self):
        yield Request(self.site, self.parse)

    def parse(self, response):
        assert response.css("title::text").get() == "Zażółć"
        yield {"cached": "cached" in response.flags, "at": response.meta.get("cache_timestamp")}


@pytest.fixture(params=["folder", "bucket"])
def location(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "store")
    request.getfixturevalue("gcs")
    return "gs://answers/some/where"


async def crawl(site, location, **settings):
    items = []

    def keep(item):
        items.append(item)

    crawler = get_crawler(
        Titles,
        {"HTTPCACHE_ENABLED": True, "HTTPCACHE_STORAGE": STORAGE, "RESPONSE_STORE": location,
         "TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False, **settings},
    )  # fmt: skip
    crawler.signals.connect(keep, signals.item_scraped)
    await crawler.crawl_async(site=site)
    return items, crawler.stats.get_stats()


async def test_the_second_crawl_asks_for_nothing(site, location):
    first, _ = await crawl(site, location)
    asked = list(Site.asked)
    second, stats = await crawl(site, location)
    assert ([i["cached"] for i in first], [i["cached"] for i in second]) == ([False], [True])
    assert asked == Site.asked == ["/old", "/new"]
    assert stats["httpcache/hit"] == 2
    assert second[0]["at"] > 1e9


async def test_an_answer_expires(site, location, monkeypatch):
    await crawl(site, location)
    now = time.time()
    monkeypatch.setattr(stock.time, "time", lambda: now + 61)
    _, stats = await crawl(site, location, HTTPCACHE_EXPIRATION_SECS=60)
    assert "httpcache/hit" not in stats
    assert len(Site.asked) == 4


async def test_a_spoilt_object_is_a_miss_and_counted(site, tmp_path):
    store = FolderStorage(tmp_path / "store")
    await crawl(site, store.location)
    for key in list(store.keys("requests/")):
        store.write(key, b"spoilt")
    items, stats = await crawl(site, store.location)
    assert stats["httpcache/corrupt"] == 2
    assert len(items) == 1
    assert {decode(store.get(key)).status for key in store.keys("requests/")} == {301, 200}


async def test_nothing_about_who_asked_is_kept(site, tmp_path):
    store = FolderStorage(tmp_path / "store")
    await crawl(site, store.location)
    stored = [decode(store.get(key)) for key in store.keys("requests/titles/")]
    assert len(stored) == 2
    assert all("Set-Cookie" not in envelope.headers for envelope in stored)


async def test_a_request_may_name_its_key(site, tmp_path):
    storage = stock.CacheStorage(Settings({"RESPONSE_STORE": str(tmp_path / "store")}))
    request = Request(site, meta={"store_key": "requests/mine/all.json.gz", "store_ttl": 60})
    storage.store_response(None, request, TextResponse(site, body=b"{}"))
    assert list(FolderStorage(tmp_path / "store").keys()) == ["requests/mine/all.json.gz"]
    assert storage.retrieve_response(None, request).body == b"{}"
