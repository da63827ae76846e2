"""How albumoftheyear.org's pages are read: calls and keys, both eras of markup, lists, tables, and challenges."""

from __future__ import annotations

import csv
import json
from dataclasses import fields

import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.items import AotyAlbum, AotyAlbumPage, AotyListPage, AotyRow, AotyTrack
from lastfm_crawl.services import aoty, folder_of, method_at, service_of
from lastfm_crawl.services.aoty import Call, drifted, is_challenge, mark, read, read_csv_row, read_saved, time_to_live
from lastfm_crawl.services.problems import Action, Problem, Rule

REAL = SHARED / "aoty"
URL = "https://www.albumoftheyear.org/album/41-some-body-one-day.php"
ASKED = aoty.get_album(41, "some-body-one-day")
CHART = aoty.get_list("ratings/user-highest-rated/2024", 2)

needs_pages = pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the pages in {REAL} (or SHARED_DATA)")


# --- pages written for these tests --------------------------------------------------------------------------------

CRITICS = {
    "@type": "AggregateRating",
    "name": "Critic Score",
    "ratingValue": "70",
    "bestRating": "100",
    "ratingCount": 17,
}
LD = {
    "@context": "http://schema.org", "@type": "MusicAlbum", "@id": URL, "url": URL, "name": "One Day",
    "byArtist": {"@type": "MusicGroup", "name": "Some & Body", "url": "https://www.albumoftheyear.org/artist/4-some-body/"},
    "datePublished": "2019-04-12", "dateCreated": "2018-01-01", "genre": ["Trip Hop", "Dream Pop"],
    "aggregateRating": CRITICS,
}  # fmt: skip
CRITIC_BOX = """<div class="albumCriticScoreBox"><div class="heading">Critic Score</div>
<div class="albumCriticScore"><a href="#critics" title="70.3794">70</a></div>
<div class="text numReviews">Based on <strong>17</strong> reviews</div></div>"""
USER_BOX = """<div class="albumUserScoreBox"><div class="heading">User Score</div>
<div class="albumUserScore"><a href="#users" title="74.5">75</a></div>
<div class="text numReviews">Based on <a href="/album/41-some-body-one-day/user-reviews/?type=ratings">
<strong>20,489</strong> &nbspratings</a></div></div>"""
NOT_RATED = (
    """<div class="albumUserScoreBox"><div class="heading">User Score</div><div class="albumUserScore">NR</div></div>"""
)
DETAILS = """<div class="albumTopBox info">
<div class="detailRow"><a href="/2019/releases/april-04/">April</a> 12, <a href="/2019/releases/">2019</a>
<span>/&nbsp;Release Date</span></div>
<div class="detailRow">EP <span>/&nbsp;Format</span></div>
<div class="detailRow"><a href="/label/1-small/">Small</a>, <a href="/label/2-big/">Big &amp; Co</a> <span>
/&nbsp;Label</span></div>
<div class="detailRow"><a href="/genre/1-trip-hop/">Trip Hop</a>, <a href="/genre/2-dream-pop/">Dream Pop</a><br/>
<a href="/genre/3-ambient/"><div class="secondary">Ambient</div></a> <span>/&nbsp;Genre</span></div>
<div class="detailRow"><a href="/tag/sad/albums/"><div class="secondary">sad</div></a> <span>/&nbsp;<i></i></span>
</div></div>"""
TRACKS = """<div class="trackList"><div class="discNumber">Disc 1</div><table class="trackListTable">
<tr><td class="trackNumber">1</td><td class="trackTitle"><a href="/song/1-in/">In</a><div class="length">0:49</div>
<div class="trackNotes">Skit</div></td><td class="trackRating"><span title="1822 Ratings">64</span></td></tr></table>
<div class="discNumber">Disc 2</div><table class="trackListTable">
<tr><td class="trackNumber">1</td><td class="trackTitle"><a href="/song/2-out/">Out</a><div class="length">1:02:03</div>
<div class="featuredArtists">feat. <a href="/artist/5-a/">A, B</a>, <a href="/artist/6-c/">C</a></div></td>
<td class="trackRating"><span title="0 Ratings">NR</span></td></tr></table></div>"""
ELSEWHERE = '<a href="/genre/9-noise/">Noise</a><a href="/tag/loud/albums/">loud</a><div class="rating">99</div>'


