"""The project on a real Scrapyd: an egg, the configuration of docs/examples, and the environment; nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithDefaultRealm, ProxyHandler, build_opener

import psutil
import pytest
from conftest import KEY, ROOT
from test_crawl import assert_equals_world

from lastfm_crawl.sandbox import Faults, demo_world, serve

if not (importlib.util.find_spec("scrapyd") and importlib.util.find_spec("scrapyd_client")):
    pytest.skip("needs scrapyd and scrapyd-client (requirements.txt)", allow_module_level=True)

FAST = ("DOWNLOAD_DELAY=0", "CONCURRENT_REQUESTS=4", "BACKOFF_FIRST=0.02")
LOGIN = ("keeper", "canary1password1canary")


def deploy(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """``scrapyd-deploy`` as a user runs it."""
    script = Path(sys.executable).with_name("scrapyd-deploy")
    return subprocess.run(
        [sys.executable, script, *words],
        cwd=checkout, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clean clone, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("clone")
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("needs a checkout of git's")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    return folder


@pytest.fixture(scope="module")
def egg(checkout, tmp_path_factory):
    target = tmp_path_factory.mktemp("egg") / "project.egg"
    result = deploy(checkout, "--build-egg", str(target))
    assert result.returncode == 0, result.stderr
    return target


class Scrapyd:
    """A Scrapyd in *folder*, configured as the example is; only where it listens, and how often it looks, is ours."""

    def __init__(self, folder: Path, environment: dict[str, str], login: tuple[str, str] | None = None) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "docs" / "examples" / "scrapyd.conf", folder / "scrapyd.conf")
        own = {"http_port": self.url.rpartition(":")[2].strip("/"), "poll_interval": "0.1"}
        own |= dict(zip(("username", "password"), login or ("", ""), strict=True))
        lines = "\n".join(f"{name} = {value}" for name, value in own.items())
        (folder / ".scrapyd.conf").write_text(f"[scrapyd]\n{lines}\n")
        manager = HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, self.url, *(login or ("", "")))
        self._open = build_opener(ProxyHandler({}), HTTPBasicAuthHandler(manager)).open
        self._environment = {**os.environ, **environment, "HOME": str(folder)}
        self._output = folder / "output"

    def __enter__(self):
        words = [sys.executable, "-W", "ignore", "-m", "scrapyd"]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                words, cwd=self.folder, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        until(lambda: self.process.poll() is not None or self._answers())
        assert self.process.poll() is None, self.output()
        return self

    def __exit__(self, *_):
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.terminate()
        self.process.wait(30)

    def _answers(self):
        try:
            return self.page("daemonstatus.json")
        except OSError:
            return False

    def page(self, path: str) -> str:
        with self._open(f"{self.url}{path}", timeout=10) as answer:
            return answer.read().decode()

    def wait(self, jobs: int) -> None:
        """Until so many *jobs* have ended."""
        until(lambda: json.loads(self.page("daemonstatus.json"))["finished"] == jobs)

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def job(self) -> psutil.Process:
        """The process of the only job, once it is there."""
        found = until(lambda: [p for p in psutil.Process(self.process.pid).children() if "crawl" in words_of(p)])
        return found[0]


def words_of(process: psutil.Process) -> list[str]:
    """What the process list shows; nothing for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def until(true, seconds=120):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture
def sandbox(project):
    with serve(demo_world(40), Faults(latency=0.02)) as sandbox:
        project.url = sandbox.url
        yield sandbox


@pytest.fixture
def environment(project, sandbox):
    return {name: value for name, value in project.env().items() if os.environ.get(name) != value}


@pytest.fixture
def schedule(command, environment):
    """``scrapy schedule``: what it said."""

    def run(scrapyd, *words, code=0):
        own = {name: environment[name] for name in ("DATABASE_URL", "DATA_DIR")}
        said = command("schedule", *words, SCRAPYD_URL=scrapyd.url, **own)
        assert said.code == code, said.err
        assert code == 0 or said.err.startswith("scrapy schedule: ")
        return said

    return run


