"""Pages into the warehouse, many to a transaction when they come fast and one a second when they come slowly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from scrapy.exceptions import CloseSpider

from lastfm_crawl.config import store_location
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.items import Admissions, Answered, FriendsPage, ProfilePage
from lastfm_crawl.pipelines.closing import expect
from lastfm_crawl.stop import stop_run
from lastfm_crawl.warehouse import forgotten
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.postgres import PostgresSink

if TYPE_CHECKING:
    import psycopg
    from scrapy.crawler import Crawler

    from lastfm_crawl.httpcache import Storage

logger = logging.getLogger(__name__)

#: Rows after which a batch is loaded at once (unless LOAD_BATCH_ROWS says otherwise), and seconds after which it is
#: loaded anyway.
BATCH_ROWS = 20_000
BATCH_SECONDS = 1.0


class _Lane(NamedTuple):
    """A connection, and what its loader knows."""

    warehouse: Warehouse
    sink: PostgresSink


def _changes_users(item: Answered | Admissions) -> bool:
    """Whether loading *item* changes users in no certain order: two that do so at once could wait for each other."""
    if isinstance(item, Admissions):
        return any(member.seed is not None for member in item.members)
    return isinstance(item, FriendsPage | ProfilePage)


class LoadPipeline:
    """Collects pages and loads them in the background; on each connection a batch is loading while the next one fills.

    What has not been loaded when the process dies is in the store, and not in ``fetches``: the next run loads it.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._warehouse = Warehouse.of(crawler)
        self._sink = PostgresSink()
        self._lanes = [_Lane(self._warehouse, self._sink)]
        self._batch: list[Answered | Admissions] = []
        self._rows = 0
        self._batch_rows = crawler.settings.getint("LOAD_BATCH_ROWS")
        self._loader: asyncio.Task[None] | None = None
        self._full = asyncio.Event()  # a batch is worth loading before its second is over
        self._room = asyncio.Event()  # the batch that was full has been taken
        self._broken = False
        self._closed = expect(crawler, "load")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> LoadPipeline:
        """Scrapy's constructor."""
        return cls(crawler)

    async def open_spider(self) -> None:
        """Open the warehouse, and find out who is forgotten; without that the run is not begun (reasons
        ``warehouse_unavailable`` and ``store_unavailable``).
        """
        try:
            await self._warehouse.open()
            store = open_store(store_location(self._crawler.settings))
            await self._warehouse.run(self._enter, store)
            # The lock goes with its connection, and who is forgotten may be more when there is another.
            self._warehouse.database.reconnected = partial(self._enter_again, store=store)
        except WarehouseUnavailableError as exc:
            self._refuse("warehouse_unavailable", f"the warehouse cannot be used: {exc}", exc)
        except StoreError as exc:
            self._refuse("store_unavailable", f"the response store does not work: {exc}", exc)
        for _ in range(self._crawler.settings.getint("LOAD_CONNECTIONS", 1) - 1):
            self._lanes.append(_Lane(self._warehouse.another(self._crawler), PostgresSink()))

    def _enter(self, connection: psycopg.Connection, store: Storage) -> None:
        self._warehouse.forgotten = forgotten.enter(connection, store)

    def _enter_again(self, connection: psycopg.Connection, *, store: Storage) -> None:
        try:
            self._enter(connection, store)
        except StoreError as exc:
            raise WarehouseUnavailableError(f"who is forgotten cannot be told: {exc}") from exc

    def _refuse(self, reason: str, message: str, exc: Exception) -> None:
        logger.critical("stopping (%s): %s", reason, message)
        self._crawler.stats.set_value("lastfm_crawl/stopped", message)
        self._broken = True
        raise CloseSpider(reason) from exc

    async def process_item(self, item: Any) -> Any:
        """Take *item* into the batch; waits while a full batch stands behind one that is still loading."""
        if isinstance(item, Answered | Admissions) and not self._broken:
            self._batch.append(item)
            self._rows += item.received if isinstance(item, Answered) else len(item.members)
            if self._loader is None:
                self._loader = asyncio.get_running_loop().create_task(self._load_all())
            if self._rows >= (self._batch_rows or BATCH_ROWS):
                self._full.set()
                self._room.clear()
                await self._room.wait()
        return item

    async def close_spider(self) -> None:
        """Load what is left. Never raises: that would keep other pipelines from closing."""
        self._full.set()
        try:
            if self._loader is not None:
                await self._loader
        finally:
            self._closed.set()

    async def _load_all(self) -> None:
        """Load batch after batch until nothing is left."""
        running: dict[asyncio.Task[None], _Lane] = {}
        while self._batch or running:
            free = [lane for lane in self._lanes if lane not in running.values()]
            if not self._batch or not free:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), BATCH_SECONDS)
            batch, self._batch, self._rows = self._batch, [], 0
            self._full.clear()
            self._room.set()
            alone = len(self._lanes) > 1 and any(map(_changes_users, batch))
            if alone and running:
                await asyncio.wait(running)
            task = asyncio.get_running_loop().create_task(self._load(batch, free[0]))
            running[task] = free[0]
            if alone:
                await asyncio.wait([task])
        self._loader = None

    async def _load(self, batch: list[Answered | Admissions], lane: _Lane) -> None:
        begun = time.monotonic()
        try:
            await lane.warehouse.run(lane.sink.load, batch)
        except WarehouseUnavailableError as exc:
            self._broken = True
            self._room.set()
            self._crawler.stats.inc_value("lastfm_crawl/not_loaded", len(batch))
            message = f"the warehouse is gone: {exc}; every answer is in the store, run again to load it"
            stop_run(self._crawler, "warehouse_unavailable", message)
        except Exception as exc:  # noqa: BLE001  (whatever is wrong with a page, it costs that page alone)
            if len(batch) > 1:  # one bad page must not cost the others
                for item in batch:
                    await self._load([item], lane)
            else:
                self._crawler.stats.inc_value("lastfm_crawl/not_loaded")
                why = (str(exc).splitlines() or [type(exc).__name__])[0]
                logger.error("%r was refused by the warehouse: %s", batch[0], why)  # noqa: TRY400
        else:
            milliseconds = round((time.monotonic() - begun) * 1000)
            self._crawler.stats.inc_value("lastfm_crawl/batches")
            self._crawler.stats.inc_value("lastfm_crawl/batch_ms", milliseconds)
            self._crawler.stats.max_value("lastfm_crawl/batch_ms_max", milliseconds)
            for what, count in lane.sink.committed()._asdict().items():
                if count:
                    self._crawler.stats.inc_value(f"lastfm_crawl/scrobbles_{what}", count)
            self._crawler.stats.inc_value("lastfm_crawl/pages_loaded", sum(isinstance(i, Answered) for i in batch))
            for page in (item for item in batch if isinstance(item, Answered)):
                for why, count in page.skipped.items():
                    self._crawler.stats.inc_value(f"lastfm_crawl/skipped/{why}", count)
