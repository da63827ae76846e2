"""The whole job on a small invented world: no key, no server, no cloud account."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand

from lastfm_crawl import config, reference
from lastfm_crawl.commands.children import child
from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.years import bars
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.insight import wording
from lastfm_crawl.insight.years import Question, release_years
from lastfm_crawl.warehouse import aoty_matches, matches, queries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lastfm_crawl.warehouse.database import Database

# Up to a day that is past, so that the second demo has nothing to ask for.
STEPS = (
    ("Discovering users through the friends graph", ["friends", "-a", "seeds=RJ"]),
    ("Fetching the top artists of each", ["top_artists"]),
    ("Fetching the listening histories of two", ["recent_tracks", "-a", "users=RJ,jester31", "-a", "until=2025-01-01"]),
    ("Finding the artists on Spotify", ["spotify_artists"]),
    ("Finding the year in which each album first came out", ["musicbrainz"]),
    ("Reading what people think of the most played albums", ["aoty", "-a", "charts=1"]),
)
# Unpaced: the sandbox is ours. Warnings only: the demo says itself what it does.
CRAWL = ["-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=16", "-s", "LOG_LEVEL=WARNING", "-s", "STATS_DUMP=0"]


class Command(OurCommand, ScrapyCommand):
    def short_desc(self) -> str:
        return "Crawl a small sandbox end to end: no key, no server, no cloud account"

    def work(self, args: list[str], opts: argparse.Namespace) -> None:  # noqa: ARG002
        self.settings.set("DATA_DIR", str(Path(self.settings["DATA_DIR"], "demo")), "cmdline")
        for name in ("RESPONSE_STORE", "DATABASE_URL"):
            self.settings.set(name, None, "cmdline")
        console = Console()
        started = time.monotonic()
        with self.warehouse() as database:
            with console.status("Starting the embedded PostgreSQL"):
                database.open()
            with _sandbox() as url:
                for title, words in STEPS:
                    console.print(f"[bold]{title}[/]")
                    self.exitcode = self._crawl(words, url)
                    if self.exitcode:
                        return
                requests = _requests(url)
            self._summary(console, database, requests, time.monotonic() - started)

    def _crawl(self, words: list[str], url: str) -> int:
        """The exit code of ``scrapy crawl`` with *words* against the sandbox at *url*."""
        with child(["crawl", *words, *CRAWL], _environment(url, self.settings["DATA_DIR"])) as crawl:
            return crawl.process.wait()

    def _summary(self, console: Console, database: Database, requests: int, seconds: float) -> None:
        totals = database.run(queries.totals)
        matched = database.run(matches.match_counts, "artist")
        years = database.run(release_years, "RJ", Question(by="decade"))
        location = config.store_location(self.settings)
        answers = sum(1 for _ in open_store(location).keys("requests/"))
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in (
            ("users", totals.users),
            ("friendships", totals.friendships),
            ("artists", totals.artists),
            ("… of them found on Spotify", matched.accepted),
            ("top-artist rows", totals.user_artists),
            ("scrobbles", totals.scrobbles),
            ("albums with a rating", database.run(aoty_matches.rated)),
            ("requests to the sandbox", requests),
            ("stored answers", answers),
        ):
            table.add_row(name, f"[bold]{value:,}[/]")
        console.print()
        console.print(table)
        if years and years.dated:
            console.print(f"\n[bold]{wording.title(years)}[/] (scrapy years RJ)", highlight=False)
            console.print(bars(years, 40))
            console.print(wording.coverage(years), highlight=False)
        console.print(f"\nDone in {seconds:.0f} s. Run it again: it asks for nothing that it has.", highlight=False)
        console.print(f"Answers:   {Path(location).resolve()}", highlight=False, markup=False, soft_wrap=True)
        console.print(
            f"Warehouse: {config.database_folder(self.settings).resolve()}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print(
            "\nNext, with your own key (https://www.last.fm/api/account/create):\n"
            "  LASTFM_API_KEY=… CONTACT=you@example.org scrapy crawl friends -a seeds=YOUR_NAME -a max_users=100",
            highlight=False,
            soft_wrap=True,
        )


def _environment(url: str, data: str) -> dict[str, str]:
    """What a crawl of the sandbox at *url* into the folder *data* is to find in place of the owner's settings.

    All of ours are named, with their defaults: a sink that a .env file turns on is not for the demo.
    """
    defaults = {setting.name: setting.default for setting in reference.settings() if setting.from_environment}
    return {
        **defaults,
        **dict.fromkeys(config.SECRETS, ""),
        "LASTFM_API_KEY": "demo",
        "LASTFM_API_URL": url,
        "LASTFM_URL": url.replace("/2.0/", "/"),
        "DATA_DIR": data,
        "SPOTIFY_API_URL": url.replace("/2.0/", "/spotify/v1"),
        "SPOTIFY_TOKEN_URL": url.replace("/2.0/", "/spotify/api/token"),
        "MUSICBRAINZ_API_URL": url.replace("/2.0/", "/musicbrainz/ws/2/"),
        "AOTY_URL": url.replace("/2.0/", "/"),
        "CONTACT": "demo@example.org",
        "SPOTIFY_CLIENT_ID": "demo",
        "SPOTIFY_CLIENT_SECRET": "demonstration",
    }


@contextmanager
def _sandbox() -> Iterator[str]:
    """The URL of a sandbox in a process of its own."""
    command = [sys.executable, "-m", "lastfm_crawl.sandbox", "--with-parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
            yield process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()


def _requests(url: str) -> int:
    """How many questions the sandbox was asked."""
    log = url.replace("/2.0/", "/_sandbox/log")
    with urllib.request.urlopen(log, timeout=10) as answer:  # noqa: S310  (our own server)
        return len(json.load(answer))
