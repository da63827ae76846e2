"""`scrapy schedule` against a stand-in of Scrapyd: what it asks, and one line for all that can go wrong."""

from __future__ import annotations

import base64
import json
import os
import threading
from configparser import ConfigParser
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest
from conftest import ROOT

from lastfm_crawl import config
from lastfm_crawl.commands.scrapyd import PROJECT
from lastfm_crawl.settings import SCRAPYD_URL

JOBS = {"pending": [], "running": [], "finished": []}
RUNNING = {
    "id": "nightly", "spider": "friends", "pid": 7, "start_time": "2026-11-21 03:15:00.123456",
    "log_url": "/logs/lastfm_crawl/friends/nightly.log", "items_url": None,
}  # fmt: skip
FINISHED = {**RUNNING, "end_time": "2026-11-21 03:20:00.123456"}
PENDING = {"id": "nightly", "project": "lastfm_crawl", "spider": "friends", "version": None, "settings": {}, "args": {}}
TOLD = " [scrapy.crawler] INFO: Received SIGINT, shutting down gracefully. Send again to force \n"


class StandIn:
    """Answers by path, as ``(status, body)``; ``asked`` holds paths with what was posted, ``logins`` the headers."""

    def __init__(self) -> None:
        self.answers = {}
        self.asked = []
        self.logins = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.asked.append((path, parse_qsl(sent)))
                outer.logins.append(self.headers.get("Authorization"))
                status, body = outer.answers.get(path, (404, "no such page"))
                content = body.encode() if isinstance(body, str) else json.dumps({"status": "ok", **body}).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", body)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def jobs(self, **states):
        self.answers["/listjobs.json"] = (200, {**JOBS, **states})

    def posted(self, path):
        return [fields for asked, fields in self.asked if asked == path]


@pytest.fixture
def scrapyd():
    scrapyd = StandIn()
    scrapyd.jobs()
    scrapyd.answers["/schedule.json"] = (200, {"jobid": "abc"})
    scrapyd.answers["/cancel.json"] = (200, {"prevstate": "running"})
    yield scrapyd
    scrapyd.server.shutdown()
    scrapyd.server.server_close()


@pytest.fixture
def schedule(command, scrapyd, tmp_path):
    def run(*words, **settings):
        chosen = {"SCRAPYD_URL": scrapyd.url, "DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": None, **settings}
        return command("schedule", *words, **chosen)

    return run


def refused(said, code, *words):
    """One line, and nothing else."""
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("scrapy schedule: ")
    assert said.err.count("\n") == 1
    for word in words:
        assert word in said.err


def test_a_run_is_sent_with_its_arguments_and_settings(schedule, scrapyd, tmp_path):
    (tmp_path / "names").write_text("RJ\n")
    names = os.path.relpath(tmp_path / "names", ROOT)
    said = schedule(
        "run", "friends", "-a", f"seeds=@{names}", "-a", "max_users=5", "-s", "DOWNLOAD_DELAY=2",
        "-s", f"SCRAPYD_URL={scrapyd.url}", "--job", "nightly",
    )  # fmt: skip
    assert said == (0, "abc\n", "")
    assert scrapyd.posted("/schedule.json") == [
        [
            ("project", "lastfm_crawl"),
            ("spider", "friends"),
            ("seeds", f"@{tmp_path}/names"),
            ("max_users", "5"),
            ("setting", "DOWNLOAD_DELAY=2"),
            ("jobid", "nightly"),
        ]
    ]
    assert scrapyd.logins == [None, None]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["no_such", "-a", "seeds=RJ"], "there is no spider 'no_such'; there are aoty, friends"),
        (["friends"], "friends needs -a seeds"),
        (["friends", "-a", "seeds=RJ", "-a", "max_users=many"], "max_users='many' is wrong"),
        (["friends", "-a", "seeds=RJ", "-a", "api_key=k"], "LASTFM_API_KEY must come from the environment"),
        (["friends", "-a", "seeds=RJ", "-s", "LASTFM_API_KEY=k"], "LASTFM_API_KEY must come from the environment"),
        (["friends", "-a", "seeds=RJ", "-s", "SCRAPYD_PASSWORD=p"], "SCRAPYD_PASSWORD must come from the environment"),
        (["friends", "-a", "seeds=RJ", "-s", "DATABASE_URL=postgresql://me:pw@h/d"], "DATABASE_URL holds a password"),
        (["friends", "-a", "seeds=RJ", "-s", "DATABASE_URL=host=h password=pw"], "DATABASE_URL holds a password"),
        (["friends", "-a", "seeds=RJ", "--job", "../../etc"], "'../../etc' is no id"),
    ],
)
def test_what_is_wrong_is_not_sent(schedule, scrapyd, words, why):
    refused(schedule("run", *words, DOWNLOAD_DELAY="1"), 2, why)
    assert scrapyd.posted("/schedule.json") == []


