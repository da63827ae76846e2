"""What spider arguments may be, and the one line that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.items import user_key
from lastfm_crawl.spiders.arguments import (
    Argument,
    ArgumentError,
    count,
    days,
    depth,
    names,
    one_of,
    read_arguments,
    switch,
)

KNOWN = {
    "seeds": Argument(names, required=True),
    "max_users": Argument(count, 10_000),
    "period": Argument(one_of("overall", "7day"), "overall"),
}


# --- all of them together -----------------------------------------------------------------------------------------


def test_defaults_stand_for_what_is_not_given():
    assert read_arguments("friends", KNOWN, {"seeds": "rj"}) == {
        "seeds": ["rj"],
        "max_users": 10_000,
        "period": "overall",
    }


def test_what_is_given_is_read():
    given_texts = {"seeds": "a,b", "max_users": "5", "period": "7day"}
    assert read_arguments("friends", KNOWN, given_texts) == {"seeds": ["a", "b"], "max_users": 5, "period": "7day"}


@pytest.mark.parametrize(
    ("given_texts", "words"),
    [
        ({}, ["friends", "needs", "seeds"]),
        ({"seeds": "a", "seed": "b"}, ["friends", "'seed'", "max_users, period, seeds"]),
        ({"seeds": "a", "max_users": "many"}, ["friends", "max_users", "'many'", "whole number from 1"]),
        ({"seeds": "a", "period": "week"}, ["period", "'week'", "overall, 7day"]),
        ({"seeds": ","}, ["seeds", "names no user"]),
    ],
)
def test_a_bad_argument_is_one_line_that_says_which_and_why(given_texts, words):
    with pytest.raises(ArgumentError) as caught:
        read_arguments("friends", KNOWN, given_texts)
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words)


def test_arguments_of_scrapyd_pass():
    assert "_job" not in read_arguments("friends", KNOWN, {"seeds": "a", "_job": "f00"})


# --- user names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("rj", ["rj"]),
        ("b,a,c", ["b", "a", "c"]),
        (" a , b ,", ["a", "b"]),
        ("test user, other", ["test user", "other"]),
        ("RJ,rj,Rj", ["RJ"]),
        ("a,,b", ["a", "b"]),
        ("Ünï,漢字", ["Ünï", "漢字"]),
        ("rj@example", ["rj@example"]),
    ],
)
def test_names_in_a_list(text, users):
    assert names(text) == users


@pytest.mark.parametrize(
    ("content", "users"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        (b"test user\n\n  other  \n", ["test user", "other"]),
        (b"with, comma\n", ["with, comma"]),
        ("é\n".encode(), ["é"]),
    ],
)
def test_names_in_a_file(tmp_path, content, users):
    file = tmp_path / "users.txt"
    file.write_bytes(content)
    assert names(f"@{file}") == users


@pytest.mark.parametrize("text", ["", " ", ",", " , ,", "a\0b", "a\tb", "a\x1bb", "x" * 251])
def test_what_names_no_user(text):
    with pytest.raises(ValueError, match="no user"):
        names(text)


def test_a_long_name_is_not_repeated_in_full():
    with pytest.raises(ValueError, match="no user name") as caught:
        names("x" * 5000)
    assert len(str(caught.value)) < 100


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "latin1.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "empty.txt").write_bytes(b"\n\n")
    for file, words in (
        ("missing.txt", "No such file"),
        ("latin1.txt", "cannot be read"),
        (".", "cannot be read"),
        ("empty.txt", "names no user"),
    ):
        with pytest.raises(ValueError, match=words):
            names(f"@{tmp_path / file}")


def test_a_repeated_name_keeps_its_first_spelling():
    assert set(names("b,RJ,a,rj")) == {"b", "RJ", "a"}


def test_a_repeated_name_keeps_its_first_place():
    assert names("a,b,A") == ["a", "b"]


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20), min_size=1))
def test_each_name_once_in_order(users):
    found = names(",".join(users))
    keys = [user_key(user) for user in users]
    assert [user_key(user) for user in found] == list(dict.fromkeys(keys))
    assert all(user == users[keys.index(user_key(user))] for user in found)


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="no user name"):
        names("a\udcff")


# --- numbers, days, switches, choices -----------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" 7 ", 7), ("2147483647", 2**31 - 1), ("007", 7)])
def test_a_count(text, value):
    assert count(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "1.5", "1e3", "ten", "2147483648", "1_000", "²", "½"])
def test_no_count(text):
    with pytest.raises(ValueError, match="whole number from 1"):
        count(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("3", 3)])
def test_a_depth(text, value):
    assert depth(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.0", "none", "2147483648", "²"])
def test_no_depth(text):
    with pytest.raises(ValueError, match="whole number from 0"):
        depth(text)


def test_numbers_longer_than_python_reads_are_refused_alike():
    for read in (count, depth):
        with pytest.raises(ValueError, match=r"whole number|limit"):
            read("9" * 5000)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1", 86_400), ("0.5", 43_200), ("30", 2_592_000)])
def test_days(text, seconds):
    assert days(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "a week", "nan", "inf", "1e9"])
def test_no_days(text):
    with pytest.raises(ValueError, match="number of days"):
        days(text)


def test_a_switch():
    assert (switch("1"), switch("0")) == (True, False)


@pytest.mark.parametrize("text", ["", "true", "yes", "01", " 1", "2"])
def test_no_switch(text):
    with pytest.raises(ValueError, match="0 or 1"):
        switch(text)


def test_a_choice():
    read = one_of("overall", "7day")
    assert read("7day") == "7day"
    for text in ("", "7DAY", "week"):
        with pytest.raises(ValueError, match="overall, 7day"):
            read(text)
