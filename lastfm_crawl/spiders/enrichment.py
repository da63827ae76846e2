"""Spiders that ask about music instead of users: they work off what the warehouse says is left, most played first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import signals

from lastfm_crawl.spiders.arguments import Argument, count
from lastfm_crawl.spiders.base import ServiceSpider
from lastfm_crawl.warehouse.most_played import among_most_played

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from scrapy import Request

    from lastfm_crawl.services.service import Call
    from lastfm_crawl.warehouse.most_played import Kind

#: Rows of the work list whose names are fetched at a time: the ids of all of it are in memory, the names are not.
BATCH = 500


class EnrichmentSpider(ServiceSpider):
    """Asks about each row of a work list, at most ``limit`` of them. What is done is what the warehouse says.

    ``top`` leaves out what is not among so many most played: unlike a limit it is reached, however often it is run.
    A subclass says which rows are left, of what they are rows (``about``), and what is asked about each.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {"limit": Argument(count), "top": Argument(count)}
    about: ClassVar[Kind]

    async def left(self) -> Sequence[int]:
        """The ids of the rows that are left, in the order in which they are asked about."""
        raise NotImplementedError(f"{type(self).__name__} must say what is left")

    async def chosen(self) -> Sequence[int]:
        """Those of them that the arguments do not leave out."""
        ids = await self.left()
        if (top := self.args["top"]) is not None:
            ids = await self.warehouse.run(among_most_played, self.about, ids, top)
        return ids[: self.args["limit"]]

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """What to ask first about the rows with *ids*."""
        raise NotImplementedError(f"{type(self).__name__} must say what it asks")

    def ask_since(self, call: Call, callback: Callable[..., Any], seconds: float | None) -> Request:
        """The request for *call*; an answer from before the last one that was loaded, *seconds* ago, is not good any
        more.
        """
        request = self.ask(call, callback)
        if seconds is not None:
            request.meta["store_max_age"] = max(0.0, seconds - 1)
        return request

    async def start(self) -> AsyncIterator[Request]:
        """The first question about each row, as fast as the downloader takes them."""
        if await self.is_left_alone():
            return
        ids = await self.chosen()
        self.total = len(ids)
        for begin in range(0, len(ids), BATCH):
            for request in await self.questions(ids[begin : begin + BATCH]):
                if self.crawler.engine.needs_backout():
                    await self.crawler.signals.wait_for(signals.scheduler_empty)
                yield request
