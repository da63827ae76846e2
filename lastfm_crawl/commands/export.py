"""Rows of the warehouse as a file: newline-delimited JSON, CSV or Parquet."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.spiders.arguments import one_of
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import exports
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import psycopg


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return f"[options] {'|'.join(exports.VIEWS)}"

    def short_desc(self) -> str:
        return "Write rows of the warehouse to a file or a bucket"

    def long_desc(self) -> str:
        return (
            "The columns are those of the views (users: lastfm_users, artists: lastfm_user_artists and so on). Without"
            " --out the file is exports/lastfm_users_YYYYMMDD.json.gz in the response store, and likewise for others."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        forms = "|".join(exports.SUFFIXES)
        parser.add_argument("--format", default="ndjson", metavar=forms, help="default: ndjson, a JSON object a line")
        parser.add_argument("--out", metavar="PATH|gs://…", help="where to; compressed if the name ends in .gz")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if len(args) != 1 or args[0] not in exports.VIEWS:
            raise UsageError(f"say one of: {', '.join(exports.VIEWS)}")
        try:
            form = cast("exports.Format", one_of(*exports.SUFFIXES)(opts.format))
        except ValueError as exc:
            self._end(Exit.WRONG_USE, f"--format: {opts.format!r} is wrong: {exc}")
            return
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            database.open()
            with working(f"exporting {args[0]}") as advance:
                place, rows = database.run(self._export, args[0], form, opts.out, advance)
            print(f"{place}: {rows:,} {args[0]}")
        except exports.ExportError as exc:
            self._end(Exit.WRONG_USE, str(exc))
        except WarehouseUnavailableError as exc:
            self._end(Exit.CRITICAL, f"the warehouse cannot be used: {exc}")
        except StoreError as exc:
            self._end(Exit.CRITICAL, str(exc))
        except OSError as exc:
            self._end(Exit.WRONG_USE, f"{opts.out or exc.filename} cannot be written: {exc.strerror or exc}")
        except KeyboardInterrupt:
            self._end(Exit.RESUMABLE, "interrupted; nothing was written, run it again")
        finally:
            database.close()

    def _export(
        self,
        connection: psycopg.Connection,
        kind: str,
        form: exports.Format,
        out: str | None,
        advance: Callable[[int], object],
    ) -> tuple[str, int]:
        """Where it is written, and how many rows."""
        assert self.settings is not None  # noqa: S101
        if out:
            return out, exports.export_to(connection, kind, form, out, advance)
        store = open_store(config.store_location(self.settings))
        key, rows = exports.export_to_store(connection, kind, form, store, datetime.now(UTC).date(), advance)
        return f"{store.location}/{key}", rows

    def _end(self, code: Exit, line: str) -> None:
        self.exitcode = int(code)
        sys.stderr.write(f"scrapy export: {line}\n")
