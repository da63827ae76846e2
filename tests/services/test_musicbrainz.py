"""How MusicBrainz talks: calls and their keys, queries, every shape of answer, and what each error means."""

from __future__ import annotations

import copy
import json
import re
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import Answered, ReleaseGroup, ReleaseGroupSearch, ReleaseLookup
from lastfm_crawl.services import folder_of, method_at, musicbrainz, service_of
from lastfm_crawl.services.musicbrainz import Call, is_mbid, mark, read, read_date, time_to_live
from lastfm_crawl.services.problems import Action, Problem, Rule

API = "https://musicbrainz.org/ws/2/"
RECORDED = SHARED / "musicbrainz" / "ws2"
A, B, G, H = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "ab12")

CREDIT = [
    {"name": "Ünï", "joinphrase": " & ", "artist": {"id": B, "name": "Uni", "sort-name": "Uni"}},
    {"name": "Co.", "joinphrase": "", "artist": {"id": H, "name": "Company", "sort-name": "Company"}},
]
GROUP = {
    "id": G, "title": "One Day", "first-release-date": "1977-10-28", "primary-type": "Album", "primary-type-id": A,
    "secondary-types": ["Live"], "secondary-type-ids": [B], "disambiguation": "", "artist-credit": CREDIT,
}  # fmt: skip
RELEASE = {
    "id": A, "title": "One Day (Deluxe)", "date": "2007", "country": "GB", "status": "Official", "barcode": None,
    "quality": "normal", "artist-credit": CREDIT, "release-group": GROUP,
}  # fmt: skip
ROW = ReleaseGroup(G, "One Day", "Ünï & Co.", 1977, 10, 28, "Album", ("Live",))


def found(*groups, **more):
    return {"created": "2026-11-01T00:00:00.000Z", "count": len(groups), "offset": 0, "release-groups": groups, **more}


ONE, SEARCH = musicbrainz.get_release(A), musicbrainz.search_release_groups("Ünï & Co.", "One Day (Deluxe Edition)")
CALLS = [ONE, SEARCH, musicbrainz.search_release_groups("", "漢字", 25)]
every_call = pytest.mark.parametrize("call", CALLS, ids=str)


def body(answer) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def good(call: Call, answer, status: int = 200):
    item = read(call, status, body(answer))
    assert isinstance(item, Answered), item
    return item


def bad(call: Call, answer, status: int = 200) -> Problem:
    problem = read(call, status, body(answer))
    assert isinstance(problem, Problem), problem
    return problem


def error(message: str) -> dict:
    return {"error": message, "help": "For usage, please see: https://musicbrainz.org/development/mmd"}


# --- calls --------------------------------------------------------------------------------------------------------


def test_the_service_is_registered():
    service = service_of("musicbrainz.release")
    assert service is musicbrainz.SERVICE
    assert (service.title, service.url_setting) == ("MusicBrainz", "MUSICBRAINZ_API_URL")
    assert "CONTACT" in service.credentials


@every_call
def test_an_envelope_gives_the_call_back(call):
    assert Call.of(call.method, call.all_params) == call
    assert musicbrainz.SERVICE.call_of(call.method, json.loads(json.dumps(call.all_params))) == call


@every_call
def test_the_key_tells_the_method(call):
    assert method_at(call.store_key) == call.method
    assert call.store_key.startswith(f"requests/{folder_of(call.method)}/")


@every_call
def test_parameters_are_sorted(call):
    assert list(call.params) == sorted(call.params)
    sent = parse_qsl(urlsplit(call.url(API)).query)
    assert sent == sorted(sent)


@pytest.mark.parametrize(
    ("call", "url"),
    [
        (ONE, f"release/{A}?fmt=json&inc=artist-credits+release-groups"),
        (
            musicbrainz.search_release_groups("ABBA", "Arrival"),
            "release-group?fmt=json&limit=10&query=releasegroup%3A%22Arrival%22+AND+artist%3A%22ABBA%22",
        ),
        (CALLS[2], "release-group?fmt=json&limit=25&query=releasegroup%3A%22%E6%BC%A2%E5%AD%97%22"),
    ],
    ids=str,
)
@pytest.mark.parametrize("api", [API, API.rstrip("/")])
def test_urls(api, call, url):
    assert call.url(api) == API + url


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (ONE, f"requests/musicbrainz/release/mbid={A}.json.gz"),
        (
            musicbrainz.search_release_groups("AC/DC", "T.N.T., 1=1"),
            "requests/musicbrainz/search/artist=AC%2FDC,limit=10,title=T.N.T.%252C 1%253D1.json.gz",
        ),
        (CALLS[2], "requests/musicbrainz/search/limit=25,title=%E6%BC%A2%E5%AD%97.json.gz"),
    ],
    ids=str,
)
def test_keys(call, key):
    assert call.store_key == key


