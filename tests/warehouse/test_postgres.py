"""Pages into a real PostgreSQL: idempotent, newest wins, in any order, from several connections."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, ProfilePage, TopArtistsPage, UserMark, user_key
from lastfm_crawl.warehouse import database as database_module
from lastfm_crawl.warehouse.database import Database
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.postgres import Ids, PostgresSink

NOW = 1_700_000_000.0
CHART = "limit=1000,period=overall"
FRIENDS = "limit=500"
USERS_COLUMNS = "username, realname, country, url, playcount, registered_at, crawl_seed, crawl_depth, status, "
TABLES = {
    "users": f"SELECT {USERS_COLUMNS} status_detail, discovered_at FROM lastfm_users",
    "friends": "SELECT username, friend FROM lastfm_friends",
    "places": "SELECT u.key, f.key, p.page, e.position FROM current_pages p JOIN friendships e ON e.fetch_id = p.id"
    " JOIN users u ON u.id = p.user_id JOIN users f ON f.id = e.friend_id",
    "artists": "SELECT lastfm_username, artist_name, playcount, rank, imported_at FROM lastfm_user_artists",
    "fetches": "SELECT u.key, f.method, f.params, f.page, f.pages, f.total, f.received, f.stored, f.skipped::text,"
    " f.status, f.fetched_at FROM fetches f JOIN users u ON u.id = f.user_id",
}


class Bench:
    """A warehouse to load into and to look at."""

    def __init__(self, url):
        self.url = url
        migrate(url)
        self.connection = self.connect()
        self.sink = PostgresSink()

    def connect(self):
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute("SET synchronous_commit = off")
        return connection

    def load(self, *items):
        with self.connection.transaction():
            self.sink.load(self.connection, items)
        self.sink.committed()

    def clear(self):
        """Empty, with a sink that knows nothing."""
        self.connection.execute(
            "DELETE FROM user_artists; DELETE FROM friendships; DELETE FROM users; DELETE FROM artists"
        )
        self.sink = PostgresSink()

    def query(self, statement, *parameters):
        return self.connection.execute(statement, parameters).fetchall()

    def state(self):
        """All that readers see, in an order of its own."""
        return {name: sorted(self.query(statement), key=repr) for name, statement in TABLES.items()}

    def friends(self, user="rj"):
        rows = self.query(
            "SELECT f.name FROM current_pages p JOIN friendships e ON e.fetch_id = p.id"
            " JOIN users u ON u.id = p.user_id JOIN users f ON f.id = e.friend_id"
            " WHERE u.key = %s ORDER BY p.page, e.position",
            user,
        )
        return [name for (name,) in rows]

    def chart(self, user="rj"):
        return self.query(
            "SELECT rank, artist_name, playcount FROM lastfm_user_artists WHERE lastfm_username = %s ORDER BY rank, 2",
            user,
        )

    def status(self, user="rj"):
        return self.query("SELECT status, status_detail FROM users WHERE key = %s", user)[0]

    def member(self, user="rj"):
        """(seed, depth, seconds since NOW)."""
        return self.query(
            "SELECT crawl_seed, crawl_depth, (extract(epoch FROM discovered_at) - %s)::int FROM lastfm_users"
            " WHERE lower(username) = %s",
            NOW,
            user,
        )[0]


@pytest.fixture(scope="module")
def warehouse(postgres):
    """One database for all tests here: to make one takes longer than most of them."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE test_postgres_sink")
        bench = Bench(make_conninfo(postgres, dbname="test_postgres_sink"))
        yield bench
        bench.connection.close()
        connection.execute("DROP DATABASE test_postgres_sink WITH (FORCE)")


@pytest.fixture
def bench(warehouse):
    warehouse.clear()
    return warehouse


def friends_page(*names, user="rj", page=1, pages=1, at=0.0, **more):
    profiles = tuple(name if isinstance(name, Profile) else Profile(name) for name in names)
    given = {"received": len(profiles), "total": len(profiles)} | more
    return FriendsPage(
        method="user.getFriends", user=user, params=FRIENDS, page=page, pages=pages, fetched_at=NOW + at,
        friends=profiles, **given,
    )  # fmt: skip


def chart_page(*names, user="rj", page=1, pages=1, at=0.0, first=1, params=CHART, period="overall", **more):
    """A page whose playcounts tell the version (*at*) and the rank."""
    given = {
        "received": len(names),
        "total": len(names),
        "ranks": range(first, first + len(names)),
        "playcounts": [int(at) * 1000 + rank for rank in range(first, first + len(names))],
    } | more
    return TopArtistsPage(
        method="user.getTopArtists", user=user, params=params, page=page, pages=pages, fetched_at=NOW + at,
        period=period, names=list(names), **given,
    )  # fmt: skip


