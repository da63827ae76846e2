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
from lastfm_crawl.warehouse import backlog, queries
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

RUNS = 5
#: Columns that stand on the right.
NUMBERS = {
    "rows sent",
    "users waiting",
    "answers",
    "MB",
    "exit code",
    "pages",
    "rows read",
    "reported",
    "stored",
    "undated",
    "repeated",
}
USERS = 5


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Show users, lists, the last runs, and how much of Last.fm's data is kept"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--user", metavar="NAME", help="the lists of one user, and the audit of the history")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None  # noqa: S101  (Scrapy sets it before run)
        if args:
            raise UsageError("status takes no arguments but --user NAME")
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            database.open()
            # A file or a pipe has no width: nothing is to be cut there.
            console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
            if opts.user:
                self._show_user(console, database, opts.user)
            else:
                self._show(console, database)
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
        console.print(f", [bold]{totals.user_artists:,}[/] top-artist rows, [bold]{totals.scrobbles:,}[/] scrobbles\n")
        runs = (
            (run.id, run.spider, run.finish_reason or "running, or killed", _text(run.exit_code))
            for run in database.run(queries.last_runs, RUNS)
        )
        self._sinks(console, database.run(backlog.lags))
        _table(console, ("last runs", "spider", "finish reason", "exit code"), runs)
        for title, kept in (
            ("Last.fm data kept", database.run(queries.stored_by_method)),
            ("most of it of", database.run(queries.stored_by_user, USERS)),
        ):
            rows = ((data.name, f"{data.answers:,}", f"{data.size / 1e6:,.1f}") for data in kept)
            _table(console, (title, "answers", "MB"), rows)
        self._cap(console, database.run(queries.stored_bytes) / 1e6)

    @staticmethod
    def _sinks(console: Console, lags: list[backlog.Lag]) -> None:
        """What the sinks have, and what waits for them."""
        if not lags:
            return
        rows = (
            (lag.sink, lag.kind, f"{lag.rows:,}", f"{lag.users:,}", f"{lag.since:%Y-%m-%d %H:%M}" if lag.since else "")
            for lag in lags
        )
        _table(console, ("sink", "kind", "rows sent", "users waiting", "since"), rows)
        for lag in lags:
            if lag.last_error:
                console.print(f"{lag.sink}, {lag.kind}: tried {lag.attempts} times in vain: {lag.last_error}\n")

    def _show_user(self, console: Console, database: Database, name: str) -> None:
        """One user: the lists with their pages, and every window of the history with what became of its rows."""
        user = database.run(queries.user_status, name)
        if user is None:
            sys.stderr.write(f"scrapy status: the warehouse knows no user {name!r}\n")
            self.exitcode = int(Exit.WRONG_USE)
            return
        detail = f" ({user.detail})" if user.detail else ""
        console.print(f"[bold]{user.name}[/]: {user.status}{detail}, {user.scrobbles:,} scrobbles stored", end="")
        console.print("\n" if user.playcount is None else f" of {user.playcount:,} that the profile counts\n")
        pages = database.run(queries.user_pages, name)
        _table(console, ("list", "which", "pages"), ((p.method, p.params, f"{p.done} of {p.pages}") for p in pages))
        windows = database.run(queries.audit, name)
        with_plays = [f"{w.first:%Y}" for w in windows if w.stored and (w.end - w.first).days in {365, 366}]
        titles = ("from", "to", "rows read", "reported", "stored", "undated", "repeated", "explained")
        _table(console, titles, (_window(window) for window in windows))
        if with_plays:
            console.print(f"closed years with plays: {', '.join(with_plays)}")

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


def _window(window: queries.AuditedWindow) -> tuple[str, ...]:
    numbers = (window.rows_done, window.reported, window.stored, window.undated, window.duplicates)
    # The first window has no lower bound, and is written as if it had that of the clock.
    first = "the beginning" if not window.first.timestamp() else f"{window.first:%Y-%m-%d %H:%M}"
    return (first, f"{window.end:%Y-%m-%d %H:%M}", *(f"{n:,}" for n in numbers), "yes" if window.explained else "NO")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _table(console: Console, titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="right" if title in NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
