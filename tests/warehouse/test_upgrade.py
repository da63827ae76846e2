"""The embedded PostgreSQL's data on their way to a newer PostgreSQL: whole on one side or on the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from rows_of_levels import everything, fill

from benchmarks import musicbrainz
from lastfm_crawl.warehouse import backup
from lastfm_crawl.warehouse import migrate as migrate_module
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, EmbeddedPostgresError, clients
from lastfm_crawl.warehouse.migrate import migrate

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

ROOT = Path(__file__).parent.parent.parent
LEVELS = sorted(path.stem for path in migrate_module.FOLDER.glob("*.sql"))
NEWEST = max(clients())
BINARIES = EmbeddedPostgres._binaries


class Old(EmbeddedPostgres):
    """One of the time when the wheel had nothing newer than its oldest PostgreSQL."""

    _initdb = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")

    def _binaries(self):
        found = super()._binaries()
        return {min(found): found[min(found)]}


def made_by(server):
    """A folder with a warehouse that has rows everywhere, and what they are."""
    with server as url:
        migrate(url)
        with psycopg.connect(url) as connection:
            fill(connection, LEVELS)
        return everything(url)


def version(folder):
    return int((folder / "server" / "cluster" / "PG_VERSION").read_text())


def holds(folder, rows):
    """Start it; whether the rows are those."""
    with EmbeddedPostgres(folder) as url:
        return everything(url) == rows


def is_tidy(folder):
    assert {path.name for path in (folder / "server").iterdir()} <= {"cluster", "log", "log.1"}
    assert not (folder / "upgrade.dump").exists()
    return not [p for p in psutil.process_iter(["cwd"]) if str((folder / "server").resolve()) in (p.info["cwd"] or "")]


@pytest.fixture
def folder(tmp_path):
    if min(clients()) == NEWEST:
        pytest.skip("needs two versions of PostgreSQL in the wheel")
    path = tmp_path / "postgres"
    yield path
    EmbeddedPostgres(path).remove()


def test_an_old_one_runs_on_until_it_is_upgraded(folder):
    rows = made_by(Old(folder))
    assert holds(folder, rows)
    assert version(folder) < NEWEST
    steps = []
    assert backup.upgrade(folder, lambda: steps.append(1)) == (min(clients()), NEWEST)
    assert steps
    assert version(folder) == NEWEST
    assert is_tidy(folder)
    assert holds(folder, rows)
    assert backup.upgrade(folder) == (NEWEST, NEWEST)
    assert holds(folder, rows)


def test_what_cannot_be_upgraded_stays_as_it_is(folder, monkeypatch):
    rows = made_by(Old(folder))
    with EmbeddedPostgres(folder), pytest.raises(EmbeddedPostgresError, match="in use: end the processes"):
        backup.upgrade(folder)  # of this process, but users are counted, not processes
    with EmbeddedPostgres(folder) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mine")
    with pytest.raises(backup.BackupError, match=r"other databases \(mine\): `upgrade --by FILE` sets all of it aside"):
        backup.upgrade(folder)
    with EmbeddedPostgres(folder) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE mine")
    # The new one cannot be filled.
    with monkeypatch.context() as patch:
        patch.setattr(backup, "restore", lambda *_: (_ for _ in ()).throw(backup.BackupError("disk full")))
        with pytest.raises(backup.BackupError):
            backup.upgrade(folder)
    assert holds(folder, rows)
    assert is_tidy(folder)


@pytest.mark.slow
def test_whenever_it_is_killed_one_of_them_is_whole(folder):
    rows = made_by(Old(folder))
    # The process dies while the new server runs.
    code = (
        "import os, sys; from pathlib import Path; from lastfm_crawl.warehouse import backup\n"
        "backup.restore = lambda *_: os._exit(9)\nbackup.upgrade(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 9
    assert list((folder / "server").glob("init-*"))
    assert holds(folder, rows)
    assert version(folder) < NEWEST
    (folder / "upgrade.dump").unlink()  # the next upgrade does it, too
    assert is_tidy(folder)
    # It dies when the old one has given way, and the new one is not there yet.
    server = folder / "server"
    (server / "cluster").rename(server / "old")
    assert holds(folder, rows)
    assert version(folder) < NEWEST
    # It dies when the new one is there.
    (server / "old").mkdir()
    (server / "old" / "PG_VERSION").write_text("16\n")
    backup.upgrade(folder)
    assert holds(folder, rows)
    assert version(folder) == NEWEST
    assert is_tidy(folder)


def test_one_that_no_program_can_read(folder):
    rows = made_by(Old(folder))
    path = folder / "server" / "cluster" / "PG_VERSION"
    before = path.read_text()
    for text, advice in (("12\n", "`scrapy warehouse upgrade --by replay`"), ("99\n", "install a newer pixeltable")):
        path.write_text(text)
        with pytest.raises(
            EmbeddedPostgresError, match=f"made by PostgreSQL {text.strip()}, but .* has 16 and 18: {advice}"
        ):
            backup.upgrade(folder)
    aside = EmbeddedPostgres(folder).set_aside()
    assert aside.name.startswith("postgres-99-")
    assert not folder.exists()
    with EmbeddedPostgres(folder) as url:
        assert backup.is_empty(url)
    with pytest.raises(EmbeddedPostgresError, match="in use"), EmbeddedPostgres(folder):
        EmbeddedPostgres(folder).set_aside()
    (aside / "server" / "cluster" / "PG_VERSION").write_text(before)
    assert holds(aside, rows)
    EmbeddedPostgres(aside).remove()


def test_nothing_to_upgrade(folder):
    folder.mkdir()
    with pytest.raises(EmbeddedPostgresError, match="nothing to upgrade"):
        backup.upgrade(folder)
    with pytest.raises(EmbeddedPostgresError, match="nothing to set aside"):
        EmbeddedPostgres(folder).set_aside()


@pytest.mark.slow
def test_from_debians(folder, monkeypatch):
    """A version that the wheel never had, without pgvector: what is an array there stays one."""
    debian = dict(musicbrainz._installed())
    if not debian or max(debian) >= NEWEST:
        pytest.skip("needs Debian's PostgreSQL, older than the wheel's")
    rows = made_by(musicbrainz.DebianPostgres(folder))
    monkeypatch.setattr(EmbeddedPostgres, "_binaries", lambda self: {**debian, **BINARIES(self)})
    assert backup.upgrade(folder) == (max(debian), NEWEST)
    assert holds(folder, rows)
    # The way back is none: said before anything is done.
    file = folder.parent / "b.dump"
    with EmbeddedPostgres(folder) as url:
        backup.back_up(url, file)
    with musicbrainz.DebianPostgres(folder.parent / "debian") as url:
        with pytest.raises(ValueError, match=f"is of PostgreSQL {NEWEST}, and needs that or a newer one"):
            backup.restore(url, file)
        # But one of its own comes back to it, also by the wheel's programs.
        migrate(url)
        file.unlink()
        backup.back_up(url, file)
        backup.restore(url, file)
    musicbrainz.DebianPostgres(folder.parent / "debian").remove()
