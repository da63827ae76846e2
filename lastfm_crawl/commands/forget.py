"""Forgets people, in every place, and for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.insight.forgetting import Forgetter, Forgetting
from lastfm_crawl.spiders.arguments import each_once, names
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    import argparse


class Command(OurCommand, ScrapyCommand):
    def syntax(self) -> str:
        return "[--dry-run] NAME ... | @FILE"

    def short_desc(self) -> str:
        return "Forget people: everything about them goes, and no later run brings it back"

    def long_desc(self) -> str:
        return (
            "Takes users out of the warehouse, of stored answers (their own, and what friends lists of others say of"
            " them), packs, exports, records, logins, and every sink. A salted hash stays, so that later runs leave"
            " them out. Interrupt it and run it again as you like. Logs, backups, copies of the store, and older"
            " versions that a bucket or BigQuery keeps are yours to see to."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if not args:
            raise UsageError(f"say: {self.syntax()}")
        people = each_once(name for text in args for name in names(text))
        config.check(self.settings)
        store = open_store(config.store_location(self.settings))
        with self.warehouse() as database, working("forgetting") as advance:
            done = Forgetter(self.settings, database, store, people, advance, dry_run=opts.dry_run).run()
        self._tell(done, len(people), dry_run=opts.dry_run)

    def _tell(self, done: Forgetting, people: int, *, dry_run: bool) -> None:
        """What went, and what did not."""
        for what, count in sorted(done.removed.items()):
            print(f"{count:>10,}  {what}")
        if not done.removed:
            print("nothing to remove")
        if dry_run:
            print("nothing was changed (--dry-run)")
        else:
            print(f"{people:,} {'is' if people == 1 else 'are'} forgotten: later runs leave them out")
        for line in done.faults:
            self.end(Exit.LOSSES, line)
        for line in done.behind:
            self.end(Exit.RESUMABLE, line)
