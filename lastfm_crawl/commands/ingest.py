"""Everything in order: users, what they listen to, ids, years and ratings, songs, sinks. Each phase is a process."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.spiderloader import get_spider_loader

from lastfm_crawl import config
from lastfm_crawl.commands.children import child
from lastfm_crawl.commands.ours import OurCommand, check_settings, not_set, open_console, read_option
from lastfm_crawl.commands.overview import FAILURES, Overview
from lastfm_crawl.commands.songs import MAX_SONGS
from lastfm_crawl.downloader.pace import paces
from lastfm_crawl.insight import estimates, phases
from lastfm_crawl.insight.wording import duration
from lastfm_crawl.spiders import arguments
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import jobs, queries
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError
from lastfm_crawl.warehouse.sinks import SETTINGS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from typing import IO

    from lastfm_crawl.commands.overview import Row
    from lastfm_crawl.insight.estimates import Estimate
    from lastfm_crawl.insight.phases import Phase
    from lastfm_crawl.warehouse.jobs import Job

MAX_USERS = 10_000
QUICK_USERS, QUICK_SONGS, QUICK_CHARTS = 10, 100, 1
#: Seconds between two looks at whether a phase has ended.
_STEP = 0.25


class _Asked(NamedTuple):
    """What was asked for: what the phases do, which of them are not run and why."""

    options: phases.Options
    wanted: estimates.Wanted
    left_out: dict[str, str]
    sinks: list[str]

    @property
    def counted(self) -> list[str]:
        """The phases of which there are estimates."""
        return [name for name in estimates.PHASES if name not in self.left_out]


class Command(OurCommand, ScrapyCommand):
    def syntax(self) -> str:
        return "--seeds a,b|@file [options]"

    def short_desc(self) -> str:
        return "Run all phases in order: users, what they listen to, ids, years, ratings, songs"

    def long_desc(self) -> str:
        return (
            "Finds users, fetches what they listen to, matches it, asks Spotify, MusicBrainz and albumoftheyear.org"
            f" about the {phases.RAW} x --max-songs most played artists, tracks and albums (ratings: of an album for"
            f" every {phases.SONGS_AN_ALBUM} songs), makes songs, sends the sinks what they lack, and looks at how good"
            " it all is. Interrupt it and run it again: whatever is there is not asked for again."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--seeds", metavar="a,b|@file", help="users to begin with (a file: one name a line)")
        parser.add_argument("--max-users", metavar="N", help=f"users to find (default: {MAX_USERS:,})")
        parser.add_argument("--max-songs", metavar="N", help=f"songs to keep (default: {MAX_SONGS:,})")
        parser.add_argument("--histories", action="store_true", help="also whole histories, to the last midnight UTC")
        parser.add_argument("--skip-aoty", action="store_true", help="without ratings")
        parser.add_argument("--skip-spotify", action="store_true", help="without asking Spotify")
        parser.add_argument("--dry-run", action="store_true", help="say what would be asked for; ask and write nothing")
        parser.add_argument(
            "--quick",
            action="store_true",
            help=f"a trial: {QUICK_USERS} users, {QUICK_SONGS} songs, {QUICK_CHARTS} page of each year's ratings",
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError(f"ingest takes no arguments but options: {self.syntax()}")
        asked = self._asked(opts)
        with self.warehouse() as database:
            if opts.dry_run:
                self._foretell(database, asked)
            else:
                with Console(stderr=True).status("Opening the warehouse"):
                    database.open()
                self._ingest(database, asked, [word for setting in opts.set for word in ("-s", setting)])

    def _asked(self, opts: argparse.Namespace) -> _Asked:
        """What the options and settings mean. Raises ValueError, one line."""
        config.refuse_secrets(assignment.partition("=")[0] for assignment in opts.set)
        if opts.seeds is None:
            raise ValueError("--seeds a,b or --seeds @file says with whom to begin")
        seeds = read_option(arguments.names, "--seeds", opts.seeds)
        users, songs = (QUICK_USERS, QUICK_SONGS) if opts.quick else (MAX_USERS, MAX_SONGS)
        users = users if opts.max_users is None else read_option(arguments.count, "--max-users", opts.max_users)
        songs = songs if opts.max_songs is None else read_option(arguments.count, "--max-songs", opts.max_songs)
        check_settings(self.settings)
        until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        charts = QUICK_CHARTS if opts.quick else None
        options = phases.Options(opts.seeds, users, songs, f"{until:%Y-%m-%d}", charts)
        wanted = estimates.Wanted(seeds, users, opts.histories, until.timestamp(), options.top, options.ratings)
        sinks = [sink for sink, setting in SETTINGS.items() if self.settings[setting]]
        return _Asked(options, wanted, self._left_out(opts), sinks)

    def _left_out(self, opts: argparse.Namespace) -> dict[str, str]:
        """The phases that are not run, and why. Raises ValueError where nothing can be."""
        left_out = {}
        if not opts.histories:
            left_out["recent_tracks"] = "only with --histories"
        if opts.skip_spotify:
            left_out |= dict.fromkeys(("spotify_artists", "spotify_tracks"), "--skip-spotify")
        if opts.skip_aoty:
            left_out["aoty"] = "--skip-aoty"
        loader = get_spider_loader(self.settings)
        for name in estimates.PHASES:
            spider = loader.load(name)
            for need in spider.needed(self.settings):  # type: ignore[attr-defined]  # all of ours have it
                if config.is_set(self.settings, need):
                    continue
                if need == "LASTFM_API_KEY":
                    raise ValueError(not_set(need))
                left_out.setdefault(name, f"no {need}")
        return left_out

    # --- the real thing ---

    def _ingest(self, database: Database, asked: _Asked, words: list[str]) -> None:
        """Run the phases one after another; *words* are given to each."""
        started = datetime.now(UTC)
        log = Path(self.settings["DATA_DIR"], "logs", f"ingest-{started:%Y%m%dT%H%M%SZ}.log").resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        plan = phases.plan(asked.options, asked.left_out, asked.sinks)
        codes: list[int] = []
        enriched = False  # since matching
        with log.open("ab") as output, log.open("rb") as shown, Overview(plan, log) as overview:
            runner = _Runner(overview, output, shown, _following(database))
            for place, row in enumerate(overview.rows):
                if row.state == "skipped":
                    continue
                names = {later.phase.name for later in overview.rows[place:]}
                overview.expected = self._count(database, asked, [name for name in asked.counted if name in names])
                nothing_new = row.phase.name == "match_again" and not enriched
                if nothing_new or _idle(row.phase, overview.expected):
                    overview.end(row, None)
                    continue
                code, interrupted = runner.run(row, words)
                codes.append(int(Exit.RESUMABLE) if interrupted else code)
                enriched |= row.phase.enriches
                if interrupted or not phases.goes_on(row.phase, code):
                    break
        self._conclude(overview, phases.outcome(codes), database.run(queries.requests_since, started))

    def _count(self, database: Database, asked: _Asked, names: list[str]) -> dict[str, Estimate]:
        """The estimates of the phases with *names*."""
        if not names:
            return {}
        counts = database.run(estimates.count, asked.wanted, time.time(), names)
        return {e.phase: e for e in estimates.estimates(counts, asked.wanted, paces(self.settings))}

    def _conclude(self, overview: Overview, code: Exit, requests: int) -> None:
        print(f"{requests:,} requests" if requests else "nothing was asked for: all that there is to ask for is there")
        if code is Exit.COMPLETE:
            return
        ends = [f"{row.phase.title} {row.state}" for row in overview.rows if row.state in {"with losses", *FAILURES}]
        advice = {Exit.LOSSES: "; run it again for what is missing", Exit.RESUMABLE: "; run it again to go on"}
        self.end(code, f"{', '.join(ends) or 'interrupted'}{advice.get(code, '')}; the log: {overview.log}")

    # --- the dry run ---

    def _foretell(self, database: Database, asked: _Asked) -> None:
        """Show the estimates. Nothing is written: a warehouse that is not there is not made."""
        counts = None
        if self.settings["DATABASE_URL"] or config.database_folder(self.settings).exists():
            database.open(as_it_is=True)
            try:
                counts = database.run(_look, asked, time.time())
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                message = "it is of an earlier version; `scrapy status` brings it up to date"
                raise WarehouseUnavailableError(message) from None
        if counts is None:
            counts = estimates.Counts(new_seeds=len(asked.wanted.seeds), left=dict.fromkeys(asked.counted, 0))
        found = estimates.estimates(counts, asked.wanted, paces(self.settings))
        console = open_console()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("phase", "requests", "time", "MB stored", "", ""):
            table.add_column(title, justify="right" if title in {"requests", "time", "MB stored"} else "left")
        for estimate in found:
            table.add_row(*_cells(estimate), estimate.basis, estimate.because)
        whole = (sum(e.requests for e in found), sum(e.seconds for e in found), sum(e.size for e in found))
        table.add_row(*_cells(estimates.Estimate("all", *whole, estimates.Basis.KNOWN)), style="bold")
        console.print(table)
        for name, why in asked.left_out.items():
            console.print(f"{name}: skipped, {why}")
        if not whole[0]:
            console.print("nothing would be asked for: all that there is to ask for is there")


class _Runner:
    """Runs phases, whose output goes to a file; *shown* is the same file, read."""

    def __init__(
        self, overview: Overview, output: IO[bytes], shown: IO[bytes], following: Iterator[Job | None]
    ) -> None:
        self._overview = overview
        self._output = output
        self._shown = shown
        self._following = following
        self._rest = b""
        self._last = ""

    def run(self, row: Row, words: list[str]) -> tuple[int, bool]:
        """The exit code of the phase, and whether somebody wants us to end."""
        since = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"  # as the ids of runs begin
        self._overview.begin(row)
        command = [*row.phase.words, *words]
        with child(command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output) as running:
            while running.process.poll() is None:
                self._tick(row, next(self._following), since)
            code = running.process.wait()
        while (job := next(self._following)) is not None:
            self._tick(row, job, since)
        self._tick(row, None, since)
        note = f"killed by signal {-code}" if code < 0 else self._last if row.phase.name == "quality" else ""
        self._overview.end(row, code, note)
        return code, running.interrupted

    def _tick(self, row: Row, job: Job | None, since: str) -> None:
        if job and (job.scope != row.phase.name or job.username is not None or job.run_id < since):
            job = None
        self._overview.tick(row, job)
        *lines, self._rest = (self._rest + self._shown.read()).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            self._last = text or self._last
            self._overview.line(text)


def _following(database: Database) -> Iterator[Job | None]:
    """The jobs as they change, and None every quarter of a second; only that while the warehouse is away."""
    while True:
        try:
            yield from jobs.follow(database.conninfo, _STEP)
        except psycopg.Error:
            time.sleep(_STEP)
            yield None


def _idle(phase: Phase, expected: Mapping[str, Estimate]) -> bool:
    """Whether it is known that *phase* has nothing to ask."""
    estimate = expected.get(phase.name)
    return phase.name in phases.COUNTED and estimate is not None and not estimate.requests and not estimate.because


def _look(connection: psycopg.Connection, asked: _Asked, now: float) -> estimates.Counts | None:
    """What the warehouse says, which is only looked at; None: there is nothing in it."""
    connection.execute("SET TRANSACTION READ ONLY")
    row = connection.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()
    return estimates.count(connection, asked.wanted, now, asked.counted) if row and row[0] else None


def _cells(estimate: Estimate) -> tuple[str, ...]:
    """Phase, requests, time and megabytes."""
    return estimate.phase, f"{estimate.requests:,}", duration(estimate.seconds), f"{estimate.size / 1e6:,.1f}"
