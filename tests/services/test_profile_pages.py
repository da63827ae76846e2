"""Profile pages: where they are, what an answer about one means, and that no key goes with the question."""

from __future__ import annotations

import pytest
from scrapy import Request
from scrapy.http import Response

from lastfm_crawl.httpcache.envelope import decode, encode
from lastfm_crawl.httpcache.messages import to_envelope
from lastfm_crawl.items import ProfileCheck
from lastfm_crawl.services import SERVICES, folder_of, lastfm, method_at, name_of
from lastfm_crawl.services.problems import Action, Problem

SITE = "https://www.last.fm/"


@pytest.mark.parametrize(
    ("user", "address"),
    [
        ("RJ", "user/RJ"),
        ("test user", "user/test+user"),
        ("a/../b", "user/a%2F..%2Fb"),
        ("a?b#c", "user/a%3Fb%23c"),
        ("Ünï", "user/%C3%9Cn%C3%AF"),
    ],
)
def test_the_address_of_a_page(user, address):
    assert lastfm.get_page(user).url(SITE) == SITE + address


def test_its_place_in_the_store():
    key = lastfm.get_page("RJ").store_key
    assert key == "requests/user.page/rj/all.json.gz"
    assert method_at(key) == folder_of(lastfm.PAGE_METHOD) == lastfm.PAGE_METHOD
    assert method_at("archive/user.page/rj/all/2026.json.gz") == lastfm.PAGE_METHOD


def test_it_is_the_site_that_is_asked_and_not_the_api():
    assert SERVICES[name_of("user.page")] is lastfm.PAGES
    assert SERVICES[name_of("user.getInfo")] is lastfm.SERVICE
    assert lastfm.PAGES.url_setting == "LASTFM_URL"


def test_a_page_that_is_there():
    said = lastfm.PAGES.read(lastfm.get_page("RJ"), 200, b"")
    assert isinstance(said, ProfileCheck)
    assert (said.user, said.total, said.received) == ("RJ", 1, 0)


def test_a_page_that_is_not_there_is_asked_for_twice():
    call = lastfm.get_page("RJ")
    said = lastfm.PAGES.read(call, 404, b"")
    assert isinstance(said, Problem)
    assert said.rule.action is Action.CONFIRM
    assert said.lasting
    assert lastfm.PAGES.mark(call, said).total == 0


@pytest.mark.parametrize("status", [204, 301, 302, 400, 403, 405, 410, 429, 500, 503])
def test_anything_else_says_nothing(status):
    said = lastfm.PAGES.read(lastfm.get_page("RJ"), status, b"")
    assert isinstance(said, Problem)
    assert said.rule.action is Action.REPHRASE
    assert not said.lasting


def test_an_answer_without_a_body_is_kept_with_its_status():
    call = lastfm.get_page("RJ")
    meta = {"store_request": {"method": call.method, "params": call.all_params}, "store_ttl": 86_400}
    request = Request(call.url(SITE), method="HEAD", meta=meta)
    kept = decode(encode(to_envelope(request, Response(request.url, status=404), asked_at=1, answered_at=2)))
    assert (kept.status, kept.body, kept.expires) == (404, b"", 86_402)
    assert lastfm.PAGES.call_of(kept.method, kept.params) == call


def test_a_question_that_is_another():
    with pytest.raises(ValueError, match="no method that we know"):
        lastfm.PAGES.call_of("user.getInfo", {"user": "RJ"})
    with pytest.raises(KeyError):
        lastfm.PAGES.call_of("user.page", {})
