"""The envelope: what goes in comes out byte for byte, or it is said to be spoilt."""

from __future__ import annotations

import ast
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.httpcache import envelope as module
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, decode, encode, from_stamp, utc_stamp

ASKED, ANSWERED = 1_763_690_278.5, 1_763_690_279.123456


def make(body: bytes = b'{"user":{}}', **fields) -> Envelope:
    defaults = {
        "method": "user.getTopArtists",
        "params": {"user": "rj", "limit": "1000"},
        "url": "https://ws.audioscrobbler.com/2.0/?method=user.getTopArtists&user=rj",
        "asked_at": ASKED,
        "status": 200,
        "headers": {"Content-Type": "application/json"},
        "answered_at": ANSWERED,
        "body": body,
    }
    return Envelope(**{**defaults, **fields})


def plain(envelope: Envelope) -> dict:
    return json.loads(gzip.decompress(encode(envelope)))


def test_the_documented_shape():
    assert plain(make(b'{"topartists": {"artist": [1, 2.50, "\\u00e9"]}}')) == {
        "version": 1,
        "request": {
            "method": "user.getTopArtists",
            "params": {"user": "rj", "limit": "1000"},
            "url": "https://ws.audioscrobbler.com/2.0/?method=user.getTopArtists&user=rj",
            "timestamp": "2025-11-21T01:57:58.500000Z",
        },
        "response": {
            "status_code": 200,
            "headers": {"Content-Type": "application/json"},
            "timestamp": "2025-11-21T01:57:59.123456Z",
            "body": {"topartists": {"artist": [1, 2.5, "é"]}},
        },
    }


def test_the_body_is_spliced_in_as_it_came():
    body = b'{ "a" : 1.50e+03,\n\t"b":"\\u00e9\\/", "a":2 }'
    assert body in gzip.decompress(encode(make(body)))


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (b'{"a":1}', "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"null", "body"),
        (b"0", "body"),
        (b"", "text"),
        (b"<html>502</html>", "text"),
        (b' {"a":1}', "text"),
        (b'{"a":1}\n', "text"),
        (b'\xef\xbb\xbf{"a":1}', "text"),
        (b'{"a":1}}', "text"),
        (b'1},"x":{"a":2', "text"),
        (b'1,"body":2', "text"),
        (b"NaN", "text"),
        (b'{"a":', "text"),
        (b"\xff\xfe", "base64"),
        (b'{"a":"\xff"}', "base64"),
    ],
)
def test_json_text_and_bytes_each_have_a_place(body, member):
    assert {"body", "text", "base64"} & plain(make(body))["response"].keys() == {member}
    assert decode(encode(make(body))).body == body


def test_an_answer_that_is_kept_for_a_time_says_until_when():
    assert "expires" not in plain(make())["response"]
    envelope = make(expires=ANSWERED + 60)
    assert plain(envelope)["response"]["expires"] == "2025-11-21T01:58:59.123456Z"
    assert decode(encode(envelope)) == envelope


@pytest.mark.parametrize(("expires", "now", "expired"), [(None, 9e9, False), (5.0, 4.9, False), (5.0, 5.0, True)])
def test_when_an_answer_has_expired(expires, now, expired):
    assert make(expires=expires).expired(now) is expired


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
bodies = (
    st.binary()
    | st.text().map(str.encode)
    | st.builds(
        lambda value, indent: json.dumps(value, indent=indent).encode(), json_values, st.none() | st.integers(0, 2)
    )
    | st.text(st.sampled_from('{}[]",:1 body\\'), max_size=30).map(str.encode)
)


@given(bodies)
def test_any_body_comes_back_byte_for_byte(body):
    assert decode(encode(make(body))).body == body


texts = st.text(st.characters(codec="utf-8"), max_size=20)
moments = st.floats(0, 4e9).map(lambda seconds: round(seconds, 6))