def page(
    ld=LD, *, critics=CRITIC_BOX, users=USER_BOX, details=DETAILS, tracks=TRACKS, canonical=URL, heading="One Day"
) -> bytes:
    block = f'<script type="application/ld+json">{json.dumps(ld)}</script>' if ld else ""
    return f"""<!DOCTYPE html><html><head><title>Some &amp; Body - One Day - Reviews - Album of The Year</title>
<meta property="og:site_name" content="Album of The Year"/>
<meta property="og:title" content="Some &amp; Body - One Day"/>
<link rel="canonical" href="{canonical}"/>{block}</head><body>
<div class="albumHeadline"><div class="artist"><a href="/artist/4-some-body/">Some &amp; Body</a></div>
<h1 class="albumTitle">{heading}</h1></div><div class="albumTopBox">{critics}{users}</div>{details}{tracks}
{ELSEWHERE}</body></html>""".encode()


PAGE_2025 = f"""<!DOCTYPE html><html><head><title>Some &amp; Body - One Day - Reviews - Album of The Year</title>
<link rel="canonical" href="{URL}"/></head><body><span itemscope itemtype="http://schema.org/MusicAlbum">
<div class="artist"><span itemprop="byArtist" itemscope><span itemprop="name"><a href="/artist/4/">Some &amp; Body</a>
</span>
</span></div><h1 class="albumTitle"><span itemprop="name">One&nbsp;Day</span></h1>
<meta itemprop="genre" content="Trip Hop"/>
<div class="albumCriticScoreBox"><span itemprop="aggregateRating"><div class="albumCriticScore">
<span itemprop="ratingValue">
<a href="#critics" title="85.3">85</a></span></div><meta itemprop="reviewCount" content="26"/></span></div>
<div class="albumUserScoreBox"><div class="albumUserScore">77</div></div>
<div class="trackList"><ol><li>In</li><li>Out</li></ol></div></span></body></html>""".encode()
DRIFTED = f"""<html><head><link rel="canonical" href="{URL}"/>
<meta property="og:title" content="Some &amp; Body - One Day"/></head>
<body><section><b>Critic Score</b> <i>70</i> <p>Based on <b>17</b> reviews</p></section><section><b>User Score</b> <i>
75</i>
<p>Based on <b>20,489</b> ratings</p></section><script>User Score 1</script></body></html>""".encode()
CHART_PAGE = b"""<html><head>
<link rel="canonical" href="https://www.albumoftheyear.org/ratings/user-highest-rated/2024/2/"/></head>
<body><div class="albumListRow"><h2 class="albumListTitle"><span class="albumListRank"><span itemprop="position">
26</span>.</span>
<a itemprop="url" href="/album/41-some-body-one-day.php">Some &amp; Body - One Day - Live</a></h2>
<div class="albumListDate">April 12, 2024</div><div class="albumListScoreContainer"><div class="scoreHeader">
USER SCORE</div>
<div class="scoreValueContainer" title="83.9"><div class="scoreValue">84</div></div><div class="scoreText">
12,598 ratings</div>
</div></div><div class="albumListRow"><h2 class="albumListTitle"><a itemprop="url" href="/album/42-x-y.php">X - Y</a>
</h2>
<div class="scoreValue">90</div><div class="scoreText">12 reviews</div></div>
<div class="albumListRow"><h2 class="albumListTitle">Nobody - Nothing</h2></div></body></html>"""
ARTIST_PAGE = """<html><head><link rel="canonical" href="https://www.albumoftheyear.org/artist/4-some-body/"/></head>
<body>
<h1>Some &amp; Body</h1><h2>Albums</h2><div class="albumBlock"><a href="/album/41-some-body-one-day.php">
<div class="albumTitle">One Day</div></a><div class="type">2019</div><div class="ratingRowContainer">
<div class="ratingRow">
<div class="rating">70</div><div class="ratingText">critic score</div><div class="ratingText">(17)</div></div>
<div class="ratingRow"><div class="rating">75</div><div class="ratingText">user score</div><div class="ratingText">
(1,136)</div></div>
</div></div><h2>Singles</h2><div class="albumBlock"><a href="/album/43-some-body-in.php"><div class="albumTitle">
In</div></a>
<div class="type">May 8</div><div class="rating">NR</div></div><h2>Appears On</h2>
<div class="albumBlock" data-type="live">
<a href="https://www.albumoftheyear.org/album/44-b.php"><div class="artistTitle">B</div><div class="albumTitle">C</div>
</a>
<div class="type">2014 • Live</div></div></body></html>""".encode()
CHALLENGE = b"""<!DOCTYPE html><html><head><title>Just a moment...</title>
<meta name="robots" content="noindex,nofollow"></head>
<body><div>www.albumoftheyear.org needs to review the security of your connection</div>
<script>window._cf_chl_opt={cvId:'3'}</script></body></html>"""


