"""``validate=head``: whether users are there, asked of the site before the API, for a profile page costs no quota.

HEAD, one page after another, as robots.txt allows, and no more in this run once the site does not want to be asked. No
page is no word of the API: facts about the site are few, so the user is passed over in this run and asked about again
after a day; nothing is recorded of them but that there was no page. Where the site says nothing, the API is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.exceptions import IgnoreRequest
from scrapy.http.request import NO_CALLBACK

from lastfm_crawl.services import lastfm
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.spiders.arguments import Argument, one_of
from lastfm_crawl.stop import stopping

if TYPE_CHECKING:
    from lastfm_crawl.items import ProfileCheck
    from lastfm_crawl.spiders.base import ServiceSpider

VALIDATE = {"validate": Argument(one_of("head"))}
#: Answers that are not about one page alone, as those above 500 are not: after them the site is not asked again.
_REFUSALS = frozenset({401, 403, 407, 429})


class ProfileChecks:
    """The questions of one run; see above."""

    def __init__(self, spider: ServiceSpider) -> None:
        self._spider = spider
        self._asks = spider.args["validate"] is not None

    async def look(self, user: str) -> ProfileCheck | None:
        """What the site says of *user*; None where it says nothing."""
        if not self._asks:
            return None
        spider = self._spider
        request = spider.ask(lastfm.get_page(user), NO_CALLBACK, method="HEAD", errback=None)
        request.meta["dont_retry"] = True
        try:
            response = await spider.crawler.engine.download_async(request)
        except IgnoreRequest as exc:
            if "robots.txt" in str(exc):
                self._leave_alone("robots.txt does not allow it")
            return None  # or the run is ending, or has no network
        except Exception as exc:  # noqa: BLE001  (whatever kept the answer from coming: the API will tell)
            if not stopping(spider.crawler):
                self._leave_alone(f"{type(exc).__name__}: {exc}")
            return None
        said = response.meta["answer"]
        if isinstance(said, Problem) and not said.lasting:
            if response.status in _REFUSALS or response.status >= 500:
                self._leave_alone(said.message)
            return None
        check: ProfileCheck = spider.answer(response)
        if not check.total:
            spider.crawler.stats.inc_value("lastfm_crawl/no_profile_page")
            spider.logger.info("%s has no profile page: the API is not asked about them today", user)
        return check

    def _leave_alone(self, why: str) -> None:
        self._asks = False
        site = self._spider.settings[lastfm.PAGES.url_setting]
        self._spider.logger.warning("%s is not asked for profile pages (%s); the API is asked instead", site, why)
