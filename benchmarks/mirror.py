"""Albums dated a second by a mirror of MusicBrainz's database, by id and by name.

    python -m benchmarks.mirror [--albums 100000] [--names 10000] [--batch 5000]

The mirror has so many releases, each in a release group of its own, of artists that have ten groups each (and one that
has 2,000), in the tables of MusicBrainz's own scripts (SHARED_DATA) on Debian's PostgreSQL. Every album is asked for by
id, in batches: with the table of first dates, without it, and without it and without MusicBrainz's indexes. By name a
part of them is asked for in lower case, one in five with a word too many. At last the spider does all of it, from the
warehouse's list of albums to their years in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks.musicbrainz import INDEXES, DebianPostgres, create_mirror, lacking, run_scripts
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.mirror import dated_releases, open_mirror, similar_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of three words each, out of 300.
_NAME = (
    "initcap(substr(md5(({n} % 300)::text), 1, 6) || ' ' || substr(md5(({n} / 300 % 300)::text), 1, 5) || ' ' || {n})"
)
FILL = (
    "INSERT INTO release_group_primary_type (id, name, gid) VALUES (1, 'Album', gen_random_uuid())",
    "INSERT INTO release_group_secondary_type (id, name, gid) VALUES (1, 'Live', gen_random_uuid())",
    f"""INSERT INTO artist (id, gid, name, sort_name)
    SELECT n, gen_random_uuid(), 'The ' || {_NAME.format(n="n")}, '' FROM generate_series(1, {{albums}} / 10) n""",
    "INSERT INTO artist_credit (id, gid, name, artist_count) SELECT id, gen_random_uuid(), name, 1 FROM artist",
    "INSERT INTO artist_credit_name (artist_credit, position, artist, name) SELECT id, 0, id, name FROM artist",
    f"""INSERT INTO release_group (id, gid, name, artist_credit, type)
    SELECT n, gen_random_uuid(), {_NAME.format(n="n")}, CASE WHEN n <= 2000 THEN 1 ELSE (n - 1) / 10 + 1 END, 1
    FROM generate_series(1, {{albums}}) n""",
    "INSERT INTO release_group_secondary_type_join (release_group, secondary_type) "
    "SELECT id, 1 FROM release_group WHERE id % 10 = 0",
    "INSERT INTO release (id, gid, name, artist_credit, release_group, status) "
    "SELECT id, gen_random_uuid(), name, artist_credit, id, 1 FROM release_group",
    "INSERT INTO release_country (release, country, date_year, date_month) "
    "SELECT id, c, 1950 + id % 70 + c, 1 + id % 12 FROM release, generate_series(1, 2) c",
    "INSERT INTO release_group_meta (id, first_release_date_year, first_release_date_month) "
    "SELECT id, 1951 + id % 70, 1 + id % 12 FROM release_group",
)


def fill(url: str, albums: int) -> None:
    """Invent *albums* albums."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = musicbrainz, public")
        for statement in FILL:
            connection.execute(statement.replace("{albums}", str(albums)).encode())
        connection.execute("ANALYZE")


def by_id(url: str, mbids: Sequence[str], batch: int, label: str) -> None:
    """Ask for all of *mbids*."""
    dated = 0
    with open_mirror(url) as connection:
        began = time.perf_counter()
        for begin in range(0, len(mbids), batch):
            rows = dated_releases(connection, mbids[begin : begin + batch])
            dated += sum(row.group is not None and row.group.year is not None for row in rows)
        seconds = time.perf_counter() - began
    print(f"by id, {label}: {len(mbids):,} in {seconds:.1f} s, {len(mbids) / seconds:,.0f}/s, {dated:,} dated")


def by_name(url: str, names: Sequence[tuple[str, str]], batch: int, label: str) -> None:
    """Ask for all of *names*."""
    found = 0
    with open_mirror(url) as connection:
        began = time.perf_counter()
        for begin in range(0, len(names), batch):
            found += sum(map(bool, similar_groups(connection, names[begin : begin + batch])))
        seconds = time.perf_counter() - began
    print(
        f"by name, {label}: {len(names):,} in {seconds:.1f} s, {len(names) / seconds:,.0f}/s, {found:,} have candidates"
    )


def whole_crawl(server: str, mirror: str, folder: Path) -> None:
    """`scrapy crawl musicbrainz` for a warehouse in which each album of the mirror was played."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE warehouse")
    warehouse = psycopg.conninfo.make_conninfo(server, dbname="warehouse")
    migrate(warehouse)
    with psycopg.connect(mirror) as source, psycopg.connect(warehouse) as target:
        rows = source.execute(
            "SELECT c.name, r.name, r.gid::text FROM musicbrainz.release r"
            " JOIN musicbrainz.artist_credit c ON c.id = r.artist_credit"
        ).fetchall()
        target.execute("CREATE TEMP TABLE played (artist text, title text, mbid text)")
        with target.cursor().copy("COPY played FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        target.execute("INSERT INTO artists (name) SELECT DISTINCT artist FROM played")
        target.execute(
            "INSERT INTO albums (artist_id, name, mbid)"
            " SELECT a.id, title, mbid FROM played JOIN artists a ON name = artist"
        )
    environment = {"DATABASE_URL": warehouse, "MUSICBRAINZ_DATABASE_URL": mirror, "DATA_DIR": str(folder)}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "scrapy", "crawl", "musicbrainz", "-s", "LOG_LEVEL=WARNING"],
        env={**os.environ, **environment}, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    with psycopg.connect(warehouse) as connection:
        (dated,) = connection.execute("SELECT count(year) FROM album_years").fetchone() or (0,)
    print(f"scrapy crawl musicbrainz: {len(rows):,} albums in {seconds:.1f} s (goal 60), {dated:,} dated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--albums", type=int, default=100_000)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=5000)
    options = parser.parse_args()
    if (what := lacking()) is not None:
        raise SystemExit(what)
    with tempfile.TemporaryDirectory() as folder:
        server = DebianPostgres(Path(folder, "server"))
        try:
            url = create_mirror(server.start(), "mirror")
            fill(url, options.albums)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET search_path = musicbrainz, public")
                mbids = [row for (row,) in connection.execute("SELECT gid::text FROM release ORDER BY gid")]
                names = [
                    (artist.lower(), title.lower() if place % 5 else f"{title} Remastered")
                    for place, (artist, title) in enumerate(
                        connection.execute(
                            "SELECT c.name, g.name FROM release_group g JOIN artist_credit c ON c.id = g.artist_credit "
                            "ORDER BY g.gid LIMIT %s",
                            [options.names],
                        )
                    )
                ]
                connection.execute("ALTER TABLE release_group_meta RENAME TO put_away")
                by_id(url, mbids, options.batch, "dates recomputed, no indexes")
                connection.execute("ALTER TABLE put_away RENAME TO release_group_meta")
                run_scripts(connection, INDEXES)
                by_id(url, mbids, options.batch, "with release_group_meta")
                connection.execute("ALTER TABLE release_group_meta RENAME TO put_away")
                by_id(url, mbids, options.batch, "dates recomputed")
                by_name(url, names, 1000, "equal names")
                connection.execute("CREATE EXTENSION pg_trgm WITH SCHEMA public")
                by_name(url, names, 1000, "with pg_trgm")
                connection.execute("ALTER TABLE put_away RENAME TO release_group_meta")
            whole_crawl(psycopg.conninfo.make_conninfo(url, dbname="postgres"), url, Path(folder, "data"))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
