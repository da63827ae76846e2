"""The connection to the warehouse: migrations, losses, and what is said when there is no way to it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from scrapy import signals
from scrapy.utils.test import get_crawler

from lastfm_crawl.warehouse import database as database_module
from lastfm_crawl.warehouse import migrate as migrate_module
from lastfm_crawl.warehouse.database import Database, Warehouse, WarehouseUnavailableError, check_url
from lastfm_crawl.warehouse.migrate import migrate

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "s3cretcanary"
DELAYS = (0.02, 0.04, 0.06)


@pytest.fixture
def database_url(empty_database_url):
    """Here tables are made."""
    return empty_database_url


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", DELAYS)


@pytest.fixture
def database(database_url):
    """An open one."""
    database = Database(database_url, Path())
    database.open()
    yield database
    database.close()


def rows(url, statement):
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def terminate(url, pid):
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def elsewhere(url, **parts):
    """*url* with other parts and the password that nobody may see."""
    return make_conninfo(url, **({"password": PASSWORD, "connect_timeout": 2} | parts))


def everything_said(exc, caplog):
    """The error, its traceback with all causes, and the log."""
    return "\n".join([repr(exc), *traceback.format_exception(exc), caplog.text])


# --- migrations --------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_migrations(tmp_path):
    """The project's migrations and one that takes its time."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate_module.FOLDER, folder)
    (folder / "9000.slow.sql").write_text(
        "CREATE TABLE slow (n int);\nSELECT pg_sleep(1);\nINSERT INTO slow VALUES (1);"
    )
    return folder


def start_migrating(folder, url):
    code = (
        "import pathlib, sys; from lastfm_crawl.warehouse import migrate;"
        "migrate.FOLDER = pathlib.Path(sys.argv[1]); migrate.migrate(sys.argv[2])"
    )
    words = [sys.executable, "-c", code, str(folder), url]
    return subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_migrations_are_applied_once(database_url):
    migrate(database_url)
    applied = rows(database_url, "SELECT migration_id, applied_at_utc FROM _yoyo_migration ORDER BY 1")
    assert [name for name, _ in applied] == sorted(path.stem for path in migrate_module.FOLDER.glob("*.sql"))
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO artists (name) VALUES ('Cher')")
    migrate(database_url)
    assert rows(database_url, "SELECT migration_id, applied_at_utc FROM _yoyo_migration ORDER BY 1") == applied
    assert rows(database_url, "SELECT name FROM artists") == [("Cher",)]
    assert rows(database_url, "SELECT * FROM yoyo_lock") == []


def test_several_processes_migrate_at_once(database_url, slow_migrations):
    processes = [start_migrating(slow_migrations, database_url) for _ in range(4)]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 4
    assert rows(database_url, "SELECT * FROM slow") == [(1,)]
    assert rows(database_url, "SELECT count(*) FROM _yoyo_migration WHERE migration_id = '9000.slow'") == [(1,)]


def test_a_migration_that_was_killed_is_done_again(database_url, slow_migrations, monkeypatch):
    process = start_migrating(slow_migrations, database_url)
    while not rows(
        database_url, "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)%' AND pid <> pg_backend_pid()"
    ):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(rows(database_url, "SELECT * FROM yoyo_lock")) == 1
    monkeypatch.setattr(migrate_module, "FOLDER", slow_migrations)
    migrate(database_url)
    assert rows(database_url, "SELECT * FROM slow") == [(1,)]
    assert rows(database_url, "SELECT * FROM yoyo_lock") == []


def test_a_migration_that_fails_leaves_nothing_and_is_an_unusable_warehouse(database_url, tmp_path, monkeypatch):
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001.bad.sql").write_text("CREATE TABLE half (n int);\nSELECT no_such_function();")
    monkeypatch.setattr(migrate_module, "FOLDER", folder)
    error = no_way(database_url)
    assert "no_such_function" in str(error)
    assert "\n" not in str(error)
    assert rows(database_url, "SELECT to_regclass('half'), (SELECT count(*) FROM _yoyo_migration)") == [(None, 0)]
    assert rows(database_url, "SELECT * FROM yoyo_lock") == []


# --- losses ------------------------------------------------------------------------------------------------------


