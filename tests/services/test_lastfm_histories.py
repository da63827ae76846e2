"""Scrobbles, top tracks, loved tracks and weeks: every shape in which they come, and nothing counted twice."""

from __future__ import annotations

import copy
import json
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import (
    FIRST_SCROBBLE,
    LovedTracksPage,
    Page,
    RecentTracksPage,
    TopTracksPage,
    UserMark,
    WeeklyChartListPage,
)
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.lastfm import (
    Call,
    get_loved_tracks,
    get_recent_tracks,
    get_top_tracks,
    get_weekly_chart_list,
    read,
)
from lastfm_crawl.services.problems import Action, Problem

RECORDED = SHARED / "lastfm"
NOW = 1_700_000_000
EVER = 4_000_000_000
RECENT = get_recent_tracks("rj", from_=0, to=EVER)


def play(uts: object = NOW, track: str = "Neon Medusa", **fields) -> dict:
    """A row as recorded; *uts* None leaves the date out."""
    row = {
        "artist": {"mbid": "", "#text": "The Midnight"},
        "album": {"mbid": "", "#text": "Horror Show"},
        "name": track,
        "mbid": "",
        "url": "u",
        "streamable": "0",
        "image": [{"size": "small", "#text": ""}],
    }
    if uts is not None:
        row["date"] = {"uts": str(uts), "#text": "21 Apr 2021, 09:50"}
    return row | fields


PLAYING = play(None, "Hall of Fame", **{"@attr": {"nowplaying": "true"}})


def listing(name: str, rows: object, **attr) -> bytes:
    paging = {"user": "RJ", "page": "1", "perPage": "1000", "total": "2", "totalPages": "1"} | attr
    return json.dumps({name: {"track": rows, "@attr": paging}}).encode()


def recent(rows: object, call: Call = RECENT, **attr) -> RecentTracksPage:
    page = read(call, 200, listing("recenttracks", rows, **attr))
    assert isinstance(page, RecentTracksPage), page
    return page


def good(call: Call, answer: object, status: int = 200) -> Page:
    page = read(call, status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    assert isinstance(page, Page), page
    return page


def bad(call: Call, answer: object, status: int = 200) -> Problem:
    problem = read(call, status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    assert isinstance(problem, Problem), problem
    return problem


# --- calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (
            get_recent_tracks("RJ", 3, from_=5, to=9, limit=200),
            "requests/user.getRecentTracks/rj/from=5,limit=200,page=3,to=9.json.gz",
        ),
        (get_top_tracks("RJ"), "requests/user.getTopTracks/rj/limit=1000,page=1,period=overall.json.gz"),
        (get_loved_tracks("test user", 2), "requests/user.getLovedTracks/test user/limit=1000,page=2.json.gz"),
        (get_weekly_chart_list("RJ"), "requests/user.getWeeklyChartList/rj/all.json.gz"),
    ],
)
def test_where_an_answer_is_stored(call, key):
    assert call.store_key == key


def test_the_window_is_part_of_the_url_and_of_what_names_the_list():
    call = get_recent_tracks("RJ", 2, from_=5, to=9)
    query = dict(parse_qsl(urlsplit(call.url("https://ws.audioscrobbler.com/2.0/")).query))
    assert query == {
        "method": "user.getRecentTracks", "user": "RJ", "format": "json", "from": "5", "to": "9", "limit": "1000",
        "page": "2",
    }  # fmt: skip
    assert call.list_params == "from=5,limit=1000,to=9"
    assert call.page == 2


@pytest.mark.parametrize(
    ("call", "answer", "seconds"),
    [
        (RECENT, listing("recenttracks", [play()]), None),
        (RECENT, listing("recenttracks", [], total="0", totalPages="0"), None),
        (get_top_tracks("rj"), listing("toptracks", []), None),
        (get_loved_tracks("rj"), listing("lovedtracks", []), None),
        (get_weekly_chart_list("rj"), b'{"weeklychartlist":{"chart":[]}}', lastfm.DAY),
        (RECENT, b'{"error":17,"message":"Login: User required to be logged in"}', 30 * lastfm.DAY),
    ],
)
def test_how_long_an_answer_is_kept(call, answer, seconds):
    assert lastfm.time_to_live(call, read(call, 200, answer)) == seconds


# --- scrobbles ----------------------------------------------------------------------------------------------------


