"""The phases of an ingest: their order and words, and what the end of one means."""

from __future__ import annotations

import pytest

from lastfm_crawl.insight.phases import Options, goes_on, outcome, plan
from lastfm_crawl.stop import Exit

OPTIONS = Options("rj,ann", 500, 100, "2026-11-21", 1)
NAMES = [
    "friends", "top_artists", "top_tracks", "recent_tracks", "match", "spotify_artists", "spotify_tracks",
    "musicbrainz", "track_tags", "aoty", "match_again", "songs", "sync_bigquery", "quality",
]  # fmt: skip


def words(phases) -> dict[str, str]:
    return {phase.name: " ".join(phase.words) for phase in phases}


def test_the_order_and_the_words():
    phases = plan(OPTIONS, {}, ["bigquery"])
    assert [phase.name for phase in phases] == NAMES
    said = words(phases)
    assert said["friends"] == "crawl friends -a seeds=rj,ann -a max_users=500"
    assert said["recent_tracks"] == "crawl recent_tracks -a until=2026-11-21"
    assert said["spotify_tracks"] == "crawl spotify_tracks -a top=300"
    assert said["aoty"] == "crawl aoty -a top=10 -a charts=1"
    assert said["match"] == said["match_again"] == "match"
    assert said["songs"] == "songs --max-songs 100"
    assert said["sync_bigquery"] == "sync bigquery"


def test_what_is_left_out_says_why():
    phases = plan(OPTIONS, {"aoty": "--skip-aoty"}, [])
    assert {phase.name: phase.left_out for phase in phases if phase.left_out} == {"aoty": "--skip-aoty"}


@pytest.mark.parametrize(
    ("name", "codes"),
    [("friends", {0, 1}), ("match", {0, 1}), ("musicbrainz", {0, 1, 4}), ("track_tags", {0, 1, 4}), ("songs", {0, 1})],
)
def test_after_which_ends_the_next_one_runs(name, codes):
    (phase,) = (phase for phase in plan(OPTIONS, {}, []) if phase.name == name)
    assert {code for code in (0, 1, 2, 3, 4, -9, 130) if goes_on(phase, code)} == codes


@pytest.mark.parametrize(
    ("codes", "end"),
    [
        ([], Exit.COMPLETE),
        ([0, 0], Exit.COMPLETE),
        ([0, 1, 0], Exit.LOSSES),
        ([1, 4, 0], Exit.RESUMABLE),
        ([0, 2], Exit.WRONG_USE),
        ([4, 3], Exit.CRITICAL),
        ([0, -9], Exit.RESUMABLE),
        ([130], Exit.LOSSES),
    ],
)
def test_the_end_of_the_whole(codes, end):
    assert outcome(codes) is end
