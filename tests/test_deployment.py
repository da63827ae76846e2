"""Dockerfile, compose.yaml and the workflows call what there is, pin what they take, and hold no secret."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from argparse import ArgumentParser
from importlib import import_module
from pathlib import PurePosixPath

import pytest
from conftest import ROOT
from ruamel.yaml import YAML
from scrapy.utils.project import get_project_settings

from lastfm_crawl import config, settings
from lastfm_crawl.commands.scrapyd import PROJECT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: What the environment of a container or a step holds besides our settings and secrets.
FOREIGN = {"PGPASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}
INPUTS = {"SEEDS", "MAX_USERS", "HISTORIES", "DRY_RUN"}


def read(path):
    # 1.2, as GitHub and Compose read it: "on" is no boolean.
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def joined(text):
    """The lines of *text*, continued ones as one."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


DOCKERFILE = joined((ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE = read(ROOT / "compose.yaml")


def instructions(name):
    """What follows *name* in the Dockerfile."""
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE if line.startswith(f"{name} ")]


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def environments():
    """Everything that is put into an environment: where, name, value."""
    for name, service in COMPOSE["services"].items():
        yield from ((name, *pair) for pair in service["environment"].items())
    for path in WORKFLOWS:
        workflow = read(path)
        for place in (workflow, *workflow["jobs"].values(), *steps(workflow)):
            yield from ((path.name, *pair) for pair in place.get("env", {}).items())
    yield from (("Dockerfile", *text.split("=", 1)) for text in instructions("ENV"))


def calls():
    """Our commands as they are called: the words after ``scrapy``."""
    for path in WORKFLOWS:
        for step in steps(read(path)):
            for line in joined(step.get("run", "")):
                if found := re.search(r"\bscrapy ([^>|]+)", line):
                    text = re.sub(r"\$\{\w+:\+([^}]+)\}", r"\1", found[1])
                    yield re.sub(r"\$\w+", "7", text)
    for line in (ROOT / "compose.yaml").read_text(encoding="utf-8").splitlines():
        if found := re.search(r"docker compose run --rm crawler (.+)", line):
            yield found[1]


@pytest.mark.parametrize("call", sorted(set(calls())))
def test_commands_exist_and_take_these_options(call):
    name, *words = shlex.split(call)
    command = import_module(f"lastfm_crawl.commands.{name}").Command()
    command.settings = get_project_settings()
    parser = ArgumentParser()
    command.add_options(parser)
    _, rest = parser.parse_known_args(words)
    assert not [word for word in rest if word.startswith("-")]


def test_something_is_called():
    assert {call.split()[0] for call in calls()} >= {"ingest", "validate", "status", "crawl", "schedule"}


def test_what_the_image_copies_is_there_and_nothing_else_is_sent():
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    sent = {line[1:] for line in ignore if line.startswith("!")}
    copied = {text.split()[0] for text in instructions("COPY")}
    assert sent == copied
    assert all((ROOT / name).exists() for name in copied)
    assert not any(part.startswith(".") for name in sent for part in PurePosixPath(name).parts)


def test_the_image_runs_scrapy_as_somebody():
    assert json.loads(*instructions("ENTRYPOINT")) == ["tini", "--", "scrapy"]
    assert int(*instructions("USER")) > 0
    assert instructions("ENV") == [f"DATA_DIR={instructions('VOLUME')[0]}"]


def test_versions_are_pinned():
    (base,) = instructions("FROM")
    images = [service["image"] for service in COMPOSE["services"].values() if "build" not in service]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert len(images) == 1
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", images[0])
    for path in WORKFLOWS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line), line


def test_names_in_environments_are_known_and_no_secret_is_written_down():
    secret = re.compile(r"\$\{\{ secrets\.(\w+) \}\}|\$\{(\w+):\?[^}]+\}")
    found = list(environments())
    assert found
    for place, name, value in found:
        assert hasattr(settings, name) or name in {*config.SECRETS, *config.LOGINS, *FOREIGN, *INPUTS}, (place, name)
        if re.search("KEY|SECRET|PASSWORD|USERNAME|WEBHOOK", name) and not name.endswith("_FILE"):
            assert secret.fullmatch(value), (place, name)
        assert not re.search(r"://[^@/]*:[^@/]*@", value), (place, name)


def test_services_are_for_this_machine_alone_and_wait_for_the_warehouse():
    services = COMPOSE["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:6800:6800"]
    for name in ("crawler", "scrapyd"):
        assert services[name]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert services[name]["stop_grace_period"] == "5m"
    assert "healthcheck" in services["postgres"]
    (password,) = services["postgres"]["secrets"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{password}"


def test_scrapyd_of_the_image_runs_the_project_beside_it():
    parser = configparser.ConfigParser()
    examples = [ROOT / "docs" / "examples" / name for name in ("scrapyd.conf", "scrapyd-docker.conf")]
    assert len(parser.read([*examples, ROOT / "scrapy.cfg"])) == 3  # in Scrapyd's order
    assert parser["settings"][PROJECT] == "lastfm_crawl.settings"
    folders = {parser["scrapyd"][name] for name in ("jobs_dir", "logs_dir", "eggs_dir", "dbs_dir")}
    assert all(folder.startswith(f"{instructions('VOLUME')[0]}/") for folder in folders)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_read_and_no_more(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 360
        more = {"contents": "read", "id-token": "write"} if name == "ingest" else workflow["permissions"]
        assert job.get("permissions", more) == more
    for step in steps(workflow):
        assert "${{" not in step.get("run", ""), "what is pasted into a script is run"
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert "pull_request_target" not in workflow["on"]
