"""Backups: what is saved comes back, all of it or nothing, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rows_of_levels import NAME, everything, fill

from lastfm_crawl.warehouse import backup as module
from lastfm_crawl.warehouse import migrate as migrate_module
from lastfm_crawl.warehouse.backup import BackupError, back_up, contents, is_empty, restore
from lastfm_crawl.warehouse.migrate import migrate

ROOT = Path(__file__).parent.parent.parent
LEVELS = sorted(path.stem for path in migrate_module.FOLDER.glob("*.sql"))


@pytest.fixture
def full(database_url):
    """A warehouse with rows in every table: its URL."""
    with psycopg.connect(database_url) as connection:
        fill(connection, LEVELS)
    return database_url


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ä b.dump"


def execute(url, statement):
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def leftovers(url):
    """Databases that are there during a restore."""
    return [name for (name,) in execute(url, "SELECT datname FROM pg_database") if name.startswith(module._OURS)]


def python(code, *words):
    header = "import os, sys; from pathlib import Path; from lastfm_crawl.warehouse import backup\n"
    return subprocess.Popen([sys.executable, "-c", header + code, *map(str, words)], cwd=ROOT)


def test_what_is_saved_comes_back(full, file, empty_database_url):
    before = everything(full)
    steps = []
    tables = back_up(full, file, lambda: steps.append(1))
    assert len(steps) == tables == contents(file).tables
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert is_empty(empty_database_url)
    for _ in range(2):  # also over what a restore has made
        steps.clear()
        restore(empty_database_url, file, lambda: steps.append(1))
        assert len(steps) == tables
        assert everything(empty_database_url) == before
        assert not is_empty(empty_database_url)
    assert leftovers(empty_database_url) == []
    # Ids go on, what is computed is computed, what is checked is checked, what is announced is announced.
    assert execute(empty_database_url, "INSERT INTO artists (name) VALUES ('x') RETURNING id") == [(5,)]
    assert execute(empty_database_url, "INSERT INTO sink_backlog (sink, kind, user_id) VALUES ('bigquery', 'a', 1) "
                   "RETURNING version") == [(3,)]  # fmt: skip
    assert execute(empty_database_url, "UPDATE artist_matches SET score = 0.5 RETURNING round(gap::numeric, 3)")
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(empty_database_url, "UPDATE users SET status = 'gone'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(empty_database_url, f"INSERT INTO artists (name) VALUES ('{NAME.replace(chr(39), chr(39) * 2)}')")
    assert execute(empty_database_url, "SELECT extname FROM pg_extension ORDER BY 1") == [("plpgsql",), ("vector",)]
    migrate(empty_database_url)


def test_a_warehouse_without_rows_is_empty(database_url):
    assert is_empty(database_url)
    execute(database_url, "INSERT INTO artists (name) VALUES ('Cher')")
    assert not is_empty(database_url)


def test_a_backup_of_an_older_version_is_brought_up_to_date(
    empty_database_url, database_url, file, tmp_path, monkeypatch
):
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name in LEVELS[:4]:
        (folder / f"{name}.sql").write_bytes((migrate_module.FOLDER / f"{name}.sql").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "FOLDER", folder)
        migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        fill(connection, LEVELS[:4])
    back_up(empty_database_url, file)
    restore(database_url, file)
    assert execute(database_url, "SELECT count(*) FROM lastfm_scrobbles WHERE augmentation_status = 'pending'") == [
        (2,)
    ]
    with psycopg.connect(database_url) as connection:
        fill(connection, LEVELS[4:])
    # A newer one is not touched, and nothing is made of it.
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "FOLDER", folder)
        file.unlink()
        back_up(database_url, file)
        with pytest.raises(ValueError, match=rf"{file}: made by a newer version of lastfm_crawl \(migration 00"):
            restore(empty_database_url, file)
    assert leftovers(empty_database_url) == []


def test_files_that_are_no_backups(full, file, tmp_path):
    before = everything(full)
    other = tmp_path / "other"
    back_up(full, file)
    with pytest.raises(ValueError, match="is there already"):
        back_up(full, file)
    with pytest.raises(ValueError, match=f"there is no file {other}"):
        restore(full, other)
    other.write_bytes(b"PGDMP but not really")
    with pytest.raises(ValueError, match=r"is no backup of a warehouse \(pg_restore: error: .*\)$"):
        restore(full, other)
    blob = file.read_bytes()
    other.write_bytes(blob[:6] + b"\x63" + blob[7:])
    with pytest.raises(ValueError, match=r"is no backup .* unsupported version \(1\.99\)"):
        restore(full, other)
    other.write_bytes(blob[: len(blob) * 3 // 4])
    with pytest.raises((BackupError, ValueError)):
        restore(full, other)
    # One that reads well until its rows come.
    place = blob.index(b"x\x5e", len(blob) // 2) if b"x\x5e" in blob[len(blob) // 2 :] else len(blob) * 9 // 10
    other.write_bytes(blob[:place] + bytes(200) + blob[place + 200 :])
    with pytest.raises((BackupError, ValueError)) as error:
        restore(full, other)
    assert "\n" not in str(error.value)
    assert everything(full) == before
    assert leftovers(full) == []


def test_a_server_that_wants_tls(full, file):
    message = r"^pg_dump: error: .*SSL support is not compiled in: use the programs of your server, pg_dump --form"
    with pytest.raises(BackupError, match=message):
        module._run("pg_dump", 18, [f"--file={file}"], make_conninfo(full, sslmode="require"), "", lambda: None)


def test_nothing_to_back_up(empty_database_url, file):
    with pytest.raises(ValueError, match="has no tables"):
        back_up(empty_database_url, file)
    assert not file.exists()


def test_a_dump_of_something_else_is_no_backup(empty_database_url, full, file):
    execute(empty_database_url, "CREATE TABLE other (n int)")
    back_up(empty_database_url, file)
    with pytest.raises(ValueError, match=r"is no backup of a warehouse$"):
        restore(full, file)


def test_a_warehouse_in_use_is_not_replaced(full, file):
    back_up(full, file)
    with psycopg.connect(full), pytest.raises(BackupError, match="is in use: end the runs"):
        restore(full, file)
    # Somebody who comes while it is being made is noticed, too.
    guests = []
    with pytest.raises(BackupError, match="is in use: end the runs"):
        restore(full, file, lambda: guests.append(psycopg.connect(full)) if not guests else None)
    guests[0].close()
    assert leftovers(full) == []
    with psycopg.connect(make_conninfo(full, dbname="postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [module._LOCK])
        with pytest.raises(BackupError, match="another restore"):
            restore(full, file)


def backing(url, file):
    """A process that backs up; the URL is not in its arguments."""
    code = (
        "import os, sys; from pathlib import Path; from lastfm_crawl.warehouse import backup\n"
        "try: backup.back_up(os.environ['URL'], Path(sys.argv[1]))\nexcept KeyboardInterrupt: sys.exit(4)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(file)], cwd=ROOT, env={**os.environ, "URL": url})


def pg_dump_of(pid):
    """The child of the process *pid*, when it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children():
            if child.name().startswith("pg_dump"):
                return child
        time.sleep(0.02)
    raise AssertionError("no pg_dump")


