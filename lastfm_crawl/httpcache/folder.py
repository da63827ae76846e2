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

from filelock import FileLock

from lastfm_crawl.httpcache.envelope import utc_stamp
from lastfm_crawl.httpcache.keys import archive_key, check_key
from lastfm_crawl.httpcache.storage import Entry, Storage, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_temporary = itertools.count()  # of the process: two storages may have one root
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class FolderStorage(Storage):
    """Answers as files below *root*, in the layout that a bucket has.

    Paths are plain strings: pathlib's objects would be half the time of storing a small answer.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)
        self._made: set[str] = set()

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None."""
        try:
            with open(self._path(key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise self._error("read", key, exc) from exc

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob*; another answer that is there is linked into the archive before it is replaced."""
        path = self._path(key)
        try:
            with self._draft(path) as temporary:
                with _written(temporary, blob) as file:
                    is_new = _link(temporary, path)
                    if not is_new and self.get(key) == blob:
                        return
                    # With its name: journals keep the order of the two. Only then is the answer acknowledged; what a
                    # power loss leaves before that cannot be read, so it is a miss.
                    os.fsync(file)
                if not is_new:
                    # Rare. Without the lock an answer that another process puts there in between would be lost.
                    with FileLock(os.path.join(self.location, ".replacing")):
                        if os.path.exists(path):
                            self._archive(key, path)
                        os.replace(temporary, path)
                        _sync_folder(path)
        except OSError as exc:
            raise self._error("write", key, exc) from exc

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* in the place of what was there."""
        path = self._path(key)
        try:
            with self._draft(path) as temporary:
                with _written(temporary, blob) as file:
                    os.fsync(file)
                os.replace(temporary, path)
        except OSError as exc:
            raise self._error("write", key, exc) from exc

    def write_file(self, key: str, file: Path) -> None:
        """Keep what is in *file* in the place of what was there."""
        path = self._path(key)
        try:
            with self._draft(path) as temporary:
                with _written(temporary) as copy:
                    with open(file, "rb") as source, open(copy, "wb", closefd=False) as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    os.fsync(copy)
                os.replace(temporary, path)
        except OSError as exc:
            raise self._error("write", key, exc) from exc

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(key))
        except OSError as exc:
            raise self._error("delete", key, exc) from exc

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every file whose key begins with *prefix*, sorted within each folder; temporary files are none."""
        start = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.location

        def unreadable(exc: OSError) -> None:
            # What cannot be listed is not empty; what is not there is.
            if not isinstance(exc, FileNotFoundError):
                raise self._error("list", prefix, exc) from exc

        for folder, subfolders, names in os.walk(start, onerror=unreadable):
            subfolders.sort()
            for name in sorted(names):
                key = Path(folder, name).relative_to(self.root).as_posix()
                if name.startswith(".") or not key.startswith(prefix):
                    continue
                try:
                    about = os.stat(os.path.join(folder, name))
                except FileNotFoundError:  # removed meanwhile
                    continue
                yield Entry(key, about.st_size, about.st_mtime)

    def leftovers(self) -> Iterator[str]:
        """Paths of temporary files, which writers that were killed have left, relative to the root."""
        for folder, _, names in os.walk(self.location):
            for name in names:
                if name.endswith(".tmp"):
                    yield Path(folder, name).relative_to(self.root).as_posix()

    def sweep(self) -> None:
        """Remove temporary files that killed writers have left, and empty folders, whose names tell what was in them.

        A writer whose file or folder goes that way fails, and its next attempt comes through.
        """
        for path in self.leftovers():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.location, path))
        for folder, _, _ in os.walk(self.location, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(folder)
        self._made.clear()

    def _path(self, key: str) -> str:
        check_key(key)
        return os.path.join(self.location, *key.split("/"))

    @contextlib.contextmanager
    def _draft(self, path: str) -> Iterator[str]:
        """A temporary name beside *path*, whose folder is there; no file has it afterwards."""
        folder = os.path.dirname(path)
        if folder not in self._made:
            _make(folder)
            self._made.add(folder)
        # Not named after the key: that may have the longest name the file system takes.
        temporary = os.path.join(folder, f".{os.getpid()}-{next(_temporary)}.tmp")
        try:
            yield temporary
        except FileNotFoundError:
            self._made.discard(folder)  # somebody removed it meanwhile
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _archive(self, key: str, path: str) -> None:
        stamp = utc_stamp(time.time())
        for number in itertools.count():  # two may be replaced in one tick of the clock
            copy = self._path(archive_key(key, f"{stamp}-{number}" if number else stamp))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            try:
                os.link(path, copy)
            except FileExistsError:
                continue
            except OSError as exc:
                if exc.errno not in _NO_LINKS:
                    raise
                if os.path.exists(copy):
                    continue
                shutil.copy2(path, copy)
            _sync_folder(copy)
            return

    def _error(self, verb: str, key: str, exc: OSError) -> StoreError:
        return StoreError(f"cannot {verb} {key!r} in {self.root}: {exc.strerror or exc}")


@contextlib.contextmanager
def _written(path: str, blob: bytes = b"") -> Iterator[int]:
    """A new file at *path* that holds *blob*, open meanwhile: Windows gives no file another name that is."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(blob)
        while rest:
            rest = rest[os.write(file, rest) :]
        yield file
    finally:
        os.close(file)


def _link(temporary: str, path: str) -> bool:
    """Give *temporary* the name *path* too; False when something has it, or where no file has two names (FAT, some
    network folders).
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        return False
    return True


def _make(folder: str) -> None:
    """Make *folder*, and its parents when they are missing: one system call where os.makedirs has several."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)


def _sync_folder(path: str) -> None:
    """Make the name of *path* survive a power loss, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
