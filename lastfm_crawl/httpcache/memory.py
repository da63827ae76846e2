"""The store in memory, for tests and for looking at what a spider would keep."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from lastfm_crawl.httpcache.envelope import utc_stamp
from lastfm_crawl.httpcache.keys import archive_key, check_key
from lastfm_crawl.httpcache.storage import Entry, Storage, md5

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryStorage(Storage):
    """Answers in a dictionary, gone with the process."""

    def __init__(self) -> None:
        self.location = "memory"
        self._blobs: dict[str, bytes] = {}
        self._changed: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None."""
        check_key(key)
        return self._blobs.get(key)

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob*; another answer that is there moves to the archive."""
        check_key(key)
        with self._lock:
            old = self._blobs.get(key)
            if old not in {None, blob}:
                stamp = utc_stamp(time.time())
                names = (archive_key(key, f"{stamp}-{number}" if number else stamp) for number in itertools.count())
                self._set(next(name for name in names if name not in self._blobs), old)
            self._set(key, blob)

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* in the place of what was there."""
        check_key(key)
        with self._lock:
            self._set(key, blob)

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        check_key(key)
        with self._lock:
            self._blobs.pop(key, None)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose key begins with *prefix*, sorted."""
        check_key(prefix)
        with self._lock:
            found = sorted(item for item in self._blobs.items() if item[0].startswith(prefix))
        for key, blob in found:
            yield Entry(key, len(blob), self._changed[key], md5(blob))

    def _set(self, key: str, blob: bytes) -> None:
        self._blobs[key] = bytes(blob)
        self._changed[key] = time.time()
