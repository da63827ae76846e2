"""How our commands end, whatever happens in them."""

from __future__ import annotations

import os
import sys

import psycopg
import pytest
from scrapy.exceptions import UsageError
from scrapy.settings import Settings

from lastfm_crawl.commands import consent
from lastfm_crawl.commands.ours import OurCommand, one_user, read_option
from lastfm_crawl.httpcache import StoreError
from lastfm_crawl.spiders.arguments import count
from lastfm_crawl.stop import CommandError, Exit
from lastfm_crawl.warehouse.database import WarehouseUnavailableError


def command(work):
    made = type("Command", (OurCommand,), {"work": lambda *_: work(), "__module__": "lastfm_crawl.commands.this"})()
    made.settings = Settings()
    return made


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CommandError(Exit.LOSSES, "two are lost"), 1, "two are lost"),
        (ValueError("--limit is wrong"), 2, "--limit is wrong"),
        (WarehouseUnavailableError("it is away"), 3, "the warehouse cannot be used: it is away"),
        (psycopg.errors.UndefinedTable("no such\n table"), 3, "the warehouse cannot be used: no such table"),
        (StoreError("gs://b cannot be read"), 3, "gs://b cannot be read"),
        (PermissionError(13, "Permission denied", "/x"), 3, "/x cannot be used: Permission denied"),
        (KeyboardInterrupt(), 4, "interrupted; run it again to go on"),
    ],
)
def test_every_end_is_one_line_and_a_code(error, code, line, capsys):
    def work():
        raise error

    ours = command(work)
    ours.run([], None)
    assert (ours.exitcode, capsys.readouterr().err) == (code, f"scrapy this: {line}\n")


def test_all_is_well(capsys):
    ours = command(lambda: sys.stdout.write("done\n"))
    ours.run([], None)
    assert (ours.exitcode, capsys.readouterr()) == (0, ("done\n", ""))


def test_wrong_use_is_for_scrapy_to_tell():
    def work():
        raise UsageError

    with pytest.raises(UsageError):
        command(work).run([], None)


def test_a_reader_that_has_gone_is_no_fault(monkeypatch, capsys):
    """``scrapy quality | head``: nothing is said, and nothing when the interpreter flushes at its end."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as gone:  # noqa: PTH123  (a descriptor)
        monkeypatch.setattr(sys, "stdout", gone)
        ours = command(lambda: sys.stdout.write("much\n"))
        ours.run([], None)
    assert (ours.exitcode, capsys.readouterr().err) == (0, "")


def test_options_are_named():
    assert read_option(count, "--limit", "3") == 3
    with pytest.raises(ValueError, match=r"^--limit: 'no' is wrong: it must be"):
        read_option(count, "--limit", "no")


def test_one_user():
    assert one_user("rj") == "rj"
    with pytest.raises(ValueError, match=r"^'rj,eartle' names more than one user$"):
        one_user("rj,eartle")


def test_a_login_that_is_answered_with_something_else_than_http(monkeypatch):
    def answer(*_, **__):
        raise consent.HTTPException("what is this")

    monkeypatch.setattr(consent.urllib.request, "urlopen", answer)
    with pytest.raises(CommandError, match=r"^x\.example does not answer"):
        consent.post("https://x.example/token", b"", {})
