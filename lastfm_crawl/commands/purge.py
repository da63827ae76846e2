"""Forgets what may not be kept any longer."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.spiders.arguments import days
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import spotify
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "spotify [--older-than DAYS]"

    def short_desc(self) -> str:
        return "Forget Spotify's content after its time, but for ids and matches"

    def long_desc(self) -> str:
        return (
            "Spotify's terms allow its metadata to be kept for a while only. Goes from the warehouse: names, albums,"
            " popularity and top lists that came from its API; from the store: its answers. Ids, and the evidence of"
            " matches, stay; an imported catalogue is yours and stays, too."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        keep = f"{spotify.TIME_TO_LIVE // 86_400}"
        parser.add_argument("--older-than", metavar="DAYS", default=keep, help=f"default {keep}; 0 is everything")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if args != ["spotify"]:
            raise UsageError(f"say: {self.syntax()}")
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            before = time.time() - days(opts.older_than)
            store = open_store(config.store_location(self.settings))
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
        except ValueError as exc:
            self._end(Exit.WRONG_USE, f"--older-than {opts.older_than!r} is wrong: {exc}")
        except StoreError as exc:
            self._end(Exit.CRITICAL, str(exc))
        except WarehouseUnavailableError as exc:
            self._end(Exit.CRITICAL, f"the warehouse cannot be used: {exc}")
        except KeyboardInterrupt:
            self._end(Exit.RESUMABLE, "interrupted; run it again to go on")
        finally:
            database.close()

    def _end(self, code: Exit, line: str) -> None:
        self.exitcode = int(code)
        sys.stderr.write(f"scrapy purge: {line}\n")
