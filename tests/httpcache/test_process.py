"""The store's process: what it answers, and what becomes of answers when somebody dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from lastfm_crawl.httpcache import StoreError, process, worker
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.process import StoreProcess

KEY = "requests/user.getInfo/rj/all.json.gz"


def envelope(body: bytes = b'{"user":{"name":"RJ"}}') -> Envelope:
    return Envelope(
        method="user.getInfo",
        params={"user": "Zażółć 🎧"},
        url="https://ws.audioscrobbler.com/2.0/",
        asked_at=1_763_690_278.25,
        status=200,
        headers={"Content-Type": "application/json"},
        answered_at=1_763_690_278.5,
        body=body,
        expires=1_763_690_300.0,
    )


@pytest.fixture
def folder(tmp_path):
    return FolderStorage(tmp_path / "store")


@pytest.fixture
async def store(folder):
    store = StoreProcess(folder.location, f"{folder.location}-spool")
    await store.open()
    yield store
    await store.close()


async def test_an_answer_comes_back_as_it_was_put(store, folder):
    await store.put(KEY, envelope())
    assert await store.get(KEY) == decode(folder.get(KEY)) == envelope()


@pytest.mark.parametrize("body", [b"", os.urandom(3_000_000), b'"' + b"x" * 5_000_000 + b'"'], ids=len)
async def test_bodies_of_any_size(store, body):
    await store.put(KEY, envelope(body))
    assert (await store.get(KEY)).body == body


async def test_what_is_not_there_is_none(store):
    assert await store.get(KEY) is None


async def test_a_spoilt_object_is_told_from_a_store_that_does_not_work(store, folder):
    folder.put(KEY, b"not gzip")
    with pytest.raises(CorruptEnvelopeError):
        await store.get(KEY)
    with pytest.raises(StoreError, match="is not a key"):
        await store.get("../../etc/passwd")


async def test_many_at_once(store, folder):
    keys = [f"requests/user.getInfo/u{number}/all.json.gz" for number in range(500)]
    await asyncio.gather(*(store.put(key, envelope(key.encode())) for key in keys))
    found = await asyncio.gather(*map(store.get, keys))
    assert [one.body.decode() for one in found] == keys


async def test_a_location_that_cannot_be_written(tmp_path):
    (tmp_path / "store").write_bytes(b"I am no folder")
    store = StoreProcess(str(tmp_path / "store"), str(tmp_path / "spool"))
    await store.open()
    with pytest.raises(StoreError, match="Not a directory"):
        await store.probe()
    await store.close()


async def test_nobody_waits_for_a_process_that_was_killed(store):
    waiting = [asyncio.ensure_future(store.put(KEY, envelope(os.urandom(1_000_000)))) for _ in range(20)]
    await asyncio.sleep(0)
    store._process.kill()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert any(isinstance(result, StoreError) and "has ended" in str(result) for result in results)
    with pytest.raises(StoreError, match="has ended"):
        await store.get(KEY)


async def test_a_process_that_cannot_be_started(folder, monkeypatch):
    monkeypatch.setattr(process.sys, "executable", "/nowhere/python")
    with pytest.raises(StoreError, match="cannot be started"):
        await StoreProcess(folder.location, "spool").open()


async def test_whoever_is_cancelled_does_not_disturb_the_others(store):
    first = asyncio.ensure_future(store.put(KEY, envelope()))
    await asyncio.sleep(0)
    first.cancel()
    await store.put(KEY.replace("rj", "other"), envelope())
    assert await store.get(KEY) == envelope()


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_outlives_the_signals_that_stop_a_crawl(store, number):
    await store.probe()
    store._process.send_signal(number)
    await store.put(KEY, envelope())
    assert await store.get(KEY) == envelope()


CRAWL = """
import asyncio, os, sys
sys.path[:0] = ["tests/httpcache", "tests"]
from test_process import StoreProcess, envelope

async def main():
    store = StoreProcess(sys.argv[1], "unused")
    await store.open()
    await store.probe()
    for number in range(50):
        store._ask("put", f"requests/{number}.json.gz", envelope())
    await asyncio.sleep(0)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_what_a_killed_crawl_had_given_away_is_stored(folder):
    subprocess.run([sys.executable, "-c", CRAWL, folder.location], cwd=ROOT, check=False, timeout=30)
    deadline = time.monotonic() + 10
    while len(stored := list(folder.keys("requests/"))) < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(stored) == 50
    assert all(decode(folder.get(key)) == envelope() for key in stored)


def test_frames_in_pieces():
    whole = b"".join(worker.frame(worker.Asked(number, "get", "k" * number)) for number in range(50))
    buffer, found = bytearray(), []
    for start in range(0, len(whole), 7):
        buffer += whole[start : start + 7]
        found += map(worker._asked, worker.frames(buffer))
    assert [(one.number, len(one.key)) for one in found] == [(number, number) for number in range(50)]
    assert not buffer
