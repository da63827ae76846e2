"""Songs in the warehouse: what folds, which id stays, what is left behind, and what an interruption leaves."""

from __future__ import annotations

import psycopg
import pytest

from lastfm_crawl.items import SpotifyTrack
from lastfm_crawl.matching.names import Match
from lastfm_crawl.matching.song_ids import song_uuid
from lastfm_crawl.warehouse import catalogue, matches, songs
from lastfm_crawl.warehouse.migrate import migrate

NOW = 1_700_000_000.0
TABLES = ("song_aliases", "songs", "song_tracks", "spotify_attrs", "lastfm_stats", "aoty_attrs")
MBID = "50e6dad8-1efd-4c96-b370-6a2a50b69df3"


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def add_track(connection, artist, title, *, plays=None, mbid="") -> int:
    """A track and its plays by user; the id of the track."""
    one = connection.execute
    one("INSERT INTO artists (name) VALUES (%s) ON CONFLICT DO NOTHING", [artist])
    (track,) = one(
        "INSERT INTO tracks (artist_id, name) SELECT id, %s FROM artists WHERE name = %s RETURNING id", [title, artist]
    ).fetchone()
    (recording,) = one(
        "INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid) VALUES (%s, 0, '', %s) RETURNING id",
        [track, mbid],
    ).fetchone()
    for user, count in (plays or {}).items():
        one("INSERT INTO users (key, name, discovered_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING", [user, user])
        one(
            """INSERT INTO scrobbles (user_id, track_id, at, recording_id, seen_at)
               SELECT u.id, %s, '2020-01-01Z'::timestamptz + n * interval '1 hour', %s, now()
               FROM users u, generate_series(1, %s) AS n WHERE u.key = %s""",
            [track, recording, count, user],
        )
    return track


def believe(connection, track, spotify_id, *, isrc=None, seconds=200, artist="A", title="Song") -> None:
    """*track* is believed to be that track of Spotify."""
    row = SpotifyTrack(
        spotify_id,
        title,
        artist_names=(artist,),
        artist_ids=("x",),
        isrc=isrc,
        duration_ms=seconds * 1000,
        popularity=50,
        album_name="Album",
    )
    with connection.transaction():
        catalogue.save_tracks(connection.cursor(), [row], "catalogue", NOW)
        match = Match(spotify_id, title, "exact", 1.0, 0.0, "equal", "accept")
        matches.save_matches(connection, "track", {track: match}, "catalogue")


def build(connection, most=1000, now=NOW):
    with connection.transaction():
        return songs.build(connection, most, now)


