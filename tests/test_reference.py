"""What settings.py says of our settings, read from its text."""

from __future__ import annotations

import pytest

from lastfm_crawl import reference
from lastfm_crawl import settings as module

SOURCE = """
import os

BOT_NAME = "x"

# --- ours ---------

# Seconds: the first, and
# the last.
FIRST = 1.0
LAST = os.environ.get("LAST", "2")
# Where.
PLACE = os.environ.get("PLACE")

# --- pace ---------

DELAY = 0.5  # seconds
ALONE = -1
NOTHING = None  # said by nobody

# --- inside -------

HIDDEN = {"a": 1}  # no business of anybody
"""


def test_names_defaults_and_comments():
    found = [tuple(setting) for setting in reference.read(SOURCE)]
    assert found == [
        ("FIRST", "1.0", "Seconds: the first, and the last.", "ours", False),
        ("LAST", "2", "Seconds: the first, and the last.", "ours", True),
        ("PLACE", "", "Where.", "ours", True),
        ("DELAY", "0.5", "seconds", "pace", False),
        ("ALONE", "-1", "", "pace", False),
        ("NOTHING", "", "said by nobody", "pace", False),
    ]


def test_units_are_what_a_comment_begins_with():
    assert [setting.unit for setting in reference.read(SOURCE)] == ["seconds", "seconds", "", "seconds", "", ""]


@pytest.mark.parametrize("setting", reference.settings(), ids=lambda setting: setting.name)
def test_every_setting_of_ours_is_explained(setting):
    assert setting.comment
    assert hasattr(module, setting.name)


def test_the_defaults_are_those_of_the_module():
    for setting in reference.settings():
        if not setting.from_environment:
            assert setting.default == str(getattr(module, setting.name))
