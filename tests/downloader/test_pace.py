"""The pace of a host, by a clock that the tests turn: never faster than the delay, slower after a rate limit."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from doubles import crawler_with
from hypothesis import given
from hypothesis import strategies as st
from scrapy.settings import Settings

from lastfm_crawl.downloader.pace import (
    FIRST_PENALTY,
    MAX_PENALTY,
    RECOVERY,
    HostPace,
    Pacer,
    StoppedWaitingError,
    pacer_of,
    paces,
)

LASTFM = "ws.audioscrobbler.com"


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
    [(0, LASTFM, 0.2), (0.05, LASTFM, 0.2), (1, LASTFM, 1), (0, "127.0.0.1", 0), (0.05, "127.0.0.1", 0.05)],
)
def test_no_delay_undercuts_the_floor_of_lastfm(delay, host, least):
    gap = Pacer(crawler_with(DOWNLOAD_DELAY=delay)).host(host).gap
    assert least <= gap <= least + 0.02


def test_every_host_has_a_pace_of_its_own():
    pacer = Pacer(crawler_with(DOWNLOAD_DELAY=1))
    pacer.host("a").slow_down(100.0, 99.0)
    assert pacer.host("b").gap < pacer.host("a").gap
    assert pacer.host("a") is pacer.host("a")


def test_a_crawler_has_one_pacer():
    one, other = crawler_with(DOWNLOAD_DELAY=1), crawler_with(DOWNLOAD_DELAY=1)
    assert pacer_of(one) is pacer_of(one)
    assert pacer_of(one) is not pacer_of(other)


async def test_turns_are_taken_one_after_the_other():
    pacer = Pacer(crawler_with(DOWNLOAD_DELAY=0.05))
    times = []

    async def turn():
        await pacer.turn("127.0.0.1")
        times.append(time.monotonic())

    await asyncio.gather(*(turn() for _ in range(5)))
    assert min(gaps(sorted(times))) >= 0.045


async def test_nobody_waits_for_a_run_that_ends():
    crawler = crawler_with(DOWNLOAD_DELAY=60)
    pacer = Pacer(crawler)
    await pacer.turn("127.0.0.1")
    waiting = asyncio.create_task(pacer.turn("127.0.0.1"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    crawler.engine._slot.closing = True
    with pytest.raises(StoppedWaitingError):
        await asyncio.wait_for(waiting, 2)


def test_the_paces_that_estimates_count_with():
    settings = Settings({"DOWNLOAD_DELAY": 0.1}, priority="cmdline")
    settings.setmodule("lastfm_crawl.settings")
    assert paces(settings) == {"user": 0.2, "spotify": 0.1, "musicbrainz": 1.0, "aoty": 3.0}
    settings.set("LASTFM_API_URL", "http://127.0.0.1:1/2.0/", "cmdline")
    assert paces(settings)["user"] == 0.1
