"""Secrets by reference: the value where it is needed, one line where it cannot be had, and no word of it elsewhere."""

from __future__ import annotations

import base64
import logging
import traceback

import pytest
from conftest import KEY
from secret_manager_server import SecretManagerServer

from lastfm_crawl import config
from lastfm_crawl.downloader.redact import MASK, redact, redact_bytes
from lastfm_crawl.sandbox import demo_world, serve
from lastfm_crawl.secret_manager import SecretUnavailableError, fetch
from lastfm_crawl.stop import Exit

REFERENCE = "sm://some-project/lastfm"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(config, "_fetched", {})
    with SecretManagerServer() as server:
        server.add("some-project", "lastfm", b"the first", None, f" {KEY}\n".encode())
        monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", server.host)
        yield server


def refusal(reference=REFERENCE) -> SecretUnavailableError:
    with pytest.raises(SecretUnavailableError) as caught:
        fetch("LASTFM_API_KEY", reference)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert KEY not in shown
    assert base64.b64encode(KEY.encode()).decode()[:-4] not in shown
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None
    assert "LASTFM_API_KEY" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("reference", "value"),
    [(REFERENCE, KEY), (f"{REFERENCE}/versions/latest", KEY), (f"{REFERENCE}/versions/1", "the first")],
)
def test_a_value_without_the_blanks_around_it(server, reference, value):
    assert fetch("LASTFM_API_KEY", reference) == value


@pytest.mark.parametrize(
    "reference",
    ["sm://", "sm://project", "sm://project/", "sm:///key", "sm://project/key/versions/", "sm://project/key/3",
     "sm://project/a b", "sm://Project/key", "sm://project/../key", f"sm://{KEY}", "sm://project/key?x=1"],
)  # fmt: skip
def test_what_is_no_reference_is_wrong_use_and_not_repeated(server, reference):
    exc = refusal(reference)
    assert exc.code is Exit.WRONG_USE
    assert "sm://project/secret" in str(exc)
    assert not server.calls


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("sm://some-project/nothing", "not found or has no versions"),
        (f"{REFERENCE}/versions/9", "versions/9] not found"),
        (f"{REFERENCE}/versions/2", "DISABLED"),
    ],
)
def test_a_reference_to_nothing_is_wrong_use(server, reference, said):
    exc = refusal(reference)
    assert exc.code is Exit.WRONG_USE
    assert said in str(exc)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (401, "check the network, and the credentials"),
        (403, "roles/secretmanager.secretAccessor"),
        (429, "HTTP 429"),
        (500, "HTTP 500"),
        (503, "HTTP 503"),
        ("corrupt", "damaged"),
        ("half", "damaged"),
    ],
)
def test_what_stands_in_the_way_is_critical(server, fault, said):
    server.fault = fault
    exc = refusal()
    assert exc.code is Exit.CRITICAL
    assert said in str(exc)


def test_bytes_that_are_no_text(server):
    server.add("some-project", "lastfm", b"\xff\xfe" + KEY.encode())
    assert "no text" in str(refusal())


def test_blanks_are_no_secret(server):
    server.add("some-project", "lastfm", b" \n")
    assert refusal().code is Exit.WRONG_USE


def test_no_network(server, monkeypatch):
    monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", "127.0.0.1:9")
    exc = refusal()
    assert exc.code is Exit.CRITICAL
    assert "check the network" in str(exc)


def test_credentials_that_are_not_there(server, monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_MANAGER_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    exc = refusal()
    assert exc.code is Exit.CRITICAL
    assert "gcloud auth application-default login" in str(exc)


# --- in the project -----------------------------------------------------------------------------------------------


def test_a_reference_is_no_value_before_it_is_fetched_and_is_fetched_once(server, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", f" {REFERENCE} ")
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "plain")
    assert config.secret("LASTFM_API_KEY") is None
    assert redact(f"x {KEY}") == f"x {KEY}"
    config.fetch_secrets()
    config.fetch_secrets()
    assert config.secret("LASTFM_API_KEY") == KEY
    assert config.secret("SPOTIFY_CLIENT_SECRET") == "plain"
    assert server.calls == ["/v1/projects/some-project/secrets/lastfm/versions/latest:access"]
    assert redact(f"x {KEY}") == f"x {MASK}"
    assert redact_bytes(KEY.encode()) == MASK.encode()


def test_only_what_is_named_is_fetched(server, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", REFERENCE)
    monkeypatch.setenv("AOTY_PROXY_URL", "sm://some-project/proxy")
    config.fetch_secrets("LASTFM_API_KEY")
    assert len(server.calls) == 1
    assert config.secret("AOTY_PROXY_URL") is None


def test_no_log_at_any_level_holds_the_value(server, caplog):
    """Google's libraries log answers at DEBUG; the whole of their records is looked through."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="google")
    fetch("LASTFM_API_KEY", REFERENCE)
    encoded = base64.b64encode(f" {KEY}\n".encode()).decode()
    for record in caplog.records:
        shown = repr(vars(record))
        assert KEY not in shown
        assert encoded not in shown


def test_a_crawl_reads_its_key_there_and_hands_it_to_nobody(server, project):
    project.environment |= {"LASTFM_API_KEY": REFERENCE, "SECRET_MANAGER_EMULATOR_HOST": server.host}
    with serve(demo_world(10)) as sandbox:
        project.url = sandbox.url
        result = project.crawl("friends", seeds="RJ", settings={"LOG_LEVEL": "DEBUG"})
        assert result.returncode == 0, result.stderr[-2000:]
        assert {call.api_key for call in sandbox.log} == {KEY}
    assert len(server.calls) == 1
    assert KEY not in result.stdout + result.stderr
    # A replay asks nobody.
    assert project.run("replay", "friends").returncode == 0
    assert len(server.calls) == 1


def test_a_crawl_without_its_key_does_not_begin(server, project):
    project.environment |= {
        "LASTFM_API_KEY": "sm://some-project/nothing", "SECRET_MANAGER_EMULATOR_HOST": server.host,
    }  # fmt: skip
    result = project.crawl("friends", seeds="RJ")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("scrapy crawl: LASTFM_API_KEY: Secret Manager has nothing")
    assert "Traceback" not in result.stderr
    assert not project.data.exists()
