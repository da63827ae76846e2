"""Turns as the warehouse gives them: however many ask at once, they lie a gap apart by its own clock."""

from __future__ import annotations

import asyncio
import logging
import threading
from itertools import pairwise

import psycopg
import pytest

from lastfm_crawl.warehouse import paces as paces_module
from lastfm_crawl.warehouse.paces import FIRST_PENALTY, MAX_PENALTY, Paces, PacesAwayError

PACE = "127.0.0.1:8000 0123456789abcdef"
# Every turn that is ever given.
RECORD = """
CREATE TABLE given (turn_at timestamptz, gap float8, penalty float8);
CREATE FUNCTION record_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO given VALUES (NEW.turn_at, NEW.gap, NEW.penalty); RETURN NULL; END $$;
CREATE TRIGGER turns AFTER INSERT OR UPDATE ON paces FOR EACH ROW EXECUTE FUNCTION record_turn()
"""


@pytest.fixture
async def paces(database_url):
    """Makes takers."""
    made = []

    def make():
        made.append(Paces(lambda: database_url))
        return made[-1]

    yield make
    for each in made:
        await each.leave()


def rows(url, statement):
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def test_many_threads_at_once(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(RECORD)
    found, together = [], threading.Barrier(8)

    async def take():
        taker = Paces(lambda: database_url)
        together.wait()
        found.extend([await taker.take_turn(PACE, 0.05) for _ in range(25)])
        await taker.leave()

    threads = [threading.Thread(target=lambda: asyncio.run(take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert max(turn.sharers for turn in found) == 8
    turns = [at.timestamp() for (at,) in rows(database_url, "SELECT turn_at FROM given ORDER BY 1")]
    assert len(turns) == 200
    assert min(later - earlier for earlier, later in pairwise(turns)) >= 0.05 - 1e-6
    assert rows(database_url, "SELECT count(*) FROM pace_takers") == [(0,)]


async def test_the_slowest_wish_holds_while_somebody_has_it(paces, database_url):
    slow, fast, dead = paces(), paces(), paces()
    assert (await slow.take_turn(PACE, 1.0)).wait <= 0
    assert (await fast.take_turn(PACE, 0.2)).wait == pytest.approx(1, abs=0.1)
    assert (await fast.take_turn(PACE, 0.2)).gap == 1
    await slow.leave()
    assert (await fast.take_turn(PACE, 0.2)).gap == 0.2
    await dead.take_turn(PACE, 3.0)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE pace_takers SET turn_at = turn_at - interval '2 minutes' WHERE delay = 3")
    turn = await fast.take_turn(PACE, 0.2)
    assert (turn.gap, turn.sharers) == (0.2, 1), "who took no turn for a minute counts no more"


async def test_a_pause_saves_nothing_up(paces, database_url):
    taker = paces()
    await taker.take_turn(PACE, 0.5)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE paces SET turn_at = turn_at - interval '1 hour'")
    waits = [(await taker.take_turn(PACE, 0.5)).wait for _ in range(3)]
    assert waits == pytest.approx([0, 0.5, 1], abs=0.2)


async def test_rate_limits_and_recovery(paces):
    one, other = paces(), paces()
    first = await one.take_turn(PACE, 1.0)
    assert await one.stands(PACE, first)
    assert await one.slow_down(PACE, 0.0, None)
    assert not await other.slow_down(PACE, 1.0, None), "sent before the slow-down"
    assert not await other.stands(PACE, first)
    turn = await other.take_turn(PACE, 1.0)
    assert turn.penalty == FIRST_PENALTY
    assert turn.wait == pytest.approx(2, abs=0.2)
    assert await other.stands(PACE, turn)
    found = []
    for _ in range(5):
        await one.slow_down(PACE, 0.0, None)
        found.append((await one.take_turn(PACE, 1.0)).penalty)
    assert found == [2, 4, 8, MAX_PENALTY, MAX_PENALTY]
    assert (await one.take_turn(PACE, 1.0, good=1)).penalty == pytest.approx(4.8)
    assert (await other.take_turn(PACE, 1.0, good=13)).penalty == 0


async def test_a_wait_that_the_host_asked_for(paces):
    one, other = paces(), paces()
    turn = await one.take_turn(PACE, 0.1)
    await one.slow_down(PACE, 0.0, 30.0)
    await one.slow_down(PACE, 60.0, 40.0)  # under way, but the wait counts
    assert not await other.stands(PACE, turn)
    assert (await other.take_turn(PACE, 0.1)).wait == pytest.approx(40, abs=0.5)


async def test_what_a_run_found_out_alone(paces):
    one, other = paces(), paces()
    await other.take_turn(PACE, 0.1)
    turn = await one.take_turn(PACE, 0.1, least=5.0, penalty=4.0)
    assert (turn.wait, turn.penalty) == (pytest.approx(5, abs=0.1), 4)
    assert (await other.take_turn(PACE, 0.1)).wait == pytest.approx(9.1, abs=0.2)


async def test_a_server_that_hangs_is_away(paces, database_url, monkeypatch, caplog):
    monkeypatch.setattr(paces_module, "_PATIENCE", 0.3)
    taker = paces()
    await taker.take_turn(PACE, 0.1)
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE paces")  # its lock_timeout would end it at 0.5 s
        with pytest.raises(PacesAwayError):
            await taker.take_turn(PACE, 0.1)
        with pytest.raises(PacesAwayError):
            await taker.take_turn(PACE, 0.1)
    monkeypatch.undo()
    await asyncio.sleep(1.1)
    assert (await taker.take_turn(PACE, 0.1)).wait < 0.2
    assert [r.levelno for r in caplog.records if r.name == paces_module.__name__] == [logging.WARNING] * 2


async def test_what_nobody_used_for_a_day_is_cleared_away(paces, database_url):
    old, new = paces(), paces()
    await old.take_turn("127.0.0.1:1", 0.1)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE paces SET turn_at = turn_at - interval '2 days'")
    await new.take_turn(PACE, 0.1)
    await new.leave()
    assert rows(database_url, "SELECT name FROM paces") == [(PACE,)]
