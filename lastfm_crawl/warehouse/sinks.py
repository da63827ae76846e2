"""Sinks: places beside PostgreSQL that are told what its views say. One small interface, and which are configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scrapy.settings import BaseSettings

#: The setting that turns each sink on.
SETTINGS = {"bigquery": "BIGQUERY_DATASET", "firestore": "FIRESTORE_PROJECT"}


class SinkUnavailableError(Exception):
    """The sink cannot be reached, or takes nothing from us, now: one line that says why."""


class SinkRefusedError(Exception):
    """The sink does not take these rows, whenever they come: one line that says why."""


def one_line(exc: BaseException) -> str:
    """What *exc* says first, or its kind when it says nothing."""
    return (str(exc).splitlines() or [type(exc).__name__])[0][:300]


@dataclass(frozen=True, slots=True)
class Batch:
    """All rows of some users. ``names``: under which names the sink may have rows of them, also former ones.

    ``read`` yields the rows of one of the kinds in PARTS in the order of their key, columns as in KINDS, once.
    ``version`` is the same for the same marks that are tried again, and for no other.
    """

    kind: str
    names: Sequence[str]
    read: Callable[[str], Iterator[Sequence[Any]]]
    version: str


class Sink(Protocol):
    """A place for rows. All methods block: they are called in a thread, one at a time."""

    name: str
    #: Which place of this name: where rows have gone to one, another has none.
    target: str
    #: Kinds that it takes (keys of PARTS), and of how many users at once.
    kinds: Mapping[str, int]
    #: Seconds that rows are collected for while a crawl goes on.
    interval: float

    def open(self) -> None:
        """Connect. Raises SinkUnavailableError."""

    def check(self) -> None:
        """Ask for something and write nothing. Raises SinkUnavailableError."""

    def write(self, batch: Batch) -> None:
        """Let the rows of *batch* take the place of all that is there of its users; all is there on return.

        The same batch again changes nothing. Raises SinkUnavailableError and SinkRefusedError.
        """

    def close(self) -> None:
        """Disconnect."""


def configured(settings: BaseSettings) -> list[Sink]:
    """The sinks that *settings* turn on, not opened."""
    sinks: list[Sink] = []
    if settings[SETTINGS["bigquery"]]:
        from lastfm_crawl.warehouse.bigquery import BigQuerySink  # noqa: PLC0415  (a second that others need not wait)

        sinks.append(BigQuerySink(settings[SETTINGS["bigquery"]]))
    if settings[SETTINGS["firestore"]]:
        from lastfm_crawl.warehouse.firestore import FirestoreSink  # noqa: PLC0415  (the same)

        sinks.append(FirestoreSink(settings[SETTINGS["firestore"]]))
    return sinks
