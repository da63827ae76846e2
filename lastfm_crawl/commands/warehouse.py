"""Prepares the places beside PostgreSQL that rows are sent to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse.sinks import SETTINGS, SinkRefusedError, SinkUnavailableError

if TYPE_CHECKING:
    import argparse

INDEXES = """\
Firestore makes its collection with the first document. One thing is worth doing before: no index of top_artists, which
nobody searches and which costs a thousand entries a document.

    gcloud firestore indexes fields update top_artists --collection-group=lastfm_users --disable-indexes --project={}

(or `firebase deploy --only firestore:indexes` with lastfm_crawl/warehouse/firestore.indexes.json)"""


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return f"init {'|'.join(SETTINGS)} [--region R]"

    def short_desc(self) -> str:
        return "Make what BigQuery and Firestore need before rows are sent to them"

    def long_desc(self) -> str:
        return (
            "bigquery: the dataset, its tables, and columns that are new since; what is there stays. firestore: tries"
            " the connection and says which index to turn off."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--region", metavar="R", help="of a new dataset, such as europe-west3; default: BigQuery's")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if len(args) != 2 or args[0] != "init" or args[1] not in SETTINGS:
            raise UsageError(f"say: {self.syntax()}")
        try:
            if args[1] == "bigquery":
                self._bigquery(self._target(args[1]), opts.region)
            else:
                self._firestore(self._target(args[1]))
        except ValueError as exc:
            self._end(Exit.WRONG_USE, str(exc))
        except (SinkUnavailableError, SinkRefusedError) as exc:
            self._end(Exit.CRITICAL, f"{args[1]}: {exc}")

    def _target(self, sink: str) -> str:
        """What the setting of *sink* says. Raises ValueError."""
        assert self.settings is not None  # noqa: S101
        config.check(self.settings)
        target: str | None = self.settings[SETTINGS[sink]]
        if not target:
            raise ValueError(f"{SETTINGS[sink]} is not set")
        return target

    def _bigquery(self, target: str, region: str | None) -> None:
        from lastfm_crawl.warehouse.bigquery import BigQuerySink  # noqa: PLC0415  (a second to import)

        sink = BigQuerySink(target)
        sink.open()
        try:
            print("\n".join(sink.initialise(region)) or f"{target} has everything")
        finally:
            sink.close()

    def _firestore(self, target: str) -> None:
        from lastfm_crawl.warehouse.firestore import FirestoreSink  # noqa: PLC0415  (a second to import)

        sink = FirestoreSink(target)
        sink.open()
        try:
            sink.check()
            print(INDEXES.format(target))
        finally:
            sink.close()

    def _end(self, code: Exit, line: str) -> None:
        self.exitcode = int(code)
        sys.stderr.write(f"scrapy warehouse: {line}\n")
