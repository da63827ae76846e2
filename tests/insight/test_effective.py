"""Where settings and secrets come from, and that none of them shows what lets somebody in."""

from __future__ import annotations

import pytest
from scrapy.settings import Settings

from lastfm_crawl import config
from lastfm_crawl import settings as module
from lastfm_crawl.insight.effective import show, values


@pytest.fixture
def found(monkeypatch, tmp_path):
    """What is found with a .env and an environment of this test's own, by name."""

    def read(env_file="", **options):
        (tmp_path / ".env").write_text(env_file, encoding="utf-8")
        monkeypatch.setattr(config, "env_file", lambda: tmp_path / ".env")
        settings = Settings()
        settings.setmodule(module, priority="project")
        for name, value in options.items():
            settings.set(name, value, "cmdline")
        return {value.name: value for value in values(settings)}

    return read


def test_origins(found, monkeypatch):
    monkeypatch.setenv("DATA_DIR", "data")
    monkeypatch.setenv("LASTFM_API_KEY", "k" * 32)
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "from the shell")
    all_of_them = found("LASTFM_API_KEY=" + "k" * 32 + "\nSPOTIFY_CLIENT_SECRET=other", DOWNLOAD_DELAY="0")
    origins = {name: value.origin for name, value in all_of_them.items()}
    assert origins["DOWNLOAD_DELAY"] == "-s"
    assert origins["AUTOTHROTTLE_ENABLED"] == "derived"
    assert origins["DATA_DIR"] == "environment"
    assert origins["RESPONSE_STORE"] == "derived"
    assert origins["DATABASE_URL"] == "derived"
    assert origins["LASTFM_API_URL"] == "default"
    assert origins["LASTFM_API_KEY"] == ".env"
    assert origins["SPOTIFY_CLIENT_SECRET"] == "environment"
    assert origins["AOTY_PROXY_URL"] == ""
    assert all_of_them["LASTFM_API_KEY"].value == "set (32 characters)"


def test_every_secret_is_there(found):
    assert set(config.SECRETS) <= found().keys()


def test_a_wrong_number_is_shown_as_it_is(found):
    assert found(DOWNLOAD_DELAY="soon")["DOWNLOAD_DELAY"].value == "soon"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://me:hunter2@host:5432/db"),
        ("DATABASE_URL", "postgresql://host/db?user=me&password=hunter2"),
        ("DATABASE_URL", "host=h user=me password='hunter2'"),
        ("DATABASE_URL", "postgresql://me:a@hunter2@host/db"),
        ("DATABASE_URL", "postgresql://me:hunter2@[host/db"),
        ("MUSICBRAINZ_DATABASE_URL", "postgresql://me:hunter2@host/db?sslpassword=hunter2"),
        ("ALERT_WEBHOOK", "https://hooks.example/hunter2"),
        ("LASTFM_API_URL", "https://me:hunter2@api.example/2.0/"),
        ("LASTFM_API_URL", "https://me:hunter2@[api.example/2.0/"),
    ],
)
def test_passwords_are_masked(name, value):
    assert "hunter2" not in show(name, value)


def test_of_a_proxy_the_host_is_shown(found, monkeypatch):
    monkeypatch.setenv("AOTY_PROXY_URL", "http://me:hunter2@proxy.example:8080/?token=hunter2")
    assert found()["AOTY_PROXY_URL"].value == "http://***@proxy.example:8080"


def test_what_is_no_secret_is_shown():
    assert show("CONTACT", "me@example.org") == "me@example.org"
    assert show("RESPONSE_STORE", "gs://bucket/prefix") == "gs://bucket/prefix"
    assert show("AOTY_URL", "https://www.albumoftheyear.org/") == "https://www.albumoftheyear.org/"
