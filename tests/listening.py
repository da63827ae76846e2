"""Plays and the years of their albums, put into a warehouse by SQL."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import psycopg

#: When, artist, album ("" is none).
Play = tuple[str, str, str]
#: Release year and status of an album by artist and name.
Years = Mapping[tuple[str, str], tuple[int | None, str]]


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
    for (artist, album), (year, status) in years.items():
        mbid = str(uuid5(NAMESPACE_URL, f"{artist}/{album}"))
        values = {"artist": artist, "album": album, "mbid": mbid, "year": year, "status": status}
        if status != "not_found":
            connection.execute(
                """INSERT INTO release_groups
                   (mbid, title, artist, year, primary_type, secondary_types, source, fetched_at)
                   VALUES (%(mbid)s, %(album)s, %(artist)s, %(year)s, 'Album', '{}', 'web', now())""",
                values,
            )
        if status == "matched":
            connection.execute("INSERT INTO releases VALUES (%(mbid)s, %(mbid)s, %(mbid)s, now(), now())", values)
            connection.execute(
                """UPDATE albums al SET mbid = %(mbid)s FROM artists a
                   WHERE a.id = al.artist_id AND a.name = %(artist)s AND al.name = %(album)s""",
                values,
            )
            continue
        connection.execute(
            """INSERT INTO album_searches
               (artist, title, group_mbid, band, tier, score, runner_up, evidence, normaliser, first_searched_at,
                searched_at)
               SELECT %(artist)s, %(album)s, g.mbid, CASE WHEN g.mbid IS NULL THEN 'reject' ELSE 'accept' END,
                      'fuzzy', 0.9, 0, '', 1, now(), now()
               FROM (SELECT) one LEFT JOIN release_groups g ON g.mbid = %(mbid)s""",
            values,
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
