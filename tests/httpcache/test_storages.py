"""What every storage promises: one suite over the folder, the memory and the bucket.

The bucket is the strict stand-in's, through Google's library and real HTTP. Google's interface is also asked of
gcp-storage-emulator, by whoever wrote that: it ignores preconditions and paging, so only where neither matters.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from conftest import ROOT
from gcp_storage_emulator.server import create_server

from lastfm_crawl.httpcache import Storage, StoreError, open_store
from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.httpcache.storage import probe

KEY = "requests/user.getInfo/rj/all.json.gz"


@dataclass
class Place:
    """Where a storage keeps things: ``open`` makes another storage there."""

    location: str
    open: Callable[[], Storage]


@pytest.fixture(scope="module")
def emulator_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="answers")
    server.start()
    yield server, f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def emulator(emulator_server, monkeypatch):
    server, url = emulator_server
    server.wipe(keep_buckets=True)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)


def place_of(name: str, request, tmp_path) -> Place:
    if name == "memory":
        memory = MemoryStorage()
        return Place("", lambda: memory)
    if name == "folder":
        location = str(tmp_path / "store")
    else:
        request.getfixturevalue("gcs" if name == "bucket" else "emulator")
        location = "gs://answers/of/a run"
    return Place(location, lambda: open_store(location))


@pytest.fixture(params=["folder", "memory", "bucket", "emulator"])
def any_place(request, tmp_path) -> Place:
    return place_of(request.param, request, tmp_path)


@pytest.fixture(params=["folder", "memory", "bucket"])
def place(request, tmp_path) -> Place:
    """A place that knows what it had before."""
    return place_of(request.param, request, tmp_path)


@pytest.fixture
def any_store(any_place) -> Storage:
    return any_place.open()


@pytest.fixture
def store(place) -> Storage:
    return place.open()


def everything(store: Storage) -> dict[str, bytes | None]:
    return {key: store.get(key) for key in store.keys()}  # noqa: SIM118  (no dictionary)


def archived(store: Storage) -> list[bytes | None]:
    return [store.get(key) for key in store.keys("archive/")]


# --- round trips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [b"one", b"", b"\r\n--\r\n\0", bytes(range(256)) * 4000], ids=len)
def test_what_is_put_can_be_got(any_store, blob):
    any_store.put(KEY, blob)
    assert any_store.get(KEY) == blob
    assert everything(any_store) == {KEY: blob}


def test_a_large_answer(any_store):
    blob = random.Random(1).randbytes(20_000_000)
    any_store.put(KEY, blob)
    assert any_store.get(KEY) == blob


def test_nothing_is_none(any_store):
    assert any_store.get(KEY) is None
    any_store.put(KEY, b"1")
    assert any_store.get("requests/user.getInfo/rj/other.json.gz") is None


def test_another_storage_finds_what_one_put(any_place):
    any_place.open().put(KEY, b"1")
    assert any_place.open().get(KEY) == b"1"


def test_write_replaces_without_a_copy(any_store):
    any_store.write("state/progress.json", b"1")
    any_store.write("state/progress.json", b"2")
    assert everything(any_store) == {"state/progress.json": b"2"}


def test_delete(any_store):
    any_store.put(KEY, b"1")
    any_store.put(f"{KEY}x", b"2")
    any_store.delete(KEY)
    any_store.delete(KEY)
    assert everything(any_store) == {f"{KEY}x": b"2"}


def test_a_probe_leaves_nothing(any_store):
    probe(any_store)
    assert everything(any_store) == {}


# --- what was there before ----------------------------------------------------------------------------------------


def test_what_is_replaced_moves_to_the_archive(store):
    for blob in (b"1", b"2", b"3"):
        store.put(KEY, blob)
    assert store.get(KEY) == b"3"
    assert archived(store) == [b"1", b"2"]
    assert all(key.startswith("archive/user.getInfo/rj/all/2") for key in store.keys("archive/"))


def test_what_is_put_again_is_not_archived(store):
    store.put(KEY, b"1")
    store.put(KEY, b"1")
    assert everything(store) == {KEY: b"1"}


def test_an_answer_that_comes_back_is_a_newer_one(store):
    for blob in (b"1", b"2", b"1"):
        store.put(KEY, blob)
    assert store.get(KEY) == b"1"
    assert archived(store) == [b"1", b"2"]


def test_what_was_written_over_or_deleted_meanwhile(store):
    store.put(KEY, b"1")
    store.write(KEY, b"2")
    store.put(KEY, b"3")
    store.delete(KEY)
    store.put(KEY, b"4")
    assert everything(store) == {KEY: b"4", next(store.keys("archive/")): b"2"}


def test_a_large_answer_is_archived(store):
    first, second = (random.Random(seed).randbytes(9_000_000) for seed in (1, 2))
    store.put(KEY, first)
    store.put(KEY, second)
    assert store.get(KEY) == second
    assert archived(store) == [first]


# --- names --------------------------------------------------------------------------------------------------------

NAMES = [
    "rj",
    "Zażółć gęślą",
    "初音ミク",
    "👩‍🚀🏳️‍🌈",
    "a b",
    "%2F%00",
    "what?#&=+",
    "..",
    "con",
    "x" * 5000,
    "…" * 300,
    "'\"<>|*:~",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_users(any_store, name):
    key = request_key(["user.getInfo", name], {"user": name, "page": "1"})
    any_store.put(key, name.encode())
    assert any_store.get(key) == name.encode()
    assert list(any_store.keys("requests/user.getInfo/")) == [key]


@pytest.mark.parametrize(
    "key", ["x/żółć 😀.json.gz", "x/%41", "x/a?b#c&d", "x/a...", "x/a  b", "x/~'!*()", "x/👩‍🚀", "x/\u3000"]
)
def test_keys_that_are_not_encoded(any_store, key):
    any_store.write(key, b"1")
    assert everything(any_store) == {key: b"1"}
    any_store.delete(key)
    assert everything(any_store) == {}


def test_the_longest_key_that_there_is(store):
    key = f"requests/{'m' * 120}/{'u' * 120}/{'p' * 120}.json.gz"
    store.put(key, b"1")
    store.put(key, b"2")
    assert (store.get(key), archived(store)) == (b"2", [b"1"])


HOSTILE = [
    "../outside", "requests/../../outside", "/etc/passwd", "requests/..", "..", "a\\..\\b", "a\0b", "a\nb", "a\rb",
    "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
def test_what_is_not_a_key(any_store, key):
    for refused in (
        lambda: any_store.get(key),
        lambda: any_store.put(key, b"1"),
        lambda: any_store.write(key, b"1"),
        lambda: any_store.delete(key),
    ):
        with pytest.raises(StoreError, match="not a key"):
            refused()
    assert everything(any_store) == {}


def test_no_prefix_leads_out_of_the_store(any_store):
    with pytest.raises(StoreError, match="not a key"):
        list(any_store.keys("../"))


def test_keys_are_listed_by_prefix(any_store):
    keys = [
        "requests/user.getFriends/rj/limit=500,page=1.json.gz",
        "requests/user.getFriends/rj/limit=500,page=2.json.gz",
        "requests/user.getInfo/rj/all.json.gz",
        "state/progress.json",
    ]
    for key in reversed(keys):
        any_store.write(key, b"1")
    assert list(any_store.keys()) == keys
    assert list(any_store.keys("requests/")) == keys[:3]
    assert list(any_store.keys("requests/user.getF")) == keys[:2]
    assert list(any_store.keys("requests/user.getFriends/rj/limit=500,page=2")) == keys[1:2]
    assert list(any_store.keys("state")) == keys[3:]
    assert list(any_store.keys("exports/")) == []


# --- several writers ----------------------------------------------------------------------------------------------


def test_threads_that_write_other_keys(store):
    def put(number):
        store.put(f"requests/m/{number % 7}/{number}.json.gz", b"%d" % number)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, range(200)))
    assert {int(blob) for blob in everything(store).values()} == set(range(200))


def test_threads_that_write_the_same_answer(store):
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: store.put(KEY, b"same"), range(60)))
    assert everything(store) == {KEY: b"same"}


def test_threads_of_two_storages_that_write_one_key(place):
    """Every answer is there exactly once afterwards: one at the key, the others in the archive."""
    stores = [place.open(), place.open()]
    blobs = [b"%d" % number for number in range(24)]
    start = threading.Barrier(8)

    def put(number):
        if number < 8:
            start.wait(10)
        stores[number % 2].put(KEY, blobs[number])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(len(blobs))))
    found = everything(stores[0])
    assert sorted(found.values()) == sorted(blobs)
    assert [key for key in found if not key.startswith("archive/")] == [KEY]


WRITER = """
import sys
from lastfm_crawl.httpcache import open_store
store, name = open_store(sys.argv[1]), sys.argv[2]
store.get("requests/none")
print(flush=True)
sys.stdin.readline()
for number in range(20):
    store.put(f"requests/m/shared/same{number}.json.gz", b"same")
    store.put(f"requests/m/shared/{number % 3}.json.gz", f"{name}{number}".encode())
"""


@pytest.mark.parametrize("place", ["folder", "bucket"], indirect=True)
def test_two_processes_on_one_store(place):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, place.location, name],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        writer.communicate(b"\n", timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    found = sorted(everything(place.open()).values())
    assert found == sorted([b"same"] * 20 + [f"{name}{number}".encode() for name in "ab" for number in range(20)])
