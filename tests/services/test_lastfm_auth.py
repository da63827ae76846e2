"""Signatures, and the answers of Last.fm's auth methods."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pylast
import pytest
from conftest import KEY
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.sandbox.lastfm_accounts import LastfmAccounts
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.problems import Action, Problem

API = "https://ws.audioscrobbler.com/2.0/"
SECRET = "canary0secret"
SESSION = "canary0session"


def test_a_signature_by_hand():
    params = {"method": "auth.getSession", "token": "yyyyyy", "api_key": "xxxxxxxxxx"}
    text = "api_keyxxxxxxxxxxmethodauth.getSessiontokenyyyyyyilovecher"
    assert lastfm.signature(params, "ilovecher") == hashlib.md5(text.encode()).hexdigest()


def test_format_and_callback_are_not_signed():
    params = {"method": "user.getInfo", "user": "rj"}
    assert lastfm.signature({**params, "format": "json", "callback": "f"}, "s") == lastfm.signature(params, "s")


@pytest.mark.parametrize("user", ["RJ", "test user", "a&b=c#d?e", "Björk", "東京事変", "🎵", "100%", "a+b", "+"])
def test_a_signed_url_keeps_everything_and_its_signature_fits_what_arrives(user):
    url = lastfm.get_recent_tracks(user, 2, from_=0, to=9).url(API)
    signed = lastfm.signed(url, KEY, SECRET, SESSION)
    before, after = dict(parse_qsl(urlsplit(url).query)), dict(parse_qsl(urlsplit(signed).query))
    accounts = LastfmAccounts()
    accounts.secret = SECRET
    assert after == {**before, "api_key": KEY, "sk": SESSION, "api_sig": accounts.signature(after)}
    assert SECRET not in signed


@given(st.dictionaries(st.sampled_from(["user", "from", "to", "artist", "track", "Zed"]), st.text(
    st.characters(codec="utf-8"), max_size=20)))  # fmt: skip
def test_our_signatures_are_those_of_pylast(params):
    network = pylast.LastFMNetwork(api_key=KEY, api_secret=SECRET)
    request = pylast._Request(network, "user.getInfo", params)
    theirs = request._get_signature()
    assert lastfm.signature({**params, "api_key": KEY, "method": "user.getInfo"}, SECRET) == theirs


def test_without_a_session_nothing_is_signed():
    signed = lastfm.signed(lastfm.get_info("rj").url(API), KEY, SECRET)
    assert dict(parse_qsl(urlsplit(signed).query)).keys() == {"api_key", "format", "method", "user"}


def test_the_form_of_a_login_call():
    form = {name: values[0] for name, values in parse_qs(
        lastfm.login_call("auth.getSession", KEY, SECRET, token="é").decode()).items()}  # fmt: skip
    signature = form.pop("api_sig")
    assert form == {"method": "auth.getSession", "format": "json", "api_key": KEY, "token": "é"}
    assert signature == lastfm.signature(form, SECRET)


@pytest.mark.parametrize(
    ("api", "page"),
    [
        (API, "https://www.last.fm/api/auth/"),
        ("http://127.0.0.1:8000/2.0/", "http://127.0.0.1:8000/api/auth/"),
        ("https://libre.fm/2.0/", "https://libre.fm/api/auth/"),
    ],
)
def test_where_users_consent(api, page):
    url, _, query = lastfm.consent_url(api, KEY, "t&ken").partition("?")
    assert url == page
    assert dict(parse_qsl(query)) == {"api_key": KEY, "token": "t&ken"}


def body(value) -> bytes:
    return json.dumps(value).encode()


def test_a_token_and_a_session():
    assert lastfm.read_token(200, body({"token": "t"})) == "t"
    session = lastfm.read_session(200, body({"session": {"name": "RJ", "key": SESSION, "subscriber": 0}}))
    assert session == lastfm.Session("RJ", SESSION)
    assert SESSION not in repr(session)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "action"),
    [
        (403, {"error": 14, "message": "Unauthorized Token"}, "error_14", Action.DENIED),
        (200, {"error": 14, "message": "Unauthorized Token"}, "error_14", Action.DENIED),
        (403, {"error": 15, "message": "expired"}, "error_15", Action.DENIED),
        (403, {"error": 4, "message": "not issued"}, "error_4", Action.RENEW),
        (403, {"error": 13, "message": "Invalid method signature supplied"}, "error_13", Action.STOP_KEY),
        (403, {"error": 10, "message": "Invalid API key"}, "error_10", Action.STOP_KEY),
        (503, {"error": 11, "message": "Service Offline"}, "error_11", Action.RETRY),
        (200, {"token": "", "session": {"name": "", "key": SESSION}}, "http_200", Action.RETRY),
        (200, {"token": [SESSION], "session": [SESSION]}, "http_200", Action.RETRY),
        (502, {"session": {"name": "RJ", "key": SESSION}, "token": SESSION}, "http_502", Action.RETRY_SMALLER),
    ],
)
def test_what_is_neither(status, answer, kind, action):
    for read in (lastfm.read_token, lastfm.read_session):
        problem = read(status, body(answer))
        assert isinstance(problem, Problem)
        assert (problem.kind, problem.rule.action) == (kind, action)
        assert SESSION not in problem.message


@pytest.mark.parametrize("cut", [b"", b"<html>", b'{"session":{"name":"RJ","key":"canary0ses', b"[1]", b"\xff"])
def test_half_a_session_is_repeated_in_no_message(cut):
    for read in (lastfm.read_token, lastfm.read_session):
        problem = read(200, cut)
        assert isinstance(problem, Problem)
        assert "canary" not in problem.message
