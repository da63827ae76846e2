"""Checks: what is planted is found, and nothing is said of what is too little, new, or as usual."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lastfm_crawl.extensions.checks import Examined, Limits, examine, surely_above
from lastfm_crawl.extensions.fields import Fresh, counted, fresh_of
from lastfm_crawl.items import (
    FriendsPage,
    LovedTracksPage,
    Profile,
    ProfilePage,
    RecentTracksPage,
    SpotifyArtist,
    SpotifyArtists,
    TopArtistsPage,
    TopTracksPage,
    UserMark,
)
from lastfm_crawl.warehouse.queries import EarlierRun

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMITS = Limits(errors=0.25, coverage=0.9, lost_field=0.1, rows=1000)
TRACKS = "user.getTopTracks"


def stats(*, asked=0, errors=None, method=TRACKS, **fresh):
    """Stats of a run: ``pages``, ``rows``, ``bytes``; what starts with ``no_`` is skipped, the rest are fields."""
    counts = {}
    if asked:
        counts[f"lastfm_crawl/asked/{method}"] = asked
    for kind, count in (errors or {}).items():
        counts[f"lastfm_crawl/errors/{kind}"] = count
    for name, count in fresh.items():
        place = name if name in {"pages", "rows", "bytes"} else f"with/{name}"
        place = "skipped/no name" if name == "no_name" else place
        counts[f"lastfm_crawl/fresh/{method}/{place}"] = count
    return counts


def usual(**changes):
    fresh = {"pages": 20, "rows": 4000, "bytes": 800_000, "track_mbids": 2400, "playcounts": 4000}
    return stats(**{**fresh, **changes})


def earlier(counts, *, days=1.0, code=0, arguments=None, members=5):
    return EarlierRun(arguments or {}, members, NOW - timedelta(days=days), code, counts)


def examined(counts, past=(), **options):
    options = {"offline": False, "of_users": True, "arguments": {}, "members_before": 5, **options}
    return examine(Examined(counts, started_at=NOW, **options), list(past), LIMITS)


def said(verdicts):
    """Names of what failed, and of what is warned of."""
    failed = [v.name for v in verdicts if not v.ok and not v.warning]
    return failed, [v.name for v in verdicts if not v.ok and v.warning]


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "errors", "failed"),
    [
        (0, {}, []),
        (3, {"error_8": 3}, []),  # three errors of three: too few to say anything
        (99, {"error_8": 90}, []),
        (300, {"error_8": 100}, ["errors"]),  # every third
        (1000, {"error_8": 200}, []),  # a fifth
        (120, {"error_8": 32}, []),  # a fifth, on a bad day
        (100, {"DownloadFailedError": 130}, ["errors"]),  # some never got to the wire
        (1000, {"error_8": 150, "error_29": 120, "ResponseFailed": 60}, ["errors"]),
    ],
)
def test_errors(asked, errors, failed):
    assert said(examined(stats(asked=asked, errors=errors))) == (failed, [])


def test_the_line_on_errors_names_the_kinds():
    (verdict,) = examined(stats(asked=1000, errors={"error_29": 120, "error_8": 280}))
    assert verdict.line.startswith("40% of 1,000 requests brought errors (error_8: 280, error_29: 120), more than")
    assert verdict.as_json() == {"name": "errors", "ok": False, "value": 0.4, "expected": "at most 0.25"}


def test_more_errors_than_usual_are_a_warning():
    past = [earlier(stats(asked=1000, errors={"error_8": 10}), days=2)] * 3
    counts = stats(asked=1000, errors={"error_8": 150})
    assert said(examined(counts, past)) == ([], ["errors/usual"])
    assert said(examined(counts, past[:2])) == ([], [])
    assert said(examined(stats(asked=1000, errors={"error_8": 40}), past)) == ([], [])


def test_a_share_is_above_for_sure_or_not():
    assert surely_above(40, 100, 0.25)
    assert not surely_above(30, 100, 0.25)
    assert surely_above(300, 1000, 0.25)
    assert not surely_above(1, 1, 0.25)
    assert not surely_above(0, 10, 0.0)


# --- fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"playcounts": 0}, [f"fields/{TRACKS}/playcounts"]),
        ({"playcounts": 3700}, []),
        ({"no_name": 4000, "playcounts": 0, "track_mbids": 0}, [f"fields/{TRACKS}/name"]),
        ({"rows": 999, "no_name": 999, "playcounts": 0}, []),  # too few
    ],
)
def test_what_no_row_may_lack_needs_no_earlier_run(changes, failed):
    assert said(examined(usual(**changes))) == (failed, [])


@pytest.mark.parametrize(
    ("mbids", "failed"),
    [(0, [f"usual/{TRACKS}/track_mbids"]), (230, [f"usual/{TRACKS}/track_mbids"]), (250, []), (4000, [])],
)
def test_a_field_that_rows_used_to_have(mbids, failed):
    past = [earlier(usual(track_mbids=share)) for share in (2400, 2000, 2800)]
    assert said(examined(usual(track_mbids=mbids), past)) == (failed, [])


def test_a_field_that_is_new_to_some_listeners_is_not_lost():
    past = [earlier(usual(track_mbids=share)) for share in (2400, 300, 2800, 2400)]
    assert said(examined(usual(track_mbids=200), past)) == ([], [])


@pytest.mark.parametrize(
    "past",
    [
        [],
        [earlier(usual())] * 2,
        [earlier(usual(rows=900))] * 5,  # too small to say what is usual
        [earlier(usual(track_mbids=100))] * 5,  # hardly any row ever had one
        [earlier(usual(method="user.getLovedTracks"))] * 5,
        [earlier({"httpcache/hit": 5})] * 5,  # from before there were such stats
    ],
)
def test_nothing_to_compare_with(past):
    assert said(examined(usual(track_mbids=0), past)) == ([], [])


def test_no_least_number_of_rows():
    empty = stats(pages=5, bytes=50, rows=0)
    assert (
        examine(
            Examined(empty, {}, 5, NOW, offline=False, of_users=True), [earlier(empty)] * 3, LIMITS._replace(rows=0)
        )
        == []
    )


def test_small_runs_between_do_not_hide_what_is_usual():
    past = [*[earlier({})] * 50, *[earlier(usual())] * 3]
    assert said(examined(usual(track_mbids=0), past))[0] == [f"usual/{TRACKS}/track_mbids"]


def test_what_changed_for_good_is_usual_after_some_runs():
    past = [*[earlier(usual(track_mbids=0))] * 5, *[earlier(usual())] * 50]
    assert said(examined(usual(track_mbids=0), past)) == ([], [])


# --- sizes, repeats, offline --------------------------------------------------------------------------------------


def test_pages_of_another_size_are_a_warning():
    past = [earlier(usual())] * 3
    assert said(examined(usual(pages=100), past)) == ([], [f"usual/{TRACKS}/{n} a page" for n in ("rows", "bytes")])
    assert said(examined(usual(bytes=200_000), past)) == ([], [f"usual/{TRACKS}/bytes a page"])
    # Whose list it is does not matter, which part of it was asked for does.
    assert said(examined(usual(pages=100), past, arguments={"limit": "40"})) == ([], [])
    assert said(examined(usual(pages=100), past, arguments={"users": "RJ"}))[1]


def test_pages_that_are_all_empty_are_noticed():
    assert said(examined(stats(pages=20, bytes=800, rows=0), [earlier(usual())] * 3))[1]
    assert said(examined(stats(pages=2, bytes=80, rows=0), [earlier(usual())] * 3)) == ([], [])


@pytest.mark.parametrize(
    ("past", "options", "warned"),
    [
        ({}, {}, True),
        ({"days": 2}, {}, False),
        ({"code": 4}, {}, False),
        ({"members": 4}, {}, False),
        ({"arguments": {"limit": "5"}}, {}, False),
        ({}, {"of_users": False}, False),
        ({"arguments": {"refresh": "1"}}, {"arguments": {"refresh": "1"}}, False),
    ],
)
def test_a_repeated_run_that_asks_again(past, options, warned):
    before = earlier(stats(asked=400), **past)
    assert said(examined(stats(asked=390), [before], **options)) == ([], ["repeat"] if warned else [])
    assert said(examined(stats(asked=3), [before], **options)) == ([], [])


def test_a_run_that_was_to_be_offline():
    counts = {"httpcache/hit": 90, "httpcache/miss": 10, "httpcache/ignore": 10}
    (verdict,) = examined(counts, offline=True)
    assert (verdict.ok, verdict.value, verdict.warning) == (False, 0.9, True)
    assert verdict.line.startswith("10 of 100 answers are not in the store")
    assert said(examined({"httpcache/hit": 9, "httpcache/ignore": 10}, offline=True)) == (["store"], [])
    assert said(examined({"httpcache/hit": 90}, offline=True)) == ([], [])
    assert examined({}, offline=True) == []
    assert examined(counts) == []


# --- what is counted ----------------------------------------------------------------------------------------------

PAGE = {"user": "RJ", "params": "", "size": 500}


@pytest.mark.parametrize(
    ("item", "fresh"),
    [
        (
            TopTracksPage(
                method=TRACKS, period="overall", received=4, skipped={"no name": 1}, ranks=range(1, 4),
                artists=["a", "b", "c"], artist_mbids=["m", "", ""], tracks=["x", "y", "z"],
                track_mbids=["", "", ""], playcounts=[3, 0, 1], **PAGE,
            ),
            Fresh(1, 500, 4, {"no name": 1}, {"artists": 3, "artist_mbids": 1, "tracks": 3, "track_mbids": 0,
                                              "playcounts": 2}),
        ),
        (
            TopArtistsPage(
                method="user.getTopArtists", period="overall", received=1, ranks=[1], names=["a"], playcounts=[1],
                **PAGE,
            ),
            Fresh(1, 500, 1, {}, {"names": 1, "playcounts": 1}),
        ),
        (
            LovedTracksPage(
                method="user.getLovedTracks", received=2, artists=["a", "b"], artist_mbids=["", ""], tracks=["x", "y"],
                track_mbids=["", "m"], loved_at=[None, 5], **PAGE,
            ),
            Fresh(1, 500, 2, {}, {"artists": 2, "artist_mbids": 0, "tracks": 2, "track_mbids": 1, "loved_at": 1}),
        ),
        (
            RecentTracksPage(
                method="user.getRecentTracks", received=2, window_from=0, window_to=9, per_page=200,
                skipped={"now_playing": 1}, uts=[5], artists=["a"], artist_mbids=[""], albums=[""], album_mbids=[""],
                tracks=["x"], track_mbids=["m"], loved=[False], **PAGE,
            ),
            Fresh(1, 500, 2, {"now_playing": 1}, {"uts": 1, "artists": 1, "artist_mbids": 0, "albums": 0,
                                                  "album_mbids": 0, "tracks": 1, "track_mbids": 1}),
        ),
        (
            FriendsPage(
                method="user.getFriends", received=2, friends=(Profile("a", playcount=0), Profile("b", "B")), **PAGE
            ),
            Fresh(1, 500, 2, {}, {"name": 2, "realname": 1, "country": 0, "url": 0, "playcount": 1,
                                  "registered_at": 0}),
        ),
        (FriendsPage(method="user.getFriends", **PAGE), Fresh(1, 500)),
        (
            ProfilePage(method="user.getInfo", received=1, profile=Profile("a", url="u"), **PAGE),
            Fresh(1, 500, 1, {}, {"name": 1, "realname": 0, "country": 0, "url": 1, "playcount": 0,
                                  "registered_at": 0}),
        ),
        (
            SpotifyArtists(
                method="spotify.search", subject="a", params="", received=1, size=500, asked=("a",),
                artists=(SpotifyArtist("1", "a", 0, None, ()),),
            ),
            Fresh(1, 500, 1, {}, {"id": 1, "name": 1, "popularity": 1, "followers": 0, "genres": 0}),
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_an_answer_held(item, fresh):
    assert fresh_of(dict(counted(item))) == {item.method: fresh}


def test_a_mark_holds_nothing():
    assert not dict(counted(UserMark(method="user.getInfo", status="not_found", detail="", **PAGE)))
