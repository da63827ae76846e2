"""Sends a sink what the backlog holds for it, in batches: read from the views, written, acknowledged."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.warehouse import backlog
from lastfm_crawl.warehouse.sinks import Batch, SinkRefusedError, SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from lastfm_crawl.warehouse.database import Database
    from lastfm_crawl.warehouse.sinks import Sink

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 20_000


class Fed(NamedTuple):
    """What was sent: users whose rows were others than before, and the rows that they have now."""

    users: int = 0
    rows: int = 0


class Feeder:
    """Feeds one sink from one database. Blocks: for a thread of its own."""

    def __init__(self, database: Database, sink: Sink) -> None:
        self._database = database
        self._sink = sink
        self._refused: dict[str, set[int]] = {}
        self._opened = False
        #: What was sent so far.
        self.fed = Fed()
        #: Why something could not be sent, the last time that this happened.
        self.fault: str | None = None

    def register(self) -> None:
        """Make the sink known: what is loaded from now on is marked for it. Raises WarehouseUnavailableError."""
        self._database.run(backlog.register, self._sink)

    def drain(
        self, advance: Callable[[int], Any] = lambda _: None, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Send until nothing is left but what the sink refused, or until it is not to be reached, or *stopping*.

        *advance* is told how many marks were done. What could not be sent stays on the backlog, with the reason; see
        ``fault``. Raises WarehouseUnavailableError.
        """
        self.fault = None
        for kind in self._sink.kinds:
            refused = self._refused.setdefault(kind, set())
            while users := self._database.run(backlog.next_users, self._sink, kind, refused):
                if stopping() or not self._send(kind, users, advance):
                    return

    def left(self) -> int:
        """How many marks are left."""
        return self._database.run(backlog.waiting, self._sink.name)

    def close(self) -> None:
        """Disconnect the sink."""
        if self._opened:
            self._sink.close()

    def _send(self, kind: str, users: Sequence[int], advance: Callable[[int], Any]) -> bool:
        """Send the rows of *users*; False when the sink is not to be reached. What it refuses costs others nothing."""
        try:
            if not self._opened:
                self._sink.open()
                self._opened = True
            fed = self._database.run(_transfer, self._sink, kind, users)
        except SinkUnavailableError as exc:
            self._failed(kind, users, exc)
            return False
        except SinkRefusedError as exc:
            if len(users) > 1:
                middle = len(users) // 2
                return self._send(kind, users[:middle], advance) and self._send(kind, users[middle:], advance)
            self._refused[kind].update(users)
            self._failed(kind, users, exc)
        else:
            self.fed = Fed(self.fed.users + fed.users, self.fed.rows + fed.rows)
        advance(len(users))
        return True

    def _failed(self, kind: str, users: Sequence[int], exc: Exception) -> None:
        self.fault = str(exc)
        logger.warning("%s: %s of %d users could not be sent: %s", self._sink.name, kind, len(users), exc)
        self._database.run(backlog.note_failure, self._sink, kind, users, self.fault)


def _transfer(connection: psycopg.Connection, sink: Sink, kind: str, users: Sequence[int]) -> Fed:
    """Let *sink* have what the warehouse has of *users*, in one transaction: the mark goes when it has it, or stays."""
    found = backlog.entries(connection, sink, kind, users)
    if not found:
        return Fed()
    # First the fingerprints, then the rows: should these be newer, then somebody has marked the users again.
    now = backlog.present(connection, kind, [entry.username for entry in found if entry.username is not None])
    changed = [entry for entry in found if _differs(entry, now)]
    if changed:
        names = sorted({name for e in changed for name in (e.username, e.known_as) if name is not None})
        version = hashlib.sha256(repr([(e.user_id, e.version, e.attempts) for e in changed]).encode()).hexdigest()

        def read(part: str) -> Iterator[Sequence[Any]]:
            statement = backlog.select(connection, part, names)
            if statement is not None:
                with connection.cursor(name=f"rows_{part}") as cursor:
                    cursor.itersize = _ROWS_AT_ONCE
                    yield from cursor.execute(statement)

        sink.write(Batch(kind, names, read, version))
    backlog.acknowledge(connection, sink, kind, found, now)
    rows = sum(now[e.username].rows for e in changed if e.username in now)
    return Fed(len(changed), rows)


def _differs(entry: backlog.Entry, now: dict[str, backlog.Now]) -> bool:
    """Whether the sink has something else of the user than the warehouse."""
    if entry.username not in now:
        return entry.known_as is not None
    return (entry.username, now[entry.username].fingerprint) != (entry.known_as, entry.fingerprint)
