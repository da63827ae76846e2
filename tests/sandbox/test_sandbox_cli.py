"""``python -m lastfm_crawl.sandbox`` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "lastfm_crawl.sandbox"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def friends_of(url: str, user: str) -> object:
    query = f"?method=user.getFriends&user={user}&api_key=k&format=json"
    with urllib.request.urlopen(url + query, timeout=5) as response:
        return json.load(response)["friends"]["user"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_told_to_stop(stop: signal.Signals) -> None:
    with running("--users", "2", "--unwrap-single") as (process, line):
        assert line.startswith("listening on http://127.0.0.1:")
        friend = friends_of(line.split()[-1], "rj")
        process.send_signal(stop)
        rest = process.communicate(timeout=5)
    assert isinstance(friend, dict)
    assert friend["name"] == "test user"
    assert (process.returncode, rest) == (0, ("", ""))


def test_it_ends_when_its_parent_is_gone() -> None:
    arguments = [*COMMAND, "--users", "2", "--with-parent"]
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({arguments!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        pid, line = parent.stdout.readline().split(maxsplit=1)
        assert friends_of(line.split()[-1], "rj")
        parent.kill()
    url = line.split()[-1].replace("/2.0/", "/_sandbox/healthy")
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(url, timeout=1):
                time.sleep(0.05)
        except OSError:
            return
    os.kill(int(pid), signal.SIGKILL)
    pytest.fail("the sandbox outlived its parent")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--users", "0"), "at least one user"),
        (("--hetrec", "/nowhere"), "/nowhere/artists.dat"),
        (("--scrobbles", "/nowhere"), "/nowhere"),
        (("--users", "1", "--port", "70000"), "port must be 0-65535"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    run = subprocess.run([*COMMAND, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_faults_can_be_asked_for() -> None:
    with running("--users", "30", "--fault-rate", "1", "--fault-seed", "3", "--latency", "0.001") as (
        _,
        line,
    ):
        url = line.split()[-1]
        for _attempt in range(4):
            try:
                friends_of(url, "rj")
            except (OSError, ValueError, KeyError) as error:
                getattr(error, "close", lambda: None)()
        with urllib.request.urlopen(url.replace("/2.0/", "/_sandbox/log"), timeout=5) as response:
            faults = [call["fault"] for call in json.load(response)]
    assert [bool(fault) for fault in faults] == [True, True, True, False]
