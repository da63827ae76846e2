"""The alert: one JSON object for a critical fault, silence otherwise, and a secret of its own kind."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading

import pytest
from doubles import crawler_with
from hooks import SECRET, listening
from scrapy import Spider, signals
from scrapy.exceptions import NotConfigured
from scrapy.settings import Settings

from lastfm_crawl.extensions import webhook as webhook_module
from lastfm_crawl.extensions.alerts import Alerts, never_begun
from lastfm_crawl.stop import REASONS, Exit, stop_run

CRITICAL = [reason for reason, code in REASONS.items() if code is Exit.CRITICAL]
OTHERS = ["finished", "shutdown", "closespider_timeout", "start_error", *sorted(REASONS.keys() - set(CRITICAL))]


@pytest.fixture
def hook():
    with listening() as hook:
        yield hook


async def close_with(url, reason, **stats):
    """A run that is closed with *reason*, as Scrapy does it."""
    crawler = crawler_with(ALERT_WEBHOOK=url, EXTENSIONS_BASE={})
    for name, value in stats.items():
        crawler.stats.set_value(name, value)
    extension = Alerts.from_crawler(crawler)  # signals hold it weakly
    results = await crawler.signals.send_catch_log_async(
        signals.spider_closed, spider=Spider(name="friends"), reason=reason
    )
    assert extension
    return results


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_webhook_there_is_no_extension(url):
    with pytest.raises(NotConfigured):
        Alerts.from_crawler(crawler_with(ALERT_WEBHOOK=url))


@pytest.mark.parametrize("reason", CRITICAL)
async def test_a_critical_fault_is_told_once(hook, reason, caplog):
    stats = {"lastfm_crawl/stopped": 'the key was "rejected" ü', "lastfm_crawl/lost": 2}
    with caplog.at_level(logging.DEBUG):
        await close_with(hook.url, reason, **stats)
    assert len(hook.told) == 1
    path, content_type, body = hook.told[0]
    assert (path, content_type) == (f"/{SECRET}", "application/json")
    assert json.loads(body) == {
        "spider": "friends",
        "reason": reason,
        "exit_code": 3,
        "faults": ['the key was "rejected" ü', "2 pages were given up"],
    }
    assert SECRET not in caplog.text


@pytest.mark.parametrize("reason", REASONS)
async def test_what_is_told_is_logged_as_critical(reason, caplog):
    crawler = crawler_with()
    with caplog.at_level(logging.DEBUG):
        stop_run(crawler, reason, "that is why")
    line = f"stopping ({reason}): that is why"
    assert [(r.levelname == "CRITICAL", r.getMessage()) for r in caplog.records] == [(reason in CRITICAL, line)]
    await asyncio.sleep(0)
    assert crawler.engine.reasons == [reason]


def test_a_run_that_could_not_be_set_up_is_told_without_a_crawler(hook, caplog):
    outcome = never_begun(Settings({"ALERT_WEBHOOK": hook.url}), "friends")
    assert outcome.code is Exit.CRITICAL
    assert [json.loads(body) for _, _, body in hook.told] == [
        {"spider": "friends", "reason": "never_begun", "exit_code": 3, "faults": outcome.faults}
    ]
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert SECRET not in caplog.text
    assert never_begun(Settings(), "friends") == outcome
    assert len(hook.told) == 1


@pytest.mark.parametrize("reason", OTHERS)
async def test_nothing_else_is_told(hook, reason):
    await close_with(hook.url, reason, **{"lastfm_crawl/lost": 2})
    assert hook.told == []


@pytest.mark.parametrize("status", [302, 403, 500])
async def test_a_webhook_that_refuses_changes_nothing(hook, status, caplog):
    hook.status = status
    with caplog.at_level(logging.DEBUG):
        results = await close_with(hook.url, "key_rejected")
    assert [result for _, result in results] == [None]
    assert len(hook.told) == 1
    assert_one_warning(caplog)


def assert_one_warning(caplog):
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    assert "the alert could not be sent" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/{}",
        "http://no-such-host.invalid/{}",
        "no-scheme/{}",
        "nonsense://host/{}",
        "http:///{}",
        "http://[::1/{}",
        pytest.param("http://127.0.0.1:1/with space/{}"),
        pytest.param("http://127.0.0.1:port/{}"),
        pytest.param("http://127.0.0.1:1/line\nbreak/{}"),
    ],
)
async def test_a_dead_webhook_changes_nothing_and_is_not_named(url, caplog):
    with caplog.at_level(logging.DEBUG):
        results = await close_with(url.format(SECRET), "key_rejected")
    assert [result for _, result in results] == [None]
    assert_one_warning(caplog)


async def answer_with(content, caplog):
    """Alert a server that answers *content*, and nothing when that is None."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        server.settimeout(5)

        def serve():
            peer, _ = server.accept()
            with peer:
                peer.recv(10_000)
                if content is None:
                    done.wait(10)
                else:
                    peer.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        with caplog.at_level(logging.DEBUG):
            results = await close_with(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", "key_rejected")
        done.set()
        thread.join()
    assert [result for _, result in results] == [None]
    assert_one_warning(caplog)


async def test_a_webhook_that_hangs_up_changes_nothing(caplog):
    await answer_with(b"", caplog)


async def test_a_webhook_that_never_answers_changes_nothing(caplog, monkeypatch):
    monkeypatch.setattr(webhook_module, "_TIMEOUT", 0.2)
    await answer_with(None, caplog)


async def test_a_webhook_that_talks_something_else_changes_nothing(caplog):
    await answer_with(b"220 mail.example.com ESMTP\r\n", caplog)