def album_of(body: bytes) -> AotyAlbum:
    answer = read(ASKED, 200, body)
    assert isinstance(answer, AotyAlbumPage), answer
    assert answer.album is not None
    return answer.album


# --- calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [41, "41", URL, "/album/41-some-body-one-day.php", "/album/41-a-b/user-reviews/"])
def test_an_album_has_one_place_in_the_store_however_it_is_named(named):
    call = aoty.get_album(named)
    assert call.store_key == "requests/aoty/album/41.json.gz"
    assert (call.id, call.subject, str(call)) == (41, "41", "aoty.album of 41")


def test_urls():
    site = "https://www.albumoftheyear.org/"
    assert ASKED.url(site) == URL
    assert aoty.get_album(URL).url(site) == URL
    assert aoty.get_album(41).url(site) == f"{site}album/41.php"
    assert (
        aoty.get_artist(4, "some-body").url("http://127.0.0.1:1/aoty") == "http://127.0.0.1:1/aoty/artist/4-some-body/"
    )
    assert CHART.url(site) == f"{site}ratings/user-highest-rated/2024/2/"


def test_keys_tell_their_method():
    for call in (ASKED, CHART, aoty.get_artist(4)):
        assert method_at(call.store_key) == call.method
        assert call.store_key.startswith(f"requests/{folder_of(call.method)}/")
    assert CHART.store_key != aoty.get_list("ratings/user-highest-rated/2024", 3).store_key
    assert (CHART.page, CHART.subject, CHART.list_params) == (2, "ratings/user-highest-rated/2024", "")


@pytest.mark.parametrize("call", [ASKED, CHART, aoty.get_artist(4), aoty.get_album(7)])
def test_an_envelope_says_enough_to_ask_again(call):
    assert Call.of(call.method, call.all_params) == call


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("aoty.search", {"q": "x"}, ValueError),
        ("aoty.album", {}, KeyError),
        ("aoty.album", {"id": "x"}, ValueError),
        ("aoty.album", {"id": "0"}, ValueError),
        ("aoty.artist", {"id": URL}, ValueError),
        ("aoty.list", {"path": "must-hear"}, KeyError),
        ("aoty.list", {"path": "must-hear", "page": "0"}, ValueError),
        ("aoty.list", {"path": "must-hear", "page": "x"}, ValueError),
    ],
)
def test_what_is_no_question(method, params, error):
    with pytest.raises(error):
        Call.of(method, params)


@pytest.mark.parametrize("path", ["search", "/search/albums/", "scripts/moreStatsAlbum", "user/x", "", "a?q=b", "../a"])
def test_what_robots_txt_disallows_is_never_asked(path):
    with pytest.raises(ValueError, match="may be asked"):
        aoty.get_list(path)


@pytest.mark.parametrize(
    "named", ["", "x", -1, 10**12, "https://example.org/album/41-x.php", "/album/x.php", "41-slug", "\u0664\u0661"]
)
def test_what_names_no_album(named):
    with pytest.raises(ValueError, match="no album"):
        aoty.get_album(named)


def test_the_service():
    service = service_of("aoty.album")
    assert service is aoty.SERVICE
    assert (service.title, service.url_setting) == ("albumoftheyear.org", "AOTY_URL")


