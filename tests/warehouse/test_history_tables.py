"""Histories in the warehouse: whatever the order of loading, the newest answers count and every play counts once."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from dataclasses import replace

import psycopg
import pytest
from conftest import SHARED

from lastfm_crawl.items import LovedTracksPage, RecentTracksPage, TopTracksPage
from lastfm_crawl.pipelines.deduplicate import DeduplicatePipeline
from lastfm_crawl.pipelines.validate import ValidatePipeline
from lastfm_crawl.services.lastfm import get_recent_tracks, read
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.postgres import PostgresSink

T0 = 1_600_000_000
DAY = 86_400


def plays(uts, at, *, first=T0, end=T0 + 10 * DAY, page=1, per_page=1000, total=None, tracks=None, user="ann", **more):
    count = len(uts)
    return RecentTracksPage(
        method="user.getRecentTracks", user=user, params=f"from={first},limit={per_page},to={end}", page=page,
        total=count if total is None else total, pages=1,
        received=count + sum(more.get("skipped", {}).values()), window_from=first, window_to=end,
        per_page=per_page, uts=uts, artists=["A"] * count, artist_mbids=["am"] * count, albums=["LP"] * count,
        album_mbids=["lm"] * count, tracks=tracks or ["t"] * count, track_mbids=[""] * count, fetched_at=at, **more,
    )  # fmt: skip


@pytest.fixture
def database(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


def load(connection, *batches):
    sink, gone = PostgresSink(), 0
    for batch in batches:
        sink.load(connection, batch)
        connection.commit()
        gone += sink.committed().gone
    return gone


def stored(connection, what="extract(epoch FROM scrobbled_at)::bigint, track_name"):
    return sorted(connection.execute(f"SELECT {what} FROM lastfm_scrobbles").fetchall())


def test_a_play_is_one_row_with_all_that_is_said_of_it(database):
    load(database, [plays([T0 + 1, T0 + 1, T0 + 2], 1.0, tracks=["t", "u", "t"])])
    assert stored(database) == [(T0 + 1, "t"), (T0 + 1, "u"), (T0 + 2, "t")]
    columns = (
        "username, artist_name, album_name, artist_mbid, album_mbid, track_mbid, release_year, augmentation_status"
    )
    assert set(stored(database, columns)) == {("ann", "A", "LP", "am", "lm", None, None, "pending")}


def everything(connection):
    return {
        view: sorted(connection.execute(f"SELECT * FROM {view}").fetchall(), key=repr)
        for view in ("lastfm_scrobbles", "lastfm_user_tracks", "lastfm_history_audit")
    }


def test_any_order_of_loading_gives_the_same(database, database_url):
    edited = plays([T0 + 5 * DAY], 30.0, first=T0 + 4 * DAY, end=T0 + 6 * DAY, tracks=["edited"])
    pages = [
        plays([T0 + n * DAY for n in range(5)], 10.0, total=8, per_page=5),
        plays([T0 + n * DAY for n in range(5, 8)], 11.0, total=8, per_page=5, page=2),
        edited,
        plays([T0 + 7 * DAY, T0 + 9 * DAY], 20.0, first=T0 + 7 * DAY, end=T0 + 12 * DAY),
        TopTracksPage(
            method="user.getTopTracks", user="ann", params="limit=1000,period=overall", period="overall", total=1,
            received=1, ranks=[1], artists=["B"], artist_mbids=[""], tracks=["x"], track_mbids=[""], playcounts=[9],
            fetched_at=5.0,
        ),
        LovedTracksPage(
            method="user.getLovedTracks", user="ann", params="limit=1000", total=2, received=2, artists=["A", "C"],
            artist_mbids=["", ""], tracks=["t", "y"], track_mbids=["", ""], loved_at=[T0, None], fetched_at=6.0,
        ),
    ]  # fmt: skip
    load(database, pages)
    expected = everything(database)
    # Window 4 … 6 is newer, and names one play: the two of the older answer are no more.
    assert [uts for uts, _ in stored(database)] == [T0 + n * DAY for n in (0, 1, 2, 3, 5, 6, 7, 9)]
    assert [track for uts, track in stored(database) if uts == T0 + 5 * DAY] == ["edited"]
    rng = random.Random(1)
    for order in rng.sample(list(itertools.permutations(range(len(pages)))), 25):
        database.execute("TRUNCATE scrobbles, named_tracks, user_tracks, loved_tracks, fetches, users CASCADE")
        load(database, *([pages[n]] for n in order))
        assert everything(database) == expected, order
    load(database, pages)
    assert everything(database) == expected


def test_tracks_of_a_user(database):
    load(
        database,
        [plays([T0, T0 + 60], 1.0, total=3, per_page=2), plays([T0 + 120], 2.0, total=3, per_page=2, page=2)],
        [
            LovedTracksPage(
                method="user.getLovedTracks", user="ann", params="limit=1000", total=1, received=1, artists=["A"],
                artist_mbids=[""], tracks=["t"], track_mbids=[""], loved_at=[T0], fetched_at=6.0,
            )
        ],
    )  # fmt: skip
    ((*_, name, count, first, last, loved, syncs),) = database.execute("SELECT * FROM lastfm_user_tracks").fetchall()
    assert (name, count, loved, syncs) == ("t", 3, True, 3)
    assert (first.timestamp(), last.timestamp()) == (T0, T0 + 120)


def test_what_the_user_edited_is_counted(database):
    sink, page = PostgresSink(), plays([T0, T0 + 60, T0 + 120], 1.0)
    for at, albums, edited in (
        (1.0, ["LP"] * 3, 0),
        (1.0, ["LP"] * 3, 0),
        (2.0, ["LP", "EP", "LP"], 1),
        (3.0, ["EP"] * 3, 2),
    ):
        sink.load(database, [replace(page, albums=albums, fetched_at=at)])
        database.commit()
        assert sink.committed() == (0, edited)
    assert {album for (album,) in stored(database, "album_name")} == {"EP"}


def test_an_answer_that_is_read_anew_is_stored_anew(database):
    page = plays([T0], 1.0)
    load(database, [page], [replace(page, albums=["Read Better"])])
    assert stored(database, "album_name") == [("Read Better",)]


def test_what_an_incomplete_window_does_not_name_stays(database):
    load(database, [plays([T0, T0 + 60], 1.0)])
    assert load(database, [plays([T0], 2.0, total=5, per_page=1)]) == 0
    assert len(stored(database)) == 2


def test_a_complete_window_that_names_less_removes_and_counts(database):
    load(database, [plays([T0, T0 + 60, T0 + 120], 1.0)])
    assert load(database, [plays([T0], 2.0)]) == 2
    assert [uts for uts, _ in stored(database)] == [T0]


def test_pages_of_another_size_replace_those_that_they_overlap(database):
    load(database, [plays([T0 + n for n in range(4)], 1.0, total=6, per_page=4),
                    plays([T0 + 4, T0 + 5], 1.0, total=6, per_page=4, page=2)])  # fmt: skip
    halves = [plays([T0 + n, T0 + n + 1], 2.0 + n, total=6, per_page=2, page=1 + n // 2) for n in (0, 2, 4)]
    assert load(database, halves) == 0
    rows = database.execute("SELECT reported_total, stored, duplicates, explained FROM lastfm_history_audit").fetchall()
    assert rows == [(6, 6, 0, True)]


@pytest.mark.parametrize(
    ("page", "row"),
    [
        (plays([T0], 1.0, total=3, skipped={"undated": 1, "before_2002": 1}, first=0), (3, 1, 1, 0, True)),
        (plays([T0], 1.0, total=2, skipped={"repeated": 1}), (2, 1, 0, 1, True)),
        (plays([T0], 1.0, total=2), (2, 1, 0, 0, False)),
        (plays([T0], 1.0, total=2000), (2000, 1, 0, 0, False)),
        (plays([], 1.0), (0, 0, 0, 0, True)),
    ],
)
def test_the_audit(database, page, row):
    load(database, [page])
    found = database.execute(
        "SELECT reported_total, stored, undated, duplicates, explained FROM lastfm_history_audit"
    ).fetchone()
    assert found == row
    (window,) = queries.audit(database, page.user.upper())  # the same for one user
    assert (window.reported, window.stored, window.undated, window.duplicates, window.explained) == row


def test_recorded_pages_of_a_real_crawl_load_completely(database):
    files = sorted((SHARED / "lastfm" / "paged_history").glob("*.json"))
    if not files:
        pytest.skip(f"{SHARED}/lastfm/paged_history is not there")
    pages, expected = [], set()
    for place, file in enumerate(files):
        raw = json.loads(file.read_bytes())["recenttracks"]
        attr = raw["@attr"]
        expected |= {
            (int(row["date"]["uts"]), row["artist"]["#text"], row["name"]) for row in raw["track"] if "date" in row
        }
        call = get_recent_tracks(attr["user"], int(attr["page"]), from_=0, to=2**31 - 1, limit=int(attr["perPage"]))
        page = read(call, 200, file.read_bytes())
        assert isinstance(page, RecentTracksPage)
        page = DeduplicatePipeline.process_item(ValidatePipeline.process_item(page))
        pages.append(replace(page, fetched_at=1.6e9 + place))
    load(database, pages)
    columns = "extract(epoch FROM scrobbled_at)::bigint, artist_name, track_name"
    assert set(stored(database, columns)) == expected
    assert len(stored(database)) == len(expected) > 1900
    count, skipped = sum(page.received for page in pages), Counter()
    for page in pages:
        skipped.update(page.skipped)
    assert count == len(expected) + sum(skipped.values())
