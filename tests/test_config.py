"""Settings that cannot work are named in one line before anything is started."""

from __future__ import annotations

import re

import pytest
from scrapy.settings import Settings

from lastfm_crawl import config, settings


@pytest.fixture
def chosen():
    return Settings({name: getattr(settings, name) for name in dir(settings) if name.isupper()})


def test_the_defaults_work(chosen):
    config.check(chosen)


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("MONITOR_MAX_ERRORS", "1.1", "share, a number from 0 to 1"),
        ("MONITOR_MIN_COVERAGE", "-0.1", "share, a number from 0 to 1"),
        ("MONITOR_LOST_FIELD", "half", "share, a number from 0 to 1"),
        ("MONITOR_MIN_ROWS", "some", "number of rows"),
        ("BACKOFF_MAX", "nan", "number of seconds"),
        ("LASTFM_STORAGE_CAP_MB", "-1", "number of megabytes"),
    ],
)
def test_numbers(chosen, name, value, unit):
    chosen.set(name, value)
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} is not a {unit}")):
        config.check(chosen)


@pytest.mark.parametrize("path", ["/no/such/folder/m.prom", "%(name)s.prom", "100%.prom", "%s.prom"])
def test_a_metrics_file_that_cannot_be_meant(chosen, path):
    chosen.set("METRICS_FILE", path)
    with pytest.raises(ValueError, match=re.escape(f"METRICS_FILE={path!r}")):
        config.check(chosen)


@pytest.mark.parametrize("path", ["{}/m.prom", "{}/%(spider)s.prom", "{}/100%%.prom"])
def test_a_metrics_file(chosen, path, tmp_path):
    chosen.set("METRICS_FILE", path.format(tmp_path))
    config.check(chosen)


def test_an_url_that_cannot_be_read_is_refused_without_its_password(chosen, monkeypatch):
    monkeypatch.setenv("AOTY_PROXY_URL", "http://me:hunter\u2100@proxy.example:8080")
    with pytest.raises(ValueError, match=r"^AOTY_PROXY_URL is not an http"):
        config.check(chosen)
    chosen.set("AOTY_URL", "http://[")
    with pytest.raises(ValueError, match=r"^AOTY_URL='http://\['"):
        config.check(chosen)
