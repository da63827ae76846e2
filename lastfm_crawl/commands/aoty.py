"""Ratings that are at hand already: saved pages of albumoftheyear.org, and tables, into the warehouse."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.working import working
from lastfm_crawl.items import AotyAlbum
from lastfm_crawl.services import aoty as site
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import aoty

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from lastfm_crawl.warehouse.database import Database

#: Rows of a table that are saved in one transaction.
BATCH = 1_000


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; what was read is kept, run it again for the rest"

    def syntax(self) -> str:
        return "import FOLDER|PAGE.html|TABLE.csv"

    def short_desc(self) -> str:
        return "Import saved pages or tables of albumoftheyear.org"

    def long_desc(self) -> str:
        return (
            "FOLDER is searched for .html and .htm: pages of albums, and lists. A table has the columns"
            f" {', '.join(site.CSV_COLUMNS)}. Which of your albums they are, `scrapy match` finds out."
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:  # noqa: ARG002  (Scrapy's signature)
        if len(args) != 2 or args[0] != "import":
            raise UsageError(f"say: {self.syntax()}")
        path = Path(args[1])
        read = self._table if path.suffix.lower() == ".csv" else self._pages
        try:
            path.stat()  # before anything is started for nothing
            with self.warehouse() as database:
                database.open()
                with working(f"importing {path}") as advance:
                    albums, skipped = read(database, path, advance)
        except csv.Error as exc:
            raise ValueError(f"{path}: {exc}") from None
        except OSError as exc:
            raise ValueError(f"{exc.filename or path} cannot be read: {exc.strerror}") from None
        print(f"{albums:,} albums imported; `scrapy match` finds out which of yours they are")
        if skipped:
            self.end(Exit.LOSSES, f"{len(skipped):,} skipped that hold no album: {', '.join(skipped[:3])}")

    @staticmethod
    def _table(database: Database, path: Path, advance: Callable[..., None]) -> tuple[int, list[str]]:
        """How many albums the table brought, and the lines that name none."""
        at = path.stat().st_mtime
        seen: set[int] = set()
        skipped: list[str] = []
        batch: list[AotyAlbum] = []
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := {"title", "artist", "album_link"} - set(rows.fieldnames or ()):
                raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
            for row in rows:
                if (album := site.read_csv_row(row)) is None:
                    skipped.append(f"line {rows.line_num}")
                else:
                    seen.add(album.id)
                    batch.append(album)
                if len(batch) == BATCH:
                    database.run(_save, batch, "csv", at)
                    batch = []
                advance()
        database.run(_save, batch, "csv", at)
        return len(seen), skipped

    @staticmethod
    def _pages(database: Database, path: Path, advance: Callable[..., None]) -> tuple[int, list[str]]:
        """How many albums the pages brought, and the names of those that hold none."""
        seen: set[int] = set()
        skipped = []
        for file in _html_files(path):
            found = site.read_saved(file.read_bytes())
            at = file.stat().st_mtime
            if isinstance(found, AotyAlbum):
                database.run(_save, [found], "page", at)
                seen.add(found.id)
            elif found:
                database.run(_save, list(map(aoty.of_row, found)), "list", at)
                seen.update(row.id for row in found)
            else:
                skipped.append(file.name)
            advance()
        return len(seen), skipped


def _html_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in {".html", ".htm"})
    if not files:
        raise ValueError(f"{path} holds no .html file")
    yield from files


def _save(connection: psycopg.Connection, albums: Sequence[AotyAlbum], source: str, at: float) -> None:
    with connection.cursor() as cursor:
        aoty.save_albums(cursor, albums, source, at)
