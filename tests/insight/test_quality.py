"""The quality report: a sound warehouse has no fault, each planted one is found, figures are plain counts."""

from __future__ import annotations

import json

import psycopg
import pytest
from listening import three_listeners

from lastfm_crawl.insight.checks import PASSES
from lastfm_crawl.insight.quality import PAIRS, STEPS, report
from lastfm_crawl.warehouse.figures import Figure, RunFigures, for_record
from lastfm_crawl.warehouse.migrate import migrate

#: Around the plays of three listeners: what was asked of them, and what four services said.
SOUND = """
INSERT INTO users (key, name, discovered_at, status) VALUES ('gone', 'Gone', now(), 'not_found');
UPDATE users SET profile_at = now(), playcount = 1500, registered_at = '2005-01-01Z', crawl_depth = 0
WHERE name = 'RJ';
INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, skipped, status, fetched_at)
SELECT u.id, f.method, f.params, f.page, f.pages, f.total, f.received, f.stored, f.skipped::jsonb, f.status, now()
FROM (VALUES
    ('RJ', 'user.getFriends', 'limit=200', 1, 1, 3, 3, 2, '{"no name": 1}', 'ok'),
    ('RJ', 'user.getTopArtists', 'limit=1000,period=overall', 1, 5, 5000, 3, 3, '{}', 'ok'),
    ('RJ', 'user.getTopAlbums', 'limit=1000,period=overall', 1, 1, 1, 1, 1, '{}', 'ok'),
    ('RJ', 'user.getTopTracks', 'limit=1000,period=overall', 1, 1, 1, 1, 1, '{}', 'ok'),
    ('RJ', 'user.getLovedTracks', 'limit=1000', 1, 1, 1, 1, 1, '{}', 'ok'),
    ('RJ', 'user.getRecentTracks', 'from=0,limit=200,to=1600000000', 1, 1, 200, 200, 199, '{"undated": 1}', 'ok'),
    ('RJ', 'spotify.top', 'time_range=short_term', 1, 1, 1, 1, 1, '{}', 'ok'),
    ('Ann', 'user.getFriends', 'limit=200', 0, 0, 0, 0, 0, '{}', 'private'),
    ('Ann', 'user.getRecentTracks', 'from=0,limit=200,to=1600000000', 1, 2, 400, 200, 200, '{}', 'ok'),
    ('Bob', 'user.getFriends', 'limit=200', 1, 2, 201, 0, 0, '{}', 'ok')
) AS f (name, method, params, page, pages, total, received, stored, skipped, status) JOIN users u USING (name);
CREATE TEMP VIEW of_rj AS
SELECT f.id, f.method FROM fetches f JOIN users u ON u.id = f.user_id WHERE u.name = 'RJ';
INSERT INTO friendships SELECT r.id, u.id, u.id FROM of_rj r, users u
WHERE r.method = 'user.getFriends' AND u.name IN ('Ann', 'Bob');
INSERT INTO user_artists SELECT r.id, a.id, l.rank, l.playcount
FROM of_rj r, (VALUES (1, 'artist 1', 100), (2, 'artist 2', 50), (3, 'artist 3', 10)) AS l (rank, name, playcount)
JOIN artists a USING (name) WHERE r.method = 'user.getTopArtists';
INSERT INTO user_albums SELECT f.id, a.id, 1, 9 FROM of_rj f, (SELECT * FROM albums LIMIT 1) a
WHERE f.method = 'user.getTopAlbums';
INSERT INTO user_tracks SELECT f.id, r.id, r.track_id, 1, 9 FROM of_rj f, (SELECT * FROM recordings LIMIT 1) r
WHERE f.method = 'user.getTopTracks';
INSERT INTO loved_tracks SELECT f.id, r.id, r.track_id, '2012-01-01Z' FROM of_rj f, (SELECT * FROM recordings LIMIT 1) r
WHERE f.method = 'user.getLovedTracks';
INSERT INTO named_tracks SELECT id, ARRAY[1, 2, 3] FROM of_rj WHERE method = 'user.getRecentTracks';
INSERT INTO spotify_top_artists SELECT id, 1, 's1', 'Artist 1', 80 FROM of_rj WHERE method = 'spotify.top';
INSERT INTO spotify_top_tracks SELECT id, 1, 't1', 'Artist 1', 'Song', 80 FROM of_rj WHERE method = 'spotify.top';

INSERT INTO spotify_artists VALUES ('s1', 'Artist 1', 'artist1', 80, 10, 'api', now()),
                                   ('s2', 'Artist Two', 'artisttwo', 20, 10, 'api', now());
INSERT INTO spotify_tracks (id, name, key, artist_ids, artist_names, release_date, popularity, source, fetched_at)
VALUES ('t1', 'Song', 'song', '{s1}', '{Artist 1}', '1999-02', 50, 'api', now());
INSERT INTO artist_matches (artist_id, spotify_id, band, tier, score, runner_up, evidence, source, normaliser,
                            catalogue, matched_at)
SELECT a.id, m.spotify_id, m.band, m.tier, m.score, 0, 'why', 'search', 1, 0, now()
FROM (VALUES ('artist 1', 's1', 'accept', 'exact', 1), ('artist 2', 's2', 'review', 'fuzzy', 0.6))
     AS m (name, spotify_id, band, tier, score) JOIN artists a USING (name);
INSERT INTO track_matches (track_id, spotify_id, band, tier, score, runner_up, evidence, source, normaliser, catalogue,
                           matched_at)
SELECT id, 't1', 'accept', 'exact', 1, 0, 'why', 'search', 1, 0, now() FROM tracks WHERE name = 'album 7 song';

INSERT INTO aoty_albums (id, url, title, artists, artist_key, release_date, user_score, era, source, fetched_at)
VALUES (1, 'u', 'Album 7', '{Artist 7}', 'k', '1994-05', 81, 'x', 'page', now()),
       (2, 'u', 'Album 8', '{Artist 8}', 'k', NULL, NULL, 'x', 'page', now());
INSERT INTO aoty_tracks (album_id, place, disc, title, seconds, rating) VALUES (1, 1, 1, 'Song', 200, 75);
INSERT INTO aoty_album_matches
SELECT al.id, m.aoty_id, 'accept', 'exact', 1, 0, 'why', 1, now()
FROM (VALUES ('album 7', 1), ('album 8', 2)) AS m (name, aoty_id) JOIN albums al USING (name);
INSERT INTO aoty_track_matches (track_id, aoty_id, place, match_type, confidence, score, reason, normaliser, matched_at)
SELECT id, 1, 1, 'track_match', 'high', 0.95, 'why', 1, now() FROM tracks WHERE name = 'album 7 song'
UNION ALL
SELECT id, 2, NULL, 'album_match', 'low', 0.5, 'no such track', 1, now() FROM tracks WHERE name = 'album 8 song';

INSERT INTO runs (id, spider, arguments, started_at, members_before, stats) VALUES
    ('1', 'friends', '{}', now(), 0, '{"httpcache/hit": 60, "httpcache/miss": 40, "lastfm_crawl/batches": 4,
                                       "lastfm_crawl/batch_ms": 500, "lastfm_crawl/batch_ms_max": 300}'),
    ('2', 'recent_tracks', '{}', now(), 0, '{"httpcache/miss": 20}'),
    ('3', 'killed', '{}', now(), 0, NULL);
"""
SONGS = """
INSERT INTO song_aliases
SELECT 'c' || n, md5(n::text)::uuid, md5(n::text)::uuid, now() FROM generate_series(1, 2) n;
INSERT INTO songs
SELECT md5(n::text)::uuid, 1, 'Artist', 'Title ' || n, 'c' || n, 'i' || n, 's' || n, NULL, now(), now()
FROM generate_series(1, 2) n;
INSERT INTO song_tracks SELECT t.id, md5('1')::uuid, 'best', 'c1' FROM tracks t WHERE name = 'album 7 song';
INSERT INTO spotify_attrs (song_id, duration_ms, popularity) SELECT id, 1000, 50 FROM songs;
INSERT INTO lastfm_stats SELECT id, 5, 1, '[]' FROM songs;
INSERT INTO aoty_attrs (song_id, aoty_id, rated, user_score, critic_score, album_score, tags, genres)
SELECT id, 1, 'album', 81, NULL, 81, '[]', '[]' FROM songs;
"""


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


