"""The store in a folder: one file an answer, atomic and on disk before it counts."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lastfm_crawl.httpcache.envelope import utc_stamp
from lastfm_crawl.httpcache.keys import archive_key
from lastfm_crawl.httpcache.storage import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class FolderStorage:
    """Answers as files below *root*, in the layout that a bucket has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)
        self._temporary = itertools.count()
        self._made: set[Path] = set()

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise self._error("read", key, exc) from exc

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob*; another answer that is there is linked into the archive before it is replaced."""
        path = self._path(key)
        try:
            with self._written(path, blob) as temporary:
                if self._create(temporary, path) or path.read_bytes() == blob:
                    return
                self._archive(key, path)
                temporary.replace(path)
                _sync_folder(path.parent)
        except OSError as exc:
            raise self._error("write", key, exc) from exc

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* in the place of what was there."""
        path = self._path(key)
        try:
            with self._written(path, blob) as temporary:
                temporary.replace(path)
        except OSError as exc:
            raise self._error("write", key, exc) from exc

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise self._error("delete", key, exc) from exc

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins with *prefix*, sorted within each folder; temporary files are no keys."""
        start = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        for folder, subfolders, names in os.walk(start):
            subfolders.sort()
            for name in sorted(names):
                key = Path(folder, name).relative_to(self.root).as_posix()
                if not name.startswith(".") and key.startswith(prefix):
                    yield key

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if key.startswith("/") or ".." in parts or "\\" in key or "\0" in key:
            raise StoreError(f"{key!r} is not a key of the store")
        return self.root.joinpath(*parts)

    @contextlib.contextmanager
    def _written(self, path: Path, blob: bytes) -> Iterator[Path]:
        """A file beside *path* that holds *blob* safely on disk; it is gone afterwards unless it was renamed."""
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        # Not named after the key: that may have the longest name the file system takes.
        temporary = path.parent / f".{os.getpid()}-{next(self._temporary)}.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        except FileNotFoundError:
            self._made.discard(path.parent)  # somebody removed the folder meanwhile
            raise
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def _create(temporary: Path, path: Path) -> bool:
        """Give *temporary* the name *path*; False when something has that name."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            if path.exists():  # a file system without links (FAT, some network folders): the check is all there is
                return False
            temporary.replace(path)
        _sync_folder(path.parent)
        return True

    def _archive(self, key: str, path: Path) -> None:
        copy = self._path(archive_key(key, utc_stamp(time.time())))
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, copy)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            shutil.copy2(path, copy)
        _sync_folder(copy.parent)

    def _error(self, verb: str, key: str, exc: OSError) -> StoreError:
        return StoreError(f"cannot {verb} {key!r} in {self.root}: {exc.strerror or exc}")


def _sync_folder(folder: Path) -> None:
    """Make a new name in *folder* survive a power loss, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
