"""The spool: nothing that was received is lost while the store does not work, and nothing newer is overwritten."""

from __future__ import annotations

import pytest

from lastfm_crawl.httpcache import StoreError
from lastfm_crawl.httpcache.envelope import Envelope, encode
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.httpcache.spool import Spool

KEY = "requests/user.getInfo/rj/all.json.gz"


class Moody(MemoryStorage):
    """A store that can be told not to take anything."""

    works = True

    def put(self, key, blob):
        if not self.works:
            raise StoreError("Service Unavailable")
        super().put(key, blob)


def answer(at: float) -> bytes:
    return encode(
        Envelope(
            method="m", params={}, url="u", asked_at=at, status=200, headers={}, answered_at=at, body=b'{"at":%d}' % at
        )
    )


@pytest.fixture
def store():
    return Moody()


@pytest.fixture
def spool(store, tmp_path):
    return Spool(store, tmp_path)


def fail(spool, store, key=KEY, blob=None):
    store.works = False
    with pytest.raises(StoreError, match=r"Service Unavailable \(kept in"):
        spool.put(key, blob or answer(1))
    store.works = True


def test_what_works_is_not_kept(spool, store, tmp_path):
    spool.put(KEY, answer(1))
    assert store.get(KEY) == answer(1)
    assert spool.upload() == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_next_run_uploads_it(spool, store, tmp_path):
    fail(spool, store)
    assert Spool(store, tmp_path).upload() == 1
    assert store.get(KEY) == answer(1)
    assert Spool(store, tmp_path).upload() == 0


def test_a_later_attempt_that_came_through_counts(spool, store, tmp_path):
    fail(spool, store)
    spool.put(KEY, answer(1))
    store.put(KEY, answer(2))
    assert Spool(store, tmp_path).upload() == 0
    assert store.get(KEY) == answer(2)


def test_a_newer_answer_stays_and_the_older_goes_to_the_archive(spool, store, tmp_path):
    fail(spool, store, blob=answer(5))
    store.put(KEY, answer(9))
    assert Spool(store, tmp_path).upload() == 1
    assert store.get(KEY) == answer(9)
    (archived,) = store.keys("archive/")
    assert store.get(archived) == answer(5)


def test_an_older_answer_is_replaced_and_archived(spool, store, tmp_path):
    store.put(KEY, answer(1))
    fail(spool, store, blob=answer(5))
    Spool(store, tmp_path).upload()
    assert store.get(KEY) == answer(5)
    (archived,) = store.keys("archive/")
    assert store.get(archived) == answer(1)


def test_a_spoilt_object_in_the_store_is_replaced(spool, store, tmp_path):
    store.put(KEY, b"spoilt")
    fail(spool, store)
    Spool(store, tmp_path).upload()
    assert store.get(KEY) == answer(1)


def test_an_upload_that_fails_loses_nothing(spool, store, tmp_path):
    keys = [KEY.replace("rj", name) for name in "abc"]
    for key in keys:
        fail(spool, store, key=key)
    store.works = False
    with pytest.raises(StoreError):
        Spool(store, tmp_path).upload()
    store.works = True
    assert Spool(store, tmp_path).upload() == 3
    assert sorted(store.keys()) == keys


def test_what_was_meant_for_another_store_stays(spool, store, tmp_path):
    fail(spool, store)
    other = Moody()
    other.location = "gs://other/place"
    assert Spool(other, tmp_path).upload() == 0
    assert Spool(store, tmp_path).upload() == 1


def test_a_machine_that_cannot_keep_it_says_what_is_wrong_with_the_store(store, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store.works = False
    with pytest.raises(StoreError, match=r"^Service Unavailable$"):
        Spool(store, tmp_path / "file").put(KEY, answer(1))
