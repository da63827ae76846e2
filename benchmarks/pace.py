"""What a shared turn costs, and how close to the limit several runs come together.

    python -m benchmarks.pace [--turns 2000] [--processes 4] [--seconds 20]

A turn is taken and confirmed as before every request, without waiting for it: the time until it is there, and the
processor time of the run. Beside it the limit: `UPDATE … RETURNING` of one row of the same kind on
the same connection. Then so many processes take turns for 20 seconds at Last.fm's five a second, as runs do.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.settings import Settings
from scrapy.spiders import Spider

from lastfm_crawl.downloader.pace import Pacer
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.paces import Paces

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

DELAY = 0.2


async def take(url: str, turns: int) -> tuple[list[float], float]:
    """Microseconds of each turn until it is there and confirmed, and processor seconds of this process."""
    paces, found = Paces(lambda: url), []
    await paces.take_turn("benchmark", DELAY)
    cpu = time.process_time()
    for _ in range(turns):
        began = time.perf_counter()
        turn = await paces.take_turn("benchmark", DELAY)
        await paces.stands("benchmark", turn)
        found.append(1e6 * (time.perf_counter() - began))
    cpu = time.process_time() - cpu
    await paces.leave()
    return found, cpu


async def bare(url: str, turns: int) -> list[float]:
    """The same of a statement that changes one row, by psycopg alone."""
    found = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("CREATE TABLE bare (name text PRIMARY KEY, turn_at timestamptz)")
        await connection.execute("INSERT INTO bare VALUES ('benchmark', now())")
        for _ in range(turns):
            began = time.perf_counter()
            await connection.execute(
                "UPDATE bare SET turn_at = clock_timestamp() WHERE name = %s RETURNING turn_at", ["benchmark"]
            )
            found.append(1e6 * (time.perf_counter() - began))
    return found


def run(url: str, seconds: float, left: Queue[list[float]]) -> None:
    """One run that always has something to ask: when its requests leave."""
    crawler = Crawler(Spider, Settings({"DOWNLOAD_DELAY": DELAY, "DATABASE_URL": url, "DATA_DIR": "unused"}))
    crawler.engine = SimpleNamespace(running=True, _slot=SimpleNamespace(closing=None))  # type: ignore[assignment]
    times: list[float] = []

    async def ask() -> None:
        pacer, request = Pacer(crawler), Request("http://127.0.0.1:1/")
        end = time.time() + seconds
        while time.time() < end:
            await pacer.turn(request)
            times.append(time.time())
        await pacer.close()

    asyncio.run(ask())
    left.put(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "server")
        url = server.start()
        try:
            migrate(url)
            turns, cpu = asyncio.run(take(url, options.turns))
            updates = asyncio.run(bare(url, options.turns))
            turn, update = statistics.median(turns), statistics.median(updates)
            print(f"a turn, confirmed: {turn:,.0f} µs (95 %: {statistics.quantiles(turns, n=20)[-1]:,.0f});", end=" ")
            print(f"one bare UPDATE: {update:,.0f} µs; ratio {turn / update:.2f}")
            print(f"of the run's processor: {1e6 * cpu / options.turns:,.0f} µs a turn,", end=" ")
            print(f"{100 * cpu / options.turns / DELAY:.2f} % at {1 / DELAY:.0f}/s")
            share(url, options.processes, options.seconds)
        finally:
            server.remove()


def share(url: str, count: int, seconds: float) -> None:
    """Print how fast *count* processes are together."""
    context = multiprocessing.get_context("spawn")
    left: Queue[list[float]] = context.Queue()
    processes = [context.Process(target=run, args=(url, seconds, left)) for _ in range(count)]
    for process in processes:
        process.start()
    runs = [left.get() for _ in processes]
    for process in processes:
        process.join()
    begin, end = max(times[0] for times in runs), min(times[-1] for times in runs)
    times = sorted(at for each in runs for at in each if begin <= at <= end)
    rate = (len(times) - 1) / (times[-1] - times[0])
    windows = [sum(at <= other < at + 10 * DELAY for other in times) for at in times]
    parts = [sum(begin <= at <= end for at in each) for each in runs]
    print(
        f"{count} processes: {rate:.2f} requests/s of {1 / DELAY:.2f}, {100 * rate * DELAY:.1f} % of the limit;",
        end=" ",
    )
    print(f"at most {max(windows)} in any ten gaps; each had {min(parts)} to {max(parts)} turns")


if __name__ == "__main__":
    main()