def fast(*words):
    return [*words, *(word for assignment in FAST for word in ("-s", assignment))]


def rows(said):
    """The table of ``schedule list``: cells by spaces."""
    return [line.split() for line in said.out.splitlines()[2:]]


@pytest.fixture
def scrapyd(tmp_path, egg, environment):
    """One that has the egg already."""
    place = tmp_path / "scrapyd" / "eggs" / "lastfm_crawl" / "1.egg"
    place.parent.mkdir(parents=True)
    shutil.copyfile(egg, place)
    with Scrapyd(tmp_path / "scrapyd", environment) as scrapyd:
        yield scrapyd


def test_every_file_is_in_the_egg_and_the_checkout_stays_clean(checkout, egg):
    with zipfile.ZipFile(egg) as archive:
        assert set(git(checkout, "ls-files", "lastfm_crawl").splitlines()) <= set(archive.namelist())
        assert "settings = lastfm_crawl.settings" in archive.read("EGG-INFO/entry_points.txt").decode()
        assert {name.partition("/")[0] for name in archive.namelist()} == {"EGG-INFO", "lastfm_crawl"}
    changed = git(checkout, "status", "--porcelain").splitlines()
    assert [line for line in changed if not line.startswith("A ")] == []


def test_files_are_read_from_the_egg_as_it_is(egg, tmp_path, empty_database_url):
    """A zip: migrations, the model, the pages and the demo's world."""
    program = """
import sys
from lastfm_crawl.insight import page
from lastfm_crawl.matching.model import shipped
from lastfm_crawl.sandbox import demo_world
from lastfm_crawl.warehouse.migrate import migrate
assert ".egg/" in page.__file__
shipped(), demo_world(10), (page._HERE / "page.css").read_text(), (page._HERE / "page.js").read_text()
migrate(sys.argv[1]), migrate(sys.argv[1])
"""
    subprocess.run(
        [sys.executable, "-c", program, empty_database_url],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(egg)}, check=True,
    )  # fmt: skip


def test_deployed_scheduled_and_no_secret_seen(
    tmp_path, checkout, project, sandbox, environment, schedule, monkeypatch
):
    """The whole way, with a login, and with the key nowhere but in the environment."""
    monkeypatch.setenv("SCRAPYD_USERNAME", LOGIN[0])
    monkeypatch.setenv("SCRAPYD_PASSWORD", LOGIN[1])
    with Scrapyd(tmp_path / "scrapyd", environment, LOGIN) as scrapyd:
        assert "project 'lastfm_crawl' not found; `scrapyd-deploy`" in schedule(scrapyd, "list", code=2).err
        target = f"url = {scrapyd.url}\nproject = lastfm_crawl\nusername = {LOGIN[0]}\npassword = {LOGIN[1]}\n"
        (scrapyd.folder / ".scrapy.cfg").write_text(f"[deploy:here]\n{target}")
        result = deploy(checkout, "here", HOME=str(scrapyd.folder))
        assert result.returncode == 0, result.stdout + result.stderr
        assert '"status": "ok"' in result.stdout, result.stdout

        (scrapyd.folder / ".env").write_text("CONTACT=stray\n")  # whose it is nobody knows
        job = schedule(scrapyd, *fast("run", "friends", "-a", "seeds=RJ")).out.strip()
        process = scrapyd.job()
        words = words_of(process)
        assert f"JOBDIR={scrapyd.folder}/jobs/lastfm_crawl/friends/{job}" in words
        until(lambda: sandbox.log)  # now the store's process is there, too
        words += [word for child in process.children(recursive=True) for word in words_of(child)]
        scrapyd.wait(1)
        assert_equals_world(project, sandbox.world, "RJ")
        (row,) = rows(schedule(scrapyd, "list"))
        assert [*row[:3], *row[-2:]] == [job, "friends", "finished", "0", "finished"]
        assert project.query("SELECT arguments FROM runs") == [({"seeds": "RJ", "_job": job},)]
        log = schedule(scrapyd, "logs", job).out
        assert "Spider closed (finished)" in log
        assert "'USER_AGENT': 'lastfm_crawl/0.1'," in log
        assert "has ended" in schedule(scrapyd, "cancel", job).err

        pages = [scrapyd.page(path) for path in ("", "jobs", "logs/", "listjobs.json?project=lastfm_crawl")]
        assert job in pages[1]
        for text in (log, *pages, *words):
            assert KEY not in text
            assert LOGIN[1] not in text
        for path in (path for path in scrapyd.folder.rglob("*") if path.is_file()):
            assert KEY.encode() not in path.read_bytes(), path

        monkeypatch.setenv("SCRAPYD_PASSWORD", "wrong")
        assert "wants a login" in schedule(scrapyd, "list", code=3).err


