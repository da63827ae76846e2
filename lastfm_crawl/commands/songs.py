"""Makes one canonical song of many tracks, and vectors of which songs are played by the same people."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.working import working
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import songs
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError
from lastfm_crawl.warehouse.song_vectors import build_vectors

if TYPE_CHECKING:
    import argparse

#: Songs that are kept when nothing else is said.
MAX_SONGS = 10_000


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Fold the tracks of the warehouse into songs and keep the best"

    def long_desc(self) -> str:
        return (
            "A remaster is the song, a live version or a remix is another. The most complete songs are kept, of equals"
            " the most played. Songs keep their ids from run to run. Nothing is asked of anybody: what matching and the"
            " crawls have brought is what there is."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--max-songs", metavar="N", default=str(MAX_SONGS), help=f"songs to keep (default: {MAX_SONGS:,})"
        )
        parser.add_argument(
            "--vectors", action="store_true", help="also make the similarity vectors, from all plays of the songs"
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if args:
            raise UsageError("songs takes no arguments but --max-songs and --vectors")
        if not (opts.max_songs.isascii() and opts.max_songs.isdecimal() and 0 < int(opts.max_songs) < 2**31):
            self._end(Exit.WRONG_USE, f"--max-songs: {opts.max_songs!r} is not a number of songs")
            return
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            database.open()
            self._build(database, int(opts.max_songs), vectors=opts.vectors)
        except WarehouseUnavailableError as exc:
            self._end(Exit.CRITICAL, f"the warehouse cannot be used: {exc}")
        except KeyboardInterrupt:
            self._end(Exit.RESUMABLE, "interrupted; the songs are what they were, run it again")
        finally:
            database.close()

    def _build(self, database: Database, most: int, *, vectors: bool) -> None:
        with working("folding tracks", database.run(songs.count_tracks)) as advance:
            counts = database.run(songs.build, most, time.time(), advance)
        print(
            f"{counts.tracks:,} tracks, {counts.folded:,} of them versions of another: {counts.found:,} songs,"
            f" {counts.songs:,} kept"
        )
        print(
            f"{counts.isrc:,} with ISRC, {counts.spotify:,} with a Spotify id, {counts.mbid:,} with a MusicBrainz id,"
            f" {counts.name_only:,} by name only; {counts.aliases:,} former ids"
        )
        if not counts.tracks:
            print("there are no tracks yet: `scrapy crawl recent_tracks` or top_tracks brings some")
        if vectors:
            with working("making vectors"):
                written = database.run(build_vectors, time.time())
            print(f"{written:,} songs have a similarity vector")

    def _end(self, code: Exit, line: str) -> None:
        self.exitcode = int(code)
        sys.stderr.write(f"scrapy songs: {line}\n")
