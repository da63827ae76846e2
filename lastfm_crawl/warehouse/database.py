"""The warehouse's connection: any PostgreSQL, or the embedded one, kept off the event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from scrapy import signals

from lastfm_crawl.config import database_folder
from lastfm_crawl.stop import until_closed
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, EmbeddedPostgresError
from lastfm_crawl.warehouse.forgotten import Forgotten
from lastfm_crawl.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scrapy.crawler import Crawler

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds between the attempts to get a lost connection back; after the last one the run stops.
RECONNECT_DELAYS = (0.5, 1, 2, 4, 8)
_OLDEST_VERSION = 140_000
# Errors that no other try and no other page will fare better with.
_HOPELESS = (
    psycopg.errors.DiskFull,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InsufficientPrivilege,
)


class WarehouseUnavailableError(Exception):
    """PostgreSQL cannot be reached or used: one line that says why and what to do."""


def check_url(url: str, setting: str = "DATABASE_URL") -> None:
    """Raise ValueError when *url* is no libpq connection string; the error names *setting*, and nothing of the URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own message quotes the URL, and with it a password.
        raise ValueError(f"{setting} is not a PostgreSQL connection URL (postgresql://user@host:5432/name)") from None
    if url.partition("://")[2].partition("/")[0].count("@") > 1:
        raise ValueError(f"{setting} has two @ before the host: write an @ in the password as %40")


@contextmanager
def reached(url: str | None, folder: Path) -> Iterator[str]:
    """The connection string of the warehouse as it is, not brought up to date; the embedded one runs meanwhile.

    Raises ValueError for a wrong *url*, and EmbeddedPostgresError.
    """
    if url:
        check_url(url)
        yield url
        return
    with EmbeddedPostgres(folder) as conninfo:
        yield conninfo


class Database:
    """One PostgreSQL connection that comes back after a loss. Not for several threads at once.

    *url* is any libpq connection string; None starts the embedded PostgreSQL in *folder*.
    """

    def __init__(self, url: str | None, folder: Path) -> None:
        self._url = url
        self._embedded = None if url else EmbeddedPostgres(folder)
        self._connection: psycopg.Connection | None = None
        self.conninfo = url or ""
        #: What a connection that takes the place of a lost one begins with; it may raise as *work* of :meth:`run`.
        self.reconnected: Callable[[psycopg.Connection], object] | None = None

    def open(self, *, as_it_is: bool = False) -> None:
        """Connect and bring the schema up to date, or leave it *as_it_is*.

        Raises :class:`WarehouseUnavailableError`, at the first failure.
        """
        try:
            if self._url:
                check_url(self._url)
            self._connect(first=not as_it_is)
        except (psycopg.Error, EmbeddedPostgresError, OSError, ValueError) as exc:
            raise WarehouseUnavailableError(_one_line(exc)) from exc

    def run(self, work: Callable[Concatenate[psycopg.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What *work* returns for the connection, in one transaction; on a lost connection it is done again.

        Raises :class:`WarehouseUnavailableError` when the connection stays away, and any other error of *work*.
        """
        for delay in (*RECONNECT_DELAYS, None):
            try:
                connection = self._connection or self._reconnect()
                with connection.transaction():
                    return work(connection, *args, **kwargs)
            except (psycopg.OperationalError, psycopg.InterfaceError, EmbeddedPostgresError, *_HOPELESS) as exc:
                self._drop()
                if delay is None or isinstance(exc, _HOPELESS):
                    raise WarehouseUnavailableError(_one_line(exc)) from exc
                logger.warning("PostgreSQL does not answer, trying again in %s s: %s", delay, _one_line(exc))
                time.sleep(delay)
        raise AssertionError  # the last delay is None

    def close(self) -> None:
        """Disconnect, and stop the embedded server if nobody else uses it."""
        self._drop()
        if self._embedded:
            self._embedded.stop()

    def _reconnect(self) -> psycopg.Connection:
        connection = self._connect()
        if self.reconnected:
            try:
                self.reconnected(connection)
            except BaseException:
                self._drop()
                raise
        return connection

    def _connect(self, *, first: bool = False) -> psycopg.Connection:
        if self._embedded:
            self.conninfo = self._embedded.start()
        connection = psycopg.connect(
            self.conninfo, application_name="lastfm_crawl", autocommit=True, connect_timeout=10
        )
        self._connection = connection
        if first:
            if connection.info.server_version < _OLDEST_VERSION:
                self._drop()
                raise WarehouseUnavailableError("PostgreSQL 14 or newer is needed")
            try:
                migrate(self.conninfo)
            except BaseException:
                self._drop()
                raise
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _one_line(exc: BaseException) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return "; ".join(lines) or type(exc).__name__


_warehouses: WeakKeyDictionary[Crawler, Warehouse] = WeakKeyDictionary()
_others: WeakKeyDictionary[Crawler, list[Warehouse]] = WeakKeyDictionary()


class Warehouse:
    """The database of one crawl for those who live on the event loop; closed when the engine has stopped."""

    def __init__(self, database: Database) -> None:
        self.database = database
        #: Who is not to be asked about, nor named; known from before the first page on (the load pipeline).
        self.forgotten = Forgotten()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._opening: asyncio.Future[None] | None = None

    @classmethod
    def of(cls, crawler: Crawler) -> Warehouse:
        """The one warehouse of *crawler*: pipelines, spiders and extensions share its connection."""
        if crawler not in _warehouses:
            settings = crawler.settings
            warehouse = cls(Database(settings["DATABASE_URL"], database_folder(settings)))
            crawler.signals.connect(warehouse.engine_stopped, signals.engine_stopped)
            _warehouses[crawler] = warehouse
        return _warehouses[crawler]

    def another(self, crawler: Crawler) -> Warehouse:
        """One more connection to the same database, closed with the crawl's own."""
        warehouse = Warehouse(Database(self.database.conninfo, database_folder(crawler.settings)))
        crawler.signals.connect(warehouse.engine_stopped, signals.engine_stopped)
        _others.setdefault(crawler, []).append(warehouse)  # signals hold their receivers weakly
        return warehouse

    async def open(self) -> None:
        """Connect once, whoever asks first. Raises :class:`WarehouseUnavailableError`."""
        if self._opening is None:
            loop = asyncio.get_running_loop()
            self._opening = loop.run_in_executor(self._thread, self.database.open)
        await asyncio.shield(self._opening)

    async def run(self, work: Callable[Concatenate[psycopg.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """:meth:`Database.run` off the loop; calls are served one after another."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self.database.run(work, *args, **kwargs)
        )

    async def engine_stopped(self, sender: Crawler) -> None:
        """Disconnect when the crawl has ended: whoever keeps a record writes to the last moment."""
        await until_closed(sender)
        await self.close()

    async def close(self) -> None:
        """Disconnect."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.database.close)
        self._thread.shutdown(wait=False)
