"""Rows for every table, in the SQL of the migration that made it: what a warehouse of that time may hold.

A new table gets its rows here, under the first four digits of its migration.
"""

from __future__ import annotations

import psycopg

NAME = "Zażółć 🎧 '\"\\\t\n\x01 ﷽"  # what dumps have to escape
BIG = 9_223_372_036_854_775_807

ROWS = {
    "0001": f"""
        INSERT INTO users (key, name, realname, playcount, seed_no, crawl_depth, discovered_at, registered_at) VALUES
            ('rj', 'RJ', %(name)s, {BIG}, 1, 0, '2026-01-02 03:04:05.678901Z', '-infinity'),
            ('ßoë', 'ẞOë', '', NULL, NULL, NULL, NULL, NULL);
        UPDATE users SET crawl_seed = 1;
        INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, skipped, fetched_at) VALUES
            (1, 'user.getFriends', 'limit=50', 1, 1, 1, 1, 1, '{{}}', '2026-01-02Z'),
            (1, 'user.getTopArtists', 'limit=1000,period=overall', 1, 1, 2, 3, 2, '{{"no name": 1}}', '2026-01-03Z');
        INSERT INTO friendships VALUES (1, 2, 0);
        INSERT INTO artists (name) VALUES (%(name)s), ('Cher'), (''), (repeat('長', 700));
        INSERT INTO user_artists VALUES (2, 1, 1, 2147483647), (2, 2, 2, 0);
        INSERT INTO runs (id, spider, arguments, started_at, members_before, stats) VALUES
            ('20260101T000000Z-abc', 'friends', jsonb_build_object('seeds', %(name)s::text), now(), 0,
             jsonb_build_object('long', repeat('ab', 100000)));
    """,
    "0002": "UPDATE fetches SET bytes = 4000000000 WHERE id = 1;",
    "0003": """
        INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at) VALUES
            (1, 'user.getRecentTracks', 'from=0,limit=200,to=1800000000', 1, 1, 1, 1, 1, '2026-01-02Z'),
            (1, 'user.getTopTracks', 'limit=1000,period=overall', 1, 1, 1, 1, 1, '2026-01-02Z'),
            (1, 'user.getLovedTracks', 'limit=1000', 1, 1, 1, 1, 1, '2026-01-02Z');
        INSERT INTO tracks (artist_id, name) VALUES (1, %(name)s), (2, 'Believe');
        INSERT INTO albums (artist_id, name, mbid) VALUES (2, 'Believe', ''), (1, %(name)s, 'ABC');
        INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid) VALUES (1, 2, '', ''), (2, 1, 'm', 't');
        INSERT INTO scrobbles VALUES (1, 1, '2020-02-29 23:59:59Z', 1, now()), (1, 2, '2002-01-01Z', 2, now());
        INSERT INTO named_tracks VALUES (3, '{1,2}');
        INSERT INTO user_tracks VALUES (4, 2, 2, 1, 12);
        INSERT INTO loved_tracks VALUES (5, 1, 1, NULL);
    """,
    "0004": """
        INSERT INTO lookups VALUES ('musicbrainz.release', 'abc', '', 'ok', 1, '{}', now(), 12);
        INSERT INTO service_states VALUES ('spotify', 'infinity', 'rate limit', 'extended');
    """,
    "0006": """
        INSERT INTO catalogue_imports (kind, source, rows, imported_at) VALUES ('artists', 'a.csv', 12, now());
        INSERT INTO spotify_artists VALUES ('s1', %(name)s, 'k', 50, 12, 'catalogue', now());
        INSERT INTO spotify_tracks (id, name, key, artist_ids, artist_names, explicit, source, fetched_at)
            VALUES ('t1', 'Believe', 'k', '{a,b}', ARRAY[%(name)s, NULL, ''], true, 'api', now());
        INSERT INTO spotify_aliases VALUES ('t0', 't1');
        INSERT INTO artist_matches (artist_id, spotify_id, band, tier, score, runner_up, evidence, source, normaliser,
                                    catalogue, matched_at)
            VALUES (1, 's1', 'accept', 'exact', 0.9, 0.3, 'equal', 'catalogue', 1, 1, now());
        INSERT INTO track_matches (track_id, spotify_id, band, tier, score, runner_up, evidence, source, normaliser,
                                   catalogue, matched_at)
            VALUES (2, 't1', 'accept', 'exact', 1, 0.1, 'equal', 'catalogue', 1, 1, now());
        INSERT INTO spotify_top_artists VALUES (1, 1, 's1', 'A', 3);
        INSERT INTO spotify_top_tracks VALUES (1, 1, 't1', 'A', 'T', NULL);
    """,
    "0007": """
        INSERT INTO release_groups VALUES
            ('g', 'Believe', 'Cher', 1998, 10, NULL, 'Album', '{Live,Remix}', 'web', now());
        INSERT INTO releases VALUES ('abc', 'abd', 'g', now(), now());
        INSERT INTO album_searches (artist, title, group_mbid, band, tier, score, runner_up, evidence, normaliser,
                                    first_searched_at, searched_at)
            VALUES ('Cher', 'Believe', 'g', 'accept', 'exact', 0.95, 0.2, '', 1, now(), now());
    """,
    "0008": """
        INSERT INTO aoty_albums (id, url, title, artists, artist_key, critic_score_exact, source, fetched_at)
            VALUES (7, 'https://example.org/7', 'Believe', '{Cher}', 'cher', 61.1234, 'page', now());
        INSERT INTO aoty_tracks (album_id, place, disc, title) VALUES (7, 1, 1, 'Believe');
        INSERT INTO aoty_album_matches VALUES (1, 7, 'accept', 'exact', 1, 0, '', 1, now());
        INSERT INTO aoty_track_matches (track_id, aoty_id, place, match_type, confidence, score, reason, normaliser,
                                        matched_at)
            VALUES (2, 7, 1, 'track_match', 'high', 0.9, 'equal', 1, now());
    """,
    "0009": """
        INSERT INTO track_tags VALUES (2, '[{"name": "pop", "count": 100}]', now());
        INSERT INTO song_aliases VALUES ('cher|believe', '00000000-0000-5000-8000-000000000001',
                                         '00000000-0000-5000-8000-000000000001', now());
        INSERT INTO songs VALUES ('00000000-0000-5000-8000-000000000001', 2, 'Cher', 'Believe', 'cher|believe',
                                  NULL, 't1', NULL, now(), now());
        INSERT INTO song_tracks VALUES (2, '00000000-0000-5000-8000-000000000001', 'best', 'cher|believe');
        INSERT INTO spotify_attrs (song_id, duration_ms) VALUES ('00000000-0000-5000-8000-000000000001', 238000);
        INSERT INTO lastfm_stats VALUES ('00000000-0000-5000-8000-000000000001', 12, 1, '[]');
        INSERT INTO aoty_attrs VALUES ('00000000-0000-5000-8000-000000000001', 7, 1, 'track', 88, 3, 61.1, 70, '[]',
                                       '["Pop"]');
    """,
    "0010": """
        INSERT INTO ml.song_vectors VALUES ('00000000-0000-5000-8000-000000000001',
            (SELECT array_agg(1 / g::real) FROM generate_series(1, 128) g), 'test', now());
    """,
    "0011": r"""
        INSERT INTO tastes VALUES (1, 12345678901234567890.5, '\x0000000100000002', '\x00ff', '{1,2}');
        INSERT INTO artist_keys VALUES (1, 'zazolc', 1);
    """,
    "0012": """
        INSERT INTO sinks VALUES ('bigquery', 'project.dataset', '{users}');
        INSERT INTO sink_backlog (sink, kind, user_id) VALUES ('bigquery', 'users', 1), ('bigquery', 'users', 0);
        INSERT INTO sink_sent VALUES ('bigquery', 'users', 1, 'RJ', 1, 1e30);
    """,
    "0013": """
        INSERT INTO fetch_jobs (scope, username, status, phase, run_id, started_at, updated_at)
            VALUES ('recent_tracks', 'RJ', 'completed', 'fetching', 'r', now(), now());
    """,
    "0014": """
        INSERT INTO paces (name, turn_at, gap) VALUES ('example.org', now(), 1);
        INSERT INTO pace_takers VALUES ('example.org', 't', 1, now());
    """,
    "0015": "INSERT INTO forgotten VALUES ('00ff', 'ff00');",
    "0018": "INSERT INTO earlier_answers VALUES (1, 'user.getInfo', 'not_found', %(name)s, '2025-01-02Z');",
}


