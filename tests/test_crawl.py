"""Whole crawls, run as a user runs them: real processes, real HTTP, a real PostgreSQL, and the sandbox's own log."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from conftest import ROOT

from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import Faults, World, demo_world, hetrec_world, serve

FRIENDS = "SELECT username, friend FROM lastfm_friends"
USERS = "SELECT username, crawl_seed, crawl_depth, status FROM lastfm_users"
ARTISTS = "SELECT lastfm_username, artist_name, playcount, rank FROM lastfm_user_artists"


def breadth_first(world: World, seed: str, max_users: int = 10_000):
    """Members with their depths, and the edges that a crawl sees: over the lists themselves, one after another."""
    depths, edges, queue = {seed: 0}, set(), [seed]
    for user in queue:
        if len(depths) >= max_users:
            break
        if world.user(user).status == "deleted":
            continue
        for friend in [f.name for f in world.friends_of(user)]:
            edges.add((user, friend))
            if friend not in depths and len(depths) < max_users:
                depths[friend] = depths[user] + 1
                queue.append(friend)
    return depths, edges


def expected_artists(world: World, users) -> set[tuple[str, str, int, int]]:
    return {
        (user, plays.artist, plays.playcount, rank)
        for user in users
        if world.user(user).status != "deleted"
        for rank, plays in enumerate(world.top_artists(user)[:1000], 1)
    }


def assert_equals_world(project, world, seed, max_users=10_000):
    depths, edges = breadth_first(world, seed, max_users)
    users = project.query(USERS)
    assert {name: depth for name, _, depth, _ in users} == depths
    assert {crawl_seed for _, crawl_seed, _, _ in users} == {seed}
    assert set(project.query(FRIENDS)) == edges
    assert {name for name, _, _, status in users if status == "not_found"} <= {
        name for name in depths if world.user(name).status == "deleted"
    }


def snapshot(project) -> dict[str, list[tuple]]:
    """Every fixed view, without the times, which differ from run to run."""
    return {statement: sorted(project.query(statement), key=repr) for statement in (USERS, FRIENDS, ARTISTS)}


def succeed(result: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert result.returncode == 0, result.stderr[-3000:]
    return result


class TestDemoWorld:
    def test_the_warehouse_equals_the_world_and_the_log_the_least_that_could_be_asked(self, project):
        world = demo_world()
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="rj"))
            succeed(project.crawl("top_artists"))
            calls = Counter((call.method, (call.user or "").lower(), call.params.get("page")) for call in sandbox.log)
        assert_equals_world(project, world, "RJ")
        members = [name for name, *_ in project.query(USERS)]
        gone = {name.lower() for name in members if world.user(name).status == "deleted"}
        assert gone, "the world should have deleted users"
        assert set(project.query(ARTISTS)) == expected_artists(world, members)
        assert calls.pop(("user.getInfo", "rj", None)) == 1
        for (method, user, _), times in calls.items():
            assert method in {"user.getFriends", "user.getTopArtists"}
            assert times == (2 if user in gone else 1), (method, user)  # "not found" is asked twice to be believed
        assert not [call for call in calls if call[0] == "user.getTopArtists" and call[1] in gone]

    def test_a_second_run_asks_nothing_even_with_the_warehouse_lost(self, project):
        with serve(demo_world(60)) as sandbox:
            project.url = sandbox.url
            for spider, arguments in (("friends", {"seeds": "RJ"}), ("top_artists", {})):
                succeed(project.crawl(spider, **arguments))
            before, asked = snapshot(project), len(sandbox.log)
            for spider, arguments in (("friends", {"seeds": "RJ"}), ("top_artists", {})):
                succeed(project.crawl(spider, **arguments))
            assert len(sandbox.log) == asked
            project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            for spider, arguments in (("friends", {"seeds": "RJ"}), ("top_artists", {})):
                succeed(project.crawl(spider, **arguments))
            assert len(sandbox.log) == asked
        assert snapshot(project) == before

    @pytest.mark.parametrize("max_users", [1, 2, 7, 50, 120])
    def test_max_users_means_exactly_that_many(self, project, max_users):
        world = demo_world(150)
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ", max_users=max_users))
            lists = {call.user for call in sandbox.calls("user.getFriends")}
        assert_equals_world(project, world, "RJ", max_users)
        assert len(project.query(USERS)) == max_users
        asked = {user for user, _ in breadth_first(world, "RJ", max_users)[1]}
        without = {name for name in lists if not world.friends_of(name) or world.user(name).status == "deleted"}
        assert lists - without == asked  # nobody's list was asked for after the cut

    def test_a_higher_cap_extends_to_what_one_run_would_have_found(self, project):
        world = demo_world(150)
        with serve(world) as sandbox:
            project.url = sandbox.url
            for max_users in (5, 30, 90):
                succeed(project.crawl("friends", seeds="RJ", max_users=max_users))
            assert (
                len(sandbox.log)
                == len({(c.method, c.user, c.params.get("page")) for c in sandbox.log})
                + sum(c.status == 404 for c in sandbox.log) // 2
            )
        assert_equals_world(project, world, "RJ", 90)

    def test_other_seeds_extend_and_the_earlier_seed_keeps_its_users(self, project):
        world = World.of(
            {"a": ["b"], "b": ["a", "c"], "c": ["b", "d"], "d": ["c"], "z": ["c", "y"], "y": ["z"]},
            {name: [("Queen", 1)] for name in "abcdyz"},
        )
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="a"))
            succeed(project.crawl("friends", seeds="z"))
            assert len(sandbox.calls("user.getFriends")) == 6
        found = {name: (seed, depth) for name, seed, depth, _ in project.query(USERS)}
        assert found == {
            "a": ("a", 0), "b": ("a", 1), "c": ("z", 1), "d": ("z", 2), "z": ("z", 0), "y": ("z", 1)
        }  # fmt: skip

    def test_max_depth_full_profiles_and_named_users(self, project):
        with serve(demo_world(60)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ", max_depth=1, full_profiles=1))
            assert {depth for _, _, depth, _ in project.query(USERS)} == {0, 1}
            profiles = [call.user.lower() for call in sandbox.calls("user.getInfo")]
            assert len(project.query("SELECT 1 FROM lastfm_users WHERE status = 'ok'")) == len(set(profiles)) - (
                len(project.query("SELECT 1 FROM lastfm_users WHERE status <> 'ok'"))
            )
            far = next(
                u.name for u in sandbox.world.users.values() if u.status == "ok" and u.name.lower() not in profiles
            )
            succeed(project.crawl("top_artists", users=far))
        assert project.query("SELECT crawl_seed, crawl_depth FROM lastfm_users WHERE username = %s", far) == [
            (None, None)
        ]
        assert {user for user, *_ in project.query(ARTISTS)} == {far}


def test_a_limit_above_a_page_asks_for_whole_pages_until_the_limit_or_the_end(project):
    plays = {"long": [(f"artist {n}", 5000 - n) for n in range(2500)], "short": [("Queen", 1)]}
    world = World.of({"long": ["short"], "short": []}, plays)
    with serve(world) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("friends", seeds="long"))
        succeed(project.crawl("top_artists", limit=2000))
        assert project.query("SELECT count(*), max(rank) FROM lastfm_user_artists WHERE rank > 1") == [(1999, 2000)]
        succeed(project.crawl("top_artists", limit=5000))
        succeed(project.crawl("top_artists", limit=5000))
        assert len(sandbox.calls("user.getTopArtists", "long")) == 3
        assert len(sandbox.calls("user.getTopArtists", "short")) == 1
    found = project.query("SELECT rank, artist_name FROM lastfm_user_artists WHERE lastfm_username = 'long' ORDER BY 1")
    assert found == [(n + 1, f"artist {n}") for n in range(2500)]


class TestFaults:
    @pytest.mark.parametrize("unwrap_single", [False, True])
    def test_every_kind_of_fault_changes_nothing(self, project, unwrap_single):
        world = demo_world(120)
        with serve(world, Faults(rate=0.15, seed=3), unwrap_single=unwrap_single) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ"))
            succeed(project.crawl("top_artists"))
            assert len({call.fault for call in sandbox.log}) > 6
        assert_equals_world(project, world, "RJ")
        assert set(project.query(ARTISTS)) == expected_artists(world, [name for name, *_ in project.query(USERS)])
        for key in FolderStorage(project.data / "store").keys("requests/"):
            envelope = decode(FolderStorage(project.data / "store").get(key))
            assert b'"error":8' not in envelope.body.replace(b" ", b"")
            assert envelope.status in {200, 400, 404}

    def test_a_false_not_found_marks_nobody(self, project):
        faults = Faults()
        faults.script("*", user="RJ", kinds=["false_404"])
        faults.script("user.getTopArtists", kinds=["error_6_404"], times=1)
        with serve(demo_world(30), faults) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ"))
        assert ("RJ", "RJ", 0, "ok") in project.query(USERS)

    @pytest.mark.parametrize(("kind", "reason"), [("error_10_403", "key_rejected"), ("error_26_403", "key_rejected")])
    def test_a_rejected_key_stops_at_once_and_the_next_run_continues(self, project, kind, reason):
        world, faults = demo_world(60), Faults()
        faults.script("user.getFriends", kinds=[kind], times=None, pass_first=10)
        with serve(world, faults) as sandbox:
            project.url = sandbox.url
            result = project.crawl("friends", seeds="RJ")
            assert result.returncode == 3
            assert "refuses the key" in result.stderr
            assert project.query("SELECT finish_reason, exit_code FROM runs") == [(reason, 3)]
            refused = sum(call.status == 403 for call in sandbox.log)
            assert refused <= 16, "stopped at once: only what was under way was refused, too"
            good = len(sandbox.log) - refused
            sandbox.faults = Faults()
            succeed(project.crawl("friends", seeds="RJ"))
            answered = [(c.method, c.user, c.params.get("page")) for c in sandbox.log if c.status == 200]
        assert len(answered) == len(set(answered)) > good
        assert_equals_world(project, world, "RJ")

    @pytest.mark.slow
    def test_ten_rate_limits_in_a_row_stop_resumable(self, project):
        faults = Faults()
        faults.script("*", kinds=["rate_limit"], times=None)
        with serve(demo_world(20), faults) as sandbox:
            project.url = sandbox.url
            result = project.crawl("friends", seeds="RJ", timeout=200)
            gaps = [b.at - a.at for a, b in zip(sandbox.log, sandbox.log[1:], strict=False)]
        assert result.returncode == 4
        assert "rate limits in a row" in result.stderr
        assert len(gaps) == 9
        assert gaps[0] >= 1
        assert gaps[3] >= 8

    def test_a_page_given_up_is_a_loss_and_the_next_run_brings_it(self, project):
        world, faults = demo_world(60), Faults()
        victim = world.friends_of("RJ")[0].name
        faults.script("user.getFriends", user=victim, kinds=["error_8_500"], times=None)
        with serve(world, faults) as sandbox:
            project.url = sandbox.url
            result = project.crawl("friends", seeds="RJ")
            assert result.returncode == 1
            assert "given up" in result.stderr
            assert len(sandbox.calls("user.getFriends", victim)) == 8
            sandbox.faults = Faults()
            succeed(project.crawl("friends", seeds="RJ"))
        assert_equals_world(project, world, "RJ")


def _wait(process: subprocess.Popen, sandbox, requests: int) -> tuple[str, str]:
    """Let *process* send that many requests, then stop it as Ctrl-C does."""
    deadline = time.monotonic() + 50
    while len(sandbox.log) < requests and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


BROKEN = """
import sys
from scrapy.cmdline import execute
from lastfm_crawl.httpcache.middleware import AsyncHttpCacheMiddleware as Cache

