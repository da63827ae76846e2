"""Crawls that ask Spotify: matches that can be believed, in both modes of its quota, whatever it answers."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from test_crawl import succeed

from lastfm_crawl.sandbox import Faults, World, serve
from lastfm_crawl.sandbox.world import ArtistPlays, TrackPlays

SECRET = "canary0spotify0secret"
PLAYED = {"Radiohead": 900, "Björk": 800, "The Beatles": 700, "Nina Simone": 600, "Portishead": 500, "Kraftwerk": 400}
BANDS = """
SELECT a.name, m.band, s.name FROM artist_matches m JOIN artists a ON a.id = m.artist_id
LEFT JOIN spotify_artists s ON s.id = m.spotify_id
"""


def world():
    rows = [ArtistPlays(name, plays) for name, plays in PLAYED.items()]
    tracks = [TrackPlays(name, f"Song {number} of {name}", 10 - number) for name in PLAYED for number in range(1, 3)]
    return replace(World.of({"rj": []}, {"rj": rows}), tracks={"rj": tracks})


@pytest.fixture
def spotify(project):
    """A sandbox with Spotify, and a project that has its user's lists and may ask there."""
    with serve(world(), Faults()) as sandbox:
        project.url = sandbox.url
        project.environment = {
            "SPOTIFY_API_URL": sandbox.spotify_url,
            "SPOTIFY_TOKEN_URL": sandbox.spotify_token_url,
            "SPOTIFY_CLIENT_ID": "client",
            "SPOTIFY_CLIENT_SECRET": SECRET,
        }
        succeed(project.crawl("top_artists", users="rj"))
        yield sandbox


def searches(sandbox) -> int:
    return len(sandbox.calls("spotify.search"))


def test_unmatched_artists_are_searched_once_most_played_first(project, spotify):
    succeed(project.crawl("spotify_artists", settings={"CONCURRENT_REQUESTS": 1}))
    asked = [call.params["q"] for call in spotify.calls("spotify.search")]
    assert [text.removeprefix('artist:"').rstrip('"') for text in asked] == list(PLAYED)
    assert all(int(call.params["limit"]) <= 10 for call in spotify.calls("spotify.search"))
    bands = {name: (band, spotify) for name, band, spotify in project.query(BANDS)}
    assert set(bands) == set(PLAYED)
    believed = {name: found for name, (band, found) in bands.items() if band == "accept"}
    assert len(believed) >= 4  # one may be missing there
    assert all(
        found.casefold().removeprefix("the ") in name.casefold() or "ö" in name for name, found in believed.items()
    )
    shown = project.query(
        "SELECT artist_name, spotify_artist_name, match_confidence FROM lastfm_user_artists"
        " WHERE spotify_artist_id <> ''"
    )
    assert {name: found for name, found, _ in shown} == believed
    assert all(0.8 < confidence <= 1 for _, _, confidence in shown)

    before = len(spotify.log)
    succeed(project.crawl("spotify_artists"))  # what was searched for in vain is left in peace for a day
    assert len(spotify.log) == before


def test_a_limit_stops_the_searches_and_the_next_run_goes_on(project, spotify):
    succeed(project.crawl("spotify_artists", limit=2))
    assert searches(spotify) == 2
    succeed(project.crawl("spotify_artists"))
    assert searches(spotify) == len(PLAYED)


def test_a_dropped_warehouse_gets_its_matches_back_from_the_store(project, spotify, database_url):
    succeed(project.crawl("spotify_artists"))
    view = "SELECT * FROM lastfm_user_artists ORDER BY artist_name"
    before, asked = project.query(view), len(spotify.log)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "all"))
    assert project.query(view) == before
    assert len(spotify.log) == asked
    assert project.query("SELECT count(*) FROM lookups") == [(len(PLAYED),)]


def test_tracks_bring_what_spotify_knows_of_them(project, spotify):
    succeed(project.crawl("top_tracks", users="rj"))
    succeed(project.crawl("spotify_tracks", limit=8))
    rows = project.query(
        "SELECT s.isrc, s.duration_ms, s.release_date, s.release_precision, s.track_number, s.explicit, s.album_name"
        " FROM track_matches m JOIN spotify_tracks s ON s.id = m.spotify_id WHERE m.band = 'accept'"
    )
    assert len(rows) >= 4
    for isrc, duration, released, precision, number, explicit, album in rows:
        assert len(isrc) == 12
        assert duration > 0
        assert len(released) == {"year": 4, "month": 7, "day": 10}[precision]
        assert number >= 1
        assert explicit in {True, False}
        assert album