def test_a_long_name_is_cut_in_the_key_and_keeps_its_hash():
    one, other = (musicbrainz.search_release_groups("x" * 200, f"y{n}").store_key for n in (1, 2))
    assert len(one) < 200
    assert one != other


def test_what_is_asked_is_kept_as_it_was():
    assert (ONE.asked, ONE.subject, ONE.list_params) == (A, A, "")
    call = musicbrainz.search_release_groups('"Weird Al"', "a,b=c (Deluxe) - Single")
    assert call.asked == ('"Weird Al"', "a,b=c (Deluxe) - Single")
    assert call.subject == 'artist="Weird Al",title=a%2Cb%3Dc (Deluxe) - Single'
    assert call.list_params == "limit=10"
    assert good(call, found()).asked == call.asked
    assert CALLS[2].asked == ("", "漢字")


def test_ids_are_asked_in_lower_case():
    call = musicbrainz.get_release(A.upper())
    assert call == ONE
    assert Call.of("musicbrainz.release", {"mbid": A.upper()}) == ONE


@pytest.mark.parametrize(
    ("text", "whether"),
    [
        (A, True),
        (A.upper(), True),
        ("", False),
        (A[:-1], False),
        (f" {A}", False),
        (f"{A}\n", False),
        (A.replace("-", ""), False),
        (f"{{{A}}}", False),
        (A.replace("a", "g"), False),
        (A.replace("8", "\u0668"), False),
    ],
)
def test_what_an_id_looks_like(text, whether):
    assert is_mbid(text) is whether
    if not whether:
        with pytest.raises(ValueError, match="is no MusicBrainz id"):
            musicbrainz.get_release(text)


@pytest.mark.parametrize(
    ("method", "params", "raised"),
    [
        ("musicbrainz.artist", {}, ValueError),
        ("spotify.search", {"limit": "10", "title": "x"}, ValueError),
        ("musicbrainz.release", {}, KeyError),
        ("musicbrainz.release", {"mbid": "x"}, ValueError),
        ("musicbrainz.search", {"limit": "10"}, KeyError),
        ("musicbrainz.search", {"limit": "10", "title": ""}, ValueError),
        ("musicbrainz.search", {"limit": "ten", "title": "x"}, ValueError),
        ("musicbrainz.search", {"limit": "0", "title": "x"}, ValueError),
        ("musicbrainz.search", {"limit": "101", "title": "x"}, ValueError),
    ],
)
def test_what_no_call_can_be_made_of(method, params, raised):
    with pytest.raises(raised):
        Call.of(method, params)


def test_calls_for_people():
    assert str(ONE) == f"musicbrainz.release of {A}"
    assert str(musicbrainz.search_release_groups("ABBA", "Arrival")) == (
        "musicbrainz.search of artist=ABBA,title=Arrival"
    )


# --- queries ------------------------------------------------------------------------------------------------------


def query(artist: str, title: str) -> str:
    url = musicbrainz.search_release_groups(artist, title).url(API)
    return parse_qs(urlsplit(url).query)["query"][0]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("AC/DC", r"AC\/DC"),
        ('"Weird Al" Yankovic', r"\"Weird Al\" Yankovic"),
        ("a AND b OR NOT c", "a AND b OR NOT c"),
        ("!!!", r"\!\!\!"),
        ("a && b || c", r"a \&\& b \|\| c"),
        (r"back\slash", r"back\\slash"),
        ("Guns N' Roses", "Guns N' Roses"),
        ("artist:x (y) [z] {w} ^2 ~3 *?", r"artist\:x \(y\) \[z\] \{w\} \^2 \~3 \*\?"),
        (" two\tblanks\n ", "two blanks"),
        ("nul\0l", "nul l"),
        ("half \ud800 a pair", "half a pair"),
        ("فيروز", "فيروز"),
        ("坂本龍一", "坂本龍一"),
    ],
)
def test_names_in_queries(name, phrase):
    assert query(name, "x") == f'releasegroup:"x" AND artist:"{phrase}"'
    assert query("x", name) == f'releasegroup:"{phrase}" AND artist:"x"'


