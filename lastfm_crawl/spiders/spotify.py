"""What the Spotify spiders share: searches for what is unmatched, then look-ups of what is matched and not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastfm_crawl.services import spotify
from lastfm_crawl.spiders.enrichment import EnrichmentSpider
from lastfm_crawl.warehouse.service_states import remember_mode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from scrapy import Request
    from scrapy.http import Response

    from lastfm_crawl.services.problems import Problem

#: What the service's state says when batches are refused, and when they are not.
DEVELOPMENT, EXTENDED = "development", "extended"
#: Rows of a search where ten are too many.
FEWER = 5


class SpotifySpider(EnrichmentSpider):
    """Searches, and looks up in batches where the quota has them; one by one where not."""

    phase = "spotify"
    needs = ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")
    custom_settings = {"DOWNLOAD_DELAY": 0.6}  # noqa: RUF012  (Scrapy's own way; 100 a minute)

    async def unknown(self) -> Sequence[str]:
        """Spotify ids that are believed to be somebody's, and of which nothing else is known."""
        raise NotImplementedError(f"{type(self).__name__} must say what it looks up")

    def look_up(self, ids: Sequence[str]) -> spotify.Call:
        """The question about one id, or about a batch of them."""
        raise NotImplementedError(f"{type(self).__name__} must say how it looks up")

    async def start(self) -> AsyncIterator[Request]:
        """The searches, then the look-ups; ``limit`` counts both."""
        async for request in super().start():
            yield request
        if self.state.not_before and not self.total:
            return
        ids = await self.unknown()
        if self.args["limit"] is not None:
            ids = ids[: max(0, self.args["limit"] - self.total)]
        self.total += len(ids)
        for request in self._look_ups(ids):
            yield request

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        """What a question brought; one that is not taken in its form is asked in another."""
        call: spotify.Call = response.meta["call"]
        if self.is_refused(response):
            for request in await self._rephrased(call, response.meta["answer"]):
                yield request
            return
        item = self.answer(response)
        if len(call.asked) > 1 and call.method != "spotify.search" and self.state.mode != EXTENDED:
            await self._remember(EXTENDED)
        self.done += 1 if call.method == "spotify.search" else len(call.asked)
        yield item

    async def _rephrased(self, call: spotify.Call, problem: Problem) -> Iterable[Request]:
        """The same question in another form, if it was the form that was refused."""
        if problem.kind == "removed_endpoint":
            await self._remember(DEVELOPMENT)
            return self._look_ups(call.asked)
        if problem.kind == "invalid_limit" and (limit := dict(call.params)["limit"]) != str(FEWER):
            self.logger.info("Spotify does not give %s rows a search; asking for %d", limit, FEWER)
            params = {**dict(call.params), "limit": str(FEWER)}
            return [self.ask(spotify.Call.of(call.method, params), self.parse)]
        return ()  # counted as lost where it was refused

    async def _remember(self, mode: str) -> None:
        if self.state.mode != mode:
            self.logger.info("Spotify treats this app as one in %s mode", mode)
            self.state = self.state._replace(mode=mode)
            await self.warehouse.run(remember_mode, "spotify", mode)

    def _look_ups(self, ids: Sequence[str]) -> Iterator[Request]:
        size = 1 if self.state.mode == DEVELOPMENT else spotify.MAX_IDS
        for begin in range(0, len(ids), size):
            yield self.ask(self.look_up(ids[begin : begin + size]), self.parse)


def one_or_many(
    ids: Sequence[str], one: Callable[[str], spotify.Call], many: Callable[[Iterable[str]], spotify.Call]
) -> spotify.Call:
    """The call for a single id, or for several."""
    return one(ids[0]) if len(ids) == 1 else many(ids)
