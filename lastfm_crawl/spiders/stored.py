"""Stored answers, read and parsed in processes of their own: names of answers in, pages out, a bounded number ahead.

Parsing is pure, so it can be done anywhere; what comes back is what the error middleware would have made of the answer.
"""

from __future__ import annotations

import asyncio
import gc
import marshal
import os
import pickle
import signal
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import fields, replace
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import msgspec

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import archive_key, check_key
from lastfm_crawl.httpcache.storage import StoreError
from lastfm_crawl.items import (
    Answered,
    FriendsPage,
    Page,
    RecentTracksPage,
    TopAlbumsPage,
    TopArtistsPage,
    TopTracksPage,
    name_fault,
)
from lastfm_crawl.services import redacted, service_of, user_at
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.warehouse.forgotten import Forgotten

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Iterable, Sequence

    from lastfm_crawl.httpcache.storage import Storage

T = TypeVar("T")

#: Answers that a process reads and parses at a time.
BATCH = 32
#: Batches under way, or waiting to be taken, for each process.
AHEAD = 3
#: Reads under way at once in each process where reading takes long (a bucket).
READS = 32
#: Seconds between the attempts at a read that failed.
RETRY_DELAYS = (0.1, 0.5, 2.0)

#: An answer by its name in the store, or with its envelope (from a pack).
Source: TypeAlias = "str | tuple[str, Envelope]"


class Stored(NamedTuple):
    """What became of an answer: what it holds, or what is wrong with it, or neither (it is not asked for)."""

    key: str
    page: Answered | None = None
    fault: str | None = None


class Outline(NamedTuple):
    """What a page of a friends list means to the walk: ``friends`` is None for a mark, whose ``status`` says why."""

    key: str
    user: str
    page: int
    pages: int
    friends: Sequence[str] | None
    status: str
    at: float


def parse(key: str, envelope: Envelope) -> Stored:
    """The page of a stored answer, with the time of the answer, or what is wrong with it."""
    service = service_of(envelope.method)
    if service is None:
        return Stored(key, fault=f"{envelope.method} is no method that we know")
    try:
        call = service.call_of(envelope.method, envelope.params)
        if not _belongs(key, call.store_key):
            return Stored(key, fault=f"it answers another question ({call.store_key})")
        answer = service.read(call, envelope.status, envelope.body)
    except (KeyError, ValueError) as exc:
        return Stored(key, fault=f"its question is incomplete: {exc}")
    if isinstance(answer, Problem):
        if not answer.lasting:
            return Stored(key, fault=answer.message)
        answer = service.mark(call, answer)
    return Stored(key, replace(answer, fetched_at=envelope.answered_at, size=len(envelope.body)))


def without(key: str, envelope: Envelope, forgotten: Container[str]) -> Envelope | None:
    """*envelope* as if those who are *forgotten* had never been there; None when it is about one of them."""
    if user_at(key) and envelope.params.get("user", "") in forgotten:
        return None
    body, entries = redacted(envelope.method, envelope.body, forgotten.__contains__)
    if not entries:
        return envelope
    return msgspec.structs.replace(envelope, body=body, redacted=envelope.redacted + entries)


def _belongs(key: str, store_key: str) -> bool:
    """Whether the answer to the question of *store_key* may stand at *key*."""
    if key.startswith("archive/"):
        return key.rpartition("/")[0] == archive_key(store_key, "").rpartition("/")[0]
    return key == store_key


def outline(stored: Stored) -> Outline:
    """What the walk needs of a page of a friends list."""
    page = stored.page
    assert isinstance(page, Page)  # noqa: S101  (asked for friends lists only)
    friends = None
    if isinstance(page, FriendsPage):
        friends = [friend.name for friend in page.friends if not name_fault(friend.name)]
    return Outline(
        stored.key, page.user, page.page, page.pages, friends, getattr(page, "status", "ok"), page.fetched_at
    )


# --- in a process of their own ------------------------------------------------------------------------------------


class _Worker:
    """What a process keeps: its storage, and threads where reading takes long."""

    storage: Storage
    threads: ThreadPoolExecutor | None
    forgotten: Forgotten


def _begin(open_storage: Callable[[], Storage], forgotten: Forgotten) -> None:
    # Ctrl-C on the terminal ends the replay, which ends us; and when it is killed, nobody else would.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # pages hold no cycles
    _Worker.storage = open_storage()
    _Worker.forgotten = forgotten
    _Worker.threads = None if type(_Worker.storage) is FolderStorage else ThreadPoolExecutor(READS)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ready() -> None:
    """Nothing: a process that has done it has begun."""