@pytest.mark.parametrize(
    ("title", "looked_for"),
    [
        ("Abbey Road (Super Deluxe Edition)", "Abbey Road"),
        ("Rumours [Remastered]", "Rumours"),
        ("Pornography - 2006 Remaster", "Pornography"),
        ("Tourist (Remastered) [Deluxe Version]", "Tourist"),
        ("Give Up (10th Anniversary Edition)", "Give Up"),
        ("Pet Sounds (Mono & Stereo)", "Pet Sounds"),
        ("Going South - EP", "Going South"),
        ("Aatank - Single (feat. Heiwah & Dee MC)", "Aatank"),
        ("The Phoenix EP", "The Phoenix EP"),
        ("Single", "Single"),
        ("1989", "1989"),
        ("Live at Leeds (Live)", r"Live at Leeds \(Live\)"),
        ("Time (The Revelator)", r"Time \(The Revelator\)"),
        ("(Deluxe)", r"\(Deluxe\)"),
    ],
)
def test_editions_are_not_looked_for(title, looked_for):
    assert query("", title) == f'releasegroup:"{looked_for}"'


@pytest.mark.parametrize("artist", ["Various Artists", "various artists", "VA", "V.A.", "V/A", "Various"])
def test_various_artists_go_by_their_id(artist):
    assert query(artist, "Now 45") == f'releasegroup:"Now 45" AND arid:{musicbrainz.VARIOUS_ARTISTS}'


@pytest.mark.parametrize("artist", ["Various Cruelties", "Vas", "Savanna"])
def test_a_name_like_theirs_is_a_name(artist):
    assert query(artist, "x") == f'releasegroup:"x" AND artist:"{artist}"'


def test_guests_are_not_looked_for():
    assert query("Jay-Z feat. Rihanna", "x") == r'releasegroup:"x" AND artist:"Jay\-Z"'


@pytest.mark.parametrize("name", ["word " * 300, "x" * 600, "漢" * 600, '"' * 600])
def test_long_names_are_cut(name):
    asked = musicbrainz.search_release_groups(name, name).url(API)
    assert len(asked) < 4096
    assert not re.search(r"\bwor?\b", query(name, name))


PHRASE = r'"(?:[^"\\]|\\.)*"'


@given(st.text(max_size=250), st.text(min_size=1, max_size=250))
def test_no_name_breaks_out_of_its_phrase(artist, title):
    call = musicbrainz.search_release_groups(artist, title)
    asked = query(artist, title)
    assert re.fullmatch(f"releasegroup:{PHRASE}( AND (artist:{PHRASE}|arid:[0-9a-f-]{{36}}))?", asked)
    assert call.store_key.startswith("requests/musicbrainz/search/")
    assert Call.of(call.method, call.all_params) == call
    assert call.asked == (artist, title)


@given(
    st.lists(st.tuples(st.text("a,=%", max_size=8), st.text("a,=%", max_size=8)), min_size=2, max_size=2, unique=True)
)
def test_different_questions_have_different_subjects_and_keys(pairs):
    one, other = (musicbrainz.search_release_groups(artist, f"y{title}") for artist, title in pairs)
    assert one.subject != other.subject
    assert one.store_key != other.store_key


# --- good answers -------------------------------------------------------------------------------------------------


def test_a_release():
    item = good(ONE, RELEASE)
    assert isinstance(item, ReleaseLookup)
    assert (item.method, item.subject, item.params, item.asked) == ("musicbrainz.release", A, "", A)
    assert (item.status, item.received, dict(item.skipped), item.fetched_at) == ("ok", 1, {}, 0.0)
    assert (item.release, item.group) == (A, ROW)


def test_a_merged_release_is_answered_with_another_id():
    item = good(ONE, {**RELEASE, "id": B})
    assert (item.asked, item.release) == (A, B)
    assert good(ONE, {**RELEASE, "id": B.upper()}).release == B


