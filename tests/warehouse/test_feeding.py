"""What is marked by loading, and how the backlog is worked off: by a sink that remembers what it was given."""

from __future__ import annotations

import psycopg
import pytest

from lastfm_crawl.items import Admissions, FriendsPage, Member, Profile, TopArtistsPage
from lastfm_crawl.warehouse import backlog
from lastfm_crawl.warehouse.database import Database
from lastfm_crawl.warehouse.feeding import Fed, Feeder
from lastfm_crawl.warehouse.postgres import PostgresSink
from lastfm_crawl.warehouse.sinks import SinkRefusedError, SinkUnavailableError

NOW = 1_700_000_000.0


def page(user, rows=1, fetched_at=NOW):
    return TopArtistsPage(
        method="user.getTopArtists", user=user, params="limit=1000,period=overall", period="overall",
        fetched_at=fetched_at, received=rows,
        ranks=range(1, rows + 1), names=[f"artist {n}" for n in range(rows)], playcounts=range(1, rows + 1),
    )  # fmt: skip


class MemorySink:
    """Holds the rows of each user by kind; refuses the users in ``bad``, and everything while ``down``."""

    interval = 0.1

    def __init__(self, target="here", kinds=("users", "friends", "artists", "scrobbles", "tracks")):
        self.name, self.target = "memory", target
        self.kinds = dict.fromkeys(kinds, 3)
        self.rows = {}
        self.batches = []
        self.bad = set()
        self.down = False
        self.meanwhile = lambda: None

    def open(self):
        if self.down:
            raise SinkUnavailableError("nobody is there")

    def close(self):
        pass

    def write(self, batch):
        if self.down:
            raise SinkUnavailableError("nobody is there")
        if self.bad.intersection(batch.names):
            raise SinkRefusedError("not this one")
        self.batches.append((batch.kind, *batch.names))
        for name in batch.names:
            self.rows.pop((batch.kind, name), None)
        for row in batch.read(batch.kind):
            self.rows.setdefault((batch.kind, row[0]), []).append(row[1:])
        self.meanwhile()

    def of(self, kind):
        return {name: rows for (of, name), rows in self.rows.items() if of == kind}


@pytest.fixture
def database(database_url, tmp_path):
    database = Database(database_url, tmp_path)
    database.open()
    yield database
    database.close()


@pytest.fixture
def load(database):
    def load(*items):
        database.run(PostgresSink().load, list(items))

    return load


@pytest.fixture
def sink(database):
    sink = MemorySink()
    database.run(backlog.register, sink)
    return sink


def marks(database):
    return database.run(
        lambda c: c.execute(
            "SELECT kind, key, attempts, last_error FROM sink_backlog JOIN users u ON u.id = user_id ORDER BY 1, 2"
        ).fetchall()
    )


def joined(*names):
    return Admissions(tuple(Member(name, None, None, NOW) for name in names))


def friends(user, *names, at=NOW):
    return FriendsPage(
        method="user.getFriends", user=user, params="limit=500", fetched_at=at, friends=tuple(Profile(n) for n in names)
    )


def drained(database, sink):
    feeder = Feeder(database, sink)
    feeder.drain()
    return feeder


def test_nothing_is_marked_without_a_sink(database, load):
    load(page("ann"), joined("ann"))
    assert marks(database) == []


def test_what_a_page_changes_is_marked_and_sent(database, load, sink):
    load(page("ann", rows=2), joined("ann"), friends("bob", "ann"))
    assert [(kind, user) for kind, user, *_ in marks(database)] == [
        ("artists", "ann"),
        ("friends", "bob"),
        ("users", "ann"),
        ("users", "bob"),
    ]
    assert drained(database, sink).fed == Fed(3, 4)
    assert {name: len(rows) for name, rows in sink.of("artists").items()} == {"ann": 2}
    assert sink.of("friends") == {"bob": [("ann",)]}
    assert sink.of("users").keys() == {"ann"}
    assert marks(database) == []


def test_the_same_answer_again_is_not_sent_again(database, load, sink):
    load(page("ann"))
    drained(database, sink)
    load(page("ann"))
    assert marks(database)
    assert drained(database, sink).fed == Fed()
    assert len(sink.batches) == 1


def test_a_load_that_is_rolled_back_marks_nobody(database, load, sink):
    def fails(connection):
        PostgresSink().load(connection, [page("ann")])
        raise psycopg.DataError("no")

    with pytest.raises(psycopg.DataError):
        database.run(fails)
    assert marks(database) == []


def test_a_user_who_changes_while_being_sent_stays(database, database_url, load, sink, tmp_path):
    load(page("ann"))
    other = Database(database_url, tmp_path)
    sink.meanwhile = lambda: other.run(PostgresSink().load, [page("ann", rows=5, fetched_at=NOW + 1)])
    feeder = Feeder(database, sink)
    users = database.run(backlog.next_users, sink, "artists", ())
    feeder._refused["artists"] = set()
    feeder._send("artists", users, lambda _: None)
    sink.meanwhile = lambda: None
    assert ("artists", "ann") in [mark[:2] for mark in marks(database)]
    feeder.drain()
    assert len(sink.of("artists")["ann"]) == 5
    other.close()


