"""Matches: what is believed, what gives way, and what is looked for again."""

from __future__ import annotations

import psycopg
import pytest

from lastfm_crawl.items import SpotifyArtist, SpotifyTrack
from lastfm_crawl.matching.names import Match
from lastfm_crawl.warehouse import artist_matches, catalogue, matches, track_matches
from lastfm_crawl.warehouse.migrate import migrate

DAY = 86_400.0


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


def add_artists(connection, *names) -> dict[str, int]:
    connection.execute("INSERT INTO artists (name) SELECT unnest(%s::text[])", [list(names)])
    return dict(connection.execute("SELECT name, id FROM artists").fetchall())


def add_catalogue(connection, *artists) -> int:
    with connection.cursor() as cursor:
        catalogue.save_artists(cursor, [SpotifyArtist(*artist) for artist in artists], "catalogue", 1000)
    return matches.record_import(connection, "artists", "test", len(artists))


def found(connection) -> dict[str, tuple]:
    rows = connection.execute(
        "SELECT a.name, m.spotify_id, m.tier, m.band FROM artist_matches m JOIN artists a ON a.id = m.artist_id"
    )
    return {name: tuple(rest) for name, *rest in rows}


def match(identity="x", band="accept", tier="exact", score=1.0):
    return Match(identity if band != "reject" else None, "name", tier, score, 0.25, "evidence", band)


def test_equal_names_are_matched_without_the_whole_catalogue(connection):
    add_catalogue(
        connection, ("b1", "BJÖRK", 80), ("b2", "Björk", 10), ("s", "Sigur Ros", 60), ("e", "Earth, Wind & Fire", 70),
        ("q", "Queen", 90), ("k", "Kino", 30), ("sg", "Simon & Garfunkel", 50),
    )  # fmt: skip
    names = (
        "björk",
        "Sigur Rós",
        "earth wind and fire",
        "Queen feat. David Bowie",
        "Nobody",
        "Simon & Garfunkel",
        "Qeen",
    )
    add_artists(connection, *names)
    believed = artist_matches.match_equals(connection, matches.new_artists(connection, 0))
    result = found(connection)
    assert result["björk"] == ("b1", "exact", "accept")  # LOWER(name) = LOWER(name), the most popular of several
    assert result["Sigur Rós"][:2] == ("s", "strong")
    assert result["earth wind and fire"][0] == "e"
    assert result["Queen feat. David Bowie"][:2] == ("q", "credit")
    assert result["Simon & Garfunkel"] == ("sg", "exact", "accept")
    assert result["Nobody"] == (None, "none", "reject")
    assert result["Qeen"] == (None, "none", "reject")  # a typo wants the whole catalogue
    assert believed == sum(band == "accept" for _, _, band in result.values())
    assert matches.new_artists(connection, 0) == []


def test_the_whole_catalogue_finds_typos_and_no_decoys(connection):
    version = add_catalogue(connection, ("r", "Radiohead", 80), ("m", "Metallica", 80), ("b", "Blink-182", 70))
    ids = add_artists(connection, "Radioheaad", "metalica", "Blink 183", "Radiator", "Something Else")
    index = artist_matches.whole_index(connection)
    left = matches.left_to_match(connection, "artist", version)
    assert left == sorted(ids.values())
    artist_matches.match_artists(connection, index, artist_matches.artists_named(connection, left), catalogue=version)
    result = found(connection)
    assert {name: row[0] for name, row in result.items() if row[2] == "accept"} == {"Radioheaad": "r", "metalica": "m"}


def test_what_is_unsure_is_looked_for_again_when_the_catalogue_or_the_forms_change(connection):
    version = add_catalogue(connection, ("a", "Sure"))
    ids = add_artists(connection, "Sure", "Unsure", "Never")
    matches.save_matches(connection, "artist", {ids["Sure"]: match()}, "catalogue", catalogue=version)
    matches.save_matches(connection, "artist", {ids["Unsure"]: match(band="reject")}, "catalogue", catalogue=version)
    assert matches.left_to_match(connection, "artist", version) == [ids["Never"]]
    assert matches.left_to_match(connection, "artist", version + 1) == [ids["Unsure"], ids["Never"]]
    assert len(matches.left_to_match(connection, "artist", version, again=True)) == 3
    connection.execute("UPDATE artist_matches SET normaliser = normaliser - 1")
    assert matches.left_to_match(connection, "artist", version) == [ids["Unsure"], ids["Never"]]


