"""What a store must be able to do, and how its location becomes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE_KEY = "state/.probe"


class StoreError(OSError):
    """The store cannot be reached, read or written: one line that says what and where."""


class Storage(Protocol):
    """Bytes under keys. Methods may be called from several threads at once, and raise :class:`StoreError`."""

    location: str

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None when there is nothing."""

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob* at *key*, safe on disk when this returns. What another answer had there moves to ``archive/``."""

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* at *key* in the place of what was there: for ``state/`` and ``exports/``, which are derived."""

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with *prefix*, sorted."""


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