def test_a_page_of_scrobbles():
    rows = [play(NOW + 1), play(NOW, "", artist={"mbid": "q", "#text": "Queen"}, mbid="t")]
    page = recent(rows, get_recent_tracks("rj", 2, from_=5, to=EVER), page="2", total="1002", totalPages="2")
    assert (page.page, page.pages, page.total, page.received, page.skipped) == (2, 2, 1002, 2, {})
    assert (page.window_from, page.window_to, page.per_page, page.missing) == (5, EVER, 1000, 0)
    assert page.params == f"from=5,limit=1000,to={EVER}"
    assert page.rows() == [
        (NOW + 1, "The Midnight", "", "Horror Show", "", "Neon Medusa", ""),
        (NOW, "Queen", "q", "Horror Show", "", "", "t"),
    ]
    assert page.loved == ()


def test_the_extended_form_says_the_same_and_what_is_loved():
    rows = [
        play(NOW, artist={"name": "The Midnight", "mbid": "", "url": "u", "image": []}, loved=loved)
        for loved in ("1", "0")
    ]
    page = recent(rows)
    assert page.artists == ["The Midnight", "The Midnight"]
    assert page.loved == [True, False]


def test_scrobbles_of_one_second_and_repeated_rows_all_stay():
    assert recent([play(track="a"), play(track="b"), play(track="b")]).tracks == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (PLAYING, "now_playing"),
        (PLAYING | {"date": {"uts": str(NOW)}}, "now_playing"),
        (PLAYING | {"@attr": {"nowplaying": True}}, "now_playing"),
        (play(None), "undated"),
        (play(0), "undated"),
        (play(""), "undated"),
        (play(None, date=""), "undated"),
        (play(None, date=None), "undated"),
        (play(None, date=[]), "undated"),
        (play(None, date={}), "undated"),
        (play("soon"), "undated"),
        (play(1), "before_2002"),
        (play(-5), "before_2002"),
        (play(FIRST_SCROBBLE - 1), "before_2002"),
        (play(EVER), "outside_window"),
    ],
)
def test_what_is_no_scrobble_is_counted(row, why):
    page = recent([row, play(FIRST_SCROBBLE), row])
    assert page.skipped == {why: 2}
    assert (page.received, page.uts) == (3, [FIRST_SCROBBLE])


def test_from_is_inclusive_and_to_exclusive():
    page = recent([play(NOW + n) for n in (3, 2, 1, 0)], get_recent_tracks("rj", from_=NOW + 1, to=NOW + 3))
    assert page.uts == [NOW + 2, NOW + 1]
    assert page.skipped == {"outside_window": 2}


@pytest.mark.parametrize("attr", [{}, "", [], None, {"nowplaying": "false"}, {"nowplaying": ""}])
def test_a_row_that_is_not_playing(attr):
    assert recent([play(**{"@attr": attr})]).uts == [NOW]


def test_now_playing_is_not_part_of_the_list():
    page = good(RECENT, {"recenttracks": {"track": [PLAYING, play()]}})
    assert (page.received, page.total, page.missing) == (2, 1, 0)


def test_playing_without_any_scrobble():
    page = recent(PLAYING, total="0", totalPages="0")
    assert (page.rows(), page.received, page.total, page.pages, page.missing) == ([], 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("artist", "Queen", ("Queen", "")),
        ("artist", {"#text": "", "name": "Queen"}, ("Queen", "")),
        ("artist", {"#text": 1975}, ("1975", "")),
        ("artist", {"#text": "Queen", "mbid": None}, ("Queen", "")),
        ("artist", None, ("", "")),
        ("artist", [], ("", "")),
        ("album", "", ("", "")),
        ("album", [], ("", "")),
        ("album", {}, ("", "")),
        ("album", {"#text": None, "mbid": "m"}, ("", "m")),
        ("name", None, ""),
        ("name", 1979, "1979"),
        ("mbid", None, ""),
        ("mbid", [], ""),
    ],
)
def test_names_in_other_shapes(field, value, expected):
    page = recent([play(**{field: value}), play()])
    if field == "artist":
        assert (page.artists[0], page.artist_mbids[0]) == expected
    elif field == "album":
        assert (page.albums[0], page.album_mbids[0]) == expected
    else:
        assert (page.tracks if field == "name" else page.track_mbids)[0] == expected
    assert page.uts == [NOW, NOW]


@pytest.mark.parametrize("field", ["artist", "album", "name", "mbid", "url", "image", "streamable"])
def test_a_missing_key_costs_nothing_else(field):
    row = play()
    del row[field]
    assert recent([row]).uts == [NOW]


def test_half_a_surrogate_pair_is_replaced():
    answer = listing("recenttracks", [play()]).replace(b"Neon", rb"\ud800")
    (track,) = good(RECENT, answer).tracks
    track.encode()


