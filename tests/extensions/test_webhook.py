"""The postbox of a webhook: in order, the newest of what waits, and no long wait for a receiver that never answers."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from hooks import SECRET, listening

from lastfm_crawl.extensions import webhook
from lastfm_crawl.extensions.webhook import Postbox, WebhookError, post


@pytest.fixture
def hook():
    with listening() as hook:
        yield hook


def test_every_object_arrives_in_order(monkeypatch):
    posted = []
    monkeypatch.setattr(webhook, "post", lambda url, content: posted.append((url, content)))
    postbox = Postbox("url")
    for number in range(20):
        postbox.put(number, {"n": number})
    postbox.close(5)
    assert posted == [("url", {"n": number}) for number in range(20)]


def test_of_what_waits_for_a_slow_receiver_the_newest_counts(monkeypatch):
    posted, go_on = [], threading.Event()

    def slow(_, content):
        posted.append(content)
        go_on.wait(5)

    monkeypatch.setattr(webhook, "post", slow)
    postbox = Postbox("url")
    postbox.put(1, {"n": 0})
    while not posted:
        time.sleep(0.01)
    for number in range(1, 1_000):
        postbox.put(1 + number % 2, {"n": number})
    go_on.set()
    postbox.close(5)
    assert posted == [{"n": 0}, {"n": 999}, {"n": 998}]


def test_a_receiver_that_never_answers_is_left_and_not_named(monkeypatch, caplog):
    never = threading.Event()
    monkeypatch.setattr(webhook, "post", lambda *_: never.wait(10))
    postbox = Postbox(f"http://127.0.0.1:1/{SECRET}")
    postbox.put(1, {})
    begun = time.monotonic()
    postbox.close(0.2)
    assert time.monotonic() - begun < 2
    never.set()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert SECRET not in caplog.text


def test_a_dead_receiver_is_complained_of_once(caplog):
    postbox = Postbox(f"http://127.0.0.1:1/{SECRET}")
    for number in range(5):
        postbox.put(number, {})
    postbox.close(5)
    assert [record.getMessage() for record in caplog.records] == [
        "the webhook for jobs does not take what it is told: URLError"
    ]


def test_a_refusal_is_an_error_that_does_not_name_the_url(hook):
    hook.status = 500
    with pytest.raises(WebhookError, match=r"^HTTPError$"):
        post(hook.url, {"ü": "ö"})
    assert hook.told[0][2].decode() == '{"\\u00fc": "\\u00f6"}'
