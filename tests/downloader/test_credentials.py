"""Whom a question is asked as: everybody's goes with the key, a logged-in user's own with their session as well."""

from __future__ import annotations

import json
import stat
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import KEY
from doubles import crawler_with
from scrapy import Request
from scrapy.http import TextResponse

from lastfm_crawl.downloader import redact
from lastfm_crawl.downloader.credentials import make_signers
from lastfm_crawl.downloader.errors import ErrorMiddleware
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.problems import Problem

API = "https://ws.audioscrobbler.com/2.0/"
SECRET = "canary0secret"
SESSION = "canary0session"
PRIVATE = {"error": 17, "message": "Login: User required to be logged in"}


@pytest.fixture
def crawler(monkeypatch, tmp_path):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    monkeypatch.setenv("LASTFM_API_SECRET", SECRET)
    monkeypatch.setattr(redact, "_hidden", {})
    crawler = crawler_with(LASTFM_API_URL=API, DATA_DIR=str(tmp_path), BACKOFF_FIRST=0, DOWNLOAD_DELAY=0)
    Logins(crawler.settings, "lastfm").keep("RJ", SESSION)
    return crawler


def request_of(call, **meta) -> Request:
    return Request(call.url(API), meta={"call": call, **meta})


def history_of(user, **meta) -> Request:
    return request_of(lastfm.get_recent_tracks(user, from_=0, to=9), **meta)


async def sent(crawler, request) -> dict[str, str]:
    """The parameters that go out."""
    signer = make_signers(crawler, None).of(request.meta["call"])
    signed = await signer.sign(request)
    assert signed.meta["call"] is request.meta["call"]
    assert KEY not in request.url
    return dict(parse_qsl(urlsplit(signed.url).query))


async def test_questions_about_a_user_who_is_logged_in_are_asked_in_their_name(crawler):
    for request in (history_of("rj"), request_of(lastfm.get_info("RJ")), request_of(lastfm.get_friends("Rj"))):
        params = await sent(crawler, request)
        signature = params.pop("api_sig")
        assert (params["sk"], params["api_key"]) == (SESSION, KEY)
        assert signature == lastfm.signature(params, SECRET)


async def test_questions_about_anybody_else_are_not(crawler):
    for call in (lastfm.get_info("rjj"), lastfm.get_friends("ann"), lastfm.get_top_tags("rj", "RJ")):
        params = await sent(crawler, request_of(call))
        assert params["api_key"] == KEY
        assert not params.keys() & {"sk", "api_sig"}


async def test_nothing_is_signed_without_the_secret(crawler, monkeypatch):
    monkeypatch.delenv("LASTFM_API_SECRET")
    assert not (await sent(crawler, history_of("rj"))).keys() & {"sk", "api_sig"}


async def test_a_session_in_use_is_hidden_from_texts(crawler):
    await sent(crawler, history_of("ann"))
    assert redact.redact(f"sk={SESSION}") == "sk=***"
    assert redact.redact_bytes(SESSION.encode()) == b"***"


# --- in the error middleware --------------------------------------------------------------------------------------


def reply(value, status=403, *, cached=False) -> TextResponse:
    return TextResponse(API, status=status, body=json.dumps(value).encode(), flags=["cached"] if cached else [])


async def test_an_ended_session_is_dropped_once_and_the_question_goes_unsigned(crawler, caplog):
    middleware = ErrorMiddleware(crawler)
    for code in (9, 4):  # the second was under way when the first came back
        request = history_of("rj")
        await make_signers(crawler, None).of(request.meta["call"]).sign(request)
        again = await middleware.process_response(request, reply({"error": code, "message": "re-authenticate"}))
        assert isinstance(again, Request)
        assert not (await sent(crawler, again)).keys() & {"sk", "api_sig"}
    assert crawler.stats.get_value("lastfm_crawl/logins_ended") == 1
    assert crawler.stats.get_value("lastfm_crawl/lost") is None
    assert [r.message for r in caplog.records if "session" in r.message] == [
        "Last.fm does not take the session of RJ any more; run `scrapy lastfm login RJ`"
    ]
    assert Logins(crawler.settings, "lastfm").users() == []


async def test_a_login_of_the_same_user_meanwhile_stays(crawler):
    request = history_of("rj")
    signer = make_signers(crawler, None).of(request.meta["call"])
    await signer.sign(request)
    Logins(crawler.settings, "lastfm").keep("RJ", "another")
    await signer.renew(request)
    assert Logins(crawler.settings, "lastfm").token("rj") == "another"


@pytest.mark.parametrize(("user", "age", "again"), [("rj", 60, True), ("rj", -60, False), ("ann", 60, False)])
async def test_a_stored_private_from_before_the_login_is_asked_again(crawler, user, age, again):
    middleware = ErrorMiddleware(crawler)
    make_signers(crawler, None)
    request = history_of(user, cache_timestamp=time.time() - age)
    result = await middleware.process_response(request, reply(PRIVATE, cached=True))
    if again:
        assert isinstance(result, Request)
        assert result.meta["store_refresh"] is True
    else:
        assert isinstance(request.meta["answer"], Problem)
        assert request.meta["answer"].rule.status == "private"


async def test_offline_a_stored_private_is_what_there_is(crawler):
    crawler.settings.frozen = False
    crawler.settings.set("HTTPCACHE_IGNORE_MISSING", True)
    make_signers(crawler, None)
    request = history_of("rj", cache_timestamp=time.time() - 60)
    response = reply(PRIVATE, cached=True)
    assert await ErrorMiddleware(crawler).process_response(request, response) is response


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["lastfm", "spotify"])
def test_logins_are_kept_for_their_owner_alone(crawler, tmp_path, service):
    logins = Logins(crawler.settings, service)
    logins.keep("Ann", "first")
    logins.keep("ANN", "second")
    path = tmp_path / f"{service}-logins.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert logins.token("ann") == "second"
    assert time.time() - 60 < logins.all()["ann"].at <= time.time()
    assert "second" not in repr(logins.all())
    assert not logins.forget("ann", "first")
    assert logins.forget("aNN")
    assert not logins.forget("ann")
    assert "second" not in path.read_text()


def test_a_file_from_before_times_were_kept(crawler, tmp_path):
    (tmp_path / "spotify-logins.json").write_text('{"ann": {"user": "Ann", "refresh_token": "t"}}')
    login = Logins(crawler.settings, "spotify").all()["ann"]
    assert (login.user, login.token, login.at) == ("Ann", "t", 0)


def test_a_spoilt_file_is_one_line_without_its_text(crawler, tmp_path):
    (tmp_path / "lastfm-logins.json").write_text('{"rj": {"session_key": "canary')
    with pytest.raises(ValueError, match=r"lastfm-logins.json is no JSON: remove it, and log in again$") as caught:
        Logins(crawler.settings, "lastfm").all()
    assert caught.value.__suppress_context__
