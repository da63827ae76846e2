"""`scrapy status`, and what it says about the data that is kept."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import termios
import time
from subprocess import PIPE

import psycopg
import pytest

from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import demo_world, serve


@pytest.fixture
def crawled(project):
    with serve(demo_world(30)) as sandbox:
        project.url = sandbox.url
        assert project.crawl("friends", seeds="RJ").returncode == 0
        assert project.crawl("top_artists").returncode == 0
    return project


def stored(project) -> int:
    return project.query("SELECT sum(bytes)::bigint FROM fetches")[0][0]


def test_what_is_kept_is_counted_by_method_and_user(crawled):
    result = crawled.run("status")
    assert result.returncode == 0, result.stderr
    for method, count in crawled.query("SELECT method, count(*) FROM fetches GROUP BY method"):
        assert any(line.split()[:2] == [method, str(count)] for line in result.stdout.splitlines()), result.stdout
    (name,) = crawled.query(
        "SELECT u.name FROM fetches f JOIN users u ON u.id = f.user_id GROUP BY u.name ORDER BY sum(bytes) DESC LIMIT 1"
    )[0]
    assert name in result.stdout
    assert f"{stored(crawled) / 1e6:,.1f} MB of the 100 MB" in result.stdout
    assert "finished" in result.stdout


def test_the_bytes_are_those_of_the_answers(crawled):
    store = FolderStorage(crawled.data / "store")
    bodies = [len(decode(store.get(key)).body) for key in store.keys("requests/")]
    assert stored(crawled) == sum(bodies) > 0


def test_a_run_warns_above_the_cap(crawled):
    crawled.execute("UPDATE fetches SET bytes = 1000000")
    crawled.environment["LASTFM_STORAGE_CAP_MB"] = "5"
    result = crawled.crawl("top_artists")
    assert result.returncode == 0
    assert "MB of Last.fm's data are stored, and its terms allow 5 MB" in result.stderr
    assert "more than the 5 MB" in " ".join(crawled.run("status").stdout.split())


@pytest.mark.parametrize(("cap", "said"), [("0", "there is an agreement"), ("1000", "of the 1,000 MB")])
def test_below_the_cap_or_with_an_agreement_it_does_not(crawled, cap, said):
    crawled.environment["LASTFM_STORAGE_CAP_MB"] = cap
    assert "terms allow" not in crawled.crawl("top_artists").stderr
    assert said in crawled.run("status").stdout


def test_what_is_left_and_what_failed(crawled):
    crawled.execute(
        "UPDATE fetches SET status = 'not_found', page = 0, detail = E'gone\\x1b[31m [bold]' WHERE user_id IN"
        " (SELECT id FROM users WHERE key = 'rj') AND method = 'user.getTopArtists'"
    )
    found = json.loads(crawled.run("status", "--json").stdout)
    lists = {one["spider"]: one for one in found["lists"]}
    users = found["totals"]["users"]
    gone = users - found["users"]["ok"]
    assert (lists["top_artists"]["fetched"], lists["top_artists"]["nothing"]) == (users - 1 - gone, 1 + gone)
    assert (lists["top_tracks"]["left"], lists["friends"]["left"]) == (users - gone, 0)
    reasons = {(one["method"], one["reason"]): (one["users"], one["example"]) for one in found["failing"]}
    assert reasons["user.getTopArtists", "gone\x1b[31m [bold]"] == (1, "RJ")
    counted = crawled.query("SELECT (SELECT count(*) FROM lastfm_friends), (SELECT count(*) FROM lastfm_user_artists)")
    assert (found["totals"]["friendships"], found["totals"]["user_artists"]) == counted[0]
    result = crawled.run("status")
    assert "gone\ufffd[31m [bold]" in result.stdout
    detail = json.loads(crawled.run("status", "--json", "--user", "rj").stdout)
    assert detail["user"]["name"] == "RJ"
    assert [one["method"] for one in detail["lists"]] == ["user.getFriends", "user.getInfo"]


def job(project, **changes):
    fields = {"username": "[bold]\x1b[31m\u05d0\u202e", "progress": 10, "status": "running", **changes}
    with psycopg.connect(project.database_url) as connection:
        connection.execute(
            """
            INSERT INTO fetch_jobs (scope, username, status, phase, progress, total, run_id, started_at, updated_at)
            VALUES ('recent_tracks', %(username)s, %(status)s, 'fetching', %(progress)s, 40, '1',
                    now() - interval '1 min', now())
            ON CONFLICT (scope, coalesce(lower(username), ''), coalesce(year, 0)) DO UPDATE
            SET status = excluded.status, progress = excluded.progress, updated_at = now()
            """,
            fields,
        )


@contextlib.contextmanager
def watching(project, *words):
    """`scrapy status --watch`, which does not outlive the test."""
    with project.start("status", "--watch", *words, stdout=PIPE, stderr=PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process, wanted):
    """So many lines of what *process* writes."""
    text, end = b"", time.monotonic() + 60
    while text.count(b"\n") < wanted and time.monotonic() < end:
        if select.select([process.stdout], [], [], 1)[0]:
            text += os.read(process.stdout.fileno(), 65536)
    return text.decode().splitlines()


def ended(process):
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=30)[1]
    return process.returncode, err


def test_watched_without_a_terminal_each_change_is_a_line(project):
    job(project)
    with watching(project) as process:
        said = "recent_tracks of [bold]\ufffd[31m\u05d0\ufffd: "
        (first,) = lines_of(process, 1)
        assert first.startswith(f"{said}running, 10 of 40 pages, 10 a minute, ")
        job(project, progress=20)
        job(project, progress=20, status="stopped")
        assert [line.removeprefix(said)[:12] for line in lines_of(process, 2)] == ["running, 20 ", "stopped, 20 "]
        assert ended(process) == (0, b"")


def test_watched_as_json_each_change_is_an_object(project):
    with watching(project, "--json") as process:
        (empty,) = map(json.loads, lines_of(process, 1))
        job(project)
        (changed,) = map(json.loads, lines_of(process, 1))
        assert (empty["jobs"], changed["jobs"][0]["progress"]) == ([], 10)
        assert ended(process) == (0, b"")


@pytest.mark.parametrize("columns", [80, 120])
def test_watched_on_a_terminal_it_is_drawn_again(project, columns):
    job(project)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    project.environment["TERM"] = "xterm-256color"
    with project.start("status", "--watch", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written, end, changed = "", time.monotonic() + 60, False
        while "30 of 40" not in written and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                written += os.read(ours, 65536).decode(errors="replace")
            if "10 of 40 pages" in written and not changed:
                changed = True
                job(project, progress=30)
        process.send_signal(signal.SIGINT)
        # What is still on its way has to be taken, or the process could not end.
        with contextlib.suppress(OSError):
            while select.select([ours], [], [], 5)[0] and os.read(ours, 65536):
                pass
        assert process.wait(30) == 0
    os.close(ours)
    assert "30 of 40 pages" in written
    assert "Traceback" not in written
    assert "\x1b[31m\u05d0" not in written


def test_nobody_reads_on(project):
    with watching(project, "--json") as process:
        assert lines_of(process, 1)
        process.stdout.close()
        job(project)
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_an_empty_warehouse(project):
    result = project.run("status")
    assert (result.returncode, result.stderr) == (0, "")
    assert "0 users" in result.stdout


def test_no_warehouse(project):
    project.database_url = "postgresql://nobody@127.0.0.1:9/nothing"
    result = project.run("status")
    assert result.returncode == 3
    assert result.stderr.startswith("scrapy status: the warehouse cannot be used")
    assert "Traceback" not in result.stderr


def test_arguments_are_refused(project):
    assert project.run("status", "RJ").returncode == 2
    result = project.run("status", "--user", "nobody\x1b[31m", "--watch")
    assert (result.returncode, result.stderr) == (2, "scrapy status: the warehouse knows no user 'nobody\\x1b[31m'\n")
