"""Fetch jobs of crawls: heard by a listener and by a webhook while they go on, and how each ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
from aiohttp import web
from scrapy.utils.project import get_project_settings
from test_crawl import succeed
from test_histories import months_ago, play

from lastfm_crawl import config
from lastfm_crawl.sandbox import Faults, Scrobble, World, demo_world, serve
from lastfm_crawl.warehouse import jobs

CONTACT = "crawler@example.org"
#: One request after another, with some seconds between the first and the last.
SLOWLY = {"CONCURRENT_REQUESTS": 2}


@contextmanager
def listening(database_url):
    """What is announced from now on until the end of the block, in order, as a front end hears it."""
    heard, end, ready = [], threading.Event(), threading.Event()

    def listen():
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("LISTEN fetch_jobs")
            ready.set()
            while not end.is_set():
                heard.extend(json.loads(notice.payload) for notice in connection.notifies(timeout=0.2))

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait()
    try:
        yield heard
        time.sleep(0.4)
    finally:
        end.set()
        thread.join()


@pytest.fixture
async def webhook():
    """An aiohttp server's URL, and the objects that were posted to it, in order."""
    told = []

    async def take(request):
        told.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook0canary", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook0canary", told
    await runner.cleanup()


def history(name, count):
    return [play(months_ago(30) + n * 3_000, f"{name} {n % 50}") for n in range(count)]


def world():
    return World.of({"ann": [], "Bob": []}, {}, scrobbles={"ann": history("å", 600), "Bob": history("b", 900)})


def of(notices, user):
    return [notice for notice in notices if notice["username"] == user]


async def test_each_user_of_a_run_has_a_job_that_is_heard_of_while_it_goes_on(project, webhook):
    url, told = webhook
    project.environment["JOB_WEBHOOK"] = url
    with serve(world(), Faults(latency=0.25)) as sandbox, listening(project.database_url) as heard:
        project.url = sandbox.url
        asked = await asyncio.to_thread(project.crawl, "recent_tracks", settings=SLOWLY, users="ann,Bob")
        succeed(asked)
    for user in ("ann", "Bob"):
        notices = of(heard, user)
        assert notices[0]["progress"] == 0
        assert {n["status"] for n in notices[:-1]} == {"running"}
        pages = [n["progress"] for n in notices]
        assert pages == sorted(pages)
        assert len(set(pages)) > 2
        last = notices[-1]
        assert (last["status"], last["phase"], last["unit"], last["scope"]) == (
            "completed", "fetching", "pages", "recent_tracks",
        )  # fmt: skip
        windows = project.query(
            "SELECT sum(pages) FROM history_windows w JOIN users u ON u.id = user_id WHERE name = %s", user
        )
        assert last["progress"] == last["total"] == windows[0][0]
        assert (last["matched"], last["fuzzy_matched"], last["not_found"]) == (0, 0, 600 if user == "ann" else 900)
        assert last["finished_at"]
        posted = of(told, user)
        assert posted[-1] == last
        places = [notices.index(n) for n in posted]
        assert places == sorted(places), "the same objects, in order"
    assert len(heard) < 3 * 20
    assert len({n["run_id"] for n in heard}) == 1


