"""Packs: every answer once, byte for byte, whatever interrupts the packing."""

from __future__ import annotations

import gzip
import io
import json
import time

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.httpcache import StoreError, packs
from lastfm_crawl.httpcache.bucket import BucketStorage
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, decode, decode_line, encode, encode_line
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.httpcache.packs import pack, read_packs

BODIES = (
    b'{"a": 1}', b'{\n  "a": "\xc5\xbc"\r\n}', b"<html>\n", b"\x89PNG\r\n\x00\xff", b"", "ż\u2028\u0085\x0b".encode(),
)  # fmt: skip


def envelope(body: bytes = BODIES[0], user="rj", at=1_763_690_278.5) -> Envelope:
    return Envelope(
        method="user.getInfo", params={"user": user}, url="https://example.org", asked_at=at, status=200,
        headers={"Content-Type": "x"}, answered_at=at, body=body,
    )  # fmt: skip


def key(user, method="user.getInfo"):
    return request_key((method, user), {})


def fill(store, count=50, method="user.getInfo", at=1_763_690_278.5):
    found = {}
    for number in range(count):
        found[key(f"u{number}", method)] = envelope(BODIES[number % len(BODIES)], f"u{number}", at)
    for name, one in found.items():
        store.put(name, encode(one))
    return found


@pytest.fixture(params=["folder", "memory", "bucket"])
def store(request, tmp_path):
    if request.param == "folder":
        return FolderStorage(tmp_path / "store")
    if request.param == "memory":
        return MemoryStorage()
    request.getfixturevalue("gcs")
    return BucketStorage("gs://answers/lastfm")


@pytest.fixture
def small(monkeypatch):
    """Frames and segments so small that there are many."""
    monkeypatch.setattr(packs, "FRAME_BYTES", 500)
    monkeypatch.setattr(packs, "SEGMENT_BYTES", 3_000)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_every_answer_comes_back(store, small, compression):
    answers = fill(store) | fill(store, 7, "user.getFriends")
    before = {name: store.get(name) for name in answers}
    assert pack(store, compression=compression) == (57, 0, [])
    assert dict(read_packs(store)) == answers
    assert len([name for name in store.keys("packs/user.getInfo/") if "index" not in name]) > 2
    assert {name: store.get(name) for name in store.keys("requests/")} == before


def test_the_second_time_only_what_is_new_or_changed(store, small):
    answers = fill(store)
    pack(store)
    assert pack(store) == (0, 50, [])
    time.sleep(0.02)  # a folder knows a change by its time
    newer = envelope(b'{"a": 2}', "u0", 1_763_690_300.0)
    store.put(key("u0"), encode(newer))
    store.put(key("new"), encode(envelope(user="new")))
    assert pack(store) == (2, 49, [])
    found = list(read_packs(store))
    assert len(found) == 52
    assert [one for name, one in found if name == key("u0")] == [answers[key("u0")], newer], "older first"
    assert dict(found) == {**answers, key("u0"): newer, key("new"): envelope(user="new")}


def test_one_method_only(store):
    fill(store, 5)
    friends = fill(store, 7, "user.getFriends")
    assert pack(store, "user.getFriends") == (7, 0, [])
    assert dict(read_packs(store)) == friends
    assert dict(read_packs(store, "requests/user.getInfo/")) == {}
    one = key("u3", "user.getFriends")
    assert dict(read_packs(store, one)) == {one: friends[one]}


def test_what_cannot_be_read_is_left_out_and_told(store):
    fill(store, 5)
    store.put(key("bad"), b"not gzip")
    done = pack(store)
    assert (done.packed, done.unchanged, len(done.faults)) == (5, 0, 1)
    assert key("bad") in done.faults[0]


def test_an_interrupted_packing_goes_on(small):
    class Dying(MemoryStorage):
        left = 3

        def write(self, key, blob):
            self.left -= 1
            if self.left < 0:
                raise StoreError("killed")
            super().write(key, blob)

    store = Dying()
    answers = fill(store)
    with pytest.raises(StoreError):
        pack(store)
    assert len(dict(read_packs(store))) < 50
    store.left = 1_000
    done = pack(store)
    assert done.unchanged > 0
    assert done.packed + done.unchanged == 50
    assert dict(read_packs(store)) == answers