def test_a_search():
    item = good(SEARCH, found(GROUP, {**GROUP, "id": H, "score": 100, "secondary-types": None}))
    assert isinstance(item, ReleaseGroupSearch)
    assert (item.asked, item.params, item.status) == (("Ünï & Co.", "One Day (Deluxe Edition)"), "limit=10", "ok")
    assert (item.received, item.skipped) == (2, {})
    assert item.groups == (ROW, ROW._replace(mbid=H, secondary_types=()))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1977-10-28", (1977, 10, 28)),
        ("1977-10", (1977, 10, None)),
        ("1977", (1977, None, None)),
        ("2000-02-29", (2000, 2, 29)),
        ("", (None, None, None)),
        (None, (None, None, None)),
        ("1977-13-05", (1977, None, None)),
        ("1977-00", (1977, None, None)),
        ("1977-02-29", (1977, 2, None)),
        ("1977-10-00", (1977, 10, None)),
        ("1977-??-28", (1977, None, None)),
        ("1977-10-??", (1977, 10, None)),
        ("????-05", (None, None, None)),
        ("????-05-04", (None, None, None)),
        ("0000", (None, None, None)),
        ("77", (None, None, None)),
        ("-1977", (None, None, None)),
        ("1977-1-2", (1977, None, None)),
        ("1977-10-28T00:00:00Z", (1977, 10, None)),
        (" 1977 ", (1977, None, None)),
        ("٢٠٢٠", (None, None, None)),
        ("١٩٧٧-10", (None, None, None)),
        ("soon", (None, None, None)),
    ],
)
def test_dates_are_kept_as_far_as_they_are_known(text, date):
    assert read_date(text) == date
    group = good(ONE, {**RELEASE, "release-group": {**GROUP, "first-release-date": text}}).group
    assert (group.year, group.month, group.day) == date


@given(st.text("0123456789-?", max_size=12))
def test_no_date_is_made_up(text):
    year, month, day = read_date(text)
    known = [part for part in (year, month, day) if part is not None]
    assert known == [year, month, day][: len(known)]
    written = "-".join(f"{part:0{width}}" for part, width in zip(known, (4, 2, 2), strict=False))
    assert text.startswith(written)


def test_a_year_that_came_as_a_number():
    group = good(ONE, {**RELEASE, "release-group": {**GROUP, "first-release-date": 1977}}).group
    assert (group.year, group.month) == (1977, None)


@pytest.mark.parametrize(
    ("credit", "artist"),
    [
        (CREDIT, "Ünï & Co."),
        (CREDIT[1:], "Co."),
        ([{"name": "A", "joinphrase": None}, None, {"name": "B"}], "AB"),
        ([{"name": None, "artist": {"name": "C"}}], "C"),
        ([{"name": "A\0"}], ""),
        ([], ""),
        (None, ""),
        ("A", ""),
    ],
)
def test_artist_credits(credit, artist):
    row = {**GROUP, "artist-credit": credit}
    assert good(SEARCH, found(row)).groups[0].artist == artist
    assert good(ONE, {**RELEASE, "release-group": row}).group.artist == (artist or "Ünï & Co.")


# --- the tolerance list -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_null", [False, True])
@pytest.mark.parametrize("field", sorted(set(GROUP) - {"id"}))
def test_missing_and_null(field, as_null):
    whole = copy.deepcopy(RELEASE)
    del whole["release-group"][field]
    if as_null:
        whole["release-group"][field] = None
    item = good(ONE, whole)
    assert (item.group.mbid, item.received, item.skipped) == (G, 1, {})


@pytest.mark.parametrize("wrong", ["x", 1.5, [], {}, True, -1, 10**30, [[]], {"id": []}, [None], ""], ids=repr)
@pytest.mark.parametrize("field", sorted(set(GROUP) - {"id", "title"}))
def test_wrong_types_cost_no_more_than_their_field(field, wrong):
    group = good(SEARCH, found({**GROUP, field: wrong})).groups[0]
    assert (group.mbid, group.title) == (G, "One Day")
    if field != "first-release-date":
        assert group.year == 1977


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (None, "null"),
        ({**GROUP, "id": None}, "no_id"),
        ({**GROUP, "id": "12"}, "no_id"),
        ({**GROUP, "title": None}, "no name"),
        ({**GROUP, "title": ""}, "no name"),
        ({**GROUP, "title": "a\0b"}, "NUL in name"),
        ({**GROUP, "title": "x" * 3000}, "name too long"),
    ],
    ids=range(7),
)
def test_rows_that_are_no_candidates(row, why):
    item = good(SEARCH, found(row, GROUP))
    assert (item.groups, item.received, item.skipped) == ((ROW,), 2, {why: 1})


