"""The walk over a listening history: which windows of time, which pages of each, and whether the list held still. Pure.

A window is ``first <= time < end``. Its end lies in the past, so new scrobbles do not move its rows; what moves them is
a scrobble that is submitted late, or deleted. Rows are counted from the newest: a :class:`Part` is ``size`` of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lastfm_crawl.items import RecentTracksPage

#: Page sizes: the largest that the API gives, and what it is halved to when big pages fail.
SIZES = (1000, 500, 250, 125)
#: Seconds for which scrobbles may come in late: devices submit what they played offline.
OVERLAP = 14 * 86_400
#: Times a window is walked whose list changes meanwhile.
MAX_ROUNDS = 3


class Window(NamedTuple):
    """``first <= time < end``, in seconds since 1970; 0 as *first* is no bound."""

    first: int
    end: int


class Part(NamedTuple):
    """Rows *offset* … *offset* + *size* of a window."""

    offset: int
    size: int

    @property
    def page(self) -> int:
        """Its number among pages of this size, from 1."""
        return self.offset // self.size + 1


class Known(NamedTuple):
    """A page that the warehouse has: its part, Last.fm's count of the window, and the rows that came."""

    part: Part
    total: int
    rows: int


class _Answer(NamedTuple):
    total: int
    rows: int
    newest: frozenset[tuple[int, str, str]] = frozenset()  # the plays of its first second
    oldest: frozenset[tuple[int, str, str]] = frozenset()  # and of its last


def year_start(year: int) -> int:
    """The first second of *year*, UTC."""
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def years(now: float) -> list[Window]:
    """The calendar years that are closed at *now*, from the beginning: a year takes late scrobbles for two weeks more.

    The first one has no lower bound, and ends with 2002: only there does Last.fm show plays without a date.
    """
    opened = datetime.fromtimestamp(now - OVERLAP, UTC).year
    starts = [0, *(year_start(year) for year in range(2003, opened + 1))]
    return [Window(first, end) for first, end in pairwise(starts)]


def plan(now: float, known: Iterable[Window], newest: int | None) -> list[Window]:
    """The windows to walk, oldest first: what is not in *known* windows, and the time up to *now*.

    *newest* is the time of the newest stored scrobble. Whoever is up to date is asked for the time since then, less
    the overlap; who was asked for all of it already, for nothing.
    """
    known, end = sorted(known), int(now)
    closed = years(now)
    windows = [year for year in closed if not _covered(year, known)]
    first = opened = closed[-1].end if closed else 0
    reached = _reached(opened, known)
    if reached > opened:
        first = max(min(reached, reached if newest is None else newest) - OVERLAP, 0)
    if reached < end:
        windows.append(Window(first, end))
    return windows


def _reached(start: int, windows: Sequence[Window]) -> int:
    """How far *windows*, sorted, cover the time from *start* on without a gap."""
    for window in windows:
        if window.first <= start < window.end:
            start = window.end
    return start


def _covered(window: Window, known: Sequence[Window]) -> bool:
    return _reached(window.first, known) >= window.end


class Walk:
    """The pages of one window, until each row that it counts was answered and the answers agree."""

    def __init__(
        self, window: Window, size: int = SIZES[0], known: Iterable[Known] = (), *, fresh: bool = False
    ) -> None:
        self.window = window
        self.fresh = fresh  # whether stored answers do not count
        self.begun = False
        self.rounds = 1
        self.lost = 0  # parts that were given up
        self._size = size
        self._asked: set[Part] = set()
        self._answers = {page.part: _Answer(page.total, page.rows) for page in known}

    def begin(self) -> list[Part]:
        """What to ask first: one page when nothing is known, and what is missing otherwise."""
        self.begun = True
        return self._next() if self._answers else self._ask([Part(0, self._size)])

    def use(self, size: int) -> None:
        """Ask for pages of *size* at most from now on."""
        self._size = min(self._size, size)

    def answer(self, part: Part, page: RecentTracksPage) -> list[Part]:
        """What to ask next, now that *page* is there."""
        self._asked.discard(part)
        plays = list(zip(page.uts, page.artists, page.tracks, strict=True))
        self._answers[part] = _Answer(
            page.total,
            page.received - page.skipped.get("now_playing", 0),
            frozenset(play for play in plays if play[0] == plays[0][0]),
            frozenset(play for play in plays if play[0] == plays[-1][0]),
        )
        return self._next()

    def split(self, part: Part) -> list[Part]:
        """What to ask instead of *part*, which is too much for the service; nothing when it cannot be smaller."""
        if part.size == SIZES[-1]:
            return []
        self._asked.discard(part)
        self._size = min(self._size, part.size // 2)
        return self._ask([Part(part.offset, part.size // 2), Part(part.offset + part.size // 2, part.size // 2)])

    def give_up(self, part: Part) -> list[Part]:
        """*part* will not be answered in this run."""
        self._asked.discard(part)
        self.lost += 1
        return self._next()

    @property
    def size(self) -> int:
        """The page size that works."""
        return self._size

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.begun and not self._asked

    @property
    def answered(self) -> bool:
        """Whether an answer is there, or none will come in this run."""
        return bool(self._answers) or self.done

    @property
    def pages(self) -> tuple[int, int]:
        """How many pages are there, and how many there will be as far as is known."""
        done = len(self._answers)
        return done, max(1, done + len(self._asked) + self.lost)

    @property
    def changed(self) -> bool:
        """Whether the list changed while it was read: its pages count differently, lack rows, or repeat some."""
        pages = [self._answers[part] for part in sorted(self._answers)]
        totals = {page.total for page in pages}
        if len(totals) > 1 or sum(page.rows for page in pages) != max(totals, default=0):
            return True
        return any(newer.oldest & older.newest for newer, older in pairwise(pages))

    def _next(self) -> list[Part]:
        left = self._left()
        if left or self._asked or self.lost or not self.changed or self.rounds == MAX_ROUNDS:
            return left
        # Again, past the store: what it has of this window does not fit together.
        self.rounds += 1
        self.fresh = True
        self._answers = {}
        return self.begin()

    def _left(self) -> list[Part]:
        """Parts that are neither answered nor asked for, up to the largest count that an answer gave."""
        total = max((page.total for page in self._answers.values()), default=0)
        taken = sorted(self._asked | self._answers.keys())
        left = []
        offset = 0
        while offset < total and not self.lost:
            here = next((part for part in taken if part.offset <= offset < part.offset + part.size), None)
            if here is None:
                # As large as works, from where pages of that size begin, and not into what is there.
                size = next(s for s in SIZES if s <= self._size and offset % s == 0 and not _overlaps(offset, s, taken))
                here = Part(offset, size)
                left.append(here)
            offset = here.offset + here.size
        return self._ask(left)

    def _ask(self, parts: list[Part]) -> list[Part]:
        self._asked.update(parts)
        return parts


def _overlaps(offset: int, size: int, parts: Iterable[Part]) -> bool:
    return any(part.offset < offset + size and part.offset + part.size > offset for part in parts)
