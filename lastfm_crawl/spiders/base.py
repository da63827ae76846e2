"""What all spiders share: arguments, requests, and answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scrapy import Request, Spider
from scrapy.exceptions import IgnoreRequest

from lastfm_crawl.services import SERVICES, name_of, service_of
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.spiders.arguments import Argument, days, read_arguments
from lastfm_crawl.stop import stop_run, stopping
from lastfm_crawl.warehouse.database import Warehouse
from lastfm_crawl.warehouse.forgotten import NOBODY, without
from lastfm_crawl.warehouse.service_states import ServiceState, service_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings
    from twisted.python.failure import Failure

    from lastfm_crawl.services.service import Call, Service


class ServiceSpider(Spider):
    """Base of all spiders: ``arguments`` are declared by each and read into ``self.args``.

    ``done`` and ``total`` are what progress shows, ``user_pages`` the same of each user; ``phase`` is its name in
    state/progress.json; ``methods`` are those whose answers it brings; ``needs`` names the secrets and settings
    without which it cannot ask.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {}
    phase: ClassVar[str]
    methods: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]] = ("LASTFM_API_KEY",)
    unit: ClassVar[str] = "users"
    #: What the service told earlier runs about itself.
    state = ServiceState()

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.args = self.read(given)
        # Of what Scrapyd adds, the job's id, by which the run is found again.
        self._given = {name: text for name, text in given.items() if name == "_job" or not name.startswith("_")}
        self.done = 0
        self.total = 0
        #: Pages that are done and pages in all, by key of the user.
        self.user_pages: dict[str, tuple[int, int]] = {}

    @classmethod
    def needed(cls, settings: BaseSettings) -> tuple[str, ...]:  # noqa: ARG003  (subclasses look at them)
        """Those of ``needs`` that a run with *settings* needs."""
        return cls.needs

    @classmethod
    def read(cls, given: Mapping[str, str]) -> dict[str, Any]:
        """The values of this spider's arguments. Raises ArgumentError."""
        return read_arguments(cls.name, {**cls.arguments, "max_age": Argument(days)}, given)

    @property
    def given(self) -> dict[str, str]:
        """What the run record keeps: names instead of the file that held them, which may change before a replay, and
        nobody who is forgotten.
        """
        given = dict(self._given)
        for name, text in given.items():
            if isinstance(self.args.get(name), list) and (text.startswith("@") or self.warehouse.forgotten):
                given[name] = ",".join(without(self.args[name], self.warehouse.forgotten)) or NOBODY
        return given

    def named(self, argument: str) -> list[str] | None:
        """The users whom *argument* names, None when it is not given; whoever is forgotten stays so, and is counted."""
        users: list[str] | None = self.args[argument]
        if users is None:
            return None
        left = without(users, self.warehouse.forgotten)
        if len(left) < len(users):
            self.logger.warning(
                "%d of the %s are left out: they were forgotten (scrapy forget)", len(users) - len(left), argument
            )
        return left

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse that this crawl loads."""
        return Warehouse.of(self.crawler)

    @property
    def since(self) -> float | None:
        """With ``max_age``: answers from before then (seconds since 1970) are asked again."""
        max_age = self.args["max_age"]
        return None if max_age is None else self.started - max_age

    @property
    def started(self) -> float:
        """When the run began, in seconds since 1970."""
        start = self.crawler.stats.get_value("start_time")
        return float(start.timestamp()) if start else time.time()

    async def is_left_alone(self) -> bool:
        """Whether the service asked not to be asked before a time that is still to come: then the run ends."""
        name = name_of(self.methods[0])
        self.state = await self.warehouse.run(service_state, name)
        offline = self.settings.getbool("HTTPCACHE_IGNORE_MISSING")
        if offline or not self.state.not_before or self.state.not_before <= time.time():
            return False
        until = datetime.fromtimestamp(self.state.not_before, UTC)
        message = f"{SERVICES[name].title} asks to be left alone until {until:%Y-%m-%d %H:%M} UTC"
        stop_run(self.crawler, "rate_limited", f"{message} ({self.state.reason}); run again then")
        while not stopping(self.crawler):  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0)
        return True

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Scrapy's constructor; whoever asks a site, too, obeys its robots.txt, whatever is set."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        if spider.args.get("validate"):
            crawler.settings.set("ROBOTSTXT_OBEY", True, "cmdline")
        return spider

    def marks_since(self, seconds: float) -> float:
        """Since when (seconds since 1970) a mark is believed that is good for *seconds*: ``max_age`` is for it, too."""
        return max(self.started - seconds, self.since or 0)

    def ask(self, call: Call, callback: Callable[..., Any], **options: Any) -> Request:
        """The keyless request for *call*, with all that the store and the middlewares need to know."""
        meta: dict[str, Any] = {
            "call": call,
            "store_key": call.store_key,
            "store_request": {"method": call.method, "params": call.all_params},
        }
        if self.args["max_age"] is not None:
            meta["store_max_age"] = self.args["max_age"]
        service = _service(call)
        if not service.robots:
            meta["dont_obey_robotstxt"] = True
        # Never filtered: what was asked in an earlier run and lost there must be asked again.
        url = call.url(self.settings[service.url_setting])
        return Request(url, callback, **{"errback": self.lost, "meta": meta, "dont_filter": True, **options})

    def ask_after(self, call: Call, callback: Callable[..., Any], at: float | None) -> Request:
        """The request for *call*; what was stored until *at* (seconds since 1970) is no answer any more."""
        request = self.ask(call, callback)
        if at is not None:
            since = max(0.0, time.time() - at - 1)
            request.meta["store_max_age"] = min(since, request.meta.get("store_max_age", since))
        return request

    def lost(self, failure: Failure) -> Any:
        """A request that brought no answer. What was not given up (and counted) on purpose is a fault: count it, too.

        An exception in a middleware passes by everybody else, and the run would end as if nothing had been lost.
        """
        if not isinstance(failure.value, IgnoreRequest):
            self.crawler.stats.inc_value("lastfm_crawl/lost")
            self.logger.error("%s is lost: %r", failure.request.url, failure.value)  # type: ignore[attr-defined]

    @staticmethod
    def is_refused(response: Response) -> bool:
        """Whether an answer is no result, nor says that there is none: it was counted as lost where it was refused."""
        answer = response.meta["answer"]
        return isinstance(answer, Problem) and not answer.lasting

    @staticmethod
    def answer(response: Response) -> Any:
        """What an answer holds, or the mark that there is nothing, with the time of the stored answer."""
        meta = response.meta
        call, answer = meta["call"], meta.pop("answer")
        page = _service(call).mark(call, answer) if isinstance(answer, Problem) else answer
        return replace(page, fetched_at=meta["cache_timestamp"], size=len(response.body))


def _service(call: Call) -> Service:
    service = service_of(call.method)
    assert service is not None  # noqa: S101  (spiders ask what services offer)
    return service
