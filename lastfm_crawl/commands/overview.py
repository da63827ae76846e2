"""What `scrapy ingest` shows while its phases run: one table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lastfm_crawl.insight.wording import duration
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lastfm_crawl.insight.estimates import Estimate
    from lastfm_crawl.insight.phases import Phase
    from lastfm_crawl.warehouse.jobs import Job

#: Seconds between two plain lines of a phase that is running.
INTERVAL = 60.0
#: Seconds of the past that the rate is taken from.
_WINDOW = 120.0
#: Lines below the table, at most.
_ALARMS = 6
_WIDE = 100  # columns
#: A line of the log that somebody should see: of the log of a crawl, or the last word of a command of ours.
_ALARM = re.compile(r"^\S+ \S+ \[\S+\] (?P<what>WARNING|ERROR|CRITICAL): |^scrapy \w+: ")
_STYLES = {"running": "bold cyan", "done": "green", "waiting": "dim", "skipped": "dim"}
#: States of a phase that did not come to its end.
FAILURES = ("failed", "stopped")
_ENDS = {
    int(Exit.COMPLETE): "done",
    int(Exit.LOSSES): "with losses",
    int(Exit.RESUMABLE): "stopped",
}


@dataclass
class Row:
    """A phase as it is shown."""

    phase: Phase
    state: str = "waiting"
    note: str = ""
    begun: float = 0.0  # seconds of the monotonic clock
    seconds: float = 0.0
    job: Job | None = None
    #: When, and how far it was then.
    past: deque[tuple[float, int]] = field(default_factory=deque)

    def follow(self, job: Job, now: float) -> None:
        """What the warehouse says of it now."""
        self.job = job
        self.past.append((now, job.progress))
        while len(self.past) > 2 and self.past[1][0] < now - _WINDOW:
            self.past.popleft()

    @property
    def rate(self) -> float | None:
        """Things a second; None: it cannot be told yet."""
        if len(self.past) < 2:
            return None
        (then, before), (now, after) = self.past[0], self.past[-1]
        return (after - before) / (now - then) if now > then and after > before else None

    def left(self, expected: float) -> float:
        """Seconds that it still takes; *expected* are those that it takes in all by the estimate."""
        if self.state not in {"running", "waiting"}:
            return 0.0
        if self.state == "running" and self.job is not None and self.job.total and self.rate:
            return max(0, self.job.total - self.job.progress) / self.rate
        return max(0.0, expected - (time.monotonic() - self.begun if self.begun else 0.0))


class Overview:
    """All phases, the lines of the log that matter, and when it is all done."""

    def __init__(self, phases: Sequence[Phase], log: Path) -> None:
        self.rows = [Row(p, "skipped" if p.left_out else "waiting", p.left_out) for p in phases]
        self.expected: Mapping[str, Estimate] = {}
        self.alarms: dict[str, int] = {}  # and how often each came, the last one last
        self.log = log
        self._begun = time.monotonic()
        self._said = 0.0
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> Overview:
        if sys.stderr.isatty():
            self._live = Live(self, console=self._console, refresh_per_second=4, vertical_overflow="crop")
            self._live.start()
        else:
            for row in self.rows:
                if row.note:
                    self._say(f"{row.phase.title}: skipped, {row.note}")
            self._say(f"log: {self.log}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin(self, row: Row) -> None:
        """*row* runs from now on."""
        row.state, row.begun = "running", time.monotonic()
        self._said = row.begun
        if not self._live:
            expected = self.expected.get(row.phase.name)
            about = f", {_about(expected)}" if expected and expected.requests else ""
            self._say(f"{row.phase.title}: begins{about}")

    def tick(self, row: Row, job: Job | None = None) -> None:
        """Time goes by; *job* is how far *row* is, if that has changed."""
        now = time.monotonic()
        row.seconds = now - row.begun
        if job:
            row.follow(job, now)
        if not self._live and now - self._said >= INTERVAL:
            self._said = now
            done, rate, left = _progress(row, self._expected(row))
            parts = [done, rate, left and f"{left} left", f"{duration(row.seconds)} so far", self._eta()]
            self._say(f"{row.phase.title}: {', '.join(filter(None, parts))}")

    def end(self, row: Row, code: int | None, note: str = "") -> None:
        """*row* has ended; without a code it had nothing to do."""
        if code is None:
            row.state, row.note = "done", "nothing to do"
        else:
            row.seconds = time.monotonic() - row.begun
            row.state, row.note = _ENDS.get(code, "failed"), note
        if not self._live:
            done = _progress(row, 0.0)[0]
            took = f"in {duration(row.seconds)}" if code is not None else ""
            self._say(f"{row.phase.title}: {', '.join(filter(None, [row.state, row.note, done, took]))}")

    def line(self, text: str) -> None:
        """A line of the log, plain or JSON."""
        text = _plain(text)
        if not (found := _ALARM.search(text)):
            return
        text = "".join(char if char.isprintable() else " " for char in text[max(found.start("what"), 0) :])
        if text not in self.alarms and not self._live:
            self._say(f"  {text}")
        self.alarms[text] = self.alarms.pop(text, 0) + 1

    def __rich__(self) -> Group:
        """The table, what the log warns of, and where all of the log is."""
        width = self._console.width
        wide = width >= _WIDE
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for title in ("phase", "state", "done", "rate", "time"):
            words = title in {"phase", "state"}
            table.add_column(
                title, justify="left" if words else "right", no_wrap=True, ratio=1 if title == "state" else None
            )
        for row in self.rows:
            said = row.state + (f", {row.note}" if row.note else "")
            # On eighty columns why it is skipped is what counts.
            state = Text(row.note if row.state == "skipped" and not wide else said, _STYLES.get(row.state, "bold red"))
            expected = self._expected(row)
            done, rate, left = _progress(row, expected, units=wide)
            when = f"{left} left" if left else ""
            if row.state == "waiting" and expected >= 1:
                when = f"~{duration(expected)}"
            elif row.state != "running" and row.seconds:
                when = duration(row.seconds)
            table.add_row(row.phase.title, state, done, rate, when)
        room = max(1, min(_ALARMS, self._console.height - len(self.rows) - 6))
        hidden = len(self.alarms) - room
        shown = [f"… {hidden:,} more in the log"] if hidden > 0 else []
        shown += [f"{line} ({count} times)" if count > 1 else line for line, count in list(self.alarms.items())[-room:]]
        alarms = [Text(line, "yellow", no_wrap=True, overflow="ellipsis") for line in shown]
        all_of_them = [row for row in self.rows if row.state != "skipped"]
        gone = sum(row.state not in {"waiting", "running"} for row in all_of_them)
        parts = [
            f"{gone} of {len(all_of_them)} phases",
            f"{duration(time.monotonic() - self._begun)} so far",
            self._eta(),
        ]
        whole = Text(", ".join(filter(None, parts)), "bold", no_wrap=True, overflow="ellipsis")
        log = Text(f"log: {self.log}", "dim", no_wrap=True, overflow="ellipsis")
        return Group(table, Text(), whole, log, *alarms)

    def _expected(self, row: Row) -> float:
        found = self.expected.get(row.phase.name)
        return found.seconds if found else 0.0

    def _eta(self) -> str:
        left = sum(row.left(self._expected(row)) for row in self.rows)
        return f"about {duration(left)} left in all" if left >= 1 else ""

    def _say(self, text: str) -> None:
        self._console.file.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
        self._console.file.flush()


def _progress(row: Row, expected: float, *, units: bool = True) -> tuple[str, str, str]:
    """Done of total, rate and time left, in words; what is not known is empty."""
    job = row.job
    if job is None:
        return "", "", ""
    unit = f" {job.unit}" if units else ""
    done = (f"{job.progress:,} of {job.total:,}" if job.total is not None else f"{job.progress:,}") + unit
    if row.state != "running":
        return done, "", ""
    rate = f"{60 * row.rate:,.0f}/min" if row.rate else ""
    left = row.left(expected)
    return done, rate, duration(left) if left >= 1 else ""


def _plain(line: str) -> str:
    """A line of a log as it reads without LOG_FORMAT=json."""
    try:
        entry = json.loads(line)
        return f"{entry['time']} UTC [{entry['logger']}] {entry['level']}: {entry['message']}"
    except (ValueError, LookupError, TypeError):
        return line


def _about(estimate: Estimate) -> str:
    sure = "" if estimate.basis == "known" else f" ({estimate.basis})"
    return f"{estimate.requests:,} requests{sure}, {duration(estimate.seconds)}"
