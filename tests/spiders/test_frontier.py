"""The walk over the friends graph against a plain breadth-first search, whatever happens on the way."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lastfm_crawl.items import user_key
from lastfm_crawl.spiders import frontier as module
from lastfm_crawl.spiders.frontier import Admission, Frontier, Step, Way

NO_CUT = 10**6


@dataclass(frozen=True)
class World:
    """Who names whom as friends, by key; a user who is not in it does not exist."""

    friends: dict[str, list[str]]
    size: int = 50

    def exists(self, user: str) -> bool:
        return user_key(user) in self.friends

    def page(self, user: str, page: int) -> tuple[int, list[str]]:
        """The number of pages, and the friends on one of them; no pages when there is nothing to have."""
        friends = self.friends.get(user_key(user), [])
        return -(-len(friends) // self.size), friends[(page - 1) * self.size : page * self.size]


# --- the plain search ---------------------------------------------------------------------------------------------


def plain_search(world: World, seeds: list[str], max_users: int, max_depth: int | None):
    """Members by key with their ways, in order, their names, and what must be asked: one user after the other."""
    ways: dict[str, Way] = {}
    names: list[str] = []
    asked: list[tuple[str, int]] = []
    queue: deque[str] = deque()

    def admit(user: str, way: Way) -> None:
        if user_key(user) not in ways and len(ways) < max_users:
            ways[user_key(user)] = way
            names.append(user)
            queue.append(user_key(user))

    for place, seed in enumerate(seeds):
        if len(ways) < max_users:
            asked.append((user_key(seed), 0))
            admit(seed, Way(0, place))
    while queue:
        user = queue.popleft()
        way = ways[user]
        if (way.depth == 0 and not world.exists(user)) or way.depth == max_depth:
            continue
        page, pages = 1, 1
        while page <= pages and len(ways) < max_users:
            asked.append((user, page))
            pages, friends = world.page(user, page)
            for friend in friends:
                admit(friend, Way(way.depth + 1, way.seed))
            page += 1
    return ways, names, asked


def lists_of(world: World, asked: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The pages of friends lists, without profiles and without what does not exist."""
    return [(user, page) for user, page in asked if page and world.exists(user)]


# --- a crawl with the frontier, as the spider drives it -----------------------------------------------------------


@dataclass
class Warehouse:
    """What is left of a run that was interrupted: the pages whose turn had come, and whom they admitted."""

    ways: dict[str, Way | None] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    pages: dict[tuple[str, int], tuple[int, list[str]]] = field(default_factory=dict)
    profiles: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def load(self, world: World, step: Step, *, torn: bool = False) -> None:
        key = user_key(step.user)
        if step.page == 0:
            self.profiles.add(key)
        if not world.exists(key):
            self.gone.add(key)
        elif step.page:
            self.pages[key, step.page] = world.page(key, step.page)
        if torn:  # the page was written, those whom it admitted were not
            return
        for user, way in step.admitted:
            if user_key(user) not in self.ways:
                self.names.append(user)
            self.ways[user_key(user)] = way


