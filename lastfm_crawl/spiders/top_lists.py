"""What the lists of what users played most have in common: a period, and a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import Argument, count, one_of
from lastfm_crawl.spiders.user_lists import UserListSpider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class TopListSpider(UserListSpider):
    """What each user played most in ``period``, until ``limit`` (above 1,000 in whole pages) or the end.

    A subclass says which list: ``question``, one of :mod:`lastfm`'s.
    """

    arguments: ClassVar[Mapping[str, Argument]] = {
        **UserListSpider.arguments,
        "period": Argument(one_of(*lastfm.PERIODS), "overall"),
        "limit": Argument(count, lastfm.MAX_LIMIT),
    }
    question: ClassVar[Callable[..., lastfm.Call]]

    def call(self, user: str, page: int = 1) -> lastfm.Call:
        """A page of the list of *user*."""
        limit = min(self.args["limit"], lastfm.MAX_LIMIT)
        return type(self).question(user, page, period=self.args["period"], limit=limit)

    def max_pages(self) -> int:
        """As many pages as ``limit`` fills."""
        limit: int = self.args["limit"]
        return -(-limit // lastfm.MAX_LIMIT)
