"""user.getTopAlbums for every known user, or for those that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import Argument, count, one_of
from lastfm_crawl.spiders.user_lists import UserListSpider

if TYPE_CHECKING:
    from collections.abc import Mapping


class TopAlbumsSpider(UserListSpider):
    """The albums that each user played most, with rank and play count."""

    name = "top_albums"
    phase = "top_albums"
    methods = ("user.getTopAlbums",)
    arguments: ClassVar[Mapping[str, Argument]] = {
        **UserListSpider.arguments,
        "period": Argument(one_of(*lastfm.PERIODS), "overall"),
        "limit": Argument(count, lastfm.MAX_LIMIT),
    }

    def call(self, user: str, page: int = 1) -> lastfm.Call:
        """A page of the top albums of *user*."""
        limit = min(self.args["limit"], lastfm.MAX_LIMIT)
        return lastfm.get_top_albums(user, page, period=self.args["period"], limit=limit)

    def max_pages(self) -> int:
        """As many pages as ``limit`` fills."""
        limit: int = self.args["limit"]
        return -(-limit // lastfm.MAX_LIMIT)
