"""Rows a second from stored answers into PostgreSQL, beside the database alone, the warm cache, and psql's copy.

    python -m benchmarks.replay [--answers 5000] [--rows 200] [--rounds 3] [--workers 2]

All load the same rows on the same server, in turns, in one run; medians. ``replay`` and ``again`` are ``scrapy
replay recent_tracks`` into an empty warehouse and once more; ``upsert`` is psycopg alone, which has the rows in memory:
COPY into a TEMP table, INSERT … SELECT … ON CONFLICT, 100,000 rows a transaction; ``crawl`` is ``scrapy crawl`` over
the warm cache (HTTPCACHE_IGNORE_MISSING); ``copy`` is COPY of a file into a bare table. The time is that from the
spider's opening to its end. Memory is the proportional share (PSS) of all processes of the command, without the server.

Then reading alone, without a database: from the folder, and with 30 ms a read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.standin import USER
from lastfm_crawl.httpcache.envelope import Envelope, encode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.stored import Reader
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lastfm_crawl.httpcache.storage import Storage

ROOT = Path(__file__).parent.parent
STARTED = 1_700_000_000.0
ROWS_A_TRANSACTION = 100_000

#: The window that every listener's page is of.
SINCE, UNTIL = 1_690_000_000, 1_700_000_000
CATALOGUE = 200_000
COLUMNS = "u text, uts integer, artist text, track text, album text"

Row = tuple[str, int, str, str, str]


class Run(NamedTuple):
    """Seconds, and peak memory in MB."""

    seconds: float
    megabytes: float = 0


def names(answers: int) -> list[str]:
    return [f"u{number}" for number in range(answers)]


def _pages(rows: int) -> list[list[tuple[str, str, str, int]]]:
    """Artist, album, track and time of the plays of 64 listeners with tastes in common: newest first."""
    rng = random.Random(1)
    found = []
    for _ in range(64):
        numbers = [int(CATALOGUE * rng.random() ** 3) for _ in range(rows)]
        found.append([
            (f"Artist Number {n % 9973}", f"An Album of {n % 9973}, {n % 7}", f"Track Number {n}", UNTIL - 240 * place)
            for place, n in enumerate(numbers, 1)
        ])  # fmt: skip
    return found


def _body(plays: list[tuple[str, str, str, int]], user: str) -> bytes:
    image = [{"size": size, "#text": f"https://lastfm.freetls.fastly.net/i/u/{size}.png"} for size in "m"]
    rows = [
        {"artist": {"mbid": "a74b1b7f-71a5-4011-9441-d0b5e4122711", "#text": artist}, "streamable": "0",
         "image": image, "mbid": "", "album": {"mbid": "", "#text": album}, "name": track,
         "url": f"https://www.last.fm/music/{quote(artist)}/_/{quote(track)}",
         "date": {"uts": str(uts), "#text": "14 Nov 2023, 22:13"}}
        for artist, album, track, uts in plays
    ]  # fmt: skip
    attr = {"user": user, "totalPages": "1", "page": "1", "perPage": "1000", "total": str(len(rows))}
    return json.dumps({"recenttracks": {"track": rows, "@attr": attr}}, separators=(",", ":")).encode()


def fill(folder: Path, answers: int, rows: int) -> tuple[list[Row], int]:
    """A store with one page of plays for each user; the rows in it, and the size of a page."""
    store = FolderStorage(folder)
    pages = _pages(rows)
    bodies = [_body(plays, USER) for plays in pages]
    mark = json.dumps(USER).encode()[1:-1]
    found: list[Row] = []
    for number, name in enumerate(names(answers)):
        call = lastfm.get_recent_tracks(name, from_=SINCE, to=UNTIL)
        envelope = Envelope(
            method=call.method, params=call.all_params, url=call.url("https://ws.audioscrobbler.com/2.0/"),
            asked_at=STARTED, status=200, headers={"Content-Type": "application/json"}, answered_at=STARTED + number,
            body=bodies[number % 64].replace(mark, name.encode()),
        )  # fmt: skip
        path = folder / call.store_key
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(envelope))
        found += [(name, uts, artist, track, album) for artist, album, track, uts in pages[number % 64]]
    record = {
        "run_id": "20231114T221320Z-000000", "spider": "recent_tracks", "started_at": "2023-11-14T22:13:20Z",
        "arguments": {"users": ",".join(names(answers)), "since": str(SINCE), "until": str(UNTIL)},
        "members_before": 0,
    }  # fmt: skip
    store.write(f"state/runs/{record['run_id']}.json", json.dumps(record).encode())
    (folder / "users.txt").write_text("\n".join(names(answers)))
    return found, len(bodies[0])


def command(words: list[str], store: Path, database: str) -> Run:
    """A command of the project: its own figure of seconds, and its memory."""
    environment = {**os.environ, "RESPONSE_STORE": str(store), "DATABASE_URL": database, "DATA_DIR": str(store)}
    environment.pop("LASTFM_API_KEY", None)
    line = [sys.executable, "-m", "scrapy", *words, "-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=16"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak = _watched(process)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {process.returncode}:\n{text[-2000:]}")
    seconds = re.search(r"'elapsed_time_seconds': ([\d.]+)", text)
    assert seconds is not None
    return Run(float(seconds[1]), peak)


def _watched(process: subprocess.Popen[bytes]) -> float:
    """Wait for *process*; the most memory that it and its children had, in MB."""
    peak = 0.0
    while process.poll() is None:
        total = 0.0
        try:
            for one in [root := psutil.Process(process.pid), *root.children(recursive=True)]:
                total += one.memory_full_info().pss / 2**20
        except psutil.Error:
            pass
        peak = max(peak, total)
        time.sleep(0.1)
    return peak


def upsert(rows: list[Row], database: str) -> Run:
    """COPY into TEMP, INSERT … ON CONFLICT: nothing else."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE bare ({COLUMNS}, PRIMARY KEY (u, uts, artist, track))")
        connection.execute(f"CREATE TEMP TABLE stage ({COLUMNS})")
        start = time.perf_counter()
        for first in range(0, len(rows), ROWS_A_TRANSACTION):
            with connection.transaction():
                connection.execute("TRUNCATE stage")
                with connection.cursor().copy("COPY stage FROM STDIN") as copy:
                    for row in rows[first : first + ROWS_A_TRANSACTION]:
                        copy.write_row(row)
                connection.execute("INSERT INTO bare SELECT * FROM stage ON CONFLICT DO NOTHING")
        return Run(time.perf_counter() - start)


