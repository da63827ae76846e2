"""Spotify's search for artists without a match that is believed, and look-ups of matched ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.services import spotify
from lastfm_crawl.spiders.spotify import SpotifySpider, one_or_many
from lastfm_crawl.warehouse import artist_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request


class SpotifyArtistsSpider(SpotifySpider):
    """The most played artists first; what Spotify ranks first is judged again by the names."""

    name = "spotify_artists"
    unit = "artists"
    about = "artists"
    methods = ("spotify.search", "spotify.artist", "spotify.artists")

    async def left(self) -> Sequence[int]:
        """Artists that no catalogue has, and that were not searched for just now."""
        return await self.warehouse.run(artist_matches.artists_to_search, self.started)

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """A search for each."""
        found = await self.warehouse.run(artist_matches.artists_to_ask, ids, self.started)
        return [self.ask_since(spotify.search_artists(artist.name), self.parse, artist.searched) for artist in found]

    async def unknown(self) -> Sequence[str]:
        """Matches whose artist has no row."""
        return await self.warehouse.run(artist_matches.ids_without_row)

    def look_up(self, ids: Sequence[str]) -> spotify.Call:
        """One artist, or a batch."""
        return one_or_many(ids, spotify.get_artist, spotify.get_artists)
