"""Listening histories: what a user played and when, held small enough for millions of plays.

In: plays. Out: pages of a window of time, as user.getRecentTracks cuts them. A history may change while it is
served, from any thread: that is how tests scrobble, back-date and delete during a walk over its pages.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K", bound=Hashable)
YEAR_2005 = 1_104_537_600
YEAR_2025 = 1_735_689_600
_HALF_MONTH = 15 * 86_400


@dataclass(frozen=True, slots=True)
class Scrobble:
    """One play (``uts`` in seconds since 1970, 0 is undated), or what was played when its time is not used."""

    artist: str
    track: str
    uts: int = 0
    album: str = ""
    artist_mbid: str = ""
    album_mbid: str = ""
    mbid: str = ""
    loved: bool = False


class History(Sequence[Scrobble]):
    """The plays of one user, newest first; of one second, the one that was added last is first.

    Two numbers a play: its time, and which of the recordings (scrobbles without a time) it is.
    """

    def __init__(self, plays: Iterable[Scrobble] = ()) -> None:
        self.version = 0  # goes up with every change
        self._lock = threading.Lock()
        self._recordings: list[Scrobble] = []
        self._numbers: dict[Scrobble, int] = {}
        newest_first = sorted(plays, key=attrgetter("uts"), reverse=True)  # stable, also when reversed
        newest_first.reverse()
        self._times = array("q", [play.uts for play in newest_first])  # oldest first
        self._played = array("L", [self._number(play) for play in newest_first])

    @classmethod
    def of_columns(cls, recordings: Sequence[Scrobble], times: Iterable[int], played: Iterable[int]) -> History:
        """Take the columns as they are: ``times`` must rise, ``played`` says which recording each is."""
        history = cls()
        history._recordings = list(recordings)
        history._numbers = {recording: n for n, recording in enumerate(recordings)}
        history._times, history._played = array("q", times), array("L", played)
        return history

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int) -> Scrobble:  # type: ignore[override]  # no slices
        with self._lock:
            place = range(len(self._times))[-1 - index]
            return replace(self._recordings[self._played[place]], uts=self._times[place])

    def __iter__(self) -> Iterator[Scrobble]:
        _, plays = self.page(0, 0, 0, len(self))
        return (replace(recording, uts=uts) for uts, recording in plays)

    def page(self, first: int, end: int, skip: int, count: int) -> tuple[int, list[tuple[int, Scrobble]]]:
        """Give how many plays have first <= time < end (0: no bound), and *count* of them after the newest *skip*.

        A play is (time, recording).
        """
        with self._lock:
            low = bisect_left(self._times, first) if first else 0
            high = bisect_left(self._times, end) if end else len(self._times)
            places = range(high - 1 - skip, max(low, high - skip - count) - 1, -1)
            return max(high - low, 0), [(self._times[i], self._recordings[self._played[i]]) for i in places]

    def counts(self, key: Callable[[Scrobble], K]) -> list[tuple[K, int]]:
        """Count plays by *key* of the recording, most played first."""
        with self._lock:
            counted: Counter[K] = Counter()
            for number, plays in Counter(self._played).items():
                counted[key(self._recordings[number])] += plays
        return counted.most_common()

    def add(self, *plays: Scrobble) -> None:
        """Scrobble now, or back-date: each play goes where its time says."""
        with self._lock:
            for play in plays:
                place = bisect_right(self._times, play.uts)
                self._times.insert(place, play.uts)
                self._played.insert(place, self._number(play))
            self.version += 1

    def delete(self, *plays: Scrobble) -> None:
        """Take plays away, as a user does on the website. Raises ValueError for one that is not there."""
        with self._lock:
            for play in plays:
                recording = replace(play, uts=0)
                same_second = range(bisect_left(self._times, play.uts), bisect_right(self._times, play.uts))
                place = next((i for i in same_second if self._recordings[self._played[i]] == recording), None)
                if place is None:
                    raise ValueError(f"no such play: {play}")
                del self._times[place], self._played[place]
            self.version += 1

    def _number(self, play: Scrobble) -> int:
        recording = replace(play, uts=0)
        number = self._numbers.setdefault(recording, len(self._recordings))
        if number == len(self._recordings):
            self._recordings.append(recording)
        return number


def listened(rng: Random, recordings: Sequence[tuple[Scrobble, int]], registered: int) -> History:
    """Spread plays (how many of each recording) over the years from *registered* to 2024, with all that happens.

    Some years are silent, some plays lack the album, some share their second with another, and players with a
    wrong clock leave some undated or in 1970. As with Last.fm, no (second, artist, track) comes twice.
    """
    count = len(recordings)
    played = [number for number, (_, plays) in enumerate(recordings) for _ in range(plays)]
    rng.shuffle(played)
    times = _times(rng, len(played), registered)
    for i in range(1, len(times), 150):
        times[i] = times[i - 1]
    if rng.random() < 0.3:
        undated, wrong = rng.randrange(1, 6), rng.randrange(1, 6)
        bad = [0] * undated + sorted(rng.randrange(1, 59_008) for _ in range(wrong))
        times[: len(bad)] = bad[: len(times)]
    in_this_second: set[int] = set()
    for i, number in enumerate(played):
        if i and times[i] <= times[i - 1]:
            times[i] = times[i - 1] + (number in in_this_second)
        if i and times[i] > times[i - 1]:
            in_this_second.clear()
        in_this_second.add(number)
    # The second half of the recordings are the same without their album.
    kinds = [recording for recording, _ in recordings]
    kinds += [replace(recording, album="", album_mbid="") for recording in kinds]
    return History.of_columns(kinds, times, [n + count * (rng.random() < 0.04) for n in played])


def _times(rng: Random, count: int, registered: int) -> list[int]:
    """Draw rising times from half a month before registration, in spans of which a fourth are silent."""
    first = min(registered - _HALF_MONTH, YEAR_2025 - _HALF_MONTH)
    span = (YEAR_2025 - first) // 16
    spans = rng.sample(range(16), 12)
    return sorted(first + span * rng.choice(spans) + int(span * rng.random()) for _ in range(count))


def long_history(plays: int, *, artists: int = 2_000, seed: int = 7) -> History:
    """Make up a history of any length, for tests of big accounts and benchmarks: 2005 to 2024, 12 tracks an artist."""
    rng = Random(seed)
    recordings = [
        Scrobble(f"Artist {number // 12}", f"Song {number % 12}", album=f"Album {number // 6}")
        for number in range(artists * 12)
    ]
    step = (YEAR_2025 - YEAR_2005) / max(plays, 1)
    times = [YEAR_2005 + int(step * i) for i in range(plays)]
    return History.of_columns(recordings, times, [i * 7 % len(recordings) for i in rng.sample(range(plays), plays)])
