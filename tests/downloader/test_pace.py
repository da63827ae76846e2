"""The pace of a host, by a clock that the tests turn; then the pace that runs share, by the real one."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, pairwise

import psycopg
import pytest
from conftest import KEY
from doubles import crawler_with
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from scrapy import Request
from scrapy.settings import Settings

from lastfm_crawl.downloader.pace import (
    FIRST_PENALTY,
    MAX_PENALTY,
    OF_SPIDERS,
    RECOVERY,
    HostPace,
    Pacer,
    StoppedWaitingError,
    pacer_of,
    paces,
)
from lastfm_crawl.services import spotify
from lastfm_crawl.services.lastfm import get_info
from lastfm_crawl.spiders.aoty import AotySpider
from lastfm_crawl.spiders.spotify_artists import SpotifyArtistsSpider
from lastfm_crawl.spiders.spotify_top import SpotifyTopSpider

LASTFM = "ws.audioscrobbler.com"
ASKED = Request("http://127.0.0.1:8000/")


def departures(pace: HostPace, now: float, count: int) -> list[float]:
    """When the next *count* requests leave if each leaves as soon as it may, beginning at *now*."""
    times = []
    while len(times) < count:
        if wait := pace.wait(now):
            now += wait
        else:
            times.append(now)
    return times


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


# --- the base delay -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.2, 1.0, 3.0])
def test_requests_leave_a_delay_apart(delay):
    found = gaps(departures(HostPace(delay), 100.0, 50))
    assert min(found) >= delay
    assert max(found) <= delay * 1.1


def test_without_a_delay_nobody_waits():
    assert departures(HostPace(0), 100.0, 50) == [100.0] * 50


def test_a_pause_saves_nothing_up():
    pace = HostPace(1.0)
    departures(pace, 100.0, 1)
    assert min(gaps(departures(pace, 500.0, 10))) >= 1.0


def test_who_asks_early_does_not_take_the_turn():
    pace = HostPace(1.0)
    assert pace.wait(100.0) == 0
    for _ in range(10):
        assert pace.wait(100.5) == pytest.approx(0.51)
    assert pace.wait(101.02) == 0


# --- rate limits --------------------------------------------------------------------------------------------------


def test_a_rate_limit_makes_every_gap_longer():
    pace = HostPace(1.0)
    now = departures(pace, 100.0, 1)[0]
    assert pace.slow_down(now + 0.3, now)
    times = departures(pace, now + 0.3, 5)
    assert times[0] - now >= 1.3 + FIRST_PENALTY
    assert min(gaps(times)) >= 1 + FIRST_PENALTY


def test_further_rate_limits_double_the_penalty_up_to_a_bound():
    pace, found, now = HostPace(1.0), [], 100.0
    for _ in range(12):
        now = departures(pace, now, 1)[0]
        pace.slow_down(now + 0.1, now)
        found.append(pace.gap - 1.01)
        now += 0.1
    assert found[:4] == pytest.approx([1, 2, 4, 8])
    assert found[-1] == pytest.approx(MAX_PENALTY)


def test_it_ends_within_twenty_good_answers():
    pace = HostPace(1.0)
    base = pace.gap
    for number in range(5):
        pace.slow_down(100.0 + number, 99.5 + number)
    before = pace.gap
    for _ in range(10):
        pace.good()
        assert pace.gap < before
        before = pace.gap
    for _ in range(10):
        pace.good()
    assert pace.gap == base
    pace.good()
    assert pace.gap == base


def test_after_the_recovery_the_first_penalty_is_small_again():
    pace = HostPace(1.0)
    for number in range(5):
        pace.slow_down(100.0 + number, 99.5 + number)
    for _ in range(20):
        pace.good()
    pace.slow_down(200.0, 199.0)
    assert pace.gap == pytest.approx(1.01 + FIRST_PENALTY)


def test_a_rate_limit_in_the_recovery_begins_it_anew():
    pace = HostPace(1.0)
    pace.slow_down(100.0, 99.0)
    pace.slow_down(110.0, 109.0)
    pace.good()
    pace.slow_down(150.0, 149.0)
    assert pace.gap == pytest.approx(1.01 + 2 * RECOVERY * 2 * FIRST_PENALTY)


def test_answers_that_were_under_way_do_not_count_again():
    pace = HostPace(1.0)
    assert pace.slow_down(100.0, 99.0)
    gap = pace.gap
    for sent_at in (98.0, 99.5, 99.99):
        assert not pace.slow_down(100.5, sent_at)
    assert pace.gap == gap
    assert pace.slow_down(102.0, 101.0)
    assert pace.gap > gap


def test_nothing_leaves_before_the_host_says_so():
    pace = HostPace(1.0)
    pace.slow_down(100.0, 99.0, retry_after=30)
    assert departures(pace, 100.0, 1)[0] >= 130
    assert not pace.slow_down(131.0, 99.5, retry_after=60)  # under way, but the wait counts
    assert departures(pace, 131.0, 1)[0] >= 191


events = st.lists(st.sampled_from(["ask", "good", "limit", "late limit"]), max_size=80)


@given(st.sampled_from([0.2, 1.0]), events, st.lists(st.floats(0, 3), min_size=80, max_size=80))
def test_the_gap_is_never_below_the_delay(delay, events, pauses):
    pace, now, left, slowed = HostPace(delay), 100.0, [], 0.0
    for event, pause in zip(events, pauses, strict=False):
        now += pause
        if event == "ask" and pace.wait(now) == 0:
            left.append(now)
        elif event == "good":
            pace.good()
        elif event == "limit":
            pace.slow_down(now, now)
            slowed = now
        elif event == "late limit":
            before = pace.gap
            assert pace.slow_down(now, slowed - 1) is False
            assert pace.gap == before
        assert delay <= pace.gap <= delay + 0.01 + MAX_PENALTY
    assert all(gap >= delay for gap in gaps(left))


# --- hosts, and waiting for real ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "host", "least"),
    [
        (0, LASTFM, 0.2),
        (0.05, LASTFM, 0.2),
        (1, LASTFM, 1),
        (0, "api.spotify.com", 0.6),
        (0, "127.0.0.1", 0),
        (0.05, "127.0.0.1", 0.05),
    ],
)
def test_no_delay_undercuts_a_floor(delay, host, least):
    gap = Pacer(crawler_with(DOWNLOAD_DELAY=delay)).of(Request(f"http://{host}/")).own.gap
    assert least <= gap <= least + 0.02


def test_every_host_and_key_has_a_pace_of_its_own(monkeypatch):
    pacer, api, others = (
        Pacer(crawler_with(DOWNLOAD_DELAY=1, SPOTIFY_CLIENT_ID="app")),
        "http://127.0.0.1:8000/2.0/",
        [],
    )
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    call = get_info("rj")
    asked = Request(call.url(api), meta={"call": call})
    pace = pacer.of(asked)
    assert pacer.of(Request(get_info("joanofarctan").url(api), meta={"call": call})) is pace
    search = spotify.get_artist("x")
    others.append(pacer.of(Request(search.url(api), meta={"call": search})))
    others.append(pacer.of(Request(api)))
    others.append(pacer.of(asked.replace(url=call.url("http://127.0.0.1:8001/2.0/"))))
    monkeypatch.setenv("LASTFM_API_KEY", KEY[::-1])
    others.append(pacer.of(asked))
    names = {each._name for each in [pace, *others]}
    assert len(names) == 5
    assert not [name for name in names if KEY in name or KEY[::-1] in name]
    assert pacer.of(Request("https://musicbrainz.org/ws/2/"))._name == "musicbrainz.org"


def test_a_crawler_has_one_pacer():
    one, other = crawler_with(DOWNLOAD_DELAY=1), crawler_with(DOWNLOAD_DELAY=1)
    assert pacer_of(one) is pacer_of(one)
    assert pacer_of(one) is not pacer_of(other)


async def test_nobody_waits_for_a_run_that_ends(pacer_at):
    pacer = pacer_at(60)
    await pacer.turn(ASKED)
    waiting = [asyncio.create_task(pacer.turn(ASKED)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    pacer._crawler.engine._slot.closing = True
    began = time.monotonic()
    for task in waiting:
        with pytest.raises(StoppedWaitingError):
            await asyncio.wait_for(task, 2)
    assert time.monotonic() - began < 2


# --- shared ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def pacer_at(database_url):
    """Makes pacers of runs of their own, all on one warehouse, with the delay that each wishes for."""
    made = []

    def make(delay, url=database_url):
        made.append(Pacer(crawler_with(DOWNLOAD_DELAY=delay, DATABASE_URL=url, DATA_DIR="unused")))
        return made[-1]

    yield make
    for pacer in made:
        await pacer.close()


async def leave(pacer, count, request=ASKED):
    """When *count* requests of a run left that are all there at once."""
    times = []

    async def one():
        await pacer.turn(request)
        times.append(time.monotonic())

    await asyncio.gather(*(one() for _ in range(count)))
    return times


async def test_turns_are_taken_one_after_the_other(pacer_at):
    times = await leave(pacer_at(0.05), 8)
    assert times == sorted(times)
    assert times[-1] - times[0] >= 7 * 0.05


async def test_runs_share_and_each_gets_its_part_whatever_its_queue(pacer_at):
    long, short = pacer_at(0.1), pacer_at(0.1)
    of_long = asyncio.create_task(leave(long, 100))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    of_short = await leave(short, 6)
    assert 0.9 <= of_short[-1] - began <= 4  # 6 turns of its own, and as many of the other: 1.3
    of_long.cancel()
    assert long.of(ASKED)._seen == 2


async def test_a_run_that_left_leaves_its_wish_too(pacer_at, database_url):
    slow, fast = pacer_at(0.4), pacer_at(0.05)
    await leave(slow, 1)
    await leave(fast, 1)
    assert fast.of(ASKED).own.gap == pytest.approx(0.41)
    await slow.close()
    await leave(fast, 2)
    assert fast.of(ASKED).own.gap == pytest.approx(0.06)
    assert fast.of(ASKED)._seen == 1


async def test_a_rate_limit_of_one_is_one_of_all(pacer_at):
    one, other = pacer_at(0.1), pacer_at(0.1)
    await leave(one, 1)
    await leave(other, 1)
    waiting = asyncio.create_task(leave(other, 1))  # it has its turn, which is void in a moment
    await asyncio.sleep(0.03)
    limited = time.monotonic()
    assert await one.of(ASKED).slow_down(limited)
    assert not await other.of(ASKED).slow_down(limited - 1), "what was under way says nothing new"
    assert (await waiting)[0] - limited >= 0.1 + FIRST_PENALTY
    assert other.of(ASKED).own.penalty == pytest.approx(FIRST_PENALTY)
    for pacer in (one, other) * 7:
        pacer.of(ASKED).good()
    await leave(one, 1)
    await leave(other, 1)
    assert (await leave(one, 3))[-1] > 0
    assert one.of(ASKED).own.penalty == 0, "over after good answers of both"


async def test_nobody_asks_before_the_host_says_so(pacer_at):
    one, other = pacer_at(0.05), pacer_at(0.05)
    await leave(one, 1)
    await leave(other, 1)
    now = time.monotonic()
    await one.of(ASKED).slow_down(now, 2.0)
    assert (await leave(other, 1))[0] - now >= 2


async def test_other_hosts_and_keys_do_not_wait(pacer_at):
    one, other = pacer_at(5), pacer_at(5)
    began = time.monotonic()
    await leave(one, 1)
    await leave(other, 1, Request("http://127.0.0.1:8001/"))
    await leave(other, 1, Request("https://musicbrainz.org/"))
    assert time.monotonic() - began < 2


async def test_what_is_unpaced_asks_nobody(caplog):
    pacer = Pacer(crawler_with(DOWNLOAD_DELAY=0))  # no warehouse, and none is missed
    times = await leave(pacer, 100)
    assert times[-1] - times[0] < 0.5
    assert pacer._shared._connection is None
    assert caplog.text == ""


async def test_without_a_warehouse_it_is_slow_and_says_so_once(pacer_at, caplog):
    pacer = pacer_at(0.02, url="postgresql://127.0.0.1:9/none")
    times = await leave(pacer, 4)
    assert min(gaps(times)) >= 0.02 * 10
    assert caplog.text.count("the warehouse gives no turns") == 1


async def test_while_the_warehouse_is_away_each_takes_a_part_that_is_safe(pacer_at, database_url, postgres, caplog):
    delay = 0.1
    pacers = [pacer_at(delay) for _ in range(2)]
    for _ in range(2):
        for pacer in pacers:
            await leave(pacer, 1)
    name = conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        away = await asyncio.gather(*(leave(pacer, 4) for pacer in pacers))
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for times in away:
        assert min(gaps(times)) >= 3 * delay, "two were seen, and there may be a third"
    await asyncio.sleep(1.1)
    back = sorted(chain.from_iterable(await asyncio.gather(*(leave(pacer, 6) for pacer in pacers))))
    assert back[-1] - back[0] >= 11 * delay
    assert all(pacer.of(ASKED)._shared for pacer in pacers)
    assert caplog.text.count("the warehouse gives no turns") == caplog.text.count("the warehouse is back") == 2


async def test_a_rate_limit_while_the_warehouse_is_away_is_known_when_it_is_back(pacer_at):
    one, other = pacer_at(0.05), pacer_at(0.05)
    for pacer in (one, other):
        await leave(pacer, 1)
    one._shared._lost("a test")
    await leave(one, 1)
    limited = time.monotonic()
    assert await one.of(ASKED).slow_down(limited, 1.5)
    assert (await leave(one, 2))[0] - limited >= 1.5  # the second by a turn of all
    await leave(other, 1)
    assert other.of(ASKED).own.penalty == FIRST_PENALTY


def test_the_paces_that_estimates_count_with():
    settings = Settings()
    settings.setmodule("lastfm_crawl.settings")
    assert paces(settings) == {"user": 1.0, "page": 1.0, "spotify": 0.6, "musicbrainz": 1.0, "aoty": 3.0}
    settings.set("DOWNLOAD_DELAY", 0.1, "cmdline")
    assert paces(settings) == {"user": 0.2, "page": 1.0, "spotify": 0.6, "musicbrainz": 1.0, "aoty": 3.0}
    settings.set("SPOTIFY_API_URL", "http://127.0.0.1:1/v1", "cmdline")
    settings.set("LASTFM_API_URL", "http://127.0.0.1:1/2.0/", "cmdline")
    settings.set("MUSICBRAINZ_DATABASE_URL", "postgresql:///mirror", "cmdline")
    assert paces(settings) == {"user": 0.1, "page": 1.0, "spotify": 0.1, "musicbrainz": 0.0, "aoty": 3.0}


def test_the_spiders_ask_as_fast_as_estimates_think():
    for spider in (SpotifyArtistsSpider, SpotifyTopSpider, AotySpider):
        service = spider.methods[0].partition(".")[0]
        assert spider.custom_settings["DOWNLOAD_DELAY"] == OF_SPIDERS[service]