def fill(connection: psycopg.Connection, migrations: list[str]) -> None:
    """Put in the rows of *migrations*, which are named by their ids and were applied."""
    for migration in migrations:
        if statements := ROWS.get(migration[:4]):
            # One string of many statements takes no parameters.
            text = psycopg.ClientCursor(connection).mogrify(statements, {"name": NAME})
            connection.execute(text)


def tables(connection: psycopg.Connection) -> list[str]:
    """The names of all tables but those of the migrations themselves."""
    query = """
        SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname IN ('public', 'ml') AND tablename NOT LIKE '%yoyo%' ORDER BY 1
    """
    return [name for (name,) in connection.execute(query)]


def everything(url: str) -> dict[str, list[str]]:
    """All rows of all tables and the number of rows of all views, as text."""
    with psycopg.connect(url) as connection:
        found = {
            name: [row for (row,) in connection.execute(f"SELECT t::text FROM {name} t ORDER BY 1")]
            for name in tables(connection)
        }
        views = "SELECT format('%I.%I', schemaname, viewname) FROM pg_views WHERE schemaname IN ('public', 'ml')"
        for (name,) in connection.execute(views).fetchall():
            found[name] = [row for (row,) in connection.execute(f"SELECT t::text FROM {name} t ORDER BY 1")]
        comments = "SELECT obj_description(c.oid) FROM pg_class c WHERE obj_description(c.oid) <> '' ORDER BY 1"
        found["comments"] = [row for (row,) in connection.execute(comments)]
    return found
