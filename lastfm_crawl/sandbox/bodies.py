"""Rendered answers, and the memory of the last ones.

In: an ``Answer``. Out: its bytes, plain and gzipped. Rendering costs more than serving, and runs and
benchmarks ask for the same pages again, so the last pages are kept up to a number of bytes.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastfm_crawl.sandbox.answers import Answer

GZIP_FROM = 1024  # bytes; below, the headers cost more than gzip saves


class Body:
    """The bytes of one answer; large ones are held gzipped only, at a fifteenth of the size."""

    __slots__ = ("_held", "is_large", "status")

    def __init__(self, answer: Answer) -> None:
        plain = msgspec.json.encode(answer.body)  # json.dumps takes five times as long, half of serving a big page
        self.status = answer.status
        self.is_large = len(plain) > GZIP_FROM
        # No time in the header: the same answer is the same bytes.
        self._held = gzip.compress(plain, compresslevel=1, mtime=0) if self.is_large else plain

    @property
    def plain(self) -> bytes:
        """Give the JSON."""
        return gzip.decompress(self._held) if self.is_large else self._held

    @property
    def gzipped(self) -> bytes:
        """Give the gzipped JSON."""
        return self._held if self.is_large else gzip.compress(self._held, compresslevel=1, mtime=0)

    @property
    def size(self) -> int:
        """Say roughly how much memory the entry takes."""
        return len(self._held) + 500


class Bodies:
    """The least recently used go first when the kept ones outgrow ``most_bytes``."""

    def __init__(self, most_bytes: int = 128 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Body] = OrderedDict()

    def get(self, key: str, make: Callable[[], Answer]) -> Body:
        """Give the kept body of a key, or render it."""
        body = self._kept.get(key)
        if body is not None:
            self._kept.move_to_end(key)
            return body
        body = self._kept[key] = Body(make())
        self._bytes += body.size
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].size
        return body

    def __len__(self) -> int:
        return len(self._kept)
