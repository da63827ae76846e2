"""METRICS_FILE: what Prometheus' own parser reads from it, while a run goes on, at its end, and in the next one."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
from doubles import crawler_with
from prometheus_client.parser import text_string_to_metric_families
from scrapy import Spider, signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.metrics import Metrics
from lastfm_crawl.sandbox import Faults, demo_world, serve

STATS = {
    "start_time": datetime(2026, 5, 1, tzinfo=UTC),
    "lastfm_crawl/asked/user.getFriends": 30,
    "lastfm_crawl/asked/user.getInfo": 2,
    "lastfm_crawl/received/user.getFriends": 25,
    "lastfm_crawl/errors/error_8": 4,
    "lastfm_crawl/errors/DownloadTimeoutError": 1,
    "httpcache/hit": 7,
    "lastfm_crawl/pages_loaded": 24,
    "lastfm_crawl/pace_ms": 1500,
    "lastfm_crawl/fresh/user.getFriends/rows": 500,
    "lastfm_crawl/fresh/user.getFriends/bytes": 9000,
    "lastfm_crawl/fresh/user.getFriends/with/name": 500,
}


def read(path):
    """The samples of a file, by name and by the label besides the spider; names, texts and types are looked at."""
    families = list(text_string_to_metric_families(path.read_text()))
    found = {}
    for family in families:
        assert family.name.startswith("lastfm_crawl_")
        assert family.documentation
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            assert sample.name == family.name + ("_total" if family.type == "counter" else "")
            labels = dict(sample.labels)
            assert labels.pop("spider")
            found[(sample.name.removeprefix("lastfm_crawl_"), *labels.values())] = sample.value
    return found


class Run:
    def __init__(self, path, stats=STATS):
        self.crawler = crawler_with(METRICS_FILE=str(path), PROGRESS_INTERVAL=0.02, EXTENSIONS_BASE={})
        self.crawler.spider = self.spider = Spider(name="friends")
        self.spider.done, self.spider.total = 3, 9
        for name, value in stats.items():
            self.crawler.stats.set_value(name, value)
        self.extension = Metrics.from_crawler(self.crawler)

    async def begin(self):
        await self.crawler.signals.send_catch_log_async(signals.spider_opened, spider=self.spider)
        await asyncio.sleep(0.1)

    async def end(self, reason="finished"):
        await self.crawler.signals.send_catch_log_async(signals.spider_closed, spider=self.spider, reason=reason)
        await self.crawler.signals.send_catch_log_async(signals.engine_stopped)


def test_without_a_file_there_is_no_extension():
    with pytest.raises(NotConfigured):
        Metrics.from_crawler(crawler_with(METRICS_FILE=None))


async def test_a_run_and_the_next(tmp_path):
    file = tmp_path / "friends.prom"
    run = Run(tmp_path / "%(spider)s.prom")
    await run.begin()
    assert read(file) == {
        ("requests_total", "user.getFriends"): 30,
        ("requests_total", "user.getInfo"): 2,
        ("good_answers_total", "user.getFriends"): 25,
        ("errors_total", "error_8"): 4,
        ("errors_total", "DownloadTimeoutError"): 1,
        ("store_hits_total",): 7,
        ("store_misses_total",): 0,
        ("pages_loaded_total",): 24,
        ("pages_lost_total",): 0,
        ("rows_total", "user.getFriends"): 500,
        ("answer_bytes_total", "user.getFriends"): 9000,
        ("pace_wait_seconds_total",): 1.5,
        ("running",): 1,
        ("run_start_timestamp_seconds",): STATS["start_time"].timestamp(),
        ("units_done",): 3,
        ("units_expected",): 9,
    }
    run.crawler.stats.inc_value("httpcache/hit")
    await asyncio.sleep(0.1)
    assert read(file)[("store_hits_total",)] == 8
    run.crawler.stats.set_value("lastfm_crawl/alarms", ["a monitor failed"])
    await run.end()
    ended = read(file)
    assert (ended[("running",)], ended[("last_run_exit_code",)]) == (0, 1)
    assert ended[("last_run_end_timestamp_seconds",)] == pytest.approx(time.time(), abs=60)

    following = Run(tmp_path / "%(spider)s.prom", {})
    await following.begin()
    begun = read(file)
    assert begun[("running",)] == 1
    assert ("requests_total", "user.getInfo") not in begun
    for name in ("last_run_exit_code", "last_run_end_timestamp_seconds"):
        assert begun[(name,)] == ended[(name,)]
    await following.end("key_rejected")
    assert read(file)[("last_run_exit_code",)] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["friends.prom"]


@pytest.mark.parametrize("text", ["", "nonsense {", "\xff"])
async def test_a_file_that_holds_something_else_is_replaced(tmp_path, text):
    file = tmp_path / "m.prom"
    file.write_text(text, encoding="latin-1")
    run = Run(file)
    await run.begin()
    assert read(file)[("running",)] == 1
    await run.end()


async def test_a_file_that_cannot_be_written_is_said_once(tmp_path, caplog):
    run = Run(tmp_path / "gone" / "m.prom")
    await run.begin()
    await run.end()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "METRICS_FILE cannot be written" in caplog.text


def test_the_metrics_of_a_crawl(project, tmp_path):
    project.environment["METRICS_FILE"] = str(tmp_path / "%(spider)s.prom")
    with serve(demo_world(20), Faults(rate=0.1, seed=2, kinds=["error_8_500"])) as sandbox:
        project.url = sandbox.url
        assert project.crawl("friends", seeds="RJ").returncode == 0
        asked = [call.method for call in sandbox.log]
        failed = sum(call.fault is not None for call in sandbox.log)
    found = read(tmp_path / "friends.prom")
    assert found[("requests_total", "user.getFriends")] == asked.count("user.getFriends")
    assert found[("errors_total", "error_8")] == failed > 0
    assert found[("last_run_exit_code",)] == found[("running",)] == 0
    assert found[("units_done",)] == found[("units_expected",)] > 0
    assert found[("rows_total", "user.getFriends")] > 10