def test_work_is_one_transaction(database, database_url):
    def work(connection, *names, last):
        for name in (*names, last):
            connection.execute("INSERT INTO artists (name) VALUES (%s)", [name])
        assert rows(database_url, "SELECT * FROM artists") == []
        return len(names)

    assert database.run(work, "a", "b", last="c") == 2
    assert rows(database_url, "SELECT name FROM artists ORDER BY 1") == [("a",), ("b",), ("c",)]


def test_work_that_fails_leaves_nothing_and_is_not_done_again(database, database_url):
    tries = []

    def work(connection):
        tries.append(1)
        connection.execute("INSERT INTO artists (name) VALUES ('a')")
        connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.DataError):
        database.run(work)
    assert tries == [1]
    assert rows(database_url, "SELECT * FROM artists") == []
    assert database.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


@pytest.mark.parametrize("losses", [1, len(DELAYS)])
@pytest.mark.parametrize("at_commit", [False, True])
def test_work_on_a_lost_connection_is_done_again_and_once_in_effect(database, database_url, losses, at_commit, caplog):
    tries = []

    def work(connection):
        tries.append(connection.info.backend_pid)
        connection.execute("INSERT INTO artists (name) VALUES (%s)", [f"try {len(tries)}"])
        if len(tries) <= losses:
            terminate(database_url, tries[-1])
            if not at_commit:
                connection.execute("SELECT 1")
        return len(tries)

    with caplog.at_level(logging.WARNING):
        assert database.run(work) == losses + 1
    assert len(set(tries)) == losses + 1
    assert rows(database_url, "SELECT name FROM artists") == [(f"try {losses + 1}",)]
    warnings = [r.getMessage() for r in caplog.records if r.name == database_module.__name__]
    assert [f"trying again in {delay} s" in line for delay, line in zip(DELAYS, warnings, strict=False)] == [
        True
    ] * losses
    assert not any("\n" in line for line in warnings)


def test_a_connection_lost_between_two_works(database, database_url):
    pid = database.run(lambda connection: connection.info.backend_pid)
    terminate(database_url, pid)
    assert database.run(lambda connection: connection.info.backend_pid) != pid


def test_a_server_that_stays_away(database, database_url, unused_tcp_port, caplog):
    database.conninfo = elsewhere(database_url, host="127.0.0.1", port=unused_tcp_port)
    pid = database.run(lambda connection: connection.info.backend_pid)
    terminate(database_url, pid)
    before = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(WarehouseUnavailableError) as caught:
        database.run(lambda connection: connection.execute("SELECT 1"))
    assert sum(DELAYS) <= time.monotonic() - before < sum(DELAYS) + 5
    assert sum("trying again" in record.getMessage() for record in caplog.records) == len(DELAYS)
    text = str(caught.value)
    assert "\n" not in text
    assert str(unused_tcp_port) in text
    assert PASSWORD not in everything_said(caught.value, caplog)


def test_a_server_that_comes_back_in_time(database, database_url, unused_tcp_port, monkeypatch):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", (0.1,) * 20)
    terminate(database_url, database.run(lambda connection: connection.info.backend_pid))
    database.conninfo = elsewhere(database_url, host="127.0.0.1", port=unused_tcp_port)
    back = threading.Timer(0.5, setattr, [database, "conninfo", database_url])
    back.start()
    assert database.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
    back.join()


def test_a_full_disk_is_not_waited_for(database):
    tries = []

    def work(_):
        tries.append(1)
        raise psycopg.errors.DiskFull("could not extend file: No space left on device\nHINT: free some")

    with pytest.raises(WarehouseUnavailableError) as caught:
        database.run(work)
    assert tries == [1]
    assert str(caught.value) == "could not extend file: No space left on device; HINT: free some"


def test_a_server_that_became_read_only_is_no_warehouse(database):
    def work(connection):
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("INSERT INTO artists (name) VALUES ('a')")

    with pytest.raises(WarehouseUnavailableError):
        database.run(work)


def test_a_closed_database_can_be_closed_again(database):
    database.close()
    database.close()
    assert database.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)  # comes back