@pytest.fixture
def sound(connection):
    three_listeners(connection)
    connection.execute(SOUND)
    connection.commit()
    return connection


@pytest.fixture
def with_songs(sound):
    sound.execute(SONGS)
    sound.commit()
    return sound


def one(connection, statement):
    return connection.execute(statement).fetchone()[0]


def found(quality):
    return {finding.check.what: finding.count for finding in quality.findings if finding.count}


def shares(figures):
    return {(figure.service, figure.name): (figure.part, figure.whole) for figure in figures}


# --- what must not be there ---------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_an_empty_warehouse(connection):
    quality = report(connection)
    assert found(quality) == {}
    assert quality.below == quality.pairs == quality.runs == ()
    assert all(figure.share is None for figure in (*quality.coverage, *quality.match_rates, quality.cache))


def test_nothing_is_wrong_with_a_sound_warehouse(with_songs):
    quality = report(with_songs)
    assert found(quality) == {}
    assert len(quality.findings) == sum(len(one.all_checks()) for one in PASSES)
    whats = [finding.check.what for finding in quality.findings]
    assert {what for what in whats if whats.count(what) > 1} <= {
        # of two tables each
        "ranks below 1 in user lists", "play counts below 0 in user lists", "ranks below 1 in Spotify's top lists",
        "popularities in Spotify's top lists outside 0 to 100",
    }  # fmt: skip