def _work(sources: Sequence[Source], since: float) -> list[Stored]:
    """Read and parse; answers from before *since*, or about somebody who is forgotten, only say that they are there.

    Raises StoreError.
    """
    mapped = map if _Worker.threads is None else _Worker.threads.map
    found: list[Stored] = []
    for key, envelope in mapped(_envelope, sources):
        if isinstance(envelope, str):
            found.append(Stored(key, fault=envelope))
            continue
        allowed = envelope if envelope.answered_at >= since else None
        if allowed is not None and _Worker.forgotten:
            allowed = without(key, allowed, _Worker.forgotten)
        found.append(Stored(key) if allowed is None else parse(key, allowed))
    return found


def _work_packed(sources: Sequence[Source], since: float) -> bytes:
    return _packed(_work(sources, since))


def _work_outlines(sources: Sequence[Source], since: float) -> list[Stored | Outline]:
    return [stored if stored.page is None else outline(stored) for stored in _work(sources, since)]


def _envelope(source: Source) -> tuple[str, Envelope | str]:
    """The answer at a key, or what is wrong with it."""
    if not isinstance(source, str):
        return source
    try:
        check_key(source)
    except StoreError as exc:
        return source, str(exc)
    blob = _get(source)
    if blob is None:
        return source, "it is gone"
    try:
        return source, decode(blob)
    except CorruptEnvelopeError as exc:
        return source, f"it cannot be read: {exc}"


def _get(key: str) -> bytes | None:
    for delay in RETRY_DELAYS:
        try:
            return _Worker.storage.get(key)
        except StoreError:
            time.sleep(delay)
    return _Worker.storage.get(key)


# --- on the way ---------------------------------------------------------------------------------------------------

#: Pages of plain values alone, which marshal takes in half the time of pickle; each by its fields.
_KINDS: tuple[type[Answered], ...] = (RecentTracksPage, TopArtistsPage, TopAlbumsPage, TopTracksPage)
_FIELDS = [tuple(field.name for field in fields(kind)) for kind in _KINDS]


def _packed(batch: list[Stored]) -> bytes:
    """*batch* as bytes for another process of this interpreter."""
    rows: list[object] = []
    for stored in batch:
        if isinstance(stored.page, _KINDS):
            number = _KINDS.index(type(stored.page))
            values = [getattr(stored.page, name) for name in _FIELDS[number]]
            rows.append((stored.key, number, [list(v) if isinstance(v, range) else v for v in values]))
        else:
            rows.append(pickle.dumps(stored))
    return marshal.dumps(rows)


def _unpacked(packed: bytes) -> list[Stored]:
    """What :func:`_packed` made bytes of."""
    batch = []
    for row in marshal.loads(packed):  # noqa: S302  (our own process wrote it)
        if isinstance(row, bytes):
            batch.append(pickle.loads(row))  # noqa: S301  (the same)
            continue
        key, number, values = row
        batch.append(Stored(key, _KINDS[number](**dict(zip(_FIELDS[number], values, strict=True)))))
    return batch


# --- in the process that asks -------------------------------------------------------------------------------------


class Reader:
    """Stored answers, parsed by *workers* processes; batches come back in the order in which they were named."""

    def __init__(self, open_storage: Callable[[], Storage], workers: int, forgotten: Forgotten | None = None) -> None:
        self._ahead = AHEAD * workers
        # Not forked: this process has threads and an event loop.
        self._processes = ProcessPoolExecutor(
            workers, get_context("spawn"), _begin, (open_storage, forgotten or Forgotten())
        )
        # What a process ignores when it starts, its children ignore from their first moment on.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for _ in range(workers):
                self._processes.submit(_ready)
        finally:
            signal.signal(signal.SIGINT, handler)

    async def pages(self, sources: Iterable[Source], since: float = 0) -> AsyncIterator[list[Stored]]:
        """The pages of *sources*, batch after batch. Raises StoreError."""
        async with aclosing(self._each(_work_packed, sources, since)) as batches:
            async for packed in batches:
                yield _unpacked(packed)

    def outlines(self, sources: Iterable[Source]) -> AsyncIterator[list[Stored | Outline]]:
        """What the walk needs of the friends lists *sources*; what is wrong with others. Raises StoreError."""
        return self._each(_work_outlines, sources, 0)

    async def _each(
        self, work: Callable[[Sequence[Source], float], T], sources: Iterable[Source], since: float
    ) -> AsyncGenerator[T]:
        loop = asyncio.get_running_loop()
        rest = iter(sources)
        batches: deque[asyncio.Future[T]] = deque()
        try:
            while True:
                # In a thread: the next answers of a pack may have to be fetched.
                while len(batches) < self._ahead and (batch := await asyncio.to_thread(list, islice(rest, BATCH))):
                    batches.append(loop.run_in_executor(self._processes, work, batch, since))
                if not batches:
                    return
                yield await batches.popleft()
        finally:
            for future in batches:
                future.cancel()

    def close(self) -> None:
        """End the processes, after what they are doing."""
        self._processes.shutdown(wait=True, cancel_futures=True)
