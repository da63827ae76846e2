"""Titles taken apart: what is a version, what is not, and how long the hostile ones take."""

from __future__ import annotations

import json
import time

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.matching import CLEANERS
from lastfm_crawl.matching.cleaning import clean_video_title, decode_entities, plain_signs, plain_various
from lastfm_crawl.matching.titles import (
    DISTINCT,
    SAME,
    bracket_version,
    compatible,
    parse_title,
    versions,
    without,
    without_featuring,
)

ALL = (parse_title, clean_video_title, decode_entities, plain_signs, plain_various, bracket_version, without_featuring)
PIECES = [
    "Song",
    "(Live)",
    "[2011 Remaster]",
    " - ",
    "feat. B",
    "(",
    ")",
    "]",
    "\uff08",
    "】",
    "é",
    "夜",
    "\u200b",
    " ",
    "'",
    "1999",
    "/",
]


@pytest.mark.parametrize(
    ("text", "base", "flags"),
    [
        ("Hey Jude - Remastered 2015", "Hey Jude", {"remaster"}),
        ("Hey Jude (Live / Remastered)", "Hey Jude", {"live", "remaster"}),
        ("Halo - Live at Wembley", "Halo", {"live"}),
        ("Halo (Acoustic)", "Halo", {"acoustic"}),
        ("Halo [Demo]", "Halo", {"demo"}),
        ("Halo (Someone's Club Remix)", "Halo", {"remix"}),
        ("Halo - Radio Edit", "Halo", {"edit"}),
        ("Halo - Instrumental", "Halo", {"instrumental"}),
        ("Halo (Karaoke Version)", "Halo", {"karaoke"}),
        ("Halo - Sped Up", "Halo", {"sped up"}),
        ("Halo (Slowed + Reverb)", "Halo", {"slowed"}),
        ("Halo - 2009 Stereo Mix", "Halo", {"stereo"}),
        ("Halo - Mono Version", "Halo", {"mono"}),
        ("Halo (Original Mix)", "Halo", {"original"}),
        ("Fearless (Taylor\u2019s Version)", "Fearless", {"rerecorded"}),
        ("Album (Deluxe Edition) [2011 Remaster]", "Album", {"deluxe", "remaster"}),
        ("Album (25th Anniversary Edition)", "Album", {"anniversary", "deluxe"}),
        ("Halo [Explicit]", "Halo", {"explicit"}),
        ("Halo (Parody of \u201cHello\u201d by X)", "Halo", {"parody"}),
        ("夜に駆ける (ライブ)", "夜に駆ける", {"live"}),
        ("夜に駆ける【カラオケ】", "夜に駆ける", {"karaoke"}),
    ],
)
def test_versions(text, base, flags):
    title = parse_title(text)
    assert title.base == base
    assert title.flags == flags


@pytest.mark.parametrize(
    "text",
    [
        "Live and Let Die",
        "Long Live",
        "Fully Alive",
        "(I Can't Get No) Satisfaction",
        "Stay (I Missed You)",
        "Medley: A - B - C",
        "Action PAINTING! - Mustard Gas",
        "1999",
        "Song (Part 2)",
        "(Live)",
        "Video Killed the Radio Star",
        "!!!",
        "((((",
    ],
)
def test_no_versions(text):
    assert parse_title(text)[:3] == (text, frozenset(), ())


def test_years_guests_and_remixers():
    title = parse_title("Song (feat. A & B) [Tiësto Remix] - 2011 Remaster")
    assert title == ("Song", {"remix", "remaster"}, ("A", "B"), 2011, "Tiësto Remix")
    assert parse_title("Song ft. C (Live)").featuring == ("C",)
    assert parse_title("Stay (with Justin Bieber)").featuring == ("Justin Bieber",)


def test_versions_are_told_apart():
    assert versions("Song (feat. A) [Tiësto Remix] - 2011 Remaster") == [
        ("Tiësto Remix", {"remix"}),
        ("2011 Remaster", {"remaster"}),
    ]
    assert versions("Song (Part 2)") == []


def test_compatible():
    assert compatible({"remaster"}, set())
    assert compatible({"live", "remaster"}, {"live"})
    assert compatible({"deluxe", "explicit"}, {"mono"})
    for kind in ("live", "remix", "karaoke", "sped up", "rerecorded", "instrumental", "demo", "acoustic"):
        assert not compatible({kind}, set()), kind
    assert not SAME & DISTINCT


def test_nothing_is_left_of_nothing():
    assert parse_title("") == ("", frozenset(), (), None, "")
    assert parse_title("  \t ").base == ""
    for clean in ALL[1:]:
        assert clean("") == ""
    assert without("(Live)", {"live"}) == "(Live)"


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_titles_of_anything(text):
    title = parse_title(text)
    assert bool(title.base) == bool(text.strip())
    assert title.base == " ".join(title.base.split())
    if not title.flags and not title.featuring:
        assert without(text, SAME | DISTINCT) in {text.strip(), text}
    for clean in ALL:
        clean(text)


@pytest.mark.parametrize(
    "piece", ["(", "[(", "a - ", "feat. ", " ", "(live", "(a) ", "x\u0301", "((live) ", "'", "&#", "  -", "2000 "]
)
def test_hostile_titles_take_no_longer_than_others(piece):
    text = piece * (100_000 // len(piece))
    started = time.process_time()
    for clean in (*ALL, versions, lambda text: without(text, {"live"})):
        clean(text)
    assert time.process_time() - started < 5


def test_expectations_of_metadata_filter():
    folder = SHARED / "matching" / "title-cleaning"
    if not folder.is_dir():
        pytest.skip(f"needs the expectations in {folder} (or SHARED_DATA)")
    for name, clean in CLEANERS.items():
        for case in json.loads((folder / f"{name}.json").read_text(encoding="utf-8")):
            assert clean(case.get("funcParameter", case.get("fieldValue"))) == case["expectedValue"], (name, case)
