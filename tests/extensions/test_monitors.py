"""Monitors of a run: first-hand answers are counted, earlier runs are asked for, and what fails is in the outcome."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from doubles import crawler_with

from lastfm_crawl.extensions import monitors as monitors_module
from lastfm_crawl.extensions.checks import Examined
from lastfm_crawl.extensions.monitors import Monitors, monitors_of
from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.items import Admissions, TopArtistsPage
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import Warehouse

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMITS = {"MONITOR_MAX_ERRORS": 0.25, "MONITOR_MIN_COVERAGE": 0.9, "MONITOR_LOST_FIELD": 0.1, "MONITOR_MIN_ROWS": 10}


@pytest.fixture
async def crawler(database_url, tmp_path):
    crawler = crawler_with(DATABASE_URL=database_url, DATA_DIR=str(tmp_path), EXTENSIONS_BASE={}, **LIMITS)
    crawler.stats.set_value("start_time", NOW)
    await Warehouse.of(crawler).open()
    yield crawler
    await Warehouse.of(crawler).close()


def page(when, playcount=1):
    names = [str(number) for number in range(12)]
    return TopArtistsPage(
        method="user.getTopArtists", user="RJ", params="", period="overall", received=12, fetched_at=when.timestamp(),
        size=100, ranks=range(1, 13), names=names, playcounts=[playcount] * 12,
    )  # fmt: skip


def run(crawler):
    return Examined(crawler.stats.get_stats(), {}, 0, NOW, offline=False, of_users=True)


async def test_what_fails_is_in_the_outcome(crawler, caplog):
    monitors = Monitors.from_crawler(crawler)
    assert monitors_of(crawler) is monitors
    for item in (page(NOW, 0), page(NOW - timedelta(days=1)), Admissions(())):
        monitors.item_scraped(item)
    assert crawler.stats.get_value("lastfm_crawl/fresh/user.getTopArtists/rows") == 12
    with caplog.at_level(logging.INFO):
        verdicts = await monitors.verdicts("r9", "top_artists", run(crawler))
    assert [(v.name, v.ok) for v in verdicts] == [
        ("fields/user.getTopArtists/name", True),
        ("fields/user.getTopArtists/playcounts", False),
    ]
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    outcome = judge({**crawler.stats.get_stats(), "finish_reason": "finished"})
    assert outcome == (Exit.LOSSES, [verdicts[1].line])
    assert judge({**crawler.stats.get_stats(), "finish_reason": "shutdown"}).code is Exit.RESUMABLE


async def test_a_run_with_nothing_to_do_says_nothing(crawler, caplog):
    assert await Monitors.from_crawler(crawler).verdicts("r9", "top_artists", run(crawler)) == []
    assert crawler.stats.get_value("lastfm_crawl/alarms") is None
    assert not caplog.records


async def test_without_earlier_runs_the_rest_is_still_looked_at(crawler, monkeypatch, caplog):
    def fail(*_):
        raise psycopg.errors.UndefinedTable("no runs")

    monkeypatch.setattr(monitors_module.queries, "earlier_runs", fail)
    monitors = Monitors.from_crawler(crawler)
    monitors.item_scraped(page(NOW))
    assert len(await monitors.verdicts("r9", "top_artists", run(crawler))) == 2
    assert "could not be compared with earlier ones: no runs" in caplog.text


def test_switched_off():
    assert monitors_of(crawler_with()) is None


def test_earlier_runs(database_url):
    with psycopg.connect(database_url) as connection:
        for run_id, spider in (("r1", "a"), ("r2", "b"), ("r3", "a"), ("r4", "a"), ("r5", "a")):
            queries.begin_run(connection, run_id, spider, {"users": run_id}, NOW, 3)
            if run_id != "r3":  # was killed
                queries.finish_run(connection, run_id, NOW, "finished", 0, {"x": 1})
        found = queries.earlier_runs(connection, "a", "r5", 9)
        assert [r.arguments["users"] for r in found] == ["r4", "r1"]
        assert found[0][1:] == (3, NOW, 0, {"x": 1})
        assert len(queries.earlier_runs(connection, "a", "r5", 1)) == 1