@dataclass
class Crawl:
    """One run. ``choose`` says which of the answers under way comes next, and whether to ask before it comes."""

    world: World
    seeds: list[str]
    max_users: int
    max_depth: int | None = None
    ahead: int = 8
    choose: object = lambda _count: 0
    asked: list[tuple[str, int]] = field(default_factory=list)
    #: Pages of friends lists that are given up in this run, as the service does not send them.
    lost: set[tuple[str, int]] = field(default_factory=set)

    def run(self, warehouse: Warehouse, stop_after: int | None = None, *, torn: bool = False) -> None:
        """Walk to the end, or until *stop_after* answers have been loaded."""
        frontier = Frontier(
            self.seeds,
            self.max_users,
            self.max_depth,
            members=warehouse.ways,
            stored={key for key, _ in warehouse.pages},
            unavailable=warehouse.gone,
        )
        under_way: list[tuple[str, int]] = []
        loaded = 0
        while True:
            for step in frontier.advance():
                if loaded == stop_after:
                    return
                loaded += 1
                if (user_key(step.user), step.page) not in self.lost & set(self.asked):
                    warehouse.load(self.world, step, torn=torn and loaded == stop_after)
            if users := frontier.to_look_up():
                self.look_up(frontier, warehouse, users)
                continue
            if self.ask(frontier, warehouse, under_way):
                continue
            assert frontier.idle == (not under_way)
            if not under_way:
                assert frontier.members == len(frontier._members)
                return
            user, page = under_way.pop(self.choose(len(under_way)))
            self.answer(frontier, user, page)

    @staticmethod
    def look_up(frontier: Frontier, warehouse: Warehouse, users: list[str]) -> None:
        for user in users:
            for (key, page), (pages, friends) in warehouse.pages.items():
                if key == user_key(user):
                    frontier.answer(user, page, pages, friends, stored=True)

    def ask(self, frontier: Frontier, warehouse: Warehouse, under_way: list[tuple[str, int]]) -> bool:
        """Ask what the frontier wants; whether a part of it was known already."""
        known = False
        was_full = frontier.full
        for user, page in frontier.to_ask(self.ahead):
            question = (user_key(user), page)
            if page == 0 and question[0] in warehouse.profiles:
                frontier.answer(user, 0, 0, ())
                known = True
                continue
            assert question not in self.asked, "asked twice"
            assert question not in warehouse.pages, "asked for what is stored"
            assert question[0] not in warehouse.gone or page == 0, "asked for the friends of somebody who is gone"
            assert not was_full or (page == 0 and question[0] in warehouse.ways), "asked after the cut"
            self.asked.append(question)
            under_way.append((user, page))
        assert len(under_way) <= self.ahead
        return known

    def answer(self, frontier: Frontier, user: str, page: int) -> None:
        if (user_key(user), page) in self.lost:
            frontier.answer(user, page, 0, ())
            return
        if not self.world.exists(user):
            frontier.leave_out(user)
        pages, friends = self.world.page(user, page) if page else (0, [])
        frontier.answer(user, page, pages, friends)


# --- what hypothesis makes up -------------------------------------------------------------------------------------

USERS = "abcdefgh"


def in_any_case(letter: str):
    return st.sampled_from([letter, letter.upper()])


some_user = st.sampled_from(USERS).flatmap(in_any_case)
# Self-loops, repeats and case variants come by themselves; who is left out of the dictionary does not exist.
worlds = st.builds(
    World,
    st.dictionaries(st.sampled_from(USERS), st.lists(some_user, max_size=6), min_size=1),
    st.integers(1, 4),
)
some_seeds = st.lists(some_user, min_size=1, max_size=3, unique_by=user_key)
caps = st.integers(1, 9) | st.just(NO_CUT)
depths = st.none() | st.integers(0, 3)
ahead = st.sampled_from([1, 2, 3, 8])


def small_steps(places: int, look_up: int):
    """The frontier's constants, so small that small graphs reach their edges.

    Not fewer are looked up at once than are asked for at once: so it is with every sensible CONCURRENT_REQUESTS.
    """
    stack = ExitStack()
    stack.enter_context(patch.object(module, "PLACES_PER_LIST", places))
    stack.enter_context(patch.object(module, "LOOK_UP", look_up))
    return stack


def chooser(data):
    """Answers come in any order."""
    return lambda count: data.draw(st.integers(0, count - 1)) if count > 1 else 0


@settings(max_examples=300, deadline=None)
@given(st.data(), worlds, some_seeds, caps, depths, ahead, st.integers(1, 3), st.integers(0, 2))
def test_it_is_breadth_first_whatever_comes_first(data, world, seeds, max_users, max_depth, ahead, places, extra):
    ways, names, needed = plain_search(world, seeds, max_users, max_depth)
    crawl = Crawl(world, seeds, max_users, max_depth, ahead, chooser(data))
    warehouse = Warehouse()
    with small_steps(places, ahead + extra):
        crawl.run(warehouse)
    assert list(warehouse.ways.items()) == list(ways.items())
    assert warehouse.names == names
    assert set(needed) <= set(crawl.asked)
    # What was asked ahead and found needless is not loaded: the result does not depend on it.
    assert list(warehouse.pages) == lists_of(world, needed)


@settings(max_examples=300, deadline=None)
@given(st.data(), worlds, some_seeds, caps, depths, ahead, st.integers(1, 3), st.integers(0, 2))
def test_interruptions_change_nothing(data, world, seeds, max_users, max_depth, ahead, places, extra):
    ways, names, needed = plain_search(world, seeds, max_users, max_depth)
    warehouse = Warehouse()
    with small_steps(places, ahead + extra):
        for stop_after in data.draw(st.lists(st.integers(0, 6), max_size=4), label="interruptions"):
            torn = data.draw(st.booleans(), label="torn")
            Crawl(world, seeds, max_users, max_depth, ahead, chooser(data)).run(warehouse, stop_after, torn=torn)
        Crawl(world, seeds, max_users, max_depth, ahead, chooser(data)).run(warehouse)
    assert list(warehouse.ways.items()) == list(ways.items())
    assert warehouse.names == names
    assert list(warehouse.pages) == lists_of(world, needed)


