"""The project on a real Scrapyd: deployed as an egg, with the example's configuration, and nothing but its environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.request import HTTPPasswordMgrWithDefaultRealm, ProxyHandler, build_opener
from urllib.request import HTTPBasicAuthHandler as BasicAuth

import psutil
import pytest
from conftest import KEY, ROOT
from scrapy.cmdline import execute
from scrapy.utils.project import get_project_settings
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
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def egg(checkout, tmp_path_factory):
    target = tmp_path_factory.mktemp("egg") / "project.egg"
    result = deploy(checkout, "--build-egg", str(target))
    assert result.returncode == 0, result.stderr
    return target


class Scrapyd:
    """A Scrapyd with the example's configuration in *folder*; only where it listens, and how often it looks, is ours."""

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
        self._open = build_opener(ProxyHandler({}), BasicAuth(manager)).open
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

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def job(self) -> psutil.Process:
        """The process of the only job, once it is there."""
        found = until(lambda: [p for p in psutil.Process(self.process.pid).children() if "crawl" in p.cmdline()])
        return found[0]


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture
def sandbox(project):
    with serve(demo_world(80), Faults(latency=0.02)) as sandbox:
        project.url = sandbox.url
        yield sandbox


@pytest.fixture
def environment(project, sandbox):
    return {name: value for name, value in project.env().items() if os.environ.get(name) != value}


@pytest.fixture
def schedule(project, environment, monkeypatch, capsys):
    """``scrapy schedule`` in this process: exit code, what it said, and its complaint."""

    def run(scrapyd, *words, code=0):
        settings = get_project_settings()
        for name in ("DATABASE_URL", "DATA_DIR"):
            settings.set(name, environment[name], "cmdline")
        settings.set("SCRAPYD_URL", scrapyd.url, "cmdline")
        monkeypatch.chdir(ROOT)
        with pytest.raises(SystemExit) as ended:
            execute(["scrapy", "schedule", *words], settings)
        said = capsys.readouterr()
        assert ended.value.code == code, said.err
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
    tracked = subprocess.run(["git", "ls-files", "lastfm_crawl"], cwd=checkout, capture_output=True, text=True)
    with zipfile.ZipFile(egg) as archive:
        assert set(tracked.stdout.split()) <= set(archive.namelist())
        assert "settings = lastfm_crawl.settings" in archive.read("EGG-INFO/entry_points.txt").decode()
        outside = {name.partition("/")[0] for name in archive.namelist()}
        assert outside == {"EGG-INFO", "lastfm_crawl"}
    left = subprocess.run(["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True).stdout
    assert [line for line in left.splitlines() if not line.startswith("A ")] == []


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
        (tmp_path / "scrapyd" / ".scrapy.cfg").write_text(
            f"[deploy:here]\nurl = {scrapyd.url}\nproject = lastfm_crawl\nusername = {LOGIN[0]}\npassword = {LOGIN[1]}\n"
        )
        result = deploy(checkout, "here", HOME=str(tmp_path / "scrapyd"))
        assert result.returncode == 0, result.stdout + result.stderr
        assert '"status": "ok"' in result.stdout, result.stdout

        job = schedule(scrapyd, *fast("run", "friends", "-a", "seeds=RJ")).out.strip()
        words = scrapyd.job().cmdline()
        assert not [word for word in words if KEY in word or LOGIN[1] in word]
        assert f"JOBDIR={scrapyd.folder}/jobs/lastfm_crawl/friends/{job}" in words
        until(lambda: '"running": 0' in scrapyd.page("daemonstatus.json") and '"finished": 1' in scrapyd.page("daemonstatus.json"))
        assert_equals_world(project, sandbox.world, "RJ")
        (row,) = rows(schedule(scrapyd, "list"))
        assert [*row[:3], *row[-2:]] == [job, "friends", "finished", "0", "finished"]
        assert project.query("SELECT arguments FROM runs") == [({"seeds": "RJ", "_job": job},)]

        log = schedule(scrapyd, "logs", job).out
        assert "Spider closed (finished)" in log
        assert "has ended" in schedule(scrapyd, "cancel", job).err
        seen = [log, *(scrapyd.page(path) for path in ("", "jobs", "logs/", "listjobs.json?project=lastfm_crawl"))]
        for text in (*seen, *map(str, words)):
            assert KEY not in text
            assert LOGIN[1] not in text
        for path in (p for p in scrapyd.folder.rglob("*") if p.is_file()):
            assert KEY.encode() not in path.read_bytes(), path

        monkeypatch.setenv("SCRAPYD_PASSWORD", "wrong")
        assert "wants a login" in schedule(scrapyd, "list", code=3).err


def test_cancelled_once_it_ends_in_order_and_goes_on_under_its_id(scrapyd, project, sandbox, schedule):
    sandbox.faults = Faults(latency=0.3)
    words = fast("run", "friends", "-a", "seeds=RJ", "--job", "nightly")
    assert schedule(scrapyd, *words).out == "nightly\n"
    assert "job nightly is " in schedule(scrapyd, *words, code=2).err
    until(lambda: len(sandbox.log) > 8)
    assert "job nightly is ending" in schedule(scrapyd, "cancel", "nightly").out
    until(lambda: "Received SIGINT" in scrapyd.page("logs/lastfm_crawl/friends/nightly.log"))
    assert "was told to stop before" in schedule(scrapyd, "cancel", "nightly").err
    until(lambda: '"finished": 1' in scrapyd.page("daemonstatus.json"))
    (row,) = rows(schedule(scrapyd, "list"))
    assert row[-2:] == ["4", "shutdown"]

    sandbox.faults = Faults()
    asked = len(sandbox.log)
    schedule(scrapyd, *words)
    until(lambda: '"finished": 2' in scrapyd.page("daemonstatus.json"))
    assert {tuple(row[-2:]) for row in rows(schedule(scrapyd, "list"))} == {("4", "shutdown"), ("0", "finished")}
    log = schedule(scrapyd, "logs", "nightly").out
    assert "twice" not in log
    assert "set aside" not in log
    assert "stopped early (shutdown)" in log, "the log says what stderr would"
    assert_equals_world(project, sandbox.world, "RJ")
    assert len(sandbox.log) > asked
    gone = {name for (name,) in project.query("SELECT lower(username) FROM lastfm_users WHERE status <> 'ok'")}
    questions = [(call.method, call.query) for call in sandbox.log if call.user.lower() not in gone]
    assert len(questions) == len(set(questions)), "nothing was asked for twice"


def test_killed_and_scheduled_again(scrapyd, project, sandbox, schedule):
    sandbox.faults = Faults(latency=0.2)
    words = fast("run", "friends", "-a", "seeds=RJ", "--job", "nightly")
    schedule(scrapyd, *words)
    until(lambda: len(sandbox.log) > 8)
    scrapyd.job().send_signal(signal.SIGKILL)
    until(lambda: '"finished": 1' in scrapyd.page("daemonstatus.json"))
    (row,) = rows(schedule(scrapyd, "list"))
    assert row[-1] == "killed"

    sandbox.faults = Faults()
    schedule(scrapyd, *words)
    until(lambda: '"finished": 2' in scrapyd.page("daemonstatus.json"))
    log = schedule(scrapyd, "logs", "nightly").out
    assert log.count("set aside as") == 1
    assert_equals_world(project, sandbox.world, "RJ")
    assert "nothing" not in log.partition("set aside")[0]