SCROBBLE = "INSERT INTO scrobbles SELECT {}, track_id, '{}', id, now() FROM recordings LIMIT 1"
THIS = "(user_id, at) = (SELECT user_id, at FROM scrobbles LIMIT 1)"
BREAK = "ALTER TABLE {0} DROP CONSTRAINT {0}_{1}; "
PLANTED = [
    # duplicates
    ("INSERT INTO users (key, name) VALUES ('rj ', 'RJ '), ('b ob', 'B ob')",
     "users who differ by case or outer blanks alone"),
    ("INSERT INTO artists (name) VALUES ('Artist  5'), ('ARTIST 5')", "artists who differ by case or blanks alone"),
    ("INSERT INTO tracks (artist_id, name) SELECT artist_id, upper(name) FROM tracks LIMIT 1",
     "tracks of one artist that differ by case or blanks alone"),
    ("INSERT INTO albums (artist_id, name, mbid) SELECT artist_id, upper(name), mbid FROM albums LIMIT 1",
     "albums of one artist and id that differ by case or blanks alone"),
    (f"UPDATE scrobbles SET at = at + interval '0.4 s' WHERE {THIS}",
     "plays between two seconds, where one can be stored twice"),
    ("""WITH t AS (INSERT INTO tracks (artist_id, name) SELECT artist_id, upper(name) FROM tracks ORDER BY id LIMIT 1
                   RETURNING id),
             r AS (INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid) SELECT id, 0, '', '' FROM t
                   RETURNING id, track_id)
        INSERT INTO scrobbles SELECT s.user_id, r.track_id, s.at, r.id, now()
        FROM r, (SELECT * FROM scrobbles WHERE track_id = 1 LIMIT 1) s""",
     "tracks of one artist that differ by case or blanks alone",
     "plays of one user and second whose tracks differ by case or blanks alone"),
    ("UPDATE artist_matches SET spotify_id = 's1', band = 'accept'",
     "Spotify artists who are believed to be several artists"),
    # orphans
    ("UPDATE user_artists SET fetch_id = -1 WHERE rank = 3", "user_artists.fetch_id that is in no row of fetches",
     "answers whose rows are not all there, or more than all"),
    ("UPDATE user_artists SET artist_id = -1 WHERE rank = 3", "user_artists.artist_id that is in no row of artists"),
    ("UPDATE friendships SET friend_id = -1 WHERE position = 2", "friendships.friend_id that is in no row of users"),
    ("INSERT INTO friendships VALUES (-1, 1, 0)", "friendships.fetch_id that is in no row of fetches"),
    (SCROBBLE.format(-1, "2015-01-01Z"), "scrobbles.user_id that is in no row of users"),
    (f"UPDATE scrobbles SET track_id = -1 WHERE {THIS}",
     "scrobbles.track_id that is in no row of tracks", "plays of a recording of another track"),
    (f"UPDATE scrobbles SET recording_id = -1 WHERE {THIS}",
     "scrobbles.recording_id that is in no row of recordings"),
    ("UPDATE user_albums SET album_id = -1", "user_albums.album_id that is in no row of albums"),
    ("INSERT INTO user_albums SELECT -1, id, 1, 1 FROM albums LIMIT 1",
     "user_albums.fetch_id that is in no row of fetches"),
    ("UPDATE user_tracks SET track_id = -1", "user_tracks.track_id that is in no row of tracks"),
    ("UPDATE user_tracks SET recording_id = -1", "user_tracks.recording_id that is in no row of recordings"),
    ("INSERT INTO user_tracks SELECT -1, id, track_id, 1, 1 FROM recordings LIMIT 1",
     "user_tracks.fetch_id that is in no row of fetches"),
    ("UPDATE loved_tracks SET track_id = -1", "loved_tracks.track_id that is in no row of tracks"),
    ("UPDATE loved_tracks SET recording_id = -1", "loved_tracks.recording_id that is in no row of recordings"),
    ("INSERT INTO loved_tracks SELECT -1, id, track_id FROM recordings LIMIT 1",
     "loved_tracks.fetch_id that is in no row of fetches"),
    ("INSERT INTO named_tracks VALUES (-1, '{1}')", "named_tracks.fetch_id that is in no row of fetches"),
    ("UPDATE named_tracks SET tracks = '{1, -1}'", "named_tracks.track_id that is in no row of tracks"),
    ("UPDATE recordings SET album_id = -1 WHERE id = 1", "recordings.album_id that is in no row of albums"),
    ("UPDATE spotify_top_artists SET fetch_id = -1", "spotify_top_artists.fetch_id that is in no row of fetches"),
    ("UPDATE spotify_top_tracks SET fetch_id = -1", "spotify_top_tracks.fetch_id that is in no row of fetches"),
    (BREAK.format("albums", "artist_id_fkey") +
     "UPDATE albums SET artist_id = -1 WHERE id = (SELECT min(id) FROM albums)",
     "albums.artist_id that is in no row of artists"),
    ("DELETE FROM spotify_artists WHERE id = 's1'",
     "believed artist ids of which nothing is kept, as Spotify's terms may make us"),
    ("DELETE FROM spotify_tracks", "believed track ids of which nothing is kept, as Spotify's terms may make us"),
    # what nothing accounts for
    ("DELETE FROM user_artists WHERE rank = 1", "answers whose rows are not all there, or more than all"),
    ("UPDATE fetches SET received = 9 WHERE method = 'user.getTopTracks'",
     "answers that do not account for every row received"),
    ("UPDATE fetches SET received = 199, skipped = '{}' WHERE skipped ? 'undated'",
     "finished windows of histories with rows that nothing accounts for"),
    # missing
    ("UPDATE users SET name = '' WHERE name = 'Bob'", "users without a name"),
    ("UPDATE artists SET name = ' ' WHERE id = 1", "artists without a name"),
    ("UPDATE tracks SET name = '' WHERE id = 1", "tracks without a name"),
    ("UPDATE albums SET name = '' WHERE id = 1", "albums without a name"),
    ("UPDATE artist_matches SET spotify_id = NULL", "artists whose match is believed but has no id"),
    ("UPDATE track_matches SET spotify_id = NULL", "tracks whose match is believed but has no id"),
    ("UPDATE spotify_artists SET name = '' WHERE id = 's2'", "artists of Spotify without a name"),
    ("UPDATE spotify_tracks SET artist_names = '{}'", "tracks of Spotify without a name or an artist"),
    ("UPDATE album_searches SET group_mbid = NULL WHERE title = (SELECT min(title) FROM album_searches "
     "WHERE band = 'accept')", "albums whose match is believed but has no id"),
    ("UPDATE release_groups SET title = '' WHERE mbid = (SELECT min(mbid) FROM release_groups)",
     "release groups without a title"),
    ("UPDATE aoty_albums SET title = '' WHERE id = 1", "albums of AOTY without a title or an artist"),
    ("UPDATE aoty_tracks SET title = ''", "tracks of AOTY without a title"),
    ("UPDATE aoty_album_matches SET aoty_id = NULL WHERE aoty_id = 1",
     "albums that are believed to be in AOTY, but nowhere"),
    ("UPDATE aoty_track_matches SET place = NULL", "tracks that are believed to be in AOTY, but nowhere"),
    # out of range
    ("UPDATE users SET playcount = -1 WHERE name = 'RJ'", "users with less than 0 plays"),
    ("UPDATE users SET crawl_depth = -1 WHERE name = 'RJ'", "users nearer than 0 to their seed"),
    ("UPDATE users SET registered_at = '1970-01-01Z' WHERE name = 'RJ'",
     "users registered before 2002 or in the future"),
    ("UPDATE fetches SET fetched_at = now() + interval '2 days' WHERE method = 'spotify.top'",
     "answers from the future"),
    ("UPDATE fetches SET pages = -1 WHERE method = 'spotify.top'", "answers with less than 0 pages or rows"),
    ("UPDATE friendships SET position = -1 WHERE position = 2", "friends before the first place of their page"),
    ("UPDATE user_artists SET rank = 0 WHERE rank = 3", "ranks below 1 in user lists"),
    ("UPDATE user_tracks SET playcount = -1", "play counts below 0 in user lists"),
    ("UPDATE loved_tracks SET loved_at = '1970-01-01Z'", "loves before 2002 or in the future"),
    (SCROBBLE.format(1, "2001-12-31 23:59:59Z"), "plays before 2002 or in the future"),
    (SCROBBLE.format(1, "2999-01-01Z"), "plays before 2002 or in the future"),
    ("UPDATE spotify_top_tracks SET rank = 0", "ranks below 1 in Spotify's top lists"),
    ("UPDATE spotify_top_artists SET popularity = 101", "popularities in Spotify's top lists outside 0 to 100"),
    ("UPDATE spotify_artists SET popularity = 101 WHERE id = 's2'",
     "popularities of Spotify's artists outside 0 to 100"),
    ("UPDATE spotify_artists SET followers = -1 WHERE id = 's2'", "artists of Spotify with less than 0 followers"),
    ("UPDATE spotify_tracks SET popularity = -1", "popularities of Spotify's tracks outside 0 to 100"),
    ("UPDATE spotify_tracks SET duration_ms = -1", "tracks of Spotify shorter than nothing"),
    ("UPDATE spotify_tracks SET release_date = '0000'", "tracks of Spotify released before 1860 or in the future"),
    ("UPDATE artist_matches SET score = 1.5 WHERE tier = 'exact'", "scores of artist matches outside 0 to 1"),
    ("UPDATE track_matches SET matched_at = now() + interval '2 days'", "track matches in the future"),
    ("UPDATE album_searches SET score = 2 WHERE title = (SELECT min(title) FROM album_searches)",
     "scores of searched albums outside 0 to 1"),
    ("UPDATE release_groups SET year = 1859 WHERE mbid = (SELECT min(mbid) FROM release_groups)",
     "release groups from before 1860 or the future"),
    ("UPDATE release_groups SET year = 2999 WHERE mbid = (SELECT min(mbid) FROM release_groups)",
     "release groups from before 1860 or the future"),
    ("UPDATE release_groups SET month = 13 WHERE mbid = (SELECT min(mbid) FROM release_groups)",
     "release groups with a day that no calendar has"),
    (BREAK.format("aoty_albums", "user_score_check") + "UPDATE aoty_albums SET user_score = 101 WHERE id = 1",
     "users' scores outside 0 to 100"),
    (BREAK.format("aoty_albums", "critic_score_check") + "UPDATE aoty_albums SET critic_score = -1 WHERE id = 1",
     "critics' scores outside 0 to 100"),
    (BREAK.format("aoty_tracks", "rating_check") + "UPDATE aoty_tracks SET rating = 101",
     "ratings of tracks outside 0 to 100"),
    ("UPDATE aoty_tracks SET seconds = -1", "tracks of AOTY shorter than nothing"),
    ("UPDATE aoty_albums SET release_date = '2999' WHERE id = 1", "albums of AOTY from before 1860 or the future"),
    ("UPDATE aoty_album_matches SET score = -0.1 WHERE aoty_id = 1", "scores of AOTY's albums outside 0 to 1"),
    ("UPDATE aoty_track_matches SET score = 1.1 WHERE place = 1", "scores of AOTY's tracks outside 0 to 1"),
]  # fmt: skip
PLANTED_SONGS = [
    (BREAK.format("songs", "canonical_id_key") + "UPDATE songs SET canonical_id = 'c1'", "songs with one canonical id"),
    ("UPDATE songs SET isrc = 'i1'", "songs with one ISRC"),
    ("UPDATE songs SET spotify_id = 's1'", "songs with one Spotify id"),
    ("UPDATE songs SET title = CASE isrc WHEN 'i1' THEN 'A song' ELSE 'a SONG' END",
     "songs of one artist whose titles differ by case or blanks alone"),
    ("UPDATE songs SET artist = '' WHERE isrc = 'i1'", "songs without artist, title or canonical id"),
    ("UPDATE spotify_attrs SET popularity = 101 WHERE song_id = (SELECT id FROM songs LIMIT 1)",
     "popularities of songs outside 0 to 100"),
    ("UPDATE spotify_attrs SET duration_ms = -1 WHERE song_id = (SELECT id FROM songs LIMIT 1)",
     "songs shorter than nothing"),
    ("UPDATE lastfm_stats SET playcount = -1 WHERE song_id = (SELECT id FROM songs LIMIT 1)",
     "songs with less than 0 plays or listeners"),
    ("UPDATE aoty_attrs SET user_score = 101 WHERE song_id = (SELECT id FROM songs LIMIT 1)",
     "scores of songs outside 0 to 100"),
]  # fmt: skip


