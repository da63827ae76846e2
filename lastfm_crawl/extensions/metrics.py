"""``METRICS_FILE``: what a run counts, for the textfile collector of Prometheus' node_exporter.

Written every ``PROGRESS_INTERVAL`` seconds and at the end, whole or not at all. Counters begin with each run, as those
of any process do; exit code and end of the last finished run stay while the next one goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from scrapy import signals
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.checks import ERRORS
from lastfm_crawl.extensions.fields import FRESH
from lastfm_crawl.extensions.outcome import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric
    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class _Counter(NamedTuple):
    """Where it is among the stats: under *stat*, or with a *label* under all that stand between *stat* and *ending*."""

    name: str
    text: str
    stat: str
    label: str = ""
    ending: str = ""
    scale: float = 1

    def counts(self, stats: Mapping[str, Any]) -> list[tuple[list[str], float]]:
        """The label, if there is one, and what was counted; without a label nothing is 0."""
        if not self.label:
            return [([], stats.get(self.stat, 0) * self.scale)]
        return [
            ([stat.removeprefix(self.stat).removesuffix(self.ending)], count)
            for stat, count in stats.items()
            if stat.startswith(self.stat) and stat.endswith(self.ending)
        ]


_COUNTERS = (
    _Counter("requests", "Requests that went to a service, retries included", "lastfm_crawl/asked/", "method"),
    _Counter("good_answers", "First-hand answers that were believed", "lastfm_crawl/received/", "method"),
    _Counter("errors", "Answers that were errors, and failed downloads, by kind", ERRORS, "kind"),
    _Counter("store_hits", "Answers that came from the response store", "httpcache/hit"),
    _Counter("store_misses", "Answers that the response store did not have", "httpcache/miss"),
    _Counter("pages_loaded", "Pages that were loaded into the warehouse", "lastfm_crawl/pages_loaded"),
    _Counter("pages_lost", "Pages that were given up", "lastfm_crawl/lost"),
    _Counter("rows", "Rows of first-hand answers", FRESH, "method", "/rows"),
    _Counter("answer_bytes", "Bytes of the bodies of first-hand answers", FRESH, "method", "/bytes"),
    _Counter("pace_wait_seconds", "Seconds that requests waited for their turn", "lastfm_crawl/pace_ms", scale=0.001),
)
_EXIT_CODE = "lastfm_crawl_last_run_exit_code"
_ENDED = "lastfm_crawl_last_run_end_timestamp_seconds"


class _Snapshot(Collector):
    """The metrics of one spider at one moment."""

    def __init__(self, spider: str, stats: Mapping[str, Any], gauges: Mapping[str, tuple[str, float]]) -> None:
        self._spider = spider
        self._stats = stats
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        for counter in _COUNTERS:
            labels = ["spider", *filter(None, [counter.label])]
            metric = CounterMetricFamily(f"lastfm_crawl_{counter.name}", counter.text, labels=labels)
            for what, count in counter.counts(self._stats):
                metric.add_metric([self._spider, *what], count)
            yield metric
        for name, (text, value) in self._gauges.items():
            gauge = GaugeMetricFamily(name, text, labels=["spider"])
            gauge.add_metric([self._spider], value)
            yield gauge


class Metrics:
    """One file a spider: ``%(spider)s`` in METRICS_FILE is its name. Two runs of one spider share the file."""

    def __init__(self, crawler: Crawler) -> None:
        path: str | None = crawler.settings["METRICS_FILE"]
        if not path:
            raise NotConfigured
        self._crawler = crawler
        self._path = path
        self._interval = crawler.settings.getfloat("PROGRESS_INTERVAL") or 60
        self._last: dict[str, float] = {}
        self._reason: str | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._failed = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Metrics:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.spider_opened, signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signals.spider_closed)
        crawler.signals.connect(extension.engine_stopped, signals.engine_stopped)
        return extension

    async def spider_opened(self, spider: Spider) -> None:
        """Begin to write."""
        self._last = await asyncio.to_thread(_last_run, Path(self._path % {"spider": spider.name}))
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def spider_closed(self, reason: str) -> None:
        """Remember why; others still count."""
        self._reason = reason

    async def engine_stopped(self) -> None:
        """Write the end of the run, when everybody has had a say in its outcome."""
        if self._ticking is None:
            return
        self._ticking.cancel()
        outcome = judge({**self._crawler.stats.get_stats(), "finish_reason": self._reason})
        self._last = {_EXIT_CODE: int(outcome.code), _ENDED: time.time()}
        await self._write()

    async def _tick(self) -> None:
        while True:
            await self._write()
            await asyncio.sleep(self._interval)

    async def _write(self) -> None:
        spider = self._crawler.spider
        assert spider is not None  # noqa: S101  (it was opened)
        stats = dict(self._crawler.stats.get_stats())
        started = stats.get("start_time")
        gauges = {
            "lastfm_crawl_running": ("1 while the run goes on", float(self._reason is None)),
            "lastfm_crawl_run_start_timestamp_seconds": (
                "When the newest run began",
                started.timestamp() if started else 0,
            ),
            "lastfm_crawl_units_done": ("Users (or what the spider works off) that are done", _of(spider, "done")),
            "lastfm_crawl_units_expected": ("The same that there are to do", _of(spider, "total")),
        }
        texts = {_EXIT_CODE: "Exit code of the last finished run", _ENDED: "When the last finished run ended"}
        gauges |= {name: (texts[name], value) for name, value in self._last.items()}
        registry = CollectorRegistry()
        registry.register(_Snapshot(spider.name, stats, gauges))
        try:
            await asyncio.to_thread(write_to_textfile, self._path % {"spider": spider.name}, registry)
        except OSError as exc:
            if not self._failed:
                logger.warning("METRICS_FILE cannot be written: %s", exc)
            self._failed = True


def _of(spider: Spider, name: str) -> float:
    return float(getattr(spider, name, 0))


def _last_run(path: Path) -> dict[str, float]:
    """What the file at *path* says of the last finished run; nothing when there is no such file."""
    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    return {f.name: f.samples[0].value for f in families if f.name in {_EXIT_CODE, _ENDED} and f.samples}
