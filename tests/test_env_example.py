"""What people set: the example of a .env file, and where secrets may come from."""

from __future__ import annotations

import inspect
import re

import pytest
from conftest import ROOT

from lastfm_crawl import settings
from lastfm_crawl.config import LOGINS, SECRETS

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
#: Each line that sets something, set or commented out: the name and the value.
SET = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
#: The settings that are read from the environment, with their defaults.
KNOWN = dict(re.findall(r'os\.environ\.get\("(\w+)"(?:, "(.*)")?\)', inspect.getsource(settings)))


def test_the_example_names_everything_that_can_be_set_and_nothing_else():
    assert len(KNOWN) > 10
    assert set(SET) == KNOWN.keys() | set(SECRETS) | set(LOGINS) | {"POSTGRES_PASSWORD"}  # compose.yaml's
    assert len(SET) == len(re.findall(r"^#?[A-Z][A-Z0-9_]+=", EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize("name", [name for name, default in KNOWN.items() if default])
def test_the_example_shows_the_defaults(name):
    assert SET[name] == KNOWN[name]


def test_a_copy_of_the_example_sets_nothing_but_what_is_to_be_filled_in():
    """An empty value is no default: what has one is commented out."""
    assert re.findall(r"^([A-Z]\w+)=(.*)$", EXAMPLE, re.MULTILINE) == [("LASTFM_API_KEY", ""), ("CONTACT", "")]
