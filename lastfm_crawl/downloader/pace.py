"""One pace per host, kept where the bytes leave: the base delay, and a penalty after a rate limit."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from lastfm_crawl.services import SERVICES
from lastfm_crawl.stop import stopping

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Seconds between two requests that are never undercut, whatever DOWNLOAD_DELAY says: Last.fm's terms have 5 a second
#: (historic clause 4.4), MusicBrainz declines everything above one, and albumoftheyear.org is for people.
FLOORS = {"ws.audioscrobbler.com": 0.2, "musicbrainz.org": 1.0, "www.albumoftheyear.org": 3.0}
#: Seconds: what a first rate limit adds to every gap, and the most that repeated ones add.
FIRST_PENALTY = 1.0
MAX_PENALTY = 8.0
#: What a good answer leaves of a penalty, and the seconds below which it is over: after at most 14 good answers.
RECOVERY = 0.6
_OVER = 0.01
# Two requests that leave a delay apart may arrive a little closer when the first had to connect.
_SLACK = 0.01
_STEP = 0.5


class StoppedWaitingError(Exception):
    """The run is ending while a request waited for its turn: it was not sent."""


class HostPace:
    """When the next request to one host may leave. Times are seconds of the monotonic clock."""

    def __init__(self, delay: float) -> None:
        self._delay = delay + _SLACK if delay else 0.0
        self._penalty = 0.0
        self._next = 0.0
        self._slowed_at = 0.0

    @property
    def gap(self) -> float:
        """Seconds between two requests now."""
        return self._delay + self._penalty

    def slow_down(self, now: float, sent_at: float, retry_after: float | None = None) -> bool:
        """The host said that it is too much: every gap grows, and nothing leaves for *retry_after* seconds.

        False, and nothing changes but the wait, when the request was sent before the last slow-down.
        """
        if retry_after is not None:
            self._next = max(self._next, now + retry_after)
        if sent_at < self._slowed_at:
            return False
        self._slowed_at = now
        self._penalty = min(MAX_PENALTY, max(FIRST_PENALTY, 2 * self._penalty))
        self._next = max(self._next, now + self.gap)
        return True

    def good(self) -> None:
        """A good answer came: a penalty shrinks, and is over within 20 of them."""
        self._penalty *= RECOVERY
        if self._penalty < _OVER:
            self._penalty = 0.0

    def wait(self, now: float) -> float:
        """Seconds to wait before a request may leave; 0 takes the turn."""
        if now < self._next:
            return self._next - now
        self._next = now + self.gap
        return 0.0


def _delay(host: str, wanted: float) -> float:
    return max(wanted, FLOORS.get(host, 0.0))


def paces(settings: BaseSettings) -> dict[str, float]:
    """Seconds between two requests to each service (of SERVICES) while all is well."""
    hosts = {name: urlsplit(settings[service.url_setting]).hostname or "" for name, service in SERVICES.items()}
    return {name: _delay(host, settings.getfloat("DOWNLOAD_DELAY")) for name, host in hosts.items()}


class Pacer:
    """The paces of all hosts of one crawl."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._delay = crawler.settings.getfloat("DOWNLOAD_DELAY")
        self._hosts: dict[str, HostPace] = {}

    def host(self, name: str) -> HostPace:
        """The pace of one host."""
        if name not in self._hosts:
            self._hosts[name] = HostPace(_delay(name, self._delay))
        return self._hosts[name]

    async def turn(self, name: str) -> None:
        """Wait until a request to *name* may leave. Raises :class:`StoppedWaitingError` when the run ends first."""
        pace = self.host(name)
        while wait := pace.wait(time.monotonic()):
            if stopping(self._crawler):
                raise StoppedWaitingError
            await asyncio.sleep(min(wait, _STEP))


_pacers: WeakKeyDictionary[Crawler, Pacer] = WeakKeyDictionary()


def pacer_of(crawler: Crawler) -> Pacer:
    """The one pacer of *crawler*: the handlers wait for it, the error middleware slows it down."""
    if crawler not in _pacers:
        _pacers[crawler] = Pacer(crawler)
    return _pacers[crawler]