# --- albums -------------------------------------------------------------------------------------------------------


def test_a_page_of_2026():
    assert album_of(page()) == AotyAlbum(
        id=41, url=URL, title="One Day", artists=("Some & Body",),
        critic_score=70, critic_score_exact=70.3794, critic_count=17,
        user_score=75, user_score_exact=74.5, user_count=20489,
        genres=("Trip Hop", "Dream Pop"), secondary_genres=("Ambient",), tags=("sad",), label="Small / Big & Co",
        release_date="2019-04-12", release_precision="day", format="EP",
        tracks=(
            AotyTrack(1, "In", 49, 64, 1822, note="Skit"),
            AotyTrack(1, "Out", 3723, None, 0, featuring=("A, B", "C"), disc=2),
        ),
        era="2026",
        origins={
            "title": "jsonld", "artists": "jsonld", "critic_score": "jsonld", "critic_score_exact": "css",
            "critic_count": "jsonld", "user_score": "css", "user_score_exact": "css", "user_count": "css",
            "genres": "jsonld", "secondary_genres": "css", "tags": "css", "label": "css", "release_date": "jsonld",
            "format": "css", "tracks": "css",
        },
    )  # fmt: skip


def test_a_page_of_2025():
    album = album_of(PAGE_2025)
    assert (album.title, album.artists, album.era) == ("One Day", ("Some & Body",), "2025")
    assert (album.critic_score, album.critic_score_exact, album.critic_count) == (85, 85.3, 26)
    assert (album.user_score, album.user_count, album.genres) == (77, None, ("Trip Hop",))
    assert [track.title for track in album.tracks] == ["In", "Out"]
    assert {album.origins[name] for name in ("title", "artists", "genres", "critic_count", "tracks")} == {"itemprop"}
    assert not drifted(album)


def test_a_page_of_no_known_era():
    album = album_of(DRIFTED)
    assert (album.title, album.artists, album.era) == ("One Day", ("Some & Body",), "unknown")
    assert (album.critic_score, album.critic_count, album.user_score, album.user_count) == (70, 17, 75, 20489)
    assert set(album.origins.values()) == {"regex"}
    assert drifted(album)


def test_the_rating_of_the_json_ld_is_never_the_users():
    album = album_of(page(critics="", users=""))
    assert (album.critic_score, album.user_score, album.user_count) == (70, None, None)
    assert drifted(album)


@pytest.mark.parametrize("name", ["User Score", "", None, 7, ["Critic Score"]])
def test_a_rating_of_another_name_is_not_the_critics(name):
    album = album_of(page({**LD, "aggregateRating": {**CRITICS, "name": name, "ratingValue": "99"}}))
    assert (album.critic_score, album.user_score) == (70, 75)
    assert album.origins["critic_score"] == "css"
    assert album.rejected[0].startswith("aggregateRating: not the critics'")


def test_no_score_is_null_and_said():
    ld = {name: value for name, value in LD.items() if name != "aggregateRating"}
    album = album_of(page(ld, critics='<div class="albumCriticScore">NR</div>', users=NOT_RATED))
    assert (album.critic_score, album.user_score, album.user_score_exact, album.user_count) == (None, None, None, None)
    assert (album.origins["critic_score"], album.origins["user_score"], album.rejected) == ("css", "css", ())
    assert not drifted(album)


@pytest.mark.parametrize("score", ["101", "-1", "1e3", "70.5", "7 of 10 7", "1-2", "9" * 5000, "\u0667\u0665"])
def test_an_impossible_score_is_null_with_a_reason(score):
    album = album_of(page(users=USER_BOX.replace(">75<", f">{score}<")))
    assert (album.user_score, album.user_score_exact, album.user_count) == (None, None, 20489)
    assert album.rejected[0].startswith("user_score: ")
    assert len(album.rejected[0]) < 80


def test_an_impossible_count_is_null_with_a_reason():
    album = album_of(page(users=USER_BOX.replace("20,489", "99,999,999,999")))
    assert (album.user_score, album.user_count) == (75, None)
    assert album.rejected == ("user_count: out of range ('99,999,999,999')",)