@pytest.mark.parametrize(
    "words",
    [
        [], ["start"], ["run"], ["list", "x"], ["cancel"], ["logs", "a", "b"], ["list", "--job", "x"],
        ["run", "friends", "-a", "seeds"],
    ],
)  # fmt: skip
def test_wrong_use(schedule, scrapyd, words):
    said = schedule(*words)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert scrapyd.asked == []


@pytest.mark.parametrize("state", ["pending", "running"])
def test_an_id_that_is_taken_is_refused(schedule, scrapyd, state):
    scrapyd.jobs(**{state: [RUNNING if state == "running" else PENDING]})
    refused(schedule("run", "friends", "-a", "seeds=RJ", "--job", "nightly"), 2, f"job nightly is {state}")
    assert scrapyd.posted("/schedule.json") == []
    assert schedule("run", "friends", "-a", "seeds=RJ", "--job", "other").code == 0


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        ((200, {"status": "error", "message": "project 'lastfm_crawl' not found"}), 2, "`scrapyd-deploy` sends it"),
        ((200, {"status": "error", "message": "spider 'friends' not found"}), 2, "`scrapyd-deploy` sends it"),
        (
            (200, {"status": "error", "message": "RunnerError: Traceback\n  File x\nKeyError: 'k'\n"}),
            3,
            "KeyError: 'k'",
        ),
        ((200, {"status": "error"}), 3, "does not say why"),
        ((200, {}), 3, "does not answer as Scrapyd does"),
        ((200, "<html>"), 3, "does not answer as Scrapyd does"),
        ((200, "[]"), 3, "does not answer as Scrapyd does"),
        ((401, "Unauthorized"), 3, "SCRAPYD_USERNAME and SCRAPYD_PASSWORD"),
        ((404, "nothing"), 2, "answers 404"),
        ((500, "oh"), 3, "answers 500"),
    ],
)
def test_what_scrapyd_does_not_do_is_one_line(schedule, scrapyd, answer, code, why):
    scrapyd.answers["/schedule.json"] = answer
    refused(schedule("run", "friends", "-a", "seeds=RJ"), code, why)


def test_nobody_there(schedule):
    refused(schedule("list", SCRAPYD_URL="http://127.0.0.1:9/"), 3, "cannot be reached at http://127.0.0.1:9/")


@pytest.mark.parametrize("url", ["localhost:6800", "ftp://x/", "http://me:canary@localhost:6800/"])
def test_a_url_that_is_none(schedule, url):
    said = schedule("list", SCRAPYD_URL=url)
    refused(said, 2, "SCRAPYD_URL")
    assert "canary" not in said.err


def test_the_login_goes_to_scrapyd_and_nowhere_else(schedule, scrapyd, monkeypatch):
    monkeypatch.setenv("SCRAPYD_USERNAME", "mé")
    monkeypatch.setenv("SCRAPYD_PASSWORD", "p:w")
    other = StandIn()
    scrapyd.answers["/listjobs.json"] = (302, f"{other.url}listjobs.json")
    refused(schedule("list"), 3, "answers 302")
    assert base64.b64decode(scrapyd.logins[0].removeprefix("Basic ")).decode() == "mé:p:w"
    assert other.asked == []
    other.server.shutdown()
    other.server.server_close()


def test_the_login_is_never_searched_for_in_answers():
    """A name such as "music" would take bytes out of what is stored."""
    assert not set(config.LOGINS) & set(config.SECRETS)


def test_one_signal_and_no_more(schedule, scrapyd):
    scrapyd.jobs(running=[RUNNING])
    scrapyd.answers[RUNNING["log_url"]] = (200, f"2026-11-20 03:20:00{TOLD}")  # the night before, under the same id
    assert "is ending" in schedule("cancel", "nightly").out
    assert scrapyd.posted("/cancel.json") == [[("project", "lastfm_crawl"), ("job", "nightly")]]
    scrapyd.answers[RUNNING["log_url"]] = (200, f"2026-11-21 03:15:00{TOLD}")
    said = schedule("cancel", "nightly")
    assert (said.code, said.out) == (0, "")
    assert "was told to stop before" in said.err
    assert len(scrapyd.posted("/cancel.json")) == 1