def plant(connection, planted):
    """Each of *planted*, found alone; everything is as before in the end."""
    missed = {}
    for statement, *whats in planted:
        connection.execute(statement)
        findings = [finding for finding in report(connection).findings if finding.count]
        if {finding.check.what: finding.count for finding in findings} != dict.fromkeys(whats, 1):
            missed[statement] = findings
        assert all(finding.example for finding in findings), findings
        connection.rollback()
    return missed


def test_every_planted_fault_is_found_and_nothing_else(sound):
    assert plant(sound, PLANTED) == {}


def test_every_fault_of_songs_is_found_and_nothing_else(with_songs):
    assert plant(with_songs, PLANTED_SONGS) == {}


def test_every_check_finds_what_is_planted_for_it():
    planted = {what for _, *whats in PLANTED + PLANTED_SONGS for what in whats}
    checks = {check.what for one in PASSES for check in one.all_checks()}
    assert planted <= checks
    # Foreign keys stand behind the orphans of these, and the rest are checks of which a like one is planted.
    assert len(checks - planted) <= 10, checks - planted


# --- figures ------------------------------------------------------------------------------------------------------


def test_coverage_is_a_plain_count(with_songs):
    quality = report(with_songs)
    plays = one(with_songs, "SELECT count(*) FROM scrobbles")
    albums = one(with_songs, "SELECT count(*) FROM albums")
    tracks = one(with_songs, "SELECT count(*) FROM tracks")
    of_album_7 = one(with_songs, "SELECT count(*) FROM lastfm_scrobbles WHERE album_name = 'album 7'")
    dated = one(with_songs, "SELECT count(*) FROM lastfm_scrobbles WHERE release_year IS NOT NULL")
    assert 0 < of_album_7 < dated < plays
    assert shares(quality.coverage) == {
        ("Last.fm", "members whom it knows"): (3, 4),
        ("Last.fm", "profiles"): (1, 3),
        ("Last.fm", "friends lists"): (2, 3),  # all pages; nothing to be had; one page of two
        ("Last.fm", "top artists"): (1, 3),
        ("Last.fm", "top albums"): (1, 3),
        ("Last.fm", "top tracks"): (1, 3),
        ("Last.fm", "loved tracks"): (1, 3),
        ("Last.fm", "histories"): (1, 3),
        ("Spotify", "artists"): (1, 90),
        ("Spotify", "tracks"): (1, tracks),
        ("Spotify", "artists, by plays of top-artists lists"): (100, 160),
        ("Spotify", "tracks, by plays"): (of_album_7, plays),
        ("MusicBrainz", "albums with a year"): (
            one(with_songs, "SELECT count(*) FROM album_years WHERE year IS NOT NULL"), albums
        ),
        ("MusicBrainz", "albums with a year, by plays"): (dated, plays),
        ("AOTY", "albums with a score"): (1, albums),
        ("AOTY", "tracks"): (1, tracks),
        ("AOTY", "albums with a score, by plays"): (of_album_7, plays),
        ("AOTY", "tracks, by plays"): (of_album_7, plays),
        ("songs", "tracks that are of a song"): (1, tracks),
        ("songs", "tracks that are of a song, by plays"): (of_album_7, plays),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pages", "finished"),
    [
        ([(200, 1, 500), (200, 2, 500), (200, 3, 500)], True),
        ([(200, 1, 500), (200, 3, 500)], False),
        ([(200, 1, 500), (100, 3, 500), (100, 4, 500), (200, 3, 500)], True),  # one page was too large, and came halved
        ([(200, 1, 500), (100, 3, 500), (200, 3, 500)], False),
        ([(200, 1, 399), (200, 2, 400)], False),  # it changed while it was read
        ([(200, 1, 0)], True),
    ],
)
def test_a_history_is_finished_when_the_view_of_windows_says_so(connection, pages, finished):
    connection.execute("INSERT INTO users (key, name, discovered_at) VALUES ('rj', 'RJ', now())")
    for size, page, total in pages:
        connection.execute(
            """INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at)
               SELECT id, 'user.getRecentTracks', %s, %s, 1, %s, 0, 0, now() FROM users""",
            [f"from=0,limit={size},to=1600000000", page, total],
        )
    assert one(connection, "SELECT bool_and(complete) FROM history_windows") is finished
    assert shares(report(connection).coverage)["Last.fm", "histories"] == (int(finished), 1)


