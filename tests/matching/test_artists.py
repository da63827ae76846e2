"""Forms of artists' names, and whom a credit names."""

from __future__ import annotations

import time

import pytest

from lastfm_crawl.matching.artists import Credit, credit, has_article, key, plain

KNOWN = {
    "Earth, Wind & Fire", "Tyler, The Creator", "AC/DC", "Simon & Garfunkel", "Florence and the Machine", "Little Feat",
    "Drake", "Wind", "Simon", "Malcolm X",
}  # fmt: skip


def known(name):
    return name in KNOWN


@pytest.mark.parametrize(
    ("some", "other"),
    [
        ("The Beatles", "beatles"),
        ("Beatles, The", "The Beatles"),
        ("BÉATLES", "Beatles"),
        ("Guns N' Roses", "guns n roses"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("Sigur Rós", "Sigur-Ros"),
        ("Beyonce\u0301", "Beyoncé"),
        ("Сплин", "СПЛИН"),
        ("Ёлка", "Елка"),
    ],
)
def test_one_plain_form(some, other):
    assert plain(some) == plain(other)


@pytest.mark.parametrize(
    ("some", "other"),
    [("!!!", "???"), ("+/-", "÷"), ("The The", "!!!"), ("AC/DC", "ABCD"), ("が", "か"), ("Les Beatles", "Beatles")],
)
def test_different_plain_forms(some, other):
    assert plain(some) != plain(other)


@pytest.mark.parametrize(
    "name", ["The", "The The", ", The", "!!!, The", "+/-", "\u0301", "\u200b", " ", "\0", "\ud800"]
)
def test_odd_names_have_a_form(name):
    assert plain(name) == plain(plain(name)) or name == "The The"
    assert bool(key(name)) == bool(plain(name))


def test_articles():
    assert plain("The The") == "the"
    assert plain("The") == "the"
    assert plain("Theatre") == "theatre"
    assert has_article("The Who")
    assert has_article("WHO, THE")
    assert not has_article("Theatre of Tragedy")


def test_keys_are_ascii():
    assert key("Björk") == key("bjork") == "bjork"
    assert key("Кино") == "kino"
    assert key("The Земфира") == "zemfira"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Drake", Credit("Drake")),
        ("Drake feat. Rihanna", Credit("Drake", (), ("Rihanna",))),
        ("Drake ft Rihanna", Credit("Drake", (), ("Rihanna",))),
        ("Drake FEATURING Rihanna", Credit("Drake", (), ("Rihanna",))),
        ("Drake (feat. Rihanna)", Credit("Drake", (), ("Rihanna",))),
        ("Drake [ft. Rihanna]", Credit("Drake", (), ("Rihanna",))),
        ("Drake (with Rihanna)", Credit("Drake", (), ("Rihanna",))),
        ("Drake (feat. Rihanna", Credit("Drake", (), ("Rihanna",))),
        ("Drake (with Rihanna) feat. Wizkid", Credit("Drake", (), ("Rihanna", "Wizkid"))),
        ("Die with Dignity", Credit("Die with Dignity")),
        ("Little Feat", Credit("Little Feat")),
        ("Feather", Credit("Feather")),
        ("Ft. Worth", Credit("Ft. Worth")),
        ("(feat. Rihanna)", Credit("(feat. Rihanna)")),
        ("", Credit("")),
    ],
)
def test_guests(name, expected):
    assert credit(name) == expected
    assert credit(name, known) == expected


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_known_names_stay_whole(name):
    assert credit(name, known) == Credit(name)
    assert credit(f"{name} feat. Somebody", known).main == name
    assert credit(f"{name} & Somebody", known) == Credit(name, ("Somebody",))
    assert credit(f"Somebody, {name}", known) == Credit("Somebody", (name,))


@pytest.mark.parametrize(
    "separator", [", ", ",", " & ", " and ", " x ", " X ", " + ", "/", " / ", "; ", " vs. ", " vs "]
)
def test_separators_part_unknown_names(separator):
    assert credit(f"Anna{separator}Otto", known) == Credit("Anna", ("Otto",))
    assert credit(f"Anna{separator}Otto").main == f"Anna{separator}Otto"


@pytest.mark.parametrize("name", ["Alexander", "Sandy", "Maxx", "A&B", "Dixie x", "x"])
def test_letters_are_no_separators(name):
    assert credit(name, known).main == name


def test_guests_are_parted_likewise():
    parts = credit("Drake feat. Earth, Wind & Fire & Anna", known)
    assert parts == Credit("Drake", (), ("Earth, Wind & Fire", "Anna"))


def test_nothing_but_separators():
    assert all(credit(name, known).main for name in (", & /", ",", " / ", "&", "x x x", ", feat. x"))


@pytest.mark.parametrize(
    "piece", [" ", ",", " & ", "(feat. ", "(with a", " feat. x", "feat.", "the ", ", the", "[", "a", "\u0301", "é", "!"]
)
def test_huge_names_take_no_longer_than_they_are_long(piece):
    name = piece * (100_000 // len(piece))
    began = time.perf_counter()
    credit(name, known)
    credit(f"x{name}y", known)
    key(name)
    assert time.perf_counter() - began < 3
