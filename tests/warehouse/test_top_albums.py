"""Lists of top albums in the warehouse: whatever the order of loading, and what is left when somebody goes."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from lastfm_crawl.insight import checks
from lastfm_crawl.items import Page, RecentTracksPage, TopAlbumsPage
from lastfm_crawl.pipelines.deduplicate import DeduplicatePipeline
from lastfm_crawl.pipelines.validate import ValidatePipeline
from lastfm_crawl.warehouse import erasing
from lastfm_crawl.warehouse.postgres import PostgresSink

AT = 1_700_000_000.0
HOMOGENIC = ("Björk", "Homogenic", "")
DEBUT = ("Björk", "Debut", "1e7d1a42-5c1c-4b5c-9b0e-5d1f0d5a0f11")
DOOLITTLE = ("Pixies", "Doolittle", "")


def top(*albums, user="ann", page=1, pages=1, limit=2, period="overall", at=AT, **columns):
    """A page of *albums* (artist, name, MBID), the most played first."""
    first = (page - 1) * limit + 1
    rows = {
        "ranks": range(first, first + len(albums)),
        "artists": [artist for artist, _, _ in albums],
        "albums": [album for _, album, _ in albums],
        "album_mbids": [mbid for _, _, mbid in albums],
        "playcounts": [10] * len(albums),
    }
    return TopAlbumsPage(
        method="user.getTopAlbums", user=user, params=f"limit={limit},period={period}", period=period, page=page,
        pages=pages, total=len(albums), received=len(albums), fetched_at=at, **(rows | columns),
    )  # fmt: skip


def play(user, artist, album):
    """One scrobble of *user*."""
    return RecentTracksPage(
        method="user.getRecentTracks", user=user, params="from=0,limit=200,to=1700000000", total=1, received=1,
        fetched_at=AT, window_from=0, window_to=1_700_000_000, per_page=200, uts=[1_600_000_000], artists=[artist],
        artist_mbids=[""], albums=[album], album_mbids=[""], tracks=["Jóga"], track_mbids=[""],
    )  # fmt: skip


@pytest.fixture
def database(database_url):
    with psycopg.connect(database_url) as connection:
        yield connection


def load(connection: psycopg.Connection, *batches: list[Page]) -> None:
    """Each batch in a transaction of its own, by one loader."""
    sink = PostgresSink()
    for batch in batches:
        sink.load(connection, batch)
        connection.commit()
        sink.committed()


def listed(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT username, rank, artist_name, album_name, playcount FROM lastfm_user_albums ORDER BY 1, 2, 3, 4"
    ).fetchall()


def names(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT a.name, al.name, al.mbid FROM albums al JOIN artists a ON a.id = al.artist_id ORDER BY 1, 2, 3"
    ).fetchall()


def test_a_list_shows_with_names_and_time(database):
    load(database, [top(HOMOGENIC, DEBUT, playcounts=[7, 5])])
    at = datetime.fromtimestamp(AT, UTC)
    assert database.execute("SELECT * FROM lastfm_user_albums ORDER BY rank").fetchall() == [
        ("ann", "Björk", "Homogenic", None, 7, 1, at),
        ("ann", "Björk", "Debut", DEBUT[2], 5, 2, at),
    ]
    assert database.execute("SELECT count(*) FROM tracks").fetchone() == (0,)


def test_to_load_it_again_changes_nothing(database):
    load(database, [top(HOMOGENIC, DEBUT)])
    before = listed(database), names(database)
    load(database, [top(HOMOGENIC, DEBUT)], [top(HOMOGENIC, DEBUT)])
    assert (listed(database), names(database)) == before


def test_the_newer_answer_stands_in_whatever_order(database):
    old, new = top(HOMOGENIC, DEBUT), top(DOOLITTLE, at=AT + 1)
    for batches in ([[old], [new]], [[new], [old]], [[new, old]]):
        load(database, *batches)
        assert listed(database) == [("ann", 1, "Pixies", "Doolittle", 10)]


def test_a_row_that_comes_twice_counts_once(database):
    twice = top(HOMOGENIC, DEBUT, HOMOGENIC, limit=3)
    load(database, [twice])
    once = [("ann", 1, "Björk", "Homogenic", 10), ("ann", 2, "Björk", "Debut", 10)]
    assert listed(database) == once
    clean = DeduplicatePipeline.process_item(twice)
    assert clean.skipped == {"repeated": 1}
    load(database, [clean])
    assert listed(database) == once


def test_an_album_that_moved_to_the_next_page_shows_once(database):
    load(database, [top(HOMOGENIC, DEBUT, pages=2), top(DEBUT, DOOLITTLE, page=2, pages=2)])
    assert [row[1:4] for row in listed(database)] == [
        (1, "Björk", "Homogenic"),
        (2, "Björk", "Debut"),
        (4, "Pixies", "Doolittle"),
    ]


def test_of_several_lists_the_longest_shows_and_of_all_time_alone(database):
    load(database, [top(HOMOGENIC, DEBUT, limit=1000), top(DOOLITTLE, limit=1, at=AT + 1)])
    load(database, [top(DOOLITTLE, limit=1000, period="7day", at=AT + 2)])
    assert [row[3] for row in listed(database)] == ["Homogenic", "Debut"]


def test_albums_of_lists_are_the_albums_of_plays(database):
    load(database, [play("bob", *HOMOGENIC[:2])], [top(HOMOGENIC)], [play("eve", *HOMOGENIC[:2])])
    assert names(database) == [HOMOGENIC]


def test_what_nobody_can_store_is_left_out_and_counted():
    page = top(
        HOMOGENIC, ("Björk", "", ""), ("", "Debut", ""), ("Pixies", "Doo\0little", ""), ("Pixies", "Bossanova", "\0")
    )
    clean = ValidatePipeline.process_item(page)
    assert clean.album_names() == [HOMOGENIC, ("Pixies", "Bossanova", "")]
    assert clean.skipped == {"no name": 2, "NUL in name": 1}
    assert ValidatePipeline.process_item(top(HOMOGENIC, playcounts=[2**31])).skipped == {"number out of range": 1}
    assert ValidatePipeline.process_item(clean) is clean


def test_who_goes_takes_the_albums_that_nobody_else_names(database):
    load(database, [top(HOMOGENIC, DEBUT), top(DEBUT, user="bob"), play("ann", *DOOLITTLE[:2])])
    load(database, [top(DOOLITTLE, user="eve")])
    gone = erasing.erase(database, erasing.users_called(database, ["ann"]))
    assert gone["top albums"] == 2
    assert names(database) == [DEBUT, DOOLITTLE]
    assert [row[0] for row in listed(database)] == ["bob", "eve"]
    erasing.erase(database, erasing.users_called(database, ["bob", "eve"]))
    assert names(database) == []
    assert database.execute("SELECT count(*) FROM artists").fetchone() == (0,)


def test_a_row_without_its_album_and_a_row_too_few_are_found(database):
    load(database, [top(HOMOGENIC, DEBUT)])

    def found():
        passes = [one for one in checks.PASSES if one.table in {"user_albums", "fetches"}]
        return {finding.check.what for one in passes for finding in checks.find(database, one) if finding.count}

    assert found() == set()
    database.execute("UPDATE user_albums SET album_id = 0 WHERE rank = 1")
    assert found() == {"user_albums.album_id that is in no row of albums"}
    database.execute("DELETE FROM user_albums WHERE rank = 1")
    assert found() == {"answers whose rows are not all there, or more than all"}