def test_figures_below_their_target_are_marked(sound):
    quality = report(sound)
    rates = shares(quality.match_rates)
    assert rates["Spotify", "artists"] == (1, 2)
    assert rates["Spotify", "tracks"] == (1, 1)
    assert rates["AOTY", "tracks"] == (1, 2)
    assert quality.cache.part == 60
    assert quality.cache.whole == 120
    below = {(figure.service, figure.name) for figure in quality.below}
    assert below == {
        *(key for key, (part, whole) in rates.items() if part < 0.8 * whole),
        ("store", quality.cache.name),
    }
    assert {("Spotify", "artists"), ("AOTY", "tracks")} <= below
    assert all(figure.target is None for figure in quality.coverage)


@pytest.mark.parametrize(("part", "whole", "below"), [(79, 100, True), (80, 100, False), (0, 0, False), (0, 9, True)])
def test_at_the_target_is_not_below(part, whole, below):
    assert Figure("", "", part, whole, 0.8).below is below
    assert not Figure("", "", part, whole).below


def test_matches_by_tier_and_band(sound):
    matched = {(m.kind, m.band, m.tier): m.count for m in report(sound).matched}
    assert matched["artist", "accept", "exact"] == 1
    assert matched["artist", "review", "fuzzy"] == 1
    assert matched["track in AOTY", "accept", "track_match, high"] == 1
    assert matched["track in AOTY", "review", "album_match, low"] == 1
    searched = one(sound, "SELECT count(*) FROM album_searches WHERE band = 'accept'")
    assert matched["album in MusicBrainz", "accept", "fuzzy"] == searched