def test_a_score_by_nobody_is_none():
    album = album_of(page({**LD, "aggregateRating": {**CRITICS, "ratingValue": "0", "ratingCount": 0}}, critics=""))
    assert (album.critic_score, album.critic_count) == (None, 0)
    assert album.rejected == ("critic_score: a score by nobody ('0')",)


def test_an_exact_score_must_be_the_score():
    album = album_of(page(users=USER_BOX.replace("74.5", "70.3794")))
    assert (album.user_score, album.user_score_exact) == (75, None)
    assert album.rejected == ("user_score_exact: not the score that is shown ('70.3794')",)
    assert album_of(page(users=USER_BOX.replace("74.5", "nan"))).user_score_exact is None
    assert album_of(page(users=USER_BOX.replace("74.5", "see all"))).rejected == ()


@pytest.mark.parametrize(
    ("said", "shown", "date", "precision", "origin"),
    [
        ("1994-03-01", "March 1994", "1994-03", "month", "css"),
        ("1973-01-01", "1973", "1973", "year", "css"),
        ("1973-00-00", None, "1973", "year", "jsonld"),
        ("2019-04-12", "1999", "2019-04-12", "day", "jsonld"),
        ("2019-02-30", "Feb 3, 2019", "2019-02-03", "day", "css"),
        ("", "Soon", None, None, None),
        (None, None, None, None, None),
    ],
)
def test_a_date_is_as_exact_as_it_is_shown(said, shown, date, precision, origin):
    row = f'<div class="albumTopBox info"><div class="detailRow">{shown} <span>/&nbsp;Release Date</span></div></div>'
    album = album_of(page({**LD, "datePublished": said}, details=row if shown else ""))
    assert (album.release_date, album.release_precision) == (date, precision)
    assert album.origins.get("release_date") == origin


def test_several_artists():
    shared = [{"name": "A"}, {"name": "B"}]
    assert album_of(page({**LD, "byArtist": shared})).artists == ("A", "B")
    two = page().replace(b"</a></div>\n<h1", b'</a>, <a href="/artist/5/">B</a></div>\n<h1')
    assert album_of(two).artists == ("Some & Body", "B")  # the page shows more of them than the JSON-LD names


@pytest.mark.parametrize(
    ("ld", "canonical"),
    [
        ({**LD, "@id": URL.replace("41", "42")}, URL),
        (LD, URL.replace("41", "42")),
        (LD, "https://www.albumoftheyear.org/"),
        ({**LD, "@id": URL.replace("41", "42"), "url": URL.replace("41", "42")}, URL.replace("41", "42")),
    ],
)
def test_ids_must_agree(ld, canonical):
    answer = read(ASKED, 200, page(ld, canonical=canonical))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.rule, answer.lasting) == ("wrong_page", Rule(Action.RECORD), False)


def test_a_page_is_not_rejected_for_another_slug():
    assert album_of(page(canonical=URL.replace("one-day", "once"))).url == URL


def test_what_no_database_holds_is_not_passed_on():
    album = album_of(page({**LD, "name": "One\x00 Da\ud800y", "genre": ["x" * 3000, "Trip Hop", None, 7]}))
    assert album.title == "One Da?y"
    assert album.genres == ("Trip Hop", "7")
    assert album.rejected[0].startswith("genres: name too long")


@pytest.mark.parametrize("block", ["{", "[]", "null", "[" * 100_000, '{"@type": "Thing"}', '"MusicAlbum"', "1e999"])
def test_a_json_ld_that_is_none_leaves_the_rest(block):
    body = page({}).replace(b"</head>", f'<script type="application/ld+json">{block}</script></head>'.encode())
    album = album_of(body)
    assert (album.title, album.critic_score, album.user_score) == ("One Day", 70, 75)
    assert album.origins["critic_score"] == "css"


def test_a_json_ld_in_a_graph():
    assert (
        album_of(page({"@graph": [{"@type": "WebSite"}, {**LD, "@type": ["MusicAlbum"]}]})).origins["title"] == "jsonld"
    )


# --- lists --------------------------------------------------------------------------------------------------------