@pytest.mark.parametrize("title", [None, "", "a\0b", "x" * 3000], ids=range(4))
def test_a_looked_up_group_needs_no_title_to_have_a_year(title):
    group = good(ONE, {**RELEASE, "release-group": {**GROUP, "title": title}}).group
    assert (group.title, group.year) == ("", 1977)


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer():
    raw = json.dumps(RELEASE).replace("One Day", r"One \ud800 Day").encode()
    assert good(ONE, raw).group.title == "One ? Day"


@every_call
@pytest.mark.parametrize(
    "broken", [b"", b"{", b"null", b"[]", b'"x"', b"12", b"<html></html>", b"\xff\xfe", b"[" * 100_000], ids=range(9)
)
def test_what_is_no_json_of_ours_is_asked_for_again(call, broken):
    problem = bad(call, broken)
    assert (problem.rule.action, problem.kind) == (Action.RETRY, "broken_body")


@pytest.mark.parametrize(
    "answer",
    [{}, {"id": A}, {**RELEASE, "release-group": None}, {**RELEASE, "id": None}, {**RELEASE, "release-group": {}}],
    ids=range(5),
)
def test_an_answer_without_what_was_asked_for(answer):
    assert (bad(ONE, answer).kind, bad(ONE, answer).rule.action) == ("no_list", Action.RETRY)
    assert bad(SEARCH, answer).kind == "no_list"