def profile_page(user="rj", at=0.0, **more):
    return ProfilePage(
        method="user.getInfo", user=user, params="", total=1, received=1, fetched_at=NOW + at,
        profile=Profile(user, **more),
    )  # fmt: skip


def mark(status, method="user.getTopArtists", user="rj", at=0.0, detail=None):
    params = {"user.getTopArtists": CHART, "user.getFriends": FRIENDS}.get(method, "")
    return UserMark(
        method=method, user=user, params=params, status=status, detail=detail or f"{status} at {at}",
        fetched_at=NOW + at,
    )  # fmt: skip


def admit(*members):
    """Members as (name, seed, depth, seconds after NOW)."""
    return Admissions(tuple(Member(name, seed, depth, NOW + at) for name, seed, depth, at in members))


def in_every_order(bench, items, *, batched=True):
    """The states after loading *items* in every order, one by one and (when asked) all at once."""
    states = []
    for order in itertools.permutations(items):
        for batches in ([[item] for item in order], [list(order)]) if batched else ([[item] for item in order],):
            bench.clear()
            for batch in batches:
                bench.load(*batch)
            states.append(bench.state())
    return states


def the_only(states):
    for state in states:
        assert state == states[0]
    return states[0]


# --- what a page becomes -----------------------------------------------------------------------------------------


def test_a_friends_page_becomes_edges_profiles_and_its_record(bench):
    friend = Profile("Ann B", "Ann", "Latvia", "https://www.last.fm/user/Ann+B", 12, 1_040_000_000)
    bench.load(
        friends_page(friend, "bob", received=3, skipped={"no name": 1}, total=40, pages=2),
        admit(("RJ", "RJ", 0, 0), ("Ann B", "RJ", 1, 0)),
    )
    state = bench.state()
    assert state["friends"] == [("rj", "Ann B"), ("rj", "bob")]
    assert [row[:5] for row in state["users"]] == [
        ("Ann B", "Ann", "Latvia", "https://www.last.fm/user/Ann+B", 12),
        ("rj", None, None, None, None),
    ]
    assert state["users"][0][5].timestamp() == 1_040_000_000
    assert [row[:10] for row in state["fetches"]] == [
        ("rj", "user.getFriends", FRIENDS, 1, 2, 40, 3, 2, '{"no name": 1}', "ok")
    ]
    assert state["fetches"][0][10].timestamp() == NOW


def test_a_chart_page_becomes_rows_with_the_time_of_the_answer(bench):
    bench.load(chart_page("Cher", "ABBA", at=5))
    rows = bench.query("SELECT * FROM lastfm_user_artists ORDER BY rank")
    assert [row[:7] for row in rows] == [
        ("rj", "Cher", 5001, 1, None, None, None),
        ("rj", "ABBA", 5002, 2, None, None, None),
    ]
    assert {row[7].timestamp() for row in rows} == {NOW + 5}


def test_other_periods_are_lists_of_their_own(bench):
    bench.load(chart_page("Cher", "ABBA"))
    bench.load(chart_page("Blur", params="limit=1000,period=7day", period="7day", at=1))
    assert bench.chart() == [(1, "Cher", 1), (2, "ABBA", 2)]
    assert bench.query(
        "SELECT period, count(*) FROM current_charts c JOIN user_artists ON fetch_id = c.id GROUP BY 1"
    ) == [
        ("7day", 1),
        ("overall", 2),
    ]


def test_who_is_only_a_friend_is_no_member(bench):
    bench.load(friends_page("ann"), admit(("rj", "rj", 0, 0)))
    assert [row[0] for row in bench.state()["users"]] == ["rj"]
    assert bench.state()["friends"] == [("rj", "ann")]


def test_nothing_at_all(bench):
    bench.load()
    bench.load(Admissions(()))
    assert not any(bench.state().values())


def test_empty_lists_are_answers(bench):
    bench.load(friends_page(pages=0), chart_page(pages=0))
    state = bench.state()
    assert (state["friends"], state["artists"]) == ([], [])
    assert [(row[1], row[6], row[9]) for row in state["fetches"]] == [
        ("user.getFriends", 0, "ok"),
        ("user.getTopArtists", 0, "ok"),
    ]


def test_an_emptied_list_loses_all_rows(bench):
    bench.load(friends_page("ann"), chart_page("Cher"))
    bench.load(friends_page(pages=0, at=1), chart_page(pages=0, at=1))
    assert (bench.friends(), bench.chart()) == ([], [])


def test_a_page_of_a_thousand_rows(bench):
    artists = [f"artist {n}" for n in range(1000)]
    bench.load(chart_page(*artists), friends_page(*[f"friend{n}" for n in range(1000)]))
    assert [name for _, name, _ in bench.chart()] == artists
    assert bench.friends() == [f"friend{n}" for n in range(1000)]
    bench.load(chart_page(*reversed(artists), at=1))
    assert [name for _, name, _ in bench.chart()] == artists[::-1]


