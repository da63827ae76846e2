"""The sandbox's auth methods, as Last.fm has them, and who may see what is hidden."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest

from lastfm_crawl.sandbox import Scrobble, World, serve

KEY = "some key"
PLAYS = [Scrobble("An Artist", "t", 1_500_000_000)]


@pytest.fixture(scope="module")
def server():
    world = World.of({"ann": ["bob"], "bob": []}, {}, scrobbles={"ann": PLAYS, "bob": PLAYS}, private=["ann", "bob"])
    with serve(world) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server):
    server.accounts.__init__()
    server.log.clear()
    return server


def ask(sandbox, method, *, sign=True, **params):
    """The status and the body of an answer."""
    asked = {"method": method, "api_key": KEY, **params}
    if sign:
        asked["api_sig"] = sandbox.accounts.signature(asked)
    try:
        with urllib.request.urlopen(sandbox.url, urlencode({**asked, "format": "json"}).encode()) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


def consent(sandbox, token, key=KEY) -> str:
    query = urlencode({"api_key": key, "token": token})
    with urllib.request.urlopen(f"{sandbox.root}/api/auth/?{query}") as page:
        return page.read().decode()


def code(answer) -> int:
    assert answer[0] == 403
    return answer[1]["error"]


def log_in(sandbox, user) -> str:
    sandbox.accounts.user = user
    token = ask(sandbox, "auth.getToken")[1]["token"]
    consent(sandbox, token)
    return ask(sandbox, "auth.getSession", token=token)[1]["session"]["key"]


def test_a_token_a_consent_a_session(sandbox):
    token = ask(sandbox, "auth.getToken")[1]["token"]
    assert code(ask(sandbox, "auth.getSession", token=token)) == 14
    assert "close this page" in consent(sandbox, token)
    status, answer = ask(sandbox, "auth.getSession", token=token)
    assert (status, answer["session"]["name"], answer["session"]["subscriber"]) == (200, "ann", 0)
    assert code(ask(sandbox, "auth.getSession", token=token)) == 4  # used up


def test_tokens_that_open_nothing(sandbox):
    assert code(ask(sandbox, "auth.getSession", token="unknown")) == 4
    sandbox.accounts.token_seconds = -1
    token = ask(sandbox, "auth.getToken")[1]["token"]
    assert "Invalid token" in consent(sandbox, token)
    assert code(ask(sandbox, "auth.getSession", token=token)) == 15
    sandbox.accounts.token_seconds = 60
    token = ask(sandbox, "auth.getToken")[1]["token"]
    assert "Invalid token" in consent(sandbox, token, "another key")
    sandbox.accounts.consents = False
    consent(sandbox, token)
    assert code(ask(sandbox, "auth.getSession", token=token)) == 14


@pytest.mark.parametrize("method", ["auth.getToken", "auth.getSession", "user.getRecentTracks"])
@pytest.mark.parametrize("signature", ["", "0" * 32])
def test_a_wrong_signature_opens_nothing(sandbox, method, signature):
    key = sandbox.accounts.open("ann", KEY)
    assert code(ask(sandbox, method, sign=False, sk=key, api_sig=signature, user="ann")) == 13
    assert code(ask(sandbox, method, sign=False, sk=key, user="ann")) == 13


def test_what_is_hidden_is_shown_to_its_owner_alone(sandbox):
    ann, bob = log_in(sandbox, "ann"), log_in(sandbox, "bob")
    for _ in range(2):  # answers are kept
        assert code(ask(sandbox, "user.getRecentTracks", sign=False, user="ann")) == 17
        assert code(ask(sandbox, "user.getRecentTracks", user="ann", sk=bob)) == 17
        status, answer = ask(sandbox, "user.getRecentTracks", user="ANN", sk=ann)
        assert (status, len(answer["recenttracks"]["track"])) == (200, 1)
    assert ask(sandbox, "user.getInfo", user="bob", sk=ann)[0] == 200


def test_sessions_that_are_none(sandbox):
    key = sandbox.accounts.open("ann", KEY)
    assert code(ask(sandbox, "user.getRecentTracks", user="ann", sk="unknown")) == 9
    assert code(ask(sandbox, "user.getRecentTracks", user="ann", sk=sandbox.accounts.open("ann", "another"))) == 9
    sandbox.accounts.withdraw()
    assert code(ask(sandbox, "user.getRecentTracks", user="ann", sk=key)) == 9


def test_signatures_of_any_letters(sandbox):
    key = sandbox.accounts.open("ann", KEY)
    assert ask(sandbox, "user.getInfo", user="Björk 東京 🎵 +&=", sk=key)[0] == 404


def test_the_log_shows_no_credential(sandbox):
    key = log_in(sandbox, "ann")
    ask(sandbox, "user.getInfo", user="ann", sk=key)
    shown = json.dumps([call.as_json() for call in sandbox.log])
    assert {"auth.getToken", "auth.consent", "auth.getSession", "user.getInfo"} == {c.method for c in sandbox.log}
    assert sandbox.log[-1].session_key == key
    for hidden in (key, KEY, "api_sig", "sk", "token="):
        assert hidden not in shown