@pytest.mark.parametrize(("call", "answer"), [(ONE, RELEASE), (SEARCH, found(GROUP))], ids=["release", "search"])
def test_half_an_answer(call, answer):
    half = body(answer)
    assert bad(call, half[: len(half) // 2]).rule.action is Action.RETRY


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just(A),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "title", "name", "release-group", "release-groups", "first-release-date", "artist-credit",
                 "secondary-types", "primary-type", "joinphrase", "artist", "error", "count"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(CALLS), st.sampled_from([200, 204, 301, 400, 403, 404, 429, 500, 503]), json_values)
def test_nothing_raises(call, status, answer):
    result = read(call, status, json.dumps(answer).encode())
    assert isinstance(result, Answered | Problem)
    assert time_to_live(call, result) in {None, musicbrainz.RECHECK_TTL}
    if isinstance(result, Problem):
        assert result.kind
        assert isinstance(mark(call, result), ReleaseLookup | ReleaseGroupSearch)


@given(st.sampled_from(CALLS), st.binary(max_size=60))
def test_no_bytes_raise(call, answer):
    assert isinstance(read(call, 200, answer), Answered | Problem)


# --- errors -------------------------------------------------------------------------------------------------------

LIMIT = (
    "Your requests are exceeding the allowable rate limit. "
    "Please see http://wiki.musicbrainz.org/XMLWebService for more information."
)
HTML = b"<html><body>503 Service Temporarily Unavailable</body></html>"


@every_call
@pytest.mark.parametrize(
    ("status", "answer"), [(503, error(LIMIT)), (503, HTML), (503, b""), (429, b""), (200, error(LIMIT))]
)
def test_rate_limits(call, status, answer):
    problem = bad(call, answer, status)
    assert problem.rule.action is Action.SLOW_DOWN
    assert not problem.lasting


@pytest.mark.parametrize(
    ("status", "message"), [(404, "Not Found"), (400, "Invalid mbid."), (200, "Not Found"), (410, "not found")]
)
def test_unknown_releases_are_marked(status, message):
    problem = bad(ONE, error(message), status)
    assert (problem.kind, problem.rule) == ("not_found", Rule(Action.RECORD, "not_found"))
    assert problem.lasting
    assert time_to_live(ONE, problem) == musicbrainz.RECHECK_TTL == 86_400
    item = mark(ONE, problem)
    assert isinstance(item, ReleaseLookup)
    assert (item.status, item.asked, item.subject, item.release, item.group) == ("not_found", A, A, "", None)


@pytest.mark.parametrize("status", [404, 400])
@pytest.mark.parametrize("answer", [HTML, b"", {}, {"error": None}], ids=range(4))
def test_a_404_that_does_not_come_from_the_service_proves_nothing(status, answer):
    assert bad(ONE, answer, status).rule.action is Action.RETRY


@pytest.mark.parametrize("answer", [HTML, error("Not Found")], ids=["html", "error"])
@pytest.mark.parametrize("status", [500, 502, 504])
@every_call
def test_a_server_error_is_never_not_found(call, status, answer):
    problem = bad(call, answer, status)
    assert (problem.rule.action, problem.kind) == (Action.RETRY, f"http_{status}")


@every_call
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("answer", [HTML, error("Please identify your application")], ids=["html", "error"])
def test_refusals_stop_the_run(call, status, answer):
    assert bad(call, answer, status).rule.action is Action.STOP_KEY


@pytest.mark.parametrize(("status", "message"), [(400, "org.apache.solr.search.SyntaxError"), (404, "Not Found")])
def test_a_refused_search_is_recorded_and_is_no_result(status, message):
    problem = bad(SEARCH, error(message), status)
    assert (problem.rule, problem.lasting) == (Rule(Action.RECORD), False)
    item = mark(SEARCH, problem)
    assert isinstance(item, ReleaseGroupSearch)
    assert (item.status, item.asked) == ("error", SEARCH.asked)


@every_call
def test_an_error_that_comes_with_http_200(call):
    assert bad(call, error("Internal server error")).rule.action is Action.RETRY


# --- how long an answer is believed -------------------------------------------------------------------------------


def test_a_dated_release_is_kept_for_ever():
    assert time_to_live(ONE, good(ONE, RELEASE)) is None


def test_a_release_without_a_date_is_asked_about_again():
    undated = good(ONE, {**RELEASE, "release-group": {**GROUP, "first-release-date": ""}})
    assert undated.status == "ok"
    assert time_to_live(ONE, undated) == musicbrainz.RECHECK_TTL


@pytest.mark.parametrize("groups", [(), (GROUP,)], ids=["nothing", "something"])
def test_a_search_is_believed_for_a_day(groups):
    item = good(SEARCH, found(*groups))
    assert item.status == "ok"
    assert time_to_live(SEARCH, item) == musicbrainz.RECHECK_TTL


# --- recorded answers ---------------------------------------------------------------------------------------------


def recorded(name: str):
    path = RECORDED / name
    if not path.is_file():
        pytest.skip(f"needs the recorded answers in {RECORDED} (or SHARED_DATA)")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "release", "group"),
    [
        (
            "release.json",
            "b84ee12a-09ef-421b-82de-0441a926375b",
            ReleaseGroup(
                "f5093c06-23e3-404f-aeaa-40f72885ee3a", "The Dark Side of the Moon", "Pink Floyd", 1973, 3, 24, "Album"
            ),
        ),
        (
            "release_multidisc.json",
            "6c4f766f-3351-4c10-a53d-b119452c27b2",
            ReleaseGroup("b89c4dbd-1734-4536-a16d-dde648f735c0", "ケアレス", "", 2021, 9, 15, "Single"),
        ),
        (
            "release_no_type.json",
            "af96cd94-f759-4f9f-8c63-75404d4853dc",
            ReleaseGroup("275f2ad4-a506-4ab1-8ae2-ff7f203cbf6b", "Eastbound Silhouette", "Tim Green"),
        ),
    ],
)
def test_recorded_releases(name, release, group):
    item = good(musicbrainz.get_release(release), recorded(name))
    assert (item.asked, item.release, item.group, item.skipped) == (release, release, group, {})


@pytest.mark.parametrize("name", ["release_5medias.json", "release_djmix.json", "release_null.json"])
def test_recorded_releases_without_a_group_are_no_answers_to_ours(name):
    assert bad(ONE, recorded(name)).kind == "no_list"


def test_recorded_release_groups_as_the_hits_of_a_search():
    """None of the recorded answers is a search: its rows are those that others show."""
    rows = [
        recorded("release_group.json"),
        recorded("release_group_null.json"),
        recorded("release.json")["release-group"],
    ]
    item = good(SEARCH, found(*rows))
    dark_side = ("f5093c06-23e3-404f-aeaa-40f72885ee3a", "The Dark Side of the Moon", 1973, 3, 24, "Album")
    assert [(g.mbid, g.title, g.year, g.month, g.day, g.primary_type) for g in item.groups] == [dark_side] * 2
    assert [g.artist for g in item.groups] == ["", "Pink Floyd"]
    assert item.skipped == {"no_id": 1}
