"""Documents of users: their shape, size and ids; and, where Google's emulator is found, writing them."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from emulators import GET_FIRESTORE, firestore_emulator, firestore_jar

from lastfm_crawl.warehouse.firestore import (
    LARGEST_DOCUMENT,
    FirestoreSink,
    document_id,
    documents,
    size_of,
)
from lastfm_crawl.warehouse.sinks import Batch, SinkUnavailableError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def user(name="RJ"):
    return (name, None, "UK", f"https://www.last.fm/user/{name}", 150, NOW, "RJ", 0, "ok", None, NOW)


def artist(name="Björk", rank=1, user="RJ", spotify="id1"):
    return (user, name, 100 - rank, rank, spotify, spotify and name, 0.9 if spotify else None, NOW)


def batch(users, artists, names=("RJ",)):
    return Batch("documents", names, lambda part: iter({"users": users, "artists": artists}[part]), "1")


def test_the_document_of_the_brief():
    ((document, size),) = documents(batch([user()], [artist("B", 2, spotify=None), artist()]))
    assert document == {
        "id": "RJ",
        "lastfm_username": "RJ",
        "lastfm_playcount": 150,
        "lastfm_url": "https://www.last.fm/user/RJ",
        "imported_at": NOW,
        "source": "lastfm_friends_crawl",
        "crawl_seed": "RJ",
        "crawl_depth": 0,
        "top_artists": [
            {"name": "Björk", "playcount": 99, "spotify_id": "id1", "spotify_name": "Björk", "match_confidence": 0.9},
            {"name": "B", "playcount": 98, "spotify_id": None, "spotify_name": None, "match_confidence": 0.0},
        ],
        "artist_count": 2,
        "matched_artist_count": 1,
        "top_artist_names": ["Björk", "B"],
    }
    assert size == size_of(document)


def test_the_tail_is_cut_and_counted():
    rows = [artist("ż" * 400 + str(n), n) for n in range(1, 1001)]
    ((document, size),) = documents(batch([user()], rows))
    assert LARGEST_DOCUMENT - 3_000 < size <= LARGEST_DOCUMENT
    kept = len(document["top_artists"])
    assert document["top_artist_names"] == [row[1] for row in rows[:kept]]
    assert document["top_artists_cut"] == 1000 - kept > 0
    assert document["artist_count"] == document["matched_artist_count"] == 1000


@pytest.mark.parametrize(
    "name", ["RJ", "a b", "ąę", "50%", "a/b", ".", "..", "...", "__x__", "____", "__x", "%2F", "_"]
)
def test_ids_can_be_read_back(name):
    encoded = document_id(name)
    assert unquote(encoded) == name
    assert "/" not in encoded
    assert encoded not in {".", ".."}
    assert not (encoded.startswith("__") and encoded.endswith("__"))


def test_ids_differ():
    names = ["a/b", "a%2Fb", "a%252Fb", ".", "%2E", "x" * 2000, "x" * 1999, "ż" * 900, "ż" * 901]
    ids = {document_id(name) for name in names}
    assert len(ids) == len(names)
    assert max(len(name.encode()) for name in ids) <= 1500


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    if firestore_jar() is None:
        pytest.skip(GET_FIRESTORE)
    with firestore_emulator(tmp_path_factory.mktemp("firestore") / "log") as host:
        yield host


@pytest.fixture
def sink(emulator, monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
    sink = FirestoreSink("music-lab")
    sink.open()
    yield sink
    sink.close()


def stored(sink):
    return {found.id: found.to_dict() for found in sink._client.collection("lastfm_users").stream()}


def test_documents_are_written_replaced_and_deleted(sink):
    sink.check()
    names = ("RJ", "a/b", "..")
    sink.write(batch([user(name) for name in names], [artist(), artist("B", 2)], names))
    assert stored(sink).keys() == {"RJ", "a%2Fb", "%2E%2E"}
    sink.write(batch([user()], [artist(spotify=None)]))
    assert stored(sink)["RJ"]["matched_artist_count"] == 0
    assert len(stored(sink)["RJ"]["top_artists"]) == 1
    sink.write(batch([], [], names))
    assert stored(sink) == {}


def test_the_largest_documents_are_taken(sink):
    names = [f"user{n}" for n in range(12)]
    rows = [artist("ż" * 400 + str(n), n, name) for name in names for n in range(1, 1001)]
    sink.write(batch([user(name) for name in names], rows, names))
    assert all(document["top_artists_cut"] for document in stored(sink).values())
    sink.write(batch([], [], names))


def test_what_firestore_refuses(sink, monkeypatch):
    monkeypatch.setattr("lastfm_crawl.warehouse.firestore.LARGEST_DOCUMENT", 3_000_000)
    rows = [artist("ż" * 400 + str(n), n) for n in range(1, 1001)]
    with pytest.raises(Exception, match=r"exceeds|size|larger") as caught:
        sink.write(batch([user()], rows))
    assert type(caught.value).__name__ == "SinkRefusedError"


@pytest.mark.slow
def test_nobody_answers(monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9")
    sink = FirestoreSink("music-lab")
    sink.open()
    with pytest.raises(SinkUnavailableError):
        sink.write(batch([user()], []))
    sink.close()
