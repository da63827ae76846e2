"""Counting, verifying and copying a store."""

from __future__ import annotations

import pytest

from lastfm_crawl.httpcache import StoreError, upkeep
from lastfm_crawl.httpcache.bucket import BucketStorage
from lastfm_crawl.httpcache.envelope import Envelope, encode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.httpcache.upkeep import Holding, copy, holdings, verify


def key_of(method, params):
    return None if method == "other" else request_key((method, params["user"]), {})


def answer(user, body=b"{}", method="m") -> bytes:
    return encode(
        Envelope(
            method=method, params={"user": user}, url="u", asked_at=1.0, status=200, headers={}, answered_at=2.0,
            body=body,
        )
    )  # fmt: skip


def key(user):
    return key_of("m", {"user": user})


NAMES = ("rj", "Zażółć gęślą", "a/b", "..", "con", "🎧" * 60, "x y")


def fill(store):
    for name in NAMES:
        store.put(key(name), answer(name))
        store.put(key(name), answer(name, b"[]"))
    store.write("state/progress.json", b"{}")
    store.write("exports/users.json.gz", b"x")
    return store


@pytest.fixture
def folder(tmp_path):
    return FolderStorage(tmp_path / "store")


@pytest.fixture(params=["folder-bucket", "bucket-folder", "folder-folder", "bucket-bucket", "memory-folder"])
def stores(request, tmp_path, gcs):
    makers = {
        "folder": lambda name: FolderStorage(tmp_path / name),
        "bucket": lambda name: BucketStorage(f"gs://answers/{name}"),
        "memory": lambda _: MemoryStorage(),
    }
    source, target = request.param.split("-")
    return fill(makers[source]("one")), makers[target]("two")


def contents(store):
    return {name: store.get(name) for name in store.keys("")}


def test_what_is_there(folder):
    fill(folder)
    size = sum(entry.size for entry in folder.entries("requests/"))
    found = holdings(folder)
    assert found["requests/m"] == Holding(len(NAMES), size)
    assert found["archive/m"].objects == len(NAMES)
    assert (found["state"], found["exports"]) == (Holding(1, 2), Holding(1, 1))


def test_a_sound_store(folder):
    seen = []
    assert list(verify(fill(folder), key_of, lambda: seen.append(1))) == []
    assert len(seen) == 2 * len(NAMES)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.write(key("rj"), b"spoilt"), "cannot be read"),
        (lambda s: s.write(key("rj"), answer("rj")[:-9]), "cannot be read"),
        (lambda s: s.write(key("rj"), answer("other")), f"belongs at {key_of('m', {'user': 'other'})}"),
        (lambda s: s.write("requests/m/notes.txt", b"x"), "is no answer"),
        (lambda s: s.write("elsewhere/x", b"x"), "in no part of the store"),
        (lambda s: s.delete(key("rj")), "has no newer one"),
        (lambda s: (s.root / "requests" / ".1-2.tmp").write_bytes(b""), "left by a writer"),
    ],
)
def test_each_fault_is_one_line(folder, spoil, said):
    spoil(fill(folder))
    (line,) = verify(folder, key_of)
    assert said in line


def test_services_that_are_not_known_are_left_alone(folder):
    folder.put("requests/other/x.json.gz", answer("whoever", method="other"))
    assert list(verify(folder, key_of)) == []


def test_a_copy_is_equal_and_made_once(stores):
    source, target = stores
    done = copy(source, target)
    assert (done.there, done.faults) == (0, [])
    assert done.copied == 2 * len(NAMES) + 2
    assert contents(target) == contents(source)
    assert copy(source, target) == (0, done.copied, [])


def test_an_answer_that_differs_moves_to_the_archive(stores):
    source, target = stores
    target.put(key("rj"), answer("rj", b'"mine"'))
    before = set(target.keys("archive/"))
    copy(source, target)
    assert target.get(key("rj")) == source.get(key("rj"))
    moved = set(target.keys("archive/")) - before - set(source.keys("archive/"))
    assert [target.get(name) for name in moved] == [answer("rj", b'"mine"')]


def test_equal_size_is_not_equal_content(stores):
    source, target = stores
    source.write("state/progress.json", b"ab")
    target.write("state/progress.json", b"ba")
    copy(source, target)
    assert target.get("state/progress.json") == b"ab"


def test_an_older_answer_is_never_overwritten(stores):
    source, target = stores
    name = next(source.keys("archive/"))
    target.write(name, b"another")
    (line,) = copy(source, target).faults
    assert name in line
    assert target.get(name) == b"another"


def test_what_cannot_be_copied_is_told_and_the_rest_is(folder):
    class Picky(MemoryStorage):
        def put(self, name, blob):
            if "/rj/" in name:
                raise StoreError(f"cannot write {name!r}")
            super().put(name, blob)

    target = Picky()
    done = copy(fill(folder), target)
    assert done.copied == 2 * len(NAMES) + 1
    assert done.faults == [f"cannot write {key('rj')!r}"]


def test_an_interrupted_copy_goes_on(folder, monkeypatch):
    class Interrupted(MemoryStorage):
        left = 5

        def put(self, name, blob):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            super().put(name, blob)

    monkeypatch.setattr(upkeep, "in_threads", map)
    target = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        copy(fill(folder), target)
    target.left = 1000
    done = copy(folder, target)
    assert done.there >= 5
    assert contents(target) == contents(folder)
