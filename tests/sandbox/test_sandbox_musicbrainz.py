"""The sandbox's MusicBrainz: what it has of a world, and its answers over real HTTP, as our own service reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from lastfm_crawl.items import Answered, ReleaseGroupSearch, ReleaseLookup
from lastfm_crawl.sandbox import Faults, Sandbox, World, demo_world, hetrec_world, scrobbles_world, synthetic_world
from lastfm_crawl.sandbox.faults import MUSICBRAINZ_KINDS
from lastfm_crawl.sandbox.history import Scrobble
from lastfm_crawl.sandbox.model import mbid_of
from lastfm_crawl.sandbox.musicbrainz_catalogue import Catalogue
from lastfm_crawl.services import musicbrainz
from lastfm_crawl.services.musicbrainz import Call, read_date
from lastfm_crawl.services.problems import Action, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHARED = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
WORLD = demo_world(60)
MUSIC = Catalogue(WORLD)
ALBUMS = {(entry["name"], album["title"]): album["year"] for entry in WORLD.catalogue for album in entry["albums"]}
IDS = {album: mbid for album in ALBUMS if (mbid := mbid_of("album", *album))}
AGENT = "lastfm_crawl/0.1 (+me@example.org)"
A, B, C = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "abc")


class Client:
    """Asks as the crawler does."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox, self.session = sandbox, session
        self.agent = AGENT

    async def get(self, path: str, **query: str) -> tuple[int, bytes]:
        url = f"{self.sandbox.musicbrainz_url}{path}"
        async with self.session.get(url, params=query, headers={"User-Agent": self.agent}) as response:
            return response.status, await response.read()

    async def ask(self, call: Call) -> Answered | Problem:
        url = call.url(self.sandbox.musicbrainz_url)
        async with self.session.get(url, headers={"User-Agent": self.agent}) as response:
            return musicbrainz.read(call, response.status, await response.read())

    async def look_up(self, mbid: str) -> ReleaseLookup:
        item = await self.ask(musicbrainz.get_release(mbid))
        assert isinstance(item, ReleaseLookup)
        return item

    async def search(self, artist: str, title: str) -> ReleaseGroupSearch:
        item = await self.ask(musicbrainz.search_release_groups(artist, title))
        assert isinstance(item, ReleaseGroupSearch)
        return item

    async def refusal(self, call: Call) -> Problem:
        problem = await self.ask(call)
        assert isinstance(problem, Problem)
        return problem


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


@pytest.fixture
def scrobbles():
    folder = SHARED / "scrobbles"
    if not folder.is_dir():
        pytest.skip(f"needs the histories in {folder} (or SHARED_DATA)")
    return folder


def known() -> tuple[str, str]:
    """An album whose release is as simple as can be, and which search finds."""
    return next(a for a, mbid in IDS.items() if mbid in MUSIC.releases and MUSIC.releases[mbid].id == mbid)


# --- what there is ---------------------------------------------------------------------


def test_histories_name_most_albums_by_id():
    assert 0.6 < len(IDS) / len(ALBUMS) < 0.9
    plays = Counter(bool(play.album_mbid) for play in WORLD.history("RJ") if play.album)
    assert plays[True] > plays[False] > 0


def test_every_id_is_a_release_or_unknown():
    assert all((mbid in MUSIC.releases) != (mbid in MUSIC.unknown) for mbid in IDS.values())
    assert 2 <= len(MUSIC.unknown) <= 20
    merged = [mbid for mbid in IDS.values() if mbid in MUSIC.releases and MUSIC.releases[mbid].id != mbid]
    assert 5 <= len(merged) <= 40


def test_dates_have_all_precisions_and_the_years_of_the_catalogue():
    dates = {album: MUSIC.groups[group].date for album, group in MUSIC.group_ids.items()}
    assert {len(date) for date in dates.values()} == {0, 4, 7, 10}
    assert all(date[:4] in {"", str(ALBUMS[album])} for album, date in dates.items())
    assert all(read_date(date)[0] for date in dates.values() if date)


def test_search_lacks_some_albums():
    assert MUSIC.group_ids.keys() | MUSIC.missing == ALBUMS.keys()
    assert 5 <= len(MUSIC.missing) <= 40


def test_the_first_hit_is_often_a_wrong_one():
    firsts = [MUSIC.find(title, artist)[0] for artist, title in MUSIC.group_ids]
    assert 0.2 < sum(group.wrong for group in firsts) / len(firsts) < 0.6
    hits = [MUSIC.find(title, artist)[:10] for artist, title in MUSIC.group_ids]
    assert all(MUSIC.groups[MUSIC.group_ids[a]] in found for a, found in zip(MUSIC.group_ids, hits, strict=True))


def digest(music: Catalogue) -> str:
    return sha256(repr([*music.groups.values(), *music.releases.items()]).encode()).hexdigest()


