"""The record of a run: a row of ``runs``, and files in the store's ``state/`` that outlive a lost warehouse.

``state/runs/{run_id}.json`` holds arguments and limits, without which the stored answers could not be replayed, and at
the end coverage, match rates, cache hits and the time that a batch took to load;
``state/progress.json`` says once a minute how far the crawl is; three lists of user names are written at the end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from scrapy import signals

from lastfm_crawl.extensions.checks import Examined
from lastfm_crawl.extensions.json_log import about
from lastfm_crawl.extensions.monitors import monitors_of
from lastfm_crawl.extensions.outcome import judge, requests_made
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.items import Answered
from lastfm_crawl.stop import REASONS, Exit
from lastfm_crawl.warehouse import figures, queries
from lastfm_crawl.warehouse.database import Warehouse, WarehouseUnavailableError
from lastfm_crawl.warehouse.figures import RunFigures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler

    from lastfm_crawl.extensions.checks import Verdict
    from lastfm_crawl.extensions.outcome import Outcome

logger = logging.getLogger(__name__)


class RunRecord:
    """Counts pages and failed items, and keeps the record of the run up to date."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._warehouse = Warehouse.of(crawler)
        self._store = open_store(crawler.settings["RESPONSE_STORE"])
        self._interval = crawler.settings.getfloat("PROGRESS_INTERVAL")
        self._started = datetime.now(UTC)
        # Sorts by time, and two runs that start in one second still differ.
        self.run_id = f"{self._started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._record: dict[str, Any] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._outcome: Outcome | None = None
        self._judged = asyncio.Event()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> RunRecord:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signals.spider_opened)
        crawler.signals.connect(extension.item_scraped, signals.item_scraped)
        crawler.signals.connect(extension.item_error, signals.item_error)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        return extension

    async def spider_opened(self, spider: Spider) -> None:
        """Begin the record: who asks for what, and how many members there were before.

        A spider that asks for nothing (``recorded = False``) leaves no record: a replay is of those who asked.
        """
        about(spider=spider.name)
        if not getattr(spider, "recorded", True):
            return
        try:
            await self._warehouse.open()
            arguments = getattr(spider, "given", {})
            members = await self._warehouse.run(queries.count_members)
            await self._warehouse.run(queries.begin_run, self.run_id, spider.name, arguments, self._started, members)
        except (WarehouseUnavailableError, psycopg.Error):
            return  # the load pipeline stops the run and says why
        about(spider=spider.name, run_id=self.run_id)
        self._record = {
            "run_id": self.run_id,
            "spider": spider.name,
            "arguments": arguments,
            "started_at": _stamp(self._started, "microseconds"),
            "members_before": members,
        }
        await self._write(f"runs/{self.run_id}.json", self._record)
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def item_scraped(self, item: Any) -> None:
        """Count the pages that went through the pipelines."""
        if isinstance(item, Answered):
            self._crawler.stats.inc_value("lastfm_crawl/pages")

    def item_error(self) -> None:
        """Count the items that a pipeline failed on: Scrapy only logs them."""
        self._crawler.stats.inc_value("lastfm_crawl/item_errors")

    async def spider_closed(self, spider: Spider, reason: str) -> None:
        """Finish the record."""
        if self._ticking is None:  # never begun
            self._conclude(judge({**self._crawler.stats.get_stats(), "finish_reason": reason}))
            return
        self._ticking.cancel()
        finished = datetime.now(UTC)
        try:
            verdicts = await self._examine(spider, reason)
        except Exception:  # whatever a check trips over: others wait for the outcome
            logger.exception("the run could not be examined")
            verdicts = []
        stats = {**self._crawler.stats.get_stats(), "finish_reason": reason}
        outcome = judge(stats)
        self._conclude(outcome)
        stats["seconds"] = (finished - self._started).total_seconds()
        self._record |= {
            "finished_at": _stamp(finished, "microseconds"),
            "finish_reason": reason,
            "exit_code": int(outcome.code),
            "faults": outcome.faults,
            "monitors": [verdict.as_json() for verdict in verdicts],
            "stats": {k: v for k, v in stats.items() if isinstance(v, int | float | str)},
        }
        try:
            # What an interrupted run admitted: without it a replay would take in what nobody had the time to.
            self._record["members_after"] = await self._warehouse.run(queries.count_members)
            run = RunFigures.of(self.run_id, spider.name, stats)
            self._record["figures"] = await self._warehouse.run(figures.for_record, run)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("members and figures could not be counted: %s", exc)
        await self._write(f"runs/{self.run_id}.json", self._record)
        try:
            await self._warehouse.run(
                queries.finish_run, self.run_id, finished, reason, int(outcome.code), self._record["stats"]
            )
            await self._write_progress(spider)
            for name, users in (await self._warehouse.run(queries.user_lists)).items():
                await self._write(f"{name}.json", users)
        except (WarehouseUnavailableError, psycopg.Error) as exc:
            logger.warning("the end of the run could not be recorded in the warehouse: %s", exc)

    async def outcome(self) -> Outcome:
        """What the run is worth, once it has ended and was examined: handlers of one signal run at the same time."""
        await self._judged.wait()
        assert self._outcome is not None  # noqa: S101  (set before the event)
        return self._outcome

    def _conclude(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._judged.set()

    async def _examine(self, spider: Spider, reason: str) -> list[Verdict]:
        """What the monitors say of the run; of a critical fault it has said enough itself."""
        monitors = monitors_of(self._crawler)
        if monitors is None or REASONS.get(reason) is Exit.CRITICAL:
            return []
        run = Examined(
            self._crawler.stats.get_stats(), self._record["arguments"], self._record["members_before"], self._started,
            offline=self._crawler.settings.getbool("HTTPCACHE_IGNORE_MISSING"),
            of_users=getattr(spider, "unit", "") == "users",
        )  # fmt: skip
        return await monitors.verdicts(self.run_id, spider.name, run)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval or 60)
            try:
                assert self._crawler.spider is not None  # noqa: S101  (it is open)
                await self._write_progress(self._crawler.spider)
            except (WarehouseUnavailableError, psycopg.Error) as exc:
                logger.warning("state/progress.json could not be brought up to date: %s", exc)

    async def _write_progress(self, spider: Spider) -> None:
        progress = self._progress(spider, await self._warehouse.run(queries.crawl_state))
        # Two runs may share a store: each has a file of its own, and the common one says whose it is.
        for name in (f"progress/{self.run_id}.json", "progress.json"):
            await self._write(name, progress)

    def _progress(self, spider: Spider, counts: queries.CrawlState) -> dict[str, Any]:
        """The brief's progress file: how far discovery and artist fetching are, and what was asked."""
        stats = self._crawler.stats.get_stats()
        now = datetime.now(UTC)
        asked = requests_made(stats)
        errors = stats.get("lastfm_crawl/failed_answers", 0)
        minutes = max((now - self._started).total_seconds() / 60, 1 / 60)
        phase = getattr(spider, "phase", spider.name)
        left = max(0, getattr(spider, "total", 0) - getattr(spider, "done", 0))
        remaining = counts.members - counts.with_artists
        completion = now.timestamp() + remaining / (asked / minutes) * 60 if asked else None
        return {
            "run_id": self.run_id,
            "started_at": _stamp(self._started),
            "last_updated": _stamp(now),
            "phase": phase,
            "discovery": {
                "seed_users": counts.seeds,
                "total_discovered": counts.members,
                "queue_remaining": left if phase == "discovery" else 0,
                "errors": counts.discovery_errors,
            },
            "artist_fetching": {
                "total_to_process": counts.members,
                "processed": counts.with_artists,
                "remaining": remaining,
                "errors": counts.artist_errors,
                "estimated_completion": completion and _stamp(datetime.fromtimestamp(completion, UTC)),
            },
            "api_stats": {
                "total_requests": asked,
                "cache_hits": stats.get("httpcache/hit", 0),
                "errors": errors,
                "requests_per_minute_avg": round(asked / minutes, 1),
            },
        }

    async def _write(self, name: str, content: Mapping[str, Any] | list[str]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        try:
            await asyncio.to_thread(self._store.write, f"state/{name}", text.encode())
        except StoreError as exc:
            logger.warning("%s", exc)


def _stamp(when: datetime, precision: str = "seconds") -> str:
    return when.isoformat(timespec=precision).replace("+00:00", "Z")
