"""`scrapy config` as a user runs it."""

from __future__ import annotations

import json

from conftest import KEY


def test_everything_is_shown_and_nothing_given_away(project):
    project.environment |= {"ALERT_WEBHOOK": "https://hooks.example/hunter2", "CONTACT": "[bold]me\x1b[31m"}
    result = project.run("config", "-s", "DOWNLOAD_DELAY=2")
    assert (result.returncode, result.stderr) == (0, "")
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.strip()}
    assert lines["DOWNLOAD_DELAY"].split() == ["2", "seconds", "-s"]
    assert lines["LASTFM_API_KEY"].split("  ")[0] == f"set ({len(KEY)} characters)"
    assert lines["CONTACT"].startswith("[bold]me\ufffd[31m")
    assert KEY not in result.stdout
    assert "hunter2" not in result.stdout


def test_as_json(project):
    found = {one["name"]: one for one in json.loads(project.run("config", "--json").stdout)["settings"]}
    assert found["LASTFM_API_KEY"]["origin"] == "environment"
    assert found["PROGRESS_INTERVAL"] == {
        "name": "PROGRESS_INTERVAL", "value": "60.0", "unit": "seconds", "origin": "default", "section": "ours",
        "meaning": found["PROGRESS_INTERVAL"]["meaning"],
    }  # fmt: skip
