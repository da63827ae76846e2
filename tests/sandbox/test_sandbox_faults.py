"""When which fault comes: by seed, request and attempt, never by the order of arrival."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import pytest

from lastfm_crawl.sandbox.faults import ALL_KINDS, Faults, error_of, identity

INFO, ARTISTS = "user.getInfo", "user.getTopArtists"


def drawn(faults: Faults, users: int, attempts: int, method: str = ARTISTS) -> dict[str, list[str | None]]:
    return {f"u{i}": [faults.next(method, f"u{i}", {}) for _ in range(attempts)] for i in range(users)}


def test_no_rate_no_faults() -> None:
    assert set(drawn(Faults(), 50, 2)["u1"]) == {None}


def test_the_same_seed_gives_the_same_faults() -> None:
    assert drawn(Faults(0.3, seed=5), 50, 4) == drawn(Faults(0.3, seed=5), 50, 4)


def test_another_seed_gives_others() -> None:
    assert drawn(Faults(0.3, seed=5), 50, 4) != drawn(Faults(0.3, seed=6), 50, 4)


def test_the_order_of_arrival_does_not_matter() -> None:
    faults = Faults(0.3, seed=5)
    rounds = [{f"u{i}": faults.next(ARTISTS, f"u{i}", {}) for i in reversed(range(50))} for _ in range(4)]
    assert {user: [r[user] for r in rounds] for user in rounds[0]} == drawn(Faults(0.3, seed=5), 50, 4)


def test_about_the_asked_share_is_faulty_and_every_kind_comes() -> None:
    first = Counter(row[0] for row in drawn(Faults(0.5), 2000, 1).values())
    assert 900 < 2000 - first[None] < 1100
    assert set(first) == {None, *ALL_KINDS}


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_request_gets_through_after_some_faults(most: int) -> None:
    kinds = [None, *drawn(Faults(1.0, ["error_8_500"], most_in_a_row=most), 1, 20)["u0"], None]
    assert max([len(list(run)) for faulty, run in groupby(kinds, bool) if faulty], default=0) == most


def test_a_false_404_comes_once_per_user_and_method() -> None:
    faults = Faults(1.0, ["false_404"])
    asked = [(method, {"page": page}) for method in (INFO, ARTISTS) for page in ("1", "1", "2", "1")]
    kinds = [faults.next(method, "x", params) for method, params in asked]
    assert kinds == ["false_404", None, None, None, "false_404", None, None, None]


def test_a_confirming_get_info_tells_the_truth() -> None:
    faults = Faults(1.0, ["false_404"])
    assert faults.next(ARTISTS, "x", {}) == "false_404"
    assert faults.next(INFO, "X", {}) is None


def test_the_identity_is_what_is_asked_for() -> None:
    one = identity("user.getInfo", "RJ", {"page": "1", "limit": "5", "api_key": "k", "format": "json"})
    other = identity("user.getinfo", "rj", {"limit": "5", "page": "1", "api_key": "other"})
    assert one == other == "user.getinfo?user=rj&limit=5&page=1"


def test_a_script_is_followed_in_order_then_normal() -> None:
    faults = Faults()
    faults.script(ARTISTS, user="X", kinds=["error_8_500", "html_502"])
    assert faults.next(ARTISTS, "other", {}) is None
    assert faults.next(INFO, "x", {}) is None
    assert [faults.next(ARTISTS, "x", {}) for _ in range(3)] == ["error_8_500", "html_502", None]


def test_a_script_repeats() -> None:
    faults = Faults()
    faults.script(ARTISTS, kinds=["drop", "empty"], times=2)
    assert [faults.next(ARTISTS, u, {}) for u in "abcde"] == ["drop", "empty", "drop", "empty", None]


def test_a_permanent_script_for_everything() -> None:
    faults = Faults()
    faults.script("*", kinds=["error_10_403"], times=None, pass_first=2)
    kinds = [faults.next(method, "x", {}) for method in (INFO, ARTISTS, INFO, ARTISTS)]
    assert kinds == [None, None, "error_10_403", "error_10_403"]


def test_a_script_for_one_page() -> None:
    faults = Faults()
    faults.script(ARTISTS, kinds=["truncated"], params={"page": "2"})
    assert [faults.next(ARTISTS, "x", {"page": page}) for page in "1221"] == [None, "truncated", None, None]


def test_scripts_follow_each_other() -> None:
    faults = Faults()
    faults.script(ARTISTS, kinds=["drop"])
    faults.script(ARTISTS, kinds=["html_502"])
    assert [faults.next(ARTISTS, "x", {}) for _ in range(3)] == ["drop", "html_502", None]


@pytest.mark.parametrize("kind", ["error_8", "explosion", "empty"])
def test_unknown_kinds_are_named(kind: str) -> None:
    with pytest.raises(ValueError, match=f"unknown kind of fault: {kind}"):
        Faults(0.1, [kind])


def test_a_script_needs_known_kinds() -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        Faults().script(ARTISTS)
    with pytest.raises(ValueError, match="explosion"):
        Faults().script(ARTISTS, kinds=["explosion"])


@pytest.mark.parametrize(
    ("kind", "parts"), [("error_16_200", (16, 200)), ("html_502", None), ("error_8_999", None), ("", None)]
)
def test_error_of(kind: str, parts: tuple[int, int] | None) -> None:
    assert error_of(kind) == parts
