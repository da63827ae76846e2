"""Pages a second with everything on (store, pipelines, PostgreSQL), beside a bare Scrapy spider and pylast.

    python -m benchmarks.crawl [--users 2000] [--artists 1000] [--rounds 3]

All read the same pages from the same stand-in, in turns, in one run; medians. ``bare`` is Scrapy with its default
settings (but INFO logging) and json.loads, which keeps nothing; ``tuned`` the same with the two settings that matter
changed. Memory is the largest resident size of the crawl's process. With ``--catalogue 1000000`` the project is
measured beside itself instead: without a catalogue, and matching every artist that comes against one of so many names.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from lastfm_crawl.warehouse.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
WITH_CATALOGUE = "bench_catalogue"


class Run(NamedTuple):
    """What a crawl took: seconds between the spider's opening and its end, and its peak memory in MB."""

    seconds: float
    megabytes: float


def _timed(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, float]:
    """The output of *command*, and the peak resident size of its process in MB."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return output.read(), usage.ru_maxrss / 1024


def bare(api: str, method: str, users: int, *words: str) -> Run:
    """The bare spider, stock or tuned."""
    command = [sys.executable, "-m", "benchmarks.bare_spider", api, method, str(users), *words]
    output, megabytes = _timed(command)
    return Run(float(output), megabytes)


def import_catalogue(names: int, folder: Path, postgres: str) -> None:
    """A database with a catalogue: every third of the stand-in's artists, written differently, among *names*."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {WITH_CATALOGUE}")
    path = folder / "catalogue.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("artist_id,artist_name,popularity\n")
        file.writelines(f"{number},ARTIST NUMBER {number},{number % 100}\n" for number in range(0, names * 3, 3))
    url = psycopg.conninfo.make_conninfo(postgres, dbname=WITH_CATALOGUE)
    environment = {"DATA_DIR": str(folder / "catalogue"), "DATABASE_URL": url}
    _timed([sys.executable, "-m", "scrapy", "catalog", "import", str(path)], environment)


def project(api: str, users: int, folder: Path, postgres: str, template: str = "template1") -> tuple[Run, Run]:
    """``scrapy crawl friends`` and ``top_artists`` into an empty store and a copy of the database *template*."""
    name = f"bench_{time.monotonic_ns()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    url = psycopg.conninfo.make_conninfo(postgres, dbname=name)
    environment = {
        "LASTFM_API_KEY": "bench",
        "LASTFM_API_URL": api,
        "DATA_DIR": str(folder / name),
        "DATABASE_URL": url,
    }
    settings = ["-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=16", "-s", "LOG_LEVEL=ERROR"]
    runs = []
    for words in (["friends", "-a", "seeds=u0", "-a", f"max_users={users + 2000}"], ["top_artists"]):
        _, megabytes = _timed([sys.executable, "-m", "scrapy", "crawl", *words, *settings], environment)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT stats FROM runs ORDER BY started_at DESC LIMIT 1").fetchone()
        assert row is not None
        assert row[0]["lastfm_crawl/pages_loaded"] >= users, row
        runs.append(Run(row[0]["seconds"], megabytes))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")
    return runs[0], runs[1]


def pylast(api: str, users: int) -> Run:
    """pylast reads the same lists, one user after another."""
    output, megabytes = _timed([sys.executable, "-m", "benchmarks.pylast_peer", api, str(users)])
    return Run(float(output), megabytes)


@contextmanager
def standin(users: int, artists: int) -> Iterator[tuple[str, int]]:
    """The stand-in in a process of its own: its URL, and the bytes of a page of artists."""
    command = [sys.executable, "-m", "benchmarks.standin", "--users", str(users), "--artists", str(artists)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        api, size = process.stdout.readline().split()
        yield api, int(size)
        process.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--artists", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--catalogue", type=int, metavar="N", help="names to match artists with; needs no peers")
    options = parser.parse_args()
    users, found = options.users, {}
    peers = min(users, 200)
    with tempfile.TemporaryDirectory() as folder, standin(users, options.artists) as (api, size):
        server = EmbeddedPostgres(Path(folder, "pg"))
        postgres = server.start()
        rounds: list[dict[str, Run]] = []
        if options.catalogue:
            import_catalogue(options.catalogue, Path(folder), postgres)
        for number in range(options.rounds):
            friends, artists = project(api, users, Path(folder), postgres)
            if options.catalogue:
                _, matched = project(api, users, Path(folder), postgres, WITH_CATALOGUE)
                rounds.append({"artists: project": artists, "artists: matched": matched})
                print(f"round {number + 1}: {users / artists.seconds:.0f}, matched {users / matched.seconds:.0f}")
                continue
            rounds.append({
                "friends: project": friends,
                "friends: bare": bare(api, "user.getFriends", users),
                "friends: tuned": bare(api, "user.getFriends", users, "tuned"),
                "artists: project": artists,
                "artists: bare": bare(api, "user.getTopArtists", users),
                "artists: tuned": bare(api, "user.getTopArtists", users, "tuned"),
            })  # fmt: skip
            print(f"round {number + 1}: {json.dumps({k: round(users / v.seconds) for k, v in rounds[-1].items()})}")
        found = {
            name: (users / statistics.median(r[name].seconds for r in rounds), max(r[name].megabytes for r in rounds))
            for name in rounds[0]
        }
        if not options.catalogue:
            peer = pylast(api, peers)
            found["artists: pylast"] = (peers / peer.seconds, peer.megabytes)
        server.remove()
    print(
        f"\n{users} users, {options.artists} artists each ({size / 1024:.0f} KB a page), median of {options.rounds}\n"
    )
    print(f"{'':20}{'pages/s':>9}{'ratio':>8}{'peak MB':>9}")
    for name, (rate, megabytes) in found.items():
        ratio = found[name.split(":")[0] + ": project"][0] / rate
        print(f"{name:20}{rate:9.0f}{ratio:8.2f}{megabytes:9.0f}")
    print("\nratio: the project's pages a second divided by this line's")


if __name__ == "__main__":
    main()
