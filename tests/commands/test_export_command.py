"""`scrapy export`: where it writes, and what it says when it cannot."""

from __future__ import annotations

import gzip
import json

import psycopg
import pytest
from lists import list_artists

from lastfm_crawl.warehouse.migrate import migrate


@pytest.fixture
def listed(project):
    migrate(project.database_url)
    with psycopg.connect(project.database_url) as connection:
        list_artists(connection, {"Ann": [("Low", 3)], "Bob": [("Low", 2)]})
    return project


def test_into_the_store_and_to_a_file(listed, tmp_path):
    result = listed.run("export", "users")
    assert result.returncode == 0, result.stderr
    (file,) = listed.data.glob("store/exports/lastfm_users_*.json.gz")
    assert result.stdout == f"{file}: 2 users\n"
    assert {json.loads(line)["username"] for line in gzip.decompress(file.read_bytes()).splitlines()} == {"Ann", "Bob"}
    out = tmp_path / "rows.csv"
    assert listed.run("export", "artists", "--format", "csv", "--out", str(out)).stdout == f"{out}: 2 artists\n"
    assert len(out.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("export", "users", "--format", "xml"), "--format: 'xml' is wrong"),
        (("export", "users", "--out", "/nowhere/at/all.csv"), "/nowhere/at/all.csv cannot be written"),
        (("export", "plays"), "say one of: users, friends, artists, scrobbles, songs"),
    ],
)
def test_one_line_that_says_what_is_wrong(listed, words, line):
    result = listed.run(*words)
    assert result.returncode == 2
    assert line in result.stderr + result.stdout
