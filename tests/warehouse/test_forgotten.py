"""Tombstones recognise names and tell none, and those of a store and a warehouse come to the same."""

from __future__ import annotations

import psycopg
import pytest

from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.warehouse import erasing, forgotten
from lastfm_crawl.warehouse.forgotten import NOBODY, Forgotten, Tombstone

SALT, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def connection(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_a_name_is_recognised_whatever_its_case_and_not_told():
    gone = Forgotten([Tombstone.of("Zoë Müller", SALT)])
    assert "zoë müller" in gone
    assert "ZOË MÜLLER" in gone
    assert "zoe muller" not in gone
    assert "Zoë Müller jr" not in gone
    assert None not in gone
    assert not any("zo" in part.lower() for part in next(iter(gone.tombstones)))


def test_salts_differ_and_stand_beside_each_other():
    both = Forgotten([Tombstone.of("a", SALT), Tombstone.of("b", OTHER)])
    assert "a" in both
    assert "b" in both
    assert Tombstone.of("a", SALT).digest != Tombstone.of("a", OTHER).digest
    assert both.new("c").salt == SALT
    assert Forgotten().new("c").salt != Forgotten().new("c").salt
    assert not Forgotten()


def test_names_that_are_left():
    assert forgotten.without(["a", NOBODY, "B"], Forgotten([Tombstone.of("b", SALT)])) == ["a"]


def test_who_enters_brings_both_places_to_the_same(connection):
    store = MemoryStorage()
    forgotten.save_in_store(store, [Tombstone.of("a", SALT)])
    forgotten.save_in_warehouse(connection, [Tombstone.of("b", OTHER)])
    connection.execute("INSERT INTO users (key, name) VALUES ('a', 'A'), ('c', 'C')")
    with connection.transaction():
        both = forgotten.enter(connection, store)
    assert "a" in both
    assert "b" in both
    assert forgotten.in_store(store).tombstones == forgotten.in_warehouse(connection).tombstones == both.tombstones
    # A forgetting that was interrupted between the two.
    assert connection.execute("SELECT name FROM users").fetchall() == [("C",)]


def test_forgetting_and_runs_keep_each_other_out(connection, database_url):
    store = MemoryStorage()
    forgotten.enter(connection, store)
    with psycopg.connect(database_url, autocommit=True) as other:
        forgotten.enter(other, store)
        with psycopg.connect(database_url, autocommit=True) as third:
            assert not forgotten.lock(third)
    connection.close()
    with psycopg.connect(database_url, autocommit=True) as third:
        assert forgotten.lock(third)


def test_every_table_with_rows_about_people_is_emptied_of_them(database_url):
    """A new table that belongs to an answer, or to a user, has to be known to those who forget."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            """
            SELECT c.relname, a.attname, EXISTS (
                SELECT FROM pg_constraint f
                WHERE f.conrelid = c.oid AND f.confrelid = 'users'::regclass AND f.confdeltype = 'c'
                  AND a.attnum = ANY(f.conkey))
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relkind = 'r' AND a.attname IN ('fetch_id', 'user_id')
            """
        ).fetchall()
    of_answers = {table for table, column, _ in found if column == "fetch_id"}
    assert of_answers == set(erasing._OF_ANSWERS)
    # Rows of users that do not go with them by themselves: taken out by name, or when the sinks have let go.
    assert {table for table, column, goes in found if column == "user_id" and not goes} == {
        "scrobbles", "sink_backlog", "sink_sent",
    }  # fmt: skip
