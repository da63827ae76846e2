"""Similar users and what fans like: the numbers are those of a plain count, and the lists are read as they are now."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import psycopg
import pytest
from lists import hetrec_lists, list_artists

from lastfm_crawl.insight.fans import liked_by_fans_of
from lastfm_crawl.insight.named import look_up
from lastfm_crawl.insight.similar import Played, similar_to, users_who_share
from lastfm_crawl.warehouse import tastes
from lastfm_crawl.warehouse.migrate import migrate


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


FEW = {
    "Ann": [("Radiohead", 90), ("The Beatles", 80), ("Björk", 70), ("Low", 5)],
    "Bob": [("Low", 300), ("The Beatles", 200), ("Radiohead", 10), ("Björk", 1)],
    "Cyd": [("beatles", 50), ("The Beatles", 40), ("Radiohead", 30), ("Abba", 20)],
    "Dee": [("Abba", 10)],
    "Eve": [],
}


@pytest.fixture
def few(connection):
    list_artists(connection, FEW)
    return connection


def test_users_who_share_with_what_else_they_play(few):
    users = users_who_share(few, ["radiohead", "BEATLES", "bjork"])
    assert [(user.user, user.shared) for user in users] == [
        ("Ann", ("Radiohead", "The Beatles", "Björk")),
        ("Bob", ("The Beatles", "Radiohead", "Björk")),
    ]
    assert users[0].others == (Played("Low", 5),)
    assert (users[0].playcount, users[0].score) == (1000, None)
    # Two spellings of one artist are one that is shared.
    assert [user.user for user in users_who_share(few, ["Radiohead", "The Beatles", "Björk"], 2)] == [
        "Ann",
        "Bob",
        "Cyd",
    ]
    assert users_who_share(few, ["Radiohead", "The Beatles", "Björk"], 4) == []
    assert users_who_share(few, ["nobody knows them"], 1) == []
    assert len(users_who_share(few, ["Radiohead", "The Beatles"], 1, limit=1)) == 1


def test_nothing_is_stored(connection):
    assert users_who_share(connection, ["Radiohead"], 1) == []
    assert similar_to(connection, "Ann") is None
    assert liked_by_fans_of(connection, "Radiohead") is None


def test_who_is_like_whom(few):
    alike = similar_to(few, "ANN", 2)
    assert [user.user for user in alike] == ["Cyd", "Bob"]
    assert 0 < alike[1].score < alike[0].score < 1
    assert alike[1].shared == ("Low", "The Beatles", "Radiohead", "Björk")
    assert alike[0].others == (Played("beatles", 50), Played("Abba", 20))
    assert similar_to(few, "nobody") is None
    assert similar_to(few, "Eve") is None


def test_names_are_matched(few):
    named = look_up(few, ["THE RADIOHEAD", "bjork", "Bjork", "Radiohaed", "Zzyzx Qwerty", "Beatlez"])
    assert [artist.name for artist in named.chosen] == ["Radiohead", "Björk"]
    assert named.unknown == ["Zzyzx Qwerty"]
    assert named.doubtful == [("Beatlez", "The Beatles")]


def test_lists_are_read_as_they_are_now(few):
    def read():
        found = tastes.read_tastes(few, playcounts=True)
        assert tastes.changed_users(few) == []
        names = dict(few.execute("SELECT id, name FROM artists"))
        users = dict(few.execute("SELECT id, name FROM users"))
        return {
            users[user]: [
                (names[artist], plays)
                for artist, plays in zip(
                    found.artists[begin:end].tolist(), found.playcounts[begin:end].tolist(), strict=True
                )
            ]
            for user, begin, end in zip(found.users.tolist(), found.starts, found.starts[1:], strict=False)
        }

    expected = {user: rows for user, rows in FEW.items() if rows}
    assert read() == expected
    list_artists(few, {"Dee": [("Low", 3), ("Abba", 2)]})
    assert read() == expected | {"Dee": [("Low", 3), ("Abba", 2)]}
    # A second page repeats what slid down while the list was asked for.
    list_artists(few, {"Dee": [("Low", 3), ("Abba", 2)]}, pages=2)
    list_artists(few, {"Dee": [("Abba", 2), ("Sade", 1)]}, page=2, pages=2)
    assert read() == expected | {"Dee": [("Low", 3), ("Abba", 2), ("Sade", 1)]}
    few.execute("DELETE FROM users WHERE key = 'ann'")
    assert "Ann" not in read()
    few.execute("DELETE FROM fetches")
    assert read() == {}


def test_what_fans_like(connection):
    lists = {f"u{n}": [("X", 9), ("Together", 8), ("Everybody's", 7)] for n in range(10)}
    lists |= {f"v{n}": [("Everybody's", 7), ("Other", 5)] for n in range(30)}
    lists["w"] = [("X", 3), ("Once", 2)]
    list_artists(connection, lists)
    fans = liked_by_fans_of(connection, "x")
    assert (fans.artist, fans.fans, fans.users) == ("X", 11, 41)
    assert [one.name for one in fans.liked] == ["Together", "Everybody's"]
    together = fans.liked[0]
    assert (together.fans, together.share) == (10, pytest.approx(10 / 11))
    assert together.lift == pytest.approx((10 / 11) / (10 / 41))
    assert together.score == pytest.approx(math.sqrt(together.lift) * 10 / 20)
    assert {one.name for one in liked_by_fans_of(connection, "X", min_fans=1).liked} == {
        "Together", "Everybody's", "Once",
    }  # fmt: skip


@pytest.fixture
def hetrec_warehouse(connection, hetrec):
    lists = hetrec_lists(hetrec)
    list_artists(connection, lists)
    return connection, lists


def test_similar_is_a_brute_force_count_on_hetrec(hetrec_warehouse):
    connection, lists = hetrec_warehouse
    rng = random.Random(5)
    popular = [name for name, _ in Counter(name for rows in lists.values() for name, _ in rows).most_common(300)]
    for _ in range(5):
        chosen = look_up(connection, rng.sample(popular, 8)).chosen
        spellings = {name: artist.name for artist in chosen for name in [artist.name]}
        spellings |= {
            name: artist.name
            for artist in chosen
            for (name,) in connection.execute("SELECT name FROM artists WHERE id = ANY(%s)", [list(artist.ids)])
        }
        expected = {}
        for user, rows in lists.items():
            shared = list(dict.fromkeys(spellings[name] for name, _ in rows if name in spellings))
            if len(shared) >= 3:
                expected[user] = sorted(shared)
        found = users_who_share(connection, [artist.name for artist in chosen], 3, limit=None)
        assert expected
        assert {user.user: sorted(user.shared) for user in found} == expected
        assert [len(user.shared) for user in found] == sorted(map(len, expected.values()), reverse=True)


def test_taste_is_a_brute_force_cosine_on_hetrec(hetrec_warehouse):
    connection, lists = hetrec_warehouse
    listeners = Counter(name for rows in lists.values() for name, _ in rows)
    mean = np.mean([sum(plays for _, plays in rows) for rows in lists.values()])

    def weights(user):
        k = 100 * (0.2 + 0.8 * sum(plays for _, plays in lists[user]) / mean)
        return {name: math.log1p(len(lists) / (1 + listeners[name])) * p / (p + k) for name, p in lists[user]}

    def length(vector):
        return math.sqrt(sum(value**2 for value in vector.values()))

    mine = weights("user 2")
    expected = {}
    for user in lists:
        theirs = weights(user)
        common = mine.keys() & theirs.keys()
        if user != "user 2" and len(common) >= 3:
            expected[user] = sum(mine[name] * theirs[name] for name in common) / length(mine) / length(theirs)
    found = similar_to(connection, "user 2", 3, limit=None)
    assert {user.user: user.score for user in found} == pytest.approx(expected, rel=1e-4)
    assert [user.score for user in found] == sorted((user.score for user in found), reverse=True)
