"""Progress of commands: whatever a path is called, it is shown as it is."""

from __future__ import annotations

import io
import sys

import pytest

from lastfm_crawl.commands.working import working


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("title", ["importing {0}.csv", "importing a[/b].csv", "importing [old].csv"])
def test_a_title_is_no_format_and_no_markup(monkeypatch, title):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with working(title, 2) as advance:
        advance(2)
    assert title in terminal.getvalue()