def test_a_doubt_never_takes_the_place_of_what_is_believed(connection):
    ids = add_artists(connection, "A")
    save = matches.save_matches
    save(connection, "artist", {ids["A"]: match("x")}, "catalogue", catalogue=1)
    save(connection, "artist", {ids["A"]: match("y", band="review", tier="fuzzy", score=0.9)}, "catalogue", catalogue=2)
    save(connection, "artist", {ids["A"]: match(band="reject", tier="none", score=0)}, "search", searched_at=1000)
    row = connection.execute(
        "SELECT spotify_id, band, catalogue, searched_at IS NOT NULL FROM artist_matches"
    ).fetchone()
    assert row == ("x", "accept", 2, True)
    save(connection, "artist", {ids["A"]: match("z")}, "search", searched_at=2000)
    assert found(connection)["A"][0] == "z"


def test_a_row_says_why(connection):
    ids = add_artists(connection, "A")
    matches.save_matches(connection, "artist", {ids["A"]: match(score=0.75)}, "catalogue", catalogue=3)
    row = connection.execute(
        "SELECT tier, score, runner_up, gap, evidence, normaliser >= 1, catalogue, source FROM artist_matches"
    ).fetchone()
    assert row == ("exact", 0.75, 0.25, 0.5, "evidence", True, 3, "catalogue")


def searches_due(connection, at) -> int:
    return len(artist_matches.artists_to_search(connection, at))


def test_searches_in_vain_are_repeated_after_a_day_doubling_to_32(connection):
    ids = add_artists(connection, "A")
    at, waited = 1_000_000.0, []
    for _ in range(9):
        assert searches_due(connection, at) == 1
        lost = {ids["A"]: match(band="reject", tier="none", score=0)}
        matches.save_matches(connection, "artist", lost, "search", searched_at=at)
        days = next(day for day in range(1, 100) if searches_due(connection, at + day * DAY))
        assert not searches_due(connection, at + days * DAY - 60)
        waited.append(days)
        at += days * DAY
    assert waited == [1, 1, 2, 4, 8, 16, 32, 32, 32]


def test_searches_begin_with_the_most_played(connection):
    ids = add_artists(connection, "rare", "loved", "matched", "never played")
    connection.execute(
        "INSERT INTO user_artists VALUES (1, %s, 1, 5), (1, %s, 2, 50), (2, %s, 1, 60), (1, %s, 3, 900)",
        [ids["rare"], ids["loved"], ids["rare"], ids["matched"]],
    )
    matches.save_matches(connection, "artist", {ids["matched"]: match()}, "catalogue")
    asked = artist_matches.artists_to_ask(connection, artist_matches.artists_to_search(connection, 0), 0)
    assert [artist.name for artist in asked] == ["rare", "loved", "never played"]


def test_a_search_is_judged_by_the_names_not_by_its_order(connection):
    add_artists(connection, "Queen", "Prince")
    tribute = [SpotifyArtist("t", "Queen Tribute Band", 90), SpotifyArtist("q", "QUEEN", 10)]
    artist_matches.judge_search(connection, "Queen", tribute, 1000)
    artist_matches.judge_search(connection, "Prince", [SpotifyArtist("p", "Prince Royce", 99)], 1000)
    result = found(connection)
    assert result["Queen"] == ("q", "exact", "accept")
    assert result["Prince"][2] != "accept"
    assert set(result) == {"Queen", "Prince"}


def add_tracks(connection, *tracks) -> dict[tuple[str, str], int]:
    artists = add_artists(connection, *dict.fromkeys(artist for artist, _ in tracks))
    for artist, title in tracks:
        connection.execute("INSERT INTO tracks (artist_id, name) VALUES (%s, %s)", [artists[artist], title])
    rows = connection.execute("SELECT a.name, t.name, t.id FROM tracks t JOIN artists a ON a.id = t.artist_id")
    return {(artist, title): identity for artist, title, identity in rows}


CATALOGUE = [
    SpotifyTrack("live", "One (Live)", (), ("U2",), popularity=99),
    SpotifyTrack("one", "One", (), ("U2",), album_type="album", popularity=70, isrc="I1"),
    SpotifyTrack("single", "One", (), ("U2",), album_type="single", popularity=80, isrc="I1"),
    SpotifyTrack("karaoke", "One (Karaoke Version)", (), ("The Karaoke Channel",), popularity=95),
    SpotifyTrack("other", "One", (), ("Metallica",), popularity=85),
    SpotifyTrack("remaster", "Heroes - 2017 Remaster", (), ("David Bowie",), popularity=90),
    SpotifyTrack("long", "A Whiter Shade of Pale", (), ("Procol Harum",), popularity=60),
]