def test_runs_that_ended_tell_of_cache_and_batches(sound):
    last, first = report(sound).runs
    assert (last.spider, last.cache.share, last.seconds_per_batch) == ("recent_tracks", 0, None)
    assert (first.spider, first.cache.share, first.batches) == ("friends", 0.6, 4)
    assert (first.seconds_per_batch, first.longest_batch) == (0.125, 0.3)


def test_the_pairs_to_read_are_the_same_each_time(sound):
    pairs = report(sound).pairs
    assert pairs == report(sound).pairs
    assert ("artist", "accept", "artist 1", "Artist 1") in {pair[:4] for pair in pairs}
    assert ("artist", "review", "artist 2", "Artist Two") in {pair[:4] for pair in pairs}
    searched = [pair.ours for pair in pairs if pair.kind == "album in MusicBrainz" and pair.band == "accept"]
    names = [
        name for (name,) in sound.execute("SELECT artist || ' - ' || title FROM album_searches WHERE band = 'accept'")
    ]
    assert len(searched) == len(set(searched)) == PAIRS
    assert set(searched) < set(names)
    # In another order of loading they have other ids.
    sound.execute("UPDATE album_searches SET evidence = 'moved' WHERE artist < 'artist 5'")
    assert [pair.ours for pair in report(sound).pairs] == [pair.ours for pair in pairs]