# --- no way to it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:pw@host:5432/name",
        "postgres://host/name?sslmode=require",
        "postgresql:///name?host=/var/run/postgresql",
        "postgresql://user@%2Fvar%2Frun/name",
        "host=/tmp dbname=name user='a b'",
        "postgresql://user@[::1]:5432/name",
    ],
)
def test_what_libpq_takes_is_a_url(url):
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{PASSWORD}@host/name",
        f"https://user:{PASSWORD}@host/name",
        f"user:{PASSWORD}@host/name",
        f"postgresql://user:{PASSWORD}@[::1/name",
        f"postgresql://user:{PASSWORD}%zz@host/name",
        f"postgresql://user:{PASSWORD}@host/name?no_such_option=1",
        f"host='unclosed password={PASSWORD}",
        "nonsense",
    ],
)
def test_what_is_no_url_is_said_without_it(url):
    with pytest.raises(ValueError, match=r"^DATABASE_URL is not") as caught:
        check_url(url)
    said = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in said
    assert "\n" not in str(caught.value)


def as_url(conninfo, **parts):
    """A URL, as users write it, for a server that listens in a folder."""
    known = conninfo_to_dict(conninfo) | parts
    return make_conninfo(
        f"postgresql://lastfm:{PASSWORD}@/{known['dbname']}", host=known["host"], port=known.get("port")
    )


def recorded_connections(patch):
    """Every connection that is made from now on."""
    connections = []
    connect = psycopg.connect

    def record(*args, **kwargs):
        connections.append(connect(*args, **kwargs))
        return connections[-1]

    patch.setattr(psycopg, "connect", record)
    return connections


def no_way(url):
    """The error of open() with *url*."""
    database = Database(url, Path())
    with pytest.MonkeyPatch.context() as patch:
        connections = recorded_connections(patch)
        with pytest.raises(WarehouseUnavailableError) as caught:
            database.open()
    database.close()
    for connection in connections:  # see test_an_unusable_warehouse_keeps_no_connection
        connection.close()
    return caught.value


def test_a_wrong_password(database_url, caplog):
    error = no_way(as_url(database_url))
    assert "password authentication failed" in str(error)
    assert PASSWORD not in everything_said(error, caplog)
    assert "\n" not in str(error)


def test_nobody_listens(unused_tcp_port, caplog):
    error = no_way(f"postgresql://user:{PASSWORD}@127.0.0.1:{unused_tcp_port}/name")
    assert "refused" in str(error)
    assert PASSWORD not in everything_said(error, caplog)
    assert "\n" not in str(error)


def test_an_unknown_host(caplog):
    error = no_way(f"postgresql://user:{PASSWORD}@no-such-host.invalid/name")
    assert "no-such-host.invalid" in str(error)
    assert PASSWORD not in everything_said(error, caplog)
    assert "\n" not in str(error)


def test_a_missing_database(database_url, caplog):
    error = no_way(make_conninfo(database_url, dbname="not_there"))
    assert 'database "not_there" does not exist' in str(error)
    assert "\n" not in str(error)


def test_a_missing_socket(tmp_path, caplog):
    error = no_way(f"postgresql://user:{PASSWORD}@/name?host={tmp_path}")
    assert str(tmp_path) in str(error)
    assert PASSWORD not in everything_said(error, caplog)


