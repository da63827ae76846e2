"""Keeps the fetch jobs of a run current in the warehouse, which announces them; ``JOB_WEBHOOK`` is told the same."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from scrapy import signals

from lastfm_crawl.extensions.run_record import RunRecord
from lastfm_crawl.extensions.webhook import Postbox
from lastfm_crawl.items import user_key
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse import jobs
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.forgotten import without

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

#: Users named in one run who each get a job; a run of more of them is one job.
MOST_USERS = 50
_EVERY = 1.0  # seconds between two updates, when something has changed
_HEARTBEAT = 30.0  # seconds between them when nothing has
_PATIENCE = 5.0  # seconds for which the end of the run waits for the webhook
_STATUSES = {Exit.COMPLETE: "completed", Exit.RESUMABLE: "stopped"}


class Jobs:
    """One job for the run, or one for each user that it names. The crawl waits for none of this but at its two ends."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._warehouse: Warehouse | None = None
        self._url: str | None = crawler.settings["JOB_WEBHOOK"]
        self._postbox: Postbox | None = None
        self._record: RunRecord | None = None
        self._run_id = ""
        self._users: dict[int, str | None] = {}  # the key of the user of each job
        self._since = datetime.now(UTC)
        self._ticking: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Jobs:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        return extension

    async def spider_opened(self, spider: Spider) -> None:
        """Begin the jobs of a run that is recorded."""
        record = self._record = self._crawler.get_extension(RunRecord)
        if record is None or not getattr(spider, "recorded", True):
            return
        self._run_id = record.run_id
        args = getattr(spider, "args", {})
        try:
            shared = Warehouse.of(self._crawler)
            await shared.open()
            users = without(args.get("users") or (), shared.forgotten)
            if len(users) > MOST_USERS:
                users = []
            unit = "pages" if users else getattr(spider, "unit", "pages")
            # A connection of its own: who loads for minutes is not to look killed, and nobody waits for a job.
            self._warehouse = shared.another(self._crawler)
            begun = await self._warehouse.run(jobs.begin, self._run_id, spider.name, unit, users, args.get("year"))
        except (WarehouseUnavailableError, psycopg.Error):
            return  # the load pipeline stops the run and says why
        self._users = {job["id"]: job["username"] and user_key(job["username"]) for job in begun}
        if self._url:
            self._postbox = Postbox(self._url)
        self._tell(begun)
        self._ticking = asyncio.get_running_loop().create_task(self._tick(spider))

    async def spider_closed(self, spider: Spider) -> None:
        """End the jobs as the run ended, with the figures that they have then."""
        if self._ticking is None or self._warehouse is None or self._record is None:  # never begun
            return
        self._ticking.cancel()
        outcome = await self._record.outcome()
        status = _STATUSES.get(outcome.code, "failed")
        message = outcome.faults[0] if outcome.faults else None
        try:
            progress = self._progress(spider)
            self._tell(await self._warehouse.run(jobs.finish, self._run_id, status, message, progress, self._since))
            if spider.name == jobs.YEARS and getattr(spider, "done", 0) > 0:
                self._tell(await self._warehouse.run(jobs.count_plays))
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("the end of the fetch jobs could not be written: %s", exc)
        if self._postbox is not None:
            await asyncio.to_thread(self._postbox.close, _PATIENCE)

    async def _tick(self, spider: Spider) -> None:
        assert self._warehouse is not None  # noqa: S101  (the jobs have begun)
        told: dict[int, jobs.Progress] = {}
        heard = time.monotonic()
        while True:
            await asyncio.sleep(_EVERY)
            now = time.monotonic()
            silent = now - heard >= _HEARTBEAT
            news = {job: at for job, at in self._progress(spider).items() if silent or told.get(job) != at}
            if not news:
                continue
            try:
                self._tell(await self._warehouse.run(jobs.update, self._run_id, news))
            except (WarehouseUnavailableError, psycopg.Error) as exc:
                logger.debug("the fetch jobs could not be brought up to date: %s", exc)
            else:
                told |= news
                heard = now

    def _progress(self, spider: Spider) -> dict[int, jobs.Progress]:
        done, total = getattr(spider, "done", 0), getattr(spider, "total", 0)
        pages = getattr(spider, "user_pages", {})
        found = {job: (done, total) if user is None else pages.get(user, (0, 0)) for job, user in self._users.items()}
        return {job: jobs.Progress(done, total or None) for job, (done, total) in found.items()}

    def _tell(self, notices: Iterable[jobs.Notice]) -> None:
        if self._postbox is not None:
            for notice in notices:
                self._postbox.put(notice["id"], notice)
