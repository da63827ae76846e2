"""Names go from records, and names that hold them stay."""

from __future__ import annotations

import pytest

from lastfm_crawl.insight.scrubbing import Scrubber
from lastfm_crawl.warehouse.forgotten import NOBODY


@pytest.fixture
def scrubber():
    return Scrubber(["Zoë M", "rj"])


def test_lists_and_arguments(scrubber):
    assert scrubber.users(["RJ", "rj-fan", "zoë m"]) == ["rj-fan"]
    given = {"seeds": "RJ, ana ,ZOË M", "users": "rj", "period": "rj", "max_users": "3"}
    assert scrubber.arguments(given) == {"seeds": "ana", "users": NOBODY, "period": "rj", "max_users": "3"}
    assert scrubber.arguments({"users": "rj-fan, x"}) == {"users": "rj-fan, x"}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("user.getInfo of RJ: no", f"user.getInfo of {NOBODY}: no"),
        ("requests/user.getInfo/zo%C3%AB m/all", f"requests/user.getInfo/{NOBODY}/all"),
        ("?user=Zo%c3%ab+M&x", f"?user={NOBODY}&x"),
        ("Zo\\u00eb m", NOBODY),
        ("rjd2 and rj-fan", "rjd2 and rj-fan"),
    ],
)
def test_texts(scrubber, text, clean):
    assert scrubber.texts({"a": [text, 1, None]}) == {"a": [clean, 1, None]}


def test_files_of_state(scrubber):
    assert scrubber.state(["RJ", "ana"]) == ["ana"]
    record = {"run_id": "rj", "spider": "rj", "arguments": {"users": "RJ"}, "faults": ["of RJ"], "stats": {"n": 1}}
    assert scrubber.state(record) == {**record, "arguments": {"users": NOBODY}, "faults": [f"of {NOBODY}"]}
    progress = {"phase": "discovery", "discovery": {"seed_users": ["RJ", "ana"], "errors": 0}}
    assert scrubber.state(progress)["discovery"] == {"seed_users": ["ana"], "errors": 0}
    assert scrubber.state(None) is None