def test_a_server_that_talks_something_else(caplog):
    """One that hangs up on us, as a web server does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            peer, _ = server.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = no_way(f"postgresql://user:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/name?sslmode=disable")
        thread.join()
    assert PASSWORD not in everything_said(error, caplog)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "password",
    [
        f"{PASSWORD}/2",
        f"2/{PASSWORD}",
        pytest.param(f"2@{PASSWORD}"),
        f"{PASSWORD}@2",
        f"2#{PASSWORD}",
    ],
)
def test_a_password_that_was_not_encoded_is_in_no_error(password, caplog):
    url = f"postgresql://user:{password}@localhost:1/name"
    try:
        check_url(url)
    except ValueError as exc:
        error = exc
    else:
        error = no_way(url)
    assert PASSWORD not in everything_said(error, caplog)


def test_a_url_that_was_never_checked_is_not_quoted(caplog):
    error = no_way(f"mysql://user:{PASSWORD}@host/name")
    assert PASSWORD not in everything_said(error, caplog)


def test_an_unusable_warehouse_keeps_no_connection(database_url, monkeypatch):
    def fail(_):
        raise psycopg.errors.InsufficientPrivilege("permission denied")

    monkeypatch.setattr(database_module, "migrate", fail)
    connections = recorded_connections(monkeypatch)
    with pytest.raises(WarehouseUnavailableError):
        Database(database_url, Path()).open()
    still_open = [connection for connection in connections if not connection.closed]
    for connection in still_open:
        connection.close()
    assert len(connections) == 1
    assert not still_open


def test_an_old_server(database_url, monkeypatch):
    monkeypatch.setattr(database_module, "_OLDEST_VERSION", 990_000)
    assert str(no_way(database_url)) == "PostgreSQL 14 or newer is needed"
    assert rows(database_url, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lastfm_crawl'") == [(0,)]


def test_a_user_who_may_not_create_tables(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
        try:
            error = no_way(make_conninfo(database_url, user="guest", password=PASSWORD))
        finally:
            connection.execute("DROP ROLE guest")
    assert "permission denied" in str(error)
    assert "\n" not in str(error)


# --- the warehouse of a crawler ----------------------------------------------------------------------------------


@pytest.fixture
def crawler(database_url, tmp_path):
    return get_crawler(settings_dict={"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path)})


def count_opens(monkeypatch, then=lambda: None):
    opens = []

    def open_it(self):
        opens.append(threading.current_thread().name)
        time.sleep(0.1)
        then()

    monkeypatch.setattr(Database, "open", open_it)
    return opens


async def test_a_crawler_has_one_warehouse(crawler):
    warehouse = Warehouse.of(crawler)
    assert Warehouse.of(crawler) is warehouse
    assert Warehouse.of(get_crawler(settings_dict=dict(crawler.settings))) is not warehouse


async def test_open_connects_once_for_all_who_ask(crawler, monkeypatch):
    opens = count_opens(monkeypatch)
    warehouse = Warehouse.of(crawler)
    await asyncio.gather(*(warehouse.open() for _ in range(5)))
    await warehouse.open()
    assert [name.partition("_")[0] for name in opens] == ["warehouse"]
    await warehouse.close()


async def test_who_gives_up_waiting_does_not_stop_the_others(crawler, monkeypatch):
    opens = count_opens(monkeypatch)
    warehouse = Warehouse.of(crawler)
    first, second = (asyncio.create_task(warehouse.open()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert len(opens) == 1
    assert first.cancelled()
    await warehouse.close()


async def test_all_who_ask_hear_that_there_is_no_warehouse(crawler, monkeypatch):
    def fail():
        raise WarehouseUnavailableError("away")

    opens = count_opens(monkeypatch, fail)
    warehouse = Warehouse.of(crawler)
    heard = await asyncio.gather(*(warehouse.open() for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in heard] == ["away"] * 3
    assert len(opens) == 1
    await warehouse.close()


async def test_run_does_not_block_the_loop(crawler):
    warehouse = Warehouse.of(crawler)
    await warehouse.open()
    work = asyncio.create_task(warehouse.run(lambda connection: connection.execute("SELECT pg_sleep(0.5)").fetchone()))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    await warehouse.close()


async def test_runs_are_served_one_after_another(crawler):
    warehouse = Warehouse.of(crawler)
    await warehouse.open()
    busy, order = [], []

    def work(connection, number, *, pause):
        assert not busy
        busy.append(number)
        connection.execute("SELECT pg_sleep(%s)", [pause])
        busy.pop()
        order.append(number)
        return number

    pauses = [0.1, 0.0, 0.05]
    answers = await asyncio.gather(*(warehouse.run(work, n, pause=pause) for n, pause in enumerate(pauses)))
    assert answers == order == [0, 1, 2]
    await warehouse.close()


async def test_what_work_raises_reaches_who_asked(crawler):
    warehouse = Warehouse.of(crawler)
    await warehouse.open()
    with pytest.raises(psycopg.errors.UndefinedTable):
        await warehouse.run(lambda connection: connection.execute("SELECT * FROM no_such_table"))
    assert await warehouse.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
    await warehouse.close()


async def test_the_warehouse_closes_when_the_engine_stopped(crawler, database_url):
    warehouse = Warehouse.of(crawler)
    await warehouse.open()
    ours = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lastfm_crawl' AND datname = current_database()"
    )
    assert rows(database_url, ours) == [(1,)]
    await crawler.signals.send_catch_log_async(signals.engine_stopped)
    deadline = time.monotonic() + 5
    while rows(database_url, ours) != [(0,)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_close_waits_for_the_work_before_it(crawler):
    warehouse = Warehouse.of(crawler)
    await warehouse.open()
    work = asyncio.create_task(warehouse.run(lambda connection: connection.execute("SELECT pg_sleep(0.2)").rowcount))
    await asyncio.sleep(0.05)
    await warehouse.close()
    assert await work == 1
