"""A warehouse that was dropped and replayed equals the one that the crawls built, whatever they met."""

from __future__ import annotations

import dataclasses
import gzip
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
from test_crawl import succeed

from lastfm_crawl.httpcache.envelope import Envelope, encode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import Faults, World, demo_world, serve
from lastfm_crawl.services import lastfm

VIEWS = """
    SELECT v.viewname, array_agg(c.column_name::text ORDER BY c.ordinal_position)
    FROM pg_views v JOIN information_schema.columns c ON c.table_name = v.viewname AND c.table_schema = v.schemaname
    WHERE v.schemaname = 'public' GROUP BY 1
"""


def views(project) -> dict[str, list[tuple]]:
    """Every view, row by row, without the ids, which are whatever came first."""
    found = {}
    for view, columns in project.query(VIEWS):
        readable = [f'"{name}"' for name in columns if name != "id" and not name.endswith("_id")]
        found[view] = sorted(project.query(f"SELECT {', '.join(readable)} FROM {view}"), key=repr)
    found["fetches"] = sorted(
        project.query(
            """SELECT u.key, f.method, f.params, f.page, f.pages, f.total, f.received, f.stored, f.skipped::text,
                      f.status, f.detail, f.fetched_at FROM fetches f JOIN users u ON u.id = f.user_id"""
        ),
        key=repr,
    )
    found["seeds"] = project.query("SELECT seed_no, name FROM users WHERE seed_no IS NOT NULL ORDER BY 1")
    return found


def drop(project) -> None:
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def replay(project, *words, code=0) -> subprocess.CompletedProcess:
    """A replay without a key, and without anybody who could answer."""
    env = {**project.env(), "LASTFM_API_URL": "http://127.0.0.1:9/2.0/"}
    del env["LASTFM_API_KEY"]
    result = project.run("replay", *(words or ("all",)), env=env)
    assert result.returncode == code, result.stderr[-3000:]
    assert "Traceback" not in result.stderr, result.stderr[-3000:]
    return result


def assert_rebuilt(project, *words) -> None:
    """Dropped and replayed, and replayed once more, the warehouse is what it was."""
    before = views(project)
    assert before["lastfm_users"]
    drop(project)
    replay(project, *words)
    after = views(project)
    assert {view: after[view] for view in before if after[view] != before[view]} == {}
    replay(project, *words)
    assert views(project) == before


def test_a_reader_that_is_killed_ends_the_replay_in_one_line(project):
    call = lastfm.get_info("rj")
    answer = Envelope(
        method=call.method, params=call.all_params, url="", asked_at=1, status=200, headers={}, answered_at=1,
        body=b"{}",
    )  # fmt: skip
    FolderStorage(project.data / "store").put(call.store_key, encode(answer))
    process = project.start("replay", "all", "--workers", "1", stderr=subprocess.PIPE, text=True)
    readers = []
    while not readers and process.poll() is None:
        with suppress(psutil.Error):
            children = psutil.Process(process.pid).children()
            readers = [child for child in children if "from multiprocessing.spawn" in " ".join(child.cmdline())]
    for reader in readers:
        reader.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "a process that reads answers was killed" in said
    assert "Traceback" not in said


@pytest.fixture
def crawled(project):
    """A small crawl, and the folder of its store."""
    with serve(demo_world(40)) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("friends", seeds="RJ"))
        succeed(project.crawl("top_artists"))
    return FolderStorage(project.data / "store")


