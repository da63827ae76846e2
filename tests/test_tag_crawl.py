"""Crawls that ask how tracks are tagged: each track once, and what was stored is never asked for again."""

from __future__ import annotations

import pytest
from test_crawl import succeed

from lastfm_crawl.sandbox import ALL_KINDS, Faults, Scrobble, World, serve

TRACKS = 40
TAGS = """
SELECT a.name, t.name, g.tags, g.fetched_at
FROM track_tags g JOIN tracks t ON t.id = g.track_id JOIN artists a ON a.id = t.artist_id ORDER BY 1, 2
"""
STATS = (
    "SELECT s.artist, s.title, l.playcount, l.tags FROM lastfm_stats l JOIN songs s ON s.id = l.song_id ORDER BY 1, 2"
)


def history() -> list[Scrobble]:
    """Song n is played 41 - n times."""
    plays = []
    at = 1_600_000_000
    for number in range(TRACKS):
        for _ in range(TRACKS + 1 - number):
            at += 200
            plays.append(Scrobble(f"Band {number % 7}", f"Song {number}", at))
    return plays


def names_of(number: int) -> tuple[str, str]:
    return f"Band {number % 7}", f"Song {number}"


@pytest.fixture
def world():
    """What RJ plays; of the last two tracks Last.fm knows nothing."""
    world = World.of({"rj": []}, {}, scrobbles={"rj": history()})
    for number in (TRACKS - 2, TRACKS - 1):
        del world.tagged[tuple(map(str.lower, names_of(number)))]
    return world


@pytest.fixture
def sandbox(project, world):
    """A sandbox, and a project that has its user's history."""
    with serve(world, Faults()) as sandbox:
        project.url = sandbox.url
        succeed(project.crawl("recent_tracks", users="rj"))
        yield sandbox


def asked(sandbox) -> list[tuple[str, str]]:
    return [(call.params["artist"], call.params["track"]) for call in sandbox.calls("track.getTopTags")]


def expected(world) -> dict[tuple[str, str], list[dict]]:
    """The tags of every track that is played; none of one that Last.fm does not know."""
    found = {}
    for names in map(names_of, range(TRACKS)):
        row = world.tagged.get(tuple(map(str.lower, names)))
        found[names] = [{"name": t, "count": 100 // n} for n, t in enumerate(row.tags if row else (), 1)]
    return found


def tags(project) -> dict[tuple[str, str], list[dict]]:
    return {(artist, title): found for artist, title, found, _ in project.query(TAGS)}


def test_every_track_is_asked_once_and_songs_have_the_tags(project, sandbox, world):
    succeed(project.crawl("track_tags", settings={"CONCURRENT_REQUESTS": 1}))
    assert asked(sandbox) == [names_of(number) for number in range(TRACKS)]  # most played first
    assert {call.params["autocorrect"] for call in sandbox.calls("track.getTopTags")} == {"0"}
    assert tags(project) == expected(world)
    statuses = dict(project.query("SELECT status, count(*) FROM lookups GROUP BY 1"))
    assert statuses == {"ok": TRACKS - 2, "not_found": 2}

    before = len(sandbox.log)
    succeed(project.crawl("track_tags"))
    assert len(sandbox.log) == before

    succeed(project.run("songs"))
    stats = {(artist, title): found for artist, title, _, found in project.query(STATS)}
    assert stats == expected(world)
    assert sum(map(bool, stats.values())) > TRACKS / 2


def test_a_dropped_warehouse_gets_its_tags_back_from_the_store(project, sandbox):
    succeed(project.crawl("track_tags"))
    succeed(project.run("songs"))
    before, stats, log = project.query(TAGS), project.query(STATS), len(sandbox.log)
    project.execute("DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS ml CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "track_tags"))  # before there are any plays
    assert project.query(TAGS) == before
    succeed(project.run("replay", "all"))
    succeed(project.run("songs"))
    assert (project.query(TAGS), project.query(STATS)) == (before, stats)
    succeed(project.crawl("track_tags"))
    assert len(sandbox.log) == log


def test_what_the_warehouse_lost_comes_from_the_store_and_old_tags_are_asked_again(project, sandbox):
    succeed(project.crawl("track_tags"))
    count = len(asked(sandbox))
    project.execute("DELETE FROM track_tags WHERE track_id % 2 = 0")
    succeed(project.crawl("track_tags"))
    assert len(asked(sandbox)) == count
    assert len(tags(project)) == TRACKS
    project.execute("UPDATE track_tags SET fetched_at = fetched_at - interval '89 days'")
    succeed(project.crawl("track_tags"))
    assert len(asked(sandbox)) == count
    succeed(project.crawl("track_tags", max_age="0.000001", limit=3))
    assert len(asked(sandbox)) == count + 3
    assert project.query("SELECT count(*) FROM track_tags WHERE fetched_at > now() - interval '1 day'") == [(3,)]


def test_a_limit_takes_the_songs_that_are_played_most(project, sandbox):
    succeed(project.run("songs", "--max-songs", "5"))
    chosen = {(artist, title) for artist, title, *_ in project.query(STATS)}
    assert chosen == {names_of(number) for number in range(5)}
    succeed(project.crawl("track_tags", limit=2, settings={"CONCURRENT_REQUESTS": 1}))
    assert asked(sandbox) == [names_of(0), names_of(1)]
    succeed(project.crawl("track_tags"))
    assert set(asked(sandbox)) == chosen
    assert len(asked(sandbox)) == 5


def test_faults_lose_nothing(project, sandbox, world):
    sandbox.faults.rate, sandbox.faults.kinds = 0.3, ALL_KINDS
    succeed(project.crawl("track_tags"))
    assert tags(project) == expected(world)


def test_a_refused_key_stops_the_run_and_the_next_one_goes_on(project, sandbox, world):
    sandbox.faults.script("track.getTopTags", kinds=["error_10_403"], pass_first=10)
    assert project.crawl("track_tags", settings={"CONCURRENT_REQUESTS": 1}).returncode == 3
    done = len(tags(project))
    assert 8 <= done < TRACKS
    before = len(asked(sandbox))
    succeed(project.crawl("track_tags"))
    assert len(asked(sandbox)) - before == TRACKS - 10
    assert tags(project) == expected(world)


def test_names_of_blanks_are_not_asked_about(project, sandbox):
    """Last.fm says of them that a parameter is missing, which would end every run."""
    project.execute(
        "INSERT INTO artists (name) VALUES (' '); INSERT INTO tracks (artist_id, name) SELECT id, 'x' FROM artists"
    )
    project.execute("INSERT INTO tracks (artist_id, name) SELECT id, ' ' FROM artists")
    succeed(project.crawl("track_tags"))
    assert all(artist.strip() and title.strip() for artist, title in asked(sandbox))


def test_the_answers_count_as_lastfms(project, sandbox):
    succeed(project.crawl("track_tags", limit=4))
    verified = project.run("store", "verify")
    assert verified.returncode == 0, verified.stdout
    packed = project.run("store", "pack", "--method", "track.getTopTags")
    assert "4 answers packed" in packed.stdout, packed.stdout + packed.stderr
    succeed(project.run("replay", "track_tags", "--from", "packs"))
    assert len(tags(project)) == 4


def test_the_most_played_ones_are_asked_about_once(project, sandbox):
    succeed(project.crawl("track_tags", top=5))
    asked = [(call.params["artist"], call.params["track"]) for call in sandbox.calls("track.getTopTags")]
    assert set(asked) == {names_of(number) for number in range(5)}
    before = len(sandbox.log)
    succeed(project.crawl("track_tags", top=5))
    assert len(sandbox.log) == before