@pytest.mark.parametrize("rows", [[], "", "\n    ", None])
@pytest.mark.parametrize(
    "attr", [{}, {"@attr": {"user": "RJ", "total": "0", "totalPages": "0"}}, {"@attr": []}, {"@attr": ""}]
)
@pytest.mark.parametrize(
    ("call", "name"),
    [(RECENT, "recenttracks"), (get_top_tracks("rj"), "toptracks"), (get_loved_tracks("rj"), "lovedtracks")],
)
def test_an_empty_list_comes_in_many_shapes(call, name, rows, attr):
    page = good(call, {name: {"track": rows, **attr}})
    assert (page.rows(), page.received, page.total) == ([], 0, 0)


def test_an_empty_list_of_2013():
    old = {"#text": "\n", "user": "RJ", "page": "0", "perPage": "20", "totalPages": "0", "total": "0"}
    assert good(RECENT, {"recenttracks": old}).pages == 0
    assert bad(get_recent_tracks("x", from_=0, to=9), {"recenttracks": old}).kind == "wrong_user"


def test_a_list_of_one_may_come_as_its_only_element():
    assert recent(play()).uts == [NOW]


def test_past_the_end_is_an_empty_page():
    call = get_recent_tracks("rj", 9, from_=0, to=EVER)
    page = recent([PLAYING], call, page="9", total="3", totalPages="1")
    assert (page.rows(), page.page, page.pages, page.missing) == ([], 9, 1, 0)
    page = good(call, {"error": 6, "message": "no such page"}, 400)
    assert (page.rows(), page.page, page.pages) == ([], 9, 8)


@pytest.mark.parametrize(
    ("rows", "page", "attr", "missing"),
    [
        (3, 1, {"total": "3", "perPage": "3"}, 0),
        (2, 1, {"total": "3", "perPage": "3"}, 1),
        (3, 1, {"total": "4", "perPage": "3"}, 0),
        (1, 2, {"total": "4", "perPage": "3"}, 0),
        (0, 2, {"total": "4", "perPage": "3"}, 1),
        (4, 1, {"total": "3", "perPage": "3"}, 0),
    ],
)
def test_a_page_that_is_shorter_than_it_says(rows, page, attr, missing):
    call = get_recent_tracks("rj", page, from_=0, to=EVER, limit=3)
    assert recent([PLAYING] + [play()] * rows, call, **attr).missing == missing


def test_a_limit_that_was_cut_is_known():
    assert recent([], perPage="200").per_page == 200
    assert good(RECENT, {"recenttracks": {}}).per_page == 1000


# --- the other lists ----------------------------------------------------------------------------------------------


def top_track(rank: str | None = "1", **fields) -> dict:
    row = {
        "name": "Disorder", "duration": "205", "playcount": "440", "mbid": "t",
        "artist": {"name": "Joy Division", "url": "u", "mbid": "a"},
        "streamable": {"fulltrack": "0", "#text": "0"}, "image": [],
    }  # fmt: skip
    return row | ({"@attr": {"rank": rank}} if rank else {}) | fields


def test_top_tracks():
    page = good(
        get_top_tracks("rj", 2, period="7day", limit=2),
        listing("toptracks", [top_track("3"), top_track("4", playcount="1", mbid="")], total="4", totalPages="2"),
    )
    assert isinstance(page, TopTracksPage)
    assert page.rows() == [(3, "Joy Division", "Disorder", 440), (4, "Joy Division", "Disorder", 1)]
    assert (page.period, page.artist_mbids, page.track_mbids) == ("7day", ["a", "a"], ["t", ""])
    assert (page.page, page.pages, page.total, page.params) == (2, 2, 4, "limit=2,period=7day")


def test_a_missing_rank_is_the_place_in_the_list():
    page = good(get_top_tracks("rj", 3, limit=10), listing("toptracks", [top_track(None), top_track("5")]))
    assert list(page.ranks) == [21, 22]


def test_loved_tracks():
    rows = [play(NOW, artist={"name": "A", "mbid": "m"}), play(0), play(None)]
    page = good(get_loved_tracks("rj"), listing("lovedtracks", rows))
    assert isinstance(page, LovedTracksPage)
    assert [row[2] for row in page.rows()] == [NOW, None, None]
    assert (page.artists[0], page.artist_mbids[0], page.received) == ("A", "m", 3)


