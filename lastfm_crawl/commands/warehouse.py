"""Looks after the warehouse: its backups and upgrades, and the places beside PostgreSQL that rows are sent to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.children import child
from lastfm_crawl.commands.ours import OurCommand, confirm
from lastfm_crawl.commands.working import working
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import backup
from lastfm_crawl.warehouse.backup import BackupError
from lastfm_crawl.warehouse.database import reached
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, EmbeddedPostgresError
from lastfm_crawl.warehouse.sinks import SETTINGS, SinkRefusedError, SinkUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from contextlib import AbstractContextManager

INDEXES = """\
Firestore makes its collection with the first document. One thing is worth doing before: no index of top_artists, which
nobody searches and which costs a thousand entries a document.

    gcloud firestore indexes fields update top_artists --collection-group=lastfm_users --disable-indexes --project={}

(or `firebase deploy --only firestore:indexes` with lastfm_crawl/warehouse/firestore.indexes.json)"""


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; what was there is there, run it again"

    def syntax(self) -> str:
        return f"backup [FILE] | restore FILE | upgrade [--by replay|FILE] | init {'|'.join(SETTINGS)} [--region R]"

    def short_desc(self) -> str:
        return "Back up, restore or upgrade PostgreSQL, or prepare BigQuery and Firestore"

    def long_desc(self) -> str:
        return (
            "backup: all of the warehouse in one compressed file, also while runs go on; without FILE in backups/"
            " of DATA_DIR. restore: puts a backup into the place of the warehouse and brings it up to date; one that"
            " holds rows must be confirmed by its name. upgrade: moves the embedded PostgreSQL's data to the newest"
            " version that is installed; with --by it sets them aside, and loads a new one from the stored answers"
            " (replay) or a backup. init bigquery: the dataset, its tables, and columns that are new; what is there"
            " stays. init firestore: tries the connection and says which index to turn off."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--confirm", metavar="NAME", help="restore: what it would ask you to type")
        parser.add_argument("--by", metavar="replay|FILE", help="upgrade: from the stored answers, or from a backup")
        parser.add_argument("--region", metavar="R", help="of a new dataset, such as europe-west3; default: BigQuery's")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        actions: dict[tuple[str, int], Callable[[], None]] = {
            ("backup", 1): lambda: self._back_up(None),
            ("backup", 2): lambda: self._back_up(Path(args[1])),
            ("restore", 2): lambda: self._restore(Path(args[1]), opts.confirm),
            ("upgrade", 1): lambda: self._upgrade(opts.by, opts.set),
            ("init", 2): lambda: self._init(args[1], opts.region),
        }
        action = actions.get((args[0], len(args))) if args else None
        if action is None or (args[0] == "init" and args[1] not in SETTINGS):
            raise UsageError(f"say: {self.syntax()}")
        try:
            action()
        except (SinkUnavailableError, SinkRefusedError) as exc:
            self.end(Exit.CRITICAL, f"{args[1]}: {exc}")
        except (BackupError, EmbeddedPostgresError) as exc:
            self.end(Exit.CRITICAL, str(exc))
        except OSError as exc:
            raise ValueError(f"{exc.filename} cannot be used: {exc.strerror or exc}") from None

    # --- PostgreSQL ---

    def _back_up(self, file: Path | None) -> None:
        self._expect_warehouse()
        if file is None:
            folder = Path(self.settings["DATA_DIR"], "backups")
            folder.mkdir(0o700, parents=True, exist_ok=True)
            file = folder / f"lastfm-{datetime.now().astimezone():%Y%m%d-%H%M%S}.dump"
        with self._reached() as url, working("backing up") as advance:
            tables = backup.back_up(url, file, advance)
        print(f"{file}: {tables} tables, {file.stat().st_size / 1e6:,.1f} MB")

    def _restore(self, file: Path, phrase: str | None) -> None:
        tables = backup.contents(file).tables
        with self._reached() as url:
            if not backup.is_empty(url):
                name = backup.name_of(url)
                confirm(name, phrase, f"The database {name} has rows: they are replaced by the backup's.")
            with working("restoring", tables) as advance:
                backup.restore(url, file, advance)
        print(f"{tables} tables are restored; `scrapy replay all` loads the answers that were stored since")

    def _upgrade(self, by: str | None, settings: list[str]) -> None:
        if self.settings["DATABASE_URL"]:
            raise ValueError("DATABASE_URL names a server that is not this project's to upgrade")
        folder = self._expect_warehouse()
        if by is None:
            with working("upgrading") as advance:
                old, new = backup.upgrade(folder, advance)
            print(f"PostgreSQL {old} is the newest" if old == new else f"upgraded from PostgreSQL {old} to {new}")
            return
        if by != "replay":
            backup.contents(Path(by))
        print(f"what was there is in {EmbeddedPostgres(folder).set_aside()}; delete it when you like", flush=True)
        if by != "replay":
            self._restore(Path(by), None)
            return
        words = [word for setting in settings for word in ("-s", setting)]
        with child(["replay", "all", *words]) as replay:
            self.exitcode = replay.process.wait()
        if self.exitcode:
            self.say("`scrapy replay all` goes on where this one ended")

    def _reached(self) -> AbstractContextManager[str]:
        return reached(self.settings["DATABASE_URL"], config.database_folder(self.settings))

    def _expect_warehouse(self) -> Path:
        """The embedded PostgreSQL's folder. Raises ValueError where that is not, unless there is a DATABASE_URL."""
        folder = config.database_folder(self.settings)
        if not self.settings["DATABASE_URL"] and not folder.is_dir():
            raise ValueError(f"there is no warehouse yet in {folder}")
        return folder

    # --- what is beside it ---

    def _init(self, sink: str, region: str | None) -> None:
        if sink == "bigquery":
            self._bigquery(self._target(sink), region)
        else:
            self._firestore(self._target(sink))

    def _target(self, sink: str) -> str:
        """What the setting of *sink* says. Raises ValueError."""
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
