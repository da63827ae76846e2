"""How good the data is: figures beside their targets, what must not be there, and pairs to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand, open_console
from lastfm_crawl.commands.working import working
from lastfm_crawl.insight.quality import STEPS, report
from lastfm_crawl.insight.wording import percent, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from lastfm_crawl.insight.checks import Finding
    from lastfm_crawl.insight.quality import Quality
    from lastfm_crawl.warehouse.figures import Figure

#: Columns that stand on the right.
_NUMBERS = {"count", "of", "share", "wanted", "score", "batches", "seconds each", "longest", "cache hits"}


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def short_desc(self) -> str:
        return "Show how complete and how sound the data is"

    def long_desc(self) -> str:
        return (
            "Coverage of each service, match rates, duplicates, orphans, missing and impossible values, cache hits and"
            " time per batch of the last runs, and pairs to read. What it finds is information: it exits with 0."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", help="everything, as one JSON object")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError("quality takes no arguments but --json")
        with self.warehouse() as database:
            database.open()
            with working("looking", STEPS) as advance:
                quality = database.run(report, advance)
        if opts.json:
            print(json.dumps(quality.as_json(), indent=2))
        else:
            _show(quality)


def _show(quality: Quality) -> None:
    console = open_console()
    _figures(console, "coverage", quality.coverage)
    _figures(console, "match rates", quality.match_rates)
    rows = ((m.kind, m.band, m.tier, f"{m.count:,}") for m in quality.matched)
    _table(console, ("matches of", "band", "found by", "count"), rows)
    _findings(console, quality.findings)
    _figures(console, "store", [quality.cache])
    runs = (
        (
            run.run_id,
            run.spider,
            percent(run.cache.part, run.cache.whole) if run.cache.whole else "",
            f"{run.batches:,}",
            "" if run.seconds_per_batch is None else f"{run.seconds_per_batch:.3f}",
            f"{run.longest_batch:.3f}" if run.batches else "",
        )
        for run in quality.runs
    )
    _table(console, ("last runs", "spider", "cache hits", "batches", "seconds each", "longest"), runs)
    pairs = ((p.kind, p.band, p.ours, p.theirs, p.tier, f"{p.score:.2f}", p.evidence) for p in quality.pairs)
    _table(console, ("to read", "band", "of Last.fm", "is", "found by", "score", "because"), pairs)
    console.print(_verdict(quality))


def _figures(console: Console, title: str, figures: Iterable[Figure]) -> None:
    rows = (
        (
            figure.service,
            figure.name,
            f"{figure.part:,}",
            f"{figure.whole:,}",
            percent(figure.part, figure.whole) if figure.whole else "",
            "" if figure.target is None else f"{100 * figure.target:.0f} %",
            Text("BELOW TARGET", "bold red") if figure.below else "",
        )
        for figure in figures
    )
    _table(console, (title, "", "count", "of", "share", "wanted", ""), rows)


def _findings(console: Console, findings: Sequence[Finding]) -> None:
    """What was found; of what was not only how much was looked for."""
    found = sorted((f for f in findings if f.count), key=lambda f: not f.check.fault)
    rows = (
        (
            Text("FAULT", "bold red") if finding.check.fault else "to look at",
            finding.check.kind,
            finding.check.what,
            f"{finding.count:,}",
            finding.example or "",
        )
        for finding in found
    )
    if found:
        _table(console, ("findings", "kind", "what", "count", "such as"), rows)
    console.print(f"{len(findings) - len(found)} of {len(findings)} checks found nothing\n")


def _verdict(quality: Quality) -> Text:
    faults, below = quality.faults, quality.below
    parts = [
        f"{_amount(sum(f.count for f in faults), 'fault')} in {_amount(len(faults), 'check')}"
        if faults
        else "no faults",
        f"{_amount(len(below), 'figure')} below target",
    ]
    return Text("; ".join(parts), "bold red" if faults else "bold")


def _amount(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _table(console: Console, titles: tuple[str, ...], rows: Iterable[tuple[str | Text, ...]]) -> None:
    """A table of *rows*; nothing where there are none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in _NUMBERS else "left", no_wrap=title in _NUMBERS)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    if table.row_count:
        console.print(table)
        console.print()
