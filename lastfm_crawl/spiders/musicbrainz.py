"""The years in which albums first came out: asked of MusicBrainz's web service, or of a mirror of its database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import ReleaseLookup
from lastfm_crawl.services import musicbrainz
from lastfm_crawl.spiders.enrichment import EnrichmentSpider
from lastfm_crawl.stop import stop_run, stopping
from lastfm_crawl.warehouse import release_groups
from lastfm_crawl.warehouse.mirror import Mirror, MirrorUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from scrapy import Request
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

#: Albums that a mirror is asked about in one transaction of the warehouse.
BULK = 5_000


class MusicBrainzSpider(EnrichmentSpider):
    """The most played albums first: by the id of the release, or by their names where there is none that is known."""

    name = "musicbrainz"
    phase = "musicbrainz"
    unit = "albums"
    about = "albums"
    methods = ("musicbrainz.release", "musicbrainz.search")
    needs = ("CONTACT",)

    @classmethod
    def needed(cls, settings: BaseSettings) -> tuple[str, ...]:
        """A mirror of one's own need not know whom to write to."""
        return () if settings["MUSICBRAINZ_DATABASE_URL"] else cls.needs

    async def start(self) -> AsyncIterator[Request]:
        """The questions to the web service; none where there is a mirror."""
        if url := self.settings["MUSICBRAINZ_DATABASE_URL"]:
            await self._ask_mirror(Mirror(url))
            return
        async for request in super().start():
            yield request

    async def left(self) -> Sequence[int]:
        """Albums without a year that were not asked about just now."""
        return await self.warehouse.run(release_groups.albums_left, self.started)

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """One for each release or pair of names."""
        return map(self._question, await self.warehouse.run(release_groups.albums_to_ask, ids, self.started))

    def _question(self, album: release_groups.AlbumQuestion) -> Request:
        if album.mbid is not None:
            call = musicbrainz.get_release(album.mbid)
        else:
            call = musicbrainz.search_release_groups(album.artist, album.title)
        return self.ask_since(call, self.parse, album.asked)

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        """What a question brought; the albums of a release that nobody knows are searched for by their names."""
        if self.is_refused(response):
            return
        item = self.answer(response)
        self.done += 1
        if isinstance(item, ReleaseLookup) and item.group is None:
            albums = await self.warehouse.run(release_groups.names_of, [item.asked], self.started)
            self.total += len(albums)
            for album in albums:
                yield self._question(album)
        yield item

    async def _ask_mirror(self, mirror: Mirror) -> None:
        ids = await self.chosen()
        self.total = len(ids)
        try:
            for begin in range(0, len(ids), BULK):
                if stopping(self.crawler):
                    break
                bulk = ids[begin : begin + BULK]
                await self.warehouse.run(release_groups.ask_mirror, mirror, bulk, self.started)
                self.done += len(bulk)
        except MirrorUnavailableError as exc:
            stop_run(self.crawler, "service_unreachable", f"{exc}; check MUSICBRAINZ_DATABASE_URL, then run again")
        finally:
            await self.warehouse.run(lambda _: mirror.close())
