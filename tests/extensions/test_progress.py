"""How far the run is: plain lines off a terminal, a bar on one that leaves the log readable."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from doubles import crawler_with
from scrapy import Spider, signals

from lastfm_crawl.extensions import progress as progress_module
from lastfm_crawl.extensions.progress import Progress

ROOT = Path(__file__).parent.parent.parent


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(progress_module.time, "monotonic", lambda: self.now)


class Counting(Spider):
    unit = "users"
    done = total = 0


@pytest.fixture
def crawler(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    return crawler_with(EXTENSIONS_BASE={}, PROGRESS_INTERVAL=0.05)


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == progress_module.__name__]


def state(crawler, spider, *, asked=0, done=0, total=0):
    crawler.stats.set_value("lastfm_crawl/asked/user.getInfo", asked // 3)
    crawler.stats.set_value("lastfm_crawl/asked/user.getTopArtists", asked - asked // 3)
    spider.done, spider.total = done, total


# --- off a terminal ----------------------------------------------------------------------------------------------


async def test_plain_lines_while_it_runs_and_at_the_end(crawler, caplog, capfd):
    progress = Progress.from_crawler(crawler)
    spider = Counting(name="top_artists")
    with caplog.at_level(logging.INFO):
        await crawler.signals.send_catch_log_async(signals.spider_opened, spider=spider)
        state(crawler, spider, asked=30, done=3, total=10)
        crawler.stats.set_value("httpcache/hit", 5)
        crawler.stats.set_value("lastfm_crawl/failed_answers", 2)
        await asyncio.sleep(0.2)
        assert len(lines(caplog)) >= 2
        await crawler.signals.send_catch_log_async(signals.spider_closed, spider=spider, reason="finished")
        shown = len(lines(caplog))
        await asyncio.sleep(0.15)
    assert len(lines(caplog)) == shown  # it has stopped
    for line in lines(caplog):
        assert re.match(r"top_artists: 3 of 10 users, 30 requests, \d+/min, 5 from the store, 2 errors", line)
    assert progress._bar is None
    assert "\x1b" not in "".join(capfd.readouterr())


async def test_a_spider_that_says_nothing_of_itself(crawler, caplog):
    progress = Progress.from_crawler(crawler)
    assert progress._line(Spider(name="x")) == "0 of 0 pages, 0 requests, 0/min, 0 from the store, 0 errors"


def test_rate_and_time_left_are_those_of_the_last_minutes(crawler, monkeypatch):
    clock, progress, spider = Clock(monkeypatch), Progress.from_crawler(crawler), Counting(name="x")
    assert progress._line(spider).startswith("0 of 0 users, 0 requests, 0/min")
    clock.now += 60
    state(crawler, spider, asked=60, done=30, total=330)
    assert progress._line(spider) == "30 of 330 users, 60 requests, 60/min, 0 from the store, 0 errors, 10 min left"
    for minute in range(2, 8):  # slower from now on
        clock.now += 60
        state(crawler, spider, asked=60 + 12 * minute, done=30 + 2 * minute, total=330)
        line = progress._line(spider)
    assert "12/min" in line
    assert "2.4 h left" in line
    clock.now += 60
    state(crawler, spider, asked=200, done=330, total=330)
    assert "left" not in progress._line(spider)


def test_the_first_line_has_a_rate(crawler, monkeypatch, caplog):
    clock, progress, spider = Clock(monkeypatch), Progress.from_crawler(crawler), Counting(name="x")
    clock.now += 60
    state(crawler, spider, asked=60, done=30, total=330)
    assert "60 requests, 60/min" in progress._line(spider)


def test_lines_that_are_minutes_apart_have_a_rate(crawler, monkeypatch):
    clock, progress, spider = Clock(monkeypatch), Progress.from_crawler(crawler), Counting(name="x")
    for minutes in (0, 5, 10):
        clock.now = 1000 + 60 * minutes
        state(crawler, spider, asked=60 * minutes, done=minutes, total=100)
        line = progress._line(spider)
    assert "60/min" in line


@pytest.mark.parametrize(
    ("minutes", "text"), [(0.5, "30 s"), (1, "1 min"), (89.4, "89 min"), (90, "1.5 h"), (600, "10.0 h")]
)
def test_durations(minutes, text):
    assert progress_module._duration(minutes) == text


# --- on a terminal -----------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, logging
BEFORE = 0
from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess

class Friends(Spider):
    name = "friends"
    done, total = BEFORE, BEFORE + 8

    async def start(self):
        yield Request("data:,", self.parse)

    async def parse(self, response):
        stats = self.crawler.stats
        stats.set_value("lastfm_crawl/asked/user.getFriends", BEFORE)
        stats.set_value("httpcache/hit", BEFORE)
        stats.set_value("lastfm_crawl/failed_answers", 3)
        for number in range(1, 9):
            await asyncio.sleep(0.2)
            self.done += 1
            stats.inc_value("lastfm_crawl/asked/user.getFriends", 7)
            if number % 4 == 0:
                logging.getLogger("elsewhere").warning("line number %d of the log", number)

process = CrawlerProcess({
    "EXTENSIONS": {"lastfm_crawl.extensions.progress.Progress": 1}, "EXTENSIONS_BASE": {}, "CONCURRENT_REQUESTS": 1,
    "LOG_LEVEL": "WARNING", "TELNETCONSOLE_ENABLED": False, "PROGRESS_INTERVAL": 0.3, "CONCURRENT_ITEMS": 1,
    "DOWNLOAD_DELAY": 0, "REMOTE_CONTROL_ENABLED": False, "LOG_FORMAT": "%(levelname)s: %(message)s",
})
process.crawl(Friends)
process.start()
logging.getLogger("elsewhere").warning("after the end")
"""


