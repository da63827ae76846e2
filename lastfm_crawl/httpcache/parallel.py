"""Many operations on a store at once: a far bucket takes tens of milliseconds for each."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

THREADS = 32
#: Items that may be under way or done ahead of whoever takes the results.
AHEAD = 4 * THREADS


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What *work* returns for each of *items*, as it comes, in any order; what it raises is raised here."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="store") as threads:
        waiting: set[Future[R]] = set()
        try:
            for item in items:
                waiting.add(threads.submit(work, item))
                if len(waiting) >= AHEAD:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            threads.shutdown(cancel_futures=True)