class TestEquality:
    @pytest.mark.parametrize("max_users", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 7, 1000)), 60])
    def test_after_a_cut_with_deleted_users(self, project, max_users):
        with serve(demo_world(120)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="rj", max_users=max_users))
            succeed(project.crawl("top_artists"))
        assert_rebuilt(project)

    @pytest.mark.slow
    def test_after_several_runs_with_other_seeds_caps_depths_and_named_users(self, project):
        world = demo_world(150)
        with serve(world) as sandbox:
            project.url = sandbox.url
            names = [user.name for user in world.users.values() if user.status == "ok"]
            succeed(project.crawl("top_artists", users=f"{names[90].upper()},{names[3]}"))
            succeed(project.crawl("friends", seeds="RJ", max_users=20))
            succeed(project.crawl("top_artists", period="7day"))
            succeed(project.crawl("friends", seeds=f"RJ,{names[70]}", max_users=45, max_depth=2))
            succeed(project.crawl("top_artists", users=f"{names[90].lower()},{names[120]}"))
            succeed(project.crawl("friends", seeds=names[-1], max_users=70, full_profiles=1))
            succeed(project.crawl("top_artists"))
        assert_rebuilt(project)

    @pytest.mark.slow
    def test_answers_that_were_asked_for_again(self, project):
        friends = {"a": ["b", "c"], "b": ["a", "d"], "c": ["e"], "d": ["f"], "e": [], "f": ["a"]}
        plays = {name: [("Queen", 5), ("ABBA", 3)] for name in friends}
        with serve(World.of(friends, plays)) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="a"))
            succeed(project.crawl("top_artists"))
        friends |= {"a": ["c", "g"], "c": ["a"], "g": ["h"]}
        plays = {name: [("Queen", 9), ("Blur", 4)] for name in friends}
        with serve(World.of(friends, plays, deleted=["d"])) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="a", max_age=0, max_users=7))
            succeed(project.crawl("top_artists", max_age=0))
            succeed(project.crawl("friends", seeds="g"))
        assert list(FolderStorage(project.data / "store").keys("archive/"))
        assert "not_found" in {row[8] for row in views(project)["lastfm_users"]}
        assert_rebuilt(project)

    @pytest.mark.slow
    @pytest.mark.parametrize("again", [pytest.param(False, marks=pytest.mark.slow), True])
    def test_after_interruptions(self, project, again):
        with serve(demo_world(200), Faults(latency=0.05)) as sandbox:
            project.url = sandbox.url
            for requests in (30, 60):
                process = project.start(*project.words("friends", seeds="RJ"), stderr=subprocess.PIPE, text=True)
                deadline = time.monotonic() + 50
                while len(sandbox.log) < requests and time.monotonic() < deadline:
                    time.sleep(0.02)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
                assert process.returncode == 4
            succeed(project.crawl("top_artists"))
            if again:
                process = project.start(*project.words("friends", seeds="RJ"), stderr=subprocess.DEVNULL)
                enough = len(sandbox.log) + 60
                while len(sandbox.log) < enough and process.poll() is None:
                    time.sleep(0.02)
                process.kill()
                process.wait()
                # What was stored and not loaded is loaded by whoever goes on with the walk.
                succeed(project.crawl("friends", seeds="RJ"))
                succeed(project.crawl("friends", seeds="RJ", max_users=150))
        assert_rebuilt(project)

    def test_after_faults_and_losses(self, project):
        world, faults = demo_world(60), Faults(rate=0.1, seed=4)
        victim = world.friends_of("RJ")[1].name
        faults.script("user.getFriends", user=victim, kinds=["error_8_500"], times=None)
        with serve(world, faults) as sandbox:
            project.url = sandbox.url
            assert project.crawl("friends", seeds="RJ").returncode == 1
            succeed(project.crawl("top_artists"))
        assert_rebuilt(project)

    @pytest.mark.usefixtures("crawled")
    def test_the_warm_cache_gives_the_same_without_a_key(self, project):
        before = views(project)
        drop(project)
        env = {**project.env(), "LASTFM_API_URL": "http://127.0.0.1:9/2.0/"}
        del env["LASTFM_API_KEY"]
        for spider, arguments in (("friends", {"seeds": "RJ"}), ("top_artists", {})):
            words = project.words(spider, {"HTTPCACHE_IGNORE_MISSING": 1}, **arguments)
            succeed(project.run(*words, env=env))
        assert views(project) == before

    @pytest.mark.slow
    def test_histories_with_what_was_deleted_and_edited(self, project):
        world = demo_world(30)
        name = "jester71"
        history = world.history(name)
        with serve(world) as sandbox:
            project.url = sandbox.url
            succeed(project.crawl("friends", seeds="RJ"))
            succeed(project.crawl("top_tracks", users=f"{name},RJ"))
            succeed(project.crawl("recent_tracks", users=name))
            years = Counter(time.gmtime(play.uts).tm_year for play in history)
            year, _ = years.most_common(1)[0]
            played = [play for play in history if time.gmtime(play.uts).tm_year == year]
            history.delete(*played[10:14])
            history.add(dataclasses.replace(played[20], track="Edited"))
            succeed(project.crawl("recent_tracks", users=name, year=year, refresh=1))
            # Another window over the same time: its answers stand beside the older ones, and count more.
            history.delete(played[40])
            day = time.strftime("%Y-%m-%d", time.gmtime(played[40].uts))
            succeed(project.crawl("recent_tracks", users=name, since=day, refresh=1))
            succeed(project.crawl("loved_tracks", users=name))
        assert views(project)["lastfm_scrobbles"]
        assert {row[-1] for row in views(project)["lastfm_history_audit"]} == {True}
        assert_rebuilt(project)

    def test_from_packs(self, project, crawled):
        assert project.run("store", "pack").returncode == 0
        before = views(project)
        for key in list(crawled.keys("requests/")):
            crawled.delete(key)
        drop(project)
        replay(project, "all", "--from", "packs")
        assert views(project) == before
        segment = next(key for key in crawled.keys("packs/user.getTopArtists/") if key.endswith(".zst"))
        crawled.write(segment, crawled.get(segment)[:100])
        assert "cannot be read" in replay(project, "all", "--from", "packs", code=1).stderr


