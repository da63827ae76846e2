"""Crawls of albumoftheyear.org: the pages of played albums, politely, and never past a closed door."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_crawl import succeed

from lastfm_crawl.sandbox import Faults, Scrobble, World, serve
from lastfm_crawl.sandbox.aoty import Ratings
from lastfm_crawl.sandbox.model import mbid_of

ALBUMS = 45
SCORES = """
SELECT al.name, s.source, s.user_score, s.critic_score FROM aoty_album_matches m
JOIN aoty_albums s ON s.id = m.aoty_id JOIN albums al ON al.id = m.album_id WHERE m.band = 'accept'
"""


def history() -> list[Scrobble]:
    """Album n is played 46 - n times, from two songs that are on it and one that is not."""
    plays, at = [], 1_600_000_000
    for number in range(ALBUMS):
        artist, album = f"Band {number}", f"Record {number} Blue"
        for turn in range(ALBUMS + 1 - number):
            at += 200
            mbid = mbid_of("album", artist, album)
            plays.append(Scrobble(artist, f"Song {turn % 3}", at, album=album, album_mbid=mbid))
    return plays


def catalogue():
    return [
        {
            "name": f"Band {number}",
            "genres": ["rock"],
            "albums": [
                {"title": f"Record {number} Blue", "year": 1980 + number % 9, "tracks": ["Song 0", "Song 1", "Other"]}
            ],
        }
        for number in range(ALBUMS)
    ]


@pytest.fixture
def sandbox(project):
    """A sandbox with the site, and a project that has its user's history with release years and may ask there."""
    world = replace(World.of({"rj": []}, {}, scrobbles={"rj": history()}), catalogue=catalogue())
    with serve(world, Faults()) as sandbox:
        project.url = sandbox.url
        project.environment = {
            "MUSICBRAINZ_API_URL": sandbox.musicbrainz_url,
            "AOTY_URL": sandbox.aoty_url,
            "CONTACT": "crawler@example.org",
        }
        succeed(project.crawl("recent_tracks", users="rj"))
        succeed(project.crawl("musicbrainz"))
        sandbox.log.clear()
        yield sandbox


def crawl(project, **arguments):
    return project.crawl("aoty", settings={"CONCURRENT_REQUESTS": 1}, **arguments)


def test_the_played_albums_of_the_charts_get_their_scores(project, sandbox):
    succeed(crawl(project))
    pages = {name: (user, critic) for name, source, user, critic in project.query(SCORES) if source == "page"}
    truth = Ratings(sandbox.world)
    assert len(pages) > 20
    for name, scores in pages.items():
        number = name.split()[1]
        album = truth.albums[truth.ids[f"Band {number}", name]]
        assert scores == tuple(score and score.rounded for score in (album.users, album.critics)), name
    asked = [call.params["id"] for call in sandbox.calls("aoty.album")]
    assert len(asked) == len(set(asked))
    assert len(sandbox.calls("aoty.robots")) == 1
    assert not sandbox.calls("aoty.search")
    agents = {call.user_agent for call in sandbox.log if call.method.startswith("aoty.")}
    assert agents == {"lastfm_crawl/0.1 (+crawler@example.org)"}

    before = len(sandbox.log)
    succeed(crawl(project))
    assert len(sandbox.log) == before  # not even its robots.txt


def test_what_is_known_without_a_chart_comes_first_and_a_limit_holds(project, sandbox):
    succeed(crawl(project, limit=3))
    assert len(sandbox.calls("aoty.album")) == 3
    succeed(crawl(project))  # the rest of the charts that were seen
    assert len(sandbox.calls("aoty.album")) > 3
    order = [int(row) for (row,) in project.query(
        """SELECT split_part(al.name, ' ', 2) FROM aoty_album_matches m JOIN albums al ON al.id = m.album_id
           WHERE m.aoty_id = ANY(%s) ORDER BY array_position(%s::integer[], m.aoty_id)""",
        *[[int(call.params["id"]) for call in sandbox.calls("aoty.album")[3:]]] * 2,
    )]  # fmt: skip
    assert order == sorted(order)  # most played first


@pytest.mark.parametrize("mode", ["challenge", "denied"])
def test_a_closed_door_ends_the_run_and_the_next_one_does_not_knock(project, sandbox, mode):
    succeed(crawl(project, limit=2))
    sandbox.aoty.mode = mode
    result = crawl(project)
    assert result.returncode == 4
    assert "albumoftheyear.org asks to be left alone until" in result.stderr.splitlines()[-1]
    assert "Spider closed (unavailable)" in result.stderr
    knocks = len(sandbox.log)
    assert crawl(project).returncode == 4
    assert len(sandbox.log) == knocks
    assert project.query("SELECT count(*) FROM lookups WHERE method LIKE 'aoty.%%' AND status <> 'ok'") == [(0,)]
    assert not [path for path in (project.data / "store").rglob("*.gz") if "moment" in path.read_text("latin-1")]


def test_a_new_markup_is_an_alarm(project, sandbox):
    sandbox.aoty.mode = "drifted"
    result = crawl(project)
    assert result.returncode == 1
    assert "the markup has changed" in result.stderr.splitlines()[-1]


@pytest.mark.slow
def test_faults_cost_nothing(project, sandbox):
    sandbox.faults.rate = 0.2
    succeed(crawl(project))
    assert len([row for row in project.query(SCORES) if row[1] == "page"]) > 20


def test_a_dropped_warehouse_gets_its_ratings_back_from_the_store(project, sandbox):
    succeed(crawl(project))
    before, asked = sorted(project.query(SCORES)), len(sandbox.log)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "all"))
    succeed(project.run("match"))
    assert sorted(project.query(SCORES)) == before
    assert len(sandbox.log) == asked


def test_tracks_are_matched_with_lists_and_what_is_not_sure_is_kept_apart(project, sandbox):
    succeed(crawl(project))
    rows = project.query("SELECT match_type, confidence, score, believed, reason FROM aoty_track_matches")
    assert {kind for kind, *_ in rows} >= {"track_match", "album_match", "no_match"}
    for kind, confidence, score, believed, reason in rows:
        assert believed == (kind == "track_match" and confidence in {"high", "medium"} and score >= 0.8)
        assert reason
    ((count,),) = project.query(
        "SELECT count(*) FROM aoty_track_matches m"
        " LEFT JOIN aoty_tracks t ON (t.album_id, t.place) = (m.aoty_id, m.place)"
        " WHERE m.match_type = 'track_match' AND t.title IS NULL"
    )
    assert count == 0


def test_a_proxy_carries_pages_and_robots_and_its_password_stays_on_the_wire(project, sandbox):
    seen = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Proxy-Authorization"]))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    project.environment["AOTY_PROXY_URL"] = f"http://me:canary0word@127.0.0.1:{server.server_port}"
    result = project.crawl("aoty", settings={"LOG_LEVEL": "DEBUG"}, charts=1)
    server.shutdown()
    server.server_close()
    assert seen[0][0].endswith("/robots.txt")
    assert any("/ratings/" in path for path, _ in seen)
    assert {given for _, given in seen} == {f"Basic {base64.b64encode(b'me:canary0word').decode()}"}
    assert not sandbox.log
    assert "canary0word" not in result.stderr + result.stdout
    assert not [path for path in project.data.rglob("*.json") if "canary0word" in path.read_text("latin-1")]
