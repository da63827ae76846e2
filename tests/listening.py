"""Plays and the years of their albums, put into a warehouse by SQL."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import psycopg

#: When, artist, album ("" is none).
Play = tuple[str, str, str]
#: Release year and status of an album by artist and name.
Years = Mapping[tuple[str, str], tuple[int | None, str]]

_VIEW = """
CREATE TABLE IF NOT EXISTS test_years (album_id integer PRIMARY KEY, status text, release_year integer);
CREATE OR REPLACE VIEW lastfm_scrobbles AS
SELECT u.name AS username, s.at AS scrobbled_at, t.name AS track_name, a.name AS artist_name, al.name AS album_name,
       nullif(r.track_mbid, '') AS track_mbid, nullif(r.artist_mbid, '') AS artist_mbid,
       nullif(al.mbid, '') AS album_mbid, y.release_year, coalesce(y.status, 'pending') AS augmentation_status
FROM scrobbles s
JOIN users u ON u.id = s.user_id
JOIN tracks t ON t.id = s.track_id
JOIN artists a ON a.id = t.artist_id
JOIN recordings r ON r.id = s.recording_id
LEFT JOIN albums al ON al.id = r.album_id
LEFT JOIN test_years y ON y.album_id = al.id
"""


def listen(connection: psycopg.Connection, user: str, plays: Iterable[Play]) -> None:
    """*user* is a member and played *plays*: one track an album, named after it."""
    connection.execute(
        "INSERT INTO users (key, name, discovered_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING",
        [user.lower(), user],
    )
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS plays (at timestamptz, artist text, album text)")
    connection.execute("TRUNCATE plays")
    with connection.cursor().copy("COPY plays FROM STDIN") as copy:
        for play in plays:
            copy.write_row(play)
    for statement in (
        "INSERT INTO artists (name) SELECT DISTINCT artist FROM plays ON CONFLICT DO NOTHING",
        """INSERT INTO tracks (artist_id, name)
           SELECT DISTINCT a.id, p.album || ' song' FROM plays p JOIN artists a ON a.name = p.artist
           ON CONFLICT DO NOTHING""",
        """INSERT INTO albums (artist_id, name, mbid)
           SELECT DISTINCT a.id, p.album, '' FROM plays p JOIN artists a ON a.name = p.artist WHERE p.album <> ''
           ON CONFLICT DO NOTHING""",
        """INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid)
           SELECT DISTINCT t.id, coalesce(al.id, 0), '', ''
           FROM plays p JOIN artists a ON a.name = p.artist
           JOIN tracks t ON t.artist_id = a.id AND t.name = p.album || ' song'
           LEFT JOIN albums al ON al.artist_id = a.id AND al.name = p.album
           ON CONFLICT DO NOTHING""",
    ):
        connection.execute(statement)
    connection.execute(
        """INSERT INTO scrobbles (user_id, track_id, at, recording_id, seen_at)
           SELECT u.id, t.id, p.at, r.id, now()
           FROM plays p JOIN users u ON u.key = %s
           JOIN artists a ON a.name = p.artist JOIN tracks t ON t.artist_id = a.id AND t.name = p.album || ' song'
           JOIN recordings r ON r.track_id = t.id""",
        [user.lower()],
    )
    connection.commit()


def date_albums(connection: psycopg.Connection, years: Years) -> None:
    """The albums named came out in these years; those not named are pending."""
    row = connection.execute("SELECT to_regclass('album_matches') IS NOT NULL").fetchone()
    table = "album_matches" if row and row[0] else "test_years"
    if table == "test_years":
        connection.execute(_VIEW)
    for (artist, album), (year, status) in years.items():
        connection.execute(
            f"""INSERT INTO {table} (album_id, status, release_year)
                SELECT al.id, %s, %s FROM albums al JOIN artists a ON a.id = al.artist_id
                WHERE a.name = %s AND al.name = %s""",
            [status, year, artist, album],
        )
    connection.commit()


def three_listeners(connection: psycopg.Connection) -> None:
    """RJ, Ann and Bob play from 300 albums over three years; most of the albums are dated, each reason occurs."""
    rng = random.Random(7)
    albums = [(f"artist {n % 90}", f"album {n}") for n in range(300)]
    chosen_from = [*albums, *[("artist 1", "")] * 9]
    start = datetime(2015, 6, 1, tzinfo=UTC)
    for user in ("RJ", "Ann", "Bob"):
        times = (start + timedelta(minutes=600 * n) for n in range(1500))
        listen(connection, user, [(f"{at:%Y-%m-%d %H:%M}Z", *rng.choice(chosen_from)) for at in times])
    statuses = ["matched"] * 6 + ["fuzzy_matched", "not_found", "undated"]
    chosen = {}
    for album in albums[:270]:
        status = rng.choice(statuses)
        year = rng.choice([1927, 1964, *range(1977, 2016)]) if "matched" in status else None
        chosen[album] = (year, "matched" if status == "undated" else status)
    date_albums(connection, chosen)