def test_weeks():
    weeks = [{"#text": "", "from": "1108296000", "to": "1108900800"}, {"from": "x", "to": ""}]
    page = good(get_weekly_chart_list("rj"), {"weeklychartlist": {"chart": weeks, "@attr": {"user": "RJ"}}})
    assert isinstance(page, WeeklyChartListPage)
    assert (page.starts, page.ends, page.skipped) == ([1108296000], [1108900800], {"undated": 1})
    assert (page.received, page.pages, page.total) == (2, 1, 2)
    alone = good(get_weekly_chart_list("rj"), {"weeklychartlist": {"chart": weeks[0]}})
    assert alone.starts == [1108296000]


# --- what is no page ----------------------------------------------------------------------------------------------

CALLS = [RECENT, get_top_tracks("rj"), get_loved_tracks("rj"), get_weekly_chart_list("rj")]
NAMES = ["recenttracks", "toptracks", "lovedtracks", "weeklychartlist"]


@pytest.mark.parametrize(("call", "name"), list(zip(CALLS, NAMES, strict=True)), ids=NAMES)
def test_an_answer_about_somebody_else_is_asked_for_again(call, name):
    problem = bad(call, {name: {"track": [], "@attr": {"user": "someone"}}})
    assert (problem.kind, problem.rule.action) == ("wrong_user", Action.RETRY)
    assert good(call, {name: {"track": [], "@attr": {"user": "rJ"}}}).user == "rj"


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("answer", [{}, [], {"recenttracks": None, "user": {"name": "rj"}}, {"topartists": {}}])
def test_an_answer_to_another_question_is_not_taken(call, answer):
    assert bad(call, answer).rule.action is Action.RETRY


@pytest.mark.parametrize(
    ("status", "answer", "action", "user_status"),
    [
        (403, {"error": 17, "message": "Login: User required to be logged in"}, Action.RECORD, "private"),
        (400, {"error": 17, "message": "Login: User required to be logged in"}, Action.RECORD, "private"),
        (401, {"message": "Login: User required to be logged in"}, Action.RECORD, "private"),
        (403, {"error": 4, "message": "Login: User required to be logged in"}, Action.RECORD, "private"),
        (403, {"error": 4, "message": "Authentication Failed"}, Action.RENEW, "error"),
        (500, {"error": 8, "message": "Operation failed"}, Action.RETRY_SMALLER, "error"),
        (500, {"error": 1, "message": "Unexpected Server Error"}, Action.RETRY_SMALLER, "error"),
        (500, b"", Action.RETRY_SMALLER, "error"),
        (404, {"error": 6, "message": "User not found"}, Action.CONFIRM, "not_found"),
        (400, {"error": 6, "message": "limit param out of bounds (1-1000)"}, Action.STOP_FAULT, "error"),
    ],
)
def test_what_an_error_means(status, answer, action, user_status):
    problem = bad(RECENT, answer, status)
    assert (problem.rule.action, problem.rule.status) == (action, user_status)
    assert isinstance(lastfm.mark(RECENT, problem), UserMark)


GOLDEN = json.loads(
    listing("recenttracks", [PLAYING, play(NOW, loved="1"), play(0), top_track()], total="3", totalPages="1")
)
values = st.sampled_from([None, True, 0, 5, 1.5, -1, 10**30, "", "5", "x", "RJ", [], {}, [{}], [None], {"a": []}])


def places(value, path=()):
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(inner, (*path, key))


@given(st.data(), st.sampled_from(list(zip(CALLS, NAMES, strict=True))), values)
def test_any_value_in_the_place_of_any_field_is_read(data, asked, value):
    call, name = asked
    spoilt = {name: copy.deepcopy(GOLDEN["recenttracks"])}
    spoilt[name]["chart"] = [{"from": "1", "to": "2"}]
    *path, last = data.draw(st.sampled_from(list(places(spoilt))))
    inner = spoilt
    for key in path:
        inner = inner[key]
    inner[last] = value
    page = read(call, 200, json.dumps(spoilt).encode())
    assert isinstance(page, Page | Problem)
    if isinstance(page, RecentTracksPage):
        assert page.received == len(page.rows()) + sum(page.skipped.values())
        assert all(isinstance(value, str) for row in page.rows() for value in row[1:])


# --- recorded answers ---------------------------------------------------------------------------------------------

LISTS = {
    "recenttracks": (RECENT, "track"),
    "toptracks": (get_top_tracks("rj"), "track"),
    "lovedtracks": (get_loved_tracks("rj"), "track"),
    "weeklychartlist": (get_weekly_chart_list("rj"), "chart"),
}
FILES = sorted(file.relative_to(RECORDED) for file in RECORDED.glob("*/*.json")) if RECORDED.is_dir() else []