def test_spoilt_segments_are_skipped_and_told(small):
    store, faults = MemoryStorage(), []
    answers = fill(store)
    pack(store)
    segments = [name for name in store.keys("packs/") if name.endswith(".zst")]
    store.write(segments[0], store.get(segments[0])[:200])
    store.delete(segments[1])
    found = dict(read_packs(store, on_fault=faults.append))
    assert 0 < len(found) < 50
    assert found.items() <= answers.items()
    assert any("cannot be read" in line for line in faults)
    assert f"{segments[1]} is missing" in faults
    index = next(store.keys("packs/"))
    store.write(index, b"spoilt")
    with pytest.raises(CorruptEnvelopeError, match="cannot be read"):
        list(read_packs(store))


@pytest.mark.parametrize(("compression", "suffix"), [("zstd", ".zst"), ("gzip", ".gz")])
def test_others_read_a_segment_as_lines_of_json(small, compression, suffix):
    store = MemoryStorage()
    answers = fill(store, 20)
    pack(store, compression=compression)
    lines = []
    for name in store.keys("packs/"):
        if name.endswith(".ndjson" + suffix):
            blob = store.get(name)
            stream = (
                io.BytesIO(gzip.decompress(blob))
                if compression == "gzip"
                else zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob), read_across_frames=True)
            )
            lines += stream.read().decode().split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert {row["key"] for row in rows} == set(answers)
    assert rows[0]["request"]["method"] == "user.getInfo"
    assert next(iter(rows[0])) == "key"


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.sampled_from(BODIES),
    name=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_body_is_one_line_and_comes_back(body, name):
    line = encode_line(name, envelope(body))
    assert len(line.splitlines()) == 1
    assert decode_line(line) == (name, envelope(body))
    assert decode(encode(envelope(body))) == envelope(body)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_rewriting_takes_out_and_replaces(store, small, compression):
    answers = fill(store)
    pack(store, compression=compression)
    other = envelope(b'{"b": 2}', "u7")

    def change(name, one):
        return None if name == key("u3") else other if name == key("u7") else one

    before = {name: store.get(name) for name in store.keys("packs/")}
    assert packs.rewrite(store, change, dry_run=True) == 2
    assert {name: store.get(name) for name in store.keys("packs/")} == before
    assert packs.rewrite(store, change) == 2
    expected = {name: one for name, one in (answers | {key("u7"): other}).items() if name != key("u3")}
    assert dict(read_packs(store)) == expected
    assert len(list(store.keys("packs/"))) == len(before)
    assert packs.rewrite(store, lambda name, one: None if name == key("u3") else one) == 0
    # An object that was changed in the same way is packed.
    store.write(key("u7"), encode(other))
    store.delete(key("u3"))
    if not isinstance(store, FolderStorage):  # there the time of the change says that it may be another
        assert pack(store, compression=compression) == (0, 49, [])
    assert packs.rewrite(store, lambda *_: None) == 49
    assert list(store.keys("packs/")) == []


class StoppingStorage(MemoryStorage):
    """What *store* holds, which takes so many *changes* and no more."""

    def __init__(self, store, changes):
        super().__init__()
        self._blobs, self._changed = store._blobs, store._changed
        self.left = changes

    def write(self, key, blob):
        self.count()
        super().write(key, blob)

    def delete(self, key):
        self.count()
        super().delete(key)

    def count(self):
        if not self.left:
            raise StoreError("stopped")
        self.left -= 1


def test_rewriting_is_stopped_anywhere(small):
    for stop in range(1, 40):
        store = MemoryStorage()
        answers = fill(store, 20)
        pack(store)

        def change(name, one):
            return None if name in {key("u3"), key("u17")} else one

        done = True
        try:
            packs.rewrite(StoppingStorage(store, stop), change)
        except StoreError:
            done = False
        found = dict(read_packs(store))
        assert found.keys() | {key("u3"), key("u17")} == answers.keys()
        packs.rewrite(store, change)
        assert dict(read_packs(store)).keys() == answers.keys() - {key("u3"), key("u17")}
        segments = [name for name in store.keys("packs/") if name.endswith(".zst")]
        assert len(segments) == len(list(packs.indexes(store)))
        if done:
            return
    pytest.fail("it never came to its end")


def test_what_cannot_be_read_stays_and_what_was_not_finished_goes(store, small):
    fill(store)
    pack(store)
    first, *_ = (name for name in store.keys("packs/") if name.endswith(".zst"))
    store.write(first, b"spoilt" + store.get(first)[6:])
    store.write("packs/user.getInfo/20200101T000000Z-0001.ndjson.zst", b"half of it")
    faults = []
    packs.rewrite(store, lambda name, one: one, on_fault=faults.append)
    assert len(faults) == 1
    assert first in faults[0]
    names = list(store.keys("packs/"))
    assert first in names
    assert "packs/user.getInfo/20200101T000000Z-0001.ndjson.zst" not in names
