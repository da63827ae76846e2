"""How the status of the crawl looks on a terminal, and in plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lastfm_crawl.insight.status import Status, per_minute, seconds_left
from lastfm_crawl.insight.wording import duration, megabytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from lastfm_crawl.insight.status import Kept, UserDetail
    from lastfm_crawl.warehouse.backlog import Lag
    from lastfm_crawl.warehouse.jobs import Job
    from lastfm_crawl.warehouse.queries import AuditedWindow

#: Columns of figures: they stand on the right and are never folded.
_NUMBERS = {
    "answers", "begun", "beyond", "exit", "fetched", "left", "lost", "MB", "nothing", "pages", "per min", "repeated",
    "reported", "requests", "rows read", "rows sent", "stored", "undated", "users", "users waiting",
}  # fmt: skip
#: Columns of words that are whole or not there at all.
_WHOLE = {"done", "explained", "from", "room", "since", "state", "takes", "time left", "to"}
_BAD = {"failed", "killed"}


def screen(found: Status | UserDetail) -> Group:
    """Everything that `scrapy status` shows."""
    return _all(found) if isinstance(found, Status) else _one(found)


def _all(status: Status) -> Group:
    totals = status.totals
    known = ", ".join(f"{count:,} {name}" for name, count in status.users.items())
    about = "" if totals.counted else "about "
    parts: list[RenderableType] = [
        Text.assemble((f"{totals.users:,}", "bold"), " users", f" ({known})" if known else ""),
        f"{totals.friendships:,} friendships, {totals.artists:,} artists, {totals.user_artists:,} top-artist rows, "
        f"{about}{totals.scrobbles:,} scrobbles",
        "",
    ]
    parts += _jobs(status.jobs)
    rows = (
        (one.spider, f"{one.fetched:,}", f"{one.left:,}", f"{one.begun:,}", f"{one.nothing:,}", f"{one.beyond:,}")
        for one in status.lists
        if totals.users
    )
    parts += _table(("lists of users", "fetched", "left", "begun", "nothing", "beyond"), rows)
    failing = ((one.method, one.status, f"{one.users:,}", one.reason, one.example) for one in status.failing)
    parts += _table(("failing", "why", "users", "Last.fm said", "such as"), failing)
    needs = (
        (
            one.phase,
            f"{one.requests:,}",
            duration(one.seconds),
            megabytes(one.size),
            one.basis.value + (f": {one.because}" if one.because else ""),
        )
        for one in status.estimates
        if one.requests
    )
    parts += _table(("to ask for", "requests", "takes", "room", "how sure"), needs)
    runs = (
        (
            run.id,
            run.spider,
            run.finish_reason or "running, or killed",
            "" if run.exit_code is None else str(run.exit_code),
            f"{run.lost:,}",
            ", ".join(f"{kind} {count}x" for kind, count in run.problems.items()),
        )
        for run in status.runs
    )
    parts += _table(("last runs", "spider", "finish reason", "exit", "lost", "problems on the way"), runs)
    parts += _sinks(status.sinks)
    parts += _kept(status.kept)
    free = status.disk.free
    style = "bold red" if free < sum(one.size for one in status.estimates) else ""
    parts.append(
        Text.assemble((f"{megabytes(free)} free", style), f" where the data is ({printable(status.disk.path)})")
    )
    return Group(*parts)


def _one(detail: UserDetail) -> Group:
    """One user: the lists with their pages, and every window of the history with what became of its rows."""
    user = detail.user
    why = f" ({user.detail})" if user.detail else ""
    of = "" if user.playcount is None else f" of {user.playcount:,} that the profile counts"
    parts: list[RenderableType] = [
        Text.assemble(
            (printable(user.name), "bold"), printable(f": {user.status}{why}, {user.scrobbles:,} scrobbles stored{of}")
        ),
        "",
    ]
    if len(detail.statuses) > 1:  # one says no more than the line above
        changes = ((f"{one.since:%Y-%m-%d %H:%M}", one.status, one.detail or "") for one in detail.statuses)
        parts += _table(("since", "status", "Last.fm said"), changes)
    parts += _jobs(detail.jobs)
    parts += _table(("list", "which", "pages"), ((p.method, p.params, f"{p.done} of {p.pages}") for p in detail.lists))
    titles = ("from", "to", "rows read", "reported", "stored", "undated", "repeated", "explained")
    parts += _table(titles, map(_window, detail.windows))
    failing = ((one.method, one.status, one.reason) for one in detail.failing)
    parts += _table(("failing", "why", "Last.fm said"), failing)
    years = [f"{w.first:%Y}" for w in detail.windows if w.stored and (w.end - w.first).days in {365, 366}]
    if years:
        parts.append(f"closed years with plays: {', '.join(years)}")
    return Group(*parts)


def job_line(job: Job) -> str:
    """One job in one line: ``recent_tracks of RJ, 2016: running, 12 of 50 pages, 58 a minute, 40 s left``."""
    rate, left = per_minute(job), seconds_left(job)
    parts = [
        job.status,
        f"{_done(job)} {job.unit}",
        f"{rate:,.0f} a minute" if rate is not None else "",
        f"{duration(left)} left" if left is not None else "",
        job.error_message or "",
    ]
    return printable(f"{_title(job)}: {', '.join(filter(None, parts))}")


def _title(job: Job) -> str:
    subject = ", ".join(str(part) for part in (job.username, job.year) if part is not None)
    return f"{job.scope} of {subject}" if subject else job.scope


def _done(job: Job) -> str:
    return f"{job.progress:,}" if job.total is None else f"{job.progress:,} of {job.total:,}"


def _jobs(jobs: Sequence[Job]) -> list[RenderableType]:
    rows = (
        (
            _title(job),
            Text(job.status, "bold red" if job.status in _BAD else "green" if job.status == "running" else ""),
            f"{_done(job)} {job.unit}",
            "" if (rate := per_minute(job)) is None else f"{rate:,.0f}",
            "" if (left := seconds_left(job)) is None else duration(left),
        )
        for job in jobs
    )
    why = [f"{_title(job)}: {job.error_message}" for job in jobs if job.error_message]
    reasons = [Text(printable(line)) for line in why]
    return [*_table(("jobs", "state", "done", "per min", "time left"), rows), *reasons, *([""] if why else [])]


def _sinks(lags: Sequence[Lag]) -> list[RenderableType]:
    """What the sinks have, and what waits for them."""
    rows = (
        (lag.sink, lag.kind, f"{lag.rows:,}", f"{lag.users:,}", f"{lag.since:%Y-%m-%d %H:%M}" if lag.since else "")
        for lag in lags
    )
    vain = [
        Text(printable(f"{lag.sink}, {lag.kind}: tried {lag.attempts} times in vain: {lag.last_error}") + "\n")
        for lag in lags
        if lag.last_error
    ]
    return [*_table(("sink", "kind", "rows sent", "users waiting", "since"), rows), *vain]


def _kept(kept: Kept) -> list[RenderableType]:
    """What is kept of Last.fm's data, beside what its terms allow."""
    parts: list[RenderableType] = []
    for title, of in (("Last.fm data kept", kept.by_method), ("most of it of", kept.by_user)):
        parts += _table((title, "answers", "MB"), ((d.name, f"{d.answers:,}", f"{d.size / 1e6:,.1f}") for d in of))
    size = f"{kept.size / 1e6:,.1f} MB"
    if kept.cap is None:
        parts.append(f"{size} in all; LASTFM_STORAGE_CAP_MB=0 says that there is an agreement")
    elif kept.size <= kept.cap:
        parts.append(f"{size} of the {kept.cap / 1e6:,.0f} MB that Last.fm's terms allow without an agreement")
    else:
        parts.append(
            Text.assemble(
                (size, "bold red"),
                f", more than the {kept.cap / 1e6:,.0f} MB that Last.fm's terms allow without an agreement (README); "
                "LASTFM_STORAGE_CAP_MB=0 says that you have one",
            )
        )
    return parts


def _window(window: AuditedWindow) -> tuple[str, ...]:
    numbers = (window.rows_done, window.reported, window.stored, window.undated, window.duplicates)
    # The first window has no lower bound, and is written as if it had that of the clock.
    first = "the beginning" if not window.first.timestamp() else f"{window.first:%Y-%m-%d %H:%M}"
    return (first, f"{window.end:%Y-%m-%d %H:%M}", *(f"{n:,}" for n in numbers), "yes" if window.explained else "NO")


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str | Text, ...]]) -> list[RenderableType]:
    """A table of *rows* and a blank line; nothing where there are none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        whole = title in _NUMBERS or title in _WHOLE
        table.add_column(title, justify="right" if title in _NUMBERS else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return [table, ""] if table.row_count else []
