"""One pace for each host and key, kept where the bytes leave, and shared with all runs on the same warehouse.

The turns are the warehouse's (see warehouse/paces.py). A run holds one at a time, its other requests wait here in line:
so of N runs each gets one turn in N, however much it has to ask. What is unpaced (DOWNLOAD_DELAY=0 against a stand-in)
never asks for turns.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from scrapy import signals
from scrapy.settings import SETTINGS_PRIORITIES

from lastfm_crawl.config import SECRETS, secret
from lastfm_crawl.services import SERVICES, service_of
from lastfm_crawl.stop import stopping
from lastfm_crawl.warehouse.database import Warehouse
from lastfm_crawl.warehouse.paces import FIRST_PENALTY, MAX_PENALTY, RECOVERY, Paces, PacesAwayError, Turn

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Seconds between two requests that are never undercut, whatever DOWNLOAD_DELAY says: Last.fm's terms have 5 a second
#: (historic clause 4.4), Spotify gets 100 a minute, MusicBrainz declines everything above one a second, and www.last.fm
#: and albumoftheyear.org are for people.
FLOORS = {
    "ws.audioscrobbler.com": 0.2,
    "www.last.fm": 1.0,
    "api.spotify.com": 0.6,
    "musicbrainz.org": 1.0,
    "www.albumoftheyear.org": 3.0,
}
#: Seconds that the spiders of a service set for themselves; -s DOWNLOAD_DELAY wins over it.
OF_SPIDERS = {"spotify": 0.6, "aoty": 3.0}
#: How many others there may be, besides those that were seen, when the warehouse is away: one that came since.
_UNSEEN = 1
#: With how many a run shares that never saw anybody: the others leave no room for it, so it takes little.
_UNKNOWN = 10
_OVER = 0.01
# Two requests that leave a delay apart may arrive a little closer when the first had to connect.
_SLACK = 0.01
# So late that eleven requests could leave within ten delays.
_LATE = 10 * _SLACK
_STEP = 0.5


class StoppedWaitingError(Exception):
    """The run is ending while a request waited for its turn: it was not sent."""


class HostPace:
    """When the next request to one host may leave, by what one run knows. Times are seconds of the monotonic clock."""

    def __init__(self, delay: float) -> None:
        self.delay = delay + _SLACK if delay else 0.0
        self.penalty = 0.0
        self.slowed_at = 0.0
        #: With how many this run shares without a common table of turns: it takes one turn in so many.
        self.sharers = 1
        self._left_at = float("-inf")
        self._not_before = 0.0

    @property
    def gap(self) -> float:
        """Seconds between two requests now."""
        return (self.delay + self.penalty) * self.sharers

    def slow_down(self, now: float, sent_at: float, retry_after: float | None = None) -> bool:
        """The host said that it is too much: every gap grows, and nothing leaves for *retry_after* seconds.

        False, and nothing changes but the wait, when the request was sent before the last slow-down.
        """
        if retry_after is not None:
            self._not_before = max(self._not_before, now + retry_after)
        if sent_at < self.slowed_at:
            return False
        self.slowed_at = now
        self.penalty = min(MAX_PENALTY, max(FIRST_PENALTY, 2 * self.penalty))
        self._not_before = max(self._not_before, now + self.gap)
        return True

    def good(self) -> None:
        """A good answer came: a penalty shrinks, and is over within 20 of them."""
        self.penalty *= RECOVERY
        if self.penalty < _OVER:
            self.penalty = 0.0

    def left(self, now: float) -> float:
        """Seconds until the next request may leave; 0 or less when it may."""
        return max(self._left_at + self.gap, self._not_before) - now

    def wait(self, now: float) -> float:
        """Seconds to wait before a request may leave; 0 takes the turn."""
        if (seconds := self.left(now)) > 0:
            return seconds
        self.leave(now)
        return 0.0

    def leave(self, now: float) -> None:
        """A request leaves."""
        self._left_at = now


class Pace:
    """The pace of one host and key: the one that all share, or a safe part of it while the warehouse is away."""

    def __init__(self, name: str, delay: float, paces: Paces, crawler: Crawler) -> None:
        self.own = HostPace(delay)
        self._name = name
        self._wish = self.own.delay
        self._paces = paces
        self._crawler = crawler
        self._lock = asyncio.Lock()
        self._good = 0
        self._seen = 0  # sharers at the last turn
        self._shared = False

    async def turn(self) -> None:
        """Wait until a request may leave; who comes first leaves first."""
        async with self._lock:
            if stopping(self._crawler):
                raise StoppedWaitingError
            if not (self._wish and await self._shared_turn()):
                while wait := self.own.wait(time.monotonic()):
                    await self._sleep(min(wait, _STEP))

    def good(self) -> None:
        """A good answer came; the others hear of it with the next turn."""
        self.own.good()
        self._good += 1

    async def slow_down(self, sent_at: float, retry_after: float | None = None) -> bool:
        """The host said that it is too much: see HostPace. The others hear of it at once."""
        now = time.monotonic()
        news = self.own.slow_down(now, sent_at, retry_after)
        if self._shared:
            try:
                return await self._paces.slow_down(self._name, now - sent_at, retry_after)
            except PacesAwayError:
                self._alone()
        return news

    async def _shared_turn(self) -> bool:
        """Take a turn of those that all share; False when there are none to be had."""
        late = False
        while True:
            try:
                turn = await self._take()
            except PacesAwayError:
                self._alone()
                return False
            due = time.monotonic() + turn.wait
            while (wait := due - time.monotonic()) > 0:
                await self._sleep(min(wait, _STEP))
            if turn.wait > 0 and not await self._stands(turn):
                continue
            # A turn that is used late (a busy loop, a machine that slept) is too close to the next one's; but it is
            # given up only once.
            if late or time.monotonic() - due <= _LATE:
                self.own.leave(time.monotonic())
                return True
            late = True

    async def _take(self) -> Turn:
        good = self._good
        if self._shared:
            turn = await self._paces.take_turn(self._name, self._wish, good=good)
        else:  # what happened while the warehouse was away is news for the others
            self.own.sharers = 1
            turn = await self._paces.take_turn(
                self._name, self._wish, least=max(0.0, self.own.left(time.monotonic())), penalty=self.own.penalty
            )
        self._good -= good
        self._seen = turn.sharers
        self._shared = True
        self.own.delay, self.own.penalty = turn.gap, turn.penalty
        return turn

    async def _stands(self, turn: Turn) -> bool:
        try:
            return await self._paces.stands(self._name, turn)
        except PacesAwayError:
            return True

    def _alone(self) -> None:
        self._shared = False
        self.own.sharers = self._seen + _UNSEEN if self._seen else _UNKNOWN

    async def _sleep(self, seconds: float) -> None:
        if stopping(self._crawler):
            raise StoppedWaitingError
        await asyncio.sleep(seconds)


def _delay(host: str, wanted: float) -> float:
    return max(wanted, FLOORS.get(host, 0.0))


def paces(settings: BaseSettings) -> dict[str, float]:
    """Seconds between two requests to each service (of SERVICES) while all is well."""
    hosts = {name: urlsplit(settings[service.url_setting]).hostname or "" for name, service in SERVICES.items()}
    said = (settings.getpriority("DOWNLOAD_DELAY") or 0) > SETTINGS_PRIORITIES["spider"]
    delay = settings.getfloat("DOWNLOAD_DELAY")
    found = {name: _delay(host, delay if said else OF_SPIDERS.get(name, delay)) for name, host in hosts.items()}
    # A mirror answers thousands a second.
    return found | ({"musicbrainz": 0.0} if settings["MUSICBRAINZ_DATABASE_URL"] else {})


class Pacer:
    """The paces of all hosts of one crawl."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._delay = crawler.settings.getfloat("DOWNLOAD_DELAY")
        # Asked for with the first turn: a replay has none.
        self._shared = Paces(lambda: Warehouse.of(crawler).database.conninfo)
        self._paces: dict[tuple[str, str], Pace] = {}
        crawler.signals.connect(self.close, signals.spider_closed)

    def of(self, request: Request) -> Pace:
        """The pace of whoever is asked with *request*, and of the key by which it counts us."""
        parts = urlsplit(request.url)
        host, account = parts.hostname or "", self._account(request)
        place = host if parts.port in {None, 80, 443} else f"{host}:{parts.port}"
        if (place, account) not in self._paces:
            digest = f" {sha256(account.encode()).hexdigest()[:16]}" if account else ""
            delay = _delay(host, self._delay)
            self._paces[place, account] = Pace(f"{place}{digest}", delay, self._shared, self._crawler)
        return self._paces[place, account]

    async def turn(self, request: Request) -> None:
        """Wait until *request* may leave. Raises :class:`StoppedWaitingError` when the run ends first."""
        await self.of(request).turn()

    async def close(self) -> None:
        """Leave the turns to the others."""
        await self._shared.leave()

    def _account(self, request: Request) -> str:
        call = request.meta.get("call")
        service = service_of(call.method) if call else None
        if service is None or not service.account:
            return ""
        name = service.account
        return (secret(name) if name in SECRETS else self._crawler.settings[name]) or ""


_pacers: WeakKeyDictionary[Crawler, Pacer] = WeakKeyDictionary()


def pacer_of(crawler: Crawler) -> Pacer:
    """The one pacer of *crawler*: the handlers wait for it, the error middleware slows it down."""
    if crawler not in _pacers:
        _pacers[crawler] = Pacer(crawler)
    return _pacers[crawler]
