"""Whole listening histories through a stand-in: every play once, however the list changes while it is read."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import psutil
import pytest
from conftest import SHARED
from test_crawl import succeed

from lastfm_crawl.items import FIRST_SCROBBLE
from lastfm_crawl.sandbox import Faults, History, Scrobble, World, long_history, scrobbles_world, serve
from lastfm_crawl.spiders.walk import OVERLAP, year_start, years

PLAYS = """
SELECT extract(epoch FROM scrobbled_at)::bigint, artist_name, track_name, coalesce(album_name, ''),
       coalesce(artist_mbid, ''), coalesce(album_mbid, ''), coalesce(track_mbid, '')
FROM lastfm_scrobbles WHERE username = %s
"""
AUDIT = "SELECT sum(reported_total), sum(stored), sum(undated), bool_and(explained) FROM lastfm_history_audit"


def expected(history, until=None) -> set[tuple]:
    """What a crawl must store: every dated play since 2002, one of a track in a second."""
    return {
        (p.uts, p.artist, p.track, p.album, p.artist_mbid, p.album_mbid, p.mbid)
        for p in history
        if p.uts >= FIRST_SCROBBLE and (until is None or p.uts < until)
    }


def one_of_each(plays) -> set[tuple]:
    return {play[:3] for play in plays}


def stored(project, user) -> set[tuple]:
    rows = project.query(PLAYS, user)
    assert len(rows) == len({row[:3] for row in rows})
    return set(rows)


def world_of(**histories) -> World:
    return World.of({name: [] for name in histories}, {}, scrobbles=histories)


def play(uts, track="t", **more) -> Scrobble:
    return Scrobble("An Artist", track, uts, **more)


def windows(history, now=None) -> list[int]:
    """How many rows Last.fm has for each window that a first crawl asks for."""
    bounds = years(now or time.time())
    spans = [*bounds, (bounds[-1].end, int(now or time.time()))]
    return [history.page(first, end, 0, 1)[0] for first, end in spans]


@pytest.fixture(scope="module")
def real():
    folder = SHARED / "scrobbles"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return scrobbles_world(folder)


class TestRealHistories:
    @pytest.mark.parametrize("rate", [0.0, pytest.param(0.15, marks=pytest.mark.slow)])
    def test_every_play_arrives(self, project, real, rate):
        with serve(real, Faults(rate=rate, seed=3)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="listener_1,listener_2"))
            calls = Counter(c.user for c in sandbox.log if c.method == "user.getRecentTracks")
        for user in ("listener_1", "listener_2"):
            history = real.history(user)
            assert one_of_each(stored(project, user)) == one_of_each(expected(history))
            assert stored(project, user) <= expected(history)
            if not rate:
                assert calls[user] == sum(max(1, -(-total // 1000)) for total in windows(history))
        ((reported, kept, undated, explained),) = project.query(AUDIT)
        assert explained
        assert reported == len(real.history("listener_1")) + len(real.history("listener_2"))
        assert kept + undated <= reported

    @pytest.mark.parametrize("size", [*(pytest.param(n, marks=pytest.mark.slow) for n in (500, 125)), 250])
    def test_when_big_pages_always_fail(self, project, real, size):
        faults = Faults()
        faults.script("user.getRecentTracks", "listener_1", ["error_8_500"], times=None, limit_above=size)
        with serve(real, faults) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="listener_1"))
            limits = Counter(int(c.params["limit"]) for c in sandbox.log if c.method == "user.getRecentTracks")
            assert sum(times for limit, times in limits.items() if limit > size) < 25, (
                "the size that works is remembered"
            )
            asked = len(sandbox.log)
            succeed(project.crawl("recent_tracks", users="listener_1"))
            again = [c.params["limit"] for c in sandbox.log[asked:] if c.method == "user.getRecentTracks"]
        assert set(again) == {str(size)}, "also in the next run"
        assert one_of_each(stored(project, "listener_1")) == one_of_each(expected(real.history("listener_1")))


def months_ago(months: int) -> int:
    return int(time.time()) - months * 30 * 86_400


def listener(count=3_500, since=None) -> History:
    """Plays of the last year and a half, so that several pages are in an open window."""
    first = since or months_ago(18)
    step = (int(time.time()) - 3 * 86_400 - first) // count
    return History([play(first + i * step, f"t{i % 400}") for i in range(count)])


class TestChanges:
    """The list changes while it is read."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda h, n: h.add(play(int(time.time()) + n, f"new{n}")), id="scrobbled"),
            pytest.param(lambda h, n: h.add(play(months_ago(2) + n, f"late{n}")), id="back-dated"),
            pytest.param(lambda h, n: h.delete(h[len(h) // 3]), id="deleted"),
            pytest.param(lambda h, n: h.delete(h[5]), id="deleted at the head"),
        ],
    )
    def test_once_and_the_stored_set_is_right(self, project, change):
        history = listener()
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            began = int(time.time())

            def before(call):
                asked = [c for c in sandbox.log if c.method == "user.getRecentTracks"]
                if len(asked) in {3, 5}:
                    change(history, len(asked))

            sandbox.before_answer = before
            succeed(project.crawl("recent_tracks", users="ann", settings={"CONCURRENT_REQUESTS": 2}))
            ((*_, explained),) = project.query(AUDIT)
            assert explained
            found = one_of_each(stored(project, "ann"))
            assert found - one_of_each(expected(history)) == set()
            assert one_of_each(expected(history, began)) - found == set()
            sandbox.before_answer = None
            asked = len(sandbox.log)
            succeed(project.crawl("recent_tracks", users="ann"))
            assert 1 <= len([c for c in sandbox.log[asked:] if c.method == "user.getRecentTracks"]) <= 2
        assert one_of_each(stored(project, "ann")) == one_of_each(expected(history, int(time.time())))

    def test_a_list_that_never_holds_still_is_walked_so_often_and_no_more(self, project):
        history = listener()
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            sandbox.before_answer = lambda call: history.add(play(months_ago(1) + len(sandbox.log)))
            result = project.crawl("recent_tracks", users="ann")
            assert result.returncode == 1
            assert "windows kept changing while they were read; run again" in result.stderr.splitlines()[-1]
            assert len(sandbox.log) < 60
            sandbox.before_answer = None
            succeed(project.crawl("recent_tracks", users="ann"))
        assert project.query("SELECT bool_and(explained) FROM lastfm_history_audit") == [(True,)]
        assert one_of_each(stored(project, "ann")) == one_of_each(expected(history, int(time.time())))

    def test_it_is_told_as_it_is_before_the_next_run(self, project):
        history = listener()
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            sandbox.before_answer = lambda call: history.add(play(months_ago(1) + len(sandbox.log)))
            assert project.crawl("recent_tracks", users="ann").returncode == 1
        assert project.query("SELECT count(*) FROM lastfm_history_audit WHERE NOT explained")[0][0] >= 1


class TestKeepingCurrent:
    def test_only_what_is_new(self, project):
        history = listener()
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="ann"))
            newest = max(p.uts for p in history)
            history.add(play(int(time.time()) - 60, "brand new"), play(newest - OVERLAP + 60, "submitted late"))
            asked = len(sandbox.log)
            succeed(project.crawl("recent_tracks", users="ann"))
            (call,) = [c for c in sandbox.log[asked:] if c.method == "user.getRecentTracks"]
            assert int(call.params["from"]) == newest - OVERLAP
            assert one_of_each(stored(project, "ann")) == one_of_each(expected(history))
            assert [c.method for c in sandbox.log].count("user.getWeeklyChartList") == 1

    def test_what_the_user_deleted_stays_until_it_is_asked_for_again(self, project):
        year = datetime.now(UTC).year - 2
        history = History([play(year_start(year) + i * 3600, f"t{i}") for i in range(1500)])
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="ann"))
            gone = [history[700], history[900]]
            history.delete(*gone)
            edited = history[800]
            history.delete(edited)
            history.add(
                play(year_start(year) + 5, "late"), dataclasses.replace(edited, album="An Album"),
                dataclasses.replace(history[900], track="Another Name"),
            )  # fmt: skip
            history.delete(history[902])
            succeed(project.crawl("recent_tracks", users="ann"))
            assert len(stored(project, "ann")) == 1500
            result = succeed(project.crawl("recent_tracks", users="ann", year=year, refresh=1))
            assert "'lastfm_crawl/scrobbles_gone': 3" in result.stderr
            assert "'lastfm_crawl/scrobbles_edited': 1" in result.stderr
            assert one_of_each(stored(project, "ann")) == one_of_each(expected(history))
            archived = list((project.data / "store" / "archive" / "user.getRecentTracks" / "ann").rglob("*.json.gz"))
            assert len(archived) == 2
            asked = len(sandbox.log)
            succeed(project.crawl("recent_tracks", users="ann", since=f"{year}-02-01", until=f"{year}-02-03"))
            assert len(sandbox.log) == asked + 1

    def test_several_of_a_second_now_playing_undated_and_too_old(self, project):
        at = months_ago(5)
        history = History(
            [play(at, "a"), play(at, "b"), play(at, "a", album="Other"), play(0, "undated"), play(0, "undated"),
             play(1000, "of 1970"), play(FIRST_SCROBBLE, "the first"), play(at + 1, "a")]
        )  # fmt: skip
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="ann"))
        assert one_of_each(stored(project, "ann")) == {
            (at, "An Artist", "a"),
            (at, "An Artist", "b"),
            (at + 1, "An Artist", "a"),
            (FIRST_SCROBBLE, "An Artist", "the first"),
        }
        assert project.query(
            "SELECT sum(reported_total), sum(stored), sum(undated), sum(duplicates), bool_and(explained)"
            " FROM lastfm_history_audit"
        ) == [(8, 4, 2, 1, True)]

    def test_an_interrupted_walk_goes_on_where_it_was(self, project):
        history = listener(6000)
        with serve(world_of(ann=history), Faults(latency=0.1)) as sandbox:
            project.url = sandbox.url
            words = project.words("recent_tracks", users="ann")
            process = project.start(*words, stderr=-3)
            while len(sandbox.log) < 28 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.wait()
            time.sleep(0.3)
            kept = set((project.data / "store").rglob("from=*.json.gz"))
            asked = len(sandbox.log)
            succeed(project.run(*words))
            again = len([c for c in sandbox.log[asked:] if c.method == "user.getRecentTracks"])
        assert kept
        assert one_of_each(stored(project, "ann")) == one_of_each(expected(history))
        assert again < 33

    def test_from_the_warm_cache_without_a_network(self, project):
        year = datetime.now(UTC).year - 2
        history = History([play(year_start(year) + i * 3600, f"t{i}") for i in range(1500)])
        with serve(world_of(ann=history)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="ann"))
            asked = len(sandbox.log)
            project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            result = project.crawl("recent_tracks", users="ann", settings={"HTTPCACHE_IGNORE_MISSING": 1})
            assert len(sandbox.log) == asked
        assert "Traceback" not in result.stderr
        assert one_of_each(stored(project, "ann")) == one_of_each(expected(history)), "all but the open window"

    def test_a_private_history_is_marked_and_left_alone(self, project):
        world = World.of({"ann": []}, {}, scrobbles={"ann": listener(10)}, private=["ann"])
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("recent_tracks", users="ann"))
            asked = len(sandbox.log)
            assert [c.method for c in sandbox.log].count("user.getRecentTracks") == 1
            succeed(project.crawl("recent_tracks"))
            assert len(sandbox.log) == asked
        assert project.query("SELECT status FROM lastfm_users") == [("private",)]


