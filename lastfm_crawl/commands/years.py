"""Which years a user's music comes from: on the terminal, as data, as a picture or as a page."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.bar import Bar as RichBar
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand, read_option
from lastfm_crawl.httpcache.keys import segment
from lastfm_crawl.insight import wording
from lastfm_crawl.insight.years import Question, release_years
from lastfm_crawl.spiders.arguments import day, one_of, year

if TYPE_CHECKING:
    import argparse

    from lastfm_crawl.insight.years import By, ReleaseYears

FORMATS = ("table", "json", "csv", "png", "html")
#: Cells that the longest bar on a terminal has at least and at most.
_BAR = (20, 60)


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def syntax(self) -> str:
        return "[options] <user> [listening year]"

    def short_desc(self) -> str:
        return "Show which years a user's music comes from"

    def long_desc(self) -> str:
        return (
            "Counts what a user played, or in one listening year, by the year in which it first came out, beside all"
            " users of the warehouse. Years come from `scrapy crawl musicbrainz`; what has none yet is counted, too."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        group = parser.add_argument_group("Years")
        group.add_argument("--by", default="year", metavar="year|decade", help="width of the bars (default: year)")
        group.add_argument("--since", metavar="DAY", help="plays from that day on: 2026-01-31 (UTC)")
        group.add_argument("--until", metavar="DAY", help="plays before that day")
        measure = group.add_mutually_exclusive_group()
        measure.add_argument(
            "--plays",
            dest="measure",
            action="store_const",
            const="plays",
            default="plays",
            help="count plays (default)",
        )
        measure.add_argument(
            "--albums", dest="measure", action="store_const", const="albums", help="count each album once"
        )
        group.add_argument(
            "--format", metavar="|".join(FORMATS),
            help="default: what the name of --out ends in, else a chart on a terminal and a table elsewhere",
        )  # fmt: skip
        group.add_argument("--out", metavar="FILE", help="write there; pictures and pages go to years-USER.* without")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) not in {1, 2}:
            raise UsageError("name one user, and at most one listening year")
        question, kind = _question(args, opts), _format(opts)
        with self.warehouse() as database:
            database.open()
            years = database.run(release_years, args[0], question)
        if years is None:
            raise ValueError(f"the warehouse knows no user {args[0]!r}")
        try:
            self._show(years, kind, opts.out)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise ValueError(f"{exc.filename or 'the output'} cannot be written: {exc.strerror}") from None

    def _show(self, years: ReleaseYears, kind: str, out: str | None) -> None:
        """The answer as *kind*, to the file *out* or where it belongs."""
        if kind in {"png", "html"} and years.dated:
            name = segment(years.user) + (f"-{years.question.first:%Y}" if years.question.is_listening_year else "")
            file = Path(out or f"years-{name}.{kind}")
            file.write_bytes(_picture(years, kind))
            print(f"{file}: {wording.coverage(years)}")
        elif kind in {"json", "csv"}:
            text = _json(years) if kind == "json" else _csv(years)
            if out:
                Path(out).write_text(text, encoding="utf-8", newline="")
            else:
                sys.stdout.write(text)
            if kind == "csv":
                sys.stderr.write(f"{wording.coverage(years)}\n")
        elif years.dated:
            self._table(years, out, chart=kind == "chart")
        elif years.total:
            print(f"{wording.listening(years)}: {wording.coverage(years)}; {wording.undated(years)}")
        hint = _hint(years)
        if hint:
            self.say(hint)

    def _table(self, years: ReleaseYears, out: str | None, *, chart: bool) -> None:
        target = StringIO()
        # A file or a pipe has no width: nothing is to be cut there.
        console = Console(highlight=False) if chart else Console(highlight=False, width=200, file=target)
        console.print(Text(f"{wording.title(years)}, {wording.listening(years)}", "bold"))
        console.print(bars(years, max(_BAR[0], min(_BAR[1], console.width - 40)) if chart else 0))
        if years.question.by == "year":
            shares = (f"{bar.year}s {wording.percent(bar.count, years.dated)}" for bar in years.decades)
            console.print()
            console.print(Text(" · ".join(shares)))
        console.print()
        console.print(_over_time(years))
        console.print()
        console.print(Text("; ".join(filter(None, (wording.middle(years), wording.everyone(years))))))
        without = wording.undated(years)
        console.print(Text(wording.coverage(years) + (f" ({without})" if without else ""), "bold"))
        if out:
            Path(out).write_text(target.getvalue(), encoding="utf-8")
        else:
            sys.stdout.write(target.getvalue())


def _question(args: list[str], opts: argparse.Namespace) -> Question:
    """What is asked. Raises ValueError, one line that names the argument."""
    user, *words = args
    if any("\ud800" <= char <= "\udfff" for char in user):
        raise ValueError(f"{user!r} is no user name")
    by = cast("By", read_option(one_of("year", "decade"), "--by", opts.by))
    if words:
        if opts.since or opts.until:
            raise ValueError("the listening year says all that --since and --until could")
        return Question.listening_year(read_option(year, "listening year", words[0]), by, opts.measure)
    first, end = (
        datetime.fromtimestamp(read_option(day, option, text), UTC) if text else None
        for option, text in (("--since", opts.since), ("--until", opts.until))
    )
    if first and end and first >= end:
        raise ValueError("--since must lie before --until")
    return Question(by, opts.measure, first, end)


def _format(opts: argparse.Namespace) -> str:
    """How to show it: one of FORMATS, or ``chart``."""
    if opts.format:
        return read_option(one_of(*FORMATS), "--format", opts.format)
    if opts.out:
        suffix = Path(opts.out).suffix.lower().lstrip(".")
        return suffix if suffix in FORMATS else "table"
    return "chart" if sys.stdout.isatty() else "table"


def _hint(years: ReleaseYears) -> str:
    """What to run for more of an answer."""
    if not years.total:
        what = years.question.measure
        return f"no {what} of {wording.name(years)!r} are stored for that time; run scrapy crawl recent_tracks"
    if years.undated.get("pending"):
        waiting = wording.amount(years.undated["pending"], years.question)
        return f"{waiting} not looked up yet; run scrapy crawl musicbrainz"
    return ""


def bars(years: ReleaseYears, width: int) -> Table:
    """The numbers, and bars of up to *width* cells when there is room for them."""
    compared = bool(wording.everyone(years))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("released", no_wrap=True)
    if width:
        table.add_column("")
    for title in (years.question.measure, "share", *(("all users",) if compared else ())):
        table.add_column(title, justify="right", no_wrap=True)
    most = max(bar.count for bar in years.bars)
    for bar in years.bars:
        cells: list[Any] = [wording.label(bar, years.question)]
        if width:
            cells.append(RichBar(most, 0, bar.count, width=width, color="cyan"))
        cells += [f"{bar.count:,}", wording.percent(bar.count, years.dated)]
        if compared:
            cells.append(wording.percent(bar.everyone, years.everyone.dated))
        table.add_row(*cells)
    return table


def _over_time(years: ReleaseYears) -> Table:
    """Median and quartiles, a line for each part of the listening time."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("played in", no_wrap=True)
    for title in ("dated", "lower quartile", "median", "upper quartile"):
        table.add_column(title, justify="right")
    for part in years.periods:
        table.add_row(wording.period(part.start, years.question), f"{part.count:,}", *map(str, part.quartiles))
    return table