NAMES = [
    "Beyoncé", "BEYONCÉ", "beyoncé", "Beyonce\u0301", "MGMT", "Mgmt", "椎名林檎", "🦄 & 🐴", "Слот",
    "tab\there", "line\nbreak", "return\rhere", "back\\slash", "\\N", "\\.", "{brace}", "{1,2}", "},{", '"quoted"',
    "it's", "100%", "%s", "a,b", " leading", "trailing ", "NULL", "null", "$1", "\u200bzero", "\x7f\x01", "x" * 2000,
]  # fmt: skip


def test_artists_are_unique_byte_for_byte(bench):
    bench.load(chart_page(*NAMES))
    assert [name for _, name, _ in bench.chart()] == NAMES
    bench.sink = PostgresSink()  # which knows no ids, and must find them all
    bench.load(chart_page(*reversed(NAMES), at=1))
    assert [name for _, name, _ in bench.chart()] == NAMES[::-1]
    assert bench.query("SELECT count(*) FROM artists") == [(len(NAMES),)]


def test_users_keep_their_spelling_and_are_unique_by_key(bench):
    names = list({user_key(name): name for name in NAMES}.values())
    bench.load(friends_page(*names))
    bench.sink = PostgresSink()
    bench.load(friends_page(*[name.upper() if name.isascii() else name for name in names], at=-1, user="other"))
    assert bench.friends() == names
    assert len(bench.friends("other")) == len(names)
    assert bench.query("SELECT count(*) FROM users") == [(len(names) + 2,)]


def test_every_text_of_a_profile_and_a_mark_survives(bench):
    text = "\\N\t{\"a\"}\n'ü' \\"
    bench.load(
        profile_page("we ird\\", realname=text, country=text, url=text, playcount=2**40),
        mark("error", user="we ird\\", detail=text),
        admit(("we ird\\", None, None, 0)),
    )
    row = bench.state()["users"][0]
    assert (row[0], row[1:5], row[8:10]) == ("we ird\\", (text, text, text, 2**40), ("error", text))


# --- again, and in any order -------------------------------------------------------------------------------------


def whole_batch():
    return [
        profile_page("RJ", realname="Richard", playcount=10),
        friends_page("ann", "Bob", Profile("cy", "Cy", playcount=3), pages=2),
        friends_page("dan", page=2, pages=2, received=2, skipped={"no name": 1}),
        chart_page("Cher", "ABBA", user="ann", received=4, skipped={"repeated": 2}),
        mark("not_found", "user.getFriends", "Bob"),
        mark("private", user="cy"),
        admit(("RJ", "RJ", 0, 0), ("ann", "RJ", 1, 0), ("Bob", "RJ", 1, 0), ("cy", "RJ", 1, 0)),
    ]


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("forgetful", [False, True])
def test_the_same_batch_again_changes_nothing(bench, times, forgetful):
    bench.load(*whole_batch())
    once = bench.state()
    assert all(once.values())
    for _ in range(times - 1):
        if forgetful:
            bench.sink = PostgresSink()
        bench.load(*whole_batch())
        assert bench.state() == once


def test_received_is_stored_and_skipped(bench):
    bench.load(*whole_batch())
    rows = bench.query(
        "SELECT received, stored, (SELECT sum(v::int) FROM jsonb_each_text(skipped) AS s(k, v)) FROM fetches"
    )
    assert len(rows) == 6
    assert all(received == stored + (skipped or 0) for received, stored, skipped in rows)
    assert bench.query(
        "SELECT f.stored, (SELECT count(*) FROM user_artists a WHERE a.fetch_id = f.id) FROM fetches f"
        " WHERE method = 'user.getTopArtists' AND status = 'ok'"
    ) == [(2, 2)]
    assert bench.query(
        "SELECT sum(f.stored), (SELECT count(*) FROM friendships) FROM fetches f WHERE method = 'user.getFriends'"
    ) == [(4, 4)]


def test_a_newer_answer_replaces_an_older_one_and_never_the_other_way(bench):
    old = [friends_page("ann", "bob"), chart_page("Cher", "ABBA"), profile_page(realname="Old", playcount=9)]
    new = [
        friends_page("bob", "cy", at=1),
        chart_page("ABBA", "Blur", at=1),
        profile_page(realname="New", playcount=1, at=1),
    ]
    bench.load(*new, admit(("rj", "rj", 0, 0)))
    expected = bench.state()
    assert bench.friends() == ["bob", "cy"]
    assert bench.chart() == [(1, "ABBA", 1001), (2, "Blur", 1002)]
    assert expected["users"][0][1] == "New"
    bench.load(*old)
    assert bench.state() == expected
    bench.clear()
    bench.load(*old, admit(("rj", "rj", 0, 0)))
    assert bench.state() != expected
    bench.load(*new)
    assert bench.state() == expected


