"""An answer of a version that is not known yet: told, counted, and never lost."""

from __future__ import annotations

import gzip
import json

import pytest

from lastfm_crawl.httpcache.bucket import BucketStorage
from lastfm_crawl.httpcache.envelope import (
    CorruptEnvelopeError,
    Envelope,
    NewerEnvelopeError,
    decode,
    decode_line,
    encode,
    encode_line,
)
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.httpcache.packs import pack, read_packs
from lastfm_crawl.httpcache.upkeep import copy, holdings, verify

KEY = request_key(("m", "rj"), {})
KNOWN = Envelope(
    method="m", params={"user": "rj"}, url="u", asked_at=1.0, status=200, headers={}, answered_at=2.0, body=b"{}"
)
#: The same in other shapes: one that looks as before, and one that does not.
LIKE_BEFORE = gzip.compress(gzip.decompress(encode(KNOWN)).replace(b'"version":1', b'"version":2'))
UNLIKE = gzip.compress(b'{"version": 3, "exchange": [{"body": "AAAA"}]}')
LINE = r"it is an envelope of version [23], and known is 1: update the software that reads it$"


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, gcs):
    return FolderStorage(tmp_path / "store") if request.param == "folder" else BucketStorage("gs://answers/a")


@pytest.mark.parametrize("blob", [LIKE_BEFORE, UNLIKE], ids=["like before", "unlike"])
def test_one_line_says_it(blob):
    with pytest.raises(NewerEnvelopeError, match=f"^{LINE}"):
        decode(blob)
    with pytest.raises(NewerEnvelopeError, match=LINE):
        decode_line(gzip.decompress(blob))


@pytest.mark.parametrize("version", [None, "null", "0", "-1", '"2"', "1.5", "[2]", "true"])
def test_what_is_no_version_is_spoilt(version):
    text = gzip.decompress(encode(KNOWN)).decode()
    text = text.replace('"version":1,', "" if version is None else f'"version":{version},')
    assert '"version":1,' not in text
    with pytest.raises(CorruptEnvelopeError, match="version") as error:
        decode(gzip.compress(text.encode()))
    assert not isinstance(error.value, NewerEnvelopeError)


@pytest.mark.parametrize("blob", [LIKE_BEFORE, UNLIKE], ids=["like before", "unlike"])
def test_no_upkeep_touches_it(store, blob, tmp_path):
    archived = f"archive/{KEY.partition('/')[2].removesuffix('.json.gz')}/2026.json.gz"
    store.write(KEY, blob)
    store.write(archived, blob)
    kept = {KEY: blob, archived: blob}
    (first, second) = sorted(verify(store, lambda *_: KEY))
    assert first.startswith(f"{archived} cannot be read: it is an envelope of version")
    assert second.startswith(f"{KEY} cannot be read: it is an envelope of version")
    done = pack(store)
    assert (done.packed, len(done.faults)) == (0, 1)
    assert "packs" not in holdings(store)
    other = FolderStorage(tmp_path / "other")
    for _ in range(2):
        assert copy(store, other).faults == []
    for place in (store, other):
        assert {key: place.get(key) for key in place.keys()} == kept  # noqa: SIM118
    # A copy that has the older version of an answer puts it into the place, and this one into the archive.
    old = FolderStorage(tmp_path / "old")
    old.write(KEY, encode(KNOWN))
    assert copy(old, store).copied == 1
    held = sorted(store.get(key) for key in store.keys())  # noqa: SIM118
    assert held == sorted([blob, blob, encode(KNOWN)])


def test_in_a_pack_the_lines_beside_it_are_read(store):
    store.write(KEY, encode(KNOWN))
    pack(store, compression="gzip")
    (segment,) = (key for key in store.keys("packs/") if "index" not in key)
    line = gzip.decompress(store.get(segment)).strip()
    newer = line.replace(b'"version":1', b'"version":2')
    assert newer != line == encode_line(KEY, KNOWN)
    blob = gzip.compress(newer + b"\n" + line + b"\n")
    store.write(segment, blob)
    index = segment.replace(".ndjson.gz", ".index.json.gz")
    about = json.loads(gzip.decompress(store.get(index)))
    store.write(index, gzip.compress(json.dumps({**about, "frames": [[0, len(blob)]]}).encode()))
    faults = []
    assert list(read_packs(store, on_fault=faults.append)) == [(KEY, KNOWN)]
    (fault,) = faults
    assert fault.startswith(f"a line of {segment} cannot be read: it is an envelope of version 2")
