"""The store as the event loop sees it: questions to a process of its own, and no thread beside the crawl.

Coding, compressing, system calls and a bucket's client cost about as much as crawling does; in threads they would share
one interpreter lock with the event loop, which waited a millisecond for it on every page.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import msgspec

from lastfm_crawl.httpcache import worker
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError
from lastfm_crawl.httpcache.storage import StoreError

if TYPE_CHECKING:
    from lastfm_crawl.httpcache.envelope import Envelope

#: Seconds that the process may take to finish what it was asked for when the crawl has ended.
LINGER = 120

_answered = msgspec.msgpack.Decoder(worker.Answered).decode


class StoreProcess(asyncio.Protocol):
    """Awaitable operations on the storage at *location*; each raises :class:`StoreError` when the store fails.

    An answer that the store does not take is kept below the folder *spool*.
    """

    def __init__(self, location: str, spool: str) -> None:
        self.location = location
        self._spool = spool
        self._waiting: dict[int, asyncio.Future[worker.Answered]] = {}
        self._asked = 0
        self._buffer = bytearray()
        self._ended = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        """Start the process."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _start(self.location, self._spool, theirs)
        except OSError as exc:
            ours.close()
            raise StoreError(f"the process that keeps {self.location} cannot be started: {exc}") from exc
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    async def probe(self) -> None:
        """Write, read and delete one small object."""
        await self._ask("probe")

    async def upload(self) -> int:
        """Store what earlier runs could not; how many answers that were."""
        return (await self._ask("upload")).count

    async def get(self, key: str) -> Envelope | None:
        """What is stored at *key*, or None. Raises CorruptEnvelopeError when it cannot be read."""
        return (await self._ask("get", key)).envelope

    async def put(self, key: str, envelope: Envelope) -> None:
        """Keep *envelope* at *key*; it is safe there when this returns. When this raises it may be in the spool."""
        await self._ask("put", key, envelope)

    async def close(self) -> None:
        """Wait until everything is stored that was asked for, and the process has ended."""
        if self._process is None:
            return
        if self._transport is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._ended.wait(), LINGER)
        await asyncio.to_thread(self._process.wait, LINGER)
        self._process = None

    def _ask(
        self, operation: Literal["get", "put", "probe", "upload"], key: str = "", envelope: Envelope | None = None
    ) -> asyncio.Future[worker.Answered]:
        if self._transport is None or self._transport.is_closing():
            raise StoreError(self._gone())
        self._asked += 1
        future = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        self._transport.write(worker.frame(worker.Asked(self._asked, operation, key, envelope)))
        return future

    def data_received(self, data: bytes) -> None:
        """asyncio's callback: answers, whole or in pieces."""
        self._buffer += data
        for content in worker.frames(self._buffer):
            answer = _answered(content)
            future = self._waiting.pop(answer.number)
            if future.done():  # whoever asked has been cancelled
                continue
            if answer.error is None:
                future.set_result(answer)
            else:
                future.set_exception((CorruptEnvelopeError if answer.corrupt else StoreError)(answer.error))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """asyncio's callback: the process has ended; nobody may wait for it any more."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(StoreError(self._gone()))
        self._waiting.clear()
        self._ended.set()

    def _gone(self) -> str:
        return f"the process that keeps {self.location} has ended"


def _start(location: str, spool: str, connection: socket.socket) -> subprocess.Popen[bytes]:
    """The process, with *connection* as its standard input."""
    command = [sys.executable, "-m", worker.__name__, location, spool]
    # It finds the package where we found it: in a checkout, or in an egg that Scrapyd has put on the path.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if sys.platform != "win32":
        # A session of its own, so that Ctrl-C on the terminal ends the crawl first.
        return subprocess.Popen(command, stdin=connection.fileno(), env=environment, start_new_session=True)  # noqa: S603
    # A virtual environment's program is a launcher: the interpreter, with which the socket is shared, has another pid.
    # So past it, as multiprocessing does.
    command[0] = getattr(sys, "_base_executable", sys.executable)
    environment["__PYVENV_LAUNCHER__"] = sys.executable
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, env=environment, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP
    )
    assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
    with process.stdin:
        process.stdin.write(connection.share(process.pid))
    return process