def walked(rows: list[dict]) -> Counter:
    """What the rows are, said by a walk of its own over plain JSON."""
    said: Counter = Counter()
    for row in rows:
        if "nowplaying" in row.get("@attr", {}):
            said["now_playing"] += 1
        elif "date" not in row:
            said["undated"] += 1
        else:
            said["scrobble"] += 1
    return said


@pytest.mark.skipif(not FILES, reason=f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
def test_every_recorded_list_of_our_methods_is_read():
    read_of: Counter = Counter()
    for file in FILES:
        answer = (RECORDED / file).read_bytes()
        try:
            raw = json.loads(answer.decode("utf-8-sig"))
        except ValueError:
            continue
        for name in LISTS.keys() & raw.keys():
            call, inner = LISTS[name]
            paging = raw[name].get("@attr", raw[name])
            rows = lastfm.as_list(raw[name].get(inner))
            page = good(Call(call.method, paging.get("user", "rj"), call.params), answer)
            assert page.received == len(rows), file
            if name != "weeklychartlist":
                assert (page.total, page.pages) == (int(paging.get("total", 1)), int(paging.get("totalPages", 1)))
            if "user" in paging:
                assert bad(Call(call.method, "nobody else", call.params), answer).kind == "wrong_user"
            if name == "recenttracks":
                said = walked(rows)
                assert len(page.rows()) == said.pop("scrobble", 0), file
                assert page.skipped == said, file
                dated = [row for row in rows if "date" in row and "nowplaying" not in row.get("@attr", {})]
                assert page.uts == [int(row["date"]["uts"]) for row in dated]
                assert page.albums == [row["album"]["#text"] for row in dated]
                assert page.artists == [row["artist"].get("#text", row["artist"].get("name")) for row in dated]
            elif name == "weeklychartlist":
                assert page.starts == [int(row["from"]) for row in rows]
            else:
                assert page.tracks == [row["name"] for row in rows]
                assert page.artists == [row["artist"].get("#text", row["artist"].get("name")) for row in rows]
            read_of[name] += 1
    assert read_of == {"recenttracks": 18, "toptracks": 5, "lovedtracks": 4, "weeklychartlist": 4}


@pytest.mark.skipif(not FILES, reason=f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
def test_every_recorded_error_has_a_meaning():
    files = [(RECORDED / file).read_bytes() for file in FILES]
    answers = [json.loads(raw.decode("utf-8-sig")) for raw in files if raw.lstrip(b"\xef\xbb\xbf").startswith(b"{")
               and b'"error"' in raw[:40]]  # fmt: skip
    canned = (RECORDED / "errors" / "canned_errors.jsonl").read_text("utf-8").splitlines()
    told = [(400, answer) for answer in answers] + [(line["http"], line["body"]) for line in map(json.loads, canned)]
    assert len(told) > 20
    for status, answer in told:
        problem = bad(RECENT, answer, status) if "no such page" not in answer["message"] else None
        if problem:
            assert problem.kind == f"error_{answer['error']}"
            known = answer["error"] in lastfm.ERRORS or answer["error"] == 6
            assert known or problem.rule.action is Action.RECORD


@pytest.mark.parametrize(
    ("file", "status", "rule"),
    [
        ("docs_examples/user.getRecentTracks.3.http404.json", 404, (Action.CONFIRM, "not_found")),
        ("docs_examples/user.getRecentTracks.4.http403.json", 403, (Action.RECORD, "private")),
        ("docs_examples/user.getLovedTracks.2.http404.json", 404, (Action.CONFIRM, "not_found")),
        ("dotnet_fixtures/UserGetRecentTracksMissing.json", 400, (Action.CONFIRM, "not_found")),
        ("dotnet_fixtures/UserGetRecentTracksError.json", 400, (Action.STOP_FAULT, "error")),
    ],
)
def test_recorded_errors_are_what_they_are(file, status, rule):
    if not (RECORDED / file).is_file():
        pytest.skip(f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
    assert bad(RECENT, (RECORDED / file).read_bytes(), status).rule == rule


def test_a_recorded_walk_is_complete():
    """Ten pages of a real crawl: 1,956 plays, as its own figures say, newest first over all pages."""
    files = sorted((RECORDED / "paged_history").glob("*page*.json"), key=lambda f: int(f.stem.rpartition("page")[2]))
    if not files:
        pytest.skip(f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
    pages = [
        good(get_recent_tracks("tesshingriz", n, from_=0, to=EVER, limit=200), file.read_bytes())
        for n, file in enumerate(files, 1)
    ]
    uts = [time for page in pages for time in page.uts]
    assert len(uts) == pages[0].total == 1956
    assert uts == sorted(uts, reverse=True)
    assert not any(page.missing or page.skipped for page in pages)
