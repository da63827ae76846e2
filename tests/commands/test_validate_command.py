"""`scrapy validate` as a user runs it, and what it does when a check hangs or a step rests on another."""

from __future__ import annotations

import time

import pytest
from conftest import KEY
from scrapy.settings import Settings

from lastfm_crawl import settings as module
from lastfm_crawl.commands import validate
from lastfm_crawl.insight.readiness import Finding, State
from lastfm_crawl.sandbox import demo_world, serve


def test_everything_is_there(project):
    with serve(demo_world(5)) as sandbox:
        project.url = sandbox.url
        project.environment |= {
            "CONTACT": "me@example.org",
            "SPOTIFY_TOKEN_URL": sandbox.spotify_token_url,
            "SPOTIFY_CLIENT_ID": "client",
            "SPOTIFY_CLIENT_SECRET": "secret0secret",
        }
        result = project.run("validate")
        assert len(sandbox.calls("user.getInfo")) == 1
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    for line in ("Last.fm: takes the key", "Spotify: gives a token", "warehouse: PostgreSQL", "clock: right"):
        assert f"ok       {line}" in result.stdout


def test_nobody_answers(project):
    project.database_url = "postgresql://me:hunter2@127.0.0.1:9/nothing"
    result = project.run("validate")
    assert result.returncode == 3
    assert result.stderr.startswith("scrapy validate: 2 of ")
    assert len(result.stderr.splitlines()) == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert [line.split()[1] for line in failed] == ["warehouse:", "Last.fm:"]
    assert KEY not in result.stdout
    assert "hunter2" not in result.stdout


@pytest.fixture
def found(tmp_path, database_url):
    def found(**options):
        settings = Settings()
        settings.setmodule(module, priority="project")
        options = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": database_url, **options}
        settings.update(options, "cmdline")
        return list(validate.findings(settings))

    return found


def wrong(findings):
    return {finding.about: finding.line for finding in findings if finding.state is State.WRONG}


def test_without_a_key_nobody_is_asked(found):
    findings = found()
    assert wrong(findings).keys() == {"Last.fm"}
    assert "https://www.last.fm/api/account/create" in wrong(findings)["Last.fm"]


def test_half_an_app_of_spotify(found):
    assert "SPOTIFY_CLIENT_SECRET is not set" in wrong(found(SPOTIFY_CLIENT_ID="client"))["Spotify"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"LASTFM_API_URL": "nonsense"}, "LASTFM_API_URL"),
        ({"RESPONSE_STORE": "s3://bucket"}, "RESPONSE_STORE"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DOWNLOAD_DELAY": "soon"}, "DOWNLOAD_DELAY"),
    ],
)
def test_with_wrong_settings_nothing_is_tried(found, options, words):
    findings = found(**options)
    assert words in wrong(findings)["settings"]
    assert "warehouse" not in {finding.about for finding in findings}


def test_a_check_that_hangs(monkeypatch):
    monkeypatch.setattr(validate, "PATIENCE", 0.2)

    def check():
        yield Finding(State.OK, "one", "there")
        time.sleep(2)

    began = time.monotonic()
    states = [finding.state for finding in validate._within("slow", check)]
    assert states == [State.OK, State.FAILED]
    assert time.monotonic() - began < 1.5


def test_a_fault_in_a_check_is_not_hidden():
    def check():
        yield Finding(State.OK, "one", "there")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(validate._within("broken", check))
