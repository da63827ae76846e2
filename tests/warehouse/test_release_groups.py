"""Which albums are left to ask MusicBrainz about, and what its answers do to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import psycopg
import pytest
from listening import date_albums, listen

from lastfm_crawl.items import ReleaseGroup, ReleaseGroupSearch, ReleaseLookup
from lastfm_crawl.warehouse import release_groups
from lastfm_crawl.warehouse.migrate import migrate

ID = "0aaaaaaa-0000-4000-8000-00000000000{}".format
DAY = 86_400.0


@pytest.fixture
def database(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


def lookup(number, year=None, at=0.0, group=True):
    found = ReleaseGroup(ID(9), "Arrival", "ABBA", year, primary_type="Album") if group else None
    return ReleaseLookup(
        method="musicbrainz.release", params="", subject=ID(number), status="ok" if group else "not_found",
        asked=ID(number), release=ID(number) if group else "", group=found, fetched_at=at,
    )  # fmt: skip


def search(artist, title, *groups, at=0.0):
    return ReleaseGroupSearch(
        method="musicbrainz.search", params="", subject=title, asked=(artist, title), groups=groups, fetched_at=at
    )


def give_ids(database, **mbids):
    for title, mbid in mbids.items():
        database.execute("UPDATE albums SET mbid = %s WHERE name = %s", [mbid, title])


def load(database, *answers):
    with database.cursor() as cursor:
        release_groups.load_answers(cursor, answers)


def questions(database, now=0.0):
    ids = release_groups.albums_left(database, now)
    return [(q.title, q.mbid) for q in release_groups.albums_to_ask(database, ids, now)]


def status(database, title="Arrival"):
    return database.execute(
        "SELECT y.status, y.year FROM album_years y JOIN albums al ON al.id = y.album_id WHERE al.name = %s", [title]
    ).fetchone()


def test_one_question_for_each_release_and_each_pair_of_names_most_played_first(database):
    plays = [("Abba", "Arrival")] * 2 + [("Abba", "Gold")] * 3 + [("Abba", "Gold live")] * 2 + [("Abba", "Ring")]
    listen(database, "RJ", [(f"2020-01-01 12:{minute:02}Z", *play) for minute, play in enumerate(plays)])
    give_ids(database, **{"Gold": ID(1), "Gold live": ID(1).upper(), "Ring": "no id"})
    # One release of two names counts the plays of both; what is no id is as good as none.
    assert questions(database) == [("Gold", ID(1)), ("Arrival", None), ("Ring", None)]


def test_an_unknown_release_leaves_its_names_to_search_for(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    give_ids(database, Arrival=ID(1))
    load(database, lookup(1, group=False, at=10 * DAY))
    assert status(database) == ("pending", None)
    assert questions(database, 10 * DAY) == [("Arrival", None)]
    assert [q.title for q in release_groups.names_of(database, [ID(1)], 10 * DAY)] == ["Arrival"]
    load(database, search("Abba", "Arrival", ReleaseGroup(ID(9), "Arrival", "ABBA", 1976, primary_type="Album")))
    assert status(database) == ("fuzzy_matched", 1976)
    assert questions(database, 10 * DAY) == []


def test_a_search_that_brings_nothing_alike_is_not_found(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    load(database, search("Abba", "Arrival", ReleaseGroup(ID(9), "Departure", "Somebody Else", 1976)))
    assert status(database) == ("not_found", None)
    load(database, search("Abba", "Arrival", at=1.0))
    assert status(database) == ("not_found", None)


def test_the_newest_answer_counts_in_any_order(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    give_ids(database, Arrival=ID(1))
    database.commit()
    answers = [
        lookup(1, group=False, at=1.0), lookup(1, 1977, at=2.0), lookup(1, 1976, at=3.0),
        search("Abba", "Arrival", at=1.5),
    ]  # fmt: skip
    results = set()
    for order in permutations(answers):
        for answer in order:
            load(database, answer)
        rows = database.execute(
            "SELECT r.group_mbid, r.first_asked_at, r.asked_at, g.year FROM releases r"
            " JOIN release_groups g ON g.mbid = r.group_mbid"
        ).fetchall()
        results.add((*rows, status(database)))
        database.rollback()
    assert len(results) == 1
    assert status(database) == ("pending", None)  # rolled back
    ((_, first, last, year), final) = results.pop()
    assert (first.timestamp(), last.timestamp(), year, final) == (1.0, 3.0, 1976, ("matched", 1976))


@pytest.mark.parametrize("kind", ["search", "release", "undated"])
def test_what_has_no_year_is_asked_again_after_a_day_doubling_to_32(database, kind):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    if kind == "search":
        date_albums(database, {("Abba", "Arrival"): (None, "not_found")})
    else:
        give_ids(database, Arrival=ID(1))
        load(database, lookup(1, group=kind == "undated"))
        date_albums(database, {("Abba", "Arrival"): (1976, "fuzzy_matched")} if kind == "release" else {})
    table, first, last = {"search": ("album_searches", "first_searched_at", "searched_at")}.get(
        kind, ("releases", "first_asked_at", "asked_at")
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    wait, waits = timedelta(), []
    database.execute(f"UPDATE {table} SET {first} = %s", [start])
    for _ in range(8):
        database.execute(f"UPDATE {table} SET {last} = %s", [start + wait])
        days = next(d for d in range(40) if questions(database, (start + wait + timedelta(days=d)).timestamp()))
        waits.append(days)
        wait += timedelta(days=days)
    assert waits == [1, 1, 2, 4, 8, 16, 32, 32]
    now = (start + wait).timestamp()
    (question,) = release_groups.albums_to_ask(database, release_groups.albums_left(database, now), now)
    assert question.asked == 32 * DAY
    assert question.mbid == (None if kind == "search" else ID(1))


def test_plays_without_an_album_have_nothing_to_wait_for(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "")])
    assert database.execute("SELECT augmentation_status FROM lastfm_scrobbles").fetchall() == [("not_found",)]
    assert questions(database) == []
