"""What goes wrong before and during a run: one clear line, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import KEY, ROOT
from hooks import SECRET, listening

from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import demo_world, serve


def assert_one_line(result: subprocess.CompletedProcess, code: int, *words: str) -> None:
    """The exit code, and the line that our command ends with."""
    assert "Traceback" not in result.stderr
    assert result.returncode == code, result.stderr[-2000:]
    lines = [line for line in result.stderr.splitlines() if line.startswith("scrapy crawl: ")]
    assert lines
    for word in words:
        assert word in lines[0]
    assert KEY not in result.stderr


class TestWrongUse:
    """Exit code 2, before anything is started: no data folder, no request."""

    @pytest.mark.parametrize(
        ("spider", "arguments", "words"),
        [
            ("friends", {}, ["friends needs -a seeds="]),
            ("friends", {"seeds": ""}, ["seeds", "names no user"]),
            ("friends", {"seeds": " , "}, ["seeds", "names no user"]),
            ("friends", {"seeds": "@/no/such/file"}, ["seeds", "No such file"]),
            ("friends", {"seeds": "RJ", "max_users": "0"}, ["max_users='0'", "whole number from 1"]),
            ("friends", {"seeds": "RJ", "max_users": "many"}, ["max_users='many'"]),
            ("friends", {"seeds": "RJ", "max_depth": "-1"}, ["max_depth='-1'"]),
            ("friends", {"seeds": "RJ", "depth": "1"}, ["no argument 'depth'", "max_depth"]),
            ("friends", {"seeds": "RJ", "max_age": "soon"}, ["max_age='soon'", "days"]),
            ("top_artists", {"period": "forever"}, ["period='forever'", "overall", "12month"]),
            ("top_artists", {"limit": "1.5"}, ["limit='1.5'"]),
            ("nobody", {}, ["no spider 'nobody'", "friends", "top_artists"]),
        ],
    )
    def test_arguments(self, project, spider, arguments, words):
        assert_one_line(project.crawl(spider, **arguments), 2, *words)
        assert not project.data.exists()

    def test_no_key(self, project):
        result = project.run("crawl", "friends", "-a", "seeds=RJ", env={**project.env(), "LASTFM_API_KEY": " "})
        assert_one_line(result, 2, "LASTFM_API_KEY is not set", "https://www.last.fm/api/account/create")

    @pytest.mark.parametrize("words", [["-s", f"LASTFM_API_KEY={KEY}"], ["-a", f"api_key={KEY}"]])
    def test_a_key_on_the_command_line_is_refused(self, project, words):
        assert_one_line(project.run("crawl", "friends", "-a", "seeds=RJ", *words), 2, "process list")

    @pytest.mark.parametrize(
        ("setting", "word"),
        [
            ("LASTFM_API_URL=ftp://x", "LASTFM_API_URL"),
            ("LASTFM_API_URL=ws.audioscrobbler.com", "LASTFM_API_URL"),
            ("DATABASE_URL=postgresql://u:pass@[bad", "DATABASE_URL"),
            ("RESPONSE_STORE=s3://bucket", "RESPONSE_STORE"),
            ("DOWNLOAD_DELAY=often", "DOWNLOAD_DELAY"),
            ("BACKOFF_MAX=-1", "BACKOFF_MAX"),
        ],
    )
    def test_malformed_settings(self, project, setting, word):
        assert_one_line(project.run("crawl", "friends", "-a", "seeds=RJ", "-s", setting), 2, word)


class TestEnvironment:
    """Exit codes 3 and 4: what is missing or broken around us."""

    def test_unreachable_api(self, project):
        assert_one_line(project.crawl("friends", seeds="RJ"), 4, "127.0.0.1:9 does not answer", "LASTFM_API_URL")

    def test_unknown_host(self, project):
        project.url = "http://no.such.host.invalid/2.0/"
        assert_one_line(project.crawl("friends", seeds="RJ"), 4, "no.such.host.invalid does not answer")

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://u:sesame@127.0.0.1:9/x",
            "postgresql://u:sesame@no.such.host.invalid/x",
            "postgresql:///x?host=/no/such/folder&password=sesame",
        ],
    )
    def test_unreachable_warehouse(self, project, url):
        project.database_url = url
        with serve(demo_world(20)) as sandbox:
            project.url = sandbox.url
            result = project.crawl("friends", seeds="RJ")
            assert not sandbox.log, "nothing is asked for that could not be loaded"
        assert_one_line(result, 3, "the warehouse cannot be used")
        assert "sesame" not in result.stderr

    def test_unwritable_store(self, project, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with serve(demo_world(20)) as sandbox:
            project.url = sandbox.url
            result = project.crawl("friends", seeds="RJ", settings={"RESPONSE_STORE": tmp_path / "file"})
            assert not sandbox.log
        assert_one_line(result, 3, "the response store does not work", "Not a directory")

    def test_a_store_that_breaks_in_the_middle_loses_nothing(self, project, tmp_path):
        """A file where a user's folder should be: that answer cannot be kept, so it is not used."""
        store = tmp_path / "store"
        with serve(demo_world(40)) as sandbox:
            project.url = sandbox.url
            victim = sandbox.world.friends_of("RJ")[1].name.lower()
            blocker = store / "requests" / "user.getFriends" / victim
            blocker.parent.mkdir(parents=True)
            blocker.write_text("in the way")
            settings = {"RESPONSE_STORE": store}
            assert_one_line(project.crawl("friends", seeds="RJ", settings=settings), 3, "could not be stored", victim)
            stored = len(list(FolderStorage(store).keys("requests/")))
            assert not project.query("SELECT 1 FROM fetches f JOIN users u ON u.id = user_id WHERE key = %s", victim)
            blocker.unlink()
            asked = len(sandbox.log)
            assert project.crawl("friends", seeds="RJ", settings=settings).returncode == 0
            again = [(c.method, c.user.lower()) for c in sandbox.log[asked:]]
        assert stored > 1
        assert ("user.getInfo", "rj") not in again

    @pytest.mark.skipif(
        sys.platform != "linux", reason="needs Linux: a limit on the size of files stands for a full disk"
    )
    def test_a_full_disk(self, project):
        """Files above 512 bytes cannot be written: the first answer that is bigger stops the run."""
        with serve(demo_world(40)) as sandbox:
            project.url = sandbox.url
            command = [sys.executable, "-m", "scrapy", *project.words("friends", seeds="RJ")]
            limited = f"import resource, signal, os, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);\
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); os.execv({sys.executable!r}, {command!r})"
            environment = {**project.env(), "PYTHONDONTWRITEBYTECODE": "1"}
            result = subprocess.run(
                [sys.executable, "-c", limited], cwd=ROOT, env=environment, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            assert_one_line(result, 3, "could not be stored", "File too large")
            assert project.crawl("friends", seeds="RJ").returncode == 0

    def test_a_warehouse_that_is_lost_for_a_moment_is_waited_for(self, project):
        with serve(demo_world(150)) as sandbox:
            project.url = sandbox.url
            process = project.start(*project.words("friends", seeds="RJ"), stderr=subprocess.PIPE, text=True)
            while len(sandbox.log) < 40:
                assert process.poll() is None
            project.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'lastfm_crawl' AND datname = current_database()"
            )
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr[-2000:]

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"RESPONSE_STORE": "/dev/null/store"}, "store_unavailable"),
            ({"DATABASE_URL": "postgresql://u@127.0.0.1:9/x"}, "warehouse_unavailable"),
            ({"LOG_FORMATTER": "no.such.Formatter"}, "never_begun"),
        ],
    )
    def test_what_goes_wrong_before_the_first_request_is_critical_and_told(self, project, settings, reason):
        with listening() as hook:
            project.environment["ALERT_WEBHOOK"] = hook.url
            result = project.crawl("friends", seeds="RJ", settings=settings)
        assert result.returncode == 3, result.stderr[-2000:]
        assert f"CRITICAL: stopping ({reason})" in result.stderr
        assert [json.loads(body)["reason"] for _, _, body in hook.told] == [reason]
        assert SECRET not in result.stderr

    def test_the_alert_is_posted(self, project):
        with serve(demo_world(20)) as sandbox:
            project.url = sandbox.url
            project.environment["ALERT_WEBHOOK"] = sandbox.url  # any server: what counts is that it is asked
            sandbox.faults.script("user.getInfo", kinds=["error_10_403"], times=None)
            result = project.crawl("friends", seeds="RJ")
            assert_one_line(result, 3, "refuses the key")
            assert len(sandbox.log) == 2


def test_the_environment_wins_over_env_file_and_s_over_both(tmp_path):
    """.env is read from the project's folder; the environment wins over it, and -s over both."""
    copy = tmp_path / "project"
    copy.mkdir()
    (copy / "scrapy.cfg").write_text((ROOT / "scrapy.cfg").read_text())
    (copy / "lastfm_crawl").symlink_to(ROOT / "lastfm_crawl")
    (copy / ".env").write_text("CONTACT=file@example.org\nDATA_DIR=from-file\n")

    def setting(name, *words, **environment):
        command = [sys.executable, "-m", "scrapy", "settings", "--get", name, *words]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=True).stdout.strip()

    assert setting("CONTACT") == "file@example.org"
    assert setting("CONTACT", CONTACT="env@example.org") == "env@example.org"
    assert setting("CONTACT", "-s", "CONTACT=s@example.org", CONTACT="env@example.org") == "s@example.org"
    assert setting("DATA_DIR") == "from-file"