def test_cancelled_once_it_ends_in_order_and_goes_on_under_its_id(scrapyd, project, sandbox, schedule):
    sandbox.faults = Faults(latency=0.3)
    words = fast("run", "friends", "-a", "seeds=RJ", "--job", "nightly")
    assert schedule(scrapyd, *words).out == "nightly\n"
    assert "job nightly is " in schedule(scrapyd, *words, code=2).err
    until(lambda: len(sandbox.log) > 8)
    sandbox.faults, asked = Faults(latency=2), len(sandbox.log)  # time for a second cancel
    until(lambda: len(sandbox.log) > asked)
    assert "job nightly is ending" in schedule(scrapyd, "cancel", "nightly").out
    until(lambda: "Received SIGINT" in scrapyd.page("logs/lastfm_crawl/friends/nightly.log"))
    assert "was told to stop before" in schedule(scrapyd, "cancel", "nightly").err
    scrapyd.wait(1)
    (row,) = rows(schedule(scrapyd, "list"))
    assert row[-2:] == ["4", "shutdown"]

    sandbox.faults = Faults()
    asked = len(sandbox.log)
    schedule(scrapyd, *words)
    scrapyd.wait(2)
    ends = [row[-2:] for row in rows(schedule(scrapyd, "list"))]
    assert ends == [["0", "finished"], ["4", "shutdown"]], "each job has the exit code of its own run"
    log = schedule(scrapyd, "logs", "nightly").out
    assert "stopped early (shutdown)" in log, "the log says what nobody reads on stderr"
    assert "twice" not in log
    assert "set aside" not in log
    assert_equals_world(project, sandbox.world, "RJ")
    assert len(sandbox.log) > asked
    assert repeated(project, sandbox) == 0


def test_killed_and_scheduled_again(scrapyd, project, sandbox, schedule):
    sandbox.faults = Faults(latency=0.2)
    words = fast("run", "friends", "-a", "seeds=RJ", "--job", "nightly")
    schedule(scrapyd, *words)
    until(lambda: len(sandbox.log) > 8)
    scrapyd.job().kill()
    scrapyd.wait(1)
    (row,) = rows(schedule(scrapyd, "list"))
    assert row[-1] == "killed"

    sandbox.faults = Faults()
    schedule(scrapyd, *words)
    scrapyd.wait(2)
    assert schedule(scrapyd, "logs", "nightly").out.count("set aside as") == 1
    assert_equals_world(project, sandbox.world, "RJ")
    assert repeated(project, sandbox) <= 4, "what was on the wire when it was killed"


def repeated(project, sandbox) -> int:
    """Questions that were asked more than once, but for those about users who are gone."""
    gone = {name for (name,) in project.query("SELECT lower(username) FROM lastfm_users WHERE status <> 'ok'")}
    questions = [(call.method, call.query) for call in sandbox.log if call.user.lower() not in gone]
    return len(questions) - len(set(questions))
