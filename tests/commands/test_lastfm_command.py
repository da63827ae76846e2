"""`scrapy lastfm` in this process: what is said, and with which exit code, when nobody can be logged in."""

from __future__ import annotations

import urllib.request
from argparse import Namespace

import pytest
from conftest import KEY
from scrapy.exceptions import UsageError
from scrapy.settings import Settings

from lastfm_crawl import settings as project_settings
from lastfm_crawl.commands import consent, lastfm
from lastfm_crawl.sandbox import Faults, World, serve

SECRET = "canary0secret"


@pytest.fixture(scope="module")
def server():
    with serve(World.of({"Me": []})) as sandbox:
        yield sandbox


@pytest.fixture
def command(monkeypatch, tmp_path, server):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    monkeypatch.setenv("LASTFM_API_SECRET", SECRET)
    monkeypatch.setattr(lastfm, "_INTERVAL", 0.05)
    monkeypatch.setattr(consent, "_STEP", 0.05)
    monkeypatch.setattr(lastfm, "PATIENCE", 1.0)
    server.accounts.__init__()
    server.accounts.secret = SECRET
    server.faults = Faults()
    command = lastfm.Command()
    command.settings = Settings()
    command.settings.setmodule(project_settings)
    command.settings.setdict({"DATA_DIR": str(tmp_path), "LASTFM_API_URL": server.url})
    command.exitcode = 0
    yield command
    assert not (tmp_path / "lastfm-logins.json").exists()


def run(command, capsys, *words) -> tuple[int, str, str]:
    command.run(list(words), Namespace(no_browser=True))
    said = capsys.readouterr()
    for hidden in (KEY, SECRET):
        assert hidden not in said.out + said.err
    assert len(said.err.splitlines()) <= 1
    return command.exitcode, said.out, said.err


@pytest.mark.parametrize("words", [[], ["login", "a", "b"], ["logout"], ["logins", "a"], ["sign"]])
def test_wrong_words(command, words):
    with pytest.raises(UsageError, match=r"login \[NAME\] \| logout NAME \| logins"):
        command.run(words, Namespace(no_browser=True))


@pytest.mark.parametrize("word", ["login", "logout"])
@pytest.mark.parametrize(("name", "said"), [("a,b", "more than one user"), (" ", "names no user")])
def test_one_user_at_a_time(command, capsys, word, name, said):
    code, _, err = run(command, capsys, word, name)
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("LASTFM_API_KEY", "https://www.last.fm/api/account/create"),
        ("LASTFM_API_SECRET", "https://www.last.fm/api/accounts"),
    ],
)
def test_without_a_key_or_its_secret(command, capsys, monkeypatch, name, where):
    monkeypatch.setenv(name, " ")
    code, out, err = run(command, capsys, "login")
    assert (code, out) == (2, "")
    assert err.startswith(f"scrapy lastfm: {name} is not set")
    assert where in err


def test_a_secret_of_another_key(command, capsys, server):
    server.accounts.secret = "another"
    code, _, err = run(command, capsys, "login")
    assert code == 3
    assert "(error 13: Invalid method signature supplied); check LASTFM_API_KEY and LASTFM_API_SECRET" in err


def test_a_key_that_is_none(command, capsys, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", "invalid")
    command.run(["login"], Namespace(no_browser=True))
    assert command.exitcode == 3
    assert "error 10" in capsys.readouterr().err


def test_nobody_consents(command, capsys):
    code, _, err = run(command, capsys, "login", "Me")
    assert (code, err) == (4, "scrapy lastfm: nobody consented within five minutes; run it again\n")


@pytest.mark.parametrize("kind", ["error_11_503", "rate_limit", "html_502", "empty", "truncated"])
def test_last_fm_is_out_of_order(command, capsys, server, kind):
    server.faults.script("auth.getToken", kinds=[kind])
    code, _, err = run(command, capsys, "login", "Me")
    assert code == 4
    assert "cannot log anybody in now" in err


def test_a_hiccup_while_we_wait_is_waited_out(command, capsys, server):
    server.faults.script("auth.getSession", kinds=["error_8_500", "html_502", "rate_limit"])
    assert run(command, capsys, "login", "Me")[0] == 4
    assert len(server.calls("auth.getSession")) > 3


def test_no_network(command, capsys):
    command.settings.set("LASTFM_API_URL", "http://127.0.0.1:9/2.0/")
    code, _, err = run(command, capsys, "login", "Me")
    assert code == 4
    assert "127.0.0.1:9 does not answer" in err


def test_who_is_not_logged_in_cannot_log_out(command, capsys):
    assert run(command, capsys, "logout", "Me") == (0, "Me was not logged in\n", "")
    assert run(command, capsys, "logins") == (0, "", "")


def test_the_browser_is_sent_on_and_sees_no_key_in_its_arguments(command, capsys, monkeypatch):
    opened = []

    def browse(address):
        opened.append(address)
        raise KeyboardInterrupt  # who closes the browser at once

    monkeypatch.setattr(lastfm.webbrowser, "open", browse)
    command.run(["login"], Namespace(no_browser=False))
    assert command.exitcode == 4
    assert opened[0].startswith("http://127.0.0.1:")
    assert KEY not in opened[0]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(opened[0], timeout=2)
