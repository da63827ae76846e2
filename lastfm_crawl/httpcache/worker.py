"""What runs in the store's own process: operations on a storage, asked for and answered through a socket.

A frame is four bytes of length (network order), then a msgpack array: :class:`Asked` or :class:`Answered`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, NewerEnvelopeError, decode, encode
from lastfm_crawl.httpcache.spool import Spool
from lastfm_crawl.httpcache.storage import Storage, StoreError, open_store, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Operations under way at once. A folder needs few; a far bucket needs many to hide its latency.
THREADS = 32

_LENGTH = struct.Struct("!I")


class Asked(msgspec.Struct, array_like=True):
    """An operation; *number* comes back with its answer."""

    number: int
    operation: Literal["get", "put", "probe", "upload"]
    key: str = ""
    envelope: Envelope | None = None


class Answered(msgspec.Struct, array_like=True):
    """How the operation ended; *corrupt* tells an unreadable object from a store that does not work.

    *count* is how many answers were uploaded.
    """

    number: int
    envelope: Envelope | None = None
    count: int = 0
    error: str | None = None
    corrupt: bool = False


_encode = msgspec.msgpack.Encoder().encode
_asked = msgspec.msgpack.Decoder(Asked).decode


def frame(message: Asked | Answered) -> bytes:
    """*message* as it travels."""
    content = _encode(message)
    return _LENGTH.pack(len(content)) + content


def frames(buffer: bytearray) -> Iterator[bytes]:
    """The contents of the whole frames in *buffer*, which keeps what is left of an unfinished one."""
    start = 0
    while len(buffer) >= (content := start + _LENGTH.size):
        end = content + _LENGTH.unpack_from(buffer, start)[0]
        if len(buffer) < end:
            break
        yield bytes(memoryview(buffer)[content:end])
        start = end
    del buffer[:start]


def serve(storage: Storage, spool: Spool, connection: socket.socket) -> None:
    """Answer until the other side is gone. What was asked for before that is still done: answers are not lost."""
    sending = threading.Lock()

    def work(asked: Asked) -> None:
        reply = frame(answer(storage, spool, asked))
        with sending, contextlib.suppress(OSError):
            connection.sendall(reply)

    buffer = bytearray()
    with connection, ThreadPoolExecutor(THREADS) as threads:
        while data := _received(connection):
            buffer += data
            for content in frames(buffer):
                threads.submit(work, _asked(content))


def answer(storage: Storage, spool: Spool, asked: Asked) -> Answered:
    """Do what was asked for."""
    try:
        match asked.operation:
            case "get":
                blob = storage.get(asked.key)
                return Answered(asked.number, None if blob is None else decode(blob))
            case "put":
                assert asked.envelope is not None  # noqa: S101  (a put has one)
                spool.put(asked.key, encode(asked.envelope))
            case "probe":
                probe(storage)
            case "upload":
                return Answered(asked.number, count=spool.upload())
    except (CorruptEnvelopeError, StoreError) as exc:
        # Of a later version: as if the store could not be read, for nobody is to ask again for what is there.
        newer = isinstance(exc, NewerEnvelopeError)
        corrupt = isinstance(exc, CorruptEnvelopeError) and not newer
        return Answered(asked.number, error=f"{asked.key}: {exc}" if newer else str(exc), corrupt=corrupt)
    except Exception as exc:  # noqa: BLE001  (without an answer the crawl would wait for ever)
        return Answered(asked.number, error=f"{asked.operation} of {asked.key!r} failed: {exc!r}")
    return Answered(asked.number)


def _received(connection: socket.socket) -> bytes:
    """What came; nothing when the other side is gone, however it went."""
    try:
        return connection.recv(1 << 20)
    except OSError:
        return b""


def _connection() -> socket.socket:
    """The socket that the crawl's process left as our standard input."""
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    return socket.socket(fileno=os.dup(0))


if __name__ == "__main__":
    # Whoever stops a crawl stops its process group or its service, too; we end when the crawl does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    store = open_store(sys.argv[1])
    serve(store, Spool(store, Path(sys.argv[2])), _connection())
