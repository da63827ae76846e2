"""What the warehouse holds, what was done last, and how much of Last.fm's data is kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

RUNS = 5
USERS = 5


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Show users, lists, the last runs, and how much of Last.fm's data is kept"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:  # noqa: ARG002
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if args:
            raise UsageError("status takes no arguments")
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            database.open()
            self._show(Console(highlight=False), database)
        except WarehouseUnavailableError as exc:
            sys.stderr.write(f"scrapy status: the warehouse cannot be used: {exc}\n")
            self.exitcode = int(Exit.CRITICAL)
        finally:
            database.close()

    def _show(self, console: Console, database: Database) -> None:
        totals = database.run(queries.totals)
        statuses = ", ".join(f"{count:,} {status}" for status, count in database.run(queries.users_by_status))
        console.print(f"[bold]{totals.users:,}[/] users" + (f" ({statuses})" if statuses else ""))
        console.print(f"[bold]{totals.friendships:,}[/] friendships, [bold]{totals.artists:,}[/] artists", end="")
        console.print(f", [bold]{totals.user_artists:,}[/] top-artist rows\n")
        runs = (
            (run.id, run.spider, run.finish_reason or "running, or killed", _text(run.exit_code))
            for run in database.run(queries.last_runs, RUNS)
        )
        _table(console, ("last runs", "spider", "finish reason", "exit code"), runs)
        for title, kept in (
            ("Last.fm data kept", database.run(queries.stored_by_method)),
            ("most of it of", database.run(queries.stored_by_user, USERS)),
        ):
            rows = ((data.name, f"{data.answers:,}", f"{data.size / 1e6:,.1f}") for data in kept)
            _table(console, (title, "answers", "MB"), rows)
        self._cap(console, database.run(queries.stored_bytes) / 1e6)

    def _cap(self, console: Console, megabytes: float) -> None:
        """The sum, beside what Last.fm's terms allow."""
        assert self.settings is not None  # noqa: S101
        cap = self.settings.getfloat("LASTFM_STORAGE_CAP_MB")
        if not cap:
            console.print(f"{megabytes:,.1f} MB in all; LASTFM_STORAGE_CAP_MB=0 says that there is an agreement")
        elif megabytes <= cap:
            console.print(f"{megabytes:,.1f} MB of the {cap:,.0f} MB that Last.fm's terms allow without an agreement")
        else:
            console.print(
                f"[bold red]{megabytes:,.1f} MB[/], more than the {cap:,.0f} MB that Last.fm's terms allow without an "
                "agreement (README); LASTFM_STORAGE_CAP_MB=0 says that you have one"
            )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _table(console: Console, titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in {"answers", "MB", "exit code"} else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