def dump(connection) -> dict[str, list[tuple]]:
    return {table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


def found(connection) -> dict[str, tuple]:
    rows = connection.execute("SELECT title, id, canonical_id FROM songs").fetchall()
    return {title: (identity, canonical) for title, identity, canonical in rows}


def alias(connection, canonical):
    (identity,) = connection.execute("SELECT song_id FROM song_aliases WHERE canonical_id = %s", [canonical]).fetchone()
    return identity


def test_an_empty_warehouse_has_no_songs(connection):
    assert build(connection) == songs.SongCounts(0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_versions_fold_and_plays_add_up(connection):
    plain = add_track(connection, "The A", "Song", plays={"rj": 3, "ann": 1}, mbid=MBID)
    remaster = add_track(connection, "a", "Song - Remastered 2011", plays={"rj": 2})
    add_track(connection, "A", "Song (Live)", plays={"bob": 9})
    add_track(connection, "B", "Song", plays={"bob": 1})
    believe(connection, remaster, "s1", isrc="usaaa1234567", title="Song - Remastered 2011")
    counts = build(connection)
    assert counts == songs.SongCounts(4, 1, 3, 3, 1, 0, 0, 2, 0)
    row = connection.execute(
        """SELECT s.artist, s.title, s.canonical_id, s.isrc, s.spotify_id, s.mbid, l.playcount, l.listeners,
                  p.duration_ms, p.album_name
           FROM songs s JOIN lastfm_stats l ON l.song_id = s.id JOIN spotify_attrs p ON p.song_id = s.id"""
    ).fetchall()
    assert row == [
        ("A", "Song - Remastered 2011", "isrc:USAAA1234567", "USAAA1234567", "s1", MBID, 6, 2, 200_000, "Album")
    ]
    edges = connection.execute("SELECT track_id, reason, own_id FROM song_tracks WHERE track_id = ANY(%s)", [
        [plain, remaster]
    ]).fetchall()  # fmt: skip
    assert sorted(edges) == [(plain, "name", f"mbid:{MBID}"), (remaster, "best", "isrc:USAAA1234567")]


def test_the_same_again_changes_nothing(connection):
    first = add_track(connection, "A", "Song", plays={"rj": 3})
    add_track(connection, "A", "SONG!", plays={"rj": 3})
    add_track(connection, "A", "Other", plays={"rj": 3})
    believe(connection, first, "s1", isrc="USAAA1234567")
    build(connection)
    before = dump(connection)
    assert len(before["songs"]) == 2
    build(connection, now=NOW + 1000)
    assert dump(connection) == before


def test_a_track_that_gets_a_code_keeps_its_song_and_leaves_an_alias(connection):
    track = add_track(connection, "A", "Song", plays={"rj": 1})
    build(connection)
    identity, by_name = found(connection)["Song"]
    assert by_name.startswith("name:")
    assert identity == song_uuid(by_name)
    believe(connection, track, "s1", isrc="USAAA1234567")
    counts = build(connection)
    assert found(connection)["Song"] == (identity, "isrc:USAAA1234567")
    assert alias(connection, by_name) == alias(connection, "isrc:USAAA1234567") == identity
    assert counts.aliases == 1
    before = dump(connection)
    build(connection)
    assert dump(connection) == before


def test_songs_that_become_one_and_part_again(connection):
    a = add_track(connection, "A", "Smells Like Rain", plays={"rj": 5})
    b = add_track(connection, "A", "Smels Like Rain", plays={"rj": 1})
    build(connection)
    two = found(connection)
    assert len(two) == 2
    first = min(two.values(), key=lambda row: row[1])
    other = max(two.values(), key=lambda row: row[1])
    for track in (a, b):
        believe(connection, track, "s1", isrc="USAAA1234567", title="Smells Like Rain")
    build(connection)
    assert found(connection) == {"Smells Like Rain": (first[0], "isrc:USAAA1234567")}
    assert alias(connection, first[1]) == alias(connection, other[1]) == first[0]
    resolved = connection.execute("SELECT song_id FROM song_aliases WHERE uuid = %s", [other[0]]).fetchone()
    assert resolved == (first[0],)
    connection.execute("DELETE FROM track_matches")
    build(connection)
    assert found(connection) == two
    assert alias(connection, other[1]) == other[0]


def test_a_song_that_falls_out_comes_back_as_itself(connection):
    add_track(connection, "A", "Song", plays={"rj": 5})
    add_track(connection, "B", "Other", plays={"rj": 1})
    build(connection)
    both = found(connection)
    assert build(connection, most=1)[2:4] == (2, 1)
    assert found(connection) == {"Song": both["Song"]}
    assert alias(connection, both["Other"][1]) == both["Other"][0]
    build(connection)
    assert found(connection) == both


def test_complete_songs_come_before_played_ones(connection):
    add_track(connection, "A", "Played", plays={"rj": 50})
    track = add_track(connection, "B", "Known", plays={"rj": 1})
    believe(connection, track, "s1", isrc="USAAA1234567", artist="B", title="Known")
    build(connection, most=1)
    assert list(found(connection)) == ["Known"]


def test_a_code_of_two_artists_stays_with_who_had_it(connection):
    first = add_track(connection, "Queen", "Pressure", plays={"rj": 1})
    second = add_track(connection, "David", "Pressure", plays={"rj": 9})
    believe(connection, second, "s1", isrc="USAAA1234567", artist="David", title="Pressure")
    build(connection)
    before = dict(connection.execute("SELECT artist, (id, canonical_id)::text FROM songs").fetchall())
    believe(connection, first, "s1", isrc="USAAA1234567", artist="Queen", title="Pressure")
    build(connection)
    after = dict(connection.execute("SELECT artist, (id, canonical_id)::text FROM songs").fetchall())
    assert after == before


def test_ids_that_change_hands_leave_no_two_songs_with_one(connection):
    a = add_track(connection, "A", "Song", plays={"rj": 1})
    b = add_track(connection, "A", "Other", plays={"rj": 1})
    believe(connection, a, "s1", isrc="USAAA0000001")
    believe(connection, b, "s2", isrc="USAAA0000002", title="Other")
    build(connection)
    connection.execute("UPDATE spotify_tracks SET isrc = CASE id WHEN 's1' THEN 'USAAA0000002' ELSE 'USAAA0000001' END")
    build(connection)
    assert sorted(row[1] for row in found(connection).values()) == ["isrc:USAAA0000001", "isrc:USAAA0000002"]


def test_plays_of_a_list_count_where_there_is_no_history(connection):
    track = add_track(connection, "A", "Song", plays={"rj": 2})
    connection.execute("INSERT INTO users (key, name, discovered_at) VALUES ('ann', 'Ann', now())")
    for user, method, table, columns in (
        ("ann", "user.getTopTracks", "user_tracks", "(fetch_id, recording_id, track_id, rank, playcount)"),
        ("rj", "user.getTopTracks", "user_tracks", "(fetch_id, recording_id, track_id, rank, playcount)"),
    ):
        connection.execute(
            f"""WITH f AS (
                    INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at)
                    SELECT id, %s, 'limit=1000,period=overall', 1, 1, 1, 1, 1, now() FROM users WHERE key = %s
                    RETURNING id)
                INSERT INTO {table} {columns} SELECT f.id, 1, %s, 1, 40 FROM f""",
            [method, user, track],
        )
    build(connection)
    assert connection.execute("SELECT playcount, listeners FROM lastfm_stats").fetchone() == (42, 2)


def test_tags_of_versions_are_put_together(connection):
    a = add_track(connection, "A", "Song", plays={"rj": 2})
    b = add_track(connection, "A", "Song (Remastered)", plays={"rj": 1})
    for track, tags in (
        (a, '[{"name": "Rock", "count": 50}, {"name": "70s", "count": 50}]'),
        (b, '[{"name": "rock", "count": 100}]'),
    ):
        connection.execute("INSERT INTO track_tags VALUES (%s, %s, now())", [track, tags])
    build(connection)
    (tags,) = connection.execute("SELECT tags FROM lastfm_stats").fetchone()
    assert tags == [{"name": "rock", "count": 100}, {"name": "70s", "count": 50}]


def test_an_interruption_leaves_what_was_there(connection, monkeypatch):
    track = add_track(connection, "A", "Song", plays={"rj": 2})
    build(connection)
    before = dump(connection)
    believe(connection, track, "s1", isrc="USAAA1234567")
    for place in range(len(songs._SAVE) + 1):
        broken = (*songs._SAVE[:place], "SELECT 1 / 0", *songs._SAVE[place:])
        with monkeypatch.context() as patched:
            patched.setattr(songs, "_SAVE", broken)
            with pytest.raises(psycopg.errors.DivisionByZero):
                build(connection)
        assert dump(connection) == before
    build(connection)
    assert found(connection)["Song"][1] == "isrc:USAAA1234567"


def test_foreign_keys_hold_when_what_they_point_to_goes(connection):
    track = add_track(connection, "A", "Song", plays={"rj": 2})
    believe(connection, track, "s1", isrc="USAAA1234567")
    build(connection)
    connection.execute("DELETE FROM songs")
    left = {table for table, rows in dump(connection).items() if rows}
    assert left == {"song_aliases"}
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("INSERT INTO lastfm_stats VALUES (gen_random_uuid(), 1, 1, '[]')")
