"""The pipelines once more, over stored answers: no network, no key, at the speed of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.crawl import find_spider, tune_interpreter
from lastfm_crawl.commands.ours import check_settings, read_option
from lastfm_crawl.extensions.alerts import never_begun
from lastfm_crawl.extensions.json_log import tell
from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.spiders.arguments import count, each_once, names
from lastfm_crawl.spiders.replay import BULK, OFFLINE, ORIGINS, Plan, ReplaySpider
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse.sinks import SETTINGS

if TYPE_CHECKING:
    import argparse

SINKS = ("postgres", *SETTINGS)
WRITING = (
    "lastfm_crawl.pipelines.sinks.SinkPipeline",
    "lastfm_crawl.pipelines.match.MatchPipeline",
    "lastfm_crawl.pipelines.load.LoadPipeline",
)
RECORD = "lastfm_crawl.extensions.run_record.RunRecord"


class Command(ScrapyCommand):
    requires_project = True

    def syntax(self) -> str:
        return "[options] <spider>|all"

    def short_desc(self) -> str:
        return "Load the warehouse again from stored answers, offline"

    def long_desc(self) -> str:
        return (
            "Reads the stored answers of a spider, or of all, and sends them through the pipelines: after a change in"
            " how they are read, or when the warehouse is lost. Nothing is asked for, and no key is needed. Stop it"
            " and run it again as you like: what is there already stays as it is."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        group = parser.add_argument_group("Replay")
        group.add_argument("--user", action="append", metavar="NAMES", help="of these users only: a,b,c or @file")
        group.add_argument("--since", metavar="TIME", help="answers from then on: 2026-01-31 or 2026-01-31T18:00 (UTC)")
        group.add_argument("--dry-run", action="store_true", help="read everything, load nothing")
        group.add_argument("--workers", metavar="N", help="processes that read and parse")
        group.add_argument(
            "--from", dest="origin", default="store", metavar="|".join(ORIGINS),
            help="store: every answer (default); packs: the newest from packs/; archive: replaced ones only",
        )  # fmt: skip
        group.add_argument(
            "--sink", metavar="NAME", help=f"feed no other: one of {', '.join(SINKS)}; PostgreSQL is loaded anyway"
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider, or all")
        try:
            plan = self._plan(args[0], opts)
        except ValueError as exc:
            self._end(Exit.WRONG_USE, [str(exc)])
            return
        assert self.crawler_process is not None  # noqa: S101  (Scrapy sets it before run)
        crawler = self.crawler_process.create_crawler(ReplaySpider)
        self.crawler_process.crawl(crawler, plan=plan)
        tune_interpreter()
        self.crawler_process.start()
        if self.crawler_process.bootstrap_failed:
            self._end(*never_begun(crawler.settings, "replay"))
            return
        stats = crawler.stats.get_stats()
        if isinstance(crawler.spider, ReplaySpider):
            self._tell(crawler.spider, stats)
        self._end(*judge(stats))

    def _plan(self, spider: str, opts: argparse.Namespace) -> Plan:
        """What is asked for. Raises ValueError for what cannot be meant."""
        assert self.settings is not None  # noqa: S101
        if opts.sink:
            self._choose(opts.sink)
        if opts.origin not in ORIGINS:
            raise ValueError(f"--from: {opts.origin!r} is none of {', '.join(ORIGINS)}")
        plan = Plan(
            methods=None if spider == "all" else self._methods(spider),
            users=tuple(each_once(name for text in opts.user or () for name in read_option(names, "--user", text))),
            since=opts.since and read_option(_time, "--since", opts.since),
            origin=opts.origin,
            workers=read_option(count, "--workers", opts.workers) if opts.workers else Plan.workers,
            dry_run=opts.dry_run,
        )
        check_settings(self.settings)
        for settings, priority in ((OFFLINE, "cmdline"), (BULK, "spider")):
            for name, value in settings.items():
                self.settings.set(name, value, priority)
        if plan.dry_run:
            for name, components in (("ITEM_PIPELINES", WRITING), ("EXTENSIONS", (RECORD,))):
                without = dict.fromkeys(components)
                self.settings.set(name, {**self.settings.getdict(name), **without}, "cmdline")
        return plan

    def _choose(self, sink: str) -> None:
        """Turn the other sinks off. Raises ValueError."""
        assert self.settings is not None  # noqa: S101
        if sink not in SINKS:
            raise ValueError(f"--sink: there is no sink {sink!r}; there is {', '.join(SINKS)}")
        if sink in SETTINGS and not self.settings[SETTINGS[sink]]:
            raise ValueError(f"--sink {sink}: {SETTINGS[sink]} is not set")
        for name, setting in SETTINGS.items():
            if name != sink:
                self.settings.set(setting, None, "cmdline")

    def _methods(self, spider: str) -> frozenset[str]:
        assert self.crawler_process is not None  # noqa: S101
        return frozenset(find_spider(self.crawler_process.spider_loader, spider).methods)

    def _tell(self, spider: ReplaySpider, stats: dict[str, Any]) -> None:
        loaded = "read" if spider.plan.dry_run else "loaded"
        left_out = f"; {spider.left_out:,} friends lists that no run took into account" if spider.left_out else ""
        bad = f"; {stats['lastfm_crawl/bad_objects']:,} skipped" if stats.get("lastfm_crawl/bad_objects") else ""
        print(f"{spider.done:,} answers: {spider.pages:,} pages with {spider.rows:,} rows {loaded}{left_out}{bad}")

    def _end(self, code: Exit, lines: list[str]) -> None:
        self.exitcode = int(code)
        tell("replay", lines)


def _time(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("it must be a time such as 2026-01-31 or 2026-01-31T18:00") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
