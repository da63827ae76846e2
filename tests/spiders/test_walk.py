"""The walk over a history, without a crawler: which windows, which pages, and what a list that changes does to it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.items import RecentTracksPage
from lastfm_crawl.spiders import walk as walking
from lastfm_crawl.spiders.walk import MAX_ROUNDS, OVERLAP, SIZES, Known, Part, Walk, Window, plan, year_start, years

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC).timestamp()
WINDOW = Window(0, 2_000)


class List:
    """What the service has: rows newest first, and changes that happen between two requests."""

    def __init__(self, times, changes=(), biggest=SIZES[0]):
        self.rows = sorted(((uts, "a", f"t{n}") for n, uts in enumerate(times)), reverse=True)
        self.changes = list(changes)
        self.biggest = biggest
        self.asked = 0
        self.stored: dict[Part, list] = {}

    def change(self):
        if self.changes and (where := self.changes.pop(0)) is not None:
            if where >= 0:
                self.rows = sorted([*self.rows, (where, "a", f"new{self.asked}")], reverse=True)
            elif self.rows:
                del self.rows[where % len(self.rows)]

    def page(self, part):
        self.asked += 1
        rows, total = self.rows[part.offset : part.offset + part.size], len(self.rows)
        self.change()
        return RecentTracksPage(
            method="user.getRecentTracks", user="u", params="", page=part.page, total=total,
            received=len(rows), window_from=0, window_to=2_000, per_page=part.size,
            uts=[r[0] for r in rows], artists=[r[1] for r in rows], tracks=[r[2] for r in rows],
        )  # fmt: skip


def run(service: List, walk: Walk, order=lambda parts: 0) -> dict[Part, list]:
    """Walk to the end; the rows of the last round, by part."""
    waiting, kept = walk.begin(), {}
    rounds = walk.rounds
    while waiting:
        part = waiting.pop(order(waiting) % len(waiting))
        if part.size > service.biggest:
            parts = walk.split(part)
            waiting += parts or walk.give_up(part)
            continue
        page = service.page(part)
        following = walk.answer(part, page)
        if walk.rounds > rounds:
            kept, rounds = {}, walk.rounds
        else:
            kept[part] = list(zip(page.uts, page.artists, page.tracks, strict=True))
        waiting += following
    assert walk.done
    return kept


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    """Pages of 8 to 1 rows instead of 1,000 to 125."""
    monkeypatch.setattr(walking, "SIZES", (8, 4, 2, 1))


times = st.lists(st.integers(1, 30), max_size=40)


@settings(max_examples=300)
@given(times, st.sampled_from((8, 4, 2, 1)), st.integers(0, 50))
def test_every_row_once_and_no_request_too_many(rows, biggest, seed):
    service, walk = List(rows, biggest=biggest), Walk(WINDOW, 8)
    order = itertools.count(seed)
    kept = run(service, walk, lambda waiting: next(order))
    assert sorted(row for rows in kept.values() for row in rows) == sorted(service.rows)
    assert not walk.lost
    if biggest == 8:
        assert service.asked == max(1, -(-len(rows) // 8))


@settings(max_examples=500)
@given(times, st.lists(st.none() | st.integers(-40, 30), max_size=8), st.integers(0, 50))
def test_a_list_that_changes_is_walked_until_it_holds_still(rows, changes, seed):
    """One change between two requests, at most: a late scrobble (>= 0) or a deletion."""
    service, walk = List(rows, changes), Walk(WINDOW, 8)
    order = itertools.count(seed)
    kept = run(service, walk, lambda waiting: next(order))
    if walk.changed:
        assert walk.rounds == MAX_ROUNDS
    elif not service.changes:
        # The last answer may have come before the last change: then that is the next run's.
        final = sorted(row for rows in kept.values() for row in rows)
        assert len(final) == len(set(final))
    if walk.rounds > 1 and not walk.changed:
        assert walk.fresh


@settings(max_examples=300)
@given(times, st.lists(st.integers(-40, 30), min_size=1, max_size=1), st.integers(1, 3))
def test_one_change_in_the_middle_does_not_show(rows, changes, after):
    """Whenever the change comes, the rows at the end are those of the list as it is then."""
    service, walk = List(rows, [None] * (after - 1) + changes), Walk(WINDOW, 8)
    kept = run(service, walk)
    if service.changes or after >= service.asked:
        return  # after the last request: nobody can know
    assert not walk.changed
    assert sorted(row for rows in kept.values() for row in rows) == sorted(service.rows)


@given(times.filter(lambda t: len(t) > 8), st.sets(st.integers(0, 4), max_size=4))
def test_what_is_known_is_not_asked_for(rows, known):
    service = List(rows)
    parts = [Part(8 * n, 8) for n in range(-(-len(rows) // 8)) if n in known]
    pages = [Known(part, len(rows), len(service.rows[part.offset : part.offset + 8])) for part in parts]
    walk = Walk(WINDOW, 8, pages)
    kept = run(service, walk)
    assert not set(kept) & set(parts)
    assert walk.rounds == 1
    assert service.asked == -(-len(rows) // 8) - len(parts)


def test_known_pages_of_a_list_that_has_changed_are_walked_again():
    service = List(range(1, 21))
    walk = Walk(WINDOW, 8, [Known(Part(0, 8), 19, 8)])
    kept = run(service, walk)
    assert walk.rounds == 2
    assert walk.fresh
    assert sorted(row for rows in kept.values() for row in rows) == sorted(service.rows)


def test_pages_of_another_size_are_kept():
    service = List(range(1, 31))
    walk = Walk(WINDOW, 4, [Known(Part(0, 8), 30, 8), Known(Part(24, 8), 30, 6)])
    kept = run(service, walk)
    assert set(kept) == {Part(8, 4), Part(12, 4), Part(16, 4), Part(20, 4)}


def test_a_part_that_is_given_up_ends_the_walk_in_order():
    walk = Walk(WINDOW, 8)
    (first,) = walk.begin()
    left = walk.answer(first, List(range(1, 21)).page(first))
    assert left == [Part(8, 8), Part(16, 8)]
    assert walk.give_up(left[0]) == []
    assert not walk.done
    assert walk.give_up(left[1]) == []
    assert walk.done
    assert walk.lost


def test_the_smallest_page_is_not_split(monkeypatch):
    monkeypatch.setattr(walking, "SIZES", SIZES)
    walk = Walk(WINDOW)
    (part,) = walk.begin()
    for _ in SIZES[1:]:
        first, second = walk.split(part)
        assert (first.offset, second.offset) == (part.offset, part.offset + first.size)
        part = first
    assert part.size == 125
    assert walk.split(part) == []
    assert walk.size == 125


# --- windows ------------------------------------------------------------------------------------------------------


def test_a_first_run_takes_every_year_and_the_rest():
    windows = plan(NOW, [], None)
    assert windows[0] == Window(0, year_start(2003))
    assert windows[-1] == Window(year_start(2026), int(NOW))
    assert all(a.end == b.first for a, b in itertools.pairwise(windows))
    assert len(windows) == 25


@pytest.mark.parametrize(("day", "closed"), [(1, 2024), (14, 2024), (15, 2025), (31, 2025)])
def test_a_year_is_closed_two_weeks_after_its_end(day, closed):
    now = datetime(2026, 1, day, 12, tzinfo=UTC).timestamp()
    assert years(now)[-1].end == year_start(closed + 1)


def test_the_second_run_takes_the_time_since_the_newest_scrobble():
    known = plan(NOW, [], None)
    later = NOW + 86_400
    assert plan(later, known, int(NOW) - 500) == [Window(int(NOW) - 500 - OVERLAP, int(later))]
    assert plan(later, known, None) == [Window(int(NOW) - OVERLAP, int(later))]
    assert plan(later, known, 1_000_000) == [Window(0, int(later))], "a few rows: whoever has not listened since"


def test_who_was_asked_for_everything_up_to_an_end_is_asked_for_nothing():
    known = plan(NOW, [], None)
    assert plan(NOW, known, int(NOW) - 500) == []
    known += plan(NOW + 86_400, known, int(NOW) - 500)
    assert plan(NOW + 86_400, known, int(NOW) + 500) == []
    assert plan(NOW, known, int(NOW) + 500) == [], "there is more already"


def test_an_end_before_any_year_is_closed():
    assert plan(year_start(2002) + 86_400, [], None) == [Window(0, year_start(2002) + 86_400)]


def test_a_year_that_is_missing_is_asked_for():
    known = [window for window in plan(NOW, [], None) if window.first != year_start(2010)]
    assert plan(NOW + 60, known, int(NOW))[0] == Window(year_start(2010), year_start(2011))


def test_a_year_that_was_fetched_piece_by_piece_is_not_asked_for_again():
    known, newest, now = [], None, NOW
    for _ in range(30):
        known += plan(now, known, newest)
        newest = int(now) - 1000
        now += 20 * 86_400
    after = plan(now, known, newest)
    assert len(after) == 1
    assert after[0].end == int(now)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_however_often_it_runs_the_windows_leave_no_gap(pauses):
    known, now = [], NOW
    for days in pauses:
        known += plan(now, known, int(now) - 86_400 * 40)
        now += days * 86_400
    reached = 0
    for window in sorted(known):
        assert window.first <= reached
        reached = max(reached, window.end)
    assert reached == int(now - pauses[-1] * 86_400)