@given(
    st.builds(
        make,
        bodies,
        method=texts,
        params=st.dictionaries(texts, texts),
        url=texts,
        headers=st.dictionaries(texts, texts),
        status=st.integers(100, 599),
        asked_at=moments,
        answered_at=moments,
        expires=st.none() | moments,
    )
)
def test_everything_comes_back(envelope):
    assert decode(encode(envelope)) == envelope
    json.loads(gzip.decompress(encode(envelope)))


@given(bodies)
def test_the_same_envelope_has_the_same_bytes(body):
    assert encode(make(body)) == encode(make(body))


def test_deep_nesting_comes_back():
    for body in (b"[" * 800 + b"]" * 800, b"[" * 800):
        assert decode(encode(make(body))).body == body


@pytest.mark.parametrize("body", [b"[" * 5000, b"[" * 5000 + b"]" * 5000], ids=["cut", "whole"])
def test_very_deep_nesting_comes_back(body):
    assert decode(encode(make(body))).body == body


# --- what cannot be read back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"a":1}', b"text" * 50, b"\xff\x00" * 50, b"", b'"' + b"x" * 3000 + b'"'])
def test_an_envelope_cut_anywhere_is_corrupt(body):
    blob = encode(make(body))
    for end in range(len(blob)):
        with pytest.raises(CorruptEnvelopeError):
            decode(blob[:end])


def test_a_flipped_bit_is_noticed():
    envelope = make(b'{"a":[1,2,3]}')
    blob = encode(envelope)
    noticed = 0
    for place in range(len(blob) * 8):
        spoilt = bytearray(blob)
        spoilt[place // 8] ^= 1 << place % 8
        try:
            assert decode(bytes(spoilt)) == envelope  # a bit of gzip's header that means nothing
        except CorruptEnvelopeError:
            noticed += 1
    assert noticed > len(blob) * 8 * 0.7


@given(st.binary())
def test_bytes_that_are_no_envelope(blob):
    for spoilt in (blob, gzip.compress(blob)):
        with pytest.raises(CorruptEnvelopeError):
            decode(spoilt)


def without(path: str) -> dict:
    whole = plain(make())
    *outer, last = path.split(".")
    inner = whole
    for name in outer:
        inner = inner[name]
    del inner[last]
    return whole


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {**plain(make()), "version": 2},
        {**plain(make()), "version": "1"},
        without("version"),
        without("request.url"),
        without("request.timestamp"),
        without("response.status_code"),
        without("response.body"),
        without("response.timestamp"),
        {**plain(make()), "response": {**plain(make())["response"], "timestamp": "yesterday"}},
        {**plain(make()), "response": {**without("response.body")["response"], "base64": "abc"}},
    ],
)
def test_another_shape_or_version_is_corrupt(content):
    with pytest.raises(CorruptEnvelopeError):
        decode(gzip.compress(json.dumps(content).encode()))


def test_base64_with_other_characters_is_corrupt():
    content = without("response.body")
    content["response"]["base64"] = "no base64!"
    with pytest.raises(CorruptEnvelopeError):
        decode(gzip.compress(json.dumps(content).encode()))


def test_an_envelope_written_by_hand_is_read():
    body = plain(make())
    body["response"]["note"] = "of a later version"
    assert decode(gzip.compress(json.dumps(body, indent=2).encode())).params == {"user": "rj", "limit": "1000"}


# --- times, and what is not used ----------------------------------------------------------------------------------


@given(moments)
def test_times_keep_their_microseconds(seconds):
    stamp = utc_stamp(seconds)
    assert from_stamp(stamp) == seconds
    assert len(stamp) == 27
    assert stamp.endswith("Z")
    assert datetime.fromisoformat(stamp).tzinfo == UTC


def test_nothing_is_pickled():
    for file in Path(module.__file__).parent.glob("*.py"):
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        assert not imported & {"pickle", "marshal", "shelve", "dbm"}
