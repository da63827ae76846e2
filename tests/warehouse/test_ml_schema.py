"""The views for machine learning: their columns, what they hold, and vectors with and without pgvector."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from listening import date_albums, listen
from psycopg.conninfo import make_conninfo
from test_song_tables import NOW, add_track, build

from lastfm_crawl.warehouse.migrate import FOLDER, migrate
from lastfm_crawl.warehouse.song_vectors import build_vectors

COLUMNS = {
    "artists": ["name", "aoty_data", "lastfm_data"],
    "albums": ["title", "artist", "year", "aoty_score", "aoty_num_ratings", "aoty_data", "lastfm_data"],
    "tracks": ["title", "album", "track_number", "duration", "aoty_data", "lastfm_data"],
    "user_track_interactions": ["user", "track", "play_count", "loved", "last_played", "source"],
    "track_features": [
        "track", "genres", "tags", "decade", "album_rating", "critic_score", "user_score", "popularity_score",
        "similarity_vector", "feature_hash",
    ],
}  # fmt: skip


@pytest.fixture
def database_url(empty_database_url):
    """Here tables are made."""
    return empty_database_url


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def listened(connection):
    """Two plays of an album of 1969 that AOTY rates, and one of an album without a year."""
    listen(connection, "RJ", [("2020-01-01Z", "A", "Old"), ("2020-01-02Z", "A", "Old"), ("2020-01-03Z", "A", "New")])
    date_albums(connection, {("A", "Old"): (1969, "matched")})
    connection.execute(
        """INSERT INTO aoty_albums (id, url, title, artists, artist_key, critic_score, critic_count, user_score,
                                    user_count, genres, tags, era, source, fetched_at)
           VALUES (7, '/album/7', 'Old', '{A}', 'a', 90, 10, 80, 100, '{Rock}', '{Live}', 'now', 'page', now())"""
    )
    connection.execute("INSERT INTO aoty_tracks (album_id, place, disc, number, title, seconds, rating, ratings)"
                       " VALUES (7, 1, 1, 3, 'Old song', 245, 85, 12)")  # fmt: skip
    connection.execute(
        """INSERT INTO aoty_track_matches (track_id, aoty_id, place, match_type, confidence, score, reason,
                                           normaliser, matched_at)
           SELECT id, 7, 1, 'track_match', 'high', 1, '', 1, now() FROM tracks WHERE name = 'Old song'"""
    )
    connection.execute(
        """INSERT INTO aoty_album_matches (album_id, aoty_id, band, tier, score, runner_up, evidence, normaliser,
                                           matched_at)
           SELECT id, 7, 'accept', 'exact', 1, 0, '', 1, now() FROM albums WHERE name = 'Old'"""
    )
    connection.execute("""INSERT INTO track_tags SELECT id, '[{"name": "Rock", "count": 9}]', now() FROM tracks""")
    build(connection)
    return connection


def rows(connection, view, columns, order=1) -> list[tuple]:
    return connection.execute(f"SELECT {columns} FROM ml.{view} ORDER BY {order}").fetchall()


def vectors(connection, now=NOW) -> int:
    with connection.transaction():
        return build_vectors(connection, now)


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_of_the_brief(connection, view):
    found = connection.execute(f"SELECT * FROM ml.{view}").description
    assert [column.name for column in found][: len(COLUMNS[view])] == COLUMNS[view]
    assert {"song_id", "artist_id"} & {column.name for column in found}


def test_what_the_views_hold(listened):
    assert rows(listened, "artists", "name, aoty_data, lastfm_data") == [
        ("A", {"albums": 1, "user_score": 80.0, "critic_score": 90.0}, {"songs": 2, "playcount": 3})
    ]
    albums = rows(listened, "albums", "title, artist, year, aoty_score, aoty_num_ratings, aoty_data ->> 'url'")
    assert albums == [("New", "A", None, None, None, None), ("Old", "A", 1969, 80, 100, "/album/7")]
    tracks = rows(listened, "tracks", "title, album, track_number, duration, aoty_data ->> 'rated'")
    assert tracks == [("New song", "New", None, None, None), ("Old song", "Old", 3, 245, "track")]
    features = rows(
        listened,
        "track_features",
        "track, genres, tags, decade, album_rating, critic_score, user_score, popularity_score",
    )
    assert features == [
        ("New song", [], ["rock"], None, None, None, None, pytest.approx(0.4094)),
        ("Old song", ["Rock"], ["rock", "live"], 1960, 80, 90, 85, pytest.approx(0.5235)),
    ]


def test_scores_of_the_song(listened):
    row = "SELECT rated, user_score::int, rating_count, critic_score::int, tags, genres FROM aoty_attrs"
    assert listened.execute(row).fetchall() == [("track", 85, 12, 90, ["Live"], ["Rock"])]
    listened.execute("UPDATE aoty_tracks SET rating = NULL")
    build(listened)
    assert listened.execute(row).fetchall() == [("album", 80, 100, 90, ["Live"], ["Rock"])]
    listened.execute("UPDATE aoty_albums SET user_score = NULL")
    build(listened)
    assert listened.execute(row).fetchone()[:2] == ("none", None)


def test_interactions(connection):
    add_track(connection, "A", "Song", plays={"rj": 2})
    loved = add_track(connection, "A", "Song (Remastered)", plays={"rj": 1})
    other = add_track(connection, "A", "Other", plays={"ann": 1})
    for user, track in (("rj", loved), ("rj", other)):
        connection.execute(
            """WITH f AS (
                   INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at)
                   SELECT id, 'user.getLovedTracks', 'limit=50', %s, 2, 2, 1, 1, now() FROM users WHERE key = %s
                   RETURNING id)
               INSERT INTO loved_tracks SELECT f.id, 1, %s, now() FROM f""",
            [1 if track == loved else 2, user, track],
        )
    build(connection)
    found = rows(connection, "user_track_interactions", '"user", track, play_count, loved, source', '"user", track')
    assert found == [
        ("ann", "Other", 1, False, "scrobbles"), ("rj", "Other", 0, True, "loved_tracks"),
        ("rj", "Song", 3, True, "scrobbles"),
    ]  # fmt: skip


def taste(connection) -> None:
    """Six users, of whom three play the first songs and three the others."""
    for n in range(6):
        users = ("a", "b", "c") if n < 3 else ("x", "y", "z")
        add_track(connection, f"artist {n}", "Song", plays=dict.fromkeys(users, 3 + n))
    add_track(connection, "nobody", "Song")
    build(connection)


@pytest.mark.parametrize("extension", [True, False])
def test_vectors_and_hashes(database_url, extension, monkeypatch, tmp_path):
    if not extension:  # a server that has no pgvector: the migration asks the list of extensions
        for path in FOLDER.glob("*.sql"):
            text = path.read_text().replace("pg_available_extensions", "(SELECT name FROM pg_available_extensions"
                                            " WHERE name <> 'vector') AS others")  # fmt: skip
            (tmp_path / path.name).write_text(text)
        monkeypatch.setattr("lastfm_crawl.warehouse.migrate.FOLDER", tmp_path)
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        (kind,) = connection.execute("SELECT pg_typeof(similarity_vector)::text FROM (SELECT 1) one"
                                     " LEFT JOIN ml.track_features ON true").fetchone()  # fmt: skip
        if extension and kind != "vector":
            pytest.skip("this PostgreSQL has no pgvector")
        assert kind == ("vector" if extension else "real[]")
        taste(connection)
        assert vectors(connection) == 6
        found = rows(connection, "track_features f JOIN songs s ON s.id = f.song_id",
                     "artist, similarity_vector::text, feature_hash, similarity_method")  # fmt: skip
        of = {artist: [float(x) for x in re.findall(r"[-\d.e]+", text or "")] for artist, text, _, _ in found}
        assert of.pop("nobody") == []
        assert {len(vector) for vector in of.values()} == {128}
        assert sum(x * x for x in of["artist 0"]) == pytest.approx(1, abs=1e-4)
        alike = sum(map(float.__mul__, of["artist 0"], of["artist 1"]))
        unlike = sum(map(float.__mul__, of["artist 0"], of["artist 4"]))
        assert alike > 0.99
        assert abs(unlike) < 0.01
        assert {method for *_, method in found} == {"bm25-svd-128", None}
        build(connection, now=NOW + 9)
        vectors(connection, now=NOW + 9)
        assert rows(connection, "track_features f JOIN songs s ON s.id = f.song_id",
                    "artist, similarity_vector::text, feature_hash, similarity_method") == found  # fmt: skip
        assert len({row[2] for row in found}) > 1


def test_an_owner_who_may_not_create_extensions_gets_vectors_all_the_same(database_url, connection):
    connection.execute("CREATE ROLE plain")
    connection.execute("CREATE DATABASE plain_owner OWNER plain")
    try:
        url = make_conninfo(database_url, dbname="plain_owner", options="-c role=plain")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as plain:
            assert plain.execute("SELECT current_user").fetchone() == ("plain",)
            taste(plain)
            assert vectors(plain) == 6
            (length,) = plain.execute("SELECT cardinality(vector) FROM ml.song_vectors LIMIT 1").fetchone()
            assert length == 128
    finally:
        connection.execute("DROP DATABASE plain_owner WITH (FORCE)")
        connection.execute("DROP ROLE plain")


def test_the_hash_changes_with_a_feature_and_with_nothing_else(listened):
    before = dict(rows(listened, "track_features", "track, feature_hash"))
    listened.execute("UPDATE track_tags SET fetched_at = now() + interval '1 day'")
    listened.execute("UPDATE aoty_albums SET fetched_at = now() + interval '1 day', user_score = 70")
    build(listened, now=NOW + 9)
    after = dict(rows(listened, "track_features", "track, feature_hash"))
    assert after["New song"] == before["New song"]
    assert after["Old song"] != before["Old song"]


def test_a_warehouse_is_made_anew_where_the_schema_is_left(database_url):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        migrate(database_url)
        taste(connection)
        assert vectors(connection) == 6


def test_vectors_of_nobody(connection):
    assert vectors(connection) == 0
    add_track(connection, "A", "Song")
    build(connection)
    assert vectors(connection) == 0


def test_vectors_go_with_their_songs(connection):
    taste(connection)
    vectors(connection)
    build(connection, most=2)
    assert connection.execute("SELECT count(*) FROM ml.song_vectors").fetchone()[0] <= 2
    assert json.loads(json.dumps(rows(connection, "tracks", "title, artist")))
