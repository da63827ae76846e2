"""Stored answers become pages, or a line that says why not."""

from __future__ import annotations

import json

import pytest

from lastfm_crawl.httpcache.envelope import Envelope, encode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import archive_key
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.items import FriendsPage, Profile, RecentTracksPage, TopArtistsPage, TopTracksPage, UserMark
from lastfm_crawl.services import lastfm
from lastfm_crawl.spiders.stored import BATCH, Reader, Stored, _packed, _unpacked, _work, _Worker, parse
from lastfm_crawl.warehouse.forgotten import Forgotten

CALL = lastfm.get_top_artists("rj")


def body(user="rj"):
    rows = [{"name": "Queen", "playcount": "3", "@attr": {"rank": "1"}}]
    attr = {"user": user, "totalPages": "1", "page": "1", "perPage": "1000", "total": "1"}
    return json.dumps({"topartists": {"artist": rows, "@attr": attr}}).encode()


def envelope(call=CALL, *, status=200, content=None, params=None, method=None):
    return Envelope(
        method=method or call.method, params=call.all_params if params is None else params, url="", asked_at=1,
        status=status, headers={}, answered_at=1234.5, body=body(call.user) if content is None else content,
    )  # fmt: skip


def test_a_page_has_the_time_of_its_answer():
    stored = parse(CALL.store_key, envelope())
    assert isinstance(stored.page, TopArtistsPage)
    assert (stored.page.names, stored.page.fetched_at, stored.fault) == (["Queen"], 1234.5, None)


def test_an_archived_page_is_a_page():
    assert parse(archive_key(CALL.store_key, "2026-01-01T00:00:00.000000Z"), envelope()).page


def test_no_such_user_is_a_mark():
    content = b'{"error":6,"message":"User not found"}'
    page = parse(CALL.store_key, envelope(status=404, content=content)).page
    assert isinstance(page, UserMark)
    assert (page.status, page.fetched_at) == ("not_found", 1234.5)


@pytest.mark.parametrize(
    ("key", "changes", "why"),
    [
        (lastfm.get_top_artists("other").store_key, {}, "another question"),
        ("archive/user.getTopArtists/other/x/y.json.gz", {}, "another question"),
        (CALL.store_key, {"content": b"[1]"}, "no JSON that we know"),
        (CALL.store_key, {"content": body("eve")}, "another user's"),
        (CALL.store_key, {"content": b'{"error":8,"message":"try again"}'}, "error 8"),
        (CALL.store_key, {"content": b'{"error":10,"message":"key"}', "status": 403}, "error 10"),
        (CALL.store_key, {"method": "album.getInfo"}, "no method that we know"),
        (CALL.store_key, {"params": {"limit": "1"}}, "incomplete"),
        (
            lastfm.Call("user.getTopArtists", "rj").store_key,
            {"params": {"user": "rj"}},
            "incomplete",
        ),
    ],
)
def test_what_is_no_answer_says_why(key, changes, why):
    stored = parse(key, envelope(**changes))
    assert stored.page is None
    assert why in stored.fault


def test_objects_that_cannot_be_read(monkeypatch):
    store = MemoryStorage()
    for name, value in (("storage", store), ("threads", None), ("forgotten", Forgotten())):
        monkeypatch.setattr(_Worker, name, value, raising=False)
    good = encode(envelope())
    store.write(CALL.store_key, good[:-20])
    found = _work([CALL.store_key, "requests/gone", "requests/../x", "requests/a\\b"], 0)
    assert [stored.page for stored in found] == [None] * 4
    assert all(stored.fault for stored in found)
    assert "gone" in found[1].fault


async def test_processes_give_batches_in_order_and_only_what_is_new(tmp_path):
    store = FolderStorage(tmp_path)
    calls = [lastfm.get_top_artists(f"u{number:03}") for number in range(3 * BATCH + 5)]
    for call in calls:
        store.put(call.store_key, encode(envelope(call)))
    keys = [call.store_key for call in calls]
    reader = Reader(Opener(tmp_path), 2)
    try:
        found = [stored async for batch in reader.pages(keys) for stored in batch]
        old = [stored async for batch in reader.pages(keys, since=2000) for stored in batch]
        outlines = [stored async for batch in reader.outlines(["requests/nothing"]) for stored in batch]
    finally:
        reader.close()
    assert [stored.key for stored in found] == keys
    assert all(stored.page for stored in found)
    assert {(stored.page, stored.fault) for stored in old} == {(None, None)}
    assert outlines[0].fault == "it is gone"


class Opener:
    """What a process makes its storage with."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self):
        return FolderStorage(self.folder)


def test_what_goes_from_process_to_process_arrives_as_it_was():
    common = {"method": "m", "user": "Ünä 坂", "params": "p", "received": 2, "fetched_at": 1.5, "size": 9}
    names = ["a", "\U0001f3b5"]
    batch = [
        Stored("k1", TopArtistsPage(**common, period="overall", ranks=[1, 2], names=names, playcounts=[2**40, 0])),
        Stored("k2", RecentTracksPage(**common, window_from=0, window_to=9, per_page=2, uts=[5, 4], artists=names,
                                      tracks=names, loved=[True, False], skipped={"undated": 1})),
        Stored("k3", TopTracksPage(**common, period="overall", tracks=names)),
        Stored("k4", FriendsPage(**common, friends=(Profile("x", playcount=3),))),
        Stored("k5", UserMark(**common, status="private", detail="hidden")),
        Stored("k6", fault="it is gone"),
        Stored("k7"),
    ]  # fmt: skip
    assert _unpacked(_packed(batch)) == batch
    ranked = Stored("k", TopArtistsPage(**common, period="overall", ranks=range(3, 5), names=names, playcounts=[1, 1]))
    (found,) = _unpacked(_packed([ranked]))
    assert found.page.rows() == ranked.page.rows()
