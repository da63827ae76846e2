"""LOG_FORMAT=json: every line is an object, whatever is logged, and no secret is in any."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from scrapy import Spider
from scrapy.settings import Settings

from lastfm_crawl.downloader.redact import RedactingFilter
from lastfm_crawl.extensions import json_log
from lastfm_crawl.extensions.json_log import JsonLines, JsonLog, about, tell
from lastfm_crawl.sandbox import demo_world, serve

ODD = 'k"ü\\0canary'


@pytest.fixture
def log():
    """A logger, and what it has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test of json_log")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, lambda: [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    logger.removeHandler(handler)
    about()


@pytest.fixture
def root():
    """The root logger gets back what it had."""
    level, handlers = logging.root.level, logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    json_log._handler = None


def test_a_line(log):
    logger, lines = log
    logger.warning("%d of %s", 3, 'a "line"\nand\u2028more, ü \x00')
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    message = '3 of a "line"\nand\u2028more, ü \x00'
    assert line == {"level": "WARNING", "logger": "test of json_log", "message": message}


def test_text_that_no_encoding_takes():
    line = JsonLines().format(logging.makeLogRecord({"msg": "\ud800"}))
    assert line.isascii()
    assert json.loads(line)["message"] == "\ud800"


def test_who_speaks(log):
    logger, lines = log
    logger.error("before", extra={"spider": Spider(name="friends"), "crawler": object()})
    about(spider="friends", run_id="r1")
    logger.error("in it")
    assert [(line.get("spider"), line.get("run_id")) for line in lines()] == [("friends", None), ("friends", "r1")]


def test_exceptions_and_arguments_that_do_not_fit(log):
    logger, lines = log
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it failed", stack_info=True)
    logger.error("%d", "x")
    failed, unfit = lines()
    assert failed["exception"].endswith("ValueError: two\nlines")
    assert failed["exception"].startswith("Traceback")
    assert "stack" in failed
    assert unfit["message"] == "'%d' with arguments that do not fit"


def test_no_secret_in_any_spelling(log, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", ODD)
    logger, lines = log
    spelt = [ODD, json.dumps(ODD), json.dumps(ODD, ensure_ascii=False)]
    for text in spelt:
        logger.error("the key is %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("it failed")
    assert "canary" not in json.dumps(lines())
    assert [line["message"] for line in lines()[::2]] == ["the key is ***", *['the key is "***"'] * 2]


@pytest.mark.usefixtures("root")
def test_the_add_on_opens_the_log_that_is_asked_for(tmp_path, capsys):
    settings = Settings({"LOG_FORMAT": "json", "LOG_FILE": str(tmp_path / "log"), "LOG_LEVEL": "WARNING"})
    JsonLog.update_pre_crawler_settings(settings)
    assert not settings.getbool("LOG_INSTALL_ROOT_HANDLER")
    logging.getLogger("any").info("not this")
    logging.getLogger("any").warning("but this")
    assert [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()] == ["but this"]
    tell("crawl", ["one"])  # stderr is no log
    assert capsys.readouterr().err == "scrapy crawl: one\n"
    JsonLog.update_pre_crawler_settings(Settings({"LOG_FORMAT": "json"}))
    tell("crawl", ["two"])
    logging.getLogger("any").warning("three")
    said = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert said == ["scrapy crawl: two", "three"]
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_scrapys_own_format_stays_scrapys():
    settings = Settings()
    JsonLog.update_pre_crawler_settings(settings)
    assert settings.getbool("LOG_INSTALL_ROOT_HANDLER")


@pytest.mark.parametrize("setting", [{"LOG_LEVEL": "LOUD"}, {"LOG_FORMAT": "text"}])
def test_a_log_that_cannot_be_meant(setting, capsys):
    with pytest.raises(SystemExit) as end:
        JsonLog.update_pre_crawler_settings(Settings(setting))
    assert end.value.code == 2
    assert re.fullmatch(r"scrapy: LOG_\w+=.* is (none of|neither) .*\n", capsys.readouterr().err)


def test_every_line_of_a_crawl(project):
    project.environment |= {"LOG_FORMAT": "json", "LOG_LEVEL": "debug"}
    with serve(demo_world(20)) as sandbox:
        project.url = sandbox.url
        sandbox.faults.script("user.getFriends", kinds=["error_10_403"], times=None)
        result = project.crawl("friends", seeds="RJ")
    assert result.returncode == 3
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"DEBUG", "INFO", "CRITICAL", "ERROR"} <= {line["level"] for line in lines}
    assert lines[-1]["message"].startswith("scrapy crawl: Last.fm refuses the key")
    assert [line["run_id"] for line in lines if line["level"] == "CRITICAL"] == [
        path.stem for path in (project.data / "store" / "state" / "runs").iterdir()
    ]


def test_a_command_without_a_crawler(project):
    project.environment["LOG_FORMAT"] = "json"
    words = ["-c", "import logging; from lastfm_crawl import commands; logging.getLogger('x').warning('y')"]
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=project.env(), capture_output=True, check=True)
    assert json.loads(result.stderr)["message"] == "y"
