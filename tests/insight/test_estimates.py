"""What a crawl would ask for: known where it is known, and said on what it rests where it is not."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
import pytest
from listening import three_listeners
from lists import list_artists

from lastfm_crawl.insight.estimates import (
    ENOUGH,
    GZIP,
    PHASES,
    SIZES,
    Basis,
    Counts,
    Wanted,
    count,
    estimates,
)

PACES = {"user": 1.0, "spotify": 0.5, "musicbrainz": 1.1, "aoty": 3.0}
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
NOTHING = Counts(left=dict.fromkeys(PHASES, 0))


def figures(counts, wanted=None):
    return {estimate.phase: estimate for estimate in estimates(counts, wanted or Wanted(until=MIDNIGHT), PACES)}


def test_nothing_left_is_nothing_to_ask():
    found = estimates(NOTHING._replace(users=500), Wanted(["rj"], 500, True, MIDNIGHT, 300, 10), PACES)
    assert [(e.phase, e.requests, e.seconds, e.size) for e in found] == [(phase, 0, 0, 0) for phase in PHASES]
    assert {e.basis for e in found} == {Basis.KNOWN}


def test_what_is_left_is_known():
    counts = NOTHING._replace(users=500, left={**NOTHING.left, "top_artists": 7, "spotify_tracks": 40})
    found = figures(counts)
    assert found["top_artists"][:3] == ("top_artists", 7, 7.0)
    assert found["top_artists"].size == round(7 * SIZES["user.getTopArtists"] / GZIP)
    assert found["spotify_tracks"][1:3] == (40, 20.0)
    assert {found[phase].basis for phase in ("top_artists", "spotify_tracks")} == {Basis.KNOWN}
    assert "recent_tracks" not in found, "nobody wants a history"


def test_a_new_list_of_seeds_rests_on_assumptions_that_are_said():
    found = figures(NOTHING._replace(new_seeds=2), Wanted(["rj", "ann"], 10_000, True, MIDNIGHT, 30_000, 1_000))
    assert {e.basis for e in found.values()} == {Basis.ESTIMATED}
    assert all(e.because for e in found.values())
    assert found["friends"].requests == 10_002
    assert found["friends"].because == "one friends list for each user"
    assert found["top_artists"].requests == found["top_tracks"].requests == 10_000
    # 25 windows from 2002 to 2026, and 20,000 plays.
    assert found["recent_tracks"].requests == 10_000 * 45
    assert found["spotify_tracks"].requests == 30_000
    assert found["spotify_tracks"].because == "the 30,000 most played tracks"
    assert found["aoty"].requests == 1_000
    assert found["aoty"].seconds == 3_000


def test_own_ratios_and_sizes_count_where_there_are_enough():
    counts = Counts(
        users=1_000,
        found_by_lists=900,
        lists_read=90,
        left={**NOTHING.left, "friends": 900, "top_artists": 10},
        plays_a_user=5_000.0,
        growth={"top_artists": 2.0},
        sizes={"user.getTopArtists": 52_000.0},
    )
    found = figures(counts, Wanted((), 2_000, True, MIDNIGHT))
    assert found["friends"].requests == 100
    assert found["friends"].because == "10.0 new users a friends list, as so far"
    assert found["top_artists"][1] == 1_010
    assert found["top_artists"].size == 1_010 * 10_000
    assert found["recent_tracks"].requests == 1_000 * 30
    assert found["spotify_artists"].requests == 2_020
    assert found["spotify_artists"].because == "2 new artists a user, as so far"
    assert figures(counts._replace(lists_read=ENOUGH - 1), Wanted((), 2_000))["friends"].requests == 1_000


def test_a_graph_that_was_walked_to_its_end_brings_nobody():
    assert figures(NOTHING._replace(users=60), Wanted(["rj"], 10_000))["friends"].requests == 0


def test_an_album_may_be_asked_about_twice():
    found = figures(NOTHING._replace(left={**NOTHING.left, "musicbrainz": 5}))
    assert found["musicbrainz"].basis is Basis.AT_LEAST


@pytest.fixture
def warehouse(database_url):
    with psycopg.connect(database_url) as connection:
        yield connection


def test_a_warehouse_is_counted(warehouse):
    three_listeners(warehouse)
    list_artists(warehouse, {"RJ": [("Pixies", 3), ("artist 1", 2)], "new": [("Pixies", 1)]})
    now = time.time()
    counts = count(warehouse, Wanted(["rj", "RJ", "stranger"], 10, True, MIDNIGHT), now)
    assert set(counts.left) == set(PHASES)
    assert (counts.users, counts.new_seeds) == (4, 2)
    assert (counts.left["friends"], counts.left["top_artists"], counts.left["top_tracks"]) == (4, 2, 4)
    artists = warehouse.execute("SELECT count(*) FROM artists").fetchone()[0]
    assert counts.left["spotify_artists"] == artists
    # One play count is a thousand by the profile: a request more than the 25 windows.
    assert counts.history_requests == 25 * 4 + 1
    assert count(warehouse, Wanted(top=5), now).left["spotify_tracks"] == 5
    assert set(count(warehouse, Wanted(), now, ["friends"]).left) == {"friends"}


def test_an_empty_warehouse_is_counted(warehouse):
    counts = count(warehouse, Wanted(["rj"], 10, True, MIDNIGHT), time.time())
    assert counts == Counts(new_seeds=1, left=dict.fromkeys(PHASES, 0))
