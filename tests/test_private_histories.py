"""Logging in with Last.fm, and what an owner gets by it: their own hidden history, and nobody else's."""

from __future__ import annotations

import contextlib
import signal
import stat
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import KEY
from test_crawl import succeed

from lastfm_crawl.logins import Logins
from lastfm_crawl.sandbox import Scrobble, World, serve

SECRET = "canary0lastfm0secret"
PLAYS = [Scrobble("An Artist", f"track {n}", 1_700_000_000 + 1000 * n) for n in range(30)]
OTHERS = [Scrobble("Another", "song", 1_690_000_000)]


@pytest.fixture
def sandbox(project):
    world = World.of(
        {"Me": ["you"], "you": [], "open": []},
        scrobbles={"Me": PLAYS, "you": OTHERS, "open": OTHERS},
        private=["Me", "you"],
    )
    with serve(world) as server:
        server.accounts.secret = SECRET
        project.url = server.url
        project.environment["LASTFM_API_SECRET"] = SECRET
        yield server


def open_session(project, sandbox, user) -> str:
    """What ``scrapy lastfm login`` leaves behind."""
    key = sandbox.accounts.open(user, KEY)
    Logins({"DATA_DIR": str(project.data)}, "lastfm").keep(user, key)
    return key


def statuses(project) -> dict[str, str]:
    return dict(project.query("SELECT username, status FROM lastfm_users"))


def plays(project, user) -> int:
    return project.query("SELECT count(*) FROM lastfm_scrobbles WHERE username = %s", user)[0][0]


# --- the crawl ----------------------------------------------------------------------------------------------------


def test_an_owner_gets_what_was_hidden_before_and_others_do_not(project, sandbox):
    succeed(project.crawl("recent_tracks", users="Me,you,open", year=2023))
    assert statuses(project) == {"Me": "private", "you": "private", "open": "ok"}
    asked = len(sandbox.log)
    key = open_session(project, sandbox, "Me")

    # The same window: its "private" is in the store, under the same name.
    result = project.crawl("recent_tracks", year=2023, settings={"LOG_LEVEL": "DEBUG"})
    succeed(result)
    assert statuses(project) == {"Me": "ok", "you": "private", "open": "ok"}
    assert plays(project, "Me") == len(PLAYS)
    assert [(call.user.lower(), call.session_key) for call in sandbox.log[asked:]] == [("me", key)]
    assert key not in result.stderr + result.stdout
    assert SECRET not in result.stderr + result.stdout
    archived = list((project.data / "store" / "archive").rglob("*.json.gz"))
    assert len(archived) == 1, "the old answer"

    # What was stored is asked by nobody again, and is made again from the store.
    asked = len(sandbox.log)
    succeed(project.crawl("recent_tracks", year=2023))
    assert len(sandbox.log) == asked
    view = "SELECT username, scrobbled_at, track_name FROM lastfm_scrobbles ORDER BY 1, 2"
    before = project.query(view)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.run("replay", "recent_tracks"))
    assert project.query(view) == before


def test_a_consent_that_was_taken_back_is_said_and_costs_the_others_nothing(project, sandbox):
    open_session(project, sandbox, "Me")
    sandbox.accounts.withdraw()
    result = project.crawl("recent_tracks", users="Me,open", year=2023)
    assert result.returncode == 1
    assert "run `scrapy lastfm login Me`" in result.stderr
    assert "scrapy crawl: 1 logins have ended" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert statuses(project) == {"Me": "private", "open": "ok"}
    asked = [bool(call.session_key) for call in sandbox.calls(user="Me")]
    assert (asked[0], asked[-1]) == (True, False)

    # Asked as anybody from then on; and as themselves after the next login.
    succeed(project.crawl("recent_tracks", users="Me,open", year=2023))
    open_session(project, sandbox, "Me")
    succeed(project.crawl("recent_tracks", users="Me", year=2023))
    assert plays(project, "Me") == len(PLAYS)


def test_a_secret_of_another_key_ends_the_run_with_one_line(project, sandbox):
    open_session(project, sandbox, "Me")
    project.environment["LASTFM_API_SECRET"] = "another"
    result = project.crawl("recent_tracks", users="Me")
    assert result.returncode == 3
    assert "LASTFM_API_SECRET" in result.stderr.splitlines()[-1]
    project.environment["LASTFM_API_SECRET"] = ""
    result = project.crawl("recent_tracks", users="Me")
    assert result.returncode == 2
    assert "LASTFM_API_SECRET is not set, and Me is logged in" in result.stderr.splitlines()[-1]


# --- the command --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def login(project, *words):
    """`scrapy lastfm login` on its way: the process, and the address that it shows."""
    words = ("lastfm", "login", *words, "--no-browser")
    process = project.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("Consent on the page")
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()


def visit(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as page:
        return page.read().decode()


def test_a_user_logs_in_fetches_and_logs_out(project, sandbox):
    with login(project) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert KEY not in address
        with pytest.raises(urllib.error.HTTPError, match="404"):
            visit(address + "x")
        assert "close this page" in visit(address)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("Me is logged in")
    kept = project.data / "lastfm-logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    key = Logins({"DATA_DIR": str(project.data)}, "lastfm").token("me")
    for hidden in (key, KEY, SECRET):
        assert hidden not in out

    succeed(project.crawl("recent_tracks", users="Me", year=2023))
    assert plays(project, "Me") == len(PLAYS)

    shown = project.run("lastfm", "logins")
    assert shown.stdout.startswith(f"Me since {time.strftime('%Y-')}")
    assert len(shown.stdout.splitlines()) == 1
    result = project.run("lastfm", "logout", "ME")
    assert (result.returncode, result.stdout) == (0, "ME is logged out\n")
    assert key not in kept.read_text()


def test_the_browser_of_somebody_else_logs_nobody_in(project, sandbox):
    sandbox.accounts.user = "you"
    with login(project, "Me") as (process, address):
        visit(address)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "scrapy lastfm: the browser is logged in with Last.fm as you, not as Me; nobody was logged in\n"
    assert not (project.data / "lastfm-logins.json").exists()


def test_a_token_that_ended_and_a_login_that_is_interrupted(project, sandbox):
    sandbox.accounts.token_seconds = 0
    with login(project, "Me") as (process, _):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("scrapy lastfm: Last.fm logs nobody in (error 15: ")
    with login(project, "Me") as (process, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (4, "scrapy lastfm: interrupted; nobody was logged in\n")
