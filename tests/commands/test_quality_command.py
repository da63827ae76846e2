"""`scrapy quality` after crawls of a sandbox: all is well, and what is planted is shown."""

from __future__ import annotations

import json
import os
import pty

import pytest
from test_crawl import succeed

from lastfm_crawl.sandbox import World, demo_world, serve


@pytest.fixture
def crawled(project, tmp_path):
    """Three lists and the histories of a few users, and a catalogue that knows one of their artists."""
    with serve(demo_world(12)) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("friends", seeds="RJ"))
        for spider in ("top_artists", "top_tracks", "loved_tracks", "recent_tracks"):
            succeed(project.crawl(spider))
    return project


def ran(project, *words):
    result = project.run("quality", *words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_what_crawls_bring_is_sound_and_what_is_planted_is_seen(crawled, tmp_path):
    text = ran(crawled)
    assert "no faults" in text
    assert "\x1b" not in text
    answer = json.loads(ran(crawled, "--json"))
    assert answer["faults"] == 0
    assert [f for f in answer["findings"] if f["count"] and f["kind"] != "duplicate"] == []
    coverage = {(f["service"], f["name"]): f for f in answer["coverage"]}
    for name in ("profiles", "friends lists", "top artists", "top tracks", "loved tracks", "histories"):
        figure = coverage["Last.fm", name]
        assert figure["part"] == figure["whole"] == 12, name
    assert [run["spider"] for run in answer["runs"]][-1] == "friends"
    assert all(run["batches"] > 0 and run["seconds_per_batch"] > 0 for run in answer["runs"])
    assert answer["cache_hits"]["below_target"] is True, "a first crawl finds nothing in the store"
    assert "BELOW TARGET" in text

    (record,) = [
        json.loads(path.read_bytes())
        for path in (crawled.data / "store" / "state" / "runs").iterdir()
        if path.stem == answer["runs"][0]["run_id"]
    ]
    figures = record["figures"]
    assert figures["coverage"] == [f for f in answer["coverage"] if f in figures["coverage"]] != []
    assert figures["match_rates"] == answer["match_rates"]
    assert figures["batches"] == record["stats"]["lastfm_crawl/batches"] == answer["runs"][0]["batches"]
    assert figures["cache_hits"]["target"] == 0.7

    crawled.execute(
        "UPDATE artists SET name = '' WHERE id = 1; UPDATE user_artists SET artist_id = -1 WHERE rank = 1;"
        "INSERT INTO artists (name) SELECT upper(name) FROM artists WHERE id = 2"
    )
    text = ran(crawled)
    shown = [" ".join(line.split()) for line in text.splitlines()]
    assert any(
        line.startswith("FAULT orphan user_artists.artist_id that is in no row of artists 12 answer ") for line in shown
    )
    assert "FAULT missing artists without a name 1 artist 1" in shown
    assert any(line.startswith("to look at duplicate artists who differ by case or blanks alone 1 ") for line in shown)
    assert "13 faults in 2 checks; 1 figure below target" in shown


def test_pairs_to_read_and_match_rates(project, tmp_path):
    (tmp_path / "artists.csv").write_text(
        "artist_name,artist_id,popularity\nRadiohead,r,80\nMetallica,m,85\n", encoding="utf-8"
    )
    succeed(project.run("catalog", "import", str(tmp_path / "artists.csv")))
    names = ["Radiohead", "Metalica", "No[/]body \x1b[31mKnows", "Nor This"]
    with serve(World.of({"rj": []}, {"rj": [(name, 9) for name in names]})) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("top_artists", users="rj"))
    succeed(project.run("match"))
    answer = json.loads(ran(project, "--json"))
    assert {"service": "Spotify", "name": "artists", "part": 2, "whole": 4, "target": 0.8, "share": 0.5,
            "below_target": True} in answer["match_rates"]  # fmt: skip
    assert {(pair["ours"], pair["theirs"]) for pair in answer["pairs"] if pair["band"] == "accept"} == {
        ("Radiohead", "Radiohead"), ("Metalica", "Metallica"),
    }  # fmt: skip
    project.execute("UPDATE artist_matches SET band = 'review'")
    text = ran(project)
    assert "\x1b" not in text
    assert "No[/]body \ufffd[31mKnows" in text
    assert "2 figures below target" in text


def test_on_a_terminal(project):
    ours, theirs = pty.openpty()
    process = project.start("quality", stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 0
    assert b"looking" in shown
    assert b"\x1b[1m" in shown


def test_an_empty_warehouse(project):
    text = ran(project)
    assert "no faults; 0 figures below target" in text
    assert "FAULT" not in text


def test_no_warehouse(project):
    project.database_url = "postgresql://nobody@127.0.0.1:9/nothing"
    result = project.run("quality")
    assert result.returncode == 3
    assert result.stderr.startswith("scrapy quality: the warehouse cannot be used")
    assert "Traceback" not in result.stderr


def test_arguments_are_refused(project):
    assert project.run("quality", "RJ").returncode == 2
