"""Forgets what may not be kept any longer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand, confirm, read_option
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.insight.purging import purge_all
from lastfm_crawl.spiders.arguments import days
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import spotify

if TYPE_CHECKING:
    import argparse

    from lastfm_crawl.httpcache import Storage
    from lastfm_crawl.warehouse.database import Database


class Command(OurCommand, ScrapyCommand):
    def syntax(self) -> str:
        return "spotify [--older-than DAYS] | --all [--confirm PHRASE]"

    def short_desc(self) -> str:
        return "Forget Spotify's content after its time, but for ids and matches; or everything"

    def long_desc(self) -> str:
        return (
            "Spotify's terms allow its metadata to be kept for a while only. Goes from the warehouse: names, albums,"
            " popularity and top lists that came from its API; from the store: its answers. Ids, and the evidence of"
            " matches, stay; an imported catalogue is yours and stays, too. --all is for the end of the"
            " terms: the warehouse, all that is in the response store, logins, and what sinks have. It asks you to type"
            " where the store is. Only the hashes of people who were forgotten (scrapy forget) stay."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        keep = f"{spotify.TIME_TO_LIVE // 86_400}"
        parser.add_argument("--older-than", metavar="DAYS", default=keep, help=f"default {keep}; 0 is everything")
        parser.add_argument("--all", action="store_true", help="forget everything, of every service, in every place")
        parser.add_argument("--confirm", metavar="PHRASE", help="--all: what it would ask you to type")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args != ([] if opts.all else ["spotify"]):
            raise UsageError(f"say: {self.syntax()}")
        config.check(self.settings)
        store = open_store(config.store_location(self.settings))
        with self.warehouse() as database:
            if opts.all:
                self._purge_all(database, store, opts.confirm)
            else:
                self._purge_spotify(database, store, opts.older_than)

    @staticmethod
    def _purge_spotify(database: Database, store: Storage, older_than: str) -> None:
        before = time.time() - read_option(days, "--older-than", older_than)
        database.open()
        # The rows first: whoever is interrupted then finds the answers the next time.
        rows = database.run(spotify.purge, before)
        answers = 0
        with working("purging") as advance:
            for prefix in ("requests/spotify/", "archive/spotify/"):
                for entry in store.entries(prefix):
                    advance()
                    if entry.changed_at < before:
                        store.delete(entry.key)
                        answers += 1
        print(f"{rows:,} rows and {answers:,} stored answers of Spotify are forgotten")

    def _purge_all(self, database: Database, store: Storage, phrase: str | None) -> None:
        """Raises ValueError when nobody confirms it."""
        confirm(store.location, phrase, f"Everything goes: the warehouse, and all that is in {store.location}.")
        with working("purging") as advance:
            done = purge_all(self.settings, database, store, advance)
        for what, count in sorted(done.removed.items()):
            print(f"{count:>10,}  {what}")
        print("everything is forgotten" if done.removed else "nothing to remove")
        for line in done.behind:
            self.end(Exit.RESUMABLE, line)
