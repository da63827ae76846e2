"""A row that a page holds twice counts once, and the repeats are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import Admissions, FriendsPage, Profile, TopArtistsPage, user_key
from lastfm_crawl.pipelines.deduplicate import DeduplicatePipeline


def process(item):
    return DeduplicatePipeline().process_item(item)


def artists(*names: str, skipped=None) -> TopArtistsPage:
    ranks = range(1, len(names) + 1)
    return TopArtistsPage(
        method="user.getTopArtists", user="rj", params="", period="overall", received=len(names),
        skipped=skipped or {}, ranks=ranks, names=names, playcounts=[101 - rank for rank in ranks],
    )  # fmt: skip


def friends(*names: str) -> FriendsPage:
    profiles = tuple(Profile(name, playcount=place) for place, name in enumerate(names))
    return FriendsPage(method="user.getFriends", user="rj", params="", received=len(names), friends=profiles)


def test_a_page_without_repeats_passes_as_it_is():
    for page in (artists(), artists("a", "b"), friends(), friends("a", "b")):
        assert process(page) is page


def test_the_first_of_equal_artists_stays():
    page = process(artists("a", "b", "a", "c", "b"))
    assert page.rows() == [(1, "a", 100), (2, "b", 99), (4, "c", 97)]
    assert page.skipped == {"repeated": 2}
    assert page.received == 5


def test_names_of_artists_are_compared_byte_for_byte():
    page = artists("Queen", "queen", "Queen ", "Que\u0301", "Qué")
    assert process(page) is page


def test_the_first_place_of_a_friend_stays_whatever_the_case():
    page = process(friends("RJ", "b", "rj", "Rj"))
    assert [(friend.name, friend.playcount) for friend in page.friends] == [("RJ", 0), ("b", 1)]
    assert page.skipped == {"repeated": 2}


def test_what_was_skipped_before_stays_counted():
    assert process(artists("a", "a", skipped={"no name": 3})).skipped == {"no name": 3, "repeated": 1}


@given(st.lists(st.sampled_from(["a", "A", "b", "c", "é"]), max_size=10))
def test_each_once_in_order_and_every_row_explained(names):
    page = process(artists(*names))
    assert list(page.names) == list(dict.fromkeys(names))
    assert all(names[rank - 1] == name and plays == 101 - rank for rank, name, plays in page.rows())
    assert len(page.names) + sum(page.skipped.values()) == page.received
    page = process(friends(*names))
    assert [user_key(friend.name) for friend in page.friends] == list(dict.fromkeys(map(user_key, names)))
    assert len(page.friends) + sum(page.skipped.values()) == page.received


def test_other_items_pass():
    item = Admissions(())
    assert process(item) is item
