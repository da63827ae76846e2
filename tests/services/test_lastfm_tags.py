"""track.getTopTags: the question and its key, every shape of answer, and what its errors mean."""

from __future__ import annotations

import copy
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl import services
from lastfm_crawl.items import TrackTags, name_fault
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.lastfm import TagsCall, get_top_tags, read
from lastfm_crawl.services.problems import Action, Problem

API = "https://ws.audioscrobbler.com/2.0/"
RECORDED = SHARED / "lastfm"
CALL = get_top_tags("The Band", "Some Song")
TAGS = {
    "toptags": {
        "tag": [
            {"count": 100, "name": "rock", "url": "https://www.last.fm/tag/rock"},
            {"count": 41, "name": "Seen Live", "url": "https://www.last.fm/tag/Seen+Live"},
        ],
        "@attr": {"artist": "The Band", "track": "Some Song"},
    }
}


def body(answer) -> bytes:
    return json.dumps(answer).encode()


def good(answer, call: TagsCall = CALL) -> TrackTags:
    tags = read(call, 200, answer if isinstance(answer, bytes) else body(answer))
    assert isinstance(tags, TrackTags), tags
    return tags


def bad(answer, status: int = 200, call: TagsCall = CALL) -> Problem:
    problem = read(call, status, answer if isinstance(answer, bytes) else body(answer))
    assert isinstance(problem, Problem), problem
    return problem


def of(*tags) -> tuple[tuple[str, int], ...]:
    return good({"toptags": {"tag": list(tags)}}).tags


def test_an_answer_field_by_field():
    assert good(TAGS) == TrackTags(
        method="track.getTopTags",
        params="autocorrect=0",
        subject="artist=The Band,track=Some Song",
        received=2,
        asked=("The Band", "Some Song"),
        tags=(("rock", 100), ("Seen Live", 41)),
    )


@pytest.mark.parametrize("rows", [{"tag": []}, {"tag": ""}, {"tag": "\n  "}, {"tag": None}, {}, {"#text": "\n"}])
@pytest.mark.parametrize("attr", [{}, {"@attr": TAGS["toptags"]["@attr"]}, {"@attr": ""}, {"@attr": []}])
def test_no_tags_come_in_many_shapes(rows, attr):
    assert good({"toptags": {**rows, **attr}}) == good({"toptags": {}})
    assert good({"toptags": {**rows, **attr}}).status == "ok"


def test_a_list_of_one_may_be_its_element():
    assert good({"toptags": {"tag": {"name": "rock", "count": "100"}}}).tags == (("rock", 100),)


@pytest.mark.parametrize(("count", "read_as"), [("7", 7), (7.0, 7), (None, 0), ("", 0), ("many", 0), (0, 0)])
def test_counts_come_as_they_like(count, read_as):
    assert of({"name": "rock", "count": count}) == (("rock", read_as),)


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ({"name": "", "count": 5}, "no name"),
        ({"count": 5}, "no name"),
        ({"name": "a\0b", "count": 5}, "NUL in name"),
        ({"name": "x" * 3000, "count": 5}, "name too long"),
        ({"name": "rock", "count": 101}, "number out of range"),
        ({"name": "rock", "count": -1}, "number out of range"),
        ({"name": "rock", "count": 10**30}, "number out of range"),
    ],
)
def test_what_is_no_tag_is_counted(tag, why):
    answer = good({"toptags": {"tag": [{"name": "kept", "count": 1}, tag]}})
    assert (answer.tags, answer.received, answer.skipped) == ((("kept", 1),), 2, {why: 1})


def test_a_name_that_came_as_a_number():
    assert of({"name": 1980, "count": 3}) == (("1980", 3),)


# --- whose answer it is -------------------------------------------------------------------------------------------


def named(artist, track) -> dict:
    return {"toptags": {"tag": [], "@attr": {"artist": artist, "track": track}}}


@pytest.mark.parametrize(
    ("artist", "track"),
    [("THE BAND", "some  song"), ("The Band", "Some Other"), ("Band", "Some Song"), ("Other", None), (5, "Other")],
)
def test_one_name_may_be_written_otherwise(artist, track):
    assert good(named(artist, track)).asked == CALL.asked


def test_an_answer_about_another_track_is_asked_for_again():
    problem = bad(named("Others", "Another"))
    assert (problem.kind, problem.rule.action) == ("wrong_track", Action.RETRY)


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("message", ["Track not found", "The artist you supplied could not be found"])
def test_a_track_that_is_not_there_is_a_result(status, message):
    problem = bad({"error": 6, "message": message, "links": []}, status)
    assert problem.lasting
    assert problem.rule == (Action.RECORD, "not_found")
    assert lastfm.mark(CALL, problem) == TrackTags(
        method=CALL.method, params="autocorrect=0", subject=CALL.subject, status="not_found", asked=CALL.asked
    )


def test_an_unknown_user_is_confirmed_first():
    assert bad({"error": 6, "message": "User not found"}).rule.action is Action.CONFIRM


@pytest.mark.parametrize(
    ("code", "status", "message", "action"),
    [
        (6, 400, "Invalid parameters - Your request is missing a required parameter", Action.STOP_FAULT),
        (8, 500, "Operation failed", Action.RETRY_SMALLER),
        (10, 403, "Invalid API key", Action.STOP_KEY),
        (29, 429, "Rate Limit Exceeded", Action.SLOW_DOWN),
    ],
)
def test_other_errors_mean_what_they_always_do(code, status, message, action):
    assert bad({"error": code, "message": message}, status).rule.action is action


def test_whatever_lasts_is_a_status_that_a_track_can_have():
    problem = bad({"error": 17, "message": "Login: User required to be logged in"}, 403)
    assert lastfm.mark(CALL, problem).status == "not_found"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"null", body({}), body({"tags": {}}), body(TAGS)[:-9]])