def test_a_job_without_a_log_can_be_cancelled_and_one_whose_log_cannot_be_read_is_not(schedule, scrapyd):
    scrapyd.jobs(running=[RUNNING])
    assert schedule("cancel", "nightly").code == 0
    assert len(scrapyd.posted("/cancel.json")) == 1
    scrapyd.answers[RUNNING["log_url"]] = (500, "oh")
    refused(schedule("cancel", "nightly"), 3, "answers 500")
    assert len(scrapyd.posted("/cancel.json")) == 1


def test_behind_a_proxy_in_a_folder(schedule, scrapyd):
    scrapyd.jobs(finished=[FINISHED])
    scrapyd.answers = {f"/deep{path}": answer for path, answer in scrapyd.answers.items()}
    scrapyd.answers[f"/deep{RUNNING['log_url']}"] = (200, "one\n")
    assert schedule("logs", "nightly", SCRAPYD_URL=f"{scrapyd.url}deep").out == "one\n"


def test_what_waits_is_taken_out_and_what_has_ended_is_left_alone(schedule, scrapyd):
    scrapyd.jobs(pending=[PENDING], finished=[FINISHED])
    assert "out of the queue" in schedule("cancel", "nightly").out
    scrapyd.jobs(finished=[FINISHED])
    assert "has ended" in schedule("cancel", "nightly").err
    assert len(scrapyd.posted("/cancel.json")) == 1
    refused(schedule("cancel", "other"), 2, "has no job 'other'")


def test_logs_of_the_newest_job_without_what_steers_a_terminal(schedule, scrapyd):
    scrapyd.jobs(finished=[FINISHED])
    scrapyd.answers[RUNNING["log_url"]] = (200, "one\r\n\x1b[2Jtwo é\n")
    assert schedule("logs", "nightly").out == "one\n\ufffd[2Jtwo é\n"
    scrapyd.jobs(pending=[PENDING])
    refused(schedule("logs", "nightly"), 2, "has no log yet")
    refused(schedule("logs", "other"), 2, "has no job 'other'")


def test_list_without_a_warehouse_makes_none(schedule, scrapyd, tmp_path):
    scrapyd.jobs(pending=[PENDING], running=[{**RUNNING, "id": "other"}], finished=[FINISHED])
    said = schedule("list")
    assert [line.split()[:3] for line in said.out.splitlines()[2:]] == [
        ["nightly", "friends", "pending"], ["other", "friends", "running"], ["nightly", "friends", "finished"]
    ]  # fmt: skip
    assert "there is no warehouse in" in said.err
    assert not (tmp_path / "data").exists()


def test_list_with_a_warehouse_that_is_away(schedule, scrapyd):
    scrapyd.jobs(finished=[FINISHED])
    said = schedule("list", DATABASE_URL="postgresql://127.0.0.1:9/none?connect_timeout=1")
    assert said.code == 0
    assert "nightly" in said.out
    assert "no exit codes are shown: " in said.err


def test_exit_codes_are_those_of_the_run_within_the_jobs_time(schedule, scrapyd, project):
    """Here as Scrapyd's times are: without a zone, in the place's own."""
    for name, minute, code in (("1", 15, 4), ("2", 59, 0)):
        started = datetime(2026, 11, 21, 3, minute, 4).astimezone()
        project.execute(
            "INSERT INTO runs (id, spider, arguments, started_at, members_before, finish_reason, exit_code) VALUES"
            f" ('{name}', 'friends', '{json.dumps({'_job': 'nightly'})}',"
            f" '{started.isoformat()}', 0, 'why{name}', {code})"
        )
    again = {**FINISHED, "start_time": "2026-11-22 03:15:00.1", "end_time": "2026-11-22 03:16:00.1"}
    scrapyd.jobs(finished=[again, FINISHED])
    said = schedule("list", DATABASE_URL=project.database_url)
    assert [line.split()[7:] for line in said.out.splitlines()[2:]] == [[], ["4", "why1"]]


def test_scrapyd_deploy_sends_to_where_schedule_looks():
    target = ConfigParser()
    target.read(ROOT / "scrapy.cfg")
    assert target["deploy"]["project"] == PROJECT
    assert target["deploy"]["url"] == SCRAPYD_URL