def test_the_newest_of_a_batch_wins(bench):
    newest = chart_page("Blur", at=2)
    bench.load(chart_page("Cher", at=1), newest, chart_page("ABBA", at=0))
    assert bench.chart() == [(1, "Blur", 2001)]
    assert bench.query("SELECT extract(epoch FROM fetched_at) FROM fetches") == [(NOW + 2,)]


def test_a_profile_in_a_friends_list_is_kept_when_newer(bench):
    old = friends_page(Profile("ann", "Old", playcount=5), at=0)
    new = friends_page(Profile("ANN", "New", playcount=7), user="bob", at=1)
    for state in in_every_order(bench, [old, new, admit(("ann", None, None, 0))]):
        assert [row[:5] for row in state["users"]] == [("ANN", "New", None, None, 7)]


def test_a_shorter_friends_list_loses_its_old_pages(bench):
    bench.load(friends_page("a", "b", pages=3), friends_page("c", page=2, pages=3), friends_page("d", page=3, pages=3))
    assert bench.friends() == ["a", "b", "c", "d"]
    bench.load(friends_page("b", pages=2, at=1))
    assert bench.friends() == ["b", "c"]
    assert bench.query("SELECT page FROM current_pages ORDER BY 1") == [(1,), (2,)]


def test_a_shorter_chart_loses_its_old_ranks(bench):
    bench.load(chart_page("a", "b", pages=2), chart_page("c", "d", page=2, pages=2, first=3))
    bench.load(chart_page("d", at=1))
    assert bench.chart() == [(1, "d", 1001)]
    assert bench.query("SELECT page FROM current_pages") == [(1,)]


def test_the_last_page_of_a_shorter_chart(bench):
    bench.load(chart_page("a", "b", pages=2), chart_page("c", "d", page=2, pages=2, first=3))
    bench.load(chart_page("d", page=2, pages=2, first=3, at=1))
    assert bench.chart() == [(1, "a", 1), (2, "b", 2), (3, "d", 1003)]


def test_an_artist_that_moved_to_another_page(bench):
    bench.load(chart_page("a", "b", pages=2), chart_page("c", "d", page=2, pages=2, first=3))
    bench.load(chart_page("a", "c", pages=2, at=1), chart_page("b", "d", page=2, pages=2, first=3, at=1))
    assert [name for _, name, _ in bench.chart()] == ["a", "c", "b", "d"]
    bench.load(chart_page("d", "b", pages=2, at=2))  # b and d came up, the second page is not asked again yet
    assert [name for _, name, _ in bench.chart()] == ["d", "b"]


def test_a_friend_on_two_pages_is_one_edge_at_its_first_place(bench):
    pages = [friends_page("ann", "bob", pages=2), friends_page("cy", "ann", page=2, pages=2)]
    state = the_only(in_every_order(bench, pages))
    assert state["places"] == [("rj", "ann", 1, 0), ("rj", "ann", 2, 1), ("rj", "bob", 1, 1), ("rj", "cy", 2, 0)]
    assert state["friends"] == [("rj", "ann"), ("rj", "bob"), ("rj", "cy")]


def pages_of_a_steady_world():
    """Lists whose number of pages does not change, each row on one page, some of them asked again and again."""
    items = []
    for user in ("rj", "Ann", "bob"):
        others = [name for name in ("rj", "ann", "bob") if name != user_key(user)]
        for at in (0, 10, 20):
            version = [Profile(other, realname=f"{at}", playcount=at) for other in others]
            items.append(friends_page(*version, f"{user}{at}", user=user, pages=2, at=at))
            items.append(chart_page(*[f"{n * (at + 1) % 7}" for n in range(1, 7)], user=user, pages=2, at=at + 1))
        items.append(friends_page("zoe", "zed", user=user, page=2, pages=2, at=5))
        items.append(chart_page("x", "y", user=user, page=2, pages=2, first=7, at=5))
        items.append(profile_page(user, at=7, realname=user, playcount=3))
    items += [mark("not_found", "user.getInfo", "gone", at=3), mark("private", user="hid", at=3)]
    items += [friends_page("rj", user="hid", at=4), mark("error", user="bob", at=2)]
    items.append(admit(*[(name, "rj", 1, 0) for name in ("ann", "bob", "gone", "hid")], ("rj", "rj", 0, 0)))
    return items


def batches_of(items, chance):
    """*items* cut into batches at random."""
    batches = [[]]
    for item in items:
        if batches[-1] and chance.random() < 0.3:
            batches.append([])
        batches[-1].append(item)
    return batches


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_any_batching_give_the_same_rows(bench, seed):
    items = pages_of_a_steady_world()
    for item in items:
        bench.load(item)
    expected = bench.state()
    assert all(len(rows) > 4 for rows in expected.values())
    chance = random.Random(seed)
    for _ in range(4):
        bench.clear()
        bench.load(admit(("rj", "rj", 0, 0)))  # its spelling is that of whom names it first
        shuffled = chance.sample(items, len(items))
        shuffled += chance.sample(items, 5)  # some come twice
        for batch in batches_of(shuffled, chance):
            bench.load(*batch)
        assert bench.state() == expected


