"""The worlds: the same everywhere, connected, and with the people in them that a crawl has to cope with."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from lastfm_crawl.sandbox import World, demo_world, hetrec_world, synthetic_world
from lastfm_crawl.sandbox.answers import answer

CHECKOUT = Path(__file__).parents[2]
HETREC = Path(os.environ.get("SHARED_DATA", CHECKOUT.parent / "shared" / "data")) / "hetrec2011"


@pytest.fixture(scope="module")
def demo() -> World:
    return demo_world()


def digest(world: World) -> str:
    """Boil everything that a world would answer down to one line."""
    said = hashlib.sha256()
    for user in world.users.values():
        rows = (
            user,
            world.friends_of(user.name),
            world.top_artists(user.name),
            world.loved_tracks(user.name),
        )
        said.update(repr(rows).encode())
        said.update(repr(world.top_tracks(user.name)).encode())
    return said.hexdigest()


def reached(world: World, first: str) -> set[str]:
    """Crawl friends lists as a spider would: the deleted do not answer."""
    seen, waiting = {first}, deque([first])
    while waiting:
        user = world.user(waiting.popleft())
        assert user
        if user.status != "deleted":
            for friend in world.friends_of(user.name):
                if friend.name not in seen:
                    seen.add(friend.name)
                    waiting.append(friend.name)
    return seen


# --- demo ------------------------------------------------------------------------------


def test_two_builds_are_equal() -> None:
    assert digest(demo_world(80)) == digest(demo_world(80))


def test_another_seed_is_another_world() -> None:
    assert digest(demo_world(80, seed=8)) != digest(demo_world(80))


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_hash_seed_does_not_matter(hash_seed: str) -> None:
    code = "import test_sandbox_world as t; print(t.digest(t.demo_world(80)))"
    paths = os.pathsep.join((str(CHECKOUT), str(Path(__file__).parent)))
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(demo_world(80))


def test_the_first_user_is_rj(demo: World) -> None:
    assert next(iter(demo.users.values())).name == "RJ"


def test_there_are_as_many_users_as_asked_for(demo: World) -> None:
    assert len(demo.users) == len(demo.friends) == len(demo.artists) == 300


@pytest.mark.parametrize("users", [1, 2, 3, 19, 20, 70, 100])
@pytest.mark.parametrize("seed", [7, 8])
def test_rj_reaches_everyone_who_has_friends(users: int, seed: int) -> None:
    world = demo_world(users, seed)
    assert reached(world, "RJ") == {"RJ"} | {name for name, friends in world.friends.items() if friends}


def test_the_default_world_is_connected(demo: World) -> None:
    assert reached(demo, "RJ") == {name for name, friends in demo.friends.items() if friends}


def test_friendships_are_mutual_and_counted_once(demo: World) -> None:
    for name, friends in demo.friends.items():
        assert len(set(friends)) == len(friends)
        assert name not in friends
        assert all(name in demo.friends[friend] for friend in friends)


def test_a_few_have_several_pages_of_friends_and_a_few_have_none(demo: World) -> None:
    degrees = [len(friends) for friends in demo.friends.values()]
    assert sum(degree > 60 for degree in degrees) >= 3
    assert sum(degree == 0 for degree in degrees) >= 2
    assert sum(0 < degree <= 15 for degree in degrees) > 280


def test_some_are_private_and_some_are_gone(demo: World) -> None:
    statuses = [user.status for user in demo.users.values()]
    assert (statuses.count("private"), statuses.count("deleted")) == (12, 6)


def test_the_deleted_are_named_by_friends(demo: World) -> None:
    gone = [user.name for user in demo.users.values() if user.status == "deleted"]
    assert all(demo.friends[name] for name in gone)


def test_names_differ_whatever_their_case(demo: World) -> None:
    assert list(demo.users) == [user.name.lower() for user in demo.users.values()]


def test_there_are_legacy_names_mixed_case_and_unknown_countries(demo: World) -> None:
    people = list(demo.users.values())
    assert "test user" in demo.users
    assert sum(" " in user.name for user in people) >= 3
    assert sum(user.name != user.name.lower() for user in people) > 50
    assert sum(user.country is None for user in people) > 30
    assert any(user.realname.endswith(" ") for user in people)


def test_everyone_has_twenty_to_130_artists_ranked_by_plays(demo: World) -> None:
    for artists in demo.artists.values():
        plays = [row.playcount for row in artists]
        assert 20 <= len(plays) <= 130
        assert plays == sorted(plays, reverse=True)
        assert plays[-1] > 0
        assert len({row.artist for row in artists}) == len(artists)


def test_tastes_differ(demo: World) -> None:
    assert len({artists[0].artist for artists in demo.artists.values()}) > 50


def test_all_lists_of_plays_add_up_to_the_playcount(demo: World) -> None:
    for user in demo.users.values():
        assert sum(row.playcount for row in demo.top_artists(user.name)) == user.playcount
        assert sum(row.playcount for row in demo.top_tracks(user.name)) == user.playcount


def test_loved_tracks_are_tracks_that_were_played_newest_first(demo: World) -> None:
    played = {(row.artist, row.track) for row in demo.top_tracks("RJ")}
    loved = demo.loved_tracks("RJ")
    assert {(row.artist, row.track) for row in loved} <= played
    assert [row.uts for row in loved] == sorted((row.uts for row in loved), reverse=True)


def test_a_large_demo_finds_names_for_everyone() -> None:
    assert len(demo_world(3000).users) == 3000


def test_a_world_needs_somebody() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        demo_world(0)


# --- by hand ---------------------------------------------------------------------------


def test_a_world_by_hand_knows_everyone_who_is_named() -> None:
    world = World.of({"Ann": ["Bob"]}, {"Cid": [("Queen", 3)]}, private=["Bob"], deleted=["Dan"])
    assert {u.name: u.status for u in world.users.values()} == {
        "Ann": "ok",
        "Bob": "private",
        "Cid": "ok",
        "Dan": "deleted",
    }
    assert world.top_artists("CID") == [("Queen", 3)]
    assert [user.name for user in world.friends_of("ann")] == ["Bob"]


# --- HetRec ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hetrec() -> World:
    if not HETREC.is_dir():
        pytest.skip(f"no HetRec data in {HETREC}")
    return hetrec_world(HETREC)


def test_hetrec_has_all_users_and_rows(hetrec: World) -> None:
    assert len(hetrec.users) == 1892
    assert sum(len(rows) for rows in hetrec.artists.values()) == 92_834
    assert sum(len(rows) for rows in hetrec.friends.values()) == 25_434


def test_hetrec_keeps_friends_in_file_order(hetrec: World) -> None:
    assert [user.name for user in hetrec.friends_of("2")][:3] == ["275", "428", "515"]


def test_hetrec_ranks_by_weight(hetrec: World) -> None:
    assert hetrec.top_artists("2")[:2] == [("Duran Duran", 13883), ("Morcheeba", 11690)]


def test_hetrec_ties_stay_in_file_order(tmp_path: Path) -> None:
    (tmp_path / "artists.dat").write_text("id\tname\turl\tp\n1\tOne\t\t\n2\tTwo\u2028Three\t\t\n3\tÉ\t\t\n", "utf-8")
    (tmp_path / "user_artists.dat").write_text("userID\tartistID\tweight\n7\t3\t5\n7\t2\t5\n7\t1\t9\n", "utf-8")
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\n7\t9\n7\t8\n", "utf-8")
    world = hetrec_world(tmp_path)
    assert world.top_artists("7") == [("One", 9), ("É", 5), ("Two\u2028Three", 5)]
    assert world.friends["7"] == ["9", "8"]
    assert list(world.users) == ["7", "9", "8"]


# --- synthetic -------------------------------------------------------------------------


def test_a_million_users_cost_nothing_until_asked() -> None:
    world = synthetic_world(1_000_000, 100, 20)
    params = {"method": "user.getTopArtists", "user": "U999999", "api_key": "k"}
    body = answer(world, params).body["topartists"]
    assert (len(world.users), body["@attr"]["total"], body["@attr"]["user"]) == (1_000_000, "100", "u999999")


@pytest.mark.parametrize("name", ["u100", "u-1", "u01", "u", "x1", "", "u1x"])
def test_who_is_not_in_a_synthetic_world(name: str) -> None:
    assert synthetic_world(100).user(name) is None


@pytest.mark.parametrize(("users", "friends"), [(500, 20), (500, 2), (11, 10), (3, 2), (2, 1), (1000, 101)])
def test_a_synthetic_world_is_connected_and_mutual(users: int, friends: int) -> None:
    world = synthetic_world(users, 1, friends)
    assert len(reached(world, "u0")) == users
    links = {name: set(friends) for name, friends in world.friends.items()}
    assert all(name in links[friend] for name in links for friend in links[name])


def test_a_synthetic_world_has_the_degree_asked_for() -> None:
    assert {len(set(friends)) for friends in synthetic_world(500, 1, 20).friends.values()} == {20}


def test_synthetic_lists_are_ranked_and_the_same_every_time() -> None:
    world = synthetic_world(50, 200, artists=400)
    artists = world.top_artists("u3")
    assert len({row.artist for row in artists}) == 200
    assert [row.playcount for row in artists] == sorted((row.playcount for row in artists), reverse=True)
    assert digest(world) == digest(synthetic_world(50, 200, artists=400))