class TestParts:
    @pytest.mark.usefixtures("crawled")
    def test_one_spider_at_a_time_comes_to_the_same(self, project):
        before = views(project)
        drop(project)
        replay(project, "friends")
        assert views(project)["lastfm_users"] == before["lastfm_users"]
        assert views(project)["lastfm_user_artists"] == []
        replay(project, "top_artists")
        assert views(project) == before

    @pytest.mark.usefixtures("crawled")
    def test_one_user(self, project):
        before = views(project)
        project.execute("DELETE FROM fetches WHERE method = 'user.getTopArtists'; DELETE FROM user_artists")
        result = replay(project, "top_artists", "--user", "rj")
        assert "1 answers: 1 pages" in result.stdout
        rows = [row for row in before["lastfm_user_artists"] if row[0] == "RJ"]
        assert rows
        assert views(project)["lastfm_user_artists"] == rows

    @pytest.mark.usefixtures("crawled")
    def test_since(self, project):
        assert ": 0 pages with 0 rows loaded" in replay(project, "all", "--since", "2999-01-01").stdout
        assert ": 0 pages" not in replay(project, "all", "--since", "2020-01-01T12:00").stdout

    @pytest.mark.usefixtures("crawled")
    def test_a_dry_run_needs_no_database_and_changes_nothing(self, project):
        before = views(project)
        drop(project)
        url, project.database_url = project.database_url, "postgresql://nobody@127.0.0.1:9/none"
        result = replay(project, "all", "--dry-run", "--workers", "1")
        project.database_url = url
        assert f"{len(before['fetches'])} pages" in result.stdout
        assert project.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []

    def test_an_empty_store_is_nothing_to_do(self, project):
        assert "0 answers" in replay(project, "all").stdout

    def test_no_record_of_its_own(self, project, crawled):
        runs, records = project.query("SELECT id FROM runs ORDER BY 1"), list(crawled.keys("state/runs/"))
        drop(project)
        replay(project, "all")
        assert project.query("SELECT id FROM runs ORDER BY 1") == runs
        assert list(crawled.keys("state/runs/")) == records


def test_bad_objects_are_listed_and_skipped(project, crawled):
    before = views(project)
    keys = [key for key in crawled.keys("requests/user.getTopArtists/") if key.split("/")[2] != "rj"]
    truncated, broken, swapped, newer, other = keys[:5]
    bad = {
        truncated: crawled.get(truncated)[:100],
        broken: b"no gzip",
        swapped: crawled.get(other),
        newer: gzip.compress(gzip.decompress(crawled.get(newer)).replace(b'"version":1', b'"version":2')),
        "requests/user.getTopArtists/notes.txt": b"hello",
        "requests/foreign.method/a/b.json.gz": crawled.get(other),
        "requests/README": b"hello",
        "archive/user.getFriends/x/y.json.gz": b"",
    }
    for key, blob in bad.items():
        crawled.write(key, blob)
    gone = {key.split("/")[2] for key in (truncated, broken, swapped, newer)}
    drop(project)
    result = replay(project, code=1)
    for key in bad:
        assert f"{key} is skipped" in result.stderr
    assert "8 stored objects cannot be replayed" in result.stderr
    assert "it is an envelope of version 2, and known is 1: update the software" in result.stderr
    assert crawled.get(newer) == bad[newer]
    after = views(project)
    assert after["lastfm_users"] == before["lastfm_users"]
    assert after["lastfm_user_artists"] == [row for row in before["lastfm_user_artists"] if row[0].lower() not in gone]


def test_ctrl_c_and_again(project, crawled):
    before = views(project)
    drop(project)
    process = project.start("replay", "all", stderr=subprocess.PIPE, text=True)
    assert any("Spider opened" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in {0, 4}, stderr[-2000:]
    replay(project, "all")
    assert views(project) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "there is no spider 'nobody'"),
        (["all", "--sink", "oracle"], "there is no sink 'oracle'"),
        (["all", "--from", "tape"], "none of store, packs, archive"),
        (["all", "--since", "yesterday"], "--since: 'yesterday' is wrong"),
        (["all", "--workers", "0"], "--workers: '0' is wrong"),
        (["all", "--user", ""], "names no user"),
    ],
)
def test_wrong_use(project, words, said):
    assert said in replay(project, *words, code=2).stderr
