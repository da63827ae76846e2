"""Keys: readable, unambiguous, and impossible to break out of."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.httpcache.keys import MAX_SEGMENT, archive_key, request_key, segment

texts = st.text(st.characters(codec="utf-8"), max_size=400)
#: The characters that do harm, more often than chance would have them.
nasty = st.text(st.sampled_from("./\\%=,~ \0:*?aA1é\U0001f600con"), max_size=130)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rj", "rj"),
        ("test user", "test user"),
        ("a-b_c.d", "a-b_c.d"),
        ("limit=1000,page=1", "limit=1000,page=1"),
        ("a/b", "a%2Fb"),
        ("../..", "%2F~"),
        ("é", "%C3%A9"),
        ("\U0001f600", "%F0%9F%98%80"),
        ("a\0b", "a%00b"),
        ("a:b*c?", "a%3Ab%2Ac%3F"),
        ("50%", "50%25"),
    ],
)
def test_what_a_text_looks_like(text, expected):
    assert segment(text).startswith(expected)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", " ", ".a", "a.", " a", "a ", "CON", "con", "Nul.txt", "com1", "LPT9.x", "x" * 300]
)
def test_what_a_file_system_would_not_take_ends_in_a_hash(text):
    found = segment(text)
    assert found != text
    assert len(found.rpartition("~")[2]) == 16


def test_a_name_that_only_begins_like_a_device_stays_as_it_is():
    assert segment("console") == "console"
    assert segment("com10") == "com10"


@given(texts | nasty)
def test_a_segment_is_one_harmless_name(text):
    found = segment(text)
    assert found.isascii()
    assert found.isprintable()
    assert 0 < len(found) <= MAX_SEGMENT
    assert not set(found) & set('/\\:*?"<>|')
    assert found not in {".", ".."}
    assert found[0] not in ". "
    assert found[-1] not in ". "


@given(texts | nasty, texts | nasty)
def test_two_texts_have_two_segments(one, other):
    assert (segment(one) == segment(other)) == (one == other)


@pytest.mark.parametrize("tail", ["a", "b", "aa", "é"])
def test_long_texts_that_begin_alike_do_not_meet(tail):
    assert segment("x" * 300 + tail) != segment("x" * 300)


@pytest.mark.parametrize("end", range(95, 110))
def test_the_cut_never_leaves_half_an_escape(end):
    readable = segment("x" * end + "é" * 40).rpartition("~")[0]
    assert all(len(escape) >= 2 for escape in readable.split("%")[1:])


def test_a_text_that_looks_like_a_cut_one_does_not_meet_it():
    assert segment(segment("con")) != segment("con")


def test_a_text_that_is_no_utf8_has_a_segment():
    assert segment("\udcff").isascii()


@pytest.mark.parametrize(
    ("parts", "params", "key"),
    [
        (("user.getInfo", "rj"), {}, "requests/user.getInfo/rj/all.json.gz"),
        (("a",), {"z": "1", "b": "2"}, "requests/a/b=2,z=1.json.gz"),
        (("a", "b", "c"), {"k": "v"}, "requests/a/b/c/k=v.json.gz"),
        (("a",), {"k": "v,w=x"}, "requests/a/k=v%252Cw%253Dx.json.gz"),
        (("a", "../x"), {"k": "../y"}, None),
    ],
)
def test_request_keys(parts, params, key):
    found = request_key(parts, params)
    assert key is None or found == key
    assert posixpath.normpath(found) == found
    assert found.count("/") == len(parts) + 1


params = st.dictionaries(st.text(st.sampled_from("ab=,%"), max_size=3), st.text(st.sampled_from("ab=,%"), max_size=3))


@given(params, params)
def test_other_parameters_have_another_key(one, other):
    assert (request_key(("x",), one) == request_key(("x",), other)) == (one == other)


def test_the_order_of_parameters_does_not_matter():
    assert request_key(("x",), {"a": "1", "b": "2"}) == request_key(("x",), {"b": "2", "a": "1"})


def test_where_a_replaced_answer_goes():
    stamp = "2026-11-21T01:57:59.123456Z"
    assert (
        archive_key("requests/user.getInfo/rj/all.json.gz", stamp)
        == "archive/user.getInfo/rj/all/2026-11-21T015759.123456Z.json.gz"
    )