real = Cache.process_response

async def broken(self, request, response):
    if "user=c" in request.url:
        raise ValueError("nobody expected this")
    return await real(self, request, response)

Cache.process_response = broken
execute()
"""


class TestLosses:
    def test_an_exception_that_nobody_expected_is_a_loss_and_holds_nobody_up(self, project):
        world = World.of({"a": ["b", "c"], "b": ["d"], "c": ["e"], "d": [], "e": []}, {"a": [("Queen", 1)]})
        with serve(world) as sandbox:
            project.url = sandbox.url
            words = [sys.executable, "-c", BROKEN, *project.words("friends", seeds="a")]
            result = subprocess.run(
                words, cwd=ROOT, env=project.env(), capture_output=True, text=True, timeout=60, check=False
            )
            assert result.returncode == 1
            assert "1 pages were given up" in result.stderr
            assert {name for name, *_ in project.query(USERS)} == {"a", "b", "c", "d"}
            succeed(project.crawl("friends", seeds="a"))
        assert_equals_world(project, world, "a")

    def test_a_seed_whose_profile_never_comes_is_no_member(self, project):
        world, faults = World.of({"a": ["b"], "b": [], "z": ["y"], "y": []}, {}), Faults()
        faults.script("user.getInfo", user="z", kinds=["error_8_500"], times=None)
        with serve(world, faults) as sandbox:
            project.url = sandbox.url
            assert project.crawl("friends", seeds="a,z").returncode == 1
            assert {name for name, *_ in project.query(USERS)} == {"a", "b"}
            sandbox.faults = Faults()
            succeed(project.crawl("friends", seeds="a,z"))
        assert {name for name, *_ in project.query(USERS)} == {"a", "b", "z", "y"}
        assert project.query("SELECT 1 FROM lastfm_users WHERE discovered_at < '2020-01-01'") == []

    def test_names_that_no_database_takes_are_counted_and_nobody_else_is_lost(self, project):
        hostile = ["x" * 3000, "nul\0nul"]
        world = World.of({"a": ["b", *hostile, "c"], "b": [], "c": []}, {"b": [("Queen", 2), ("nul\0", 1)]})
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="a"))
            succeed(project.crawl("top_artists"))
        assert {name for name, *_ in project.query(USERS)} == {"a", "b", "c"}
        assert set(project.query(FRIENDS)) == {("a", "b"), ("a", "c")}
        assert project.query(ARTISTS) == [("b", "Queen", 2, 1)]
        skipped = [skipped for (skipped,) in project.query("SELECT skipped FROM fetches WHERE skipped <> '{}'")]
        assert skipped == [{"name too long": 1, "NUL in name": 1}, {"NUL in name": 1}]


class TestInterruption:
    def test_ctrl_c_is_resumable_and_nothing_is_asked_twice(self, project):
        world = demo_world(200)
        with serve(world, Faults(latency=0.05)) as sandbox:
            project.url = sandbox.url
            process = project.start(*project.words("friends", seeds="RJ"), stderr=subprocess.PIPE, text=True)
            _, stderr = _wait(process, sandbox, 40)
            assert process.returncode == 4, stderr[-2000:]
            assert "run again to continue" in stderr
            sandbox.faults = Faults()
            succeed(project.crawl("friends", seeds="RJ"))
            answered = Counter((c.method, c.user, c.params.get("page")) for c in sandbox.log if c.status == 200)
        assert set(answered.values()) == {1}
        assert_equals_world(project, world, "RJ")

    def test_ctrl_c_while_the_run_ends_costs_its_record_nothing(self, project):
        with serve(demo_world(20), Faults()) as sandbox:
            project.url = sandbox.url
            words, said = project.words("friends", seeds="RJ"), ""
            with project.start(*words, stderr=subprocess.PIPE, text=True) as process:
                for line in process.stderr:
                    said += line
                    if "Closing spider" in line:
                        process.send_signal(signal.SIGINT)
        assert "Closing spider" in said
        assert "Traceback" not in said
        assert project.query("SELECT finish_reason, exit_code FROM runs") == [("finished", 0)]

    @pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_kill_9_at_random_moments_loses_nothing(self, project, seed):
        world, rng = demo_world(200), random.Random(seed)
        faults = Faults(rate=0.05, seed=seed, latency=0.02, kinds=["error_8_500"])
        with serve(world, faults) as sandbox:
            project.url = sandbox.url
            for words in (project.words("friends", seeds="RJ", max_users=150), project.words("top_artists")):
                for _ in range(3):
                    process = project.start(*words, stderr=subprocess.DEVNULL)
                    asked, deadline = len(sandbox.log) + rng.randint(5, 60), time.monotonic() + 20
                    while len(sandbox.log) < asked and process.poll() is None and time.monotonic() < deadline:
                        time.sleep(0.005)
                    process.kill()
                    process.wait()
                sandbox.faults = Faults()
                succeed(project.run(*words))
            stored = set(FolderStorage(project.data / "store").keys("requests/"))
        assert_equals_world(project, world, "RJ", 150)
        members = [name for name, *_ in project.query(USERS)]
        assert set(project.query(ARTISTS)) == expected_artists(world, members)
        assert stored


class TestHetRec:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("rate", "unwrap_single"),
        [(0.0, False), pytest.param(0.15, True, marks=pytest.mark.slow)],
    )
    def test_the_graph_and_the_ranked_artists_are_exactly_those_of_the_files(
        self, project, hetrec, rate, unwrap_single
    ):
        world = hetrec_world(hetrec)
        with serve(world, Faults(rate=rate, seed=11), unwrap_single=unwrap_single) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="2", timeout=500))
            succeed(project.crawl("top_artists", timeout=500))
            calls = Counter(c.method for c in sandbox.log if c.fault is None)
        assert_equals_world(project, world, "2")
        members = [name for name, *_ in project.query(USERS)]
        assert set(project.query(ARTISTS)) == expected_artists(world, members)
        if not rate:
            assert calls == {"user.getInfo": 1, "user.getFriends": len(members), "user.getTopArtists": len(members)}


class TestPace:
    def test_at_the_default_settings_the_gap_is_never_below_a_second(self, project):
        with serve(demo_world(20), Faults(rate=0.2, seed=1, kinds=["error_8_500", "false_404"])) as sandbox:
            project.url = sandbox.url
            process = project.start("crawl", "friends", "-a", "seeds=RJ", stderr=subprocess.PIPE, text=True)
            _wait(process, sandbox, 9)
            gaps = [b.at - a.at for a, b in zip(sandbox.log, sandbox.log[1:], strict=False)]
        assert len(gaps) >= 8
        assert min(gaps) >= 1.0


class TestRecords:
    def test_state_files_and_the_runs_table(self, project):
        with serve(demo_world(40)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ"))
            succeed(project.crawl("top_artists"))
            requests = len(sandbox.log)
        store = FolderStorage(project.data / "store")
        progress = json.loads(store.get("state/progress.json"))
        members = len(project.query(USERS))
        assert progress["phase"] == "artist_fetching"
        assert progress["discovery"] == {
            "seed_users": ["RJ"], "total_discovered": members, "queue_remaining": 0, "errors": 0
        } | {"errors": progress["discovery"]["errors"]}  # fmt: skip
        assert progress["artist_fetching"]["remaining"] + progress["artist_fetching"]["processed"] == members
        runs = [json.loads(store.get(key)) for key in store.keys("state/runs/")]
        assert [run["spider"] for run in runs] == ["friends", "top_artists"]
        assert [run["exit_code"] for run in runs] == [0, 0]
        assert runs[0]["arguments"] == {"seeds": "RJ"}
        assert runs[0]["members_before"] == 0
        assert runs[1]["members_before"] == members
        asked = [v for run in runs for k, v in run["stats"].items() if k.startswith("lastfm_crawl/asked/")]
        assert sum(asked) == requests
        discovered = set(json.loads(store.get("state/discovered_users.json")))
        processed = set(json.loads(store.get("state/processed_users.json")))
        waiting = set(json.loads(store.get("state/users_to_process.json")))
        assert discovered == processed | waiting
        assert not processed & waiting
        rows = project.query("SELECT id, spider, exit_code, finish_reason FROM runs ORDER BY id")
        assert rows == [(run["run_id"], run["spider"], 0, "finished") for run in runs]
        counted = project.query("SELECT received, stored, skipped FROM fetches")
        assert all(received == stored + sum(skipped.values()) for received, stored, skipped in counted)


def test_scripted_worlds_keep_spaces_and_case(project):
    world = World.of(
        {"RJ": ["Test User", "ŻÓŁW"], "Test User": ["RJ"], "ŻÓŁW": []}, {"Test User": [("AC/DC", 5), ("ac/dc", 3)]}
    )
    with serve(world) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("friends", seeds="rj"))
        succeed(project.crawl("top_artists", users="test USER"))
    assert {name for name, *_ in project.query(USERS)} == {"RJ", "Test User", "ŻÓŁW"}
    assert set(project.query(ARTISTS)) == {("Test User", "AC/DC", 5, 1), ("Test User", "ac/dc", 3, 2)}
