"""Looking after a store: what it holds, whether it is sound, and a copy of it elsewhere."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import SUFFIX
from lastfm_crawl.httpcache.parallel import in_threads
from lastfm_crawl.httpcache.storage import StoreError, md5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lastfm_crawl.httpcache.storage import Entry, Storage

#: What a store holds, by the first part of the key.
ROOMS = ("requests", "archive", "state", "exports", "packs")


class Holding(NamedTuple):
    """Objects of one kind and their size in bytes."""

    objects: int
    size: int


class Copying(NamedTuple):
    """What :func:`copy` did: objects copied, objects that were there, and a line for each that could not be."""

    copied: int
    there: int
    faults: list[str]


def holdings(storage: Storage) -> dict[str, Holding]:
    """What *storage* holds, by room, and below ``requests``, ``archive`` and ``packs`` by method. Raises StoreError."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entry in storage.entries():
        parts = entry.key.split("/")
        name = "/".join(parts[:2]) if parts[0] in {"requests", "archive", "packs"} else parts[0]
        found[name][0] += 1
        found[name][1] += entry.size
    return {name: Holding(*found[name]) for name in sorted(found)}


def verify(
    storage: Storage,
    key_of: Callable[[str, Mapping[str, str]], str | None],
    on_object: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """A line for each thing that is wrong: what cannot be read, stands at another's place, or belongs to nothing.

    Raises StoreError when the store cannot be listed or read.
    """
    current: set[str] = set()
    answers: list[str] = []
    for entry in storage.entries():
        room = entry.key.partition("/")[0]
        if room == "requests":
            current.add(_path(entry.key))
        if room in {"requests", "archive"}:
            answers.append(entry.key)
        elif room not in ROOMS:
            yield f"{entry.key} is in no part of the store"

    def check(key: str) -> list[str]:
        blob = storage.get(key)
        return [] if blob is None else _faults(key, blob, current, key_of)

    for faults in in_threads(check, answers):
        on_object()
        yield from faults
    if isinstance(storage, FolderStorage):
        for path in storage.leftovers():
            yield f"{path} was left by a writer that was killed; it can be deleted when nothing runs"


def _faults(
    key: str, blob: bytes, current: set[str], key_of: Callable[[str, Mapping[str, str]], str | None]
) -> list[str]:
    if not key.endswith(SUFFIX):
        return [f"{key} is no answer"]
    try:
        envelope = decode(blob)
    except CorruptEnvelopeError as exc:
        return [f"{key} cannot be read: {exc}"]
    faults = []
    archived = key.startswith("archive/")
    path = _path(key).rpartition("/")[0] if archived else _path(key)
    expected = key_of(envelope.method, envelope.params)
    if expected is not None and _path(expected) != path:
        faults.append(f"{key} holds the answer that belongs at {expected}")
    if archived and path not in current:
        faults.append(f"{key} is an older answer of a question that has no newer one")
    return faults


def _path(key: str) -> str:
    """The part of a key that a question's answer and its older ones share."""
    return key.partition("/")[2].removesuffix(SUFFIX)


def copy(source: Storage, target: Storage, on_object: Callable[[], object] = lambda: None) -> Copying:
    """Bring everything in *source* into *target*.

    What is there with the same content is skipped, so a copy that was interrupted goes on. An answer that differs
    replaces what is there, which moves to the archive; an older answer of another content is never overwritten.
    Raises StoreError when one of the stores cannot be listed.
    """
    there = {entry.key: entry for entry in target.entries()}

    def one(entry: Entry) -> tuple[bool, str | None]:
        try:
            return _copy(entry, there.get(entry.key), source, target)
        except StoreError as exc:
            return False, str(exc)

    copied = same = 0
    faults = []
    for done, fault in in_threads(one, source.entries()):
        on_object()
        if fault:
            faults.append(fault)
        elif done:
            copied += 1
        else:
            same += 1
    return Copying(copied, same, faults)


def _copy(entry: Entry, there: Entry | None, source: Storage, target: Storage) -> tuple[bool, str | None]:
    """Whether the object had to be copied, and what kept it from being."""
    if there is not None and there.size == entry.size and _digest(entry, source) == _digest(there, target):
        return False, None
    blob = source.get(entry.key)
    if blob is None:
        return False, f"{entry.key} was removed meanwhile"
    room = entry.key.partition("/")[0]
    if room == "requests":
        target.put(entry.key, blob)
    elif room == "archive" and there is not None:
        return False, f"{entry.key} is there with another content, and was left as it is"
    else:
        target.write(entry.key, blob)
    return True, None


def _digest(entry: Entry, storage: Storage) -> str | None:
    """The MD5 of an object, which is read where the storage does not know it: files, which are near."""
    return entry.md5 or md5(storage.get(entry.key) or b"")
