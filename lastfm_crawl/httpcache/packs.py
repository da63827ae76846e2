"""Packs: many small answers in a few large segments, for whoever reads them all.

``packs/{method}/{stamp}-{number}.ndjson.zst`` holds one envelope a line, with its ``key`` as first member, in frames of
about a megabyte that can be decompressed one by one. ``….index.json.gz`` beside it says in which frame an answer is; a
segment without its index was not finished, and counts as not there. Originals are never touched.

BigQuery loads newline-delimited JSON compressed with gzip alone; Spark reads both.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import zstandard
from isal import igzip, igzip_lib

from lastfm_crawl.httpcache.envelope import (
    CorruptEnvelopeError,
    Envelope,
    decode,
    decode_line,
    encode,
    encode_line,
    utc_stamp,
)
from lastfm_crawl.httpcache.parallel import in_threads
from lastfm_crawl.httpcache.storage import Entry, Storage, md5

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

Compression = Literal["zstd", "gzip"]
#: Bytes of JSON in a frame and in a segment, before compression.
FRAME_BYTES = 1 << 20
SEGMENT_BYTES = 128 << 20

_SUFFIXES: dict[Compression, str] = {"zstd": ".ndjson.zst", "gzip": ".ndjson.gz"}
_INDEX = ".index.json.gz"
_UNREADABLE = (OSError, EOFError, ValueError, zstandard.ZstdError, igzip_lib.IsalError)


class PackedAnswer(msgspec.Struct, array_like=True, frozen=True):
    """Where an answer is in its segment, and what the object was that it was read from."""

    key: str
    frame: int  # its number, from 0
    size: int  # bytes of the object
    md5: str


class Index(msgspec.Struct, frozen=True):
    """What a segment holds. ``packed_at`` is when its first answer was read, in seconds since 1970."""

    segment: str
    compression: Compression
    packed_at: float
    frames: list[tuple[int, int]]  # offset and length in bytes
    answers: list[PackedAnswer]


class Packing(NamedTuple):
    """What :func:`pack` did: answers packed, answers that were packed before, and a line for each that it could not."""

    packed: int
    unchanged: int
    faults: list[str]


_decode_index = msgspec.json.Decoder(Index).decode


def pack(
    storage: Storage,
    methods: str | None = None,
    compression: Compression = "zstd",
    on_answer: Callable[[], object] = lambda: None,
    leave_out: Collection[str] = (),
) -> Packing:
    """Pack what is not packed yet, of one method or of all but those to *leave_out*. Raises StoreError.

    Whatever interrupts it, the next call goes on: segments that are finished count.
    """
    packed = unchanged = 0
    faults: list[str] = []
    prefix = f"requests/{methods}/" if methods else "requests/"
    for method, entries in groupby(storage.entries(prefix), key=lambda entry: entry.key.split("/")[1]):
        if method in leave_out:
            continue
        known = {answer.key: (answer, index) for index in indexes(storage, method) for answer in index.answers}
        left = []
        for entry in entries:
            if _is_packed(entry, *known.get(entry.key, (None, None))):
                unchanged += 1
            else:
                left.append(entry.key)
        del known
        segment = _Segment(storage, method, compression)
        for key, blob in in_threads(lambda key: (key, storage.get(key)), left):
            on_answer()
            if blob is None:  # removed meanwhile
                continue
            try:
                segment.add(key, blob, decode(blob))
            except CorruptEnvelopeError as exc:
                faults.append(f"{key} cannot be read: {exc}")
                continue
            packed += 1
        segment.finish()
    return Packing(packed, unchanged, faults)


def indexes(storage: Storage, method: str | None = None) -> Iterator[Index]:
    """The index of every finished segment, of one method or of all, oldest first within a method.

    Raises CorruptEnvelopeError for an index that cannot be read, and StoreError.
    """
    for key in storage.keys(f"packs/{method}/" if method else "packs/"):
        if not key.endswith(_INDEX):
            continue
        yield _read_index(storage, key)


def _read_index(storage: Storage, key: str) -> Index:
    blob = storage.get(key)
    try:
        return _decode_index(igzip.decompress(blob))  # type: ignore[no-untyped-call]
    except (OSError, EOFError, TypeError, ValueError, igzip_lib.IsalError) as exc:  # type: ignore[misc]  # its stub says function
        raise CorruptEnvelopeError(f"{key} cannot be read: {exc}") from exc


def read_packs(
    storage: Storage, prefix: str = "requests/", on_fault: Callable[[str], object] = lambda _: None
) -> Iterator[tuple[str, Envelope]]:
    """Every packed answer whose key begins with *prefix*; of one that was packed again the older ones come first.

    A segment or an answer that cannot be read is left out, and *on_fault* gets a line about it. Raises StoreError.
    """
    parts = prefix.split("/")
    method = parts[1] if len(parts) > 2 else None
    for index in indexes(storage, method):
        blob = storage.get(index.segment)
        if blob is None:
            on_fault(f"{index.segment} is missing")
            continue
        for number, (offset, length) in enumerate(index.frames):
            try:
                lines = _decompress(index.compression, blob[offset : offset + length]).splitlines()
            except _UNREADABLE as exc:  # type: ignore[misc]  # the stub of isal says function
                on_fault(f"frame {number} of {index.segment} cannot be read: {exc}")
                continue
            yield from _answers(lines, prefix, index.segment, on_fault)


def _answers(
    lines: Iterable[bytes], prefix: str, segment: str, on_fault: Callable[[str], object]
) -> Iterator[tuple[str, Envelope]]:
    for line in lines:
        try:
            key, envelope = decode_line(line)
        except CorruptEnvelopeError as exc:
            on_fault(f"a line of {segment} cannot be read: {exc}")
            continue
        if key.startswith(prefix):
            yield key, envelope


def rewrite(
    storage: Storage,
    change: Callable[[str, Envelope], Envelope | None],
    prefix: str = "packs/",
    on_fault: Callable[[str], object] = lambda _: None,
    *,
    dry_run: bool = False,
) -> int:
    """Put in the place of each packed answer below *prefix* what *change* makes of it, None: nothing; how many changed.

    What did not change stays as it is, frame by frame. A segment is replaced by another: that and its index are there
    before the old one goes, so whatever interrupts it, every answer is in one of them. Segments that were never
    finished are removed. Whatever cannot be read stays, and *on_fault* gets a line about it. Raises StoreError.
    """
    changed = 0
    finished: set[str] = set()
    for key in list(storage.keys(prefix)):
        if not key.endswith(_INDEX):
            continue
        try:
            index = _read_index(storage, key)
        except CorruptEnvelopeError as exc:
            on_fault(str(exc))
            finished.update(key.removesuffix(_INDEX) + suffix for suffix in _SUFFIXES.values())
            continue
        finished.add(index.segment)
        blob = storage.get(index.segment)
        if blob is None:
            on_fault(f"{index.segment} is missing")
            continue
        other = _Rewriting(index, blob, change, on_fault)
        changed += other.changed
        if other.changed and not dry_run:
            finished.add(other.write(storage))
            storage.delete(key)
            storage.delete(index.segment)
    if not dry_run:
        for key in list(storage.keys(prefix)):
            if key.endswith(tuple(_SUFFIXES.values())) and key not in finished:
                storage.delete(key)
    return changed


class _Rewriting:
    """A segment that becomes another one."""

    def __init__(
        self,
        index: Index,
        blob: bytes,
        change: Callable[[str, Envelope], Envelope | None],
        on_fault: Callable[[str], object],
    ) -> None:
        self.changed = 0
        self._index, self._change, self._on_fault = index, change, on_fault
        self._blob = bytearray()
        self._frames: list[tuple[int, int]] = []
        self._answers: list[PackedAnswer] = []
        answers = {number: list(rows) for number, rows in groupby(index.answers, key=lambda answer: answer.frame)}
        for number, (offset, length) in enumerate(index.frames):
            self._add(blob[offset : offset + length], answers.get(number, []))

    def _add(self, frame: bytes, answers: list[PackedAnswer]) -> None:
        try:
            lines = _decompress(self._index.compression, frame).splitlines()
        except _UNREADABLE as exc:  # type: ignore[misc]  # the stub of isal says function
            self._on_fault(f"a frame of {self._index.segment} cannot be read: {exc}")
            lines = []
        kept: list[bytes] = []
        rows: list[PackedAnswer] = []
        before = self.changed
        for line, answer in zip(lines, answers, strict=False):
            self._add_line(line, answer, kept, rows)
        if self.changed == before:
            kept, rows = lines, answers
        else:
            frame = _compress(self._index.compression, b"\n".join(kept) + b"\n") if kept else b""
        if frame:
            number = len(self._frames)
            self._frames.append((len(self._blob), len(frame)))
            self._blob += frame
            self._answers += [msgspec.structs.replace(row, frame=number) for row in rows]

    def _add_line(self, line: bytes, answer: PackedAnswer, kept: list[bytes], rows: list[PackedAnswer]) -> None:
        try:
            key, envelope = decode_line(line)
        except CorruptEnvelopeError as exc:
            self._on_fault(f"a line of {self._index.segment} cannot be read: {exc}")
        else:
            other = self._change(key, envelope)
            if other is None:
                self.changed += 1
                return
            if other is not envelope:
                self.changed += 1
                line = encode_line(key, other)
                blob = encode(other)  # what the object is when the same was done to it
                answer = PackedAnswer(key, answer.frame, len(blob), md5(blob))
        kept.append(line)
        rows.append(answer)

    def write(self, storage: Storage) -> str:
        """Write what is left, unless that is nothing; the key of its segment."""
        suffix = _SUFFIXES[self._index.compression]
        name, _, generation = self._index.segment.removesuffix(suffix).partition("+")
        # Beside the old one in the order of names, and not under its name: until the index is there the old one counts.
        name = f"{name}+{int(generation or 0) + 1:04}"
        if self._answers:
            segment = name + suffix
            index = msgspec.structs.replace(self._index, segment=segment, frames=self._frames, answers=self._answers)
            storage.write(segment, bytes(self._blob))
            storage.write(name + _INDEX, igzip.compress(msgspec.json.encode(index), compresslevel=1, mtime=0))
        return name + suffix


class _Segment:
    """The segment that is being written: answers in, and when it is full, an object with its index out."""

    def __init__(self, storage: Storage, method: str, compression: Compression) -> None:
        self._storage, self._method, self._compression = storage, method, compression
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._since = time.time()
        self._lines: list[bytes] = []
        self._pending = 0  # bytes of these lines
        self._size = 0  # bytes of JSON in all
        self._blob = bytearray()
        self._frames: list[tuple[int, int]] = []
        self._answers: list[PackedAnswer] = []

    def add(self, key: str, blob: bytes, envelope: Envelope) -> None:
        line = encode_line(key, envelope)
        self._lines.append(line)
        self._answers.append(PackedAnswer(key, len(self._frames), len(blob), md5(blob)))
        self._pending += len(line)
        self._size += len(line)
        if self._pending >= FRAME_BYTES:
            self._end_frame()
        if self._size >= SEGMENT_BYTES:
            self.finish()

    def _end_frame(self) -> None:
        frame = _compress(self._compression, b"\n".join(self._lines) + b"\n")
        self._frames.append((len(self._blob), len(frame)))
        self._blob += frame
        self._lines, self._pending = [], 0

    def finish(self) -> None:
        """Write the segment, and only then its index: without that it does not count."""
        if self._lines:
            self._end_frame()
        if not self._answers:
            return
        self._number += 1
        stamp = utc_stamp(self._since).replace(":", "")
        name = f"packs/{self._method}/{stamp}-{self._number:04}"
        segment = name + _SUFFIXES[self._compression]
        index = Index(segment, self._compression, self._since, self._frames, self._answers)
        self._storage.write(segment, bytes(self._blob))
        self._storage.write(name + _INDEX, igzip.compress(msgspec.json.encode(index), compresslevel=1, mtime=0))
        self._begin()


def _is_packed(entry: Entry, answer: PackedAnswer | None, index: Index | None) -> bool:
    if answer is None or index is None or entry.size != answer.size:
        return False
    return entry.md5 == answer.md5 if entry.md5 else entry.changed_at < index.packed_at


def _compress(compression: Compression, text: bytes) -> bytes:
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(text)
    return bytes(igzip.compress(text, compresslevel=2, mtime=0))


def _decompress(compression: Compression, frame: bytes) -> bytes:
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompress(frame)
    return bytes(igzip.decompress(frame))  # type: ignore[no-untyped-call]