def test_a_chart():
    answer = read(CHART, 200, CHART_PAGE)
    assert isinstance(answer, AotyListPage)
    assert (answer.page, answer.received, answer.skipped) == (2, 3, {"no_album": 1})
    assert answer.rows == (
        AotyRow(41, URL, "One Day - Live", "Some & Body", year=2024, user_score=84, user_count=12598),
        AotyRow(42, URL.replace("41-some-body-one-day", "42-x-y"), "Y", "X", critic_score=90, critic_count=12),
    )


def test_an_artist():
    answer = read(aoty.get_artist(4), 200, ARTIST_PAGE)
    assert isinstance(answer, AotyListPage)
    assert [(row.id, row.title, row.artist, row.type, row.year) for row in answer.rows] == [
        (41, "One Day", "Some & Body", "lp", 2019),
        (43, "In", "Some & Body", "single", None),
        (44, "C", "B", "live", 2014),
    ]
    assert answer.rows[0][6:] == (70, 17, 75, 1136)
    assert answer.rows[1][6:] == (None, None, None, None)


@pytest.mark.parametrize(
    ("said", "count"), [("(13.4K)", 13400), ("(2K)", 2000), ("(1.2M)", 1_200_000), ("(9999M)", None), ("(.5K)", None)]
)
def test_a_big_count_is_shortened_in_lists(said, count):
    answer = read(aoty.get_artist(4), 200, ARTIST_PAGE.replace(b"(1,136)", said.encode()))
    assert isinstance(answer, AotyListPage)
    assert (answer.rows[0].user_score, answer.rows[0].user_count) == (75, count)


# --- what is no page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 403, 429, 503])
def test_a_challenge_stops_the_run_and_is_no_result(status):
    answer = read(ASKED, status, CHALLENGE)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.rule.action, answer.rule.status) == ("challenge", Action.STOP_QUOTA, "unavailable")
    assert not answer.lasting


def test_what_a_challenge_is_told_by():
    assert is_challenge(200, {"CF-Mitigated": "challenge"}, page()) == "cf-mitigated: challenge"
    assert is_challenge(200, {}, CHALLENGE) == "a page titled 'just a moment...'"
    assert is_challenge(200, {}, CHALLENGE.replace(b"Just a moment", b"Hello")) == "a page with _cf_chl_opt"
    assert is_challenge(200, {}, b"<html><title>Buy this domain</title></html>") == "a page that is not the site's"
    assert is_challenge(403, {}, b"") == "HTTP 403"
    assert aoty.refusal(200, {"cf-mitigated": "challenge"}, page()).kind == "challenge"


@pytest.mark.parametrize("name", ["Just a Moment...", "Access Denied", "One More Step"])
def test_no_name_of_an_album_is_a_challenge(name):
    body = page({**LD, "name": name}, heading=name).replace(
        b"<title>Some &amp; Body - One Day", f"<title>{name}".encode()
    )
    body = body.replace(b"</body>", b"<script>window.__CF$cv$params={};</script><p>checking your browser</p></body>")
    assert is_challenge(200, {"Server": "cloudflare"}, body) == ""
    assert album_of(body).title == name


@pytest.mark.parametrize(
    ("status", "body", "kind", "rule"),
    [
        (
            404,
            b"<html><title>Not found - Album of The Year</title></html>",
            "not_found",
            Rule(Action.RECORD, "not_found"),
        ),
        (410, b"", "not_found", Rule(Action.RECORD, "not_found")),
        (429, b"", "http_429", Rule(Action.SLOW_DOWN)),
        (301, b"", "http_301", Rule(Action.RECORD)),
        (400, b"", "http_400", Rule(Action.RECORD)),
        (502, b"<html><title>albumoftheyear.org | 502: Bad gateway</title></html>", "http_502", Rule(Action.RETRY)),
        (200, b"", "broken_body", Rule(Action.RETRY)),
        (200, page()[:-20], "broken_body", Rule(Action.RETRY)),
        (200, CHART_PAGE, "wrong_page", Rule(Action.RECORD)),
    ],
)
def test_problems(status, body, kind, rule):
    answer = read(ASKED, status, body)
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.rule) == (kind, rule)


