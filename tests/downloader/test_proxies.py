"""Which requests take a proxy, and what of its address they show."""

from __future__ import annotations

import base64

from scrapy import Request
from scrapy.settings import Settings

from lastfm_crawl.downloader.proxies import Proxies

SETTINGS = Settings({"AOTY_URL": "https://www.albumoftheyear.org/"})


def test_pages_and_robots_of_the_site_go_by_its_proxy_and_nothing_else_does(monkeypatch):
    monkeypatch.setenv("AOTY_PROXY_URL", "http://me:hunter%402@proxy.example:8080")
    proxies = Proxies(SETTINGS)
    for path in ("album/1-a.php", "robots.txt"):
        asked = Request(f"https://www.albumoftheyear.org/{path}")
        sent = proxies.route(asked)
        assert sent.meta["proxy"] == "http://proxy.example:8080"
        assert sent.headers["Proxy-Authorization"] == b"Basic " + base64.b64encode(b"me:hunter@2")
        assert not asked.meta
        assert "Proxy-Authorization" not in asked.headers
    other = Request("https://ws.audioscrobbler.com/2.0/")
    assert proxies.route(other) is other


def test_without_a_proxy(monkeypatch):
    monkeypatch.delenv("AOTY_PROXY_URL", raising=False)
    request = Request("https://www.albumoftheyear.org/")
    assert Proxies(SETTINGS).route(request) is request