NAMES_OF_A_RESTLESS_WORLD = st.lists(st.sampled_from("abcdef"), max_size=4, unique=True)


@st.composite
def restless_lists(draw, make):
    """A list of one user that grows, shrinks and moves its rows between the pages, while it is asked page by page."""
    pages = []
    for at in range(draw(st.integers(2, 5))):
        count = draw(st.integers(1, 3))
        page = draw(st.integers(1, count))
        names = draw(NAMES_OF_A_RESTLESS_WORLD)
        more = {"first": 4 * page - 3} if make is chart_page else {}
        pages.append(make(*names, page=page, pages=count, at=at, **more))
    return pages


RESTLESS = settings(
    max_examples=150, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@RESTLESS
@given(pages=restless_lists(friends_page), chance=st.randoms(use_true_random=False))
def check_restless_friends(bench, pages, chance):
    assert_same_in_another_order(bench, pages, chance)


@RESTLESS
@given(pages=restless_lists(chart_page), chance=st.randoms(use_true_random=False))
def check_restless_charts(bench, pages, chance):
    assert_same_in_another_order(bench, pages, chance)


def assert_same_in_another_order(bench, pages, chance):
    bench.clear()
    for page in pages:
        bench.load(page)
    expected = bench.state()
    bench.clear()
    for batch in batches_of(chance.sample(pages, len(pages)), chance):
        bench.load(*batch)
    assert bench.state() == expected


def test_friends_lists_that_change_while_they_are_asked(bench):
    check_restless_friends(bench)


def test_charts_that_change_while_they_are_asked(bench):
    check_restless_charts(bench)


# The smallest examples of the two above.


def test_an_empty_page_behind_the_end_leaves_the_ranks_before_it(bench):
    bench.load(chart_page("a", "b"))
    bench.load(chart_page(page=2, pages=1, at=1))
    assert [name for _, name, _ in bench.chart()] == ["a", "b"]


def test_a_page_whose_rows_were_all_skipped_leaves_the_ranks_before_it(bench):
    bench.load(chart_page("a", "b", pages=2))
    bench.load(chart_page(page=2, pages=2, received=1, skipped={"no name": 1}))
    assert [name for _, name, _ in bench.chart()] == ["a", "b"]


def test_a_rank_that_was_skipped_leaves_nothing_of_the_older_answer(bench):
    pages = [
        chart_page("a", "b", "c", pages=2),
        chart_page("b", pages=2, at=1, first=2, received=3, skipped={"no name": 2}),
    ]
    state = the_only(in_every_order(bench, pages))
    assert [row[1] for row in state["artists"]] == ["b"]


def test_an_artist_on_two_pages_stands_where_the_first_one_says(bench):
    pages = [chart_page("a", "b", pages=2), chart_page("b", page=2, pages=2, first=3, at=1)]
    state = the_only(in_every_order(bench, pages))
    assert [(row[1], row[3]) for row in state["artists"]] == [("a", 1), ("b", 2)]


def test_an_older_last_page_costs_nothing_of_a_list_that_grew(bench):
    pages = [chart_page("a", page=1, pages=1), chart_page("b", page=2, pages=2, first=2, at=1)]
    state = the_only(in_every_order(bench, pages))
    assert [row[1] for row in state["artists"]] == ["a", "b"]


def test_an_older_page_costs_nothing_of_a_friends_list_that_grew(bench):
    pages = [friends_page("a", page=1, pages=1), friends_page("b", page=2, pages=2, at=1)]
    state = the_only(in_every_order(bench, pages))
    assert state["friends"] == [("rj", "a"), ("rj", "b")]


def test_a_lost_page_that_comes_late_stays_lost(bench):
    pages = [friends_page("a", page=2, pages=2), friends_page("b", at=1)]
    state = the_only(in_every_order(bench, pages))
    assert state["friends"] == [("rj", "b")]


def test_a_lost_chart_page_that_comes_late_stays_lost(bench):
    pages = [chart_page("a", page=2, pages=2, first=2), chart_page("b", at=1)]
    state = the_only(in_every_order(bench, pages))
    assert [row[1] for row in state["artists"]] == ["b"]


def test_a_friend_on_two_pages_of_which_one_loses_it(bench):
    pages = [
        friends_page("ann", pages=2),
        friends_page("ann", page=2, pages=2),
        friends_page("bob", pages=2, at=1),
    ]
    state = the_only(in_every_order(bench, pages))
    assert state["places"] == [("rj", "ann", 2, 0), ("rj", "bob", 1, 0)]


def test_a_profile_of_an_older_answer_survives_a_newer_one_without_it(bench):
    pages = [
        friends_page(Profile("ann", "Ann", playcount=5)),
        friends_page(at=1),
        admit(("ann", None, None, 0)),
    ]
    state = the_only(in_every_order(bench, pages))
    assert [row[:5] for row in state["users"]] == [("ann", "Ann", None, None, 5)]


def test_of_lists_with_several_limits_the_longest_counts(bench):
    pages = [chart_page("a", "b"), chart_page("b", params="limit=1,period=overall", pages=2, at=1)]
    state = the_only(in_every_order(bench, pages))
    assert [(row[1], row[3]) for row in state["artists"]] == [("a", 1), ("b", 2)]


def test_a_list_that_was_hidden_later_has_the_same_rows_in_any_order(bench):
    the_only(in_every_order(bench, [chart_page("a"), mark("private", at=1)]))


# --- marks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["not_found", "private", "error"])
def test_a_mark_is_on_the_user_and_in_the_record(bench, status):
    bench.load(mark(status, detail="why"), admit(("rj", None, None, 0)))
    state = bench.state()
    assert state["users"][0][8:10] == (status, "why")
    assert [(row[5:8], row[9]) for row in state["fetches"]] == [((0, 0, 0), status)]
    assert (state["friends"], state["artists"]) == ([], [])


@pytest.mark.parametrize(
    ("status", "answer", "cleared"),
    [
        ("not_found", chart_page("a", at=1), True),
        ("not_found", friends_page("a", at=1), True),
        ("not_found", profile_page(at=1), True),
        ("private", chart_page("a", at=1), True),
        ("private", friends_page("a", at=1), False),
        ("private", profile_page(at=1), False),
        ("error", chart_page("a", at=1), True),
        ("error", friends_page("a", at=1), False),
        ("not_found", friends_page("a", at=-1), False),
        ("private", chart_page("a", params="limit=5,period=overall", at=1), True),
        ("private", chart_page("a", params="limit=5,period=overall", at=-1), False),
    ],
)
def test_what_clears_a_mark_in_any_order(bench, status, answer, cleared):
    members = admit(("rj", None, None, 0))
    state = the_only(in_every_order(bench, [mark(status), answer, members]))
    expected = ("ok", None) if cleared else (status, f"{status} at 0.0")
    assert state["users"][0][8:10] == expected


def test_the_newer_mark_wins_in_any_order(bench):
    marks = [mark("private"), mark("error", at=1), admit(("rj", None, None, 0))]
    state = the_only(in_every_order(bench, marks))
    assert state["users"][0][8:10] == ("error", "error at 1")


def test_the_newer_mark_of_another_method_wins_one_by_one(bench):
    marks = [mark("private", "user.getFriends"), mark("not_found", at=1), admit(("rj", None, None, 0))]
    state = the_only(in_every_order(bench, marks, batched=False))
    assert state["users"][0][8] == "not_found"


def test_marks_of_two_methods_in_one_batch(bench):
    marks = [mark("private", "user.getFriends"), mark("not_found", at=1)]
    for order in itertools.permutations(marks):
        bench.clear()
        bench.load(*order)
        assert bench.status() == ("not_found", "not_found at 1")


def test_a_mark_that_stands_beside_one_that_was_cleared(bench):
    items = [
        mark("private", "user.getFriends", at=0),
        mark("private", "user.getTopArtists", at=1),
        chart_page("a", params="limit=5,period=overall", at=2),
        admit(("rj", None, None, 0)),
    ]
    the_only(in_every_order(bench, items))


def test_a_mark_between_another_one_and_what_cleared_that(bench):
    items = [
        mark("not_found", "user.getInfo", at=0),
        mark("private", at=1),
        friends_page("a", at=2),
        admit(("rj", None, None, 0)),
    ]
    state = the_only(in_every_order(bench, items))
    assert state["users"][0][8] == "private"


# --- admissions --------------------------------------------------------------------------------------------------


def test_a_named_user_has_no_seed_and_no_depth(bench):
    bench.load(admit(("rj", None, None, 3)))
    assert bench.member() == (None, None, 3)


def test_a_named_user_who_is_reached_later(bench):
    items = [admit(("rj", None, None, 0)), admit(("RJ", "ann", 2, 5))]
    for order in itertools.permutations(items):
        bench.clear()
        for item in order:
            bench.load(item)
        assert bench.member() == ("ann", 2, 0)


def test_the_smaller_depth_wins(bench):
    items = [admit(("rj", "ann", 3, 0)), admit(("rj", "bob", 1, 4)), admit(("rj", "cy", 2, 8))]
    for order in itertools.permutations(items):
        bench.clear()
        bench.load(admit(("ann", "ann", 0, 0), ("bob", "bob", 0, 0), ("cy", "cy", 0, 0)))
        for item in order:
            bench.load(item)
        assert bench.member() == ("bob", 1, 0)


def test_a_later_admission_from_an_earlier_seed_wins_at_equal_depth(bench):
    bench.load(admit(("ann", "ann", 0, 0), ("bob", "bob", 0, 0)))
    bench.load(admit(("rj", "bob", 1, 0)))
    bench.load(admit(("rj", "ann", 1, 4)))
    assert bench.member() == ("ann", 1, 0)


def test_an_admission_from_a_later_seed_changes_nothing_at_equal_depth(bench):
    bench.load(admit(("ann", "ann", 0, 0), ("bob", "bob", 0, 0)))
    bench.load(admit(("rj", "ann", 1, 0)))
    bench.load(admit(("rj", "bob", 1, 4)))
    assert bench.member() == ("ann", 1, 0)


def test_seeds_are_numbered_in_the_order_of_their_naming(bench):
    bench.load(admit(("zed", "zed", 0, 0), ("ann", "ann", 0, 0)))
    bench.load(admit(("bob", "bob", 0, 1), ("zed", "zed", 0, 1), ("x", "zed", 1, 1)))
    assert bench.query("SELECT key, seed_no FROM users WHERE seed_no IS NOT NULL ORDER BY seed_no") == [
        ("zed", 0),
        ("ann", 1),
        ("bob", 2),
    ]


def test_a_batch_that_names_and_reaches_a_user(bench):
    named, reached = admit(("rj", None, None, 0)), admit(("rj", "ann", 2, 5))
    for order in itertools.permutations([named, reached]):
        bench.clear()
        bench.load(*order)
        assert bench.member() == ("ann", 2, 0)


def test_a_batch_that_reaches_a_user_on_two_ways(bench):
    bench.load(admit(("rj", "ann", 3, 0)), admit(("rj", "bob", 1, 4)))
    assert bench.member() == ("bob", 1, 0)


# --- transactions ------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    pass


@pytest.mark.parametrize("step", ["_load_fetches", "_load_user_artists", "_load_friendships", "_load_members"])
def test_what_was_rolled_back_is_loaded_by_the_next_attempt(bench, monkeypatch, step):
    def refuse(*_):
        raise RefusedError

    bench.load(chart_page("Cher", user="before"))
    with monkeypatch.context() as patch:
        patch.setattr(PostgresSink, step, refuse)
        with pytest.raises(RefusedError):
            bench.load(*whole_batch())
    assert bench.query("SELECT key FROM users") == [("before",)]
    bench.load(*whole_batch())
    loaded = bench.state()
    bench.clear()
    bench.load(chart_page("Cher", user="before"))
    bench.load(*whole_batch())
    assert bench.state() == loaded


def test_ids_of_a_transaction_that_failed_at_its_end_are_forgotten(bench):
    with bench.connection.transaction():
        bench.sink.load(bench.connection, whole_batch())
        raise psycopg.Rollback
    bench.load(friends_page("other", user="first"))  # finds other ids than those of before
    bench.load(*whole_batch())
    assert bench.friends() == ["ann", "Bob", "cy", "dan"]
    assert bench.friends("first") == ["other"]
    assert bench.chart("ann") == [(1, "Cher", 1), (2, "ABBA", 2)]


def test_a_refused_page_leaves_the_connection_usable(bench):
    with pytest.raises(psycopg.DataError):
        bench.load(chart_page("bad\0name"))
    with pytest.raises(psycopg.DataError):
        bench.load(friends_page(Profile("ann", playcount=2**70)))
    assert not any(bench.state().values())
    bench.load(chart_page("good"))
    assert bench.chart() == [(1, "good", 1)]


def test_ids_are_bounded_and_found_again():
    ids = Ids(limit=4)
    for number in range(20):
        ids.begin()
        assert ids.missing([f"{number}"]) == [f"{number}"]
        ids.add([(f"{number}", number)])
        assert ids.of([f"{number}"]) == [number]
        ids.commit()
        assert sum(ids.missing([f"{n}"]) == [] for n in range(20)) <= 4
    assert ids["19"] == 19


def test_a_sink_with_a_small_memory_loads_the_same(bench):
    items = pages_of_a_steady_world()
    for item in items:
        bench.load(item)
    expected = bench.state()
    bench.clear()
    bench.sink._users, bench.sink._artists = Ids(2), Ids(2)
    for item in items:
        bench.load(item)
    assert bench.state() == expected


# --- several loaders ---------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(database_module, "RECONNECT_DELAYS", (0.05, 0.05, 0.1, 0.2, 0.4))


def overlapping_pages(chance):
    """Pages whose users and artists overlap, each a question of its own, rows in any order."""
    people, artists = [f"user{n}" for n in range(60)], [f"artist {n}" for n in range(150)]
    pages = []
    for number in range(40):
        friends = [Profile(name, playcount=number) for name in chance.sample(people, 40)]
        pages.append(friends_page(*friends, user=f"user{number}", at=number))
        pages.append(chart_page(*chance.sample(artists, 80), user=f"user{number}", at=number))
    return pages


def test_two_loaders_of_overlapping_pages_lose_nothing(bench, quick):
    pages = overlapping_pages(random.Random(1))
    for page in pages:
        bench.load(page)
    expected = bench.state()
    bench.clear()
    barrier = threading.Barrier(2)

    def load_all(seed):
        database, sink, chance = Database(bench.url, Path()), PostgresSink(), random.Random(seed)
        shuffled = chance.sample(pages, len(pages))  # each loads all of them, in an order of its own
        barrier.wait()
        for start in range(0, len(shuffled), 4):
            database.run(sink.load, shuffled[start : start + 4])
            sink.committed()
        database.close()

    with ThreadPoolExecutor(2) as threads:
        for result in [threads.submit(load_all, seed) for seed in (2, 3)]:
            result.result(timeout=60)
    assert bench.state() == expected


def test_a_deadlock_is_no_loss(bench, quick):
    """Two loaders that hold what the other one needs: PostgreSQL ends one of them, which begins anew."""
    bench.load(friends_page(Profile("ann", "0"), Profile("bob", "0")))
    bench.connection.execute("ALTER SYSTEM SET deadlock_timeout = '100ms'")
    bench.query("SELECT pg_reload_conf()")
    barrier, tries = threading.Barrier(2, timeout=5), []

    def load_twice(connection, sink, first, second):
        tries.append(first)
        sink.load(connection, [first])
        if len(tries) <= 2:
            barrier.wait()
        connection.execute("DROP TABLE pg_temp.stage_users, pg_temp.stage_fetches, pg_temp.stage_friendships")
        PostgresSink().load(connection, [second])

    def run(user, *names):
        database = Database(bench.url, Path())
        pages = [friends_page(Profile(name, user), user=f"{user}{name}", at=1) for name in names]
        database.run(load_twice, PostgresSink(), *pages)
        database.close()

    try:
        with ThreadPoolExecutor(2) as threads:
            for result in [threads.submit(run, "x", "ann", "bob"), threads.submit(run, "y", "bob", "ann")]:
                result.result(timeout=30)
    finally:
        bench.connection.execute("ALTER SYSTEM RESET deadlock_timeout")
        bench.query("SELECT pg_reload_conf()")
    assert len(tries) == 3
    assert sorted(bench.state()["friends"]) == [
        ("rj", "ann"), ("rj", "bob"), ("xann", "ann"), ("xbob", "bob"), ("yann", "ann"), ("ybob", "bob"),
    ]  # fmt: skip


def load_while_another_is_at_it(bench, first, second):
    """Load *second* on another connection while *first* is loaded and not committed yet."""
    database = Database(bench.url, Path())
    sink = PostgresSink()

    def load():
        database.run(sink.load, [second])

    try:
        with ThreadPoolExecutor(1) as thread:
            with bench.connection.transaction():
                bench.sink.load(bench.connection, [first])
                other = thread.submit(load)
                with pytest.raises(TimeoutError):
                    other.result(timeout=0.4)  # it waits for us
            bench.sink.committed()
            other.result(timeout=20)
    finally:
        database.close()


def test_the_same_new_page_by_two_loaders_at_once(bench, quick):
    load_while_another_is_at_it(bench, chart_page("a", "b"), chart_page("a", "b"))
    assert bench.chart() == [(1, "a", 1), (2, "b", 2)]


def test_the_newer_answer_wins_between_two_loaders(bench, quick):
    bench.load(chart_page("z", at=-1))
    load_while_another_is_at_it(bench, chart_page("new", at=1), chart_page("old"))
    assert bench.chart() == [(1, "new", 1001)]


def test_a_mark_and_a_newer_answer_by_two_loaders_at_once(bench, quick):
    bench.load(friends_page("rj", user="who knows rj"))
    other, sink = Database(bench.url, Path()), PostgresSink()
    with ThreadPoolExecutor(1) as thread:
        with bench.connection.transaction():
            bench.sink.load(bench.connection, [chart_page("a", at=2)])
            loading = thread.submit(other.run, sink.load, [mark("not_found", "user.getInfo", at=1)])
            with contextlib.suppress(TimeoutError):
                loading.result(timeout=0.4)
        bench.sink.committed()
        loading.result(timeout=20)
    other.close()
    assert bench.status() == ("ok", None)


def test_two_loaders_name_a_seed_each_at_once(bench, quick):
    bench.load(friends_page("ann", "bob"))
    load_while_another_is_at_it(bench, admit(("ann", "ann", 0, 0)), admit(("bob", "bob", 0, 0)))
    assert bench.query("SELECT key, seed_no FROM users WHERE seed_no IS NOT NULL ORDER BY 2") == [
        ("ann", 0),
        ("bob", 1),
    ]