@pytest.mark.slow
def test_a_very_long_history_in_few_requests(project):
    history = long_history(219_000)
    with serve(world_of(ann=history)) as sandbox:
        project.url = sandbox.url
        peak = 0
        process = project.start(*project.words("recent_tracks", users="ann"), stderr=subprocess.DEVNULL)
        # Not memusage/max: to the kernel the most that a process had begins with what its parent has, and we have much.
        crawl = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, crawl.memory_info().rss)
            time.sleep(0.02)
        assert process.returncode == 0
        assert len(sandbox.log) < 300
    assert len(stored(project, "ann")) == len(one_of_each(expected(history)))
    assert peak < 250e6


def test_top_and_loved_tracks(project, real):
    with serve(real) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("top_tracks", users="listener_2"))
        succeed(project.crawl("loved_tracks", users="listener_2"))
        rows = project.query("SELECT artist_name, track_name, playcount FROM lastfm_user_tracks")
        counted = {(artist, track): plays for artist, track, plays in rows}
        tops = list(real.top_tracks("listener_2"))[:1000]
        loved = {(row.artist, row.track) for row in real.loved_tracks("listener_2")}
        assert {(t.artist, t.track): t.playcount for t in tops}.items() <= counted.items()
        assert set(counted) == {(t.artist, t.track) for t in tops} | loved
        succeed(project.crawl("recent_tracks", users="listener_2"))
    rows = project.query(
        "SELECT artist_name, track_name, playcount, first_scrobbled_at, last_scrobbled_at, loved, sync_count"
        " FROM lastfm_user_tracks WHERE username = 'listener_2'"
    )
    plays = Counter((p[1], p[2]) for p in one_of_each(expected(real.history("listener_2"))))
    assert {(a, t): n for a, t, n, first, *_ in rows if first} == plays
    assert all(first <= last for *_, first, last, _, _ in rows if first)
    assert {(a, t) for a, t, *_, is_loved, _ in rows if is_loved} == loved
    assert min(count for *_, count in rows) >= 1


def test_status_of_a_user(project, real):
    with serve(real) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("recent_tracks", users="listener_2"))
        succeed(project.crawl("loved_tracks", users="listener_2"))
    result = project.run("status", "--user", "Listener_2")
    assert result.returncode == 0, result.stderr
    assert f"{len(stored(project, 'listener_2')):,} scrobbles stored" in result.stdout
    windows = [words for line in result.stdout.splitlines() if (words := line.split())[-1:] in (["yes"], ["NO"])]
    assert len(windows) == project.query("SELECT count(*) FROM lastfm_history_audit")[0][0]
    assert sum(int(words[-4].replace(",", "")) for words in windows) == len(stored(project, "listener_2"))
    assert "1 of 1" in result.stdout
    years = [y for (y,) in project.query("SELECT DISTINCT extract(year FROM scrobbled_at)::int FROM lastfm_scrobbles")]
    closed = result.stdout.rpartition("closed years with plays: ")[2].split(",")
    assert {int(text) for text in closed} == {y for y in years if y < datetime.now(UTC).year}
    assert project.run("status", "--user", "nobody").returncode == 2