@settings(max_examples=200, deadline=None)
@given(st.data(), worlds, some_seeds, st.integers(1, 9), depths, ahead)
def test_close_to_the_cut_only_what_is_needed_is_asked(data, world, seeds, max_users, max_depth, ahead):
    """Fewer than PLACES_PER_LIST places are free, so it asks exactly what a search one by one does."""
    _, _, needed = plain_search(world, seeds, max_users, max_depth)
    crawl = Crawl(world, seeds, max_users, max_depth, ahead, chooser(data))
    crawl.run(Warehouse())
    assert crawl.asked == needed


@settings(max_examples=200, deadline=None)
@given(st.data(), worlds, some_seeds, st.integers(1, 9), depths, ahead, st.lists(st.integers(0, 5), max_size=3))
def test_after_an_interruption_only_what_is_missing_is_asked(data, world, seeds, max_users, max_depth, ahead, stops):
    _, _, needed = plain_search(world, seeds, max_users, max_depth)
    warehouse, asked = Warehouse(), []
    for stop_after in [*stops, None]:
        before = {*warehouse.pages, *((key, 0) for key in warehouse.profiles)}
        crawl = Crawl(world, seeds, max_users, max_depth, ahead, chooser(data))
        crawl.run(warehouse, stop_after)
        assert not before & set(crawl.asked)
        asked += crawl.asked
    assert set(asked) == set(needed)


@settings(max_examples=200, deadline=None)
@given(st.data(), worlds, some_seeds, caps, caps, depths, ahead, st.none() | st.integers(0, 5))
def test_a_higher_cap_extends(data, world, seeds, first, second, max_depth, ahead, stop_after):
    first, second = sorted((first, second))
    warehouse = Warehouse()
    with small_steps(2, ahead):
        Crawl(world, seeds, first, max_depth, ahead, chooser(data)).run(warehouse, stop_after)
        before = list(warehouse.ways.items())
        Crawl(world, seeds, second, max_depth, ahead, chooser(data)).run(warehouse)
    ways, names, _ = plain_search(world, seeds, second, max_depth)
    assert list(warehouse.ways.items()) == list(ways.items())
    assert warehouse.names == names
    assert list(warehouse.ways.items())[: len(before)] == before


@settings(max_examples=200, deadline=None)
@given(st.data(), worlds, some_seeds, depths, depths, ahead)
def test_a_greater_depth_extends(data, world, seeds, first, second, ahead):
    first, second = sorted((first, second), key=lambda depth: NO_CUT if depth is None else depth)
    warehouse = Warehouse()
    Crawl(world, seeds, NO_CUT, first, ahead, chooser(data)).run(warehouse)
    Crawl(world, seeds, NO_CUT, second, ahead, chooser(data)).run(warehouse)
    assert list(warehouse.ways.items()) == list(plain_search(world, seeds, NO_CUT, second)[0].items())


@settings(max_examples=300, deadline=None)
@given(st.data(), worlds, some_seeds, depths, ahead, st.lists(st.none() | st.integers(0, 5), min_size=2, max_size=4))
def test_other_seeds_keep_the_shortest_way_and_the_earlier_seed(data, world, seeds, max_depth, ahead, stops):
    """Seeds are those of all runs: every run may bring another one, and may be interrupted."""
    assume(all(map(world.exists, seeds)))  # until test_a_new_seed_that_is_gone_is_a_seed_all_the_same passes
    warehouse, named = Warehouse(), []
    with small_steps(1, ahead):
        for seed, stop_after in zip([*seeds, *seeds], [*stops, *stops], strict=False):
            named = list(dict.fromkeys([*named, seed]))
            Crawl(world, named, NO_CUT, max_depth, ahead, chooser(data)).run(warehouse, stop_after)
        Crawl(world, seeds, NO_CUT, max_depth, ahead, chooser(data)).run(warehouse)
    assert warehouse.ways == plain_search(world, seeds, NO_CUT, max_depth)[0]


