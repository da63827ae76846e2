"""Pages on their way into the warehouse: batches, back-pressure, and what becomes of those that are refused."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import psycopg
import pytest
from doubles import crawler_with
from scrapy.exceptions import CloseSpider

from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, ProfilePage, TopArtistsPage
from lastfm_crawl.pipelines import load as load_module
from lastfm_crawl.pipelines.load import LoadPipeline
from lastfm_crawl.warehouse import database as database_module
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.forgotten import Tombstone
from lastfm_crawl.warehouse.postgres import PostgresSink

NOW = 1_700_000_000.0


def page(user="rj", rows=1, **more):
    return TopArtistsPage(
        method="user.getTopArtists", user=user, params="limit=1000,period=overall", period="overall", fetched_at=NOW,
        ranks=range(1, rows + 1), names=[f"artist {n}" for n in range(rows)], playcounts=range(1, rows + 1),
        **({"received": rows} | more),
    )  # fmt: skip


def admission(user, *, at=0.0):
    return Admissions((Member(user, None, None, NOW + at),))


def rows(url, statement):
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def loaded(url):
    return [user for (user,) in rows(url, "SELECT u.key FROM fetches f JOIN users u ON u.id = f.user_id ORDER BY 1")]


LOCKED = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""


def stat(pipeline, name):
    return pipeline._crawler.stats.get_value(f"lastfm_crawl/{name}", 0)


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", (0.02, 0.02))


@pytest.fixture
async def pipeline(database_url, tmp_path):
    """An open one, with a crawler that is not running."""
    crawler = crawler_with(DATABASE_URL=database_url, DATA_DIR=str(tmp_path))
    pipeline = LoadPipeline.from_crawler(crawler)
    await pipeline.open_spider()
    yield pipeline
    await Warehouse.of(crawler).close()


class BlockedSink:
    """Holds every load until it is let go; remembers the batches."""

    def __init__(self, monkeypatch, error=None):
        self.batches = []
        self.go = threading.Event()
        self.loading = threading.Event()
        real = PostgresSink.load

        def load(sink, connection, items):
            self.batches.append(list(items))
            self.loading.set()
            assert self.go.wait(10)
            if error:
                raise error
            real(sink, connection, items)

        monkeypatch.setattr(PostgresSink, "load", load)


async def soon(event, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not (event.is_set() if hasattr(event, "is_set") else event()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


# --- batches -----------------------------------------------------------------------------------------------------


async def test_pages_and_admissions_go_on_and_into_the_warehouse(pipeline, database_url):
    items = [page("ann"), admission("ann"), {"something": "else"}]
    assert [await pipeline.process_item(item) for item in items] == items
    await pipeline.close_spider()
    assert rows(database_url, "SELECT username FROM lastfm_users") == [("ann",)]
    assert loaded(database_url) == ["ann"]
    assert (stat(pipeline, "pages_loaded"), stat(pipeline, "not_loaded")) == (1, 0)


async def test_few_pages_are_loaded_together_after_a_second(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 0.5)
    blocked = BlockedSink(monkeypatch)
    blocked.go.set()
    for user in "abc":
        await pipeline.process_item(page(user))
        await asyncio.sleep(0.05)
    assert loaded(database_url) == []
    await soon(lambda: loaded(database_url) == ["a", "b", "c"])
    assert [len(batch) for batch in blocked.batches] == [3]
    await asyncio.sleep(0.05)
    await pipeline.process_item(page("d"))  # the loader had gone to sleep
    await soon(lambda: loaded(database_url) == ["a", "b", "c", "d"])
    assert [len(batch) for batch in blocked.batches] == [3, 1]


async def test_many_rows_are_loaded_at_once(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 60)
    monkeypatch.setattr(load_module, "BATCH_ROWS", 100)
    for user in "abc":
        await pipeline.process_item(page(user, rows=30))
    await asyncio.sleep(0.2)
    assert loaded(database_url) == []
    await asyncio.wait_for(pipeline.process_item(page("d", rows=30)), 5)
    await soon(lambda: loaded(database_url) == ["a", "b", "c", "d"])


async def test_admissions_count_as_rows(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 60)
    monkeypatch.setattr(load_module, "BATCH_ROWS", 2)
    await pipeline.process_item(admission("a"))
    await asyncio.wait_for(pipeline.process_item(admission("b")), 5)
    await soon(lambda: rows(database_url, "SELECT count(*) FROM lastfm_users") == [(2,)])


async def test_a_page_waits_while_a_full_batch_is_behind_one_that_loads(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_ROWS", 100)
    blocked = BlockedSink(monkeypatch)
    await asyncio.wait_for(pipeline.process_item(page("a", rows=100)), 5)
    await soon(blocked.loading)
    await asyncio.wait_for(pipeline.process_item(page("b", rows=50)), 5)  # there is room
    waiting = [asyncio.create_task(pipeline.process_item(page(user, rows=50))) for user in "cd"]
    done, _ = await asyncio.wait(waiting, timeout=1.3)  # longer than a batch's second
    assert not done
    blocked.go.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    await pipeline.close_spider()
    assert loaded(database_url) == ["a", "b", "c", "d"]
    assert [[item.user for item in batch] for batch in blocked.batches] == [["a"], ["b", "c", "d"]]


async def test_the_order_of_pages_and_admissions_is_kept(pipeline, monkeypatch):
    blocked = BlockedSink(monkeypatch)
    blocked.go.set()
    items = [page("a"), admission("a"), page("b"), admission("b")]
    for item in items:
        await pipeline.process_item(item)
    await pipeline.close_spider()
    assert [item for batch in blocked.batches for item in batch] == items


async def test_closing_loads_what_is_left_without_waiting_for_the_second(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 60)
    await pipeline.process_item(page("a"))
    await asyncio.wait_for(pipeline.close_spider(), 5)
    assert loaded(database_url) == ["a"]


async def test_closing_loads_what_is_behind_a_batch_that_loads(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 0.01)
    blocked = BlockedSink(monkeypatch)
    await pipeline.process_item(page("a"))
    await soon(blocked.loading)
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 60)
    await pipeline.process_item(page("b"))
    closing = asyncio.create_task(pipeline.close_spider())
    await asyncio.sleep(0.1)
    assert not closing.done()
    blocked.go.set()
    await asyncio.wait_for(closing, 5)
    assert loaded(database_url) == ["a", "b"]


async def test_closing_when_there_is_nothing(pipeline):
    await asyncio.wait_for(pipeline.close_spider(), 5)
    assert stat(pipeline, "pages_loaded") == 0


async def test_the_loop_goes_on_while_a_batch_loads(pipeline, monkeypatch):
    blocked = BlockedSink(monkeypatch)
    threading.Timer(0.5, blocked.go.set).start()
    await pipeline.process_item(page("a"))
    closing, ticks = asyncio.create_task(pipeline.close_spider()), 0
    while not closing.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10


async def test_skipped_rows_are_counted_by_reason(pipeline):
    await pipeline.process_item(page("a", received=5, skipped={"no name": 3, "repeated": 1}))
    await pipeline.process_item(page("b", received=3, skipped={"no name": 2}))
    await pipeline.process_item(page("c"))
    await pipeline.close_spider()
    counted = {k: v for k, v in pipeline._crawler.stats.get_stats().items() if "skipped" in k}
    assert counted == {"lastfm_crawl/skipped/no name": 5, "lastfm_crawl/skipped/repeated": 1}
    assert stat(pipeline, "pages_loaded") == 3


async def test_ids_of_a_committed_batch_are_kept(pipeline, database_url):
    await pipeline.process_item(page("a", rows=3))
    await pipeline.close_spider()
    pipeline._sink._catalogue.artists.begin()  # forgets what was not committed
    assert pipeline._sink._catalogue.artists.missing([f"artist {n}" for n in range(4)]) == ["artist 3"]


# --- what is refused ---------------------------------------------------------------------------------------------


def refuse(monkeypatch, user, error):
    """Let the sink refuse every batch with a page of *user*; returns the sizes of all batches."""
    sizes = []
    real = PostgresSink.load

    def load(sink, connection, items):
        sizes.append(len(items))
        real(sink, connection, items)
        if any(getattr(item, "user", None) == user for item in items):
            raise error

    monkeypatch.setattr(PostgresSink, "load", load)
    return sizes


async def test_a_bad_page_does_not_cost_the_others(pipeline, database_url, monkeypatch, caplog):
    sizes = refuse(monkeypatch, "bad", psycopg.DataError("no such thing\nDETAIL: a thousand rows"))
    for user in ["a", "bad", "b"]:
        await pipeline.process_item(page(user, received=2, skipped={"no name": 1}))
    await pipeline.process_item(admission("c"))
    await pipeline.close_spider()
    assert sizes == [4, 1, 1, 1, 1]
    assert loaded(database_url) == ["a", "b"]
    assert rows(database_url, "SELECT username FROM lastfm_users") == [("c",)]
    assert (stat(pipeline, "pages_loaded"), stat(pipeline, "not_loaded"), stat(pipeline, "skipped/no name")) == (
        2,
        1,
        2,
    )
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["<TopArtistsPage 'bad' 1/1, 2 rows> was refused by the warehouse: no such thing"]
    assert pipeline._crawler.engine.reasons == []


async def test_loading_goes_on_after_a_refusal(pipeline, database_url, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_SECONDS", 0.01)
    refuse(monkeypatch, "bad", psycopg.DataError("no"))
    await pipeline.process_item(page("bad"))
    await soon(lambda: stat(pipeline, "not_loaded") == 1)
    await pipeline.process_item(page("a"))
    await soon(lambda: loaded(database_url) == ["a"])


async def test_a_page_that_postgresql_itself_refuses(pipeline, database_url):
    bad = FriendsPage(
        method="user.getFriends", user="bad", params="limit=500", fetched_at=NOW, received=1,
        friends=(Profile("x", playcount=2**70),),
    )  # fmt: skip
    for item in [page("a"), bad, page("b")]:
        await pipeline.process_item(item)
    await pipeline.close_spider()
    assert loaded(database_url) == ["a", "b"]
    assert (stat(pipeline, "pages_loaded"), stat(pipeline, "not_loaded")) == (2, 1)
    assert rows(database_url, "SELECT count(*) FROM users WHERE key = 'x'") == [(0,)]


async def test_an_error_without_a_text(pipeline, database_url, monkeypatch):
    refuse(monkeypatch, "bad", psycopg.DataError())
    await pipeline.process_item(page("bad"))
    await pipeline.process_item(page("a"))
    await pipeline.close_spider()
    assert (loaded(database_url), stat(pipeline, "not_loaded")) == (["a"], 1)


HOSTILE = {
    "a registration in the year 33658": Profile("bad", registered_at=10**12),
    "a registration beyond all numbers": Profile("bad", registered_at=10**20),
    "half a surrogate pair": Profile("bad", realname="\ud800"),
    "a number beyond bigint": Profile("bad", playcount=2**63),
    "a NUL": Profile("bad", realname="a\0b"),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(what) for what in HOSTILE],
)
async def test_a_hostile_profile_costs_no_other_page(pipeline, database_url, what):
    bad = ProfilePage(method="user.getInfo", user="bad", params="", received=1, fetched_at=NOW, profile=HOSTILE[what])
    for item in [page("a"), bad, page("b")]:
        await asyncio.wait_for(pipeline.process_item(item), 5)
    await asyncio.wait_for(pipeline.close_spider(), 5)
    assert [user for user in loaded(database_url) if user != "bad"] == ["a", "b"]
    assert stat(pipeline, "pages_loaded") + stat(pipeline, "not_loaded") == 3


async def test_nobody_waits_for_a_loader_that_died(pipeline, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_ROWS", 10)
    refuse(monkeypatch, "bad", ValueError("year 33658 is out of range"))
    await asyncio.wait_for(pipeline.process_item(page("bad", rows=10)), 5)
    await soon(lambda: pipeline._loader is None or pipeline._loader.done())
    try:
        await asyncio.wait_for(pipeline.process_item(page("a", rows=10)), 0.5)
        await asyncio.wait_for(pipeline.close_spider(), 5)
    finally:
        if pipeline._loader:
            pipeline._loader.exception()
    assert stat(pipeline, "not_loaded") == 1


# --- no warehouse ------------------------------------------------------------------------------------------------


def take_away(pipeline, monkeypatch):
    """The server is gone, and every attempt to get it back fails."""
    database = pipeline._warehouse.database

    def fail():
        raise psycopg.OperationalError("connection refused")

    database._drop()
    monkeypatch.setattr(database, "_connect", fail)


async def test_a_run_without_a_warehouse_is_not_begun(tmp_path, unused_tcp_port, caplog):
    url = f"postgresql://user:s3cretcanary@127.0.0.1:{unused_tcp_port}/name"
    crawler = crawler_with(DATABASE_URL=url, DATA_DIR=str(tmp_path))
    pipeline = LoadPipeline.from_crawler(crawler)
    with pytest.raises(CloseSpider) as caught:
        await pipeline.open_spider()
    assert caught.value.reason == "warehouse_unavailable"
    assert crawler.stats.get_value("lastfm_crawl/stopped").startswith("the warehouse cannot be used: ")
    assert [r.levelname for r in caplog.records if r.name == load_module.__name__] == ["CRITICAL"]
    assert "s3cretcanary" not in caplog.text
    assert await asyncio.wait_for(pipeline.process_item(page()), 5) == page()
    await asyncio.wait_for(pipeline.close_spider(), 5)
    await Warehouse.of(crawler).close()


async def test_a_warehouse_that_is_gone_stops_the_run(pipeline, database_url, monkeypatch, caplog):
    await pipeline.process_item(page("a"))
    await pipeline.process_item(page("b"))
    await pipeline.process_item(admission("a"))
    take_away(pipeline, monkeypatch)
    await asyncio.wait_for(pipeline.close_spider(), 5)
    await asyncio.sleep(0)
    assert pipeline._crawler.engine.reasons == ["warehouse_unavailable"]
    assert (stat(pipeline, "pages_loaded"), stat(pipeline, "not_loaded")) == (0, 3)
    assert "run again to load it" in pipeline._crawler.stats.get_value("lastfm_crawl/stopped")
    assert sum(record.levelno == logging.CRITICAL for record in caplog.records) == 1
    assert loaded(database_url) == []


async def test_nobody_waits_for_a_warehouse_that_is_gone(pipeline, monkeypatch):
    monkeypatch.setattr(load_module, "BATCH_ROWS", 10)
    blocked = BlockedSink(monkeypatch, WarehouseUnavailableError("gone"))
    await pipeline.process_item(page("a", rows=10))
    await soon(blocked.loading)
    waiting = asyncio.create_task(pipeline.process_item(page("b", rows=10)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    blocked.go.set()
    await asyncio.wait_for(waiting, 5)
    await soon(lambda: stat(pipeline, "not_loaded") == 2)
    for user in "cdef":  # nothing more is taken
        await asyncio.wait_for(pipeline.process_item(page(user, rows=10)), 5)
    await asyncio.wait_for(pipeline.close_spider(), 5)
    assert (pipeline._batch, stat(pipeline, "not_loaded")) == ([], 2)
    assert pipeline._crawler.engine.reasons == ["warehouse_unavailable"]


async def test_a_short_loss_costs_nothing(pipeline, database_url):
    await pipeline.process_item(page("a"))
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'lastfm_crawl' AND datname = current_database()"
        )
    await pipeline.close_spider()
    assert (loaded(database_url), stat(pipeline, "pages_loaded"), stat(pipeline, "not_loaded")) == (["a"], 1, 0)
    assert pipeline._crawler.engine.reasons == []


async def test_a_warehouse_that_became_read_only_stops_the_run(pipeline, database_url):
    await pipeline._warehouse.run(lambda connection: connection.execute("SET default_transaction_read_only = on"))
    for user in "abc":
        await pipeline.process_item(page(user))
    await pipeline.close_spider()
    await asyncio.sleep(0)
    assert pipeline._crawler.engine.reasons == ["warehouse_unavailable"]


async def test_batches_are_timed(pipeline):
    await pipeline.process_item(page("a"))
    await pipeline.process_item(page("b"))
    await pipeline.close_spider()
    assert stat(pipeline, "batches") == 1
    assert 0 <= stat(pipeline, "batch_ms") == stat(pipeline, "batch_ms_max")


async def test_a_connection_that_comes_back_keeps_forgetting_out(pipeline, database_url):
    """`scrapy forget` waits for runs by a lock of their connections, which goes with each."""
    assert rows(database_url, LOCKED) == [(1,)]
    warehouse = Warehouse.of(pipeline._crawler)
    lost = await warehouse.run(lambda connection: connection.info.backend_pid)
    assert rows(database_url, f"SELECT pg_terminate_backend({lost}, 5000)") == [(True,)]
    with psycopg.connect(database_url) as connection:
        tombstone = Tombstone.of("Zoë", "ab" * 32)
        connection.execute("INSERT INTO forgotten VALUES (%s, %s)", list(tombstone))
    assert await warehouse.run(lambda connection: connection.info.backend_pid) != lost
    assert rows(database_url, LOCKED) == [(1,)]
    assert "zoë" in warehouse.forgotten
    await pipeline.close_spider()
