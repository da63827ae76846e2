"""What is looked at before a long run, one check after the other."""

from __future__ import annotations

from collections import namedtuple

import psycopg
import pytest
from filelock import FileLock
from scrapy.settings import Settings

from lastfm_crawl import config
from lastfm_crawl import settings as module
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import segment
from lastfm_crawl.insight import readiness
from lastfm_crawl.insight.estimates import Basis, Estimate
from lastfm_crawl.insight.readiness import State
from lastfm_crawl.warehouse.sinks import SinkUnavailableError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(tmp_path):
    def settings(**options):
        chosen = Settings()
        chosen.setmodule(module, priority="project")
        chosen.update({"DATA_DIR": str(tmp_path / "data"), **options}, "cmdline")
        return chosen

    return settings


def states(findings):
    return [(finding.state, finding.about) for finding in findings]


@pytest.mark.parametrize(
    ("lines", "state", "words"),
    [
        ("scrapy>=2\n# a comment\n-e .\n# tests and checks\nnothing-of-the-kind>=1", State.OK, "1 packages"),
        ("scrapy>=99", State.WRONG, "scrapy>=99 is wanted, 2."),
        ("nothing-of-the-kind>=1", State.WRONG, "nothing-of-the-kind is not installed"),
        (None, State.OK, "Scrapy 2."),
    ],
)
def test_versions(tmp_path, lines, state, words):
    if lines is not None:
        (tmp_path / "requirements.txt").write_text(lines, encoding="utf-8")
    (found,) = readiness.versions(tmp_path / "requirements.txt")
    assert found.state is state
    assert words in found.line


def test_this_machine_has_what_is_wanted():
    assert states(readiness.versions(config.project_folder() / "requirements.txt")) == [(State.OK, "versions")]


@pytest.mark.parametrize(
    ("contact", "state"),
    [
        ("me@example.org", State.OK),
        ("https://example.org/bot", State.OK),
        ("me", State.WARNING),
        ("me@", State.WARNING),
        ("http://", State.WARNING),
        ("a@b.c (d)", State.WARNING),
        ("", State.WARNING),
    ],
)
def test_contact(settings, contact, state):
    assert [finding.state for finding in readiness.contact(settings(CONTACT=contact))] == [state]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, None),
        ({"DOWNLOAD_DELAY": 0.1}, "DOWNLOAD_DELAY=0.1"),
        ({"DOWNLOAD_DELAY": 0, "LASTFM_API_URL": "http://127.0.0.1:1/2.0/"}, None),
        ({"LASTFM_API_URL": "http://ws.audioscrobbler.com/2.0/"}, "without https"),
        ({"ROBOTSTXT_OBEY": True}, "robots.txt"),
        ({"DOWNLOAD_VERIFY_CERTIFICATES": False}, "DOWNLOAD_VERIFY_CERTIFICATES"),
        ({"AUTOTHROTTLE_ENABLED": False}, "AUTOTHROTTLE_ENABLED"),
    ],
)
def test_pace(settings, options, words):
    (found,) = readiness.pace(settings(**options))
    assert found.state is (State.WARNING if words else State.OK)
    assert words is None or words in found.line


def test_a_jobdir(settings, tmp_path):
    folder = tmp_path / "job"
    assert states(readiness.jobdir(settings())) == [(State.SKIPPED, "JOBDIR")]
    assert states(readiness.jobdir(settings(JOBDIR=str(folder)))) == [(State.OK, "JOBDIR")]
    assert not folder.exists()  # only looked at
    folder.mkdir()
    (folder / "running.json").write_text('{"pid": 7}', encoding="utf-8")
    (found,) = readiness.jobdir(settings(JOBDIR=str(folder)))
    assert (found.state, "sets it aside" in found.line) == (State.WARNING, True)
    with FileLock(folder / "lock"):
        (found,) = readiness.jobdir(settings(JOBDIR=str(folder)))
    assert (found.state, "another run (process 7)" in found.line) == (State.WRONG, True)
    (tmp_path / "file").write_text("", encoding="utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "job"):
        assert states(readiness.jobdir(settings(JOBDIR=str(place)))) == [(State.WRONG, "JOBDIR")]


def test_the_store_is_tried_and_left_as_it_was(settings, tmp_path):
    assert states(readiness.store(settings())) == [(State.OK, "response store")]
    assert not list(FolderStorage(tmp_path / "data" / "store").keys())


def test_what_waits_for_the_store(settings, tmp_path):
    store = str(tmp_path / "data" / "store")
    FolderStorage(tmp_path / "data" / "spool" / segment(store)).put("requests/a.json.gz", b"1")
    found = list(readiness.store(settings()))
    assert states(found) == [(State.WARNING, "spool"), (State.OK, "response store")]
    assert "1 answers" in found[0].line


def test_a_store_that_cannot_be_written(settings, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    found = readiness.store(settings(RESPONSE_STORE=str(tmp_path / "file" / "store")))
    assert states(found) == [(State.FAILED, "response store")]


def test_a_bucket(settings, gcs):
    assert states(readiness.store(settings(RESPONSE_STORE="gs://answers/here"))) == [(State.OK, "response store")]


@pytest.mark.parametrize(
    ("free", "needed", "state"),
    [(2e9, 0, State.OK), (0.5e9, 0, State.WARNING), (2e9, 1e9, State.OK), (2e9, 3e9, State.WARNING)],
)
def test_room(settings, monkeypatch, free, needed, state):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, int(free)))
    (found,) = readiness.room(settings(), [Estimate("top_artists", 1, 1.0, int(needed), Basis.KNOWN)])
    assert found.state is state


def test_the_warehouse(database_url):
    with psycopg.connect(database_url) as connection:
        (found,) = readiness.warehouse(connection)
        assert found.state is State.OK
        assert "UTF8" in found.line
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " SELECT 'x' || n, 'y' || n, now() FROM generate_series(1, 99) n"
        )
        assert states(readiness.warehouse(connection)) == [(State.WRONG, "warehouse")]
        connection.rollback()


def test_a_mirror(settings, database_url):
    assert states(readiness.mirror(settings())) == [(State.SKIPPED, "MusicBrainz")]
    found = readiness.mirror(settings(MUSICBRAINZ_DATABASE_URL=database_url))  # not one of MusicBrainz
    assert states(found) == [(State.FAILED, "MusicBrainz")]


class _Sink:
    name, target = "bigquery", "project.dataset"

    def __init__(self, fault=None):
        self.fault, self.closed = fault, False

    def open(self):
        pass

    def check(self):
        if self.fault:
            raise SinkUnavailableError(self.fault)

    def close(self):
        self.closed = True


def test_sinks(settings, monkeypatch):
    assert states(readiness.sinks(settings())) == [(State.SKIPPED, "sinks")]
    good, bad = _Sink(), _Sink("no such table")
    monkeypatch.setattr(readiness, "configured", lambda _: [good, bad])
    found = list(readiness.sinks(settings()))
    assert states(found) == [(State.OK, "bigquery"), (State.FAILED, "bigquery")]
    assert "BIGQUERY_DATASET=project.dataset: no such table" in found[1].line
    assert good.closed
    assert bad.closed


@pytest.mark.parametrize(
    ("ahead", "state"), [(None, State.SKIPPED), (-59, State.OK), (61, State.WARNING), (-3600, State.WARNING)]
)
def test_the_clock(ahead, state):
    assert readiness.clock(ahead).state is state
