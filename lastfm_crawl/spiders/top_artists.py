"""user.getTopArtists for every known user, or for those that are named."""

from __future__ import annotations

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.top_lists import TopListSpider


class TopArtistsSpider(TopListSpider):
    """The artists that each user played most, with rank and play count."""

    name = "top_artists"
    phase = "artist_fetching"
    methods = ("user.getTopArtists",)
    question = staticmethod(lastfm.get_top_artists)