def test_what_holds_no_tags_is_asked_for_again(answer):
    assert bad(answer).rule.action is Action.RETRY


def test_answers_of_every_kind_are_kept_for_90_days():
    not_found = bad({"error": 6, "message": "Track not found"})
    assert [lastfm.time_to_live(CALL, answer) for answer in (good(TAGS), not_found)] == [90 * 86_400] * 2


statuses = st.sampled_from([200, 400, 403, 404, 429, 500])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    ("toptags",),
    ("toptags", "tag"),
    ("toptags", "@attr"),
    ("toptags", "@attr", "artist"),
    ("toptags", "tag", 0),
    ("toptags", "tag", 0, "name"),
    ("toptags", "tag", 1, "count"),
]


@given(statuses, st.binary())
def test_any_bytes_are_read(status, answer):
    assert isinstance(read(CALL, status, answer), TrackTags | Problem)


@given(st.sampled_from(PLACES), statuses, json_values)
def test_any_value_in_the_place_of_any_field_is_read(place, status, value):
    spoilt = copy.deepcopy(TAGS)
    *path, last = place
    inner = spoilt
    for key in path:
        inner = inner[key]
    inner[last] = value
    answer = read(CALL, status, body(spoilt))
    assert isinstance(answer, TrackTags | Problem)
    if isinstance(answer, TrackTags):
        assert all(not name_fault(name) and 0 <= count <= 100 for name, count in answer.tags)
        assert answer.received == len(answer.tags) + sum(answer.skipped.values())


@given(statuses, json_values, json_values)
def test_any_error_body_is_read(status, code, message):
    assert isinstance(read(CALL, status, body({"error": code, "message": message})), TrackTags | Problem)


# --- the question -------------------------------------------------------------------------------------------------


def test_the_url_is_keyless_and_sorted():
    assert CALL.url(API) == (f"{API}?artist=The+Band&autocorrect=0&format=json&method=track.getTopTags&track=Some+Song")


@pytest.mark.parametrize(
    ("artist", "track", "key"),
    [
        ("AC/DC", "Hells Bells", "requests/track.getTopTags/AC%2FDC/autocorrect=0,track=Hells Bells.json.gz"),
        ("ac/dc", "a,b=c", "requests/track.getTopTags/ac%2Fdc/autocorrect=0,track=a%252Cb%253Dc.json.gz"),
    ],
)
def test_where_an_answer_is_stored(artist, track, key):
    assert get_top_tags(artist, track).store_key == key


texts = st.text(st.characters(codec="utf-8"), min_size=1)


@given(texts, texts)
def test_a_question_comes_back_from_its_url_its_envelope_and_its_key(artist, track):
    call = get_top_tags(artist, track)
    asked = parse_qs(urlsplit(call.url(API)).query, keep_blank_values=True)
    assert (asked["artist"], asked["track"]) == ([artist], [track])
    assert lastfm.call_of(call.method, call.all_params) == call
    assert services.method_at(call.store_key) == call.method
    requests, method, folder, file = call.store_key.split("/")
    assert (requests, method) == ("requests", services.folder_of(call.method))
    assert folder not in {".", ".."}
    assert len(file) <= 128


@given(st.lists(st.tuples(texts, texts), min_size=2, max_size=6, unique=True))
def test_different_tracks_never_meet(tracks):
    calls = [get_top_tags(*names) for names in tracks]
    assert len({call.store_key for call in calls}) == len({call.subject for call in calls}) == len(tracks)


def test_a_question_without_a_name_is_none():
    with pytest.raises(ValueError, match="no tags of"):
        get_top_tags("", "x")
    with pytest.raises(KeyError):
        lastfm.call_of("track.getTopTags", {"artist": "x"})
    with pytest.raises(ValueError, match="no method that we know"):
        lastfm.call_of("track.getInfo", {"user": "x"})


def test_it_is_last_fms():
    assert services.service_of("track.getTopTags") is services.service_of("user.getInfo") is lastfm.SERVICE
    assert services.name_of("track.getTopTags") == services.name_of("user.getInfo") == "user"
    assert services.service_of("tracks.get") is services.service_of("") is None
    assert services.method_at("archive/track.getTopTags/a/track=b/2026.json.gz") == "track.getTopTags"


# --- recorded answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "artist", "track", "count"),
    [
        ("docs_examples/track.getTopTags.1.http200.json", "AC/DC", "Hells Bells", 36),
        ("docs_examples/track.getTopTags.2.http200.json", "Metallica", "Hells Bells", 0),
        ("swift_fixtures/track.getTopTags.json", "some artist", "Some Track", 2),
    ],
)
def test_recorded_answers_are_what_they_are(file, artist, track, count):
    path = RECORDED / file
    if not path.is_file():
        pytest.skip(f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
    answer = good(path.read_bytes(), get_top_tags(artist, track))
    raw = json.loads(path.read_bytes())["toptags"]["tag"]
    assert answer.tags == tuple((tag["name"], tag["count"]) for tag in raw)
    assert (answer.received, answer.skipped) == (count, {})
    assert bad(path.read_bytes(), call=get_top_tags("nobody", "else")).kind == "wrong_track"


@pytest.mark.parametrize("file", ["album.getTopTags.2.http200.json", "artist.getTopTags.2.http200.json"])
def test_recorded_refusals_of_tags_are_read(file):
    path = RECORDED / "docs_examples" / file
    if not path.is_file():
        pytest.skip(f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
    problem = bad(path.read_bytes())
    assert problem.rule.action is Action.RECORD
    assert problem.lasting is ("artist" in problem.message)
