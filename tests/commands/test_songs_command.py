"""`scrapy songs`: what it says, and how it ends."""

from __future__ import annotations

import psycopg
import pytest
from listening import three_listeners

from lastfm_crawl.warehouse.migrate import migrate


@pytest.fixture
def played(project):
    migrate(project.database_url)
    with psycopg.connect(project.database_url) as connection:
        three_listeners(connection)
    return project


def test_songs_and_vectors(played):
    tracks = played.query("SELECT count(*) FROM tracks")[0][0]
    result = played.run("songs", "--max-songs", "50", "--vectors")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{tracks} tracks, 0 of them versions of another: ")
    assert lines[0].endswith("50 kept")
    assert "50 by name only; 0 former ids" in lines[1]
    assert lines[2] == "50 songs have a similarity vector"
    first = played.query("SELECT id, canonical_id, changed_at FROM songs ORDER BY id")
    assert len(first) == 50
    again = played.run("songs", "--max-songs", "50")
    assert again.returncode == 0
    assert played.query("SELECT id, canonical_id, changed_at FROM songs ORDER BY id") == first
    assert played.query("SELECT count(*) FROM ml.song_vectors") == [(50,)]


def test_nothing_to_do_is_no_failure(project):
    result = project.run("songs", "--vectors")
    assert result.returncode == 0, result.stderr
    assert "there are no tracks yet" in result.stdout


@pytest.mark.parametrize("words", [["--max-songs", "0"], ["--max-songs", "many"], ["--max-songs", "99999999999"]])
def test_wrong_use_is_one_line(project, words):
    result = project.run("songs", *words)
    assert result.returncode == 2
    assert "is wrong: it must be a whole number from 1" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_arguments_are_refused(project):
    assert project.run("songs", "rj").returncode == 2


def test_a_warehouse_out_of_reach_is_critical(project):
    project.database_url = "postgresql://127.0.0.1:9/none"
    result = project.run("songs")
    assert result.returncode == 3
    assert "the warehouse cannot be used" in result.stderr
