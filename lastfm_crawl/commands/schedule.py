"""Runs on a Scrapyd: schedule one, see what became of them, stop one in order, read its log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.spiderloader import get_spider_loader
from scrapy.utils.conf import arglist_to_dict

from lastfm_crawl import config
from lastfm_crawl.commands.answers import show_table
from lastfm_crawl.commands.crawl import load_spider
from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.scrapyd import Job, Scrapyd
from lastfm_crawl.insight.wording import printable
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.database import WarehouseUnavailableError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping

    from lastfm_crawl.warehouse.queries import JobRun

COLUMNS = ("job", "spider", "state", "started", "ended", "#exit code", "finish reason")


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def syntax(self) -> str:
        return "run SPIDER [-a NAME=VALUE]... [--job ID] | list | cancel ID | logs ID"

    def short_desc(self) -> str:
        return "Run spiders on a Scrapyd (SCRAPYD_URL), and see what became of them"

    def long_desc(self) -> str:
        return (
            "run: put a run into the queue; under the id of an earlier one it goes on where that stopped. "
            "list: the jobs that Scrapyd remembers, with exit codes from the warehouse. "
            "cancel: stop one in order. logs: print its log. `scrapyd-deploy` sends the project there."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "-a", dest="spargs", action="append", default=[], metavar="NAME=VALUE", help="run: spider argument"
        )
        parser.add_argument("--job", metavar="ID", help="run: its id (default: Scrapyd makes one)")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        actions: dict[str, Callable[[], None]] = {
            "run": lambda: self._run(args[1], _pairs(opts.spargs, "-a"), _pairs(opts.set, "-s"), opts.job),
            "list": self._list,
            "cancel": lambda: self._cancel(args[1]),
            "logs": lambda: self._logs(args[1]),
        }
        action = args[0] if args else ""
        if action not in actions or len(args) != (1 if action == "list" else 2):
            raise UsageError(f"say one of: {self.syntax()}")
        if action != "run" and (opts.spargs or opts.job):
            raise UsageError("-a and --job belong to run")
        config.check(self.settings)
        self._scrapyd = Scrapyd(f"{self.settings['SCRAPYD_URL'].rstrip('/')}/")
        actions[action]()

    def _run(self, spider: str, arguments: dict[str, str], settings: dict[str, str], job: str | None) -> None:
        _refuse_secrets({**arguments, **settings})
        load_spider(get_spider_loader(self.settings), spider, arguments)
        if job is not None:
            if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", job, re.ASCII):
                raise ValueError(f"--job: {job!r} is no id: letters, digits, dots, hyphens and underscores")
            for other in self._scrapyd.jobs():
                if other.id == job and other.state != "finished":
                    raise ValueError(f"job {job} is {other.state}: wait for it, or `scrapy schedule cancel {job}`")
        # The job reads it from where Scrapyd was started.
        there = {name: f"@{Path(text[1:]).resolve()}" if text[:1] == "@" else text for name, text in arguments.items()}
        settings.pop("SCRAPYD_URL", None)  # where we ask, which is nothing to the job
        print(self._scrapyd.schedule(spider, there, settings, job))

    def _list(self) -> None:
        jobs = self._scrapyd.jobs()
        runs = self._runs({job.id for job in jobs})
        rows = []
        for job in sorted(jobs, key=lambda job: (job.started or "9", job.id), reverse=True):
            run = _run_of(job, runs)
            code = "" if run is None or run.exit_code is None else str(run.exit_code)
            reason = (run and run.finish_reason) or ("killed" if run and job.state == "finished" else "")
            rows.append((job.id, job.spider, job.state, job.started, job.ended, code, reason))
        show_table(f"Jobs at {self.settings['SCRAPYD_URL']}", COLUMNS, rows)

    def _runs(self, jobs: Iterable[str]) -> list[JobRun]:
        """What the run record knows of *jobs*: nothing, with a line, where the warehouse is out of reach."""
        folder = config.database_folder(self.settings)
        if not self.settings["DATABASE_URL"] and not folder.exists():
            self.say(f"there is no warehouse in {folder}, so no exit codes are shown (DATABASE_URL, DATA_DIR)")
            return []
        try:
            with self.warehouse() as database:
                database.open()
                return database.run(queries.runs_of_jobs, list(jobs))
        except WarehouseUnavailableError as exc:
            self.say(f"the warehouse cannot be used, so no exit codes are shown: {exc}")
            return []

    def _cancel(self, name: str) -> None:
        job = self._job(name)
        if job.state == "finished":
            self.end(Exit.COMPLETE, f"job {name} has ended")
        elif job.state == "running" and self._scrapyd.told_to_stop(job):
            # A second signal ends it at once, and what is under way is lost.
            self.end(Exit.COMPLETE, f"job {name} was told to stop before and is ending: nothing is sent to it")
        else:
            self._scrapyd.cancel(name)
            print(
                f"job {name} is ending; `scrapy schedule run` with --job {name} goes on with it"
                if job.state == "running"
                else f"job {name} is out of the queue"
            )

    def _logs(self, name: str) -> None:
        for line in self._scrapyd.log(self._job(name)):
            print(printable(line))

    def _job(self, name: str) -> Job:
        """The job *name*: the newest one that has not ended, or that has. Raises ValueError."""
        jobs = [job for job in self._scrapyd.jobs() if job.id == name]
        if not jobs:
            raise ValueError(f"Scrapyd has no job {name!r}; `scrapy schedule list` shows those that it has")
        return max(jobs, key=lambda job: (job.state == "running", job.state == "pending", job.started))


def _pairs(given: list[str], option: str) -> dict[str, str]:
    try:
        return arglist_to_dict(given)
    except ValueError:
        raise UsageError(f"{option} takes NAME=VALUE") from None


def _refuse_secrets(given: Mapping[str, str]) -> None:
    """Raise ValueError for what Scrapyd would show to everybody: on its pages, in its log, in the process list."""
    config.refuse_secrets(given)
    for name, value in given.items():
        if ("://" in value and urlsplit(value).password) or "password=" in value:
            raise ValueError(f"{name} holds a password: it must come from the environment of Scrapyd")


def _run_of(job: Job, runs: Iterable[JobRun]) -> JobRun | None:
    """The last of *runs* that began while *job* ran. Scrapyd tells its local time, which is taken for ours."""
    if not job.started:
        return None
    started = datetime.fromisoformat(job.started).astimezone()
    ended = datetime.fromisoformat(job.ended).astimezone() if job.ended else datetime.now(UTC)
    found = [run for run in runs if run.job == job.id and started <= run.started_at.replace(microsecond=0) <= ended]
    return found[-1] if found else None
