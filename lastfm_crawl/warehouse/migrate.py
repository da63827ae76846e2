"""Brings the warehouse's schema up to date with yoyo and the numbered files in ``migrations/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import yoyo
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

FOLDER = Path(__file__).parent / "migrations"
# Any number, the same in every process: the advisory lock of whoever migrates.
_LOCK = 0x1A57F3


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """Yoyo's backend on a libpq connection string: its own URL parser knows neither sockets nor password files."""

    def connect(self, dburi: Any) -> psycopg.Connection:
        return psycopg.connect(dburi.args["conninfo"], autocommit=True)


def migrate(conninfo: str) -> None:
    """Apply what is missing, each migration in a transaction of its own. Raises psycopg.Error."""
    migrations = yoyo.read_migrations(str(FOLDER))
    with psycopg.connect(conninfo, autocommit=True) as connection:
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
                backend.apply_migrations(backend.to_apply(migrations))
        finally:
            backend.connection.close()
