"""Brings the warehouse's schema up to date with yoyo and the numbered files in ``migrations/``."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psycopg
import yoyo
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.resources.abc import Traversable

FOLDER: Traversable = files("lastfm_crawl.warehouse") / "migrations"
# Any number, the same in every process: the advisory lock of whoever migrates.
_LOCK = 0x1A57F3


class NewerSchemaError(ValueError):
    """A newer version of this project made the tables: this one would not do right by them."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """Yoyo's backend on a libpq connection string: its own URL parser knows neither sockets nor password files."""

    def connect(self, dburi: Any) -> psycopg.Connection:
        return psycopg.connect(dburi.args["conninfo"], autocommit=True)

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:  # noqa: ARG002
        """Apply and mark in one transaction: yoyo takes two, and who is killed between them can never migrate again."""
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.log_migration(migration, "apply")
            self.mark_one(migration, log=False)


def refuse_newer(applied: Iterable[str]) -> None:
    """Raise :class:`NewerSchemaError` when one of the *applied* migrations is not among ours."""
    ours = {migration.name.removesuffix(".sql") for migration in FOLDER.iterdir()}
    if unknown := sorted(set(applied) - ours):
        raise NewerSchemaError(f"made by a newer version of lastfm_crawl (migration {unknown[-1]}): update this one")


def migrate(conninfo: str) -> None:
    """Apply what is missing, each migration in a transaction of its own. Raises psycopg.Error and NewerSchemaError."""
    with _on_disk() as folder, psycopg.connect(conninfo, autocommit=True) as connection:
        migrations = yoyo.read_migrations(folder)
        # Held by the session, so it is gone when its process is; yoyo's own lock is a row that outlives a kill.
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        uri = DatabaseURI("postgresql+psycopg", None, None, None, None, "", {"conninfo": conninfo})
        row = connection.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')").fetchone()
        if not row or not row[0]:  # yoyo would only find that its own tables are missing
            raise psycopg.errors.InsufficientPrivilege("permission denied: the user may not create tables")
        backend = _Backend(uri, "_yoyo_migration")
        try:
            backend.create_lock_table()
            backend.break_lock()
            with backend.lock():
                missing = backend.to_apply(migrations)
                refuse_newer(name for (name,) in connection.execute("SELECT migration_id FROM _yoyo_migration"))
                backend.apply_migrations(missing)
        finally:
            backend.connection.close()


@contextmanager
def _on_disk() -> Iterator[str]:
    """A folder with the migrations. In an egg of Scrapyd's they are no files, so there copies are made.

    They keep their names, which are their ids; yoyo's ``package:`` and ``as_file`` put something random before each.
    """
    if isinstance(FOLDER, Path):
        yield str(FOLDER)
        return
    with TemporaryDirectory() as folder:
        for migration in FOLDER.iterdir():
            Path(folder, migration.name).write_bytes(migration.read_bytes())
        yield folder
