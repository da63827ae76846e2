"""Spotify's search for tracks without a match that is believed, and look-ups of matched ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.services import spotify
from lastfm_crawl.spiders.spotify import SpotifySpider, one_or_many
from lastfm_crawl.warehouse import track_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request


class SpotifyTracksSpider(SpotifySpider):
    """The most played tracks first; what Spotify ranks first is judged again by artist and title."""

    name = "spotify_tracks"
    unit = "tracks"
    about = "tracks"
    methods = ("spotify.search", "spotify.track", "spotify.tracks")

    async def left(self) -> Sequence[int]:
        """Tracks that no catalogue has, and that were not searched for just now."""
        return await self.warehouse.run(track_matches.tracks_to_search, self.started)

    async def questions(self, ids: Sequence[int]) -> Iterable[Request]:
        """A search for each."""
        found = await self.warehouse.run(track_matches.tracks_to_ask, ids, self.started)
        return [
            self.ask_since(spotify.search_tracks(track.artist, track.title), self.parse, track.searched)
            for track in found
        ]

    async def unknown(self) -> Sequence[str]:
        """Matches whose track has no row, or one without recording code and duration."""
        return await self.warehouse.run(track_matches.ids_without_details)

    def look_up(self, ids: Sequence[str]) -> spotify.Call:
        """One track, or a batch."""
        return one_or_many(ids, spotify.get_track, spotify.get_tracks)
