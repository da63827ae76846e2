"""Crawls that ask MusicBrainz: each album once, most played first, and what an outage leaves is asked next time."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from conftest import SHARED
from test_crawl import succeed

from lastfm_crawl.sandbox import Faults, Scrobble, World, scrobbles_world, serve
from lastfm_crawl.sandbox.musicbrainz_catalogue import Catalogue

CONTACT = "crawler@example.org"
ALBUMS = 60
VIEW = "SELECT * FROM lastfm_scrobbles ORDER BY username, scrobbled_at, track_name"
STATUSES = """
SELECT a.name, al.name, y.status, y.year, y.month, y.day, y.precision
FROM album_years y JOIN albums al ON al.id = y.album_id JOIN artists a ON a.id = al.artist_id
"""


def mbid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def history() -> list[Scrobble]:
    """Album n is played 61 - n times; every third has no MBID, one has something else in its place."""
    plays = []
    at = 1_600_000_000
    for number in range(ALBUMS):
        mbid = "" if number % 3 == 2 else "not an id" if number == 30 else mbid_of(number)
        for turn in range(ALBUMS + 1 - number):
            at += 200
            name = f"Record {number} Blue" + (" (Deluxe Edition)" if turn % 2 and not mbid else "")
            plays.append(Scrobble(f"Band {number}", f"Song {turn}", at, album=name, album_mbid=mbid))
    return plays


@pytest.fixture
def world():
    return World.of({"rj": []}, {}, scrobbles={"rj": history()})


@pytest.fixture
def sandbox(project, world):
    """A sandbox with MusicBrainz, and a project that has its user's history and may ask there."""
    with serve(world, Faults()) as sandbox:
        project.url = sandbox.url
        project.environment = {"MUSICBRAINZ_API_URL": sandbox.musicbrainz_url, "CONTACT": CONTACT}
        succeed(project.crawl("recent_tracks", users="rj"))
        yield sandbox


def asked(sandbox, method="release") -> list[str]:
    name = {"release": "mbid", "search": "query"}[method]
    return [call.params[name] for call in sandbox.calls(f"musicbrainz.{method}")]


def test_every_album_is_dated_or_known_not_to_be(project, sandbox, world):
    succeed(project.crawl("musicbrainz", settings={"CONCURRENT_REQUESTS": 1}))
    catalogue = Catalogue(world)
    ids = [mbid_of(n) for n in range(ALBUMS) if n % 3 != 2 and n != 30]
    assert sorted(asked(sandbox)) == sorted(ids)  # each once
    first = [mbid for mbid in asked(sandbox) if mbid in ids[:10]]
    assert first == ids[:10]  # most played first
    searches = asked(sandbox, "search")
    assert len(searches) == len(set(searches)) or len(searches) <= len(set(searches)) * 2

    rows = {row[:2]: row[2:] for row in project.query(STATUSES)}
    for number in range(ALBUMS):
        names = (f"Band {number}", f"Record {number} Blue")
        status, year, month, day, precision = rows[names]
        release = catalogue.releases.get(mbid_of(number)) if mbid_of(number) in ids else None
        if release is not None:
            assert status == "matched"
            date = release.group.date
        else:
            assert status == ("not_found" if names in catalogue.missing else "fuzzy_matched"), names
            date = "" if status == "not_found" else catalogue.groups[catalogue.group_ids[names]].date
        assert "-".join(f"{part:02}" for part in (year, month, day) if part) == date
        assert precision == {0: None, 4: "year", 7: "month", 10: "day"}[len(date)]
    # Merged releases: both ids are kept.
    merged = {
        asked_id: found.id for asked_id, found in catalogue.releases.items() if found.id != asked_id and asked_id in ids
    }
    assert merged
    assert merged.items() <= dict(project.query("SELECT mbid, current_mbid FROM releases")).items()

    plays = Counter(dict(project.query("SELECT augmentation_status, count(*) FROM lastfm_scrobbles GROUP BY 1")))
    assert plays["pending"] == 0
    assert plays.total() == len(history())

    before = len(sandbox.log)
    succeed(project.crawl("musicbrainz"))
    assert len(sandbox.log) == before


