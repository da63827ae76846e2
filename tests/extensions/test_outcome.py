"""What a finished run is worth: its exit code, and one line for each thing that went wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.stop import REASONS, Exit

FINE = {"finish_reason": "finished", "lastfm_crawl/pages": 7, "lastfm_crawl/pages_loaded": 7}
LOSSES = ["lastfm_crawl/lost", "lastfm_crawl/not_loaded", "lastfm_crawl/item_errors", "spider_exceptions/count"]


def test_the_exit_codes_are_those_of_the_design():
    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4]
    assert (Exit.COMPLETE, Exit.LOSSES, Exit.WRONG_USE, Exit.CRITICAL, Exit.RESUMABLE) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("stats", [FINE, {"finish_reason": "finished"}])
def test_complete_or_nothing_to_do(stats):
    assert judge(stats) == (Exit.COMPLETE, [])


@pytest.mark.parametrize("stat", LOSSES)
def test_any_loss_is_said(stat):
    code, faults = judge({**FINE, stat: 3})
    assert code is Exit.LOSSES
    assert len(faults) == 1
    assert faults[0].startswith("3 ")


def test_every_loss_has_a_line():
    code, faults = judge({**FINE, **dict.fromkeys(LOSSES, 2)})
    assert (code, len(faults)) == (Exit.LOSSES, 4)


@pytest.mark.parametrize(("pages", "loaded"), [(7, 6), (7, 0), (6, 7)])
def test_pages_that_do_not_add_up_are_a_loss(pages, loaded):
    code, faults = judge({**FINE, "lastfm_crawl/pages": pages, "lastfm_crawl/pages_loaded": loaded})
    assert code is Exit.LOSSES
    assert faults == [f"{pages} pages were parsed, but {loaded} were loaded"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("key_rejected", Exit.CRITICAL),
        ("program_fault", Exit.CRITICAL),
        ("store_unavailable", Exit.CRITICAL),
        ("warehouse_unavailable", Exit.CRITICAL),
        ("rate_limited", Exit.RESUMABLE),
        ("service_unreachable", Exit.RESUMABLE),
        ("shutdown", Exit.RESUMABLE),
        ("closespider_timeout", Exit.RESUMABLE),
        ("memusage_exceeded", Exit.RESUMABLE),
        (None, Exit.RESUMABLE),
        ("start_error", Exit.LOSSES),
    ],
)
def test_why_a_run_ended(reason, code):
    found, faults = judge({**FINE, "finish_reason": reason})
    assert found is code
    assert faults


def test_a_stopped_run_says_what_stopped_it_first():
    stats = {**FINE, "finish_reason": "key_rejected", "lastfm_crawl/stopped": "check the key", "lastfm_crawl/lost": 1}
    assert judge(stats) == (Exit.CRITICAL, ["check the key", "1 pages were given up"])


def test_a_run_that_was_killed_is_told_to_continue():
    assert judge({})[1] == ["stopped early (killed); run again to continue"]


@given(
    st.sampled_from(["finished", "shutdown", None, "start_error", "custom", *REASONS]),
    st.dictionaries(st.sampled_from(LOSSES), st.integers(0, 5)),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_zero_means_that_nothing_is_missing(reason, losses, pages, loaded):
    stats = {"finish_reason": reason, "lastfm_crawl/pages": pages, "lastfm_crawl/pages_loaded": loaded, **losses}
    code, faults = judge(stats)
    complete = reason == "finished" and not any(losses.values()) and pages == loaded
    assert (code is Exit.COMPLETE) == complete == (not faults)
