"""A catalogue of artists or tracks into the warehouse, for matching to look in."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.working import working
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import catalogue
from lastfm_crawl.warehouse.matches import record_import
from lastfm_crawl.warehouse.sources import (
    SourceError,
    SourceUnreachableError,
    kind_of,
    read_batches,
    to_artist,
    to_track,
)

if TYPE_CHECKING:
    import argparse

    import psycopg

    from lastfm_crawl.warehouse.database import Database


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; what was read is kept, run it again for the rest"

    def syntax(self) -> str:
        return "import FILE|bq://project.dataset.table"

    def short_desc(self) -> str:
        return "Import a catalogue of Spotify's artists or tracks for matching"

    def long_desc(self) -> str:
        return (
            "FILE is .csv, .ndjson or .jsonl (also with .gz) or .parquet. Artists have the columns artist_id and"
            " artist_name, and popularity where it is known; tracks have track_id, track_name and artist_name, and"
            " isrc, duration_ms, album_name, release_date and so on where they are known. What had no match is"
            " looked for again by `scrapy match`."
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:  # noqa: ARG002  (Scrapy's signature)
        if len(args) != 2 or args[0] != "import":
            raise UsageError(f"say: {self.syntax()}")
        try:
            with self.warehouse() as database:
                database.open()
                self._import(database, args[1])
        except SourceError as exc:
            self.end(Exit.WRONG_USE, str(exc))
        except SourceUnreachableError as exc:
            self.end(Exit.CRITICAL, str(exc))

    def _import(self, database: Database, source: str) -> None:
        """Batch after batch, each in a transaction; the import counts once all of it is there."""
        kind = ""
        rows = 0
        skipped: Counter[str] = Counter()
        now = time.time()
        with working(f"importing {source}") as advance:
            for batch in read_batches(source):
                kind = kind or kind_of(batch[0])
                saved = database.run(_save, kind, batch, now)
                rows += saved.rows
                skipped += saved.skipped
                advance(len(batch))
        if not rows:
            raise SourceError(f"{source} holds no row of a catalogue ({_counted(skipped) or 'it is empty'})")
        database.run(record_import, kind, source, rows)
        print(f"{rows:,} {kind} imported; `scrapy match` looks for what has no match yet")
        if skipped:
            self.end(Exit.LOSSES, f"{sum(skipped.values()):,} rows were skipped: {_counted(skipped)}")


def _save(connection: psycopg.Connection, kind: str, batch: list[dict[str, object]], now: float) -> catalogue.Saved:
    with connection.cursor() as cursor:
        if kind == "tracks":
            return catalogue.save_tracks(cursor, map(to_track, batch), "catalogue", now)
        return catalogue.save_artists(cursor, map(to_artist, batch), "catalogue", now)


def _counted(skipped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {why}" for why, count in skipped.most_common())
