"""Where the crawl is, what is left to ask for, and how much of Last.fm's data is kept."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand, open_console
from lastfm_crawl.commands.screens import job_line, screen
from lastfm_crawl.downloader.pace import paces
from lastfm_crawl.insight.status import as_json, latest_jobs, read, read_user
from lastfm_crawl.warehouse import jobs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lastfm_crawl.insight.status import Status, UserDetail

#: Seconds between two changes of what is shown while it is watched, and how many times as long as it takes to read all
#: of it passes before it is read again.
_INTERVAL = 1.0
_SHARE = 5


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def syntax(self) -> str:
        return "[--user NAME] [--watch] [--json]"

    def short_desc(self) -> str:
        return "Show users, lists, jobs, runs, what is left, and how much of Last.fm's data is kept"

    def long_desc(self) -> str:
        return (
            "Of the lists of users: fetched, left for the next run (of them begun), with nothing to have (gone, private"
            ", empty), and beyond the limits of the last crawl of friends. Requests, time at the set pace and room are"
            " estimates. --watch goes on until Ctrl-C: on a terminal the screen changes with the jobs, elsewhere each"
            " change is a line. --json has stable names (lastfm_crawl/insight/status.py); --watch: one a line."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--user", metavar="NAME", help="the lists of one user, and the audit of the history")
        parser.add_argument("--watch", action="store_true", help="show every change, until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="everything, as one JSON object")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError("status takes no arguments but --user NAME, --watch and --json")
        config.check(self.settings)
        self._user: str | None = opts.user
        with self.warehouse() as self._database:
            self._database.open()
            if opts.watch:
                with suppress(KeyboardInterrupt):  # the only way to end it
                    self._watch(as_objects=opts.json)
            else:
                self._once(as_object=opts.json)

    def _once(self, *, as_object: bool) -> None:
        found = self._read()
        if as_object:
            print(json.dumps(as_json(found), indent=2))
        else:
            open_console().print(screen(found))

    def _watch(self, *, as_objects: bool) -> None:
        if as_objects:
            for found in self._changes():
                print(json.dumps(as_json(found)), flush=True)
        elif sys.stdout.isatty():
            with Live(console=open_console(), auto_refresh=False, screen=True) as live:
                for found in self._changes():
                    live.update(screen(found), refresh=True)
        else:
            self._read()  # a stranger is nobody to wait for
            since = datetime.now(UTC)
            for job in jobs.follow(self._database.conninfo):
                if job is not None and self._is_about(job) and (job.finished_at is None or job.finished_at >= since):
                    print(job_line(job), flush=True)

    def _changes(self) -> Iterator[Status | UserDetail]:
        """The status, and again whenever a job has changed; what takes long to read follows less often."""
        found, shown, next_look = None, 0.0, 0.0
        changed = behind = False
        for job in jobs.follow(self._database.conninfo):
            changed = changed or (job is not None and self._is_about(job))
            now = time.monotonic()
            if found is None or ((changed or behind) and now >= next_look):
                found = self._read()
                next_look = now + max(_INTERVAL, (1 + _SHARE) * (time.monotonic() - now))
                behind = False
            elif changed and now - shown >= _INTERVAL:
                found = replace(found, jobs=self._database.run(latest_jobs, self._user))
                behind = True
            else:
                continue
            changed, shown = False, time.monotonic()
            yield found

    def _is_about(self, job: jobs.Job) -> bool:
        return self._user is None or (job.username or "").lower() == self._user.lower()

    def _read(self) -> Status | UserDetail:
        """What is to be shown. Raises ValueError for a stranger."""
        if self._user is None:
            cap = self.settings.getfloat("LASTFM_STORAGE_CAP_MB")
            return self._database.run(read, Path(self.settings["DATA_DIR"]), cap, paces(self.settings))
        detail = self._database.run(read_user, self._user)
        if detail is None:
            raise ValueError(f"the warehouse knows no user {self._user!r}")
        return detail
