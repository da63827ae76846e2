"""The turns that all runs on one warehouse take, service by service: given by one statement each, by its clock.

Kept on a connection of its own, on the event loop: a turn must not wait behind a load, and never holds a transaction.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import psycopg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds: what a first rate limit adds to every gap, and the most that repeated ones add.
FIRST_PENALTY = 1.0
MAX_PENALTY = 8.0
#: What a good answer leaves of a penalty, which is over below 0.01 s: after at most 14 good answers.
RECOVERY = 0.6
#: Seconds after its last turn for which somebody still counts: one that was killed leaves no word.
_LATELY = 60.0
#: Seconds within which the warehouse answers, or is away; and between two attempts to get it back.
_PATIENCE = 3.0
_AGAIN = 1.0
# What is lost with the last second before a crash are turns that are over. A row is never held for longer than a
# statement takes: who waits for it for half a second waits for a server in trouble.
_SESSION = "SET synchronous_commit = off; SET lock_timeout = 500; SET statement_timeout = 2000"

_TAKE = """
WITH lately AS (
    SELECT count(*) AS others, max(delay) AS delay FROM pace_takers
    WHERE pace = %(pace)s AND taker <> %(taker)s AND turn_at > clock_timestamp() - %(lately)s * interval '1 s'
), turn AS (
    INSERT INTO paces AS p (name, gap, turn_at, penalty)
    SELECT %(pace)s, greatest(%(delay)s, delay), clock_timestamp() + %(least)s * interval '1 s', %(penalty)s
    FROM lately
    ON CONFLICT (name) DO UPDATE SET
        turn_at = greatest(p.turn_at + (excluded.gap + p.penalty) * interval '1 s', p.not_before, excluded.turn_at),
        gap = excluded.gap,
        penalty = greatest(trunc((p.penalty * %(left)s)::numeric, 2), excluded.penalty)
    RETURNING name, turn_at, gap, penalty, slowed_at
), mine AS (
    INSERT INTO pace_takers (pace, taker, delay, turn_at) SELECT name, %(taker)s, %(delay)s, turn_at FROM turn
    ON CONFLICT (pace, taker) DO UPDATE SET delay = excluded.delay, turn_at = excluded.turn_at
)
SELECT extract(epoch FROM turn_at - clock_timestamp())::float8, gap, penalty, slowed_at::text, others + 1
FROM turn, lately
"""


class PacesAwayError(Exception):
    """The warehouse gives no turns now."""


class Turn(NamedTuple):
    """When a request may leave: in ``wait`` seconds, unless the pace has slowed down since ``slowed_at``."""

    wait: float
    gap: float  # seconds between two turns, without
    penalty: float  # what a rate limit adds
    slowed_at: str
    sharers: int  # how many took turns lately, this one among them


class Paces:
    """The paces of the warehouse at ``conninfo()``, for one who takes turns. Every method but ``leave`` raises
    PacesAwayError.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._conninfo = conninfo
        self._taker = secrets.token_hex(8)
        self._connection: psycopg.AsyncConnection | None = None
        self._lock = asyncio.Lock()
        self._again_at = 0.0
        self._away = False

    async def take_turn(
        self, pace: str, delay: float, *, good: int = 0, least: float = 0.0, penalty: float = 0.0
    ) -> Turn:
        """The next turn of *pace* for one who wishes for *delay* seconds between two, and had *good* answers since the
        last.

        *least* and *penalty* are what it found out alone: seconds to wait at least, and what a rate limit added.
        """
        parameters = {
            "pace": pace, "taker": self._taker, "delay": delay, "left": RECOVERY**good, "least": least,
            "penalty": penalty, "lately": _LATELY,
        }  # fmt: skip
        return await self._run(_take, parameters)

    async def stands(self, pace: str, turn: Turn) -> bool:
        """Whether *turn* may be used: nobody met a rate limit since it was given."""
        return await self._run(_stands, pace, turn)

    async def slow_down(self, pace: str, age: float, retry_after: float | None) -> bool:
        """A request that was sent *age* seconds ago met a rate limit: gaps grow, and nothing leaves for *retry_after*
        seconds. False, and only the wait is kept, when it was sent before the last slow-down.
        """
        return await self._run(_slow_down, pace, age, retry_after)

    async def leave(self) -> None:
        """Take no turns any more: the others need not keep to our wish. What nobody used for a day is cleared away."""
        if self._connection is not None:
            try:
                await self._run(_leave, self._taker)
            except PacesAwayError:
                logger.debug("the paces could not be told that this run ends")
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _run(
        self, work: Callable[Concatenate[psycopg.AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async with self._lock:
            if time.monotonic() < self._again_at:
                raise PacesAwayError
            task = asyncio.create_task(self._connected(work, *args, **kwargs))
            # Not asyncio.timeout(): psycopg takes up to ten seconds to cancel a statement of a server that hangs.
            if not (await asyncio.wait({task}, timeout=_PATIENCE))[0]:
                task.add_done_callback(_forget)
                task.cancel()
                self._connection = None
                raise self._lost("no answer")
            try:
                result = task.result()
            except (psycopg.Error, OSError) as exc:
                self._connection = None
                raise self._lost(type(exc).__name__) from exc
            if self._away:
                logger.warning("the warehouse is back: the pace is shared again")
                self._away = False
            return result

    async def _connected(
        self, work: Callable[Concatenate[psycopg.AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        connection = self._connection
        if connection is None:
            conninfo = self._conninfo()
            if not conninfo:  # libpq would take it for a server on this machine
                raise psycopg.OperationalError("the warehouse was never opened")
            connection = await psycopg.AsyncConnection.connect(
                conninfo, application_name="lastfm_crawl pace", autocommit=True, connect_timeout=int(_PATIENCE)
            )
        try:
            if self._connection is None:
                await connection.execute(_SESSION)
                self._connection = connection
            return await work(connection, *args, **kwargs)
        except BaseException:  # also when it is given up
            await connection.close()
            raise

    def _lost(self, why: str) -> PacesAwayError:
        self._again_at = time.monotonic() + _AGAIN
        if not self._away:
            logger.warning("the warehouse gives no turns (%s): asking at a slower pace that is safe without it", why)
            self._away = True
        return PacesAwayError(why)


def _forget(task: asyncio.Task[Any]) -> None:
    """Take note of how *task* ended, so that nobody complains that nobody did."""
    if not task.cancelled():
        task.exception()


async def _take(connection: psycopg.AsyncConnection, parameters: dict[str, object]) -> Turn:
    row = await (await connection.execute(_TAKE, parameters)).fetchone()
    assert row is not None  # noqa: S101  (a row was written)
    return Turn(*row)


async def _stands(connection: psycopg.AsyncConnection, pace: str, turn: Turn) -> bool:
    cursor = await connection.execute(
        "SELECT FROM paces WHERE name = %s AND slowed_at = %s::timestamptz AND not_before <= clock_timestamp()",
        [pace, turn.slowed_at],
    )
    return bool(cursor.rowcount)


async def _slow_down(connection: psycopg.AsyncConnection, pace: str, age: float, retry_after: float | None) -> bool:
    if retry_after is not None:
        await connection.execute(
            "UPDATE paces SET not_before = greatest(not_before, clock_timestamp() + %s * interval '1 s')"
            " WHERE name = %s",
            [retry_after, pace],
        )
    cursor = await connection.execute(
        """
        UPDATE paces SET slowed_at = clock_timestamp(), turn_at = clock_timestamp(),
            penalty = least(%s, greatest(%s, 2 * penalty))
        WHERE name = %s AND slowed_at <= clock_timestamp() - %s * interval '1 s'
        """,
        [MAX_PENALTY, FIRST_PENALTY, pace, age],
    )
    return bool(cursor.rowcount)


async def _leave(connection: psycopg.AsyncConnection, taker: str) -> None:
    await connection.execute(
        "DELETE FROM pace_takers WHERE taker = %s OR turn_at < clock_timestamp() - interval '1 hour'", [taker]
    )
    await connection.execute(
        "DELETE FROM paces WHERE greatest(turn_at, not_before) < clock_timestamp() - interval '1 day'"
    )