def test_a_dropped_warehouse_gets_its_years_back_from_the_store(project, sandbox):
    succeed(project.crawl("musicbrainz"))
    before, asked_before = project.query(VIEW), len(sandbox.log)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "all"))
    assert project.query(VIEW) == before
    assert len(sandbox.log) == asked_before


def test_it_does_not_start_without_a_contact(project, sandbox):
    project.environment["CONTACT"] = ""
    result = project.crawl("musicbrainz")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("scrapy crawl: CONTACT is not set: whoever is asked wants to know")
    assert "Traceback" not in result.stderr
    assert not asked(sandbox)


@pytest.mark.parametrize("kind", [pytest.param("outage", marks=pytest.mark.slow), "reset"])
def test_an_outage_leaves_albums_pending_and_the_next_run_asks_for_the_rest(project, sandbox, kind):
    def fail_soon():
        while len(asked(sandbox)) < 12:
            time.sleep(0.002)
        sandbox.musicbrainz.mode = kind

    watcher = threading.Thread(target=fail_soon)
    watcher.start()
    result = project.crawl("musicbrainz", settings={"CONCURRENT_REQUESTS": 1})
    watcher.join()
    assert result.returncode == 4, result.stderr[-2000:]
    statuses = Counter(status for _, _, status, *_ in project.query(STATUSES))
    assert statuses["pending"] > 30
    assert statuses["matched"] >= 8
    answered = {mbid for (mbid,) in project.query("SELECT mbid FROM releases")}

    sandbox.musicbrainz.mode = "up"
    before = len(asked(sandbox))
    succeed(project.crawl("musicbrainz"))
    again = asked(sandbox)[before:]
    assert len(again) == len(set(again))
    assert not answered & set(again)
    statuses = Counter(status for _, _, status, *_ in project.query(STATUSES))
    assert statuses["pending"] == 0


@pytest.mark.slow
def test_a_503_slows_the_run_down_and_nothing_is_lost(project, sandbox):
    sandbox.faults.rate, sandbox.faults.kinds = 0.2, ("rate_limit", "error_11", "truncated", "html_502")
    succeed(project.crawl("musicbrainz"))
    assert not [row for row in project.query(STATUSES) if row[2] == "pending"]


def test_a_limit_takes_the_most_played(project, sandbox):
    succeed(project.crawl("musicbrainz", limit=5))
    # The others have two names each, between which their plays are divided.
    assert set(asked(sandbox)) == {mbid_of(n) for n in (0, 1, 3, 4, 6)}


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "scrobbles").is_dir(), reason="the recorded histories are not there")
def test_the_albums_of_29_000_plays_are_asked_once_each_also_after_an_outage(project):
    world = scrobbles_world(SHARED / "scrobbles")
    with serve(world, Faults()) as sandbox:
        project.url = sandbox.url
        project.environment = {"MUSICBRAINZ_API_URL": sandbox.musicbrainz_url, "CONTACT": CONTACT}
        succeed(project.crawl("recent_tracks", users="listener_1,listener_2"))
        ids = {mbid.lower() for (mbid,) in project.query("SELECT DISTINCT mbid FROM albums WHERE mbid <> ''")}

        def fail_soon():
            while len(asked(sandbox)) < 1000:
                time.sleep(0.01)
            sandbox.musicbrainz.mode = "reset"

        watcher = threading.Thread(target=fail_soon)
        watcher.start()
        assert project.crawl("musicbrainz").returncode == 4
        watcher.join()
        done = {mbid for (mbid,) in project.query("SELECT mbid FROM releases")}
        assert 900 < len(done) < len(ids)
        before = len(asked(sandbox))
        sandbox.musicbrainz.mode = "up"
        succeed(project.crawl("musicbrainz", timeout=400))
        again = Counter(asked(sandbox)[before:])
        assert again == Counter(ids - done)
        assert not [row for row in project.query(STATUSES) if row[2] == "pending"]
