"""The shapes of facts/lastfm-api.md, field by field, and every refusal."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lastfm_crawl.sandbox.answers import answer
from lastfm_crawl.sandbox.history import Scrobble
from lastfm_crawl.sandbox.model import Loved, TrackPlays, User, World

CHECKOUT = Path(__file__).parents[2]
RECORDED = Path(os.environ.get("SHARED_DATA", CHECKOUT.parent / "shared" / "data")) / "lastfm" / "docs_examples"
IMAGE = "https://lastfm.freetls.fastly.net/i/u/{}/2a96cbd8b46e442fc41c2b86b821562f.png"
PLACEHOLDER = [
    {"size": "small", "#text": IMAGE.format("34s")},
    {"size": "medium", "#text": IMAGE.format("64s")},
    {"size": "large", "#text": IMAGE.format("174s")},
    {"size": "extralarge", "#text": IMAGE.format("300x300")},
]
NO_IMAGE = [{"size": size, "#text": ""} for size in ("small", "medium", "large", "extralarge")]
PLAYS = [
    Scrobble("The Midnight", "Third", 300, "Horror Show", "artist-id", "album-id", "track-id", loved=True),
    Scrobble("The Midnight", "Twin", 200),
    Scrobble("The Midnight", "Second", 200),
    Scrobble("The Midnight", "First", 100),
    Scrobble("The Midnight", "Undated", 0),
]


def make_world() -> World:
    friends = ["Test User", "gone", "hidden", "solo"]
    world = World.of({"RJ": friends, "solo": ["RJ"]}, {"RJ": [("Queen", 70), ("Joy Division", 40)]})
    users = {
        **world.users,
        "rj": User("RJ", "Richard Jones ", "United Kingdom", 149018, 1037793040, type="alum", subscriber=True),
        "test user": User("Test User", playcount=4, registered=1603189685, avatar="ab" * 16),
        "gone": User("gone", status="deleted"),
        "hidden": User("hidden", status="private"),
    }
    return replace(
        world,
        users=users,
        tracks={"RJ": [TrackPlays("Joy Division", "Love Will Tear Us Apart", 40), TrackPlays("Queen", "X", 9)]},
        loved={"RJ": [Loved("The Backseat Lovers", "Davy Crochet", 1603112664)]},
        scrobbles={"RJ": PLAYS, "hidden": PLAYS},
        playing={"solo": Scrobble("Alice", "Hall of Fame")},
    )


WORLD = make_world()


def ask(method: str, user: str = "rj", **params: str) -> Any:
    said = answer(WORLD, {"method": method, "user": user, "api_key": "k", **params})
    assert said.status == 200
    return said.body


def ask_unwrapped(method: str, user: str = "rj") -> Any:
    return answer(WORLD, {"method": method, "user": user, "api_key": "k"}, unwrap_single=True).body


def refused(method: str, **params: str) -> tuple[int, int, str]:
    said = answer(WORLD, {"method": method, "user": "rj", "api_key": "k", **params})
    return said.status, said.body["error"], said.body["message"]


# --- shapes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "RJ"),
        ("realname", "Richard Jones "),
        ("url", "https://www.last.fm/user/RJ"),
        ("country", "United Kingdom"),
        ("age", "0"),
        ("gender", "n"),
        ("subscriber", "1"),
        ("playcount", "149018"),
        ("artist_count", "2"),
        ("album_count", "2"),
        ("track_count", "2"),
        ("playlists", "0"),
        ("bootstrap", "0"),
        ("type", "alum"),
        ("registered", {"unixtime": "1037793040", "#text": 1037793040}),
        ("image", NO_IMAGE),
    ],
)
def test_get_info(field: str, value: object) -> None:
    assert ask("user.getInfo")["user"][field] == value


def test_get_info_has_no_other_fields() -> None:
    assert len(ask("user.getInfo")["user"]) == 16


def test_a_legacy_name_keeps_its_space_and_its_case() -> None:
    user = ask("user.getInfo", "TEST USER")["user"]
    assert (user["name"], user["url"]) == ("Test User", "https://www.last.fm/user/Test+User")


def test_no_country_is_the_word_none() -> None:
    assert ask("user.getInfo", "test user")["user"]["country"] == "None"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Test User"),
        ("realname", ""),
        ("url", "https://www.last.fm/user/Test+User"),
        ("country", "None"),
        ("subscriber", "0"),
        ("playcount", "4"),
        ("playlists", "0"),
        ("bootstrap", "0"),
        ("type", "user"),
        ("registered", {"unixtime": "1603189685", "#text": "2020-10-20 10:28"}),
    ],
)
def test_get_friends(field: str, value: object) -> None:
    assert ask("user.getFriends")["friends"]["user"][0][field] == value


def test_get_friends_has_no_fields_of_get_info() -> None:
    assert set(ask("user.getFriends")["friends"]["user"][0]) == {
        "name", "realname", "url", "country", "subscriber", "playcount", "playlists", "bootstrap", "type",
        "image", "registered",
    }  # fmt: skip


def test_an_avatar_has_four_sizes() -> None:
    image = ask("user.getFriends")["friends"]["user"][0]["image"]
    assert image[3]["#text"] == f"https://lastfm.freetls.fastly.net/i/u/300x300/{'ab' * 16}.png"
    assert [i["size"] for i in image] == ["small", "medium", "large", "extralarge"]


def test_friends_keep_their_order_and_name_the_deleted() -> None:
    names = [user["name"] for user in ask("user.getFriends")["friends"]["user"]]
    assert names == ["Test User", "gone", "hidden", "solo"]


def test_paging_attributes_are_strings() -> None:
    attr = ask("user.getFriends", limit="3", page="2")["friends"]["@attr"]
    assert attr == {"user": "RJ", "page": "2", "perPage": "3", "total": "4", "totalPages": "2"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("@attr", {"rank": "2"}),
        ("name", "Joy Division"),
        ("mbid", "4acbe903-5685-5730-b20f-0da7a1b9881b"),
        ("playcount", "40"),
        ("url", "https://www.last.fm/music/Joy+Division"),
        ("streamable", "0"),
        ("image", [*PLACEHOLDER, {"size": "mega", "#text": IMAGE.format("300x300")}]),
    ],
)
def test_get_top_artists(field: str, value: object) -> None:
    assert ask("user.getTopArtists", limit="1", page="2")["topartists"]["artist"][0][field] == value


def test_a_shorter_period_has_fewer_plays() -> None:
    rows = ask("user.getTopArtists", period="1month")["topartists"]["artist"]
    assert [(row["name"], row["playcount"]) for row in rows] == [("Queen", "1"), ("Joy Division", "1")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("@attr", {"rank": "1"}),
        ("name", "Love Will Tear Us Apart"),
        ("duration", "353"),
        ("playcount", "40"),
        ("streamable", {"fulltrack": "0", "#text": "0"}),
        ("mbid", "926e8f50-6183-5a3f-af8e-f83a59b200aa"),
        ("url", "https://www.last.fm/music/Joy+Division/_/Love+Will+Tear+Us+Apart"),
        ("image", PLACEHOLDER),
    ],
)
def test_get_top_tracks(field: str, value: object) -> None:
    assert ask("user.getTopTracks")["toptracks"]["track"][0][field] == value


def test_the_artist_of_a_top_track_is_linked() -> None:
    artist = ask("user.getTopTracks")["toptracks"]["track"][0]["artist"]
    assert artist.pop("mbid") == ask("user.getTopArtists")["topartists"]["artist"][1]["mbid"]
    assert artist == {"name": "Joy Division", "url": "https://www.last.fm/music/Joy+Division"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Davy Crochet"),
        ("url", "https://www.last.fm/music/The+Backseat+Lovers/_/Davy+Crochet"),
        ("date", {"uts": "1603112664", "#text": "19 Oct 2020, 13:04"}),
        ("streamable", {"fulltrack": "0", "#text": "0"}),
        ("image", PLACEHOLDER),
    ],
)
def test_get_loved_tracks(field: str, value: object) -> None:
    assert ask("user.getLovedTracks")["lovedtracks"]["track"][0][field] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("artist", {"mbid": "artist-id", "#text": "The Midnight"}),
        ("album", {"mbid": "album-id", "#text": "Horror Show"}),
        ("name", "Third"),
        ("mbid", "track-id"),
        ("url", "https://www.last.fm/music/The+Midnight/_/Third"),
        ("streamable", "0"),
        ("date", {"uts": "300", "#text": "01 Jan 1970, 00:05"}),
        ("image", PLACEHOLDER),
    ],
)
def test_get_recent_tracks(field: str, value: object) -> None:
    assert ask("user.getRecentTracks")["recenttracks"]["track"][0][field] == value


def test_extended_recent_tracks_have_loved_and_a_linked_artist() -> None:
    row = ask("user.getRecentTracks", extended="1")["recenttracks"]["track"][0]
    assert row["loved"] == "1"
    assert row["artist"] == {
        "name": "The Midnight",
        "url": "https://www.last.fm/music/The+Midnight",
        "mbid": "artist-id",
        "image": PLACEHOLDER,
    }


def test_from_is_inclusive_and_to_exclusive() -> None:
    body = ask("user.getRecentTracks", **{"from": "200", "to": "300"})["recenttracks"]
    assert [row["name"] for row in body["track"]] == ["Twin", "Second"]
    assert body["@attr"]["total"] == "2"


@pytest.mark.parametrize(("window", "total"), [({"from": "0"}, "5"), ({"to": "0"}, "5"), ({"from": "1"}, "4")])
def test_a_bound_of_zero_is_no_bound(window: dict[str, str], total: str) -> None:
    assert ask("user.getRecentTracks", **window)["recenttracks"]["@attr"]["total"] == total


def test_now_playing_is_extra_to_limit_and_not_counted() -> None:
    world = replace(WORLD, playing={"RJ": Scrobble("Alice", "Hall of Fame")})
    params = {"method": "user.getRecentTracks", "user": "RJ", "api_key": "k", "limit": "2", "page": "2"}
    body = answer(world, params).body["recenttracks"]
    assert body["track"][0]["@attr"] == {"nowplaying": "true"}
    assert "date" not in body["track"][0]
    assert [row["name"] for row in body["track"]] == ["Hall of Fame", "Second", "First"]
    assert body["@attr"]["total"] == "5"


def test_a_user_without_scrobbles_can_be_playing() -> None:
    body = ask("user.getRecentTracks", "solo")["recenttracks"]
    assert (body["@attr"]["total"], body["@attr"]["totalPages"], len(body["track"])) == ("0", "0", 1)


@pytest.mark.parametrize(
    ("method", "outer", "inner"),
    [
        ("user.getTopArtists", "topartists", "artist"),
        ("user.getTopTracks", "toptracks", "track"),
        ("user.getLovedTracks", "lovedtracks", "track"),
        ("user.getRecentTracks", "recenttracks", "track"),
    ],
)
def test_past_the_end_is_an_empty_list(method: str, outer: str, inner: str) -> None:
    body = ask(method, page="99")[outer]
    assert (body[inner], body["@attr"]["page"], body["@attr"]["perPage"]) == ([], "99", "50")


def test_nothing_at_all_is_zero_pages() -> None:
    attr = ask("user.getTopArtists", "test user")["topartists"]["@attr"]
    assert (attr["total"], attr["totalPages"]) == ("0", "0")


def test_a_list_of_one_is_a_list() -> None:
    assert isinstance(ask("user.getFriends", "solo")["friends"]["user"], list)


def test_a_list_of_one_is_a_bare_object_when_unwrapped() -> None:
    assert ask_unwrapped("user.getFriends", "solo")["friends"]["user"]["name"] == "RJ"
    assert ask_unwrapped("user.getLovedTracks")["lovedtracks"]["track"]["name"] == "Davy Crochet"


def test_longer_and_empty_lists_stay_lists_when_unwrapped() -> None:
    assert len(ask_unwrapped("user.getTopArtists")["topartists"]["artist"]) == 2
    assert ask_unwrapped("user.getTopArtists", "solo")["topartists"]["artist"] == []


def test_get_top_albums_counts_the_plays() -> None:
    body = ask("user.getTopAlbums")["topalbums"]
    (row,) = body["album"]
    assert (row["name"], row["playcount"], row["@attr"]) == ("Horror Show", "1", {"rank": "1"})
    assert row["artist"]["name"] == "The Midnight"
    assert body["@attr"]["total"] == "1"


def test_the_weeks_are_the_same_for_everyone() -> None:
    body = ask("user.getWeeklyChartList")["weeklychartlist"]
    assert body["chart"] == ask("user.getWeeklyChartList", "hidden")["weeklychartlist"]["chart"]
    assert (body["@attr"], len(body["chart"])) == ({"user": "RJ"}, 1084)
    assert body["chart"][0] == {"#text": "", "from": "1108296000", "to": "1108900800"}
    assert all(one["to"] == other["from"] for one, other in itertools.pairwise(body["chart"]))


def test_methods_are_found_whatever_their_case() -> None:
    assert ask("user.getinfo") == ask("user.getInfo")


# --- against recorded answers ----------------------------------------------------------


def skeleton(value: Any) -> Any:
    """Keep names and types; of a list, the first element stands for all."""
    if isinstance(value, dict):
        return {name: skeleton(part) for name, part in value.items()}
    if isinstance(value, list):
        return [skeleton(part) for part in value[:1]]
    return type(value).__name__


METHODS = ["Info", "Friends", "TopArtists", "TopTracks", "TopAlbums", "LovedTracks", "RecentTracks", "WeeklyChartList"]


@pytest.mark.parametrize("method", METHODS)
def test_the_shape_is_the_recorded_one(method: str) -> None:
    file = RECORDED / f"user.get{method}.1.http200.json"
    if not file.is_file():
        pytest.skip(f"no recorded answers in {RECORDED}")
    said = skeleton(ask(f"user.get{method}"))
    if method == "Info":  # recorded before these three came
        for count in ("artist_count", "album_count", "track_count"):
            assert said["user"].pop(count) == "str"
    assert said == skeleton(json.loads(file.read_text("utf-8")))


# --- refusals --------------------------------------------------------------------------

LIMIT = "limit param out of bounds (1-1000)"
PAGE = "page param out of bounds (1-1000000)"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", ""])
def test_limit_out_of_bounds(limit: str) -> None:
    assert refused("user.getTopArtists", limit=limit) == (400, 6, LIMIT)


@pytest.mark.parametrize("page", ["0", "1000001", "x"])
def test_page_out_of_bounds(page: str) -> None:
    assert refused("user.getFriends", page=page) == (400, 6, PAGE)


@pytest.mark.parametrize("limit", ["1", "1000"])
def test_limits_within_bounds(limit: str) -> None:
    assert ask("user.getTopArtists", limit=limit)["topartists"]["@attr"]["perPage"] == limit


def test_no_such_page_of_friends() -> None:
    assert refused("user.getFriends", page="2") == (400, 6, "no such page")


def test_a_user_without_friends_has_no_page() -> None:
    assert refused("user.getFriends", user="hidden") == (400, 6, "no such page")


@pytest.mark.parametrize("user", ["nobody", "gone", "GONE"])
@pytest.mark.parametrize("method", ["user.getInfo", "user.getFriends", "user.getTopArtists", "user.getRecentTracks"])
def test_unknown_and_deleted_users(method: str, user: str) -> None:
    assert refused(method, user=user) == (404, 6, "User not found")


def test_only_the_recent_tracks_of_a_private_user_are_hidden() -> None:
    assert refused("user.getRecentTracks", user="hidden") == (403, 17, "Login: User required to be logged in")
    assert ask("user.getInfo", "hidden")["user"]["name"] == "hidden"
    assert ask("user.getTopArtists", "hidden")["topartists"]["artist"] == []


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"api_key": ""}, 400, 6),
        ({"user": ""}, 400, 6),
        ({"method": "user.getEverything"}, 400, 3),
        ({"method": ""}, 400, 3),
        ({"period": "fortnight"}, 400, 6),
        ({"api_key": "invalid-key"}, 403, 10),
        ({"api_key": "suspended-key"}, 403, 26),
    ],
)
def test_faulty_requests(params: dict[str, str], status: int, code: int) -> None:
    assert refused(**{"method": "user.getTopArtists", **params})[:2] == (status, code)
