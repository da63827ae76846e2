"""What the commands that answer from everybody's lists have in common: the way to the answer, and how it is shown."""

from __future__ import annotations

import csv
import json
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.table import Table

from lastfm_crawl.commands.ours import open_console, read_option
from lastfm_crawl.commands.working import working
from lastfm_crawl.insight.wording import printable
from lastfm_crawl.spiders.arguments import one_of
from lastfm_crawl.warehouse import tastes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import psycopg

    from lastfm_crawl.commands.ours import OurCommand
    from lastfm_crawl.insight.named import Named

FORMATS = ("table", "json", "csv")
T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many answers, and how they are shown."""
    parser.add_argument("--limit", default="20", metavar="N", help="how many are shown (default: 20)")
    parser.add_argument("--format", default="table", metavar="|".join(FORMATS), help="default: table")


def answer(command: OurCommand, ask: Callable[[psycopg.Connection], T]) -> T:
    """What *ask* returns for the warehouse of *command*, once what is derived is up to date."""
    with command.warehouse() as database:
        database.open()
        changed = len(database.run(tastes.changed_users))
        with working("reading lists of artists", changed) as advance:
            database.run(tastes.bring_up_to_date, advance)
        return database.run(ask)


def names(option: str, text: str) -> list[str]:
    """The names in ``a,b,c``, or the lines of the file of ``@file``. Raises ValueError, one line."""
    if text.startswith("@"):
        try:
            parts = Path(text[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"{option}: {text[1:]} cannot be read: {getattr(exc, 'strerror', None) or exc}") from None
    else:
        parts = text.split(",")
    return checked([part.strip() for part in parts])


def checked(given: list[str]) -> list[str]:
    """Those of the names *given* that are not empty. Raises ValueError for one that can be none, or if none is left."""
    for name in given:
        if any("\ud800" <= char <= "\udfff" or char == "\0" for char in name):
            raise ValueError(f"{name!r} is no name")
    left = [name for name in given if name.strip()]
    if not left:
        raise ValueError("no name is given")
    return left


def say_unsure(command: OurCommand, named: Named) -> None:
    """A line for each name that was not used."""
    for given, suggestion in named.doubtful:
        command.say(f"{given!r} is not sure; did you mean {suggestion!r}?")
    if named.unknown:
        command.say(f"not in anybody's list: {', '.join(named.unknown)}")


def format_of(text: str) -> str:
    """One of FORMATS. Raises ValueError."""
    return read_option(one_of(*FORMATS), "--format", text)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """*rows* below *title*; columns whose name begins with ``#`` are numbers."""
    console = open_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.startswith("#")
        table.add_column(column.lstrip("#"), justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(printable(title), style="bold")
    console.print(table)


def show_json(answer: Any) -> None:
    """*answer* as one JSON object."""
    print(json.dumps(answer, indent=2))


def show_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """*rows* as CSV."""
    target = StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    sys.stdout.write(target.getvalue())
