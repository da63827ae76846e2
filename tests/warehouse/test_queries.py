"""What spiders, progress and commands are told by a real PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, ProfilePage, TopArtistsPage, UserMark
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.postgres import PostgresSink

NOW = 1_700_000_000.0
DAY = 86_400
CHARTS, CHART = "user.getTopArtists", "limit=1000,period=overall"
FRIENDS, EDGES = "user.getFriends", "limit=500"


@pytest.fixture(scope="module")
def warehouse(postgres):
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE test_queries")
        url = make_conninfo(postgres, dbname="test_queries")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        server.execute("DROP DATABASE test_queries WITH (FORCE)")


@pytest.fixture
def db(warehouse):
    warehouse.execute(
        "DELETE FROM user_artists; DELETE FROM friendships; DELETE FROM users; DELETE FROM artists; DELETE FROM runs"
    )
    return warehouse


def load(db, *items):
    with db.transaction():
        PostgresSink().load(db, items)


def chart(user="rj", page=1, pages=1, at=0.0, names=("Cher",), params=CHART):
    ranks = range(1000 * page, 1000 * page + len(names))
    return TopArtistsPage(
        method=CHARTS, user=user, params=params, page=page, pages=pages, fetched_at=NOW + at, received=len(names),
        period="overall", names=[f"{name} {page}" for name in names], ranks=ranks, playcounts=ranks,
    )  # fmt: skip


def friends(*names, user="rj", page=1, pages=1, at=0.0):
    return FriendsPage(
        method=FRIENDS, user=user, params=EDGES, page=page, pages=pages, fetched_at=NOW + at, received=len(names),
        friends=tuple(Profile(name) for name in names),
    )  # fmt: skip


def info(user="rj", at=0.0):
    return ProfilePage(method="user.getInfo", user=user, params="", fetched_at=NOW + at, profile=Profile(user))


def mark(status, user="rj", method=CHARTS, at=0.0, page=1):
    params = {CHARTS: CHART, FRIENDS: EDGES}.get(method, "")
    return UserMark(
        method=method, user=user, params=params, page=page, status=status, detail=status, fetched_at=NOW + at
    )


def members(*names, seed=None, depth=None, at=0.0):
    return Admissions(tuple(Member(name, seed and (name if depth == 0 else seed), depth, NOW + at) for name in names))


def left(db, max_pages=None, since=None, marks_since=0.0, params=CHART):
    """Seconds count from NOW."""
    return queries.members_left(
        db, CHARTS, params, max_pages, None if since is None else NOW + since, NOW + marks_since
    )


# --- members_left ------------------------------------------------------------------------------------------------


def test_nobody_is_left_in_an_empty_warehouse(db):
    assert left(db) == []


def test_members_who_were_never_asked_are_left_and_others_are_no_members(db):
    load(db, members("rj"), friends("ann", user="rj"))
    assert left(db) == ["rj"]
    assert queries.members_left(db, FRIENDS, EDGES) == []


def test_a_complete_list_is_not_left(db):
    load(db, members("rj"), chart(pages=2))
    assert left(db) == ["rj"]
    load(db, chart(page=2, pages=2))
    assert left(db) == []


def test_every_page_counts_whichever_came(db):
    load(db, members("rj"), chart(page=1, pages=3), chart(page=3, pages=3))
    assert left(db) == ["rj"]
    load(db, chart(page=2, pages=3))
    assert left(db) == []


def test_the_empty_list_is_complete(db):
    load(db, members("rj"), chart(pages=0, names=()))
    assert left(db) == []


def test_other_lists_do_not_count(db):
    load(db, members("rj"), chart(params="limit=50,period=overall"), friends(), info())
    assert left(db) == ["rj"]
    assert left(db, params="limit=50,period=overall") == []


def test_no_more_pages_than_are_wanted(db):
    load(db, members("rj"), chart(pages=5))
    assert (left(db, 1), left(db, 2)) == ([], ["rj"])
    load(db, chart(page=2, pages=5))
    assert (left(db, 2), left(db, 3), left(db)) == ([], ["rj"], ["rj"])
    load(db, members("ann"), chart("ann", pages=1))
    assert left(db, 3) == ["rj"]


def test_the_pages_that_are_wanted_must_be_those_that_came(db):
    load(db, members("rj"), chart(pages=3), chart(page=3, pages=3))
    assert left(db, 2) == ["rj"]


def test_a_list_that_grew_is_left(db):
    load(db, members("rj"), chart(pages=1))
    load(db, chart(pages=2, at=1))
    assert left(db) == ["rj"]


def test_a_list_that_grew_shorter_is_complete(db):
    load(db, members("rj"), chart(pages=2))
    load(db, chart(pages=1, at=1))
    assert left(db) == []


def test_answers_older_than_since_are_asked_again(db):
    load(db, members("rj", "ann"), chart(at=-10), chart("ann", at=0))
    assert left(db) == []
    assert left(db, since=-5) == ["rj"]
    assert left(db, since=0) == ["rj"]
    assert sorted(left(db, since=0.001)) == ["ann", "rj"]


def test_a_list_of_which_one_page_is_too_old_is_left(db):
    load(db, members("rj"), chart(pages=2, at=-10), chart(page=2, pages=2))
    assert left(db, since=-5) == ["rj"]


@pytest.mark.parametrize("status", ["not_found", "private"])
def test_a_mark_counts_until_it_expires(db, status):
    load(db, members("rj"), mark(status))
    assert left(db, marks_since=-30 * DAY) == []
    assert left(db, marks_since=0) == []
    assert left(db, marks_since=1) == ["rj"]


@pytest.mark.parametrize("status", ["not_found", "private"])
def test_a_mark_older_than_since_is_asked_again(db, status):
    load(db, members("rj"), mark(status))
    gone = status == "not_found"  # who is gone stays gone until the mark expires
    assert left(db, since=1, marks_since=-DAY) == ([] if gone else ["rj"])
    assert left(db, since=-1, marks_since=-DAY) == []


def test_who_is_gone_is_asked_for_nothing_else(db):
    load(db, members("rj"), mark("not_found", method=FRIENDS))
    assert left(db, marks_since=-1) == []
    assert left(db, marks_since=1) == ["rj"]


def test_who_hides_one_list_is_asked_for_others(db):
    load(db, members("rj"), mark("private", method=FRIENDS))
    assert left(db) == ["rj"]


def test_who_hides_a_list_from_its_second_page_on_is_not_left(db):
    load(db, members("rj"), chart(pages=2), mark("private", page=2))
    assert left(db) == []


def test_errors_are_asked_again(db):
    load(db, members("rj"), mark("error"))
    assert left(db) == ["rj"]
    load(db, chart(at=1))
    assert left(db) == []
    load(db, mark("error", at=2))
    assert left(db) == []  # what was stored before is as good as it was


@pytest.mark.parametrize("status", ["not_found", "private"])
def test_a_list_that_came_after_a_mark_is_left_until_it_is_complete(db, status):
    load(db, members("rj"), mark(status), chart(pages=2, at=1))
    assert left(db) == ["rj"]
    load(db, chart(page=2, pages=2, at=1))
    assert left(db) == []


def test_seeds_come_first_then_by_depth_and_who_was_only_named_last(db):
    load(db, members("named"))
    load(db, members("deep", seed="zed", depth=2))
    load(db, members("near", seed="zed", depth=1))
    load(db, members("zed", "ann", seed="-", depth=0))
    order = left(db)
    assert set(order[:2]) == {"zed", "ann"}
    assert order[2:] == ["near", "deep", "named"]
    assert left(db) == order


def test_users_of_one_depth_come_by_name(db):
    load(db, members("zed", "rj", seed="-", depth=0))
    assert left(db) == ["rj", "zed"]


# --- lists that are stored ---------------------------------------------------------------------------------------


def test_friends_lists_come_page_by_page_in_the_order_of_the_answer(db):
    load(db, friends("c", "a", page=2, pages=2, at=1), friends("zed", "B", "m", pages=2), friends(user="ann", pages=0))
    load(db, friends("x", user="other"))
    assert queries.friend_lists(db, ["rj", "ann", "nobody"], EDGES) == {
        "ann": [queries.StoredList(1, 0, [], NOW)],
        "rj": [
            queries.StoredList(1, 2, ["zed", "B", "m"], NOW),
            queries.StoredList(2, 2, ["c", "a"], NOW + 1),
        ],
    }


def test_friends_lists_of_a_thousand_keep_their_order(db):
    names = [f"u{(n * 7919) % 1000}" for n in range(1000)]
    load(db, friends(*names))
    assert queries.friend_lists(db, ["rj"], EDGES)["rj"][0].friends == names


def test_friends_lists_leave_out_marks_other_limits_and_old_answers(db):
    load(db, mark("private", method=FRIENDS), friends("a", user="ann", at=-10), friends("b", user="bob"))
    assert queries.friend_lists(db, ["rj"], EDGES) == {}
    assert queries.friend_lists(db, ["bob"], "limit=50") == {}
    assert list(queries.friend_lists(db, ["ann", "bob"], EDGES, NOW - 5)) == ["bob"]
    assert queries.friend_lists(db, [], EDGES) == {}


def test_friends_lists_have_the_pages_that_the_view_has(db):
    load(db, friends("gone", page=2, pages=2), friends("here", at=1))
    assert db.execute("SELECT friend FROM lastfm_friends").fetchall() == [("here",)]
    assert [page.friends for page in queries.friend_lists(db, ["rj"], EDGES)["rj"]] == [["here"]]


def test_users_fetched_has_the_first_time_of_each(db):
    load(db, friends(page=2, pages=2, at=1), friends(pages=2, at=5), info("ann", at=3))
    load(db, mark("not_found", "gone", FRIENDS, at=2), mark("private", "hid", FRIENDS), mark("error", "bad", FRIENDS))
    assert queries.users_fetched(db, FRIENDS) == {"rj": NOW + 1, "gone": NOW + 2, "hid": NOW}
    assert queries.users_fetched(db, FRIENDS, NOW + 2) == {"rj": NOW + 5, "gone": NOW + 2}
    assert queries.users_fetched(db, "user.getInfo") == {"ann": NOW + 3}


# --- who is known ------------------------------------------------------------------------------------------------


def test_known_names_are_members_in_their_own_spelling(db):
    load(db, members("RJ", "Ann B"), friends("cy", user="RJ"))
    assert queries.known_names(db, ["rj", "ANN B", "cy", "nobody", "annb"]) == {"rj": "RJ", "ann b": "Ann B"}
    assert queries.known_names(db, []) == {}


def test_seeds_come_in_the_order_of_their_first_naming(db):
    load(db, members("zed", "ann", seed="-", depth=0))
    load(db, members("ann", "bob", "zed", seed="-", depth=0, at=1), members("x", seed="zed", depth=1))
    assert queries.seeds(db) == ["zed", "ann", "bob"]


def test_members_have_their_way_and_their_time(db):
    load(db, members("Named", at=4))
    load(db, members("Zed", "ann", seed="-", depth=0), members("Bob", seed="Zed", depth=1, at=2))
    load(db, friends("nobody", user="ann"))
    assert sorted(queries.members(db)) == [
        Member("Bob", "Zed", 1, NOW + 2),
        Member("Named", None, None, NOW + 4),
        Member("Zed", "Zed", 0, NOW),
        Member("ann", "ann", 0, NOW),
    ]
    assert [member.name for member in queries.members(db)][:2] == ["Zed", "ann"]
    assert queries.count_members(db) == 4


def test_unavailable_are_those_found_gone_lately(db):
    load(db, mark("not_found", "Gone"), mark("private", "hid"), mark("error", "bad"), mark("not_found", "old", at=-DAY))
    assert queries.unavailable(db, NOW - 1) == {"gone"}
    assert queries.unavailable(db, NOW - 2 * DAY) == {"gone", "old"}
    assert queries.unavailable(db, NOW + 1) == set()


# --- how far -----------------------------------------------------------------------------------------------------


def some_progress(db):
    load(db, members("Zed", "ann", seed="-", depth=0), members("bob", "cy", "dan", seed="Zed", depth=1))
    load(db, friends("bob", "cy", user="Zed"), friends("stranger", user="ann"))
    load(db, chart("Zed", names=("Cher", "ABBA")), chart("bob", pages=2), mark("private", "cy"))
    load(db, mark("error", "dan"), mark("private", "bob", FRIENDS), mark("not_found", "ann", "user.getInfo"))
    load(db, chart("no member"))


def test_crawl_state(db):
    some_progress(db)
    assert queries.crawl_state(db) == queries.CrawlState(
        seeds=["Zed", "ann"], members=5, with_artists=3, discovery_errors=2, artist_errors=2
    )


def test_user_lists(db):
    some_progress(db)
    assert queries.user_lists(db) == {
        "discovered_users": ["Zed", "ann", "bob", "cy", "dan"],
        "processed_users": ["Zed", "bob", "cy"],
        "users_to_process": ["ann", "dan"],
    }


def test_totals(db):
    some_progress(db)
    # "no member" and "stranger" are no members; their rows count.
    assert queries.totals(db) == queries.Totals(users=5, friendships=3, artists=2, user_artists=4, scrobbles=0)


def test_an_empty_warehouse_has_nothing(db):
    assert queries.crawl_state(db) == queries.CrawlState([], 0, 0, 0, 0)
    assert queries.user_lists(db) == {"discovered_users": [], "processed_users": [], "users_to_process": []}
    assert queries.totals(db) == queries.Totals(0, 0, 0, 0, 0)
    assert (queries.members(db), queries.seeds(db), queries.count_members(db)) == ([], [], 0)


# --- runs --------------------------------------------------------------------------------------------------------


def test_a_run_begins_and_ends(db):
    began, ended = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), datetime(2026, 1, 2, 4, tzinfo=UTC)
    queries.begin_run(db, "r1", "friends", {"seeds": 'a,"ü"', "max_users": "5"}, began, 7)
    queries.begin_run(db, "r2", "top_artists", {}, began, 9)
    columns = "arguments, started_at, members_before, finished_at, finish_reason, exit_code, stats, spider"
    open_run = ({"seeds": 'a,"ü"', "max_users": "5"}, began, 7, None, None, None, None, "friends")
    assert db.execute(f"SELECT {columns} FROM runs WHERE id = 'r1'").fetchone() == open_run
    stats = {"lastfm_crawl/pages": 3, "seconds": 0.5, "why": "\\ \n 'x'"}
    queries.finish_run(db, "r1", ended, "finished", 0, stats)
    assert db.execute(f"SELECT {columns} FROM runs WHERE id = 'r1'").fetchone() == (
        *open_run[:3], ended, "finished", 0, json.loads(json.dumps(stats)), "friends",
    )  # fmt: skip
    assert db.execute("SELECT finished_at FROM runs WHERE id = 'r2'").fetchone() == (None,)


def test_a_run_begins_once(db):
    queries.begin_run(db, "r1", "friends", {}, datetime.now(UTC), 0)
    with pytest.raises(psycopg.errors.UniqueViolation):
        queries.begin_run(db, "r1", "friends", {}, datetime.now(UTC), 0)


# --- logins -------------------------------------------------------------------------------------------------------


def left_with_logins(db, logins):
    """Who is left, and who is to be asked, in the two ways of asking."""
    own = {key: NOW + at for key, at in logins.items()}
    return queries.members_left(db, CHARTS, CHART, logins=own), queries.members_to_ask(db, CHARTS, 0, own)


def test_private_says_nothing_any_more_once_its_user_logged_in(db):
    load(db, members("rj", "ann"), mark("private", at=10), mark("private", "ann", at=10))
    assert left_with_logins(db, {}) == ([], [])
    assert left_with_logins(db, {"rj": 9}) == ([], [])
    assert left_with_logins(db, {"rj": 11}) == (["rj"], ["rj"])
    assert left_with_logins(db, {"nobody": 11}) == ([], [])


def test_who_is_gone_is_gone_whoever_logged_in(db):
    load(db, members("rj"), mark("not_found", at=10))
    assert left_with_logins(db, {"rj": 11}) == ([], [])
