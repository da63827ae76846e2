"""Commands of ours in processes of their own, for those commands that run several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Child:
    """A running command; ``interrupted`` says that somebody wants it, and us, to end."""

    process: subprocess.Popen[Any]
    interrupted = False

    def interrupt(self, number: int, _: object) -> None:
        """A signal came. Ctrl-C reaches the child as well, which ends in order and says so; others are ours alone."""
        self.interrupted = True
        if number != signal.SIGINT:
            self.process.send_signal(signal.SIGINT)


@contextmanager
def child(words: Sequence[str], environment: Mapping[str, str] | None = None, **streams: Any) -> Iterator[Child]:
    """Run ``scrapy`` with *words* while the block waits for it; it does not outlive the block.

    It is of our process group, so that what kills that kills both.
    """
    started = Child()
    ours = {number: signal.signal(number, started.interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        command = [sys.executable, "-m", "scrapy", *words]
        with subprocess.Popen(command, env={**os.environ, **(environment or {})}, **streams) as started.process:  # noqa: S603
            try:
                yield started
            finally:
                if started.process.poll() is None:
                    started.process.terminate()
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
