"""Runs in processes of their own on one warehouse: together they ask as fast as one, and each gets its part."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lastfm_crawl.sandbox import Faults, World, long_history, serve

WINDOW = 10  # gaps
# Seconds by which one call may come later than another that left in time, too: on a machine with other work.
ON_ITS_WAY = 0.2


def world_of(*jobs, **histories) -> World:
    users = [name for users in jobs for name in users]
    return World.of({name: [] for name in [*users, *histories]}, {}, scrobbles=histories)


def users_of(job: str, count: int) -> list[str]:
    return [f"{job}{number}" for number in range(count)]


@contextmanager
def started(project, delay, *jobs):
    """Crawls of those lists of users, all going on."""
    words = [project.words("top_artists", {"DOWNLOAD_DELAY": delay}, users=",".join(users)) for users in jobs]
    processes = [project.start(*each, stderr=subprocess.PIPE, text=True) for each in words]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(*processes) -> list[str]:
    """What they said, when all have come to a good end."""
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    assert "Traceback" not in "".join(said)
    return said


def times(calls) -> list[float]:
    return sorted(call.at for call in calls)


def busiest(calls, delay) -> int:
    """The most calls that came within ten gaps."""
    at, span = times(calls), WINDOW * delay - ON_ITS_WAY
    return max(sum(first <= other < first + span for other in at) for first in at)


def calls_of(sandbox, job) -> int:
    return sum(call.user.startswith(job) for call in sandbox.calls())


def wait_for(condition, seconds=60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("delay", [0.25, pytest.param(1.0, marks=pytest.mark.slow)])
def test_four_runs_ask_as_fast_as_one(project, delay):
    jobs = [users_of(job, 500) for job in "abcd"]
    with serve(world_of(*jobs)) as sandbox:
        project.url = sandbox.url
        with started(project, delay, *jobs) as processes:
            wait_for(lambda: min(calls_of(sandbox, job) for job in "abcd") >= 10, 150)
            assert [process.poll() for process in processes] == [None] * 4
            calls = sandbox.calls()
    assert busiest(calls, delay) <= WINDOW
    last_came = max(min(times(call for call in calls if call.user[0] == job)) for job in "abcd")
    together = [call for call in calls if call.at >= last_came]
    parts = Counter(call.user[0] for call in together)
    assert max(parts.values()) - min(parts.values()) <= 4, parts
    seconds = together[-1].at - together[0].at
    assert len(together) >= 0.7 * seconds / delay, "turns are given that nobody uses"


def test_a_short_job_does_not_wait_behind_a_long_one(project):
    delay, long = 0.2, users_of("long", 500)
    with serve(world_of(long, rj=long_history(2_500))) as sandbox:
        project.url = sandbox.url
        with started(project, delay, long) as (process,):
            wait_for(lambda: len(sandbox.log) > 5)
            result = project.crawl("recent_tracks", settings={"DOWNLOAD_DELAY": delay}, users="rj")
            assert result.returncode == 0, result.stderr
            assert process.poll() is None
            calls = sandbox.calls(user="rj")
            at = times(calls)
            others = [call for call in sandbox.calls() if at[0] < call.at < at[-1]]
    alone = (len(calls) - 1) * (delay + 0.01)
    assert len(calls) > 15
    assert at[-1] - at[0] <= 2 * alone + 3  # AutoThrottle begins with a delay of a second
    assert busiest(others, delay) <= WINDOW


def test_a_rate_limit_of_one_run_holds_for_the_other(project):
    delay, jobs, faults = 0.2, [users_of(job, 500) for job in "ab"], Faults(retry_after=3)
    with serve(world_of(*jobs), faults) as sandbox:
        project.url = sandbox.url
        with started(project, delay, *jobs):
            wait_for(lambda: min(calls_of(sandbox, job) for job in "ab") >= 4)
            faults.script("*", kinds=["rate_limit"])
            wait_for(lambda: any(call.status == 429 for call in sandbox.calls()))
            limited = next(call.at for call in sandbox.calls() if call.status == 429)
            wait_for(lambda: sandbox.calls()[-1].at > limited + 6)
            calls = sandbox.calls()
    # One of the other's may have left before the answer was there.
    assert len([call for call in calls if limited < call.at < limited + 3]) <= 1
    assert {call.user[0] for call in calls if call.at > limited + 3} == {"a", "b"}


@pytest.mark.slow
def test_the_warehouse_goes_away_and_comes_back(project, postgres):
    delay, jobs = 0.25, [users_of(job, 25) for job in "ab"]
    name = conninfo_to_dict(project.database_url)["dbname"]
    with serve(world_of(*jobs)) as sandbox, psycopg.connect(postgres, autocommit=True) as server:
        project.url = sandbox.url
        with started(project, delay, *jobs) as processes:
            wait_for(lambda: min(calls_of(sandbox, job) for job in "ab") >= 4)
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
            gone = time.monotonic()
            time.sleep(4)
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            back = time.monotonic()
            said = ended(*processes)
        calls = sandbox.calls()
    assert len(calls) == 50
    # Two were seen, and there may be a third: two thirds of the pace, and what was on its way.
    assert 2 <= len([call for call in calls if gone < call.at < back]) <= 4 / delay * 2 / 3 + 2
    assert busiest([call for call in calls if call.at < gone or call.at > back + 2], delay) <= WINDOW
    assert busiest(calls, delay) <= WINDOW + 2
    for text in said:
        assert text.count("the warehouse gives no turns") == text.count("the warehouse is back") == 1


@pytest.mark.slow
def test_a_second_process_on_the_embedded_warehouse(project):
    delay, jobs = 0.25, [users_of(job, 20) for job in "ab"]
    bare = replace(project, database_url=None)
    with serve(world_of(*jobs)) as sandbox:
        bare.url = sandbox.url
        with started(bare, delay, *jobs) as processes:
            said = ended(*processes)
        calls = sandbox.calls()
    assert len(calls) == 40
    assert busiest(calls, delay) <= WINDOW
    assert "the warehouse gives no turns" not in "".join(said)
