"""The way up: a warehouse of any earlier version is brought up to date with its rows, and a newer one is left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from rows_of_levels import everything, fill, tables

from lastfm_crawl.warehouse import migrate as module
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError
from lastfm_crawl.warehouse.migrate import migrate

ROOT = Path(__file__).parent.parent.parent
LEVELS = sorted(path.stem for path in module.FOLDER.glob("*.sql"))


def at_level(url, level, monkeypatch, tmp_path):
    """Make the warehouse of the time when *level* was the newest migration, with the rows of that time."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    done = LEVELS[: LEVELS.index(level) + 1]
    for name in done:
        shutil.copy(module.FOLDER / f"{name}.sql", folder)
    with monkeypatch.context() as patch:
        patch.setattr(module, "FOLDER", folder)
        migrate(url)
    with psycopg.connect(url) as connection:
        fill(connection, done)


def plain_rows(url, names):
    """The rows of tables as JSON without what later migrations added."""
    with psycopg.connect(url) as connection:
        return {name: [row for (row,) in connection.execute(f"SELECT to_jsonb(t) FROM {name} t")] for name in names}


@pytest.mark.parametrize("level", LEVELS)
def test_every_earlier_warehouse_comes_up_with_its_rows(level, empty_database_url, monkeypatch, tmp_path):
    at_level(empty_database_url, level, monkeypatch, tmp_path)
    with psycopg.connect(empty_database_url) as connection:
        before = plain_rows(empty_database_url, tables(connection))
    migrate(empty_database_url)
    after = plain_rows(empty_database_url, before)
    for name, rows in before.items():
        assert [{column: now[column] for column in row} for row, now in zip(rows, after[name], strict=True)] == rows
    found = everything(empty_database_url)  # every view answers
    assert [row.split(",")[0] for row in found["public.lastfm_users"]] == ["(RJ"]
    assert len(found["public.lastfm_friends"]) == 1
    assert len(found["public.lastfm_user_artists"]) == 2
    # What is not there yet can still be put in, and ids go on.
    with psycopg.connect(empty_database_url) as connection:
        fill(connection, LEVELS[LEVELS.index(level) + 1 :])
        assert connection.execute("INSERT INTO users (key, name) VALUES ('c', 'C') RETURNING id").fetchone() == (3,)
        for name in tables(connection):
            assert connection.execute(f"SELECT EXISTS (SELECT FROM {name})").fetchone() == (True,), name


def test_a_newer_warehouse_is_refused_and_left_as_it_is(database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO _yoyo_migration VALUES ('hash', '9999.from-the-future', now())")
    with pytest.raises(
        WarehouseUnavailableError, match=r"newer version .* \(migration 9999.from-the-future\): update"
    ) as error:
        Database(database_url, Path()).open()
    assert "\n" not in str(error.value)


def test_a_kill_between_a_migration_and_its_mark_leaves_either(empty_database_url, tmp_path):
    (tmp_path / "0001.one.sql").write_text("CREATE TABLE one (n int);")
    code = (
        "import os, pathlib, sys; from lastfm_crawl.warehouse import migrate as m;"
        "m.FOLDER = pathlib.Path(sys.argv[1]);"
        "m._Backend.mark_one = lambda *_, **__: os._exit(9);"
        "m.migrate(sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), empty_database_url], cwd=ROOT, check=False)
    assert done.returncode == 9
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('one')").fetchone() == (None,)
