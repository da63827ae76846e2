"""The binary COPY format, read back by PostgreSQL itself."""

from __future__ import annotations

import struct

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.warehouse import binary

INTEGERS = st.integers(-(2**31), 2**31 - 1)


@pytest.fixture
def cursor(database_url):
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (place integer, number integer, numbers integer[])")
        yield cursor


def test_rows_arrive_as_they_were(cursor):
    @settings(max_examples=50, deadline=None)
    @given(rows=st.lists(st.tuples(INTEGERS, st.lists(INTEGERS, max_size=50))))
    def check(rows):
        cursor.execute("TRUNCATE t")
        with cursor.copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            copy.write(
                binary.copy_data(
                    binary.row(binary.int4(place), binary.int4(number), binary.int4_array(numbers))
                    for place, (number, numbers) in enumerate(rows)
                )
            )
        assert cursor.execute("SELECT number, numbers FROM t ORDER BY place").fetchall() == rows

    check()


def test_numbers_that_are_too_large_are_refused():
    with pytest.raises(OverflowError):
        binary.int4_array([2**31])
    with pytest.raises(struct.error):
        binary.int4(2**31)
