"""user.getTopAlbums for every known user, or for those that are named."""

from __future__ import annotations

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.top_lists import TopListSpider


class TopAlbumsSpider(TopListSpider):
    """The albums that each user played most, with rank and play count."""

    name = "top_albums"
    phase = "album_fetching"
    methods = ("user.getTopAlbums",)
    question = staticmethod(lastfm.get_top_albums)
