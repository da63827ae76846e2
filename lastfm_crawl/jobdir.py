"""A JOBDIR that cannot spoil a crawl: one run at a time, and what an unclean stop left is set aside.

Scrapy writes the state of its disk queue only when it closes in order. After a kill it ignores the queue, loses it, or
never ends, and still says "finished" (scrapy#4106, #2399, #7978). What is left to do follows from the warehouse
and the store, so nothing is lost with a JOBDIR: within a run it keeps memory small, to the next run it hands nothing
that the spider would not ask for by itself.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scrapy
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Mapping

#: In the folder while a run uses it, and after it has ended in order.
RUNNING, STOPPED = "running.json", "stopped.json"
#: What Scrapy keeps in a JOBDIR. Nothing else is ever moved: the folder may hold logs, or be the DATA_DIR itself.
SCRAPYS = ("requests.queue", "requests.seen", "spider.state")


class JobDir:
    """The JOBDIR *folder* for a run of *spider* with these *arguments*."""

    def __init__(self, folder: Path, spider: str, arguments: Mapping[str, str]) -> None:
        # Whichever link leads to it, it is the same folder, with the same lock.
        self._folder = Path(os.path.realpath(folder))
        # Held by the process, so a kill leaves no lock behind. It stays in its place when the rest is set aside.
        self._lock = FileLock(self._folder / "lock")
        # Scrapyd adds its job's id, which differs when a job is scheduled again.
        given = {name: text for name, text in arguments.items() if not name.startswith("_")}
        self._about = {"scrapy": scrapy.__version__, "spider": spider, "arguments": given}

    def enter(self) -> str | None:
        """Take the folder; one line when what was in it had to be set aside.

        Raises ValueError when another run has it, or when it cannot be used.
        """
        try:
            if self._folder.exists() and not self._folder.is_dir():
                raise ValueError(f"JOBDIR={self._folder} is not a folder")
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            line = self._set_aside()
            # In this order: a kill between the two is an unclean stop like any other.
            _write(self._folder / RUNNING, {**self._about, "pid": os.getpid(), "since": _stamp()})
            (self._folder / STOPPED).unlink(missing_ok=True)
        except Timeout:
            owner = _read(self._folder / RUNNING).get("pid")
            raise ValueError(
                f"JOBDIR={self._folder} is used by another run{f' (process {owner})' if owner else ''}: "
                "wait for it, or give this run a JOBDIR of its own"
            ) from None
        except OSError as exc:
            self._lock.release()
            raise ValueError(f"JOBDIR={self._folder} cannot be used: {exc.strerror or exc}") from exc
        return line

    def check(self) -> str | None:
        """What :meth:`enter` would do, without doing it: one line when what is there would be set aside.

        Raises ValueError when another run has the folder, or when it cannot be used.
        """
        place = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise ValueError(f"JOBDIR={self._folder} cannot be used: {place} is no folder that we may write to")
        if not (self._folder / RUNNING).exists():
            return None
        try:
            with self._lock.acquire(timeout=0):
                return f"JOBDIR={self._folder} was not left in order (killed?): the next run sets it aside"
        except Timeout:
            owner = _read(self._folder / RUNNING).get("pid")
            raise ValueError(f"JOBDIR={self._folder} is used by another run (process {owner})") from None

    def leave(self, *, in_order: bool) -> None:
        """Give the folder back; the next run goes on with it only when this one ended *in_order*."""
        if in_order:
            # A disk that is full, or a folder that somebody removed: the next run finds no good marker.
            with suppress(OSError):
                (self._folder / RUNNING).replace(self._folder / STOPPED)
        self._lock.release()

    def _set_aside(self) -> str | None:
        why = self._fault()
        if why is None:
            # The spider asks the warehouse for what is left, which is what the queue holds: with both, each page would
            # be asked for twice. And what a filter remembers was not all answered.
            shutil.rmtree(self._folder / "requests.queue", ignore_errors=True)
            (self._folder / "requests.seen").unlink(missing_ok=True)
            return None
        aside = self._place_aside()
        # Markers last: after a kill in the middle of this the next run sets the rest aside.
        for path in (self._folder / name for name in (*SCRAPYS, STOPPED, RUNNING)):
            if path.exists():
                path.rename(aside / path.name)
        return f"JOBDIR {why}: set aside as {aside}; the run goes on from the warehouse and the response store"

    def _place_aside(self) -> Path:
        """A new folder beside ours, or in it where there is no room beside it (the mounted volume of a container)."""
        stamp = f"unclean-{_stamp().replace('-', '').replace(':', '')}"
        beside, inside = self._folder.with_name(f"{self._folder.name}.{stamp}"), self._folder / stamp
        if not os.path.ismount(self._folder):
            with suppress(OSError):
                beside.mkdir()
                return beside
        inside.mkdir()
        return inside

    def _fault(self) -> str | None:
        """Why what is in the folder cannot be gone on with; None when it can, or when nothing is there."""
        if not any((self._folder / name).exists() for name in (*SCRAPYS, STOPPED, RUNNING)):
            return None
        if (self._folder / RUNNING).exists():
            return "was not left in order (killed?)"
        left = _read(self._folder / STOPPED)
        if not left:
            return "was not left by this project, or its marker cannot be read"
        for name, now in self._about.items():
            if left.get(name) != now:
                return f"was left by another run ({name} {left.get(name)!r}, now {now!r})"
        return None


def clear(folder: Path) -> int:
    """Empty every JOBDIR at or below *folder*, also those that were set aside; how many there were.

    Queues hold what was asked about whom. What is left to do follows from the warehouse, so nothing is lost.
    """
    ours = {*SCRAPYS, RUNNING, STOPPED}
    cleared = 0
    for place, folders, files in os.walk(folder):
        found = ours & {*folders, *files}
        folders[:] = [name for name in folders if name not in ours]
        for path in (Path(place, name) for name in found):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        cleared += bool(found)
    return cleared


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """What a marker says; nothing when it is not there, or spoilt."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
