"""Rows in any notation, and how alike two records are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.matching.records import FEATURES, features, prepare
from lastfm_crawl.matching.rows import Record, parse_duration, parse_year, read_row

TEXTS = st.text(max_size=30)
RECORDS = st.builds(
    Record,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | st.floats(1, 5000),
    st.none() | st.integers(1900, 2030),
    st.none() | st.integers(0, 99),
)


def alike(a: Record, b: Record) -> dict[str, float]:
    return dict(zip(FEATURES, features([(prepare(a), prepare(b))])[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m 58sec", 118), ("129", 129), ("263497", 263.497), ("4:02", 242), ("04:26", 266), ("1:00:05", 3605),
        ("2.5", 150), ("0m 41sec", 41), ("00:00", None), ("0", None), ("unk.", None), ("", None), ("abc", None),
        ("²", None), ("9" * 40, None),
    ],
)  # fmt: skip
def test_lengths(text, seconds):
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2005", 2005),
        ("95", 1995),
        ("'05", 2005),
        ("18-May-15", 2015),
        ("May 18 , 2015", 2015),
        ("2901", None),
        ("null", None),
    ],
)
def test_years(text, year):
    assert parse_year(text) == year


def test_values_that_moved_are_found():
    tidy = {"Song_Name": "Blue", "Artist_Name": "Ann", "Album_Name": "Hues", "Genre": "Pop , Music", "Price": "$ 1.29",
            "CopyRight": "2015 Small Records", "Time": "3:33", "Released": "18-May-15"}  # fmt: skip
    names = {
        "Song_Name": "Blue Pop , Music $ 1.29 2015 Small Records 3:33 18-May-15",
        "Artist_Name": "Ann",
        "Album_Name": "Hues",
    }
    moved = dict.fromkeys(tidy, "") | names
    assert read_row(moved) == read_row(tidy)
    assert read_row(tidy).duration == 213


def test_a_title_that_looks_like_a_time_stays_where_lengths_are_known():
    assert read_row({"title": "John 3:16", "artist": "A", "time": "3:20"}).title == "John 3:16"
    assert read_row({"title": "4:33", "artist": "A", "time": ""}).title == "4:33"
    assert read_row({"title": "John 3:16", "artist": "A"}).title == "John 3:16"


def test_rows_of_catalogues():
    row = read_row(
        {
            "number": "7",
            "title": "007-Feeling",
            "length": "2m 55sec",
            "artist": "[unknown]",
            "album": "Hues (2000)",
            "year": "null",
        }
    )
    assert row == Record("Feeling", "", "Hues", 175, 2000, 7)
    assert read_row({"title": "Song (My Allbum)", "album": "My Album"}).title == "Song"
    values = ["MB-7", "7", "Blue", "4m 31sec", "Ann", "Hues", "1989"]
    names = ["number", "title", "length", "artist", "album", "year", "language"]
    assert read_row(dict(zip(names, values, strict=True))) == Record("Blue", "Ann", "Hues", 271, 1989, 7)


def test_equal_records_are_alike_in_everything():
    record = Record("Halo", "Ann & Bob", "Hues", 200, 2001, 3)
    for name, value in alike(record, record).items():
        wanted = 1.0 if FEATURES[name] > 0 else 0.0
        assert math.isnan(value) if name in {"version", "featuring"} else value == pytest.approx(wanted), name


def test_what_is_not_known_is_not_different():
    found = alike(Record("Halo", "Ann"), Record("Halo", "Ann", "Hues", 200, 2001, 3))
    assert all(math.isnan(found[name]) for name in ("album", "duration_delta", "year_delta", "number_delta"))


def test_names_within_the_title_are_compared_with_names():
    found = alike(Record("Ann Lee - Blue Moon", "", "Hues"), Record("Blue Moon", "Ann Lee", "Hues"))
    assert found["title_same"] == found["artist"] == 1
    assert alike(Record("Dancing Queen", ""), Record("Dancing Queen", "Queen"))["title_same"] == 1


def test_sets_of_artists():
    same = alike(Record("Halo", "Ann & Bob"), Record("Halo", "Bob, Ann"))
    guest = alike(Record("Halo (feat. Bob)", "Ann"), Record("Halo", "Ann, Bob"))
    part = alike(Record("Halo", "Ann Lee"), Record("Halo", "Ann Lee & Bobby Brown"))
    other = alike(Record("Halo", "Prince"), Record("Halo", "Prince Royce"))
    assert same["artist"] == guest["artist"] == 1
    assert 1 > part["artist"] > other["artist"]
    assert alike(Record("Halo", "The Beatles"), Record("Halo", "Beatles, The"))["artist"] == 1


def test_flags_and_numbers():
    assert alike(Record("Halo", "Ann"), Record("Halo - Live", "Ann"))["flag_conflict"] == 1
    assert alike(Record("Halo", "Ann"), Record("Halo - Remastered 2011", "Ann"))["flag_conflict"] == 0
    assert alike(Record("Brick, Pt. 1", "Ann"), Record("Brick, Pt. 2", "Ann"))["numbers_differ"] == 1
    assert alike(Record("Brick II", "Ann"), Record("Brick 2", "Ann"))["numbers_differ"] == 0


@given(RECORDS, RECORDS)
def test_pairs_of_anything(a, b):
    one, other = features([(prepare(a), prepare(b)), (prepare(b), prepare(a))])
    assert not np.isinf(one).any()
    for name, here, there in zip(FEATURES, one, other, strict=True):
        assert here == pytest.approx(there, abs=0.15, nan_ok=True), name


def test_huge_and_empty():
    huge = prepare(Record("(" * 100_000, "a, " * 40_000, "x" * 100_000))
    empty = prepare(Record())
    assert features([(huge, huge), (huge, empty), (empty, empty)]).shape == (3, len(FEATURES))
    assert features([]).shape == (0, len(FEATURES))


@given(st.dictionaries(st.sampled_from(["title", "artist", "album", "length", "year", "number", "genre", "x"]), TEXTS))
def test_rows_of_anything(row):
    record = read_row(row)
    assert record.duration is None or record.duration > 0
    assert not re.search(r"\s$", record.title)