@pytest.mark.parametrize("mode", ["development", "extended"])
def test_matched_ids_are_looked_up_one_by_one_or_in_batches(project, spotify, mode, tmp_path):
    succeed(project.crawl("spotify_artists"))
    ids = [row for (row,) in project.query("SELECT spotify_id FROM artist_matches WHERE band = 'accept'")]
    project.execute("DELETE FROM spotify_artists")
    spotify.spotify.mode = mode
    succeed(project.crawl("spotify_artists"))
    assert len(spotify.calls("spotify.artists")) == 1  # tried once
    assert len(spotify.calls("spotify.artist")) == (len(ids) if mode == "development" else 0)
    assert project.query("SELECT mode FROM service_states WHERE service = 'spotify'") == [(mode,)]
    assert project.query("SELECT count(*) FROM spotify_artists WHERE id = ANY(%s)", ids) == [(len(ids),)]

    project.execute("DELETE FROM spotify_artists")
    store = project.data / "store" / "requests" / "spotify"
    subprocess.run(["rm", "-r", store / "artist", store / "artists"], check=False)
    succeed(project.crawl("spotify_artists"))
    # The mode is remembered: an endpoint that went is never asked again.
    assert len(spotify.calls("spotify.artists")) == (1 if mode == "development" else 2)


@pytest.mark.parametrize("kind", ["expired_token", "rate_limit_short", "html_502", "drop", "truncated", "null_items"])
def test_what_goes_wrong_in_between_costs_nothing(project, spotify, kind):
    spotify.faults.script("spotify.search", kinds=[kind], times=2, pass_first=1)
    succeed(project.crawl("spotify_artists"))
    assert {name for name, _, _ in project.query(BANDS)} == set(PLAYED)


def test_one_worn_out_token_is_renewed_once_for_all(project, spotify):
    spotify.faults.script("spotify.search", kinds=["expired_token"], pass_first=2)
    succeed(project.crawl("spotify_artists"))
    assert len(spotify.calls("spotify.token")) == 2


@pytest.mark.parametrize("kind", ["rate_limit_long", "quota_exceeded"])
def test_a_long_wait_ends_the_run_and_is_remembered(project, spotify, kind):
    spotify.faults.script("spotify.search", kinds=[kind], pass_first=2)
    result = project.crawl("spotify_artists", settings={"CONCURRENT_REQUESTS": 1})
    assert result.returncode == 4
    assert "asks to be left alone until" in result.stderr
    asked = searches(spotify)
    ((hours,),) = project.query("SELECT extract(epoch FROM not_before - now()) / 3600 FROM service_states")
    assert 23 < hours <= 24

    again = project.crawl("spotify_artists")
    assert again.returncode == 4
    assert searches(spotify) == asked

    project.execute("UPDATE service_states SET not_before = now() - interval '1 second'")
    succeed(project.crawl("spotify_artists"))
    assert {name for name, _, _ in project.query(BANDS)} == set(PLAYED)
    assert searches(spotify) == asked + len(PLAYED) - 2


def test_a_refused_app_is_one_line(project, spotify):
    project.environment["SPOTIFY_CLIENT_SECRET"] = "invalid-secret"
    result = project.crawl("spotify_artists")
    assert result.returncode == 3
    assert "SPOTIFY_CLIENT_SECRET" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("missing", ["SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET"])
def test_without_credentials_nothing_begins(project, spotify, missing):
    project.environment[missing] = ""
    result = project.crawl("spotify_artists")
    assert result.returncode == 2
    assert f"{missing} is not set" in result.stderr.splitlines()[-1]
    assert not searches(spotify)


def test_the_secret_and_the_tokens_are_nowhere(project, spotify):
    spotify.faults.script("spotify.search", kinds=["expired_token", "html_502"], pass_first=1)
    result = project.crawl("spotify_artists", settings={"LOG_LEVEL": "DEBUG", "JOBDIR": project.data / "job"})
    succeed(result)
    for hidden in (SECRET, "Bearer "):
        assert hidden not in result.stderr + result.stdout
        found = subprocess.run(["grep", "-rlaF", hidden, project.data], capture_output=True, text=True, check=False)
        assert found.stdout == ""
    stored = next((project.data / "store" / "requests" / "spotify" / "search").glob("*.gz"))
    assert b"Bearer" not in subprocess.run(["zcat", stored], capture_output=True, check=True).stdout


# --- logging in ---------------------------------------------------------------------------------------------------