def bare_copy(file: Path, database: str) -> Run:
    """COPY of a file into a table without an index: the limit."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE heap ({COLUMNS})")
        start = time.perf_counter()
        with file.open("rb") as source, connection.cursor().copy("COPY heap FROM STDIN") as copy:
            while block := source.read(1 << 18):
                copy.write(block)
        return Run(time.perf_counter() - start)


class Far(FolderStorage):
    """A store that takes its time."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(folder)
        self._seconds = seconds

    def get(self, key: str) -> bytes | None:
        """The answer, after a while."""
        time.sleep(self._seconds)
        return super().get(key)


async def reading(opener: Callable[[], Storage], store: Path, workers: int) -> float:
    """Seconds to have every answer parsed here, without those that the processes take to begin."""
    keys = list(FolderStorage(store).keys("requests/"))
    reader = Reader(opener, workers)
    async for _ in reader.pages(keys[: 64 * workers]):
        pass
    start = time.perf_counter()
    count = 0
    async for batch in reader.pages(keys):
        count += sum(stored.page is not None for stored in batch)
    assert count == len(keys)
    seconds = time.perf_counter() - start
    reader.close()
    return seconds


def _far(folder: Path) -> Far:
    return Far(folder, 0.03)


def _databases(postgres: str) -> Iterator[str]:
    """The connection strings of empty databases, each dropped when the next is asked for."""
    while True:
        name = f"bench_{time.monotonic_ns()}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(postgres, dbname=name)
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="for reading alone; a replay takes its default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, file = Path(folder, "store"), Path(folder, "rows.tsv")
        rows, size = fill(store, options.answers, options.rows)
        file.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
        window = ["-a", f"since={SINCE}", "-a", f"until={UNTIL}"]
        crawl = ["crawl", "recent_tracks", "-a", f"users=@{store / 'users.txt'}", *window]
        replay = ["replay", "recent_tracks"]
        server = EmbeddedPostgres(Path(folder, "pg"))
        databases = _databases(server.start())
        rounds: list[dict[str, Run]] = []
        for number in range(options.rounds):
            database = next(databases)
            rounds.append({"replay": command(replay, store, database), "again": command(replay, store, database)})
            rounds[-1] |= {
                "upsert": upsert(rows, next(databases)),
                "crawl": command([*crawl, "-s", "HTTPCACHE_IGNORE_MISSING=1"], store, next(databases)),
                "copy": bare_copy(file, next(databases)),
            }
            print(f"round {number + 1}: {json.dumps({k: round(len(rows) / v.seconds) for k, v in rounds[-1].items()})}")
        server.remove()
        count = len(rows)
        rows.clear()  # so many objects would keep the collector busy while answers are read
        local = asyncio.run(reading(partial(FolderStorage, store), store, options.workers))
        far = asyncio.run(reading(partial(_far, store), store, options.workers))
    print(f"\n{options.answers} answers of {size / 1024:.0f} KB, {count} rows, median of {options.rounds}\n")
    print(f"{'':10}{'rows/s':>10}{'replay/this':>13}{'peak MB':>9}")
    rates = {name: count / statistics.median(r[name].seconds for r in rounds) for name in rounds[0]}
    for name, rate in rates.items():
        memory = max(r[name].megabytes for r in rounds)
        print(f"{name:10}{rate:10.0f}{rates['replay'] / rate:13.2f}{memory:9.0f}")
    print(f"\nreading alone: {options.answers / local:.0f} answers/s; with 30 ms a read: {far:.1f} s")


if __name__ == "__main__":
    main()
