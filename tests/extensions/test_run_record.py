"""The record of a run: a row of ``runs``, and files in the store's ``state/``, in the brief's formats."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from doubles import crawler_with
from scrapy import Spider, signals

from lastfm_crawl.extensions import run_record as run_record_module
from lastfm_crawl.extensions.run_record import RunRecord
from lastfm_crawl.httpcache import StoreError
from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, TopArtistsPage, UserMark
from lastfm_crawl.warehouse import database as database_module
from lastfm_crawl.warehouse.database import Warehouse
from lastfm_crawl.warehouse.postgres import PostgresSink

NOW = 1_700_000_000.0
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


class Asking(Spider):
    """A spider of ours, as far as the record knows it."""

    phase = "artist_fetching"
    given = {"users": "a,ü", "limit": "10"}  # noqa: RUF012
    done, total = 3, 5


class Run:
    def __init__(self, folder, database_url, **settings):
        self.folder = folder
        self.crawler = crawler_with(
            DATABASE_URL=database_url, DATA_DIR=str(folder), RESPONSE_STORE=str(folder / "store"), EXTENSIONS_BASE={},
            **settings,
        )  # fmt: skip
        self.crawler.spider = self.spider = Asking(name="top_artists")
        self.record = RunRecord.from_crawler(self.crawler)
        self.warehouse = Warehouse.of(self.crawler)
        self.url = database_url

    async def begin(self):
        await self.crawler.signals.send_catch_log_async(signals.spider_opened, spider=self.spider)

    async def end(self, reason="finished"):
        await self.crawler.signals.send_catch_log_async(signals.spider_closed, spider=self.spider, reason=reason)

    async def load(self, *items):
        await self.warehouse.run(PostgresSink().load, items)

    def read(self, name):
        return json.loads((self.folder / "store" / "state" / name).read_bytes())

    def files(self):
        state = self.folder / "store" / "state"
        return sorted(str(path.relative_to(state)) for path in state.rglob("*") if path.is_file())

    def rows(self):
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "SELECT id, spider, arguments, started_at, members_before, finished_at, finish_reason, exit_code, stats"
                " FROM runs"
            ).fetchall()


@pytest.fixture
async def run(tmp_path, database_url):
    run = Run(tmp_path, database_url)
    yield run
    if run.record._ticking:
        run.record._ticking.cancel()
    await run.warehouse.close()


@pytest.fixture
async def progress(run):
    """A run in the middle of fetching."""
    run.record._started -= timedelta(minutes=10)
    await run.begin()
    chart = TopArtistsPage(
        method="user.getTopArtists", user="ann", params="", period="overall", received=1, fetched_at=NOW,
        ranks=[1], names=["Cher"], playcounts=[1],
    )  # fmt: skip
    friends = FriendsPage(
        method="user.getFriends", user="Zed", params="", received=2, fetched_at=NOW,
        friends=(Profile("ann"), Profile("bob ü")),
    )  # fmt: skip
    private = UserMark(
        method="user.getFriends", user="ann", params="", status="private", detail="hidden", fetched_at=NOW
    )
    members = [Member("Zed", "Zed", 0, NOW), Member("ann", "Zed", 1, NOW), Member("bob ü", "Zed", 1, NOW)]
    await run.load(chart, friends, private, Admissions(tuple(members)))
    stats = run.crawler.stats
    stats.set_value("lastfm_crawl/asked/user.getTopArtists", 500)
    stats.set_value("lastfm_crawl/asked/user.getInfo", 100)
    stats.set_value("httpcache/hit", 40)
    stats.set_value("lastfm_crawl/failed_answers", 7)
    return run


def seconds_ago(stamp):
    assert STAMP.fullmatch(stamp)
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


# --- state/progress.json -----------------------------------------------------------------------------------------


async def test_progress_has_the_shape_of_the_brief(progress):
    await progress.record._write_progress(progress.spider)
    content = progress.read("progress.json")
    started, updated = content.pop("started_at"), content.pop("last_updated")
    assert seconds_ago(started) == pytest.approx(600, abs=5)
    assert seconds_ago(updated) == pytest.approx(0, abs=5)
    completion = content["artist_fetching"].pop("estimated_completion")
    assert -seconds_ago(completion) == pytest.approx(2, abs=3)  # two users left, at sixty requests a minute
    rate = content["api_stats"].pop("requests_per_minute_avg")
    assert rate == pytest.approx(60, abs=0.5)
    assert rate == round(rate, 1)
    assert content == {
        "run_id": progress.record.run_id,
        "phase": "artist_fetching",
        "discovery": {"seed_users": ["Zed"], "total_discovered": 3, "queue_remaining": 0, "errors": 1},
        "artist_fetching": {"total_to_process": 3, "processed": 1, "remaining": 2, "errors": 0},
        "api_stats": {"total_requests": 600, "cache_hits": 40, "errors": 7},
    }


async def test_progress_has_the_keys_of_the_brief_in_its_order(progress):
    await progress.record._write_progress(progress.spider)
    content = progress.read("progress.json")
    assert list(content) == [
        "run_id", "started_at", "last_updated", "phase", "discovery", "artist_fetching", "api_stats",
    ]  # fmt: skip
    assert list(content["discovery"]) == ["seed_users", "total_discovered", "queue_remaining", "errors"]
    assert list(content["artist_fetching"]) == [
        "total_to_process", "processed", "remaining", "errors", "estimated_completion",
    ]  # fmt: skip
    assert list(content["api_stats"]) == ["total_requests", "cache_hits", "errors", "requests_per_minute_avg"]


async def test_the_queue_of_the_discovery(progress):
    progress.spider.phase = "discovery"
    await progress.record._write_progress(progress.spider)
    content = progress.read("progress.json")
    assert (content["phase"], content["discovery"]["queue_remaining"]) == ("discovery", 2)
    progress.spider.done = 9  # more than was known
    await progress.record._write_progress(progress.spider)
    assert progress.read("progress.json")["discovery"]["queue_remaining"] == 0


async def test_progress_before_anything_was_asked(run):
    await run.begin()
    await run.record._write_progress(run.spider)
    content = run.read("progress.json")
    assert content["artist_fetching"]["estimated_completion"] is None
    assert content["api_stats"] == {"total_requests": 0, "cache_hits": 0, "errors": 0, "requests_per_minute_avg": 0.0}
    assert content["discovery"]["seed_users"] == []


async def test_progress_is_written_again_and_again(run, monkeypatch):
    run.record._interval = 0.05
    await run.begin()
    assert "progress.json" not in run.files()
    for asked in (1, 2):
        run.crawler.stats.set_value("lastfm_crawl/asked/user.getInfo", asked)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if "progress.json" in run.files() and run.read("progress.json")["api_stats"]["total_requests"] == asked:
                break
        else:
            pytest.fail("it was not written")
    await run.end()
    assert run.record._ticking.cancelled() or run.record._ticking.cancelling()


async def test_progress_goes_on_after_the_warehouse_was_away(run, monkeypatch, caplog):
    run.record._interval = 0.02
    await run.begin()
    with monkeypatch.context() as patch:

        def fail(_):
            raise psycopg.errors.ReadOnlySqlTransaction("cannot")

        patch.setattr(run_record_module.queries, "crawl_state", fail)
        await asyncio.sleep(0.2)
    assert "could not be brought up to date: cannot" in caplog.text
    await asyncio.sleep(0.2)
    assert "progress.json" in run.files()


# --- the lists of users, and the record --------------------------------------------------------------------------


async def test_the_state_files_of_a_finished_run(progress):
    await progress.end()
    assert progress.files() == [
        "discovered_users.json",
        "processed_users.json",
        "progress.json",
        f"progress/{progress.record.run_id}.json",
        f"runs/{progress.record.run_id}.json",
        "users_to_process.json",
    ]
    assert progress.read("discovered_users.json") == ["Zed", "ann", "bob ü"]
    assert progress.read("processed_users.json") == ["ann"]
    assert progress.read("users_to_process.json") == ["Zed", "bob ü"]


async def test_a_run_that_has_begun_is_on_record(run):
    await run.warehouse.open()
    await run.load(Admissions((Member("a", None, None, NOW), Member("b", None, None, NOW))))
    await run.begin()
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run.record.run_id)
    content = run.read(f"runs/{run.record.run_id}.json")
    assert seconds_ago(content.pop("started_at")) < 60
    assert content == {
        "run_id": run.record.run_id,
        "spider": "top_artists",
        "arguments": {"users": "a,ü", "limit": "10"},
        "members_before": 2,
    }
    row = run.rows()[0]
    assert row[:3] == (run.record.run_id, "top_artists", {"users": "a,ü", "limit": "10"})
    assert row[4:] == (2, None, None, None, None)


@pytest.mark.parametrize(
    ("reason", "stats", "code", "faults"),
    [
        ("finished", {}, 0, []),
        ("finished", {"lastfm_crawl/lost": 1}, 1, ["1 pages were given up"]),
        ("key_rejected", {"lastfm_crawl/stopped": "error 10"}, 3, ["error 10"]),
        ("shutdown", {}, 4, ["stopped early (shutdown); run again to continue"]),
    ],
)
async def test_a_run_that_has_ended_is_on_record(run, reason, stats, code, faults):
    await run.begin()
    for name, value in stats.items():
        run.crawler.stats.set_value(name, value)
    run.crawler.stats.set_value("start_time", datetime.now(UTC))  # nothing that JSON knows
    await run.end(reason)
    content = run.read(f"runs/{run.record.run_id}.json")
    assert (content["finish_reason"], content["exit_code"], content["faults"]) == (reason, code, faults)
    assert seconds_ago(content["finished_at"]) < 60
    assert content["arguments"] == {"users": "a,ü", "limit": "10"}
    assert content["stats"].items() >= stats.items()
    assert "start_time" not in content["stats"]
    assert 0 <= content["stats"]["seconds"] < 60
    (row,) = run.rows()
    assert row[6:8] == (reason, code)
    assert row[8] == content["stats"]
    assert row[5] >= row[3]


async def test_pages_and_failed_items_are_counted(run):
    await run.begin()
    mark = UserMark(method="user.getInfo", user="a", params="", status="private", detail="")
    for item in [mark, mark, Admissions(()), {"not": "ours"}]:
        await run.crawler.signals.send_catch_log_async(signals.item_scraped, item=item, spider=run.spider)
    await run.crawler.signals.send_catch_log_async(signals.item_error, item=mark, spider=run.spider)
    assert run.crawler.stats.get_value("lastfm_crawl/pages") == 2
    assert run.crawler.stats.get_value("lastfm_crawl/item_errors") == 1


async def test_two_runs_of_one_second_are_two(run, tmp_path, database_url):
    other = Run(tmp_path, database_url)
    assert other.record.run_id != run.record.run_id
    await run.begin()
    await other.begin()
    assert len(run.rows()) == 2
    other.record._ticking.cancel()
    await other.warehouse.close()


# --- what may go wrong -------------------------------------------------------------------------------------------


async def test_without_a_warehouse_nothing_is_begun(tmp_path, unused_tcp_port):
    run = Run(tmp_path, f"postgresql://u:pw@127.0.0.1:{unused_tcp_port}/name")
    await run.begin()
    await run.end("warehouse_unavailable")
    assert run.files() == []
    await run.warehouse.close()


async def test_a_store_that_refuses_is_a_warning(run, monkeypatch, caplog):
    def refuse(*_):
        raise StoreError("the store is full")

    monkeypatch.setattr(run.record._store, "write", refuse)
    await run.begin()
    await run.end()
    assert {record.getMessage() for record in caplog.records if record.levelname == "WARNING"} == {"the store is full"}
    assert run.rows()[0][6] == "finished"


async def test_a_warehouse_that_went_away_costs_no_file(run, monkeypatch, caplog):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", (0.01,))
    await run.begin()

    def fail():
        raise psycopg.OperationalError("connection refused")

    run.warehouse.database._drop()
    monkeypatch.setattr(run.warehouse.database, "_connect", fail)
    await run.end("warehouse_unavailable")
    assert "the end of the run could not be recorded in the warehouse: connection refused" in caplog.text
    content = run.read(f"runs/{run.record.run_id}.json")
    assert (content["finish_reason"], content["exit_code"]) == ("warehouse_unavailable", 3)
    assert run.rows()[0][5] is None


async def test_the_record_ends_with_figures(progress):
    stats = progress.crawler.stats
    stats.set_value("httpcache/miss", 10)
    stats.set_value("lastfm_crawl/batches", 2)
    stats.set_value("lastfm_crawl/batch_ms", 300)
    stats.set_value("lastfm_crawl/batch_ms_max", 200)
    await progress.end()
    figures = progress.read(f"runs/{progress.record.run_id}.json")["figures"]
    cache = figures["cache_hits"]
    assert (cache["part"], cache["whole"], cache["target"], cache["below_target"]) == (40, 50, 0.7, False)
    assert (figures["batches"], figures["seconds_per_batch"], figures["longest_batch"]) == (2, 0.15, 0.2)
    coverage = {(figure["service"], figure["name"]): figure["part"] for figure in figures["coverage"]}
    assert coverage["Last.fm", "members whom it knows"] == 3
    assert coverage["Last.fm", "friends lists"] == 2
    assert coverage["Last.fm", "top artists"] == 1
    assert {figure["target"] for figure in figures["match_rates"]} == {0.8}


async def test_a_check_that_fails_keeps_nobody_waiting(run, monkeypatch, caplog):
    """The fetch jobs wait for the outcome: without one the process would never end."""

    async def examine(*_):
        raise ZeroDivisionError

    await run.begin()
    monkeypatch.setattr(run.record, "_examine", examine)
    await run.end()
    outcome = await asyncio.wait_for(run.record.outcome(), 5)
    assert outcome.code == 0
    assert run.read(f"runs/{run.record.run_id}.json")["exit_code"] == 0
    assert "the run could not be examined" in caplog.text