def test_json_and_the_steps(sound):
    steps = []
    quality = report(sound, lambda: steps.append(1))
    assert len(steps) == STEPS
    answer = json.loads(json.dumps(quality.as_json()))
    assert answer["below_target"] == len(quality.below) > 0
    assert answer["faults"] == 0
    assert {"service": "Spotify", "name": "artists", "part": 1, "whole": 2, "share": 0.5, "target": 0.8,
            "below_target": True} in answer["match_rates"]  # fmt: skip
    assert answer["runs"][1]["cache_hits"]["below_target"] is True


def test_the_record_of_a_run_does_without_what_takes_too_long(sound, monkeypatch):
    run = RunFigures.of("1", "friends", {"httpcache/hit": 3, "httpcache/miss": 1})
    record = for_record(sound, run)
    assert record["cache_hits"]["share"] == 0.75
    assert {figure["name"]: figure["part"] for figure in record["coverage"]}["friends lists"] == 2
    monkeypatch.setattr("lastfm_crawl.warehouse.figures._COVERAGE", "SELECT pg_sleep(9)")
    monkeypatch.setattr("lastfm_crawl.warehouse.figures.PATIENCE", 20)
    sound.commit()
    assert for_record(sound, run) == run.as_json()
    assert one(sound, "SELECT 1") == 1
