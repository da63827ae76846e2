"""What the commands that answer from everybody's lists have in common: the way to the answer, and how it is shown."""

from __future__ import annotations

import csv
import json
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table

from lastfm_crawl import config
from lastfm_crawl.commands.working import working
from lastfm_crawl.insight.wording import printable
from lastfm_crawl.spiders.arguments import one_of
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import tastes
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import psycopg
    from scrapy.settings import BaseSettings

    from lastfm_crawl.insight.named import Named

FORMATS = ("table", "json", "csv")
T = TypeVar("T")


class NothingToShowError(Exception):
    """There is no answer: the exit code and one line that says why."""

    def __init__(self, code: Exit, line: str) -> None:
        super().__init__(line)
        self.code = code


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many answers, and how they are shown."""
    parser.add_argument("--limit", default="20", metavar="N", help="how many are shown (default: 20)")
    parser.add_argument("--format", default="table", metavar="|".join(FORMATS), help="default: table")


def answer(settings: BaseSettings | None, ask: Callable[[psycopg.Connection], T]) -> T:
    """What *ask* returns for the warehouse, once what is derived is up to date. Raises NothingToShowError."""
    assert settings is not None  # noqa: S101  (Scrapy sets it before run)
    database = Database(settings["DATABASE_URL"], config.database_folder(settings))
    try:
        database.open()
        changed = len(database.run(tastes.changed_users))
        with working("reading lists of artists", changed) as advance:
            database.run(tastes.bring_up_to_date, advance)
        return database.run(ask)
    except WarehouseUnavailableError as exc:
        raise NothingToShowError(Exit.CRITICAL, f"the warehouse cannot be used: {exc}") from exc
    finally:
        database.close()


def say(command: str, line: str) -> None:
    """*line* beside the answer of *command*."""
    sys.stderr.write(f"scrapy {command}: {printable(line)}\n")


def number(option: str, text: str, least: int = 1) -> int:
    """The whole number *text*, of *least* or more. Raises ValueError, one line that names the *option*."""
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"{option}: {text!r} is not a whole number from {least} on")
    return int(text)


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


def say_unsure(command: str, named: Named) -> None:
    """A line for each name that was not used."""
    for given, suggestion in named.doubtful:
        say(command, f"{given!r} is not sure; did you mean {suggestion!r}?")
    if named.unknown:
        say(command, f"not in anybody's list: {', '.join(named.unknown)}")


def format_of(text: str) -> str:
    """One of FORMATS. Raises ValueError."""
    try:
        return str(one_of(*FORMATS)(text))
    except ValueError as exc:
        raise ValueError(f"--format: {text!r} is wrong: {exc}") from None


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """*rows* below *title*; columns whose name begins with ``#`` are numbers."""
    on_terminal = sys.stdout.isatty()
    # A file or a pipe has no width: nothing is to be cut there.
    console = Console(highlight=False, markup=False, width=None if on_terminal else 10_000)
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
