"""One short line for an item; nothing made for DEBUG lines that nobody sees."""

from __future__ import annotations

import logging

import pytest
from doubles import crawler_with
from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter
from scrapy.settings import Settings

from lastfm_crawl import settings as project_settings
from lastfm_crawl.extensions.log_format import ShortLogFormatter
from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, TopArtistsPage

SPIDER = Spider(name="friends")
REQUEST = Request("https://example.com/?user=rj")
RESPONSE = Response(REQUEST.url, request=REQUEST)
CHART = TopArtistsPage(
    method="user.getTopArtists", user="RJ", params="", page=2, pages=3, received=1000, period="overall",
    ranks=range(1000), names=[f"artist {n}" for n in range(1000)], playcounts=range(1000),
)  # fmt: skip
FRIENDS = FriendsPage(method="user.getFriends", user="RJ", params="", received=2, friends=(Profile("a"), Profile("b")))
ADMISSIONS = Admissions(tuple(Member(f"user{n}", "rj", 1, 0.0) for n in range(500)))


def formatter(level):
    return ShortLogFormatter.from_crawler(crawler_with(LOG_LEVEL=level))


def line(result):
    return result["msg"] % result["args"]


def test_the_project_uses_it():
    settings = Settings()
    settings.setmodule(project_settings)
    assert settings["LOG_FORMATTER"] == f"{ShortLogFormatter.__module__}.{ShortLogFormatter.__qualname__}"


@pytest.mark.parametrize("level", ["INFO", "WARNING", "ERROR", "CRITICAL", logging.INFO, 30])
def test_nothing_is_made_for_lines_that_nobody_sees(level):
    quiet = formatter(level)
    assert quiet.scraped(CHART, RESPONSE, SPIDER) is None
    assert quiet.crawled(REQUEST, RESPONSE, SPIDER) is None


@pytest.mark.parametrize("level", ["DEBUG", logging.DEBUG, "NOTSET", 5, "no such level"])
def test_debug_lines_are_short(level):
    loud = formatter(level)
    scraped = loud.scraped(CHART, RESPONSE, SPIDER)
    assert scraped["level"] == logging.DEBUG
    assert line(scraped) == "Scraped <TopArtistsPage 'RJ' 2/3, 1000 rows>"
    assert line(loud.scraped(FRIENDS, None, SPIDER)) == "Scraped <FriendsPage 'RJ' 1/1, 2 rows>"


def test_crawled_is_scrapys_own_line():
    loud = formatter("DEBUG")
    crawled = loud.crawled(REQUEST, RESPONSE, SPIDER)
    assert crawled == LogFormatter().crawled(REQUEST, RESPONSE, SPIDER)
    assert line(crawled).startswith("Crawled (200) <GET https://example.com/?user=rj>")


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_an_item_that_failed_is_one_short_line_at_any_level(level):
    failed = formatter(level).item_error(CHART, ValueError("no"), RESPONSE, SPIDER)
    assert failed["level"] == logging.ERROR
    assert line(failed) == "Error processing <TopArtistsPage 'RJ' 2/3, 1000 rows>"


@pytest.mark.parametrize("item", [ADMISSIONS, {"text": "x\n" * 1000}, "%s %(item)s {}" * 100])
def test_long_items_are_cut(item):
    text = line(formatter("DEBUG").scraped(item, RESPONSE, SPIDER))
    assert len(text) <= 220
    assert text.endswith("…")
    assert "\n" not in text


def test_items_that_look_like_formats_are_kept():
    assert line(formatter("DEBUG").scraped("100% %s", RESPONSE, SPIDER)) == "Scraped '100% %s'"
