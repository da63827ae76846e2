"""`scrapy years`: what it prints, what it writes, and what it says when there is nothing to show."""

from __future__ import annotations

import csv
import json
from io import BytesIO, StringIO

import psycopg
import pytest
from conftest import ROOT
from listening import date_albums, listen, three_listeners
from matplotlib.image import imread

from lastfm_crawl.warehouse.migrate import migrate

HOSTILE = "../<b>$x$</b> \x1b[31m&"


@pytest.fixture
def connection(project):
    migrate(project.database_url)
    with psycopg.connect(project.database_url) as connection:
        yield connection


@pytest.fixture
def played(project, connection):
    three_listeners(connection)
    return project


def plain(project, where="true"):
    rows = project.query(
        "SELECT release_year, count(*) FROM lastfm_scrobbles"
        f" WHERE username = 'RJ' AND release_year > 0 AND {where} GROUP BY 1"
    )
    return dict(rows)


def ran(project, *words):
    result = project.run("years", *words)
    assert result.returncode == 0, result.stderr
    return result


def test_a_table_elsewhere_than_on_a_terminal(played):
    result = ran(played, "rj")
    lines = [line.split() for line in result.stdout.splitlines()]
    counts = {int(line[0]): int(line[1].replace(",", "")) for line in lines if line and line[0].isdigit()}
    assert {year: count for year, count in counts.items() if count and year < 2015} == {
        year: count for year, count in plain(played).items() if year < 2015
    }
    assert counts[1928] == 0
    assert "Which years the music of RJ comes from, played from 2015 to 2017" in result.stdout
    assert " % of 1,500 plays dated (" in result.stdout
    assert "all 3 users: median" in result.stdout
    assert "run scrapy crawl musicbrainz" in result.stderr
    assert "\x1b" not in result.stdout


def test_json_says_everything(played):
    answer = json.loads(ran(played, "RJ", "2016", "--format", "json").stdout)
    expected = plain(played, "scrobbled_at >= '2016-01-01Z' AND scrobbled_at < '2017-01-01Z'")
    assert {bar["year"]: bar["count"] for bar in answer["years"] if bar["count"]} == expected
    assert answer["dated"] == sum(expected.values())
    assert answer["total"] == answer["dated"] + sum(answer["undated"].values())
    assert (answer["user"], answer["measure"], answer["by"]) == ("RJ", "plays", "year")
    assert answer["url"] == "https://www.last.fm/user/RJ"
    assert [part["month"] for part in answer["by_listening_month"]] == [f"2016-{n:02}" for n in range(1, 13)]
    assert answer["everyone"]["users"] == 3
    assert sum(decade["share"] for decade in answer["decades"]) == pytest.approx(1)


def test_csv(played):
    result = ran(played, "RJ", "--format", "csv", "--by", "decade", "--since", "2016-02-01", "--until", "2016-03-01")
    rows = list(csv.DictReader(StringIO(result.stdout)))
    expected = plain(played, "scrobbled_at >= '2016-02-01Z' AND scrobbled_at < '2016-03-01Z'")
    assert sum(int(row["plays"]) for row in rows) == sum(expected.values())
    assert all(row["decade"].endswith("0") for row in rows)
    assert "plays dated" in result.stderr


def test_albums(played):
    answer = json.loads(ran(played, "RJ", "--albums", "--format", "json").stdout)
    (((count,)),) = played.query(
        "SELECT count(DISTINCT (artist_name, album_name)) FROM lastfm_scrobbles"
        " WHERE username = 'RJ' AND release_year IS NOT NULL"
    )
    assert answer["dated"] == count


@pytest.mark.parametrize("name", ["chart.json", "chart.csv", "chart.html", "chart.PNG", "chart.txt"])
def test_the_name_of_a_file_says_what_it_holds(played, tmp_path, name):
    file = tmp_path / name
    result = ran(played, "RJ", "--out", str(file))
    begins = {"json": b"{", "csv": b"year,", "html": b"<!DOCTYPE html>", "PNG": b"\x89PNG", "txt": b"Which years"}
    assert file.read_bytes().startswith(begins[name.partition(".")[2]])
    assert ("chart" in result.stdout) == name.endswith(("html", "PNG")), "only pictures say where they are"


def test_a_picture_without_a_name_gets_a_safe_one(project, connection):
    listen(connection, HOSTILE, [("2020-01-01 12:00Z", "Abba", "Arrival")])
    date_albums(connection, {("Abba", "Arrival"): (1976, "matched")})
    before = set(ROOT.iterdir())
    result = ran(project, HOSTILE, "--format", "png")
    (file,) = written = set(ROOT.iterdir()) - before
    try:
        assert file.name.startswith("years-")
        assert file.suffix == ".png"
        assert not set(file.name) & set('/\\<>\x1b*?"|:')
        assert imread(BytesIO(file.read_bytes()), format="png").shape[1] == 1600
        assert result.stdout.startswith(f"{file.name}: 100 % of 1 play dated")
    finally:
        for path in written:
            path.unlink()
    assert "\x1b" not in ran(project, HOSTILE).stdout


def test_strangers(project):
    result = project.run("years", "nobody")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "scrapy years: the warehouse knows no user 'nobody'\n"


@pytest.mark.parametrize("kind", ["table", "json", "png"])
def test_nothing_played(project, connection, kind):
    listen(connection, "RJ", [])
    result = ran(project, "RJ", "--format", kind)
    assert "no plays of 'RJ' are stored for that time; run scrapy crawl recent_tracks" in result.stderr
    assert not list(ROOT.glob("years-*"))


@pytest.mark.parametrize("kind", ["table", "json", "png"])
def test_nothing_dated_yet(project, connection, kind):
    listen(connection, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    result = ran(project, "RJ", "--format", kind)
    assert "1 play not looked up yet; run scrapy crawl musicbrainz" in result.stderr
    assert "0 % of 1 play dated" in result.stdout + result.stderr or '"dated": 0' in result.stdout
    assert not list(ROOT.glob("years-*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RJ", "1999"], "listening year: '1999' is wrong"),
        (["RJ", "2016", "--since", "2016-01-01"], "says all that --since and --until could"),
        (["RJ", "--since", "soon"], "--since: 'soon' is wrong"),
        (["RJ", "--since", "2016-02-01", "--until", "2016-01-01"], "--since must lie before --until"),
        (["RJ", "--by", "month"], "--by: 'month' is wrong: it must be one of year, decade"),
        (["RJ", "--format", "gif"], "--format: 'gif' is wrong"),
        (["RJ", "--plays", "--albums"], "not allowed with"),
        ([], "name one user"),
        (["RJ", "2016", "2017"], "name one user"),
    ],
)
def test_wrong_arguments(project, words, said):
    result = project.run("years", *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_written(played, tmp_path):
    result = played.run("years", "RJ", "--out", str(tmp_path / "nowhere" / "chart.csv"))
    assert result.returncode == 2
    assert "chart.csv cannot be written: No such file or directory" in result.stderr


def test_no_warehouse(project):
    project.database_url = "postgresql://nobody@127.0.0.1:9/nothing"
    result = project.run("years", "RJ")
    assert result.returncode == 3
    assert result.stderr.startswith("scrapy years: the warehouse cannot be used")
    assert "Traceback" not in result.stderr
