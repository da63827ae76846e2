"""``scrapy demo`` and the help texts, as a new user meets them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from lastfm_crawl import reference
from lastfm_crawl.commands.demo import _environment as demo_environment
from lastfm_crawl.config import SECRETS
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres


@pytest.fixture
def environment(tmp_path):
    data = tmp_path / "data"
    yield {**os.environ, "DATA_DIR": str(data), "LASTFM_API_KEY": "mine", "DATABASE_URL": "postgresql:///not/this/one"}
    EmbeddedPostgres(data / "demo" / "postgres").remove()


def demo(environment):
    result = subprocess.run(
        [sys.executable, "-m", "scrapy", "demo"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result


def figures(output: str) -> dict[str, int]:
    found = re.findall(
        r"^(users|friendships|artists|scrobbles|requests to the sandbox|stored answers) +([\d,]+)", output, re.MULTILINE
    )
    return {name: int(value.replace(",", "")) for name, value in found}


def test_the_demo_shows_the_whole_job_and_the_second_time_asks_for_nothing(environment, tmp_path):
    first = demo(environment)
    shown = figures(first.stdout)
    assert shown["users"] == 294
    assert shown["friendships"] > 2000
    assert shown["artists"] > 100
    assert shown["scrobbles"] > 10_000
    # Six are gone, asked twice to be believed; a token and a robots.txt are not stored.
    assert shown["stored answers"] == shown["requests to the sandbox"] - 8
    assert str(tmp_path / "data" / "demo" / "store") in first.stdout
    assert "scrapy crawl friends" in first.stdout
    second = figures(demo(environment).stdout)
    assert second == {**shown, "requests to the sandbox": 0}


@pytest.mark.slow
def test_ctrl_c_ends_in_order_and_the_next_demo_goes_on(environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "scrapy", "demo"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    answers, deadline = Path(environment["DATA_DIR"], "demo", "store", "requests"), time.monotonic() + 60
    while not answers.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "Traceback" not in stderr
    assert "run" in stderr
    assert figures(demo(environment).stdout)["users"] == 294


def test_what_the_owner_has_set_is_not_for_the_demo():
    """With a BIGQUERY_DATASET in .env the invented users would be sent there."""
    environment = demo_environment("http://127.0.0.1:1/2.0/", "data/demo")
    unset = {
        name: environment[name] for name in ("BIGQUERY_DATASET", "FIRESTORE_PROJECT", "DATABASE_URL", "JOB_WEBHOOK")
    }
    assert set(unset.values()) == {""}
    assert environment.keys() >= {setting.name for setting in reference.settings() if setting.from_environment}
    assert environment.keys() >= set(SECRETS)


def test_the_commands_are_listed():
    result = subprocess.run(
        [sys.executable, "-m", "scrapy"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert re.search(r"^  demo +\S", result.stdout, re.MULTILINE)
    assert re.search(r"^  crawl +Run a spider; the exit code", result.stdout, re.MULTILINE)
