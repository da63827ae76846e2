"""What a store must be able to do, and how its location becomes one."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE_KEY = "state/.probe"


class StoreError(OSError):
    """The store cannot be reached, read or written: one line that says what and where."""


class Entry(NamedTuple):
    """What a listing says of an object."""

    key: str
    size: int  # bytes
    changed_at: float  # seconds since 1970
    md5: str | None = None  # base64, where the storage knows it without reading the object


class Storage(Protocol):
    """Bytes under keys. Methods may be called from several threads at once, and raise :class:`StoreError`."""

    location: str

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None when there is nothing."""

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob* at *key*, safe on disk when this returns. What another answer had there moves to ``archive/``."""

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* at *key* in the place of what was there: for ``state/`` and ``exports/``, which are derived."""

    def write_file(self, key: str, file: Path) -> None:
        """Keep what is in *file* as :meth:`write` does; where the storage can, without holding it in memory."""
        self.write(key, file.read_bytes())

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose key begins with *prefix*, sorted (in a folder: within each of its folders)."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The key of each of these."""
        for entry in self.entries(prefix):
            yield entry.key


def md5(blob: bytes) -> str:
    """The MD5 of *blob* as Google writes it. It finds equal objects; nobody is to be kept from making some."""
    return base64.b64encode(hashlib.md5(blob, usedforsecurity=False).digest()).decode()


def open_store(location: str) -> Storage:
    """The store at *location*: a path, a ``file://`` URL or ``gs://bucket/prefix``.

    Raises ValueError for a location that no storage knows.
    """
    from lastfm_crawl.httpcache.folder import FolderStorage  # noqa: PLC0415  (folder imports StoreError from here)

    parts = urlsplit(location)
    # One letter is a Windows drive, not a scheme.
    if len(parts.scheme) <= 1:
        return FolderStorage(Path(location))
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return FolderStorage(Path(url2pathname(parts.path)))
    if parts.scheme == "gs":
        from lastfm_crawl.httpcache.bucket import BucketStorage  # noqa: PLC0415  (Google's library takes long to import)

        return BucketStorage(location)
    raise ValueError(f"RESPONSE_STORE={location!r} is neither a path, a file:// URL nor gs://bucket/prefix")


def probe(storage: Storage) -> None:
    """Write, read and delete one small object. Raises :class:`StoreError` when any of it fails."""
    storage.write(PROBE_KEY, b"probe")
    if storage.get(PROBE_KEY) != b"probe":
        raise StoreError(f"{storage.location} does not give back what was written")
    storage.delete(PROBE_KEY)
