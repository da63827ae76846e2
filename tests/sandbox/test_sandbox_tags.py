"""track.getTopTags of the sandbox: shapes, refusals, and a wrong answer when a test wants one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import aiohttp
import pytest

from lastfm_crawl.sandbox import Sandbox, Scrobble, World, demo_world
from lastfm_crawl.sandbox.answers import answer
from lastfm_crawl.sandbox.model import TrackPlays, User

CHECKOUT = Path(__file__).parents[2]
RECORDED = Path(os.environ.get("SHARED_DATA", CHECKOUT.parent / "shared" / "data")) / "lastfm" / "docs_examples"
DEMO = demo_world()
METHOD = "track.getTopTags"


def ask(artist: str, track: str, world: World = DEMO, *, unwrap_single: bool = False):
    params = {"method": METHOD, "artist": artist, "track": track, "autocorrect": "0", "api_key": "k"}
    return answer(world, params, unwrap_single=unwrap_single)


def test_the_genres_of_the_artist_and_the_decade_are_the_tags():
    said = ask("ac/dc", "HELLS BELLS")
    assert said.status == 200
    assert said.body == {
        "toptags": {
            "tag": [
                {"count": 100, "name": "rock", "url": "https://www.last.fm/tag/rock"},
                {"count": 50, "name": "80s", "url": "https://www.last.fm/tag/80s"},
            ],
            "@attr": {"artist": "AC/DC", "track": "Hells Bells"},
        }
    }


def test_some_tracks_have_none():
    empty = [ask(*names).body["toptags"]["tag"] == [] for names in DEMO.tagged]
    assert 0.05 < sum(empty) / len(empty) < 0.2


@pytest.mark.parametrize("number", [1, 2])
def test_the_shape_is_the_recorded_one(number):
    file = RECORDED / f"{METHOD}.{number}.http200.json"
    if not file.is_file():
        pytest.skip(f"no recorded answers in {RECORDED}")
    recorded = json.loads(file.read_text("utf-8"))["toptags"]
    bare = next(names for names, row in DEMO.tagged.items() if not row.tags)
    said = ask(*(("AC/DC", "Hells Bells") if number == 1 else bare)).body["toptags"]
    assert said.keys() == recorded.keys()
    assert said["@attr"].keys() == recorded["@attr"].keys()
    assert bool(said["tag"]) == bool(recorded["tag"])
    for row, other in zip(said["tag"], recorded["tag"], strict=False):
        assert {k: type(v) for k, v in row.items()} == {k: type(v) for k, v in other.items()}


def test_worlds_without_a_catalogue_tag_what_is_listened_to():
    world = World(
        {"rj": User("RJ")},
        tracks={"RJ": [TrackPlays("Listed", "Song", 3)]},
        scrobbles={"RJ": [Scrobble("Played", "Tune", 1_600_000_000)]},
    )
    assert {(row.artist, row.track) for row in world.tagged.values()} == {("Listed", "Song"), ("Played", "Tune")}
    assert ask("played", "tune", world).body["toptags"]["@attr"] == {"artist": "Played", "track": "Tune"}


def test_a_tag_alone_may_stand_without_a_list():
    world = World({}, catalogue=[{"name": "A", "genres": (), "albums": [{"year": 1994, "title": "B", "tracks": "CD"}]}])
    assert ask("A", "C", world, unwrap_single=True).body["toptags"]["tag"]["name"] == "90s"


def test_refusals():
    said = ask("AC/DC", "No Such Song")
    assert (said.status, said.body["error"], said.body["message"]) == (200, 6, "Track not found")
    assert (ask("AC/DC", " ").status, ask("", "x").body["error"]) == (400, 6)
    assert answer(DEMO, {"method": METHOD, "artist": "AC/DC", "track": "x", "api_key": "invalid"}).status == 403


async def test_a_wrong_answer_is_about_another_track_of_another_artist():
    sandbox = Sandbox(DEMO)
    sandbox.faults.script(METHOD, kinds=["wrong_user", "truncated", "rate_limit"])
    await sandbox.start()
    query = {"method": METHOD, "artist": "AC/DC", "track": "Hells Bells", "api_key": "k", "format": "json"}
    try:
        async with aiohttp.ClientSession() as session:
            answers = []
            for _ in range(4):
                async with session.get(sandbox.url, params=query) as response:
                    answers.append((response.status, await response.read()))
    finally:
        await sandbox.stop()
    named = json.loads(answers[0][1])["toptags"]["@attr"]
    assert named["artist"] != "AC/DC"
    assert named["track"] != "Hells Bells"
    with pytest.raises(ValueError, match=r"char|Unterminated"):
        json.loads(answers[1][1])
    assert [status for status, _ in answers] == [200, 200, 429, 200]
    assert json.loads(answers[3][1])["toptags"]["@attr"]["artist"] == "AC/DC"
