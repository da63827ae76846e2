"""How the status of a user changed: told from answers, whatever the order in which these were loaded."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from lastfm_crawl.items import Admissions, Member, ProfileCheck, TopTracksPage, UserMark
from lastfm_crawl.warehouse import queries
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.postgres import PostgresSink

NOW = 1_700_000_000
TRACKS, LOVED, RECENT = "user.getTopTracks", "user.getLovedTracks", "user.getRecentTracks"


class Said(NamedTuple):
    """An answer: what it said of the user (``ok`` for a good one), to which question, and when."""

    status: str
    method: str
    at: int
    params: str = "limit=1000"

    def item(self, user="rj"):
        given = {"method": self.method, "user": user, "params": self.params, "fetched_at": NOW + self.at}
        if self.status == "ok":
            return TopTracksPage(period="overall", **given)
        return UserMark(status=self.status, detail=f"{self.status} at {self.at}", **given)


class Bench:
    """A warehouse with one member."""

    def __init__(self, connection):
        self.connection = connection

    def load(self, *items):
        with self.connection.transaction():
            self.sink.load(self.connection, items)
        self.sink.committed()

    def begin(self):
        self.connection.execute("DELETE FROM users")
        self.sink = PostgresSink()
        self.load(Admissions((Member("RJ", None, None, NOW),)))

    def load_all(self, batches):
        self.begin()
        for batch in batches:
            self.load(*(said.item() for said in batch))

    def history(self):
        rows = queries.status_history(self.connection, "rj")
        return [(row.status, row.detail, round(row.since.timestamp() - NOW)) for row in rows]

    def status(self):
        return self.connection.execute("SELECT status FROM lastfm_users").fetchone()[0]


@pytest.fixture(scope="module")
def warehouse(postgres):
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE test_status_history")
        url = make_conninfo(postgres, dbname="test_status_history")
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            yield Bench(connection)
        server.execute("DROP DATABASE test_status_history WITH (FORCE)")


@pytest.fixture
def bench(warehouse):
    warehouse.begin()
    return warehouse


def expected(answers):
    """The history by its definition: what the status was after each answer, as far as that was a change."""
    told = []
    for at in sorted({said.at for said in answers}):
        past = [said for said in answers if said.at <= at]
        good = [said for said in past if said.status == "ok"]
        marks = [
            mark
            for mark in past
            if mark.status != "ok"
            and not any(g.at > mark.at and (mark.status == "not_found" or g.method == mark.method) for g in good)
        ]
        last = min(marks, key=lambda mark: (-mark.at, mark.status), default=None)
        status, detail = ("ok", None) if last is None else (last.status, f"{last.status} at {last.at}")
        if not told or told[-1][0] != status:
            told.append((status, detail, at))
    return told


answers = st.lists(
    st.builds(
        Said,
        st.sampled_from(["ok", "ok", "not_found", "private"]),
        st.sampled_from([TRACKS, LOVED, RECENT]),
        st.integers(0, 9),
        st.sampled_from(["limit=1000", "limit=5"]),
    ),
    max_size=9,
    unique_by=lambda said: (said.method, said.params, said.at),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers, st.data())
def test_any_order_any_batches_and_twice(bench, given_answers, data):
    loaded = data.draw(
        st.permutations([*given_answers, *data.draw(st.lists(st.sampled_from(given_answers or [None])))])
    )
    loaded = [said for said in loaded if said is not None]
    cuts = sorted(data.draw(st.sets(st.integers(1, 12), max_size=4)))
    batches = [loaded[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    bench.load_all(batches)
    history = bench.history()
    assert history == expected(given_answers)
    assert bench.status() == (history[-1][0] if history else "ok")


GONE_AND_BACK = [
    Said("ok", TRACKS, 1),
    Said("not_found", TRACKS, 2),
    Said("not_found", TRACKS, 3),
    Said("ok", TRACKS, 4),
    Said("ok", TRACKS, 5),
]


def test_gone_and_back_in_every_order(bench):
    for order in permutations(GONE_AND_BACK):
        bench.load_all([[said] for said in order])
        assert bench.history() == [("ok", None, 1), ("not_found", "not_found at 2", 2), ("ok", None, 4)]


def test_who_came_back_may_hide_the_history_still(bench):
    bench.load_all([[Said("private", RECENT, 1), Said("not_found", TRACKS, 2), Said("ok", TRACKS, 3)]])
    assert [status for status, _, _ in bench.history()] == ["private", "not_found", "private"]
    assert bench.status() == "private"


def test_an_error_is_on_the_user_and_not_in_the_history(bench):
    """It was met and not stored, so that no replay knows of it; what it takes the place of is told all the same."""
    bench.load_all([[Said("not_found", TRACKS, 1)], [Said("error", TRACKS, 2)]])
    assert bench.status() == "error"
    assert bench.history() == [("not_found", "not_found at 1", 1)]
    bench.load(Said("ok", TRACKS, 3).item())
    assert bench.history() == [("not_found", "not_found at 1", 1), ("ok", None, 3)]


def test_no_profile_page_is_no_status(bench):
    check = ProfileCheck(method="user.page", user="rj", params="", total=1, fetched_at=NOW + 9)
    bench.load_all([[Said("not_found", TRACKS, 1)]])
    bench.load(check)
    assert bench.history() == [("not_found", "not_found at 1", 1)]
    assert bench.status() == "not_found"


def test_nobody_but_members_has_a_history(bench):
    bench.load(Said("not_found", TRACKS, 1).item("bob"))
    assert queries.status_history(bench.connection, "bob") == []
    assert queries.status_history(bench.connection, "nobody") == []


class TestReturned:
    def test_what_was_left_is_asked(self, bench):
        bench.load_all([[Said("not_found", TRACKS, 1)]])
        left = (TRACKS, "limit=1000", None, None, NOW - 100)
        assert queries.members_left(bench.connection, *left) == []
        assert queries.returned(bench.connection, TRACKS, "limit=1000") == {}
        bench.load(Said("ok", LOVED, 2).item())
        assert queries.members_left(bench.connection, *left) == ["RJ"]
        assert queries.returned(bench.connection, TRACKS, "limit=1000") == {"rj": NOW + 1}

    def test_what_was_complete_is_not(self, bench):
        bench.load_all([[Said("ok", TRACKS, 0), Said("not_found", TRACKS, 1), Said("ok", LOVED, 2)]])
        assert queries.members_left(bench.connection, TRACKS, "limit=1000", None, None, NOW - 100) == []

    def test_a_history_is_asked_for_unless_it_is_hidden(self, bench):
        bench.load_all([[Said("not_found", RECENT, 1)]])
        assert queries.members_to_ask(bench.connection, RECENT, NOW - 100) == []
        bench.load(Said("ok", LOVED, 2).item())
        assert queries.members_to_ask(bench.connection, RECENT, NOW - 100) == ["RJ"]
        bench.load(Said("private", RECENT, 3).item())
        bench.load(Said("ok", LOVED, 4).item())
        assert queries.members_to_ask(bench.connection, RECENT, NOW - 100) == []
