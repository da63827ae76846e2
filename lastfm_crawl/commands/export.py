"""Rows of the warehouse as a file: newline-delimited JSON, CSV or Parquet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand, read_option
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.spiders.arguments import one_of
from lastfm_crawl.warehouse import exports

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import psycopg


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; nothing was written, run it again"

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

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1 or args[0] not in exports.VIEWS:
            raise UsageError(f"say one of: {', '.join(exports.VIEWS)}")
        form = cast("exports.Format", read_option(one_of(*exports.SUFFIXES), "--format", opts.format))
        try:
            with self.warehouse() as database:
                database.open()
                with working(f"exporting {args[0]}") as advance:
                    place, rows = database.run(self._export, args[0], form, opts.out, advance)
        except exports.ExportError as exc:
            raise ValueError(str(exc)) from None
        except StoreError:
            raise
        except OSError as exc:
            raise ValueError(f"{opts.out or exc.filename} cannot be written: {exc.strerror or exc}") from None
        print(f"{place}: {rows:,} {args[0]}")

    def _export(
        self,
        connection: psycopg.Connection,
        kind: str,
        form: exports.Format,
        out: str | None,
        advance: Callable[[int], object],
    ) -> tuple[str, int]:
        """Where it is written, and how many rows."""
        if out:
            return out, exports.export_to(connection, kind, form, out, advance)
        store = open_store(config.store_location(self.settings))
        key, rows = exports.export_to_store(connection, kind, form, store, datetime.now(UTC).date(), advance)
        return f"{store.location}/{key}", rows
