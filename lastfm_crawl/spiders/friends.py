"""user.getFriends, breadth first from the seeds, until the crawl has as many users as it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Request
from scrapy.exceptions import IgnoreRequest

from lastfm_crawl.items import FriendsPage, Member, Page, UserMark, name_fault, user_key
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.arguments import Argument, count, depth, each_once, names, switch
from lastfm_crawl.spiders.base import ServiceSpider
from lastfm_crawl.spiders.frontier import Frontier
from lastfm_crawl.spiders.members import Members
from lastfm_crawl.spiders.profile_checks import VALIDATE, ProfileChecks
from lastfm_crawl.stop import PageLostError
from lastfm_crawl.warehouse import queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from scrapy.http import Response
    from twisted.python.failure import Failure

    from lastfm_crawl.spiders.frontier import Step


class FriendsSpider(ServiceSpider):
    """Discovers users: the seeds' profiles, then friends lists in the order that the frontier says.

    What the warehouse has is taken from there; what is asked is loaded in canonical order, too.
    """

    name = "friends"
    phase = "discovery"
    unit = "friends lists"
    methods = ("user.getFriends", "user.getInfo")
    arguments: ClassVar[Mapping[str, Argument]] = {
        "seeds": Argument(names, required=True),
        "max_users": Argument(count, 10_000),
        "max_depth": Argument(depth),
        "full_profiles": Argument(switch, False),
        **VALIDATE,
    }

    async def start(self) -> AsyncIterator[Request]:
        """One request to ourselves: what follows may yield items, and those from start() know no back-pressure."""
        if await self.is_left_alone():
            return
        yield Request("data:,", self.begin, dont_filter=True)

    async def begin(self, _: Response) -> AsyncIterator[Any]:
        """Take up the walk where the warehouse says that it stands."""
        run = self.warehouse.run
        members = await run(queries.members)
        self._profiles = await run(queries.users_fetched, "user.getInfo", self.since)
        self._returned = await run(queries.returned, "user.getFriends", lastfm.get_friends("").list_params)
        named = self.named("seeds") or []
        seeds = each_once([*await run(queries.seeds), *named])
        checks = ProfileChecks(self)
        for seed in _unknown(named, members, self._profiles):
            if (check := await checks.look(seed)) is not None:
                yield check
                if not check.total:
                    seeds.remove(seed)
        self._members = Members(seeds, members)
        self._frontier = Frontier(
            seeds,
            self.args["max_users"],
            self.args["max_depth"],
            members=self._members.ways(),
            stored=await run(queries.users_fetched, "user.getFriends", self.since),
            unavailable=await run(queries.unavailable, self.marks_since(lastfm.NEGATIVE_TTL)),
        )
        self._pages: dict[tuple[str, int], Page] = {}
        self._times: dict[tuple[str, int], float] = {}
        async for result in self._proceed():
            yield result

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        """A profile of a seed, a page of a friends list, or the mark that there is none."""
        page = self.answer(response)
        call: lastfm.Call = response.meta["call"]
        number = _page(call)
        self._pages[user_key(call.user), number] = page
        self._times[user_key(call.user), number] = page.fetched_at
        if isinstance(page, FriendsPage):
            friends = [friend.name for friend in page.friends if not name_fault(friend.name)]
            self._frontier.answer(call.user, number, page.pages, friends)
        else:
            if number == 0:
                self._profiles[user_key(call.user)] = page.fetched_at
            if isinstance(page, UserMark) and page.status == "not_found":
                self._frontier.leave_out(call.user)
            self._frontier.answer(call.user, number, 0, ())
        async for result in self._proceed():
            yield result

    async def lost(self, failure: Failure) -> AsyncIterator[Any]:
        """A page that was given up must not hold up the walk; the next run asks for it again."""
        super().lost(failure)
        # Other ignored requests belong to a run that is ending, or to one without a network.
        offline = self.settings.getbool("HTTPCACHE_IGNORE_MISSING")
        if isinstance(failure.value, PageLostError) or not isinstance(failure.value, IgnoreRequest) or offline:
            call: lastfm.Call = failure.request.meta["call"]  # type: ignore[attr-defined]  # Scrapy puts it there
            self._frontier.give_up(call.user, _page(call))
            async for result in self._proceed():
                yield result

    async def parse_profile(self, response: Response, **_: Any) -> AsyncIterator[Page]:
        """The profile of a member who is no seed (``full_profiles``)."""
        self.done += 1
        yield self.answer(response)

    async def _proceed(self) -> AsyncIterator[Any]:
        """Whatever can be asked, looked up and passed on now."""
        frontier = self._frontier
        while True:
            for step in frontier.advance():
                async for item in self._items(step):
                    yield item
            if users := frontier.to_look_up():
                await self._look_up(users)
                continue
            questions = frontier.to_ask(2 * self.settings.getint("CONCURRENT_REQUESTS"))
            known = False
            for user, page in questions:
                key = user_key(user)
                if page == 0 and key in self._profiles:
                    self._times[key, 0] = self._profiles[key]
                    frontier.answer(user, 0, 0, ())
                    known = True
                else:
                    call = lastfm.get_friends(user, page) if page else lastfm.get_info(user)
                    yield self.ask_after(call, self.parse, self._returned.get(key) if page == 1 else None)
            if not known:
                break
        self.done, self.total = frontier.lists_done, frontier.lists_known
        if frontier.idle and self.args["full_profiles"]:
            for call in self._profiles_left():
                yield self.ask(call, self.parse_profile)

    async def _items(self, step: Step) -> AsyncIterator[Any]:
        """The page of *step*, unless the warehouse has it already, and whom it admitted."""
        question = (user_key(step.user), step.page)
        if page := self._pages.pop(question, None):
            yield page
        answered_at = self._times.pop(question, None)
        if admissions := self._members.admit(step, answered_at, self.started):
            yield admissions

    async def _look_up(self, users: list[str]) -> None:
        """Feed the frontier the lists of *users* that the warehouse has."""
        params = lastfm.get_friends("").list_params
        lists = await self.warehouse.run(queries.friend_lists, [user_key(user) for user in users], params, self.since)
        for key, pages in lists.items():
            for stored in pages:
                self._times[key, stored.page] = stored.fetched_at
                self._frontier.answer(key, stored.page, stored.pages, stored.friends, stored=True)

    def _profiles_left(self) -> list[lastfm.Call]:
        """Profiles of members that were not asked for yet, each once."""
        left = [member.name for member in self._members if user_key(member.name) not in self._profiles]
        self._profiles.update(dict.fromkeys(map(user_key, left), 0.0))
        self.total += len(left)
        return [lastfm.get_info(name) for name in left]


def _unknown(seeds: Iterable[str], members: Iterable[Member], profiles: Mapping[str, float]) -> list[str]:
    """Those of *seeds* of whom the warehouse knows nothing."""
    known = {user_key(member.name) for member in members} | profiles.keys()
    return [seed for seed in seeds if user_key(seed) not in known]


def _page(call: lastfm.Call) -> int:
    """The page of *call* as the frontier counts: 0 is the profile of a seed."""
    return call.page if call.method == "user.getFriends" else 0