def _json(years: ReleaseYears) -> str:
    """Everything, as one JSON object."""
    question = years.question
    quartiles = years.quartiles._asdict() if years.quartiles else None
    everyone = years.everyone
    answer = {
        "user": years.user,
        "url": wording.profile_url(years),
        "since": question.first and question.first.isoformat(),
        "until": question.end and question.end.isoformat(),
        "measure": question.measure,
        "by": question.by,
        "total": years.total,
        "dated": years.dated,
        "undated": dict(years.undated),
        "quartiles": quartiles,
        "years": [asdict(bar) for bar in years.bars],
        "decades": [asdict(bar) for bar in years.decades],
        f"by_listening_{question.period}": [
            {question.period: wording.period(p.start, question), "count": p.count, **p.quartiles._asdict()}
            for p in years.periods
        ],
        "everyone": {
            "users": everyone.users,
            "dated": everyone.dated,
            "quartiles": everyone.quartiles._asdict() if everyone.quartiles else None,
        },
    }
    return f"{json.dumps(answer, indent=2)}\n"


def _csv(years: ReleaseYears) -> str:
    """The bars, one a line."""
    target = StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([years.question.by, years.question.measure, "share", "everyone", "everyone_share"])
    writer.writerows((bar.year, bar.count, bar.share, bar.everyone, bar.everyone_share) for bar in years.bars)
    return target.getvalue()


def _picture(years: ReleaseYears, kind: str) -> bytes:
    from lastfm_crawl.insight import charts, page  # noqa: PLC0415  (matplotlib takes long to import)

    return charts.png(years) if kind == "png" else page.html(years).encode()
