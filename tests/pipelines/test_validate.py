"""One row that no database can hold never costs the page that it is on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import MAX_NAME, Admissions, FriendsPage, Profile, ProfilePage, TopArtistsPage, name_fault
from lastfm_crawl.pipelines.validate import ValidatePipeline

LIST = {"method": "user.getTopArtists", "user": "rj", "params": "limit=1000,period=overall"}


def process(item):
    return ValidatePipeline().process_item(item)


def artists(*rows) -> TopArtistsPage:
    ranks, names, playcounts = zip(*rows, strict=True) if rows else ((), (), ())
    return TopArtistsPage(
        **LIST, period="overall", received=len(rows), ranks=list(ranks), names=list(names), playcounts=list(playcounts)
    )


def friends(*profiles) -> FriendsPage:
    return FriendsPage(method="user.getFriends", user="rj", params="", received=len(profiles), friends=profiles)


GOOD = (1, "Queen", 5)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", " ", "Queen", "漢" * 666, "x" * 2000, "\U0001f600" * 500, "a\nb"])
def test_names_that_can_be_stored(name):
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "no name"),
        ("a\0b", "NUL in name"),
        ("x" * 2001, "name too long"),
        ("漢" * 667, "name too long"),
        ("\U0001f600" * 501, "name too long"),
    ],
)
def test_names_that_cannot(name, fault):
    assert name_fault(name) == fault


@given(st.text(st.characters(codec="utf-8"), max_size=800))
def test_a_name_without_fault_fits(name):
    fits = 0 < len(name.encode()) <= MAX_NAME and "\0" not in name
    assert (name_fault(name) is None) == fits


# --- top artists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[], [GOOD], [GOOD, (2, "queen", 0), (2**31 - 1, "x" * 500, 2**31 - 1)]])
def test_a_good_page_passes_as_it_is(rows):
    page = artists(*rows)
    assert process(page) is page


def test_a_long_name_that_fits_passes():
    page = process(artists((1, "x" * 2000, 5)))
    assert (page.rows(), dict(page.skipped)) == ([(1, "x" * 2000, 5)], {})


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((2, "", 5), "no name"),
        ((2, "a\0", 5), "NUL in name"),
        ((2, "x" * 2001, 5), "name too long"),
        ((2, "a", -1), "number out of range"),
        ((2, "a", 2**31), "number out of range"),
        ((2, "a", 10**30), "number out of range"),
        ((0, "a", 5), "number out of range"),
        ((-1, "a", 5), "number out of range"),
        ((2**31, "a", 5), "number out of range"),
    ],
)
def test_a_bad_row_is_left_out_and_counted(row, fault):
    page = process(artists(GOOD, row, (3, "Muse", 1)))
    assert page.rows() == [GOOD, (3, "Muse", 1)]
    assert page.skipped == {fault: 1}
    assert page.received == 3


def test_all_rows_may_be_bad():
    page = process(artists((1, "", 5), (2, "", 5), (3, "a", -1)))
    assert page.rows() == []
    assert page.skipped == {"no name": 2, "number out of range": 1}


rows = st.tuples(
    st.sampled_from([-1, 0, 1, 2, 2**31 - 1, 2**31]),
    st.sampled_from(["", "a", "a\0", "é" * 999, "é" * 1001, "x" * 501]),
    st.sampled_from([-1, 0, 7, 2**31 - 1, 2**31]),
)


@given(st.lists(rows, max_size=8))
def test_what_is_received_is_kept_or_counted(given_rows):
    page = process(artists(*given_rows))
    good = [
        (rank, name, plays)
        for rank, name, plays in given_rows
        if 0 < rank < 2**31 and 0 <= plays < 2**31 and name_fault(name) is None
    ]
    assert page.rows() == good
    assert len(good) + sum(page.skipped.values()) == page.received == len(given_rows)


# --- friends ------------------------------------------------------------------------------------------------------


def test_friends_without_a_name_are_left_out_and_counted():
    page = process(friends(Profile("a"), Profile(""), Profile("b\0"), Profile("c")))
    assert [friend.name for friend in page.friends] == ["a", "c"]
    assert page.skipped == {"no name": 1, "NUL in name": 1}


def test_good_friends_pass_as_they_are():
    page = friends(Profile("a"), Profile("b", "Name", "Norway", "u", 5, 6))
    assert process(page) is page


def storable(profile: Profile) -> bool:
    """Whether PostgreSQL takes every column of *profile*."""
    texts = [profile.name, profile.realname, profile.country, profile.url]
    if any(text is not None and "\0" in text for text in texts):
        return False
    if profile.playcount is not None and not -(2**63) <= profile.playcount < 2**63:
        return False
    try:
        return profile.registered_at is None or bool(datetime.fromtimestamp(profile.registered_at, UTC))
    except (OverflowError, ValueError, OSError):
        return False


HARMFUL = [
    {"realname": "a\0b"},
    {"country": "a\0b"},
    {"url": "a\0b"},
    {"playcount": 10**30},
    {"playcount": 2**63},
    {"registered_at": 10**18},
    {"registered_at": -(10**18)},
]


@pytest.mark.parametrize("fields", HARMFUL)
def test_what_no_database_takes_in_a_friend_does_not_pass(fields):
    page = process(friends(Profile("a"), Profile("b", **fields)))
    assert page.friends[0] == Profile("a")
    assert all(storable(friend) for friend in page.friends)


@pytest.mark.parametrize("fields", [*HARMFUL, {"name": "a\0b"}])
def test_what_no_database_takes_in_a_profile_does_not_pass(fields):
    profile = Profile(**{"name": "rj", **fields})
    page = process(ProfilePage(method="user.getInfo", user="rj", params="", received=1, profile=profile))
    assert storable(page.profile)


@pytest.mark.parametrize("field", ["total", "pages"])
def test_figures_that_no_column_takes_do_not_pass(field):
    page = TopArtistsPage(**LIST, period="overall", **{field: 10**30})
    assert getattr(process(page), field) < 2**31


def test_other_items_pass():
    item = Admissions(())
    assert process(item) is item
