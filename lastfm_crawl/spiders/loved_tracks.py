"""user.getLovedTracks for every known user, or for those that are named."""

from __future__ import annotations

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.user_lists import UserListSpider


class LovedTracksSpider(UserListSpider):
    """The tracks that each user loves, all of them."""

    name = "loved_tracks"
    phase = "loved_fetching"
    methods = ("user.getLovedTracks",)

    def call(self, user: str, page: int = 1) -> lastfm.Call:
        """A page of the loved tracks of *user*."""
        return lastfm.get_loved_tracks(user, page)
