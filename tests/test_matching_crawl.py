"""A catalogue is imported, crawls match what they bring, and `scrapy match` does the rest."""

from __future__ import annotations

import json

import pytest
from test_crawl import succeed

from lastfm_crawl.sandbox import World, serve

PLAYED = ["Radiohead", "björk", "Sigur Rós", "Metalica", "Nobody Knows Them", "Queen feat. David Bowie"]
CATALOGUE = """artist_name,artist_id,popularity
RADIOHEAD,r,80
Radiohead,r2,10
Björk,b,70
Sigur Ros,s,60
Metallica,m,85
Queen,q,90
"""
MATCHES = "SELECT artist_name, spotify_artist_id, match_confidence FROM lastfm_user_artists"


@pytest.fixture
def crawled(project, tmp_path):
    """A project with a catalogue file, whose crawls find one user's artists."""
    (tmp_path / "artists.csv").write_text(CATALOGUE, encoding="utf-8")
    rows = [(name, 100 - place) for place, name in enumerate(PLAYED)]
    with serve(World.of({"rj": []}, {"rj": rows})) as sandbox:
        project.url = sandbox.url
        yield project


def matched(project) -> dict[str, str]:
    return {name: identity for name, identity, _ in project.query(MATCHES) if identity}


def test_a_crawl_matches_what_is_equal_and_match_the_rest(crawled, tmp_path):
    imported = crawled.run("catalog", "import", str(tmp_path / "artists.csv"))
    assert (imported.returncode, imported.stdout.split(";")[0]) == (0, "6 artists imported")
    succeed(crawled.crawl("top_artists", users="rj"))
    equal = {"Radiohead": "r", "björk": "b", "Sigur Rós": "s", "Queen feat. David Bowie": "q"}
    assert matched(crawled) == equal
    # No request, nothing asked: all from the warehouse.
    result = crawled.run("match")
    assert result.returncode == 0
    assert "artists" in result.stdout
    assert matched(crawled) == {**equal, "Metalica": "m"}
    confidence = {name: value for name, _, value in crawled.query(MATCHES)}
    assert confidence["Radiohead"] == 1.0
    assert 0.8 <= confidence["Metalica"] < 1.0


def test_a_catalogue_that_comes_later_matches_what_is_there(crawled, tmp_path):
    succeed(crawled.crawl("top_artists", users="rj"))
    assert crawled.query("SELECT count(*) FROM artist_matches") == [(0,)]
    without = crawled.run("match")
    assert (without.returncode, "no catalogue yet" in without.stdout) == (0, True)
    succeed(crawled.run("catalog", "import", str(tmp_path / "artists.csv")))
    succeed(crawled.run("match"))
    assert len(matched(crawled)) == 5
    (tmp_path / "more.ndjson").write_text(json.dumps({"artist_id": "n", "artist_name": "Nobody Knows Them"}))
    succeed(crawled.run("catalog", "import", str(tmp_path / "more.ndjson")))
    succeed(crawled.run("match"))
    assert matched(crawled)["Nobody Knows Them"] == "n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["catalog", "import", "missing.csv"], 2, "missing.csv cannot be read: No such file"),
        (["catalog", "import", "x.txt"], 2, "none of .csv"),
        (["catalog", "import", "bq://nothing"], 2, "write bq://project.dataset.table"),
    ],
)
def test_wrong_use_is_one_line(project, words, code, says):
    result = project.run(*words)
    assert result.returncode == code
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_rows_that_cannot_be_used_are_said(crawled, tmp_path):
    (tmp_path / "x.ndjson").write_text('{"artist_id": "a", "artist_name": "A"}\nno json\n{"artist_id": "b"}\n')
    result = crawled.run("catalog", "import", str(tmp_path / "x.ndjson"))
    assert result.returncode == 1
    assert result.stdout.startswith("1 artists imported")
    assert "2 rows were skipped: 1 no id, 1 no name" in result.stderr


def test_an_empty_file_is_no_catalogue(crawled, tmp_path):
    (tmp_path / "x.csv").write_text("artist_id,artist_name\n")
    result = crawled.run("catalog", "import", str(tmp_path / "x.csv"))
    assert (result.returncode, "it is empty" in result.stderr) == (2, True)


def test_a_dry_replay_matches_nothing(crawled, tmp_path):
    succeed(crawled.run("catalog", "import", str(tmp_path / "artists.csv")))
    succeed(crawled.crawl("top_artists", users="rj"))
    crawled.execute("DELETE FROM artist_matches")
    succeed(crawled.run("replay", "all", "--dry-run"))
    assert crawled.query("SELECT count(*) FROM artist_matches") == [(0,)]
    succeed(crawled.run("replay", "all"))
    assert len(matched(crawled)) == 4


def test_matching_that_fails_costs_the_crawl_nothing(crawled, tmp_path):
    succeed(crawled.run("catalog", "import", str(tmp_path / "artists.csv")))
    crawled.execute("ALTER TABLE artist_matches RENAME TO elsewhere")
    result = crawled.crawl("top_artists", users="rj")
    assert result.returncode == 0
    assert "`scrapy match` does it later" in result.stderr
    assert crawled.query("SELECT count(*) FROM user_artists") == [(len(PLAYED),)]
    crawled.execute("ALTER TABLE elsewhere RENAME TO artist_matches")
    succeed(crawled.run("match"))
    assert len(matched(crawled)) == 5