def run_on_terminal(columns, script=SCRIPT):
    """What the script writes on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    env = {
        name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES"}
    }
    env |= {"TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            chunk = b""
            with contextlib.suppress(OSError):  # the other side is closed
                chunk = os.read(ours, 65536)
            if not chunk:
                break
            written += chunk
        assert process.wait(10) == 0
    os.close(ours)
    return written.decode()


def on_screen(written):
    """The lines as they were written, without colours and movements of the cursor."""
    return [
        line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)) if line.strip()
    ]


@pytest.fixture(scope="module")
def wide():
    return run_on_terminal(140)


def test_a_bar_that_tells_how_far_it_is(wide):
    bars = [line for line in on_screen(wide) if "friends" in line and "requests" in line]
    assert len(bars) > 3
    last = bars[-1]
    assert re.search(r"friends .*8/8 +56 requests, \d+/min, 0 from the store, 3 errors", last)
    assert re.search(r"\d:\d\d:\d\d", last)
    halfway = [re.search(r" (\d)/8 ", line) for line in bars]
    assert len({match[1] for match in halfway if match}) > 2
    rates = [int(re.search(r"(\d+)/min", line)[1]) for line in bars]
    assert 500 < max(rates) < 6000  # 7 in 0.2 s are 2,100 a minute


def test_log_lines_stay_whole_above_the_bar(wide):
    found = [line for line in on_screen(wide) if "line number" in line]
    assert found == ["WARNING: line number 4 of the log", "WARNING: line number 8 of the log"]


def test_the_terminal_is_given_back(wide):
    assert on_screen(wide)[-1] == "WARNING: after the end"
    assert wide.rfind("\x1b[?25h") > wide.rfind("\x1b[?25l") >= 0  # the cursor is shown again


def test_no_plain_lines_beside_the_bar(wide):
    assert "8 of 8" not in wide


def test_a_bar_of_eighty_columns_tells_all(wide):
    lines = on_screen(run_on_terminal(80))
    assert any("8/8" in line and "56 requests" in line and "/min" in line and "errors" in line for line in lines)


def test_a_bar_of_eighty_columns_tells_all_of_a_big_crawl():
    script = SCRIPT.replace("BEFORE = 0", "BEFORE = 9_000").replace("range(1, 9)", "range(1, 5)")
    lines = on_screen(run_on_terminal(80, script))
    assert any("9004/9008" in line and "9028 requests" in line and "errors" in line for line in lines)


def run_off_a_terminal(**more):
    code = SCRIPT.replace('"WARNING"', '"INFO"')
    environment = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "TTY_COMPATIBLE"}}
    environment |= more
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stderr


def test_off_a_terminal_the_log_has_plain_lines():
    written = run_off_a_terminal()
    assert "\x1b" not in written
    assert re.search(
        r"^INFO: friends: \d of 8 pages, \d+ requests, \d+/min, 0 from the store, 3 errors", written, re.MULTILINE
    )
    assert "INFO: friends: 8 of 8 pages, 56 requests" in written


def test_off_a_terminal_nothing_moves_even_where_colours_are_wanted():
    """As GitHub's runners and others set it."""
    written = run_off_a_terminal(FORCE_COLOR="1")
    assert "\x1b[2K" not in written
    assert "INFO: friends: 8 of 8 pages, 56 requests" in written