def test_an_album_that_is_not_there():
    problem = read(ASKED, 404, b"")
    assert isinstance(problem, Problem)
    assert problem.lasting
    assert mark(ASKED, problem) == AotyAlbumPage(
        method="aoty.album", params="", subject="41", asked=41, status="not_found"
    )
    assert mark(CHART, problem).status == "not_found"
    assert time_to_live(ASKED, problem) == aoty.NEGATIVE_TTL
    assert time_to_live(ASKED, read(ASKED, 200, page())) == aoty.GOOD_TTL
    assert time_to_live(CHART, read(CHART, 200, CHART_PAGE)) == aoty.GOOD_TTL
    assert time_to_live(CHART, read(CHART, 200, page())) == aoty.NEGATIVE_TTL  # a page of the site without rows


# --- files --------------------------------------------------------------------------------------------------------


def test_saved_pages():
    assert read_saved(page()) == album_of(page())
    assert [row.id for row in read_saved(CHART_PAGE)] == [41, 42]
    assert read_saved(CHALLENGE) is None
    assert read_saved(b"") is None
    assert read_saved(b"\x89PNG\r\n") is None


CSV_ROW = {
    "id": "1", "title": "One Day", "artist": "Some, Body & X", "release_date": "March 1994",
    "genres": "Trip Hop, Dream Pop", "user_score": "95", "rating_count": "28,594 ratings", "album_link": URL,
}  # fmt: skip


def test_a_row_of_a_table():
    album = read_csv_row(CSV_ROW)
    assert album is not None
    assert (album.id, album.url, album.title, album.artists) == (41, URL, "One Day", ("Some, Body & X",))
    assert (album.user_score, album.user_count, album.critic_score) == (95, 28594, None)
    assert (album.release_date, album.release_precision, album.genres) == (
        "1994-03",
        "month",
        ("Trip Hop", "Dream Pop"),
    )
    assert set(album.origins.values()) == {"csv"}
    assert not drifted(album)


def test_rows_of_a_table_that_say_less():
    assert read_csv_row({}) is None
    assert read_csv_row({**CSV_ROW, "album_link": "https://example.org/album/41-x.php"}) is None
    assert read_csv_row({**CSV_ROW, "title": ""}) is None
    album = read_csv_row({**CSV_ROW, "user_score": "950", "rating_count": None, "artist": "", "release_date": "?"})
    assert album is not None
    assert (album.user_score, album.user_count, album.artists, album.release_date) == (None, None, (), None)
    assert album.rejected == ("user_score: out of range ('950')",)
    assert set(album.origins) == {"title", "genres"}


# --- real pages ---------------------------------------------------------------------------------------------------


@needs_pages
def test_the_real_album_page():
    body = (REAL / "pages" / "album.html").read_bytes()
    album = read(aoty.get_album(564912), 200, body).album
    assert album == read_saved(body)
    assert (album.title, album.artists, album.format) == ("Don't Be Dumb", ("A$AP Rocky",), "LP")
    assert (album.critic_score, album.critic_score_exact, album.critic_count) == (70, 70.3794, 17)
    assert (album.user_score, album.user_score_exact, album.user_count) == (75, 74.5, 20489)
    assert (len(album.genres), len(album.secondary_genres), len(album.tags)) == (2, 5, 5)
    assert (album.release_date, album.release_precision, album.label) == ("2026-01-16", "day", "A$AP")
    assert len(album.tracks) == 17
    assert album.tracks[4] == AotyTrack(5, "STAY HERE 4 LIFE", 346, 84, 4347, ("Brent Faiyaz",))
    assert [(track.disc, track.number) for track in album.tracks[14:]] == [(1, 15), (2, 1), (2, 2)]
    assert (album.era, album.rejected, drifted(album)) == ("2026", (), False)


