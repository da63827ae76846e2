"""A folder of this machine for answers that a far store did not take, until it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, decode, utc_stamp
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import archive_key, segment
from lastfm_crawl.httpcache.storage import Storage, StoreError

if TYPE_CHECKING:
    from pathlib import Path


class Spool:
    """Answers for *storage*, below *folder*, that could not be written there."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        # Of this store alone: what was meant for another must not end here when the setting changes.
        self._folder = FolderStorage(folder / segment(storage.location))
        self._kept: set[str] = set()

    def put(self, key: str, blob: bytes) -> None:
        """Put *blob* into the store. When that fails it is kept here, and StoreError says so."""
        try:
            self._storage.put(key, blob)
        except StoreError as exc:
            try:
                self._folder.put(key, blob)
            except StoreError:  # neither can this machine: what is wrong with the store is what matters
                raise exc from None
            self._kept.add(key)
            raise StoreError(f"{exc} (kept in {self._folder.location} until the next run)") from exc
        if key in self._kept:  # a later attempt came through
            self._folder.delete(key)
            self._kept.discard(key)

    def waiting(self) -> int:
        """How many answers are kept here."""
        return sum(1 for _ in self._folder.entries())

    def upload(self) -> int:
        """Put everything that is kept here into the store; how many answers that were. Raises StoreError."""
        count = 0
        for key in list(self._folder.keys()):
            blob = self._folder.get(key)
            if blob is None:  # another run was faster
                continue
            self._storage.put(self._place(key, blob), blob)
            self._folder.delete(key)
            count += 1
        return count

    def _place(self, key: str, blob: bytes) -> str:
        """*key*, or its place in the archive when the store has a newer answer by now."""
        there = self._storage.get(key)
        if there is None:
            return key
        try:
            stored, kept = decode(there), decode(blob)
        except CorruptEnvelopeError:
            return key
        return archive_key(key, utc_stamp(kept.answered_at)) if stored.answered_at > kept.answered_at else key
