"""The jobs extension beside a run that stands still: what it says when, and that nobody is held up by it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import psycopg
import pytest
from doubles import crawler_with
from scrapy import Spider, signals

from lastfm_crawl.extensions import jobs as extension
from lastfm_crawl.extensions.jobs import MOST_USERS, Jobs
from lastfm_crawl.extensions.run_record import RunRecord
from lastfm_crawl.warehouse import database as database_module
from lastfm_crawl.warehouse import jobs
from lastfm_crawl.warehouse.database import Warehouse


class Run:
    """A run of a spider with these *args*, as far as the extension knows it."""

    def __init__(self, folder, database_url, args=None, **settings):
        self.crawler = crawler_with(
            DATABASE_URL=database_url, DATA_DIR=str(folder), RESPONSE_STORE=str(folder / "store"), EXTENSIONS_BASE={},
            **settings,
        )  # fmt: skip
        self.spider = Spider(name="top_artists")
        self.spider.args = args or {}
        self.spider.unit, self.spider.done, self.spider.total, self.spider.user_pages = "users", 0, 0, {}
        # The record itself is not begun.
        self.record = RunRecord(self.crawler)
        self.crawler.extensions = SimpleNamespace(middlewares=[self.record])
        self.jobs = Jobs.from_crawler(self.crawler)
        self.warehouse = Warehouse.of(self.crawler)
        self.url = database_url

    async def begin(self):
        return await self.crawler.signals.send_catch_log_async(signals.spider_opened, spider=self.spider)

    async def end(self, reason="finished"):
        await self.record.spider_closed(self.spider, reason)
        await self.crawler.signals.send_catch_log_async(signals.spider_closed, spider=self.spider, reason=reason)
        for warehouse in (self.warehouse, self.jobs._warehouse):
            if warehouse is not None:
                await warehouse.close()

    def rows(self):
        with psycopg.connect(self.url) as connection:
            return jobs.list_jobs(connection)


@pytest.fixture
def updates(monkeypatch):
    """The progress of each update, at a hundred times the pace."""
    monkeypatch.setattr(extension, "_EVERY", 0.01)
    told = []
    real = jobs.update

    def update(connection, run_id, progress):
        told.append(sorted(progress.values()))
        return real(connection, run_id, progress)

    monkeypatch.setattr(jobs, "update", update)
    return told


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.01)


async def test_only_what_changed_is_said_and_a_sign_of_life_now_and_then(tmp_path, database_url, updates, monkeypatch):
    run = Run(tmp_path, database_url, {"users": ["Ann", "bob"]})
    await run.begin()
    await until(lambda: updates)
    run.spider.user_pages["ann"] = (1, 4)
    await until(lambda: len(updates) > 1)
    await asyncio.sleep(0.1)
    assert updates == [[(0, None), (0, None)], [(1, 4)]]
    monkeypatch.setattr(extension, "_HEARTBEAT", 0)
    await until(lambda: len(updates) > 2)
    assert updates[2] == [(0, None), (1, 4)]
    await run.end()
    assert {(job.username, job.status, job.progress, job.total, job.unit) for job in run.rows()} == {
        ("Ann", "completed", 1, 4, "pages"), ("bob", "completed", 0, None, "pages"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, {(None, None, "users")}),
        ({"users": None, "year": 2020}, {(None, 2020, "users")}),
        ({"users": ["ü b"], "year": 2020}, {("ü b", 2020, "pages")}),
        ({"users": [f"u{n}" for n in range(MOST_USERS)]}, {(f"u{n}", None, "pages") for n in range(MOST_USERS)}),
        ({"users": [f"u{n}" for n in range(MOST_USERS + 1)]}, {(None, None, "users")}),
    ],
    ids=["everybody", "a year", "a user's year", "many", "too many"],
)
async def test_which_jobs_a_run_is(tmp_path, database_url, args, expected):
    run = Run(tmp_path, database_url, args)
    await run.begin()
    run.spider.done, run.spider.total = 3, 7
    await run.end("shutdown")
    assert {(job.username, job.year, job.unit) for job in run.rows()} == expected
    if expected == {(None, None, "users")}:
        assert [(job.status, job.progress, job.total) for job in run.rows()] == [("stopped", 3, 7)]


async def test_a_replay_is_no_job(tmp_path, database_url):
    run = Run(tmp_path, database_url)
    run.spider.recorded = False
    await run.begin()
    await run.end()
    assert run.rows() == []


@pytest.mark.parametrize(
    ("stats", "status", "message"),
    [
        ({"lastfm_crawl/lost": 2, "lastfm_crawl/item_errors": 1}, "failed", "2 pages were given up"),
        ({"lastfm_crawl/stopped": "the kéy is wrong"}, "failed", "the kéy is wrong"),
        ({}, "completed", None),
    ],
)
async def test_a_job_ends_as_its_run(tmp_path, database_url, stats, status, message):
    run = Run(tmp_path, database_url)
    await run.begin()
    for name, value in stats.items():
        run.crawler.stats.set_value(name, value)
    await run.end("key_rejected" if "lastfm_crawl/stopped" in stats else "finished")
    assert [(job.status, job.error_message) for job in run.rows()] == [(status, message)]


async def test_a_warehouse_that_is_away_for_a_while_is_told_later(tmp_path, database_url, updates, monkeypatch):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", ())
    run = Run(tmp_path, database_url)
    await run.begin()
    real = jobs.update

    vain = []

    def away(*_):
        vain.append(1)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(jobs, "update", away)
    run.spider.done, run.spider.total = 1, 2
    await until(lambda: len(vain) > 1)
    monkeypatch.setattr(jobs, "update", real)
    await until(lambda: [(job.progress, job.total) for job in run.rows()] == [(1, 2)])
    monkeypatch.setattr(jobs, "finish", away)
    await run.end()
    assert run.rows()[0].status == "running"


async def test_without_a_warehouse_there_are_no_jobs_and_no_noise(tmp_path, caplog):
    run = Run(tmp_path, "postgresql://127.0.0.1:1/none")
    assert [failure for _, failure in await run.begin() if failure is not None] == []
    await run.end()
    assert "job" not in caplog.text