@needs_pages
@pytest.mark.parametrize(
    ("name", "count", "first", "with_critics", "with_users"),
    [
        ("must-hear-2026", 29, (1709944, "Aldous Harding", "", 2026, 83, 17, 75, 728), 21, 29),
        ("releases", 60, (1679045, "Kenny Mason", "lp", None, None, None, 82, 148), 26, 60),
        ("search-albums", 60, (43815, "The Chainsmokers", "single", 2014, None, None, None, None), 0, 0),
    ],
)
def test_the_real_lists(name, count, first, with_critics, with_users):
    rows = read_saved((REAL / "pages" / f"{name}.html").read_bytes())
    assert isinstance(rows, tuple)
    assert len(rows) == count
    row = rows[0]
    assert (row.id, row.artist, *row[4:]) == first
    assert all(row.title and row.artist for row in rows)
    assert sum(row.critic_score is not None and row.critic_count is not None for row in rows) == with_critics
    assert sum(row.user_score is not None and row.user_count is not None for row in rows) == with_users


@needs_pages
@pytest.mark.parametrize("status", [200, 403])
def test_every_real_challenge_is_one_and_no_page_is(status):
    """Three of the files are ordinary pages of others: no challenges, but not to be taken for the site's, either."""
    files = sorted((REAL / "challenge").iterdir())
    assert len(files) == 18
    for file in files:
        body = file.read_bytes()
        assert is_challenge(status, {}, body), file.name
        assert read_saved(body) is None
        assert read(ASKED, status, body).rule.action is Action.STOP_QUOTA
    for file in (REAL / "pages").iterdir():
        assert is_challenge(200, {}, file.read_bytes()) == "", file.name


@needs_pages
def test_the_whole_table():
    with (REAL / "top-5000-albums.csv").open(encoding="utf-8", newline="") as table:
        albums = [read_csv_row(row) for row in csv.DictReader(table)]
    assert len(albums) == len({album.id for album in albums}) == 5000
    assert all(album.artists and album.user_score and album.user_count and album.release_date for album in albums)
    assert not any(album.rejected for album in albums)


# --- no body makes it raise ---------------------------------------------------------------------------------------

BODIES = [page(), PAGE_2025, DRIFTED, CHART_PAGE, ARTIST_PAGE, CHALLENGE]
SNIPPETS = [
    b"\0", b"\xff\xfe", b"NR", b"-5", b"9" * 40, b"1e999", b"</div>", b"<div>" * 300, b"<script>", b'"', b"{", b"<!--",
    "\u0667\u2028\u00a0".encode(), b"\\ud800", b"<a \xef\xbf>", b"&#0;&#xd800;", b"<tr>", b"</html>", b"null",
]  # fmt: skip
edits = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 200), st.sampled_from(SNIPPETS) | st.binary(max_size=8)
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


def edited(body: bytes, changes) -> bytes:
    for place, removed, put in changes:
        start = int(place * len(body))
        body = body[:start] + put + body[start + removed :]
    return body


def check(body: bytes) -> None:
    for call in (ASKED, CHART):
        for status in (200, 404, 500):
            answer = read(call, status, body)
            assert isinstance(answer, (AotyAlbumPage, AotyListPage, Problem))
            assert {field.name for field in fields(answer)}
    saved = read_saved(body)
    for album in (saved,) if isinstance(saved, AotyAlbum) else ():
        assert all(score is None or 0 <= score <= 100 for score in (album.critic_score, album.user_score))
        assert all(origin in {"jsonld", "css", "itemprop", "regex"} for origin in album.origins.values())
        assert json.dumps(album).encode("utf-8", "strict")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BODIES), edits)
def test_spoilt_pages(body, changes):
    check(edited(body, changes))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(BODIES),
    st.sampled_from(["utf-16", "utf-8-sig", "cp1252", "utf-7", "cp037"]),
    st.binary(max_size=20),
)
def test_wrong_encodings(body, encoding, more):
    check(body.decode().encode(encoding, "replace") + more)


@settings(max_examples=100, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LD, *CRITICS]), inner, max_size=4),
))  # fmt: skip
def test_any_json_ld(value):
    check(page({"@type": "MusicAlbum", **(value if isinstance(value, dict) else {"name": value})}))


@given(st.binary(max_size=300))
def test_any_bytes(body):
    check(body)


@given(st.dictionaries(st.sampled_from(aoty.CSV_COLUMNS), st.none() | st.text(max_size=30)))
def test_any_row(row):
    album = read_csv_row({**CSV_ROW, **row})
    assert album is None or album.user_score is None or 0 <= album.user_score <= 100
