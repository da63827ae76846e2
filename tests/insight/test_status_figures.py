"""What `scrapy status` is told by a real PostgreSQL, from an empty warehouse to ten thousand users."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from lastfm_crawl.insight import status
from lastfm_crawl.insight.status import as_json, read, read_user
from lastfm_crawl.services import lastfm
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.jobs import Job

PACES = {"user": 1.0}
FRIENDS = lastfm.get_friends("").list_params
ARTISTS = lastfm.get_top_artists("").list_params
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def db(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def look(db, tmp_path):
    def look(cap=100.0):
        with db.transaction():
            return read(db, tmp_path / "not" / "there", cap, PACES)

    return look


def member(db, name, depth=0):
    return db.execute(
        "INSERT INTO users (key, name, crawl_depth, discovered_at) VALUES (lower(%(name)s), %(name)s, %(depth)s, now())"
        " RETURNING id",
        {"name": name, "depth": depth},
    ).fetchone()[0]


def fetch(db, user, method, params, page=1, pages=1, status="ok", detail=None, total=0, stored=0):
    db.execute(
        "INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, status, detail,"
        " fetched_at, bytes) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), 1000)",
        [user, method, params, page, pages, total, stored, stored, status, detail],
    )


def lists(found):
    return {one.spider: one for one in found.lists}


def test_an_empty_warehouse(look, tmp_path):
    found = look()
    assert found.totals == status.Totals(0, 0, 0, 0, 0, counted=True)
    assert not any((found.jobs, found.failing, found.runs, found.sinks, found.users))
    assert found.disk.path == str(tmp_path)
    assert found.disk.free > 0
    assert json.loads(json.dumps(as_json(found)))["kept"] == {
        "size": 0, "cap": 100_000_000, "by_method": [], "by_user": [],
    }  # fmt: skip


def test_lists_are_as_far_as_their_spiders_are(db, look):
    done, begun, _, gone = (member(db, name) for name in ("done", "begun", "left", "gone"))
    fetch(db, done, "user.getFriends", FRIENDS, stored=2)
    fetch(db, begun, "user.getFriends", FRIENDS, pages=3)
    fetch(db, gone, "user.getFriends", FRIENDS, page=0, status="not_found", detail="User not found")
    fetch(db, done, "user.getTopArtists", ARTISTS, pages=9)  # of which one page is wanted
    found = look()
    assert lists(found)["friends"] == ("friends", "user.getFriends", 1, 2, 1, 1, 0)
    assert lists(found)["top_artists"] == ("top_artists", "user.getTopArtists", 1, 3, 0, 0, 0)
    assert found.totals.friendships == 2
    assert found.failing == [status.Failing("user.getFriends", "not_found", "User not found", 1, "gone")]


@pytest.mark.parametrize(
    ("arguments", "left", "beyond"),
    [({}, 3, 0), ({"max_users": "3"}, 0, 3), ({"max_depth": "1"}, 1, 2), ({"max_users": "9", "max_depth": "0"}, 0, 3)],
)
def test_friends_beyond_the_limits_of_the_last_crawl_are_not_left(db, look, arguments, left, beyond):
    for place, name in enumerate(("a", "b", "c")):
        member(db, name, depth=place)
    queries.begin_run(db, "1", "friends", arguments, NOW, 0)
    friends = lists(look())["friends"]
    assert (friends.left, friends.beyond) == (left, beyond)


def window(first, limit):
    return f"from={first},limit={limit},to={first + 100}"


@pytest.mark.parametrize(
    ("pages", "fetched"),
    [
        ([(window(0, 2), 1, 2), (window(0, 2), 2, 2)], 1),
        ([(window(0, 2), 1, 2)], 0),
        ([(window(0, 2), 1, 2), (window(0, 2), 2, 2), (window(100, 2), 1, 2)], 0),
        # Of two sizes the view of windows is asked: the first half in one page, the second in two halves.
        ([(window(0, 2), 1, 2), (window(0, 1), 3, 4), (window(0, 1), 4, 4)], 1),
        ([(window(0, 2), 1, 2), (window(0, 1), 3, 4)], 0),
    ],
)
def test_a_history_is_fetched_without_a_hole(db, look, pages, fetched):
    user = member(db, "a")
    for params, page, of in pages:
        fetch(db, user, "user.getRecentTracks", params, page=page, pages=of, total=4, stored=2)
    histories = lists(look())["recent_tracks"]
    assert (histories.fetched, histories.left, histories.begun) == (fetched, 1 - fetched, 1 - fetched)


def job(**changes):
    fields = {
        "id": 1, "scope": "friends", "username": None, "year": None, "status": "running", "phase": "fetching",
        "progress": 30, "total": 90, "unit": "users", "matched": None, "fuzzy_matched": None, "not_found": None,
        "error_message": None, "run_id": "1", "created_at": NOW, "started_at": NOW,
        "updated_at": NOW + timedelta(seconds=60), "finished_at": None,
    }  # fmt: skip
    return Job(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "rate", "left"),
    [
        ({}, 30, 120),
        ({"total": None}, 30, None),
        ({"progress": 0}, None, None),
        ({"progress": 100}, 100, 0),
        ({"updated_at": NOW}, None, None),
        ({"status": "completed"}, None, None),
    ],
)
def test_how_fast_a_job_is(changes, rate, left):
    one = job(**changes)
    assert (status.per_minute(one), status.seconds_left(one)) == (rate, left)


def test_jobs_that_run_and_the_last_that_ended(db, look):
    db.execute(
        """
        INSERT INTO fetch_jobs (scope, username, status, phase, run_id, started_at, updated_at, finished_at)
        SELECT 'recent_tracks', 'user' || n, CASE WHEN n > 7 THEN 'running' ELSE 'completed' END, 'fetching', '1',
               now(), now() - CASE WHEN n = 9 THEN interval '3 min' ELSE '0' END,
               CASE WHEN n > 7 THEN NULL ELSE now() END
        FROM generate_series(1, 9) n
        """
    )
    found = look().jobs
    assert sorted(one.status for one in found) == ["completed"] * status.ENDED + ["killed", "running"]
    assert as_json(look())["jobs"][0].keys() >= {"per_minute", "seconds_left", "error_message"}


def test_runs_say_what_they_lost(db, look):
    queries.begin_run(db, "1", "friends", {}, NOW, 0)
    queries.finish_run(db, "1", NOW, "finished", 1, {"lastfm_crawl/lost": 2, "lastfm_crawl/problem/error_8": 5})
    queries.begin_run(db, "2", "friends", {}, NOW, 0)
    running, ended = look().runs
    assert (ended.lost, ended.problems, ended.exit_code) == (2, {"error_8": 5}, 1)
    assert (running.lost, running.problems, running.exit_code) == (0, {}, None)


def test_what_is_left_is_estimated(db, look):
    for name in ("a", "b"):
        member(db, name)
    estimates = {one.phase: one for one in look().estimates}
    assert (estimates["top_artists"].requests, estimates["top_artists"].seconds) == (2, 2.0)
    assert estimates["top_artists"].size > 0
    queries.begin_run(db, "1", "friends", {"max_users": "12"}, NOW, 0)  # which has found two of them
    estimates = {one.phase: one for one in look().estimates}
    assert estimates["top_artists"].requests == 12


def test_an_agreement_has_no_cap(look):
    assert look(cap=0).kept.cap is None


def test_one_user(db):
    user = member(db, "RJ")
    fetch(db, user, "user.getTopArtists", ARTISTS, pages=3)
    fetch(db, user, "user.getRecentTracks", window(0, 2), page=0, status="private", detail="Login: hidden")
    other = member(db, "Other")
    fetch(db, other, "user.getFriends", FRIENDS, page=0, status="not_found", detail="User not found")
    detail = as_json(read_user(db, "rj"))
    assert detail["user"]["name"] == "RJ"
    assert detail["lists"] == [{"method": "user.getTopArtists", "params": ARTISTS, "done": 1, "pages": 3}]
    assert [one["reason"] for one in detail["failing"]] == ["Login: hidden"]
    assert [one["status"] for one in detail["statuses"]] == ["ok", "private"]
    assert read_user(db, "nobody") is None


def test_ten_thousand_users(db, look):
    db.execute(
        """
        INSERT INTO users (key, name, discovered_at, crawl_depth) SELECT 'u' || n, 'U' || n, now(), 1
        FROM generate_series(1, 10000) n
        """
    )
    for method, params in (("user.getFriends", FRIENDS), ("user.getTopArtists", ARTISTS)):
        db.execute(
            """
            INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at, bytes)
            SELECT id, %s, %s, 1, 1, 1, 1, 1, now(), 200000 FROM users WHERE id %% 2 = 0
            """,
            [method, params],
        )
    db.execute(
        """
        INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at, bytes)
        SELECT id, 'user.getRecentTracks', 'from=' || w * 1000 || ',limit=1000,to=' || (w + 1) * 1000, p, 2, 2000, 1000,
               1000, now(), 300000
        FROM users, generate_series(1, 5) w, generate_series(1, 2) p WHERE id % 2 = 0
        """
    )
    db.execute("ANALYZE")
    began = time.monotonic()
    found = look()
    assert time.monotonic() - began < 10  # two seconds where nothing else runs
    assert lists(found)["recent_tracks"] == ("recent_tracks", "user.getRecentTracks", 5000, 5000, 0, 0, 0)
    began = time.monotonic()
    assert len(read_user(db, "u2").windows) == 5
    assert time.monotonic() - began < 1
