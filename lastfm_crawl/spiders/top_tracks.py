"""user.getTopTracks for every known user, or for those that are named."""

from __future__ import annotations

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.top_lists import TopListSpider


class TopTracksSpider(TopListSpider):
    """The tracks that each user played most, with rank and play count."""

    name = "top_tracks"
    phase = "track_fetching"
    methods = ("user.getTopTracks",)
    question = staticmethod(lastfm.get_top_tracks)