def test_a_user_who_may_not_replace_it(full, file):
    back_up(full, file)
    before = everything(full)
    execute(full, "CREATE ROLE guest LOGIN PASSWORD 'pw'; GRANT pg_read_all_data TO guest")
    try:
        guest = make_conninfo(full, user="guest", password="pw", passfile="/dev/null")
        with pytest.raises(BackupError, match=r"may not replace the database .*: that takes its owner, with CREATEDB"):
            restore(guest, file)
        execute(full, "ALTER ROLE guest CREATEDB")
        with pytest.raises(BackupError, match="may not replace"):
            restore(guest, file)
    finally:
        execute(full, "DROP ROLE guest")
    assert everything(full) == before


def test_a_name_as_long_as_can_be(full, file):
    back_up(full, file)
    url = make_conninfo(full, dbname="長" * 21)
    with psycopg.connect(full, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{"長" * 21}"')
        try:
            restore(url, file)
            assert everything(url) == everything(full)
            assert leftovers(full) == []
        finally:
            connection.execute(f'DROP DATABASE "{"長" * 21}"')


def test_a_backup_is_killed(full, file):
    """A lock on a table makes pg_dump wait, with its file begun. Its arguments hold no password."""
    passfile = conninfo_to_dict(full)["passfile"]
    password = Path(passfile).read_text().rpartition(":")[2].strip()
    url = make_conninfo(full, password=password, passfile="/dev/null")
    part = file.with_name(f"{file.name}.part")
    for number, remains in ((signal.SIGKILL, True), (signal.SIGINT, False)):
        with psycopg.connect(full) as connection:
            connection.execute("LOCK TABLE artists")
            process = backing(url, file)
            child = pg_dump_of(process.pid)
            assert password not in " ".join(child.cmdline())
            assert part.exists()
            process.send_signal(number)
            process.wait(20)
        psutil.wait_procs([child], 20)
        assert not file.exists()
        assert part.exists() == remains
    back_up(full, file)  # what was left does no harm
    assert list(file.parent.iterdir()) == [file]


def test_a_restore_is_killed(full, file):
    before = everything(full)
    back_up(full, file)
    code = "backup.migrate = lambda _: os._exit(9); backup.restore(sys.argv[1], Path(sys.argv[2]))"
    assert python(code, full, file).wait(60) == 9
    assert len(leftovers(full)) == 1
    assert everything(full) == before
    restore(full, file)
    assert leftovers(full) == []
    assert everything(full) == before


@pytest.mark.parametrize("name", ["pg_dump", "pg_restore"])
def test_the_disk_is_full(name, full, file, tmp_path, monkeypatch):
    before = everything(full)
    if name == "pg_restore":
        back_up(full, file)
        known = contents(file)
        monkeypatch.setattr(module, "contents", lambda _: known)
    program = tmp_path / "programs" / name
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nfor word; do case "$word" in --file=*) echo half > "${word#--file=}";; esac; done\n'
        f"echo '{name}: error: could not write to file: No space left on device' >&2\necho 'more' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(module, "clients", lambda: {18: program.parent})
    message = rf"^{name}: error: could not write to file: No space left on device: free some disk space$"
    with pytest.raises(BackupError, match=message):
        (restore if name == "pg_restore" else back_up)(full, file)
    assert not list(tmp_path.glob("*.part"))
    assert file.exists() == (name == "pg_restore")
    assert everything(full) == before
    assert leftovers(full) == []


def test_versions_that_do_not_fit(full, file, monkeypatch):
    back_up(full, file)
    known = contents(file)
    with monkeypatch.context() as patch:
        patch.setattr(module, "contents", lambda _: known._replace(major=19))
        with pytest.raises(ValueError, match="is of PostgreSQL 19, and needs that or a newer one: this is 18"):
            restore(full, file)
    found = module.clients()
    monkeypatch.setattr(module, "clients", lambda: {16: found[16]})
    with pytest.raises(
        BackupError, match=r"is PostgreSQL 18, and the pg_dump that is installed is 16: .*own \(pg_dump"
    ):
        back_up(full, file.with_name("other"))
    assert list(file.parent.iterdir()) == [file]
