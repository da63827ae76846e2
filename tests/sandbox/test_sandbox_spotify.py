"""The sandbox's Spotify: its music, its accounts and its Web API over real HTTP, as our own service reads them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from lastfm_crawl.items import Answered, SpotifyArtists, SpotifyTopArtists, SpotifyTracks
from lastfm_crawl.sandbox import Faults, Sandbox, World, demo_world, hetrec_world, scrobbles_world, synthetic_world
from lastfm_crawl.sandbox.faults import SPOTIFY_KINDS
from lastfm_crawl.sandbox.history import Scrobble
from lastfm_crawl.sandbox.spotify import RELINKING_MARKET, route_of
from lastfm_crawl.sandbox.spotify_catalogue import Catalogue, words_of
from lastfm_crawl.services import spotify
from lastfm_crawl.services.problems import Action, Problem
from lastfm_crawl.services.spotify import Call, Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHARED = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
RECORDED = SHARED / "spotify"
WORLD = demo_world(60)
MUSIC = Catalogue(WORLD)
CLIENT, SECRET = "canary-client", "canary-secret"
VERIFIER = "canary-verifier-0123456789-0123456789-0123456789"
BACK = "http://127.0.0.1:8765/callback"
NOBODY = "0" * 22


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One app: fetches its token when it has none, and reads answers as the crawler does."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox, self.session = sandbox, session
        self.token = ""

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Got:
        async with self.session.get(url, headers=headers, allow_redirects=False) as response:
            return Got(response.status, dict(response.headers), await response.read())

    async def fetch_token(self, request: spotify.TokenRequest | None = None) -> Token | Problem:
        request = request or spotify.client_credentials(CLIENT, SECRET)
        url = self.sandbox.spotify_token_url
        async with self.session.post(url, data=request.body, headers=dict(request.headers)) as response:
            answer = spotify.read_token(response.status, await response.read())
        if isinstance(answer, Token):
            self.token = answer.access_token
        return answer

    async def send(self, call: Call) -> Got:
        if not self.token:
            await self.fetch_token()
        return await self.get(call.url(self.sandbox.spotify_url), {"Authorization": f"Bearer {self.token}"})

    async def ask(self, call: Call) -> Answered | Problem:
        got = await self.send(call)
        return spotify.read(call, got.status, got.body)

    async def log_in(self, redirect_uri: str = BACK, verifier: str = VERIFIER) -> Token | Problem:
        challenge = spotify.challenge_of(VERIFIER)
        page = spotify.authorize_url(self.sandbox.spotify_token_url, CLIENT, BACK, challenge, "st&te")
        back = parse_qs(urlsplit((await self.get(page)).headers["Location"]).query)
        assert back["state"] == ["st&te"]
        return await self.fetch_token(spotify.code_exchange(back["code"][0], verifier, CLIENT, redirect_uri))


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    server = Sandbox(WORLD)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(sandbox, session)


def track_of(artist: str, title: str):
    return MUSIC.tracks[MUSIC.track_ids[artist, title]]


# --- the music -------------------------------------------------------------------------


def test_ids_and_codes_have_their_forms():
    assert all(len(i) == 22 and i.isalnum() and i.isascii() for i in [*MUSIC.artists, *MUSIC.tracks])
    assert all(len(t.isrc) == 12 and t.isrc[5:].isdecimal() and t.isrc.isupper() for t in MUSIC.tracks.values())


def digest(music: Catalogue) -> str:
    return sha256(repr([*music.tracks.values()]).encode()).hexdigest()


def test_everything_is_the_same_in_every_process():
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    run = subprocess.run(
        [sys.executable, "-c", "import test_sandbox_spotify as t; print(t.digest(t.MUSIC))"],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(MUSIC)


def test_another_world_of_the_same_catalogue_has_the_same_music():
    assert Catalogue(demo_world(20, seed=9)).tracks.keys() == MUSIC.tracks.keys()


def test_some_artists_are_missing_and_some_spelt_differently():
    assert "Nina Simone" in MUSIC.missing
    assert "Nina Simone" not in MUSIC.artist_ids
    here = {name: MUSIC.artists[i].name for name, i in MUSIC.artist_ids.items()}
    assert len(MUSIC.missing) + len(here) == len(WORLD.catalogue)
    assert here["The Beatles"] == "Beatles"
    assert here["Arvo Pärt"] == "Arvo Part"
    assert here["Peter, Paul and Mary"] == "Peter, Paul & Mary"
    assert here["The The"] == "The The"
    assert here["坂本龍一"] == "坂本龍一"
    assert 3 <= len(MUSIC.missing) <= 15
    assert 5 <= len([name for name, other in here.items() if name != other]) <= 25


def test_some_names_are_those_of_two_artists_and_the_wrong_one_comes_first():
    names = [artist.name for artist in MUSIC.artists.values()]
    doubled = {name for name in names if names.count(name) > 1}
    assert len(doubled) > 5
    first, second = MUSIC.find_artists(min(doubled))[:2]
    assert (first.loud, second.loud) == (True, False)


def test_tributes_and_other_versions_come_first():
    versions = [t for t in MUSIC.tracks.values() if t.loud]
    assert {"(Karaoke Version)", "- Sped Up"} <= {
        end for t in versions for end in ("(Karaoke Version)", "- Sped Up") if t.name.endswith(end)
    }
    fast = next(t for t in versions if t.name.endswith(" - Sped Up"))
    title = fast.name.removesuffix(" - Sped Up")
    found = MUSIC.find_tracks(track=title)
    right = next(t for t in found if t.name == title and not t.loud)
    assert found.index(fast) < found.index(right)
    assert fast.duration_ms < right.duration_ms
    assert fast.isrc != right.isrc


def test_a_missing_artist_has_a_tribute_band():
    assert [artist.name for artist in MUSIC.find_artists("Nina Simone")] == ["Nina Simone Tribute Band"]


def test_a_recording_on_two_albums_has_one_code():
    codes = [track.isrc for track in MUSIC.tracks.values()]
    doubled = {code for code in codes if codes.count(code) > 1}
    assert len(doubled) > 20
    for code in doubled:
        first, last = MUSIC.by_isrc(code)
        assert (first.name, first.artist, last.album.kind) == (last.name, last.artist, "compilation")
        assert first.id != last.id
        assert MUSIC.elsewhere(first) is last


def test_dates_have_all_precisions():
    dates = {(t.album.precision, len(t.album.date)) for t in MUSIC.tracks.values()}
    assert dates == {("year", 4), ("month", 7), ("day", 10)}
    assert any(t.album.date == "0000" for t in MUSIC.tracks.values())
    years = {a["title"]: a["year"] for artist in WORLD.catalogue for a in artist["albums"]}
    album = track_of("ABBA", "Dancing Queen").album
    assert album.date.startswith(str(years[album.name]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Beatles", ["beatles"]),
        ("Guns N\u2019 Roses", ["guns", "n", "roses"]),
        ("Guns N' Roses", ["guns", "n", "roses"]),
        ("Beyoncé", ["beyonce"]),
        ("!!!", ["!!!"]),
        ("The The", ["the the"]),
        ("", [""]),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    "fields",
    [{}, {"artist": "?"}, {"track": "no such title"}, {"words": "no such words"}, {"artist": "ABBA", "track": "SOS x"}],
)
def test_what_is_not_found(fields):
    assert MUSIC.find_tracks(**fields) == []


def test_fields_are_looked_up_by_themselves_and_together():
    queen = track_of("ABBA", "Dancing Queen")
    for fields in (
        {"artist": "ABBA", "track": "Dancing Queen", "album": "Arrival"},
        {"album": "Arrival"},
        {"track": "dancing QUEEN"},
        {"words": "dancing abba"},
        {"artist": "ABBA", "words": "queen"},
    ):
        assert queen in MUSIC.find_tracks(**fields), fields


def test_worlds_without_a_catalogue_have_music_too():
    world = World.of({"RJ": []}, {"RJ": [("Queen", 3)]}, scrobbles={"x": [Scrobble("Can", "Vitamin C")]})
    music = Catalogue(world)
    assert music.artist_ids.keys() | music.missing == {"Queen", "Can"}
    assert ("Can", "Vitamin C") in music.track_ids or "Can" in music.missing
    assert Catalogue(world).tracks.keys() == music.tracks.keys()
    assert Catalogue(World.of({})).artists == {}


def test_a_synthetic_world_of_any_size_is_soon_there():
    began = time.monotonic()
    assert len(Catalogue(synthetic_world(1_000_000, 5)).artist_ids) > 1000
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("make", "folder"), [(hetrec_world, "hetrec2011"), (scrobbles_world, "scrobbles")])
def test_music_of_the_shared_data(make, folder):
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no data in {SHARED / folder}")
    world = make(SHARED / folder)
    music = Catalogue(world)
    names = {row.artist for name in world.artists for row in world.artists[name]}
    assert music.artist_ids.keys() | music.missing == names


# --- accounts --------------------------------------------------------------------------


async def test_client_credentials(client: Client):
    token = await client.fetch_token()
    assert isinstance(token, Token)
    assert (token.expires_in, token.refresh_token) == (3600, None)
    assert isinstance(await client.ask(spotify.search_artists("ABBA")), SpotifyArtists)


@pytest.mark.parametrize(("client_id", "secret"), [("invalid-id", "s"), ("", "s"), ("id", "invalid"), ("id", "")])
async def test_clients_that_are_none(client: Client, client_id, secret):
    problem = await client.fetch_token(spotify.client_credentials(client_id, secret))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.rule.action) == ("invalid_client", Action.STOP_KEY)


async def test_an_unknown_grant(client: Client):
    problem = await client.fetch_token(spotify.TokenRequest(b"grant_type=password&client_id=x", {
        "Content-Type": "application/x-www-form-urlencoded",
    }))  # fmt: skip
    assert isinstance(problem, Problem)
    assert problem.kind == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("header", "status", "message"),
    [
        ({}, 401, "No token provided"),
        ({"Authorization": "Bearer made-up"}, 401, "Invalid access token"),
        ({"Authorization": "Basic eDp5"}, 400, "Only valid bearer authentication supported"),
    ],
)
async def test_requests_without_a_good_token(client: Client, header, status, message):
    got = await client.get(f"{client.sandbox.spotify_url}/me", header)
    assert (got.status, got.json) == (status, {"error": {"status": status, "message": message}})


async def test_tokens_end(client: Client):
    client.sandbox.spotify.accounts.token_seconds = 0.05
    token = await client.fetch_token()
    assert isinstance(token, Token)
    assert token.expires_in == 1
    await asyncio.sleep(0.06)
    problem = await client.ask(spotify.search_artists("ABBA"))
    assert isinstance(problem, Problem)
    assert (problem.rule.action, problem.message) == (Action.RENEW, "HTTP 401: The access token expired")
    await client.fetch_token()
    assert not isinstance(await client.ask(spotify.search_artists("ABBA")), Problem)


async def test_all_tokens_can_be_ended(client: Client):
    await client.ask(spotify.search_artists("ABBA"))
    client.sandbox.spotify.accounts.expire()
    assert (await client.send(spotify.search_artists("ABBA"))).status == 401


async def test_a_user_logs_in(client: Client):
    client.sandbox.spotify.user = "test user"
    token = await client.log_in()
    assert isinstance(token, Token)
    assert (token.scope, bool(token.refresh_token)) == ("user-top-read", True)
    profile = await client.ask(spotify.get_me("test user"))
    assert (profile.account, profile.display_name) == ("testuser", "test user")  # type: ignore[union-attr]


async def test_refresh_tokens_are_for_one_use(client: Client):
    first = await client.log_in()
    assert isinstance(first, Token)
    second = await client.fetch_token(spotify.refresh(first.refresh_token or "", CLIENT))
    assert isinstance(second, Token)
    assert (await client.send(spotify.get_me("RJ"))).status == 200
    assert second.refresh_token not in {None, first.refresh_token}
    again = await client.fetch_token(spotify.refresh(first.refresh_token or "", CLIENT))
    assert isinstance(again, Problem)
    assert again.kind == "invalid_grant"
    others = await client.fetch_token(spotify.refresh(second.refresh_token or "", "another-client"))
    assert isinstance(others, Problem)
    assert isinstance(await client.fetch_token(spotify.refresh(second.refresh_token or "", CLIENT)), Token)


async def test_a_consent_that_is_withdrawn(client: Client):
    token = await client.log_in()
    assert isinstance(token, Token)
    client.sandbox.spotify.accounts.withdraw()
    problem = await client.fetch_token(spotify.refresh(token.refresh_token or "", CLIENT))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.rule.action) == ("invalid_grant", Action.DENIED)


@pytest.mark.parametrize("wrong", [{"verifier": VERIFIER + "x"}, {"verifier": "short"}, {"redirect_uri": BACK + "/"}])
async def test_a_code_is_nobody_elses(client: Client, wrong):
    problem = await client.log_in(**wrong)
    assert isinstance(problem, Problem)
    assert problem.kind == "invalid_grant"


async def test_a_code_is_for_one_use(client: Client):
    page = spotify.authorize_url(client.sandbox.spotify_token_url, CLIENT, BACK, spotify.challenge_of(VERIFIER), "s")
    code = parse_qs(urlsplit((await client.get(page)).headers["Location"]).query)["code"][0]
    exchange = spotify.code_exchange(code, VERIFIER, CLIENT, BACK)
    assert isinstance(await client.fetch_token(exchange), Token)
    assert isinstance(await client.fetch_token(exchange), Problem)


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("http://127.0.0.1:1/x", 302),
        ("http://[::1]:8765/callback", 302),
        ("http://localhost:8765/callback", 400),
        ("https://127.0.0.1/x", 400),
        ("http://example.org/", 400),
        ("", 400),
    ],
)
async def test_only_loopback_literals_are_led_back_to(client: Client, uri, status):
    got = await client.get(spotify.authorize_url(client.sandbox.spotify_token_url, CLIENT, uri, "c", "s"))
    assert got.status == status
    assert got.headers.get("Location", uri).startswith(uri)


async def test_a_user_who_says_no(client: Client):
    client.sandbox.spotify.accounts.consents = False
    got = await client.get(spotify.authorize_url(client.sandbox.spotify_token_url, CLIENT, BACK, "c", "s"))
    assert parse_qs(urlsplit(got.headers["Location"]).query) == {"state": ["s"], "error": ["access_denied"]}


# --- the Web API, development mode -----------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "status", "rows"), [(None, 200, 5), (5, 200, 5), (10, 200, 10), (11, 400, 0), (50, 400, 0), (0, 400, 0)]
)
async def test_limits_of_a_search(client: Client, limit, status, rows):
    call = spotify.search_tracks("ABBA", "", 5)
    await client.fetch_token()
    url = call.url(client.sandbox.spotify_url).replace("limit=5&", "" if limit is None else f"limit={limit}&")
    got = await client.get(url, {"Authorization": f"Bearer {client.token}"})
    assert got.status == status
    if rows:
        assert len(got.json["tracks"]["items"]) == min(rows, got.json["tracks"]["total"])
        assert got.json["tracks"]["limit"] == rows
    else:
        assert got.json["error"]["message"] == "Invalid limit"
        assert spotify.read(call, got.status, got.body).kind == "invalid_limit"  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [spotify.get_artists, spotify.get_tracks])
async def test_there_are_no_batches(client: Client, make):
    problem = await client.ask(make([NOBODY]))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.rule.action) == ("removed_endpoint", Action.REPHRASE)


async def test_fields_that_are_gone(client: Client):
    track = (await client.send(spotify.get_track(MUSIC.track_ids["ABBA", "Dancing Queen"]))).json
    assert not track.keys() & {"available_markets", "linked_from", "popularity"}
    assert not track["album"].keys() & {"album_group", "available_markets", "label", "popularity", "external_ids"}
    assert track["external_ids"] == {"isrc": track_of("ABBA", "Dancing Queen").isrc}
    artist = (await client.send(spotify.get_artist(MUSIC.artist_ids["ABBA"]))).json
    assert not artist.keys() & {"followers", "popularity"}
    assert artist["genres"] == []
    await client.log_in()
    user = (await client.send(spotify.get_me("RJ"))).json
    assert not user.keys() & {"country", "email", "explicit_content", "followers", "product"}


async def test_an_artist_and_a_track_as_we_read_them(client: Client):
    artist = await client.ask(spotify.get_artist(MUSIC.artist_ids["The Beatles"]))
    assert isinstance(artist, SpotifyArtists)
    assert artist.artists[0][:3] == (MUSIC.artist_ids["The Beatles"], "Beatles", None)
    known = track_of("ABBA", "Dancing Queen")
    answer = await client.ask(spotify.get_track(known.id))
    assert isinstance(answer, SpotifyTracks)
    (track,) = answer.tracks
    assert (track.id, track.name, track.isrc, track.artist_names) == (known.id, known.name, known.isrc, ("ABBA",))
    assert (track.release_date, track.release_precision) == (known.album.date, known.album.precision)
    assert (track.duration_ms, track.linked_from) == (known.duration_ms, None)


@pytest.mark.parametrize("make", [spotify.get_artist, spotify.get_track])
@pytest.mark.parametrize("wanted", [NOBODY, "x", "\u00e4" * 22])
async def test_ids_that_are_nobodys(client: Client, make, wanted):
    problem = await client.ask(make(wanted))
    assert isinstance(problem, Problem)
    assert problem.kind == "not_found"


async def test_the_first_hit_of_a_search_for_one_is_another(client: Client):
    ten = await client.ask(spotify.search_tracks("ABBA", "Dancing Queen"))
    one = await client.ask(spotify.search_tracks("ABBA", "Dancing Queen", 1))
    assert isinstance(ten, SpotifyTracks)
    assert isinstance(one, SpotifyTracks)
    assert [track.id for track in one.tracks] == [ten.tracks[1].id]


@pytest.mark.parametrize("name", sorted(MUSIC.artist_ids))
def test_every_artist_is_found_by_the_name_that_lastfm_has(name):
    query = parse_qs(urlsplit(spotify.search_artists(name).url("http://x")).query)["q"][0]
    phrase = query.removeprefix('artist:"').removesuffix('"')
    assert MUSIC.artist_ids[name] in [artist.id for artist in MUSIC.find_artists(phrase)][:10]


async def test_an_isrc_has_all_its_tracks(client: Client):
    known = next(t for t in MUSIC.tracks.values() if MUSIC.elsewhere(t) is not t)
    found = await client.ask(spotify.search_isrc(known.isrc))
    assert isinstance(found, SpotifyTracks)
    assert [track.id for track in found.tracks] == [known.id, MUSIC.elsewhere(known).id]


async def test_a_relinked_track_has_another_id(client: Client):
    known = next(t for t in MUSIC.tracks.values() if MUSIC.elsewhere(t) is not t)
    for mode in ("development", "extended"):
        client.sandbox.spotify.mode = mode
        answer = await client.ask(spotify.get_track(known.id, market=RELINKING_MARKET))
        assert isinstance(answer, SpotifyTracks)
        assert [(t.id, t.linked_from) for t in answer.tracks] == [(MUSIC.elsewhere(known).id, known.id)]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("type=artist", 400, "No search query"),
        ("q=x", 400, "Bad search type field"),
        ("q=x&type=show", 400, "Bad search type field"),
        (f"q={'x' * 251}&type=artist", 400, "Query exceeds maximum length of 250 characters"),
        ("q=x&type=artist&offset=991", 400, "Invalid offset"),
        ("q=x&type=artist&limit=ten", 400, "Invalid limit"),
        ("q=x&type=artist&offset=990", 200, ""),
    ],
)
async def test_other_bad_searches(client: Client, query, status, message):
    await client.fetch_token()
    url = f"{client.sandbox.spotify_url}/search?limit=10&{query}"
    url = url.replace("limit=10&", "") if "limit=ten" in query else url
    got = await client.get(url, {"Authorization": f"Bearer {client.token}"})
    assert (got.status, got.json.get("error", {}).get("message", "")) == (status, message)


async def test_artists_and_tracks_in_one_search(client: Client):
    await client.fetch_token()
    url = f"{client.sandbox.spotify_url}/search?q=abba&type=track,artist"
    answer = (await client.get(url, {"Authorization": f"Bearer {client.token}"})).json
    assert [answer[kind]["items"][0]["type"] for kind in ("artists", "tracks")] == ["artist", "track"]


async def test_an_unknown_path(client: Client):
    await client.fetch_token()
    got = await client.get(f"{client.sandbox.spotify_url}/markets", {"Authorization": f"Bearer {client.token}"})
    assert got.status == 404


# --- the Web API, extended mode --------------------------------------------------------


async def test_extended_mode(client: Client):
    client.sandbox.spotify.mode = "extended"
    ids = [MUSIC.artist_ids["ABBA"], MUSIC.artist_ids["Björk"], NOBODY]
    artists = await client.ask(spotify.get_artists(ids))
    assert isinstance(artists, SpotifyArtists)
    assert ({artist.id for artist in artists.artists}, artists.missing) == (set(ids[:2]), (NOBODY,))
    assert all(artist.popularity is not None and artist.followers is not None for artist in artists.artists)
    tracks = await client.ask(spotify.get_tracks(list(MUSIC.tracks)[:50]))
    assert isinstance(tracks, SpotifyTracks)
    assert len(tracks.tracks) == 50
    assert all(track.popularity is not None and track.linked_from is None for track in tracks.tracks)
    found = await client.ask(spotify.search_tracks("Beatles", "", 50))
    assert isinstance(found, SpotifyTracks)
    assert len(found.tracks) > 10
    assert (await client.send(spotify.search_tracks("Beatles", "", 51))).status == 400


async def test_batches_are_checked(client: Client):
    client.sandbox.spotify.mode = "extended"
    await client.fetch_token()
    for ids in ("x", ",".join([NOBODY] * 51), ""):
        url = f"{client.sandbox.spotify_url}/tracks?ids={ids}"
        assert (await client.get(url, {"Authorization": f"Bearer {client.token}"})).status == 400


# --- users -----------------------------------------------------------------------------


async def test_top_lists(client: Client):
    client.sandbox.spotify.user = "RJ"
    await client.log_in()
    played = [MUSIC.artist_ids[row.artist] for row in WORLD.top_artists("RJ") if row.artist in MUSIC.artist_ids]
    got: list[str] = []
    for offset in (0, 50, 100):
        page = await client.ask(spotify.get_top("RJ", "artists", "long_term", 50, offset))
        assert isinstance(page, SpotifyTopArtists)
        assert (page.page, page.total, page.pages) == (offset // 50 + 1, len(played), -(-len(played) // 50))
        assert list(page.ranks) == list(range(offset + 1, offset + 1 + len(page.artists)))
        got += [artist.id for artist in page.artists]
    assert got == played
    totals = [
        (await client.ask(spotify.get_top("RJ", kind, time_range))).total  # type: ignore[union-attr]
        for kind in ("artists", "tracks")
        for time_range in spotify.TIME_RANGES
    ]
    assert totals == sorted(totals[:3]) + sorted(totals[3:])
    assert len(set(totals)) == 6


async def test_a_top_list_needs_a_user_and_the_scope(client: Client):
    call = spotify.get_top("RJ", "tracks", "long_term")
    assert (await client.send(call)).json["error"]["message"] == "Valid user authentication required"
    page = spotify.authorize_url(client.sandbox.spotify_token_url, CLIENT, BACK, spotify.challenge_of(VERIFIER), "s")
    code = parse_qs(urlsplit((await client.get(page.replace("user-top-read", ""))).headers["Location"]).query)["code"]
    await client.fetch_token(spotify.code_exchange(code[0], VERIFIER, CLIENT, BACK))
    problem = await client.ask(call)
    assert isinstance(problem, Problem)
    assert (problem.rule.action, problem.message) == (Action.DENIED, "HTTP 403: Insufficient client scope")


async def test_a_time_range_that_is_none(client: Client):
    await client.log_in()
    url = f"{client.sandbox.spotify_url}/me/top/tracks?time_range=for_ever"
    assert (await client.get(url, {"Authorization": f"Bearer {client.token}"})).status == 400


# --- faults ----------------------------------------------------------------------------

SEARCH = spotify.search_artists("ABBA")


@pytest.mark.parametrize(
    ("kind", "ours", "header"),
    [
        ("rate_limit", None, None),
        ("rate_limit", 7, "7"),
        ("rate_limit_short", None, "1"),
        ("rate_limit_words", None, "soon"),
        ("rate_limit_long", None, "86400"),
        ("quota_exceeded", None, None),
    ],
)
async def test_rate_limits(client: Client, kind, ours, header):
    client.sandbox.faults = Faults(retry_after=ours)
    client.sandbox.faults.script("spotify.search", kinds=[kind])
    got = await client.send(SEARCH)
    assert (got.status, got.headers.get("Retry-After")) == (429, header)
    problem = spotify.read(SEARCH, got.status, got.body)
    assert isinstance(problem, Problem)
    expected = Action.STOP_QUOTA if kind == "quota_exceeded" else Action.SLOW_DOWN
    assert problem.rule.action is expected
    assert (await client.send(SEARCH)).status == 200


async def test_a_token_that_ends_in_mid_run(client: Client):
    client.sandbox.faults.script("spotify.search", kinds=["expired_token"], pass_first=1)
    assert [(await client.send(SEARCH)).status for _ in range(3)] == [200, 401, 401]
    await client.fetch_token()
    assert (await client.send(SEARCH)).status == 200


@pytest.mark.parametrize(
    ("kind", "status", "action"),
    [
        ("html_502", 502, Action.RETRY),
        ("truncated", 200, Action.RETRY),
        ("empty", 200, Action.RETRY),
        ("error_0_503", 503, Action.RETRY),
        ("error_0_403", 403, Action.DENIED),
    ],
)
async def test_broken_answers(client: Client, kind, status, action):
    client.sandbox.faults.script("spotify.search", kinds=[kind])
    got = await client.send(SEARCH)
    problem = spotify.read(SEARCH, got.status, got.body)
    assert isinstance(problem, Problem)
    assert (got.status, problem.rule.action) == (status, action)
    assert client.sandbox.calls("spotify.search")[0].fault == kind


async def test_a_false_404(client: Client):
    call = spotify.get_artist(MUSIC.artist_ids["ABBA"])
    client.sandbox.faults.script("spotify.artist", kinds=["false_404"])
    answers = [await client.ask(call), await client.ask(call)]
    assert [isinstance(answer, Problem) for answer in answers] == [True, False]


async def test_a_dropped_connection(client: Client):
    await client.fetch_token()
    client.sandbox.faults.script("spotify.search", kinds=["drop"], times=2)
    with pytest.raises(aiohttp.ClientError):  # the client repeats a GET on a used connection once by itself
        await client.send(SEARCH)
    assert {call.status for call in client.sandbox.calls("spotify.search")} == {0}


async def test_null_items(client: Client):
    client.sandbox.faults.script("*", kinds=["null_items"], times=None)
    whole = await client.ask(spotify.search_tracks("ABBA", "Dancing Queen"))
    assert isinstance(whole, SpotifyTracks)
    assert (whole.received - len(whole.tracks), whole.skipped) == (1, {"null": 1})
    await client.log_in()
    top = await client.ask(spotify.get_top("RJ", "artists", "long_term"))
    assert top.skipped == {"null": 1}  # type: ignore[union-attr]
    one = await client.ask(spotify.get_artist(MUSIC.artist_ids["ABBA"]))
    assert not one.skipped  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "action"), [("html_502", Action.RETRY), ("rate_limit_long", Action.SLOW_DOWN), ("truncated", Action.RETRY)]
)
async def test_faults_of_the_token_page_use_nothing_up(client: Client, kind, action):
    token = await client.log_in()
    assert isinstance(token, Token)
    client.sandbox.faults.script("spotify.token", kinds=[kind])
    refresh = spotify.refresh(token.refresh_token or "", CLIENT)
    problem = await client.fetch_token(refresh)
    assert isinstance(problem, Problem)
    assert problem.rule.action is action
    assert isinstance(await client.fetch_token(refresh), Token)


def test_random_faults_are_spotifys_own():
    faults = Faults(rate=1.0, most_in_a_row=10**9)
    drawn = {faults.next("spotify.search", "", {"q": str(n)}) for n in range(400)}
    assert drawn == set(SPOTIFY_KINDS)
    assert "expired_token" not in {faults.next("user.getInfo", str(n), {}) for n in range(400)}


# --- the log ---------------------------------------------------------------------------


async def test_every_request_is_counted_and_no_credential_is_kept(client: Client):
    client.sandbox.spotify.user = "RJ"
    token = await client.log_in()
    assert isinstance(token, Token)
    await client.ask(spotify.get_top("RJ", "artists", "long_term"))
    await client.ask(spotify.get_me("RJ"))
    refreshed = await client.fetch_token(spotify.refresh(token.refresh_token or "", CLIENT))
    assert isinstance(refreshed, Token)
    await client.fetch_token()
    await client.ask(spotify.search_artists("AC/DC"))
    await client.ask(spotify.get_track(NOBODY))
    log = client.sandbox.log
    assert [(call.method, call.user, call.status) for call in log] == [
        ("spotify.authorize", "RJ", 302),
        ("spotify.token", "", 200),
        ("spotify.top", "RJ", 200),
        ("spotify.me", "RJ", 200),
        ("spotify.token", "", 200),
        ("spotify.token", "", 200),
        ("spotify.search", "", 200),
        ("spotify.track", "", 404),
    ]
    assert [call.params["grant_type"] for call in client.sandbox.calls("spotify.token")] == [
        "authorization_code", "refresh_token", "client_credentials",
    ]  # fmt: skip
    assert log[6].params["q"] == 'artist:"AC/DC"'
    shown = (await client.get(f"{client.sandbox.root}/_sandbox/log")).body.decode() + repr(log)
    secrets = [SECRET, VERIFIER, token.access_token, token.refresh_token, refreshed.access_token, client.token]
    assert not [secret for secret in secrets if secret and secret in shown]


async def test_lastfm_is_served_beside_it(client: Client):
    got = await client.get(f"{client.sandbox.url}?method=user.getInfo&user=rj&api_key=k&format=json")
    assert got.json["user"]["name"] == "RJ"
    await client.ask(SEARCH)
    client.sandbox.world = World.of({"RJ": []}, {"RJ": [("Queen", 3)]})
    found = await client.ask(spotify.search_artists("Queen"))
    assert isinstance(found, SpotifyArtists)
    assert {artist.name for artist in found.artists} == {"Queen"}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("search", ("spotify.search", {})),
        ("artists/x", ("spotify.artist", {"id": "x"})),
        ("tracks/x", ("spotify.track", {"id": "x"})),
        ("artists", ("spotify.artists", {})),
        ("tracks/", ("spotify.tracks", {})),
        ("me", ("spotify.me", {})),
        ("me/top/tracks", ("spotify.top", {"kind": "tracks"})),
        ("artists/x/albums", ("spotify.unknown", {"path": "artists/x/albums"})),
        ("", ("spotify.unknown", {"path": ""})),
    ],
)
def test_routes(path, route):
    assert route_of(path) == route


# --- the real shapes -------------------------------------------------------------------


def shape(value: Any, path: str = "") -> dict[str, str]:
    """The types at every path, lists by their first element; null fits anything."""
    if isinstance(value, dict):
        return {p: t for name, inner in value.items() for p, t in shape(inner, f"{path}.{name}").items()}
    if isinstance(value, list):
        return shape(value[0], f"{path}[]") if value else {}
    return {} if value is None else {path: type(value).__name__}


@pytest.mark.parametrize("name", ["artist", "artists", "track", "tracks", "top-artists-and-tracks", "user"])
async def test_answers_have_every_field_of_the_recorded_ones(client: Client, name):
    file = RECORDED / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"no recorded answers in {RECORDED}")
    client.sandbox.spotify.mode = "extended"
    client.sandbox.spotify.user = "RJ"
    await client.log_in()
    artist = next(a for a in MUSIC.artists.values() if a.id[0].islower() and a.genres)
    track = next(t for t in MUSIC.tracks.values() if t.album.id[0].islower())
    call = {
        "artist": spotify.get_artist(artist.id),
        "artists": spotify.get_artists([artist.id]),
        "track": spotify.get_track(track.id),
        "tracks": spotify.get_tracks([track.id]),
        "top-artists-and-tracks": spotify.get_top("RJ", "artists", "long_term", 5, 5),
        "user": spotify.get_me("RJ"),
    }[name]
    ours, real = shape((await client.send(call)).json), shape(json.loads(file.read_text(encoding="utf-8")))
    real = {path: kind for path, kind in real.items() if not path.endswith(("preview_url", "display_name"))}
    if name == "top-artists-and-tracks":
        # The first of ours may have no pictures.
        real = {path: kind for path, kind in real.items() if "images" not in path}
    assert {path: ours.get(path) for path in real} == real
