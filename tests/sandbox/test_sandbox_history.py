"""Histories: pages of a window, changes while they are served, and what the worlds put into them."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import FIRST_SCROBBLE, RecentTracksPage
from lastfm_crawl.sandbox import Faults, History, LoggedRequest, Sandbox, Scrobble, World
from lastfm_crawl.sandbox.answers import answer
from lastfm_crawl.sandbox.bodies import Body
from lastfm_crawl.sandbox.history import YEAR_2025, listened, long_history
from lastfm_crawl.sandbox.world import demo_world, scrobbles_world, synthetic_world
from lastfm_crawl.services.lastfm import get_recent_tracks, read

SCROBBLES = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "scrobbles"
T0 = 1_500_000_000


def scrobble(uts: int, track: str = "t", **fields: Any) -> Scrobble:
    return Scrobble("a", track, uts, **fields)


def fetch(world: World, page: int, *, to: int, from_: int = 0, limit: int = 1000) -> RecentTracksPage:
    """One page as a crawl gets it: answered, put into bytes, read."""
    call = get_recent_tracks("rj", page, from_=from_, to=to, limit=limit)
    said = answer(world, {**call.all_params, "method": call.method, "api_key": "k"})
    got = read(call, said.status, msgspec.json.encode(said.body))
    assert isinstance(got, RecentTracksPage)
    return got


def walk(world: World, *, to: int, from_: int = 0, limit: int = 1000) -> tuple[list[RecentTracksPage], int]:
    """All pages of a window, and how many requests it took."""
    pages = [fetch(world, 1, to=to, from_=from_, limit=limit)]
    pages += [fetch(world, n, to=to, from_=from_, limit=limit) for n in range(2, pages[0].pages + 1)]
    return pages, len(pages)


times = st.integers(T0, T0 + 30) | st.integers(0, 3) | st.integers(FIRST_SCROBBLE - 1, FIRST_SCROBBLE + 1)
plays = st.builds(scrobble, times, st.sampled_from("xyz"), album=st.sampled_from(["", "An Album"]))


# --- paging --------------------------------------------------------------------------------------------------------


@given(
    st.lists(plays, max_size=60), st.integers(1, 25), st.integers(0, T0 + 20), st.integers(T0, T0 + 40), st.booleans()
)
def test_paging_returns_each_play_once(history, limit, first, end, playing):
    world = World.of({}, scrobbles={"rj": history})
    if playing:
        world = World(world.users, scrobbles=world.scrobbles, playing={"rj": Scrobble("now", "playing")})
    pages, requests = walk(world, from_=first, to=end, limit=limit)
    window = [p for p in history if (first == 0 or p.uts >= first) and p.uts < end]
    stored = Counter((row[0], row[5], row[3]) for page in pages for row in page.rows())
    assert stored == Counter((p.uts, p.track, p.album) for p in window if p.uts >= FIRST_SCROBBLE)
    skipped: Counter[str] = Counter()
    for page in pages:
        skipped.update(page.skipped)
    assert skipped["undated"] == sum(p.uts == 0 for p in window)
    assert skipped["before_2002"] == sum(0 < p.uts < FIRST_SCROBBLE for p in window)
    assert skipped["now_playing"] == playing * requests
    assert requests == max(-(-len(window) // limit), 1)
    assert all(page.total == len(window) and page.missing == 0 for page in pages)


@given(st.lists(plays, max_size=40), st.integers(1, 9), st.lists(st.integers(0, 30), max_size=5))
def test_a_pinned_end_keeps_new_scrobbles_out(history, limit, delays):
    served = History(history)
    world = World.of({}, scrobbles={"rj": served})
    now = T0 + 31
    got = fetch(world, 1, to=now, limit=limit)
    rows = got.rows()
    for page in range(2, got.pages + 1):
        served.add(*(scrobble(now + delay) for delay in delays))
        rows += fetch(world, page, to=now, limit=limit).rows()
    assert len(rows) == sum(p.uts >= FIRST_SCROBBLE for p in history)


@given(st.lists(plays, max_size=40), st.sampled_from([(10, 5), (12, 4), (8, 1)]), st.integers(1, 5))
def test_a_big_page_is_so_many_small_ones(history, sizes, page):
    big, small = sizes
    world = World.of({}, scrobbles={"rj": history})
    parts = range((page - 1) * big // small + 1, page * big // small + 1)
    rows = [row for n in parts for row in fetch(world, n, to=T0 + 99, limit=small).rows()]
    assert rows == fetch(world, page, to=T0 + 99, limit=big).rows()


def test_the_newest_come_first_and_of_one_second_the_last_added():
    history = History([scrobble(5, "old"), scrobble(7, "first listed"), scrobble(7, "second listed"), scrobble(9)])
    assert [p.track for p in history] == ["t", "first listed", "second listed", "old"]
    history.add(scrobble(7, "added"))
    assert [p.track for p in history] == ["t", "added", "first listed", "second listed", "old"]
    assert (history[0].uts, history[-1].track, len(history)) == (9, "old", 5)


# --- changes -------------------------------------------------------------------------------------------------------


@given(st.lists(plays, max_size=20), st.lists(plays, max_size=5), st.data())
def test_plays_that_are_added_and_deleted(first, added, data):
    history = History(first)
    history.add(*added)
    gone = data.draw(st.lists(st.sampled_from([*first, *added]), max_size=3)) if first or added else []
    gone = list((Counter(gone) & Counter([*first, *added])).elements())
    history.delete(*gone)
    assert Counter(history) == Counter([*first, *added]) - Counter(gone)
    uts = [p.uts for p in history]
    assert uts == sorted(uts, reverse=True)
    assert history.version == 2


def test_what_is_not_there_cannot_be_deleted():
    with pytest.raises(ValueError, match="no such play"):
        History([scrobble(5)]).delete(scrobble(6))
    with pytest.raises(IndexError):
        _ = History()[0]


@pytest.fixture
async def sandbox():
    sandbox = Sandbox(World.of({}, scrobbles={"rj": [scrobble(n) for n in range(T0, T0 + 5)]}))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def get(sandbox: Sandbox, **params: str) -> tuple[int, Any]:
    asked = {"method": "user.getRecentTracks", "user": "RJ", "api_key": "k", "format": "json", **params}
    async with aiohttp.ClientSession() as session, session.get(sandbox.url, params=asked) as response:
        return response.status, await response.json()


async def test_a_change_is_served_at_once(sandbox: Sandbox) -> None:
    history = sandbox.world.history("rj")
    assert (await get(sandbox))[1]["recenttracks"]["@attr"]["total"] == "5"
    history.add(scrobble(T0 + 9))
    history.delete(scrobble(T0), scrobble(T0 + 1))
    assert (await get(sandbox))[1]["recenttracks"]["@attr"]["total"] == "4"


async def test_a_history_can_change_between_two_requests(sandbox: Sandbox) -> None:
    def change(call: LoggedRequest) -> None:
        if call.params.get("page") == "2":
            sandbox.world.history(call.user).add(scrobble(T0 + 99))

    sandbox.before_answer = change
    totals = [(await get(sandbox, page=page))[1]["recenttracks"]["@attr"]["total"] for page in "122"]
    assert totals == ["5", "6", "7"]


async def test_big_pages_can_fail_for_ever(sandbox: Sandbox) -> None:
    sandbox.faults.script("user.getRecentTracks", "rj", ["error_8_500"], times=None, limit_above=250)
    statuses = [(await get(sandbox, limit=limit))[0] for limit in ("1000", "500", "250", "251", "1000")]
    assert statuses == [500, 500, 200, 500, 500]
    assert (await get(sandbox))[0] == 200  # 50 rows, when nothing is asked for


def test_the_bound_of_a_script_counts_the_default_limit():
    faults = Faults()
    faults.script("*", None, ["empty"], times=None, limit_above=49)
    assert [faults.next("m", "u", p) for p in ({}, {"limit": "49"}, {"limit": "x"})] == ["empty", None, "empty"]


# --- made-up histories ---------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1_037_793_040, YEAR_2025))
def test_made_up_plays_are_as_many_as_the_top_list_says(seed, counts, registered):
    recordings = [(Scrobble("a", f"t{n}", album="x"), plays) for n, plays in enumerate(counts)]
    history = listened(Random(seed), recordings, registered)
    assert Counter(p.track for p in history) == {f"t{n}": plays for n, plays in enumerate(counts)}
    assert len({(p.uts, p.track) for p in history}) == len(history)
    uts = [p.uts for p in history]
    assert uts == sorted(uts, reverse=True)
    assert uts[0] < YEAR_2025 + 1000


def test_the_demo_holds_all_that_a_crawl_has_to_cope_with():
    world = demo_world(25)
    seen: Counter[str] = Counter()
    for user in world.users.values():
        history = world.history(user.name)
        assert len(history) == user.playcount
        uts = [p.uts for p in history]
        seen["undated"] += 0 in uts
        seen["1970"] += any(0 < t < FIRST_SCROBBLE for t in uts)
        seen["same second"] += len(set(uts)) < len(uts)
        seen["before registration"] += any(FIRST_SCROBBLE < t < user.registered for t in uts)
        seen["no album"] += any(not p.album for p in history)
        seen["no mbid"] += any(p.album and not p.album_mbid for p in history)
        seen["playing"] += world.now_playing(user.name) is not None
    assert min(seen.values()) >= 1, seen
    assert set(seen) == {
        "undated", "1970", "same second", "before registration", "no album", "no mbid", "playing",
    }  # fmt: skip


def test_the_histories_of_a_world_are_the_same_every_time_and_stay_the_same_object():
    for make in (lambda: demo_world(20), lambda: synthetic_world(20)):
        one, other = make(), make()
        name = next(iter(one.users.values())).name
        assert list(one.history(name)) == list(other.history(name))
        assert one.history(name) is one.history(name.upper())
        assert len(one.history("nobody")) == 0


def test_a_big_account_is_served_fast():
    """219,000 scrobbles: over 50 pages of 1,000 a second on an idle machine; a fifth of that on a busy one."""
    world = World.of({}, scrobbles={"rj": long_history(219_000)})
    params = {"method": "user.getRecentTracks", "user": "rj", "api_key": "k", "limit": "1000", "to": str(YEAR_2025)}
    start = time.perf_counter()
    for page in range(190, 220):
        assert Body(answer(world, {**params, "page": str(page)})).is_large
    assert 30 / (time.perf_counter() - start) > 10


# --- recorded histories --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> World:
    if not SCROBBLES.is_dir():
        pytest.skip(f"no histories in {SCROBBLES}")
    return scrobbles_world(SCROBBLES)


@pytest.mark.parametrize(("user", "plays"), [("listener_1", 17_503), ("listener_2", 11_622)])
@pytest.mark.parametrize("limit", [1000, 125])
def test_recorded_histories_are_served_whole(recorded: World, user: str, plays: int, limit: int) -> None:
    with (SCROBBLES / f"{user}.tsv").open(encoding="utf-8", newline="\n") as lines:
        rows = [tuple(line.rstrip("\n").split("\t")) for line in lines][1:]
    world = World.of({}, scrobbles={"rj": recorded.history(user)})
    pages, requests = walk(world, to=YEAR_2025, limit=limit)
    assert requests == -(-plays // limit)
    got = [(str(uts), *rest) for page in pages for uts, *rest in page.rows()]
    assert Counter(got) == Counter(row for row in rows if int(row[0]) >= FIRST_SCROBBLE)
    assert len(got) + sum(sum(page.skipped.values()) for page in pages) == plays


def test_the_top_lists_of_recorded_histories_add_up(recorded: World) -> None:
    for user in recorded.users.values():
        for listed in (recorded.top_artists(user.name), recorded.top_tracks(user.name)):
            assert sum(row.playcount for row in listed) == user.playcount
        assert recorded.top_albums(user.name)[0].playcount > 100


def test_a_folder_without_histories(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no histories"):
        scrobbles_world(tmp_path)


def test_an_empty_file_is_an_empty_history(tmp_path: Path) -> None:
    (tmp_path / "Ann.tsv").touch()
    assert len(scrobbles_world(tmp_path).history("Ann")) == 0


def test_a_history_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "Ann.tsv").write_text("uts\ta\tam\tb\tbm\tt\ttm\n9\tA\t1\tB\t2\tT\t3\n\tÉ\u2028\t\t\t\tU\t\n", "utf-8")
    world = scrobbles_world(tmp_path)
    assert list(world.history("ANN")) == [Scrobble("A", "T", 9, "B", "1", "2", "3"), Scrobble("É\u2028", "U")]
    assert world.user("ann") is not None
    assert world.top_albums("Ann") == [("A", "B", 1)]
