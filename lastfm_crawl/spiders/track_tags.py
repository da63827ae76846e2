"""track.getTopTags for the tracks of songs, or for the most played tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.enrichment import EnrichmentSpider
from lastfm_crawl.warehouse import track_tags
from lastfm_crawl.warehouse.matches import tracks_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scrapy import Request
    from scrapy.http import Response


class TrackTagsSpider(EnrichmentSpider):
    """One question a track; what was answered, tags or none, is asked again after 90 days."""

    name = "track_tags"
    phase = "tags"
    unit = "tracks"
    about = "tracks"
    methods = (lastfm.TagsCall.method,)

    async def left(self) -> Sequence[int]:
        """Tracks without tags, or with old ones."""
        before = max(self.started - lastfm.TAGS_TTL, self.since or 0)
        return await self.warehouse.run(track_tags.tracks_left, before)

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """One for each track."""
        tracks = await self.warehouse.run(tracks_named, ids)
        return [self.ask(lastfm.get_top_tags(track.artist, track.title), self.parse) for track in tracks]

    def parse(self, response: Response) -> Iterator[Any]:
        """The tags, or that there is no such track."""
        if self.is_refused(response):
            return
        self.done += 1
        yield self.answer(response)
