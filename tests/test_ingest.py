"""`scrapy ingest` over the sandbox: everything once, nothing twice, and whatever kills it shows nowhere afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from test_chaos import VIEWS

from lastfm_crawl.sandbox import Faults, demo_world, serve

UNPACED = ["-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=16", "-s", "BACKOFF_FIRST=0.02"]
#: What an ingest leaves, but for the times, which differ from run to run.
ALL_VIEWS = VIEWS | {"lastfm_user_tracks": set(), "lastfm_scrobbles": set(), "lastfm_history_audit": set()}
TABLES = (
    "SELECT a.name, m.spotify_id, m.band, m.tier FROM artist_matches m JOIN artists a ON a.id = m.artist_id",
    """SELECT a.name, t.name, m.spotify_id, m.band, m.tier FROM track_matches m JOIN tracks t ON t.id = m.track_id
       JOIN artists a ON a.id = t.artist_id""",
    """SELECT a.name, al.name, y.year, y.status FROM album_years y JOIN albums al ON al.id = y.album_id
       JOIN artists a ON a.id = al.artist_id""",
    "SELECT id, title, source FROM aoty_albums",
    """SELECT s.canonical_id, s.artist, s.title, l.playcount, l.tags FROM songs s
       LEFT JOIN lastfm_stats l ON l.song_id = s.id""",
)
TITLES = (
    "friends", "top artists", "top tracks", "histories", "match", "Spotify artists", "Spotify tracks", "MusicBrainz",
    "tags", "AOTY", "match again", "songs", "quality",
)  # fmt: skip


def everything(project) -> list[list[str]]:
    """Every row that a reader can see, without the times."""
    found = []
    for view, times in ALL_VIEWS.items():
        columns = project.query("SELECT column_name FROM information_schema.columns WHERE table_name = %s", view)
        named = ", ".join(sorted(name for (name,) in columns if name not in times))
        found.append(sorted(map(repr, project.query(f"SELECT {named} FROM {view}"))))
    return found + [sorted(map(repr, project.query(table))) for table in TABLES]


def ingest(project, *words, timeout=600) -> subprocess.CompletedProcess:
    result = project.run("ingest", "--seeds", "RJ", *words, *UNPACED, timeout=timeout)
    assert "Traceback" not in result.stderr
    return result


def phases(result) -> dict[str, str]:
    """What the plain lines say last of each phase."""
    lines = (line.split(" ", 1)[1].partition(": ") for line in result.stderr.splitlines() if line[:2].isdecimal())
    return {title: said for title, _, said in lines}


@pytest.fixture
def sandbox(project):
    with serve(demo_world(60)) as sandbox:
        connect(project, sandbox)
        yield sandbox


def connect(project, sandbox) -> None:
    """All services are the sandbox."""
    project.url = sandbox.url
    project.environment |= {
        "CONTACT": "crawler@example.org",
        "MUSICBRAINZ_API_URL": sandbox.musicbrainz_url,
        "AOTY_URL": sandbox.aoty_url,
        "SPOTIFY_API_URL": sandbox.spotify_url,
        "SPOTIFY_TOKEN_URL": sandbox.spotify_token_url,
        "SPOTIFY_CLIENT_ID": "client",
        "SPOTIFY_CLIENT_SECRET": "canary0spotify0secret",
        "LASTFM_STORAGE_CAP_MB": "0",
    }


def test_what_cannot_run_is_passed_over_and_a_second_run_asks_for_nothing(project, sandbox):
    del project.environment["SPOTIFY_CLIENT_SECRET"], project.environment["CONTACT"]
    words = ["--max-users", "5", "--max-songs", "20"]
    first = ingest(project, *words)
    assert first.returncode == 0, first.stderr
    said = phases(first)
    assert said["Spotify artists"] == said["Spotify tracks"] == "skipped, no SPOTIFY_CLIENT_SECRET"
    assert said["MusicBrainz"] == said["AOTY"] == "skipped, no CONTACT"
    assert said["histories"] == "skipped, only with --histories"
    assert said["tags"].startswith("done, 60 of 60 tracks, in ")
    assert said["quality"].startswith("done, no faults")
    asked = Counter(call.method for call in sandbox.log)
    assert asked["track.getTopTags"] == 60
    assert first.stdout == f"{len(sandbox.log)} requests\n"
    (log,) = (project.data / "logs").glob("ingest-*.log")
    assert said["log"] == str(log)
    assert "[lastfm_crawl.extensions.progress] INFO: tags" in log.read_text().replace("track_tags", "tags")
    assert project.query("SELECT count(*) FROM songs") == [(20,)]

    before = len(sandbox.log)
    second = ingest(project, *words)
    assert second.returncode == 0, second.stderr
    assert len(sandbox.log) == before
    assert second.stdout == "nothing was asked for: all that there is to ask for is there\n"
    said = phases(second)
    assert {said[title] for title in ("top artists", "top tracks", "tags", "match again")} == {"done, nothing to do"}


@pytest.mark.parametrize("ends", ["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_phase_in_order(project, sandbox, ends):
    sandbox.faults = Faults(latency=0.2)
    process = project.start(
        "ingest", "--seeds", "RJ", "--quick", "--skip-spotify", "--skip-aoty", "-s", "DOWNLOAD_DELAY=0",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not sandbox.calls("user.getTopArtists") and time.monotonic() < deadline:
        time.sleep(0.01)
    if ends == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("scrapy ingest: top artists stopped; run it again to go on; the log: ")
    assert "top tracks: begins" not in stderr
    assert project.query("SELECT count(*) FROM lastfm_users") == [(10,)]


@pytest.mark.slow
def test_the_whole_and_once_more(project, sandbox):
    first = ingest(project, "--histories", "--max-songs", "100")
    assert first.returncode == 0, first.stderr
    assert all(said.startswith("done") for title, said in phases(first).items() if title in TITLES)
    asked = Counter(call.method for call in sandbox.log)
    assert asked["track.getTopTags"] == 300
    assert 0 < asked["aoty.album"] <= 10
    assert asked["spotify.search"] > 300
    shown, before = everything(project), len(sandbox.log)
    assert all(shown)
    second = ingest(project, "--histories", "--max-songs", "100")
    assert second.returncode == 0, second.stderr
    assert len(sandbox.log) == before
    assert "nothing was asked for" in second.stdout
    assert everything(project) == shown
    told = ingest(project, "--histories", "--max-songs", "100", "--dry-run")
    assert "nothing would be asked for" in told.stdout


@pytest.mark.slow
def test_killed_in_every_phase(project, empty_database_url):
    words, rng = ["--histories", "--max-songs", "40"], random.Random(10)
    world = demo_world(30)
    with serve(world) as sandbox:
        connect(project, sandbox)
        own = project.data, project.database_url
        project.data, project.database_url = project.data.with_name("undisturbed"), empty_database_url
        assert ingest(project, *words).returncode == 0
        expected, requests = everything(project), len(sandbox.log)
    project.data, project.database_url = own
    killed = set()
    with serve(world, Faults(latency=0.03)) as sandbox:
        connect(project, sandbox)
        for title in TITLES:
            process = project.start(
                "ingest", "--seeds", "RJ", *words, *UNPACED,
                stderr=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            assert process.stderr is not None
            for line in process.stderr:
                if f" {title}: begins" in line:
                    break
            # Somewhere between its first steps and the middle of its work.
            # Those that ask for nothing may be over in two seconds.
            longest = 1 if title in {"match", "match again", "songs", "quality"} else 8
            until, enough = time.monotonic() + rng.uniform(0.1, longest), len(sandbox.log) + rng.randint(1, 60)
            while process.poll() is None and time.monotonic() < until and len(sandbox.log) < enough:
                time.sleep(0.005)
            if process.poll() is None:
                killed.add(title)
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        result = ingest(project, *words)
        assert result.returncode == 0, result.stderr
        # Of a killed phase those answers are asked for again that were on their way, 16 at most.
        assert len(sandbox.log) <= requests + 20 * len(TITLES)
    assert killed == set(TITLES)
    for seen, wanted in zip(everything(project), expected, strict=True):
        assert seen == wanted
