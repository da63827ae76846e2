"""No secret in texts, bodies and logs."""

from __future__ import annotations

import logging
import sys

import pytest
from conftest import KEY

from lastfm_crawl.downloader import redact as redact_module
from lastfm_crawl.downloader.redact import MASK, RedactingFilter, clean_logs, hide, redact, redact_bytes

ODD = "a b+c/d=é"
ODD_IN_A_URL = "a+b%2Bc%2Fd%3D%C3%A9"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("nothing", "nothing"),
        ("", ""),
        (f"https://host/2.0/?api_key={KEY}&user=rj", f"https://host/2.0/?api_key={MASK}&user=rj"),
        (f"{KEY}{KEY} {KEY}", f"{MASK}{MASK} {MASK}"),
    ],
)
def test_texts(text, clean):
    assert redact(text) == clean


def test_without_a_key_nothing_changes(monkeypatch):
    monkeypatch.delenv("LASTFM_API_KEY")
    assert redact(f"api_key={KEY}") == f"api_key={KEY}"
    monkeypatch.setenv("LASTFM_API_KEY", "  ")
    assert redact("a   b") == "a   b"


def test_a_new_key_is_hidden_at_once(monkeypatch):
    assert redact("another") == "another"
    monkeypatch.setenv("LASTFM_API_KEY", "another")
    assert redact(f"another {KEY}") == f"{MASK} {KEY}"


def test_a_key_as_it_looks_in_a_url(monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", f" {ODD} ")
    assert redact(f"{ODD} {ODD_IN_A_URL}") == f"{MASK} {MASK}"
    assert redact_bytes(f"{ODD} {ODD_IN_A_URL}".encode()) == f"{MASK} {MASK}".encode()


def test_bodies():
    assert redact_bytes(b'{"key":"%s"}' % KEY.encode()) == b'{"key":"***"}'
    assert redact_bytes(b"\xff\x00" + KEY.encode()) == b"\xff\x00***"


def test_a_body_without_a_key_is_the_same_object():
    body = b'{"user":{}}'
    assert redact_bytes(body) is body


def fail(message: str):
    raise ValueError(message)


# --- logs ---------------------------------------------------------------------------------------------------------


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []
        self.setFormatter(logging.Formatter("%(message)s"))
        self.addFilter(RedactingFilter())

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def log():
    """A logger that nobody else hears, and the handler whose lines it fills."""
    logger = logging.getLogger("test of redact")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Lines())
    yield logger
    logger.handlers.clear()


def lines(log) -> str:
    return "\n".join(log.handlers[0].lines)


def test_messages(log):
    log.info(f"asked ?api_key={KEY}")  # noqa: G004
    assert lines(log) == "asked ?api_key=***"


def test_arguments(log):
    log.info("asked %s %d %r", f"?api_key={KEY}", 5, {"key": KEY})
    assert lines(log) == "asked ?api_key=*** 5 {'key': '***'}"


def test_arguments_that_the_message_does_not_show(log):
    """What a LOG_FORMAT with %(args)s would show."""
    log.handlers[0].setFormatter(logging.Formatter("%(message)s %(args)s"))
    log.info("asked %(user)s", {"user": "rj", "url": f"?api_key={KEY}"})
    log.info("asked %.4s", f"1234{KEY}")
    assert lines(log) == "asked rj None\nasked 1234 None"


def test_what_was_hidden_later(log, monkeypatch):
    monkeypatch.setattr(redact_module, "_hidden", {})
    hide("session")
    log.info("sk=%s", "session")
    assert lines(log) == "sk=***"


def test_lines_without_a_key_stay_as_they_are(log):
    log.info("%d of %s", 5, "rj")
    assert lines(log) == "5 of rj"


def test_tracebacks(log):
    try:
        fail(f"no answer from ?api_key={KEY}")
    except ValueError:
        log.exception("failed")
    assert KEY not in lines(log)
    assert "ValueError: no answer from ?api_key=***" in lines(log)


def test_tracebacks_of_causes(log):
    try:
        try:
            fail(KEY)
        except ValueError as exc:
            raise RuntimeError("outer") from exc
    except RuntimeError:
        log.exception("failed")
    assert KEY not in lines(log)
    assert "RuntimeError: outer" in lines(log)


def test_tracebacks_without_a_key_stay_as_they_are(log):
    try:
        fail("plain")
    except ValueError:
        log.exception("failed")
    assert "ValueError: plain" in lines(log)


def test_a_traceback_that_was_formatted_before(log):
    try:
        fail(KEY)
    except ValueError:
        record = log.makeRecord("test", logging.ERROR, "file", 1, "failed", (), sys.exc_info())
    logging.Formatter().format(record)  # keeps the text of the traceback in the record
    log.handle(record)
    assert KEY not in lines(log)


def test_a_log_call_with_wrong_arguments_raises_nothing(log, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.info("%d", "five")


def test_every_handler_of_the_root_logger_gets_one_filter():
    handler = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        clean_logs()
        clean_logs()
        assert [type(f) for f in handler.filters] == [RedactingFilter]
    finally:
        root.removeHandler(handler)
        for other in root.handlers:
            for one in [f for f in other.filters if isinstance(f, RedactingFilter)]:
                other.removeFilter(one)
