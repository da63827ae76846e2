"""The walks of earlier runs, made again over stored answers."""

from __future__ import annotations

import pytest

from lastfm_crawl.items import Profile, ProfilePage, TopArtistsPage, UserMark
from lastfm_crawl.spiders.retrace import Marks, Retrace, Run, Strangers
from lastfm_crawl.spiders.stored import Outline

DAY = 86_400


def run(number, started, *, seeds=None, max_users=10_000, max_depth=None, max_age=None, named=(), **fields):
    args = {"seeds": seeds, "max_users": max_users, "max_depth": max_depth} if seeds else {"users": list(named)}
    values = {"finished": started + 50, "complete": True, "members_before": 0, "members_after": None} | fields
    spider = "friends" if seeds else "top_artists"
    return Run(f"run{number}", spider, {**args, "max_age": max_age}, started, named=named, **values)


def friends(user, at, names, *, page=1, pages=1):
    return Outline(f"{user}/{page}/{at}", user, page, pages, names, "ok", at)


def gone(user, at):
    return Outline(f"{user}/1/{at}", user, 1, 1, None, "not_found", at)


def profile(user, at):
    return ProfilePage(method="user.getInfo", user=user, params="", profile=Profile(user), fetched_at=at)


def retraced(runs, lists, profiles, strangers=(), marks=None):
    retrace = Retrace(runs, lists, profiles, strangers, marks or Marks(r.started for r in runs))
    found = {}
    for admissions in retrace.admissions():
        for member in admissions.members:
            found[member.name] = (member.seed, member.depth, member.discovered_at)
    return found, retrace.taken


LISTS = [friends("a", 101, ["b", "c"]), friends("b", 102, ["d"]), friends("c", 103, ["e", "f"])]


def test_members_in_breadth_first_order_at_the_time_of_the_answer():
    found, taken = retraced([run(1, 100, seeds=["a"])], LISTS[::-1], [profile("a", 100)])
    assert found == {
        "a": ("a", 0, 100), "b": ("a", 1, 101), "c": ("a", 1, 101), "d": ("a", 2, 102), "e": ("a", 2, 103),
        "f": ("a", 2, 103),
    }  # fmt: skip
    assert taken == {page.key for page in LISTS}


@pytest.mark.parametrize(("cap", "members", "lists"), [(1, "a", 0), (2, "ab", 1), (4, "abcd", 2), (5, "abcde", 3)])
def test_the_cut_leaves_out_what_came_after_it(cap, members, lists):
    found, taken = retraced([run(1, 100, seeds=["a"], max_users=cap)], LISTS, [profile("a", 100)])
    assert "".join(found) == members
    assert taken == {page.key for page in LISTS[:lists]}


def test_an_interrupted_run_ends_where_it_did():
    runs = [run(1, 100, seeds=["a"], complete=False, members_after=3)]
    found, taken = retraced(runs, LISTS, [profile("a", 100)])
    assert set(found) == {"a", "b", "c"}
    assert taken == {LISTS[0].key}


def test_of_a_killed_run_the_next_one_tells_how_far_it_was():
    runs = [
        run(1, 100, seeds=["a"], complete=False, finished=None),
        run(2, 101.5, named=["x"], members_before=1),  # began while the first one went on
        run(3, 200, named=["y"], members_before=4),
    ]
    assert set(retraced(runs, LISTS, [profile("a", 100)])[0]) == {"a", "b", "c", "d"}


def test_a_lost_answer_holds_up_a_run_that_was_interrupted_only():
    lists = [LISTS[0], LISTS[2]]
    assert set(retraced([run(1, 100, seeds=["a"])], lists, [profile("a", 100)])[0]) == set("abcef")
    interrupted = [run(1, 100, seeds=["a"], complete=False)]
    assert set(retraced(interrupted, lists, [profile("a", 100)])[0]) == set("abc")


def test_each_run_sees_the_answers_that_it_had():
    lists = [friends("a", 101, ["b"]), friends("a", 201, ["c"]), friends("b", 102, []), friends("c", 202, [])]
    runs = [run(1, 100, seeds=["a"]), run(2, 200, seeds=["a"], max_age=0)]
    found, taken = retraced(runs, lists, [profile("a", 100), profile("a", 200)])
    assert found["b"] == ("a", 1, 101)
    assert found["c"] == ("a", 1, 201)
    assert taken == {"a/1/101", "a/1/201", "b/1/102", "c/1/202"}


def test_a_later_seed_shortens_ways():
    runs = [run(1, 100, seeds=["a"]), run(2, 200, seeds=["d"])]
    lists = [*LISTS, friends("d", 104, ["e"]), friends("e", 105, []), friends("f", 106, [])]
    found, _ = retraced(runs, lists, [profile("a", 100), profile("d", 200)])
    assert found["d"][:2] == ("d", 0)
    assert found["e"][:2] == ("d", 1)


def test_strangers_take_places():
    names = Strangers([run(1, 50, named=["X"])])
    page = TopArtistsPage(method="user.getTopArtists", user="x", params="", period="overall", fetched_at=60)
    assert names.admitted(page).members == (("X", None, None, 60),)
    found, _ = retraced([run(2, 100, seeds=["a"], max_users=3)], LISTS, [profile("a", 100)], names.found)
    assert set(found) == {"a", "b"}


@pytest.mark.parametrize(("at", "page"), [(49, 1), (101, 1), (60, 2)])
def test_no_stranger_outside_the_run_that_named_him(at, page):
    names = Strangers([run(1, 50, named=["X"])])
    mark = UserMark(method="m", user="x", params="", status="private", detail="", page=page, fetched_at=at)
    assert names.admitted(mark) is None


def test_a_user_who_is_gone_is_not_walked():
    lists = [LISTS[0], gone("b", 102), LISTS[2]]
    found, taken = retraced([run(1, 100, seeds=["a"])], lists, [profile("a", 100)])
    assert set(found) == set("abcef")
    assert "b/1/102" in taken


@pytest.mark.parametrize(("max_age", "members"), [(None, "abcef"), (60, "abcef"), (40, "abcdef")])
def test_a_run_believes_no_mark_that_is_older_than_its_max_age(max_age, members):
    marks = Marks([100])
    marks.note("b", "user.getTopArtists", "", "not_found", 50)
    found, _ = retraced([run(1, 100, seeds=["a"], max_age=max_age)], LISTS, [profile("a", 100)], marks=marks)
    assert set(found) == set(members)


class TestMarks:
    def test_gone_until_something_newer_says_otherwise(self):
        marks = Marks([100, 200, 300])
        marks.note("U", "m", "", "not_found", 90)
        assert marks.unavailable(100, 0) == {"u"}
        assert marks.unavailable(90, 0) == set()  # not yet
        assert marks.unavailable(100, 95) == set()  # expired
        marks.note("u", "other", "", None, 150)
        assert marks.unavailable(100, 0) == {"u"}
        assert marks.unavailable(200, 0) == set()

    def test_private_is_contradicted_by_the_same_method_alone(self):
        marks = Marks([300])
        marks.note("u", "m", "", "not_found", 90)
        marks.note("u", "n", "", "private", 95)
        assert marks.unavailable(300, 0) == set()  # the newest says private
        marks.note("u", "n", "", None, 96)
        assert marks.unavailable(300, 0) == set()  # which was good later: so the user is there