def test_everything_is_the_same_in_every_process():
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    run = subprocess.run(
        [sys.executable, "-c", "import test_sandbox_musicbrainz as t; print(t.digest(t.MUSIC))"],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(MUSIC)


def test_another_world_of_the_same_catalogue_has_the_same_music():
    assert Catalogue(demo_world(20, seed=9)).releases.keys() == MUSIC.releases.keys()


def test_albums_of_histories_that_were_made_by_hand():
    plays = [
        Scrobble("Ünï & Co.", "Song", 1, album="One Day (Deluxe Edition)", album_mbid=A),
        Scrobble("Ünï & Co.", "Song", 2, album="One Day", album_mbid=B.upper()),
        Scrobble("Ünï & Co.", "Other", 3, album="Found by Name"),
        Scrobble("Ünï & Co.", "Lost", 4),
        *(Scrobble(f"Artist {n}", "Song", 10 + n, album="Now 45", album_mbid=C) for n in range(5)),
    ]
    music = Catalogue(World.of({}, scrobbles={"u": plays}))
    assert {A, B, C} <= music.releases.keys() | music.unknown
    assert music.releases[A].group is music.releases[B].group
    assert (music.releases[A].title, music.releases[A].group.title) == ("One Day (Deluxe Edition)", "One Day")
    assert music.releases[C].group.artist == "Various Artists"
    assert ("Ünï & Co.", "Found by Name") in music.group_ids.keys() | music.missing


def test_worlds_without_albums_have_none():
    assert not Catalogue(synthetic_world(1_000)).groups
    assert not Catalogue(World.of({"a": []})).groups
    if (folder := SHARED / "hetrec2011").is_dir():
        assert not Catalogue(hetrec_world(folder)).groups


def test_real_histories(scrobbles):
    world = scrobbles_world(scrobbles)
    music = Catalogue(world)
    asked = {play.album_mbid for name in world.scrobbles for play in world.history(name) if play.album_mbid}
    assert asked == (asked & music.releases.keys()) | (asked & music.unknown)
    assert 0.02 < len(music.unknown) / len(asked) < 0.1


# --- on the wire -----------------------------------------------------------------------


async def test_a_release(client: Client):
    album = known()
    item = await client.look_up(IDS[album])
    group = MUSIC.releases[IDS[album]].group
    assert (item.release, item.group.mbid, item.group.title) == (IDS[album], group.id, group.title)
    assert item.group.artist == album[0]
    assert (item.group.year, item.group.month, item.group.day) == read_date(group.date)


async def test_every_release_reads_as_it_is(client: Client):
    for album, mbid in IDS.items():
        if mbid in MUSIC.unknown:
            continue
        item = await client.look_up(mbid)
        assert item.release == MUSIC.releases[mbid].id
        assert item.group.artist == album[0]
        assert item.group.year in {None, ALBUMS[album]}


async def test_a_merged_release_answers_for_both_ids(client: Client):
    asked = next(mbid for mbid in IDS.values() if mbid in MUSIC.releases and MUSIC.releases[mbid].id != mbid)
    item = await client.look_up(asked)
    again = await client.look_up(item.release)
    assert item.asked == asked != item.release == again.release
    assert item.group == again.group


@pytest.mark.parametrize("mbid", [min(MUSIC.unknown), A])
async def test_an_unknown_release(client: Client, mbid: str):
    problem = await client.refusal(musicbrainz.get_release(mbid))
    assert (problem.kind, problem.lasting, problem.message) == ("not_found", True, "HTTP 404: Not Found")


async def test_what_is_no_id(client: Client):
    status, body = await client.get("release/12345", fmt="json")
    problem = musicbrainz.read(musicbrainz.get_release(A), status, body)
    assert (status, problem.kind) == (400, "not_found")


async def test_only_what_is_included_is_there(client: Client):
    _, body = await client.get(f"release/{IDS[known()]}", fmt="json")
    assert musicbrainz.read(musicbrainz.get_release(A), 200, body).kind == "no_list"
    _, body = await client.get(f"release/{IDS[known()]}")
    assert body.startswith(b"<")  # XML is what one gets who asks for nothing else


async def test_every_album_that_is_there_is_found_by_name(client: Client):
    for album, group_id in MUSIC.group_ids.items():
        item = await client.search(*album)
        assert group_id in {group.mbid for group in item.groups}
        assert 3 <= len(item.groups) <= 10
        assert not item.skipped


async def test_what_is_around_an_album(client: Client):
    artist, title = known()
    item = await client.search(artist, title)
    kinds = {(group.primary_type, *group.secondary_types) for group in item.groups}
    assert {("Single",), ("Album", "Live"), ("Album", "Compilation"), ("Album",)} <= kinds
    assert any(group.artist != artist for group in item.groups)
    years = {group.year for group in item.groups if group.mbid != MUSIC.group_ids[artist, title]}
    assert ALBUMS[artist, title] not in years


async def test_a_missing_album_has_only_wrong_hits(client: Client):
    artist, title = min(MUSIC.missing)
    item = await client.search(artist, title)
    assert item.groups
    assert all(MUSIC.groups[group.mbid].wrong for group in item.groups)


async def test_scores_prove_nothing(client: Client):
    artist, title = min(MUSIC.missing)
    call = musicbrainz.search_release_groups(artist, title)
    async with client.session.get(call.url(client.sandbox.musicbrainz_url), headers={"User-Agent": AGENT}) as response:
        scores = [row["score"] for row in (await response.json())["release-groups"]]
    assert scores[0] == 100
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("artist", ["", "Nobody at all", "Various Artists"])
async def test_searches_by_other_artists(client: Client, artist: str):
    _, title = known()
    item = await client.search(artist, title)
    assert bool(item.groups) is (artist == "")


@pytest.mark.parametrize("query", ["", "x", 'releasegroup:"x', 'artist:"x"', 'releasegroup:"x" OR artist:"y"'])
async def test_queries_that_are_none(client: Client, query: str):
    assert (await client.get("release-group", fmt="json", query=query))[0] == 400


@pytest.mark.parametrize("artist", ['"Weird Al"', "AC/DC", "?!*", r"back\slash", "a AND b:c"])
async def test_any_name_may_be_asked_for(client: Client, artist: str):
    assert (await client.search(artist, f"{artist} (Live)")).groups == ()


async def test_many_rows_come_in_pages(client: Client):
    rows = []
    for offset in range(0, 8, 2):
        query = {"fmt": "json", "query": f'releasegroup:"{known()[1]}"', "limit": "2", "offset": str(offset)}
        status, body = await client.get("release-group", **query)
        rows += [g.mbid for g in musicbrainz.read(musicbrainz.search_release_groups("", "x"), status, body).groups]
    assert len(rows) == len(set(rows)) >= 5
    assert (await client.get("release-group", fmt="json", query='releasegroup:"x"', limit="101"))[0] == 400


# --- manners ---------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["", "lastfm_crawl/0.1", "Scrapy/2.13 (+me)", "python"])
async def test_who_does_not_say_who_asks_is_refused(client: Client, agent: str):
    client.agent = agent
    assert (await client.refusal(musicbrainz.get_release(IDS[known()]))).rule.action is Action.STOP_KEY


@pytest.mark.parametrize("contact", ["me@example.org", "https://example.org/me", "example.org"])
async def test_a_contact_is_enough(client: Client, contact: str):
    client.agent = f"lastfm_crawl/0.1 (+{contact})"
    assert await client.look_up(IDS[known()])


async def test_too_many_questions_a_second(sandbox: Sandbox, client: Client):
    sandbox.musicbrainz.rate = 0.01
    call = musicbrainz.get_release(IDS[known()])
    first, problem = await client.ask(call), await client.refusal(call)
    assert isinstance(first, ReleaseLookup)
    assert problem.rule.action is Action.SLOW_DOWN
    assert "rate limit" in problem.message
    sandbox.musicbrainz.rate = 1e9
    assert await client.look_up(IDS[known()])


async def test_an_outage_and_its_end(sandbox: Sandbox, client: Client):
    call = musicbrainz.get_release(min(MUSIC.unknown))
    sandbox.musicbrainz.mode = "outage"
    assert not (await client.refusal(call)).lasting
    sandbox.musicbrainz.mode = "reset"
    with pytest.raises(aiohttp.ClientError):
        await client.ask(call)
    sandbox.musicbrainz.mode = "up"
    assert (await client.refusal(call)).lasting
    assert {logged.status for logged in sandbox.log} == {503, 0, 404}  # the client itself may ask a second time


async def test_questions_are_counted_by_what_they_ask(sandbox: Sandbox, client: Client):
    for mbid in (A, B, A):
        await client.ask(musicbrainz.get_release(mbid))
    await client.search("ABBA", "Arrival")
    asked = Counter(call.params["mbid"] for call in sandbox.calls("musicbrainz.release"))
    assert asked == {A: 2, B: 1}
    (search,) = sandbox.calls("musicbrainz.search")
    assert search.params["query"] == 'releasegroup:"Arrival" AND artist:"ABBA"'
    assert {call.user_agent for call in sandbox.log} == {AGENT}


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("rate_limit", Action.SLOW_DOWN),
        ("html_502", Action.RETRY),
        ("truncated", Action.RETRY),
        ("empty", Action.RETRY),
        ("error_0_500", Action.RETRY),
        ("error_0_503", Action.SLOW_DOWN),
    ],
)
async def test_scripted_faults(sandbox: Sandbox, client: Client, kind: str, action: Action):
    call = musicbrainz.get_release(IDS[known()])
    sandbox.faults.script("musicbrainz.release", None, [kind], params={"mbid": IDS[known()]})
    assert (await client.refusal(call)).rule.action is action
    assert await client.look_up(IDS[known()])


async def test_drawn_faults_are_musicbrainz_s_own(sandbox: Sandbox, client: Client):
    sandbox.faults = Faults(rate=0.9, slow=0.0)
    for mbid in IDS.values():
        try:
            await client.ask(musicbrainz.get_release(mbid))
        except aiohttp.ClientError:
            assert sandbox.log[-1].fault == "drop"
    assert {call.fault for call in sandbox.log} == {None, *MUSICBRAINZ_KINDS}