def test_tracks_find_their_recording(connection):
    with connection.cursor() as cursor:
        catalogue.save_tracks(cursor, CATALOGUE, "catalogue", 1000)
    version = matches.record_import(connection, "tracks", "test", len(CATALOGUE))
    ids = add_tracks(
        connection, ("U2", "One"), ("David Bowie", "Heroes"), ("Procol Harum", "A Whiter Shade Of Pale"),
        ("Nobody", "Nothing at all"), ("U2", "Two"),
    )  # fmt: skip
    left = matches.left_to_match(connection, "track", version)
    whole = track_matches.whole_tracks(connection)
    track_matches.match_tracks(connection, whole, matches.tracks_named(connection, left), catalogue=version)
    rows = connection.execute("SELECT track_id, spotify_id, band FROM track_matches").fetchall()
    result = {identity: (spotify, band) for identity, spotify, band in rows}
    assert result[ids["U2", "One"]] == ("single", "accept")  # the best known release of the recording
    assert result[ids["David Bowie", "Heroes"]] == ("remaster", "accept")  # a remaster is the song
    assert result[ids["Procol Harum", "A Whiter Shade Of Pale"]] == ("long", "accept")
    assert result[ids["Nobody", "Nothing at all"]][1] == "reject"
    assert result[ids["U2", "Two"]][1] != "accept"


def test_a_search_for_a_track_passes_karaoke_and_live_by(connection):
    ids = add_tracks(connection, ("U2", "One"), ("U2", "Bad"))
    track_matches.judge_search(connection, "U2", "One", CATALOGUE, 1000)
    track_matches.judge_search(connection, "U2", "Bad", [SpotifyTrack("l", "Bad - Live", (), ("U2",))], 1000)
    rows = connection.execute("SELECT track_id, spotify_id, band FROM track_matches").fetchall()
    result = {identity: (spotify, band) for identity, spotify, band in rows}
    assert result[ids["U2", "One"]] == ("single", "accept")
    assert result[ids["U2", "Bad"]][1] != "accept"


def test_the_view_shows_what_is_believed_and_nothing_else(connection):
    version = add_catalogue(connection, ("q", "QUEEN", 90))
    ids = add_artists(connection, "Queen", "Doubt")
    connection.execute("INSERT INTO users (key, name, discovered_at) VALUES ('u', 'U', now())")
    connection.execute(
        "INSERT INTO fetches (user_id, method, params, page, pages, total, received, stored, fetched_at)"
        " SELECT id, 'user.getTopArtists', 'limit=1000,period=overall', 1, 1, 2, 2, 2, now() FROM users"
    )
    connection.execute(
        "INSERT INTO user_artists SELECT id, %s, 1, 9 FROM fetches UNION ALL SELECT id, %s, 2, 8 FROM fetches",
        [ids["Queen"], ids["Doubt"]],
    )
    index = artist_matches.whole_index(connection)
    artist_matches.match_artists(connection, index, artist_matches.artists_named(connection, [ids["Queen"]]))
    doubt = {ids["Doubt"]: match("q", band="review", tier="fuzzy", score=0.8)}
    matches.save_matches(connection, "artist", doubt, "catalogue", catalogue=version)
    rows = connection.execute(
        "SELECT artist_name, spotify_artist_id, spotify_artist_name, match_confidence FROM lastfm_user_artists"
    ).fetchall()
    assert sorted(rows) == [("Doubt", None, None, None), ("Queen", "q", "QUEEN", 1.0)]


def test_the_counts_are_those_of_a_plain_look(connection):
    ids = add_artists(connection, "a", "b", "c")
    matches.save_matches(connection, "artist", {ids["a"]: match()}, "catalogue")
    matches.save_matches(connection, "artist", {ids["b"]: match(band="review")}, "catalogue")
    connection.execute("INSERT INTO user_artists VALUES (1, %s, 1, 30), (1, %s, 2, 10)", [ids["a"], ids["c"]])
    counts = matches.match_counts(connection, "artist")
    assert (counts.all, counts.accepted, counts.review, counts.tiers) == (3, 1, 1, [("exact", 1)])
    assert (counts.plays, counts.plays_accepted) == (40, 30)
