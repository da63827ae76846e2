"""Similar users over Firestore: the same answer as from PostgreSQL, through Google's own emulator."""

from __future__ import annotations

import random

import psycopg
import pytest
from emulators import GET_FIRESTORE, firestore_emulator, firestore_jar
from google.cloud import firestore
from lists import list_artists

from lastfm_crawl.insight.firestore import users_who_share_in_firestore
from lastfm_crawl.insight.similar import users_who_share
from lastfm_crawl.warehouse.migrate import migrate


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    if firestore_jar() is None:
        pytest.skip(GET_FIRESTORE)
    with firestore_emulator(tmp_path_factory.mktemp("firestore") / "log") as host:
        yield host


@pytest.fixture
def client(emulator, monkeypatch, request):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
    client = firestore.Client(project=f"p{abs(hash(request.node.name)) % 10**6}")
    yield client
    client.close()


def store(client, lists):
    batch = client.batch()
    for user, artists in lists.items():
        batch.set(
            client.collection("lastfm_users").document(user),
            {
                "lastfm_username": user,
                "lastfm_playcount": 1000,
                "top_artist_names": [name for name, _ in artists],
                "top_artists": [{"name": name, "playcount": plays, "spotify_id": None} for name, plays in artists],
            },
        )
    batch.commit()


def test_the_answer_is_that_of_postgresql(client, database_url):
    rng = random.Random(3)
    names = [f"Artist Number {number}" for number in range(80)]
    lists = {}
    for user in range(40):
        chosen = rng.sample(names, rng.randint(0, 40))
        lists[f"u{user}"] = [(name, 500 - place) for place, name in enumerate(chosen)]
    store(client, lists)
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        list_artists(connection, lists)
        for count in (3, 31, 70):  # one query, two, several
            chosen = rng.sample(names, count)
            for least in (1, 3):
                expected = users_who_share(connection, chosen, least, limit=None)
                found = users_who_share_in_firestore(client, chosen, least, limit=None)
                assert found == expected


def test_case_makes_no_difference(client):
    store(client, {"a": [("ABBA", 9), ("Sade", 8), ("low", 7)], "b": [("Abba", 2), ("Low", 1)]})
    found = users_who_share_in_firestore(client, ["abba", "LOW"], 2)
    assert [(user.user, user.shared) for user in found] == [("b", ("abba", "LOW")), ("a", ("abba", "LOW"))]
    assert users_who_share_in_firestore(client, ["abba", "LOW"], 3) == []
    assert len(users_who_share_in_firestore(client, ["abba", "LOW"], 2, limit=1)) == 1
    assert users_who_share_in_firestore(client, ["nobody's"], 1) == []
