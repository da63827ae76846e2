"""A track among the track lists of albums: what it is, and how sure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.matching.album_tracks import ListedTrack, match_listed


def track(album, place, title, *, played=False, artist="Abba", seconds=None):
    return ListedTrack(album, place, title, (artist,), f"Album {album}", seconds, played)


LISTS = [track(1, 1, "Tiger", played=True), track(1, 2, "Money, Money, Money", played=True), track(2, 1, "Waterloo")]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Tiger", ("track_match", "high", 1, 1)),
        ("TIGER", ("track_match", "high", 1, 1)),
        ("Money Money Money", ("track_match", "high", 1, 2)),
        ("Tiger - 2011 Remaster", ("track_match", "high", 1, 1)),
        ("Waterloo", ("track_match", "medium", 2, 1)),
        ("Something Quite Different", ("album_match", "low", 1, None)),
    ],
)
def test_what_a_track_is(title, expected):
    match = match_listed("Abba", title, LISTS, 1, artist_known=True)
    assert (match.match_type, match.confidence, match.album, match.place) == expected
    assert match.reason


def test_a_live_recording_is_not_believed_to_be_the_song():
    match = match_listed("Abba", "Tiger (Live)", LISTS, 1, artist_known=True)
    assert (match.match_type, match.confidence) in {("track_match", "low"), ("album_match", "low")}


def test_the_album_it_was_played_from_comes_first():
    lists = [track(1, 1, "Tiger"), track(2, 5, "Tiger", played=True)]
    match = match_listed("Abba", "Tiger", lists, 2, artist_known=True)
    assert (match.album, match.place, match.confidence, match.score) == (2, 5, "high", 1.0)


@pytest.mark.parametrize(
    ("played", "known", "expected"),
    [(7, True, "album_match"), (None, True, "artist_match"), (None, False, "no_match")],
)
def test_without_a_list_there_may_be_an_album_or_an_artist(played, known, expected):
    match = match_listed("Abba", "Tiger", [], played, artist_known=known)
    assert (match.match_type, match.confidence, match.place) == (expected, "low", None)
    assert match.score < 0.8


@settings(deadline=None)  # the first loads the model
@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=30), max_size=4), st.booleans())
def test_it_never_raises_and_scores_are_shares(artist, title, titles, played):
    lists = [track(1, place, name, played=played) for place, name in enumerate(titles, 1)]
    match = match_listed(artist, title, lists, 1 if played else None, artist_known=True)
    assert 0 <= match.score <= 1
    assert (match.place is not None) == (match.match_type == "track_match")
