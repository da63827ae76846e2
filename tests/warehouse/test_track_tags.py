"""The table track_tags: whatever the order in which answers come, the newest stays."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime

import psycopg
import pytest

from lastfm_crawl.items import TopTracksPage, TrackTags
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.matches import tracks_named
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.postgres import PostgresSink
from lastfm_crawl.warehouse.track_tags import tracks_left

TAGS = """
SELECT a.name, t.name, g.tags, extract(epoch FROM g.fetched_at)::integer
FROM track_tags g JOIN tracks t ON t.id = g.track_id JOIN artists a ON a.id = t.artist_id ORDER BY 1, 2
"""


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


def tags(artist: str, track: str, at: int, *found: tuple[str, int], status: str = "ok") -> TrackTags:
    return TrackTags(
        method="track.getTopTags", params="autocorrect=0", subject=f"{artist}/{track}", asked=(artist, track),
        tags=found, received=len(found), fetched_at=at, size=100, status=status,
    )  # fmt: skip


def played(at: int) -> TopTracksPage:
    return TopTracksPage(
        method="user.getTopTracks", params="limit=2,period=overall", user="rj", period="overall", received=2, total=2,
        ranks=[1, 2], artists=["A", "B"], artist_mbids=["", ""], tracks=["x", "y"], track_mbids=["", ""],
        playcounts=[9, 5], fetched_at=at, size=50,
    )  # fmt: skip


ANSWERS = (
    played(5),
    tags("A", "x", 10, ("rock", 100), ("70s", 3)),
    tags("A", "x", 20, ('Rock\'n\u2019Roll "live"', 100)),
    tags("a", "x", 10, status="not_found"),
)
AFTER = [("A", "x", [{"name": 'Rock\'n\u2019Roll "live"', "count": 100}], 20), ("a", "x", [], 10)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(ANSWERS)))), ids=str)
def test_the_order_does_not_matter(connection, order):
    sink = PostgresSink()
    for place in order:
        sink.load(connection, [ANSWERS[place]])
        sink.committed()
    assert connection.execute(TAGS).fetchall() == AFTER
    assert connection.execute("SELECT count(*) FROM tracks").fetchone() == (3,)


def test_a_batch_may_hold_everything(connection):
    PostgresSink().load(connection, ANSWERS)
    assert connection.execute(TAGS).fetchall() == AFTER


def test_what_is_left_are_tracks_without_tags_and_old_ones(connection):
    PostgresSink().load(connection, [*ANSWERS, tags("B", "y", 15)])
    left = [track[1:] for track in tracks_named(connection, tracks_left(connection, before=16))]
    assert left == [("B", "y"), ("a", "x")]
    assert tracks_left(connection, before=0) == []


def test_the_bytes_are_counted_as_lastfms(connection):
    PostgresSink().load(connection, ANSWERS)
    assert queries.stored_bytes(connection) == 250
    kept = [tuple(row) for row in queries.stored_by_method(connection)]
    assert kept == [("track.getTopTags", 2, 200), ("user.getTopTracks", 1, 50)]


def test_json_and_times_are_what_readers_expect(connection):
    PostgresSink().load(connection, [tags("A", "x", 10, ("日本", 7))])
    (found, at) = connection.execute("SELECT tags::text, fetched_at FROM track_tags").fetchone()
    assert json.loads(found) == [{"name": "日本", "count": 7}]
    assert at == datetime.fromtimestamp(10, UTC)