@settings(max_examples=300, deadline=None)
@given(st.data(), worlds, some_seeds, some_seeds, st.lists(caps, min_size=2, max_size=2), depths, ahead)
def test_members_are_never_lost_and_ways_never_grow(data, world, seeds, others, max_users, max_depth, ahead):
    warehouse = Warehouse()
    Crawl(world, seeds, max_users[0], max_depth, ahead, chooser(data)).run(warehouse)
    before = dict(warehouse.ways)
    both = list({user_key(seed): seed for seed in [*others, *seeds][::-1]}.values())
    both.sort(key=lambda seed: user_key(seed) not in map(user_key, seeds))
    places = [user_key(seed) for seed in both]
    # The place of a seed is its place among the seeds of all runs, and those of the first run stay in front.
    old = {place: places.index(user_key(seed)) for place, seed in enumerate(seeds)}
    warehouse.ways = {key: Way(way.depth, old[way.seed]) for key, way in before.items()}
    ways = dict(warehouse.ways)
    Crawl(world, both, max_users[1], max_depth, ahead, chooser(data)).run(warehouse)
    assert list(warehouse.ways)[: len(ways)] == list(ways)
    assert all(warehouse.ways[key] <= way for key, way in ways.items())
    assert len(warehouse.ways) <= max(len(ways), max_users[1])


lists = st.tuples(st.sampled_from(USERS), st.integers(1, 3))


@settings(max_examples=300, deadline=None)
@given(st.data(), worlds, some_seeds, depths, ahead, st.lists(st.sets(lists, max_size=6), min_size=1, max_size=2))
def test_what_was_given_up_is_made_up_for_later(data, world, seeds, max_depth, ahead, lost):
    """A lost page holds nobody up; and whoever is found late by the better way gets that way."""
    warehouse = Warehouse()
    for pages in [*lost, set()]:
        Crawl(world, seeds, NO_CUT, max_depth, ahead, chooser(data), lost=pages).run(warehouse)
    assert warehouse.ways == plain_search(world, seeds, NO_CUT, max_depth)[0]


# --- single points ------------------------------------------------------------------------------------------------


def members_of(world: World, seeds: list[str], max_users: int = NO_CUT, **options) -> dict[str, Way]:
    warehouse = Warehouse()
    Crawl(world, seeds, max_users, **options).run(warehouse)
    return warehouse.ways


def test_order_is_depth_then_place_of_the_parent_then_position():
    world = World({"s": ["b", "a"], "a": ["d"], "b": ["e", "c"]}, size=1)
    assert list(members_of(world, ["s"])) == ["s", "b", "a", "e", "c", "d"]


def test_the_seed_that_was_named_first_wins_at_the_same_depth():
    world = World({"s": ["x"], "t": ["x", "y"], "y": ["s"]})
    assert members_of(world, ["t", "s"])["x"] == Way(1, 0)
    assert members_of(world, ["s", "t"])["x"] == Way(1, 0)
    assert members_of(world, ["s", "t"])["y"] == Way(1, 1)


def test_a_seed_that_does_not_exist_is_a_member_who_is_asked_no_more():
    crawl = Crawl(World({"a": []}), ["gone", "a"], NO_CUT)
    warehouse = Warehouse()
    crawl.run(warehouse)
    assert list(warehouse.ways) == ["gone", "a"]
    assert crawl.asked == [("gone", 0), ("a", 0), ("a", 1)]


def test_seeds_beyond_the_cut_find_no_place():
    crawl = Crawl(World({"a": ["d"], "b": [], "c": []}), ["a", "b", "c"], 2)
    warehouse = Warehouse()
    crawl.run(warehouse)
    assert list(warehouse.ways) == ["a", "b"]
    assert crawl.asked == [("a", 0), ("b", 0)]


def test_a_new_seed_shortens_ways_even_when_no_place_is_free():
    world = World({"s": ["a"], "a": ["b"], "b": ["c"], "c": ["d"], "d": []})
    warehouse = Warehouse()
    Crawl(world, ["s"], 5).run(warehouse)
    again = Crawl(world, ["s", "b"], 5)
    again.run(warehouse)
    assert warehouse.ways == {"s": Way(0, 0), "a": Way(1, 0), "b": Way(0, 1), "c": Way(1, 1), "d": Way(2, 1)}
    assert again.asked == [("b", 0)]


def test_of_two_ways_of_one_length_the_earlier_seed_wins_even_later():
    world = World({"s": ["x"], "t": ["x"], "x": []})
    warehouse = Warehouse()
    Crawl(world, ["s", "t"], NO_CUT, lost={("s", 1)}).run(warehouse)
    assert warehouse.ways["x"] == Way(1, 1)
    Crawl(world, ["s", "t"], NO_CUT).run(warehouse)
    assert warehouse.ways["x"] == Way(1, 0)


