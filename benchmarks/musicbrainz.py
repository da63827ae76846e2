"""A mirror of MusicBrainz's database for tests and benchmarks: Debian's PostgreSQL with contrib, and their own tables.

The wheel of the embedded PostgreSQL has none of the extensions that MusicBrainz's scripts ask for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lastfm_crawl.warehouse.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parent.parent
_PROGRAMS = Path("/usr/lib/postgresql")
_EXTENSIONS = ("cube", "earthdistance", "unaccent", "pg_trgm")
#: In the order of MusicBrainz's own InitDb.pl.
TABLES = ("Extensions", "CreateCollations", "CreateTypes", "CreateTables")
INDEXES = ("CreatePrimaryKeys", "CreateSearchConfiguration", "CreateIndexes")


class DebianPostgres(EmbeddedPostgres):
    """The newest PostgreSQL that Debian has put here, in a cluster as a Debian user has it."""

    _initdb = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")

    def _binaries(self) -> dict[int, Path]:
        return dict(_installed())


def _installed() -> Iterator[tuple[int, Path]]:
    for folder in _PROGRAMS.glob("[0-9]*"):
        contrib = Path("/usr/share/postgresql", folder.name, "extension")
        if (folder / "bin" / "initdb").exists() and all((contrib / f"{name}.control").exists() for name in _EXTENSIONS):
            yield int(folder.name), folder / "bin"


def scripts() -> Path:
    """Where MusicBrainz's SQL is."""
    return Path(os.environ.get("SHARED_DATA", _ROOT.parent / "shared" / "data"), "musicbrainz", "sql")


def lacking() -> str | None:
    """What a mirror cannot be made without here, or None."""
    if not dict(_installed()):
        return f"needs Debian's postgresql and postgresql-contrib in {_PROGRAMS}"
    if not (scripts() / "CreateTables.sql").is_file():
        return f"needs MusicBrainz's SQL in {scripts()} (SHARED_DATA)"
    return None


def create_mirror(server: str, name: str) -> str:
    """The URL of a new database *name* on *server* with MusicBrainz's tables, empty and without their indexes."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'").format(
                sql.Identifier(name)
            )
        )
    url = make_conninfo(server, dbname=name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA musicbrainz")
        run_scripts(connection, TABLES)
    return url


def run_scripts(connection: psycopg.Connection, names: tuple[str, ...]) -> None:
    """Run scripts of MusicBrainz's, which are written for psql."""
    connection.execute("SET search_path = musicbrainz, public")
    for name in names:
        lines = (scripts() / f"{name}.sql").read_text(encoding="utf-8").splitlines()
        connection.execute("\n".join(line for line in lines if not line.startswith("\\")).encode())