def log_in(project, user="rj", visit=True):
    """`scrapy spotify login`, with a browser that follows where it is led; what the command said."""
    process = project.start(
        "spotify", "login", user, "--no-browser", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("Consent on this page")
        page = process.stdout.readline().strip()
        if visit:
            visit = page if visit is True else visit(page)
            urllib.request.urlopen(visit, timeout=10).read()
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return page, process.returncode, out + err


def test_a_user_logs_in_and_brings_top_lists_with_their_ranks(project, spotify):
    page, code, said = log_in(project)
    assert (code, "rj is logged in" in said) == (0, True)
    query = parse_qs(urlsplit(page).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"][0].startswith("http://127.0.0.1:")
    kept = project.data / "spotify-logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    first = json.loads(kept.read_text())["rj"]["refresh_token"]

    succeed(project.crawl("spotify_top"))
    assert json.loads(kept.read_text())["rj"]["refresh_token"] != first  # used up, and replaced on the disk
    for view in ("user_top_artists", "user_top_tracks"):
        rows = project.query(f"SELECT username, source, time_range, rank FROM {view} ORDER BY time_range, rank")
        ranges = {row[2] for row in rows}
        assert ranges == {"short_term", "medium_term", "long_term"}
        for time_range in ranges:
            ranks = [row[3] for row in rows if row[2] == time_range]
            assert ranks == list(range(1, len(ranks) + 1))
        assert {row[:2] for row in rows} == {("rj", "spotify")}
    asked = len(spotify.calls("spotify.top"))
    succeed(project.crawl("spotify_top"))
    assert len(spotify.calls("spotify.top")) == asked

    before = project.query("SELECT * FROM user_top_tracks ORDER BY time_range, rank")
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "all"))
    assert project.query("SELECT * FROM user_top_tracks ORDER BY time_range, rank") == before

    result = project.run("spotify", "logout", "RJ")
    assert (result.returncode, result.stdout) == (0, "RJ is logged out\n")


def test_a_withdrawn_consent_is_said_and_costs_the_others_nothing(project, spotify):
    assert log_in(project)[1] == 0
    spotify.spotify.accounts.withdraw()
    result = project.crawl("spotify_top")
    assert result.returncode == 1
    assert "scrapy spotify login rj" in result.stderr


def test_a_consent_for_somebody_else_is_not_taken(project, spotify):
    """A page that leads to our port without the state of this login changes nothing."""

    def attack(page):
        redirect = parse_qs(urlsplit(page).query)["redirect_uri"][0]
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{redirect}?code=stolen&state=guess", timeout=10)
        return page

    assert log_in(project, visit=attack)[1] == 0


def test_a_refusal_logs_nobody_in(project, spotify):
    def refuse(page):
        query = parse_qs(urlsplit(page).query)
        return f"{query['redirect_uri'][0]}?error=access_denied&state={query['state'][0]}"

    _, code, said = log_in(project, visit=refuse)
    assert (code, "access_denied" in said) == (1, True)
    assert not (project.data / "spotify-logins.json").exists()


def test_an_interrupted_login_ends_with_one_line(project, spotify):
    process = project.start(
        "spotify", "login", "rj", "--no-browser", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert err == "scrapy spotify: interrupted; nobody was logged in\n"


# --- forgetting ---------------------------------------------------------------------------------------------------


def test_purge_forgets_what_spotify_said_and_keeps_ids_and_matches(project, spotify, tmp_path):
    catalogue = tmp_path / "mine.csv"
    catalogue.write_text("artist_id,artist_name\nmine,My Own\n")
    succeed(project.run("catalog", "import", str(catalogue)))
    succeed(project.crawl("spotify_artists"))
    matches = project.query("SELECT artist_id, spotify_id, band, score FROM artist_matches ORDER BY 1")
    kept = project.run("purge", "spotify")
    assert kept.stdout.startswith("0 rows and 0 stored answers")
    gone = project.run("purge", "spotify", "--older-than", "0")
    assert gone.returncode == 0
    assert project.query("SELECT id FROM spotify_artists") == [("mine",)]
    assert project.query("SELECT count(*) FROM lookups") == [(0,)]
    assert not list((project.data / "store").glob("requests/spotify/**/*.gz"))
    assert project.query("SELECT artist_id, spotify_id, band, score FROM artist_matches ORDER BY 1") == matches


def test_packs_leave_spotify_out(project, spotify):
    succeed(project.crawl("spotify_artists"))
    succeed(project.run("store", "pack"))
    assert [folder.name for folder in (project.data / "store" / "packs").iterdir()] == ["user.getTopArtists"]
    assert project.run("store", "verify").returncode == 0


def test_spoilt_logins_are_one_line(project):
    project.environment |= {"SPOTIFY_CLIENT_ID": "id", "SPOTIFY_CLIENT_SECRET": "0spotify0canary0"}
    project.data.mkdir()
    (project.data / "spotify-logins.json").write_text("{", encoding="utf-8")
    result = project.crawl("spotify_top")
    assert result.returncode == 2
    assert "spotify-logins.json" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
