"""The sandbox's albumoftheyear.org: its albums and its pages over real HTTP, as our own service reads them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.robotparser import RobotFileParser

import aiohttp
import pytest

from lastfm_crawl.items import AotyAlbumPage, AotyListPage
from lastfm_crawl.sandbox import Faults, Sandbox, World, demo_world, hetrec_world
from lastfm_crawl.sandbox.aoty import PER_PAGE, Ratings, route_of, slug
from lastfm_crawl.sandbox.faults import AOTY_KINDS
from lastfm_crawl.sandbox.history import Scrobble
from lastfm_crawl.sandbox.model import duration_of
from lastfm_crawl.services import aoty
from lastfm_crawl.services.aoty import drifted, is_challenge, read_saved
from lastfm_crawl.services.problems import Action, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lastfm_crawl.items import Answered
    from lastfm_crawl.services.aoty import Call

WORLD = demo_world(40)
MUSIC = Ratings(WORLD)
ALBUMS = list(MUSIC.albums.values())
RATED = next(a for a in ALBUMS if a.users and a.critics and a.day and not a.microdata and len(a.genres) > 2)


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Asks as the crawler does."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox, self.session = sandbox, session

    async def get(self, path: str) -> Got:
        async with self.session.get(self.sandbox.aoty_url + path, allow_redirects=False) as response:
            return Got(response.status, dict(response.headers), await response.read())

    async def read(self, call: Call) -> Answered | Problem:
        got = await self.get(call.url("/").lstrip("/"))
        return aoty.read(call, got.status, got.body)

    async def album(self, album_id: int):
        answer = await self.read(aoty.get_album(album_id))
        assert isinstance(answer, AotyAlbumPage), answer
        return answer.album


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    sandbox = Sandbox(WORLD)
    await sandbox.start()
    async with aiohttp.ClientSession(headers={"User-Agent": "lastfm_crawl/0.1 (+tests)"}) as session:
        yield Client(sandbox, session)
    await sandbox.stop()


# --- which albums there are ---------------------------------------------------------------------------------------


def test_the_albums_of_the_demo_are_there_but_for_some():
    known = {(artist["name"], album["title"]) for artist in WORLD.catalogue for album in artist["albums"]}
    assert MUSIC.ids.keys() < known
    assert len(MUSIC.ids) > 0.9 * len(known)
    assert len(MUSIC.albums) == len(MUSIC.ids)


def test_ids_follow_from_names():
    assert Ratings(demo_world(3)).ids == MUSIC.ids


def test_there_are_pages_of_every_sort():
    sorts = Counter((a.microdata, a.users is None, a.critics is None, a.day is None) for a in ALBUMS)
    for place in range(4):
        some = sum(count for sort, count in sorts.items() if sort[place])
        assert 0 < some < len(ALBUMS) / 2


def test_histories_make_albums_where_there_is_no_catalogue():
    plays = [Scrobble("A", "One", 1_200_000_000, album="B"), Scrobble("A", "Two", 1_200_000_100, album="B")]
    plays += [Scrobble("A", "Loose", 1_200_000_200)]
    music = Ratings(World.of({"u": []}, scrobbles={"u": plays}))
    (album,) = music.albums.values()
    assert (album.artist.name, album.title) == ("A", "B")
    assert {track.title for track in album.tracks} == {"One", "Two"}


def test_a_world_without_albums_has_none(hetrec):
    assert not Ratings(hetrec_world(hetrec)).albums


def test_slugs():
    assert slug("Björk & Co. - Début!") == "bjork-co-debut"
    assert slug("漢字") == "untitled"


@pytest.mark.parametrize(
    ("path", "method", "params"),
    [
        ("/album/41-a-b.php", "aoty.album", {"id": "41"}),
        ("/album/41.php", "aoty.album", {"id": "41"}),
        ("/artist/4-a/", "aoty.artist", {"id": "4"}),
        ("/ratings/user-highest-rated/2004/2/", "aoty.list", {"path": "ratings/user-highest-rated/2004", "page": "2"}),
        ("/ratings/user-highest-rated/all", "aoty.list", {"path": "ratings/user-highest-rated/all", "page": "1"}),
        ("/search/albums/", "aoty.search", {"path": "search/albums/"}),
        ("/ratings/6-highest-rated/2004/", "aoty.unknown", {"path": "ratings/6-highest-rated/2004/"}),
    ],
)
def test_paths(path, method, params):
    assert route_of(path) == (method, params)


# --- pages --------------------------------------------------------------------------------------------------------


async def test_every_album_is_read_as_it_is(client):
    for known in ALBUMS:
        album = await client.album(known.id)
        users, critics = known.users, known.critics
        assert (album.title, album.artists, album.rejected) == (known.title, (known.artist.name,), ())
        assert (album.user_score, album.user_count) == ((users.rounded, users.count) if users else (None, None))
        assert (album.critic_score, album.critic_count) == (
            (critics.rounded, critics.count) if critics else (None, None)
        )
        assert album.user_score_exact == (pytest.approx(users.exact) if users else None)
        assert album.critic_score_exact == (pytest.approx(critics.exact) if critics else None)
        assert album.genres + album.secondary_genres == tuple(known.genres)
        assert [track.title for track in album.tracks] == [track.title for track in known.tracks]
        assert album.era == ("2025" if known.microdata else "2026")
        assert not drifted(album)


async def test_an_album_in_full(client):
    album = await client.album(RATED.id)
    assert album.url == f"https://www.albumoftheyear.org/{RATED.path}"
    assert (album.label, album.format, album.tags) == (f"{RATED.artist.name} Records", "LP", ("made up",))
    assert album.release_date == f"{RATED.year}-{RATED.month:02}-{RATED.day:02}"
    assert len(album.genres) == 2
    first = RATED.tracks[0]
    assert album.tracks[0][:5] == (1, first.title, first.seconds, first.score.rounded, first.score.count)
    assert first.seconds == duration_of(RATED.artist.name, first.title)


async def test_a_year_alone_is_a_year(client):
    known = next(a for a in ALBUMS if a.day is None and not a.microdata)
    album = await client.album(known.id)
    assert (album.release_date, album.release_precision) == (str(known.year), "year")


async def test_charts_hold_what_users_rated(client):
    path, rows, page = "ratings/user-highest-rated/all", [], 1
    while True:
        answer = await client.read(aoty.get_list(path, page))
        assert isinstance(answer, AotyListPage)
        if not answer.rows:
            break
        assert len(answer.rows) <= PER_PAGE
        rows += answer.rows
        page += 1
    assert [row.id for row in rows] == [album.id for album in MUSIC.chart("all")]
    assert {row.id for row in rows} == {album.id for album in ALBUMS if album.users}
    for row in rows:
        album = MUSIC.albums[row.id]
        assert (row.artist, row.title, row.year) == (album.artist.name, album.title, album.year)
        assert (row.user_score, row.user_count, row.critic_score) == (album.users.rounded, album.users.count, None)
    assert aoty.get_album(rows[0].url) == aoty.Call.of("aoty.album", aoty.get_album(rows[0].url).all_params)


async def test_a_chart_of_a_year(client):
    answer = await client.read(aoty.get_list(f"ratings/user-highest-rated/{RATED.year}"))
    assert RATED.id in [row.id for row in answer.rows]
    assert {row.year for row in answer.rows} == {RATED.year}


async def test_an_artist(client):
    answer = await client.read(aoty.get_artist(RATED.artist.id))
    assert [(row.id, row.artist, row.type) for row in answer.rows] == [
        (album.id, RATED.artist.name, "lp") for album in RATED.artist.albums
    ]
    row = next(row for row in answer.rows if row.id == RATED.id)
    assert row[6:] == (RATED.critics.rounded, RATED.critics.count, RATED.users.rounded, RATED.users.count)


async def test_what_is_not_there(client):
    for call in (aoty.get_album(1_999_999), aoty.get_artist(1_999_999), aoty.get_list("ratings/6-highest-rated/2004")):
        answer = await client.read(call)
        assert isinstance(answer, Problem)
        assert (answer.kind, answer.lasting) == ("not_found", True)


# --- conduct ------------------------------------------------------------------------------------------------------


async def test_robots_txt(client):
    robots = RobotFileParser()
    robots.parse((await client.get("robots.txt")).body.decode().splitlines())
    for path, allowed in ((RATED.path, True), ("ratings/user-highest-rated/2004/1/", True), ("search/?q=x", False)):
        assert robots.can_fetch("lastfm_crawl", f"https://www.albumoftheyear.org/{path}") is allowed


async def test_every_request_is_logged(client):
    await client.get("robots.txt")
    await client.album(RATED.id)
    await client.read(aoty.get_list("ratings/user-highest-rated/2004", 2))
    await client.get("search/albums/?q=x")
    assert [(call.method, call.params.get("id"), call.status) for call in client.sandbox.log] == [
        ("aoty.robots", None, 200),
        ("aoty.album", str(RATED.id), 200),
        ("aoty.list", None, 200),
        ("aoty.search", None, 404),
    ]
    assert client.sandbox.calls("aoty.list")[0].params["page"] == "2"
    assert client.sandbox.log[1].user_agent == "lastfm_crawl/0.1 (+tests)"


@pytest.mark.parametrize("mode", ["challenge", "denied"])
async def test_a_site_that_does_not_let_us_in(client, mode):
    client.sandbox.aoty.mode = mode
    for path in (RATED.path, RATED.artist.path, "album/1999999.php"):
        got = await client.get(path)
        assert got.status == 403
        assert is_challenge(200, {}, got.body)  # by its body alone
        assert bool(got.headers.get("cf-mitigated")) is (mode == "challenge")
        assert read_saved(got.body) is None
    answer = await client.read(aoty.get_album(RATED.id))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.rule.action) == ("challenge", Action.STOP_QUOTA)
    assert (await client.get("robots.txt")).status == 200


async def test_a_new_markup_is_noticed(client):
    client.sandbox.aoty.mode = "drifted"
    album = await client.album(RATED.id)
    assert drifted(album)
    assert (album.user_score, album.origins["user_score"]) == (RATED.users.rounded, "regex")
    assert album.critic_score == RATED.critics.rounded


@pytest.mark.parametrize(
    ("kind", "problem", "action"),
    [
        ("challenge", "challenge", Action.STOP_QUOTA),
        ("denied", "challenge", Action.STOP_QUOTA),
        ("rate_limit", "http_429", Action.SLOW_DOWN),
        ("html_502", "http_502", Action.RETRY),
        ("error_0_404", "not_found", Action.RECORD),
        ("error_0_503", "http_503", Action.RETRY),
        ("truncated", "broken_body", Action.RETRY),
        ("empty", "broken_body", Action.RETRY),
    ],
)
async def test_faults(client, kind, problem, action):
    client.sandbox.faults.script("aoty.album", kinds=[kind], params={"id": str(RATED.id)})
    answer = await client.read(aoty.get_album(RATED.id))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.rule.action) == (problem, action)
    assert (await client.album(RATED.id)).id == RATED.id


async def test_a_rate_limit_may_say_how_long(client):
    client.sandbox.faults = Faults(retry_after=7)
    client.sandbox.faults.script("aoty.album", kinds=["rate_limit"])
    assert (await client.get(RATED.path)).headers["Retry-After"] == "7"


async def test_drawn_faults_are_those_of_pages(client):
    client.sandbox.faults = Faults(rate=0.5, slow=0)
    for album in ALBUMS[:60]:
        try:
            await client.get(album.path)
        except aiohttp.ServerDisconnectedError:
            continue
    assert {call.fault for call in client.sandbox.log} == {None, *AOTY_KINDS}


async def test_the_world_may_change(client):
    assert await client.album(RATED.id)
    client.sandbox.world = World.of({"u": []})
    assert isinstance(await client.read(aoty.get_album(RATED.id)), Problem)
