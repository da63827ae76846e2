"""What commands show while they work: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two plain lines of progress where there is no terminal.
INTERVAL = 10.0


@contextmanager
def working(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """What to call once a thing, or with the number of things that are done besides those said before."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count=1: bar.advance(task, count)
        return
    done, last = 0, time.monotonic()

    def advance(count: int = 1) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            sys.stderr.write(f"{title}: {done:,}" + (f" of {total:,}\n" if total is not None else "\n"))

    yield advance
