"""Makes one canonical song of many tracks, and vectors of which songs are played by the same people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand, read_option
from lastfm_crawl.commands.working import working
from lastfm_crawl.spiders.arguments import count
from lastfm_crawl.warehouse import songs
from lastfm_crawl.warehouse.song_vectors import build_vectors

if TYPE_CHECKING:
    import argparse

    from lastfm_crawl.warehouse.database import Database

#: Songs that are kept when nothing else is said.
MAX_SONGS = 10_000


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; the songs are what they were, run it again"

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

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError("songs takes no arguments but --max-songs and --vectors")
        most = read_option(count, "--max-songs", opts.max_songs)
        with self.warehouse() as database:
            database.open()
            self._build(database, most, vectors=opts.vectors)

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
