"""One plain question to a service, and what its answer says about us."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import KEY
from scrapy.settings import Settings

from lastfm_crawl import settings as module
from lastfm_crawl.downloader import reach
from lastfm_crawl.downloader.reach import RefusedError, UnreachableError, ask_lastfm, ask_spotify
from lastfm_crawl.sandbox import Faults, demo_world, serve

SECRET = "spotify0secret0spotify0secret"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", SECRET)
    monkeypatch.setattr(reach, "TIMEOUT", 2)


def settings(**options):
    chosen = Settings()
    chosen.setmodule(module, priority="project")
    chosen.update({"CONTACT": "me@example.org", "SPOTIFY_CLIENT_ID": "client", **options}, "cmdline")
    return chosen


def test_a_good_key_costs_one_request():
    with serve(demo_world(5)) as sandbox:
        ahead = ask_lastfm(settings(LASTFM_API_URL=sandbox.url))
        (call,) = sandbox.calls()
    assert abs(ahead) < 5
    assert call.method == "user.getInfo"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("error_10_403", RefusedError),
        ("error_26_403", RefusedError),
        ("error_8_500", UnreachableError),
        ("rate_limit", UnreachableError),
        ("html_502", UnreachableError),
        ("drop", UnreachableError),
        ("truncated", UnreachableError),
    ],
)
def test_what_is_wrong_is_said_without_the_key(kind, error):
    faults = Faults()
    faults.script("*", None, [kind])
    with serve(demo_world(5), faults) as sandbox, pytest.raises(error) as raised:
        ask_lastfm(settings(LASTFM_API_URL=sandbox.url))
    assert str(raised.value)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_who_is_not_known_is_an_answer():
    faults = Faults()
    faults.script("user.getinfo", None, ["false_404"])
    with serve(demo_world(5), faults) as sandbox:
        assert ask_lastfm(settings(LASTFM_API_URL=sandbox.url)) is not None


def test_nobody_there():
    with pytest.raises(UnreachableError, match="refused"):
        ask_lastfm(settings(LASTFM_API_URL="http://127.0.0.1:9/2.0/"))


class _Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody elsewhere, with all that they brought, and a time of long ago."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012  (of one test)

    def do_GET(self):
        self.seen.append((self.path, self.headers["User-Agent"]))
        body = b'{"error": 6, "message": "User not found"}' if "stay" in self.path else b""
        self.send_response_only(404 if body else 302)
        self.send_header("Location", f"/elsewhere{self.path}")
        if "2.0" in self.path:
            self.send_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere():
    _Elsewhere.seen.clear()
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_redirect_does_not_take_the_key_along(elsewhere):
    with pytest.raises(UnreachableError):
        ask_lastfm(settings(LASTFM_API_URL=f"{elsewhere}/2.0/"))
    assert len(_Elsewhere.seen) == 1
    assert _Elsewhere.seen[0][1] == "lastfm_crawl/0.1 (+me@example.org)"


def test_the_clock_of_the_service(elsewhere):
    assert ask_lastfm(settings(LASTFM_API_URL=f"{elsewhere}/2.0/stay")) > 86_400
    assert ask_lastfm(settings(LASTFM_API_URL=f"{elsewhere}/stay")) is None


def test_a_token_of_spotify():
    with serve(demo_world(5)) as sandbox:
        ask_spotify(settings(SPOTIFY_TOKEN_URL=sandbox.spotify_token_url))
        assert [call.status for call in sandbox.log] == [200]


def test_spotify_refuses(monkeypatch):
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "invalid-secret")
    with serve(demo_world(5)) as sandbox, pytest.raises(RefusedError) as raised:
        ask_spotify(settings(SPOTIFY_TOKEN_URL=sandbox.spotify_token_url))
    assert "invalid-secret" not in str(raised.value)


def test_spotify_is_away():
    with pytest.raises(UnreachableError):
        ask_spotify(settings(SPOTIFY_TOKEN_URL="http://127.0.0.1:9/"))
