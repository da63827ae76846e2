"""What the settings and secrets are, and where each comes from."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand, open_console
from lastfm_crawl.insight.effective import Value, values
from lastfm_crawl.insight.wording import printable

if TYPE_CHECKING:
    import argparse


class Command(OurCommand, ScrapyCommand):
    def short_desc(self) -> str:
        return "Show every setting with its value and where it comes from; secrets are masked"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", help="as one JSON object, with what each setting means")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError("config takes no arguments but --json")
        found = values(self.settings)
        if opts.json:
            print(json.dumps({"settings": [one._asdict() for one in found]}, indent=2))
        else:
            _show(found)


def _show(found: list[Value]) -> None:
    console = open_console()
    for section, members in groupby(found, key=lambda one: one.section):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(section, no_wrap=True)
        table.add_column("value", overflow="fold")
        table.add_column("from", no_wrap=True)
        for one in members:
            shown = f"{printable(one.value)} {one.unit}".rstrip() if one.value else "not set"
            table.add_row(one.name, Text(shown, "" if one.value else "dim"), one.origin)
        console.print(table)
        console.print()
