"""`scrapy similar` and `scrapy fans_of`: what they print, and what they say when there is nothing to show."""

from __future__ import annotations

import csv
import json
from io import StringIO

import psycopg
import pytest
from lists import list_artists

from lastfm_crawl.warehouse.migrate import migrate


@pytest.fixture
def listed(project):
    migrate(project.database_url)
    with psycopg.connect(project.database_url) as connection:
        lists = {f"u{n}": [("Radiohead", 90), ("The Beatles", 80 - n), ("Björk", 7), ("Low", 5)] for n in range(4)}
        lists |= {f"v{n}": [("Abba", 9), ("Radiohead", 2)] for n in range(6)}
        lists["\x1b[31mred"] = [("Abba", 9), ("Low", 1), ("Lonely", 1)]
        list_artists(connection, lists)
    return project


def test_similar_by_artists(listed):
    result = listed.run("similar", "--artists", "radiohead, beatles,bjork,Zzyzx Qwerty")
    assert result.returncode == 0, result.stderr
    assert "Users who share 3 or more of: Radiohead, The Beatles, Björk" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["u0", "u1", "u2", "u3"]
    assert "Low (5)" in result.stdout
    assert "not in anybody's list: Zzyzx Qwerty" in result.stderr
    assert "\x1b" not in result.stdout


def test_similar_by_user_in_every_format(listed):
    words = ("similar", "--user", "U1", "--min-shared", "2", "--limit", "2", "--format")
    table = listed.run(*words, "table")
    assert "Users with the taste of U1" in table.stdout
    assert table.stdout.splitlines()[1].split()[:3] == ["user", "score", "shared"]
    answer = json.loads(listed.run(*words, "json").stdout)
    assert [user["user"] for user in answer] == ["u0", "u2"]
    assert answer[0]["shared"] == ["Radiohead", "The Beatles", "Björk", "Low"]
    rows = list(csv.DictReader(StringIO(listed.run(*words, "csv").stdout)))
    assert [(row["user"], row["shared"]) for row in rows] == [("u0", "4"), ("u2", "4")]


def test_fans_of(listed):
    result = listed.run("fans_of", "the beatles")
    assert result.returncode == 0, result.stderr
    assert "Liked by the fans of The Beatles (4 of 11 users)" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["Björk", "Low", "Radiohead"]
    answer = json.loads(listed.run("fans_of", "The Beatles", "--format", "json", "--limit", "1").stdout)
    assert (answer["fans"], answer["users"], [one["name"] for one in answer["liked"]]) == (4, 11, ["Björk"])
    rows = list(csv.DictReader(StringIO(listed.run("fans_of", "The Beatles", "--format", "csv").stdout)))
    assert rows[0]["fans"] == "4"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("similar", "--artists", "Zzyzx Qwerty"), 2, "none of these artists is in anybody's list"),
        (("similar", "--artists", "Radiohead,Abba"), 2, "nobody can share 3 of 2 artists; say --min-shared"),
        (("similar", "--artists", "Lonely,Abba,Björk"), 0, "nobody listens to 3 of these 3 artists"),
        (("similar", "--artists", ","), 2, "no name is given"),
        (("similar", "--user", "stranger"), 2, "run scrapy crawl top_artists -a users=stranger"),
        (("similar", "--user", "v1"), 0, "nobody has 3 artists in common with v1"),
        (("similar", "--user", "v1", "--limit", "0"), 2, "--limit: '0' is wrong: it must be a whole number from 1"),
        (("similar", "--user", "v1", "--format", "xml"), 2, "--format: 'xml' is wrong"),
        (("similar",), 2, "say: scrapy similar"),
        (("fans_of", "Zzyzx Qwerty"), 2, "no such artist is in anybody's list"),
        (("fans_of", "Lonely"), 0, "Lonely has 1 listeners; no 3 of them share another artist"),
        (("fans_of", "Radiohaedd"), 2, "did you mean 'Radiohead'?"),
    ],
)
def test_one_line_when_there_is_nothing_to_show(listed, words, code, line):
    result = listed.run(*words)
    assert (result.returncode, result.stdout if "say: scrapy" not in line else "") == (code, "")
    assert line in result.stderr + result.stdout