def test_one_who_is_refused_costs_no_other(database, load, sink):
    load(*(page(user) for user in "abcdefg"))
    sink.bad = {"c"}
    feeder = drained(database, sink)
    assert sink.of("artists").keys() == set("abdefg")
    assert (feeder.left(), feeder.fault) == (1, "not this one")
    assert marks(database) == [("artists", "c", 1, "not this one")]
    sink.bad = set()
    assert drained(database, sink).left() == 0
    assert sink.of("artists").keys() == set("abcdefg")


@pytest.mark.parametrize("opened", [True, False])
def test_a_sink_that_is_down_keeps_its_backlog(database, load, sink, opened):
    feeder = Feeder(database, sink)
    if opened:
        load(page("z"))
        feeder.drain()
    load(*(page(user) for user in "abcde"), joined(*"abcde"))
    sink.down = True
    feeder.drain()
    assert feeder.fault == "nobody is there"
    assert feeder.left() == 10  # users and artists
    (lag,) = [lag for lag in database.run(backlog.lags) if lag.last_error]
    assert (lag.sink, lag.kind, lag.users, lag.attempts, lag.last_error) == ("memory", "users", 5, 1, "nobody is there")
    sink.down = False
    feeder.drain()
    assert (feeder.fault, feeder.left()) == (None, 0)


def test_a_sink_that_is_new_or_elsewhere_has_everything_before_it(database, load):
    load(page("ann"), joined("ann"))
    sink = MemorySink()
    database.run(backlog.register, sink)
    drained(database, sink)
    assert sink.of("artists").keys() == {"ann"}
    database.run(backlog.register, MemorySink())
    assert marks(database) == []
    other = MemorySink("there")
    database.run(backlog.register, other)
    drained(database, other)
    assert other.rows == sink.rows


def test_whoever_loads_while_a_sink_is_made_known_is_not_missed(database, database_url, tmp_path, load):
    """The load has looked for sinks, found none, and commits after the sink was asked to be made known."""
    sink = MemorySink()
    with psycopg.connect(database_url) as loading, psycopg.connect(database_url) as registering:
        PostgresSink().load(loading, [page("ann")])
        registering.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            backlog.register(registering, sink)  # it waits for the load
        registering.rollback()
        loading.commit()
        backlog.register(registering, sink)
        registering.commit()
    drained(database, sink)
    assert sink.of("artists").keys() == {"ann"}


def test_comparing_finds_what_nobody_marked(database, load, sink):
    load(page("ann", rows=3), page("bob"), joined("ann", "bob"), friends("ann", "bob"))
    drained(database, sink)
    database.run(lambda c: c.execute("UPDATE artists SET name = 'Artist Two' WHERE name = 'artist 2'"))
    database.run(lambda c: c.execute("UPDATE users SET name = 'Bob' WHERE key = 'bob'"))
    database.run(backlog.mark_changed, sink)
    assert [mark[:2] for mark in marks(database)] == [
        ("artists", "ann"),
        ("artists", "bob"),
        ("friends", "ann"),
        ("users", "bob"),
    ]
    drained(database, sink)
    assert sink.of("artists").keys() == sink.of("users").keys() == {"ann", "Bob"}
    assert sink.of("friends") == {"ann": [("Bob",)]}
    database.run(backlog.mark_changed, sink)
    assert marks(database) == []


def test_a_name_in_another_case_goes_to_all_who_show_it(database, load, sink):
    load(page("ann"), joined("ann", "bob"), friends("bob", "ann"), friends("ann", "bob"))
    drained(database, sink)
    load(friends("bob", "ANN", at=NOW + 1))
    drained(database, sink)
    assert sink.of("users").keys() == {"ANN", "bob"}
    assert sink.of("artists").keys() == {"ANN"}
    assert sink.of("friends") == {"ANN": [("bob",)], "bob": [("ANN",)]}


def test_a_user_who_is_gone_goes_there_too(database, load, sink):
    load(page("ann"), page("bob"))
    drained(database, sink)
    database.run(lambda c: c.execute("DELETE FROM users WHERE key = 'ann'"))
    database.run(backlog.mark_changed, sink)
    drained(database, sink)
    assert sink.of("artists").keys() == {"bob"}
    assert database.run(lambda c: c.execute("SELECT username FROM sink_sent").fetchall()) == [("bob",)]


def test_everything_is_sent_again_when_asked(database, load, sink):
    load(page("ann"))
    drained(database, sink)
    sink.rows.clear()
    database.run(backlog.mark_all, sink)
    drained(database, sink)
    assert sink.of("artists").keys() == {"ann"}
    assert database.run(backlog.waiting, "memory") == 0