def test_a_member_of_no_seed_gets_a_way_when_it_is_reached():
    warehouse = Warehouse(ways={"a": None, "z": None})
    Crawl(World({"s": ["A"], "a": []}), ["s"], NO_CUT).run(warehouse)
    assert warehouse.ways == {"a": Way(1, 0), "z": None, "s": Way(0, 0)}


def test_members_of_no_seed_take_places():
    warehouse = Warehouse(ways={"y": None, "z": None})
    Crawl(World({"s": ["a", "b"]}), ["s"], 4).run(warehouse)
    assert list(warehouse.ways) == ["y", "z", "s", "a"]


def test_far_from_the_cut_many_lists_are_under_way():
    frontier = Frontier([f"user{i}" for i in range(50)], 100_000)
    assert len(frontier.to_ask(8)) == 8
    assert frontier.to_ask(8) == []
    assert len(frontier.to_ask(12)) == 4


def test_what_was_asked_ahead_of_the_cut_is_not_taken():
    """Otherwise which edges are loaded would depend on how many lists were under way."""
    frontier = Frontier(["a", "b"], 202)
    for seed in frontier.to_ask(1) + frontier.to_ask(2):
        frontier.answer(*seed, 0, ())
    list(frontier.advance())
    assert frontier.to_ask(2) == [("a", 1), ("b", 1)]
    frontier.answer("b", 1, 1, ["a"])
    frontier.answer("a", 1, 1, [f"user{number}" for number in range(200)])
    assert [step.user for step in frontier.advance()] == ["a"]
    assert frontier.full
    assert frontier.idle
    assert frontier.to_ask(2) == []


def test_closer_to_the_cut_fewer_lists_are_under_way():
    for free, under_way in ((99, 1), (100, 1), (250, 2), (800, 8), (5000, 8)):
        assert len(Frontier([f"user{i}" for i in range(50)], free).to_ask(8)) == under_way


def test_an_answer_that_nobody_waits_for_is_ignored():
    frontier = Frontier(["a"], 10)
    frontier.answer("stranger", 1, 1, ["x"], stored=True)
    assert list(frontier.advance()) == []
    assert frontier.to_ask(1) == [("a", 0)]


def test_steps_say_whose_answer_it_was_and_whom_it_admitted():
    frontier = Frontier(["A"], 10)
    assert frontier.to_ask(9) == [("A", 0)]
    frontier.answer("a", 0, 0, ())
    assert list(frontier.advance()) == [Step("A", 0, [Admission("A", Way(0, 0))])]
    assert frontier.to_ask(9) == [("A", 1)]
    frontier.answer("a", 1, 1, ["B", "b", "A"])
    assert list(frontier.advance()) == [Step("A", 1, [Admission("B", Way(1, 0))])]
    assert (frontier.members, frontier.lists_done, frontier.lists_known, frontier.idle) == (2, 1, 2, True)


def test_a_list_that_grew_shorter_ends_where_it_ends():
    frontier = Frontier(["a"], 10)
    frontier.to_ask(1)
    frontier.answer("a", 0, 0, ())
    list(frontier.advance())
    frontier.to_ask(1)
    frontier.answer("a", 1, 3, ["b"])
    list(frontier.advance())
    assert frontier.to_ask(1) == [("a", 2)]
    frontier.answer("a", 2, 1, [])  # "no such page"
    assert [(step.user, step.page) for step in frontier.advance()] == [("a", 2)]
    assert frontier.to_ask(1) == [("b", 1)]


@pytest.mark.parametrize("max_depth", [0, 1])
def test_nobody_at_the_greatest_depth_is_asked_for_friends(max_depth):
    crawl = Crawl(World({"a": ["b"], "b": ["c"], "c": []}), ["a"], NO_CUT, max_depth)
    crawl.run(Warehouse())
    assert crawl.asked == [("a", 0), ("a", 1)][: max_depth + 1]


def test_a_new_seed_that_is_known_to_be_gone_is_asked_nothing():
    frontier = Frontier(["b"], 10, members={"b": None}, unavailable={"b"})
    assert frontier.to_ask(9) == []


def test_a_new_seed_that_is_gone_is_a_seed_all_the_same():
    world, warehouse = World({"b": ["c"]}), Warehouse()
    Crawl(world, ["b"], NO_CUT).run(warehouse)
    again = Crawl(world, ["b", "c"], NO_CUT)
    again.run(warehouse)
    assert again.asked == []
    assert warehouse.ways == {"b": Way(0, 0), "c": Way(0, 1)}