def test_two_runs_at_once_and_the_ends_that_a_run_may_have(project):
    """Stopped, killed, taken over and completed, beside another run."""
    with serve(demo_world(150), Faults(latency=0.1)) as sandbox:
        project.url = sandbox.url
        words = project.words("friends", SLOWLY, seeds="RJ")

        def start(signal_number, requests):
            enough = len(sandbox.log) + requests
            process = project.start(*words, stderr=subprocess.PIPE, text=True)
            while len(sandbox.log) < enough:
                assert process.poll() is None
                time.sleep(0.02)
            other = friends() and friends().status
            process.send_signal(signal_number)
            process.communicate(timeout=60)
            return process.returncode, other

        def friends():
            with psycopg.connect(project.database_url) as connection:
                return next((j for j in jobs.list_jobs(connection) if j.scope == "friends"), None)

        year = time.gmtime().tm_year - 1
        other = project.start(*project.words("recent_tracks", SLOWLY, users="RJ", year=year), stderr=subprocess.PIPE)
        assert start(signal.SIGINT, 30) == (4, "running")
        stopped = friends()
        assert (stopped.status, stopped.unit) == ("stopped", "friends lists")
        assert stopped.error_message == "stopped early (shutdown); run again to continue"
        other.communicate(timeout=60)
        [history] = project.query("SELECT username, year, status FROM fetch_jobs WHERE year IS NOT NULL")
        assert history == ("RJ", year, "completed")

        assert start(signal.SIGKILL, 30) == (-9, "running")
        assert friends().status == "running"
        project.execute("UPDATE fetch_jobs SET updated_at = updated_at - interval '2 minutes' WHERE status = 'running'")
        killed = friends()
        assert (killed.id, killed.status) == (stopped.id, "killed")
        sandbox.faults.latency = 0
        succeed(project.crawl("friends", seeds="RJ"))
        done = friends()
        assert (done.id, done.status, done.error_message) == (stopped.id, "completed", None)
        assert done.run_id > killed.run_id > stopped.run_id
        assert done.progress == done.total > 100


def test_a_run_that_fails_says_why(project):
    with serve(demo_world(20)) as sandbox:
        project.url = sandbox.url
        sandbox.faults.script("user.getTopTracks", kinds=["error_10_403"], times=None)
        assert project.crawl("top_tracks", users="RJ").returncode == 3
        [(status, message)] = project.query("SELECT status, error_message FROM fetch_jobs")
        assert (status, "refuses the key" in message) == ("failed", True)


def test_years_that_are_found_later_change_the_jobs_of_users_and_a_dead_webhook_nothing(project):
    plays = [
        Scrobble(
            f"Bänd {n}", "t", 1_600_000_000 + n * 900, album=f"Record {n} Blue", album_mbid=mbid_of(n) if n % 2 else ""
        )
        for n in range(20)
    ]
    figures = "SELECT matched, fuzzy_matched, not_found FROM fetch_jobs WHERE username = 'rj'"
    with (
        serve(World.of({"rj": []}, {}, scrobbles={"rj": plays})) as sandbox,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        project.url = sandbox.url
        project.environment = {"MUSICBRAINZ_API_URL": sandbox.musicbrainz_url, "CONTACT": CONTACT}
        succeed(project.crawl("recent_tracks", users="rj", year=2020))
        assert project.query(figures) == [(0, 0, 0)]
        project.environment["JOB_WEBHOOK"] = f"http://127.0.0.1:{silent.getsockname()[1]}/hook0canary"
        with listening(project.database_url) as heard:
            result = succeed(project.crawl("musicbrainz"))
        assert result.stderr.count("the webhook for jobs") == 1
        assert "hook0canary" not in result.stderr
        counted = project.query(
            "SELECT count(*) FILTER (WHERE augmentation_status = 'matched'),"
            " count(*) FILTER (WHERE augmentation_status = 'fuzzy_matched'),"
            " count(*) FILTER (WHERE augmentation_status = 'not_found') FROM lastfm_scrobbles"
        )
        assert project.query(figures) == counted
        assert sum(counted[0]) == 20
        assert (heard[-1]["username"], heard[-1]["year"], heard[-1]["status"]) == ("rj", 2020, "completed")
        [years] = project.query(
            "SELECT phase, unit, status, matched, progress = total FROM fetch_jobs WHERE username IS NULL"
        )
        assert years == ("augmenting", "albums", "completed", counted[0][0], True)


def mbid_of(number):
    return f"{number:08x}-0000-4000-8000-{number:012x}"


@pytest.mark.parametrize("url", ["hook0canary", "ftp://host/hook0canary", "http:///hook0canary"])
def test_a_webhook_that_is_no_url_is_refused_and_not_named(url):
    settings = get_project_settings()
    settings.set("JOB_WEBHOOK", url)
    with pytest.raises(ValueError, match=r"^JOB_WEBHOOK is not an http\(s\) URL$"):
        config.check(settings)
