"""The store in memory, for tests and for looking at what a spider would keep."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from lastfm_crawl.httpcache.envelope import utc_stamp
from lastfm_crawl.httpcache.keys import archive_key, check_key

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryStorage:
    """Answers in a dictionary, gone with the process."""

    def __init__(self) -> None:
        self.location = "memory"
        self._blobs: dict[str, bytes] = {}
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
                self._blobs[next(name for name in names if name not in self._blobs)] = old
            self._blobs[key] = bytes(blob)

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* in the place of what was there."""
        check_key(key)
        with self._lock:
            self._blobs[key] = bytes(blob)

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        check_key(key)
        with self._lock:
            self._blobs.pop(key, None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with *prefix*, sorted."""
        check_key(prefix)
        with self._lock:
            found = sorted(key for key in self._blobs if key.startswith(prefix))
        yield from found
