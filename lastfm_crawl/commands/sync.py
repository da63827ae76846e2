"""Sends a sink what it does not have yet, whatever made it differ from the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.working import working
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import backlog
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.sinks import SETTINGS, configured

if TYPE_CHECKING:
    import argparse

    from lastfm_crawl.warehouse.database import Database
    from lastfm_crawl.warehouse.sinks import Sink


class Command(OurCommand, ScrapyCommand):
    def syntax(self) -> str:
        return f"[--all] {'|'.join(SETTINGS)}"

    def short_desc(self) -> str:
        return "Send a sink what it does not have yet"

    def long_desc(self) -> str:
        return (
            "Compares what the sink was sent with what the warehouse has now, and sends what differs: what a run could"
            " not send, and what matching, years or corrections changed since. Interrupt it and run it again."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--all", action="store_true", help="send everything, also what the sink should have")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1 or args[0] not in SETTINGS:
            raise UsageError(f"say: {self.syntax()}")
        sink = self._sink(args[0])
        with self.warehouse() as database:
            database.open()
            self._sync(database, sink, everything=opts.all)

    def _sink(self, name: str) -> Sink:
        """The sink of that name. Raises ValueError."""
        config.check(self.settings)
        for sink in configured(self.settings):
            if sink.name == name:
                return sink
        raise ValueError(f"{SETTINGS[name]} is not set")

    def _sync(self, database: Database, sink: Sink, *, everything: bool) -> None:
        feeder = Feeder(database, sink)
        try:
            feeder.register()
            database.run(backlog.mark_all if everything else backlog.mark_changed, sink)
            with working(f"sending to {sink.name}", feeder.left()) as advance:
                feeder.drain(advance)
            left = feeder.left()
            print(f"{feeder.fed.rows:,} rows in {feeder.fed.users:,} lists of users sent to {sink.name}")
            if left:
                why = f": {feeder.fault}" if feeder.fault else ""
                self.end(Exit.LOSSES, f"{left:,} lists of users did not reach {sink.name}{why}")
        finally:
            feeder.close()
