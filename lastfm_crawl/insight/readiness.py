"""Whether a long run could start here: checks of this machine, the settings, the store, the warehouse and the sinks.

Each check gives :class:`Finding` after finding; those that ask web services are in ``downloader.reach``.
"""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from lastfm_crawl import config
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.httpcache.spool import Spool
from lastfm_crawl.httpcache.storage import probe
from lastfm_crawl.insight.status import disk
from lastfm_crawl.insight.wording import duration, megabytes
from lastfm_crawl.jobdir import JobDir
from lastfm_crawl.warehouse.migrate import FOLDER
from lastfm_crawl.warehouse.mirror import MirrorUnavailableError, open_mirror
from lastfm_crawl.warehouse.sinks import SETTINGS, SinkRefusedError, SinkUnavailableError, configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    from scrapy.settings import Settings

    from lastfm_crawl.insight.estimates import Estimate

#: Room that is wanted when nobody knows better.
LEAST_FREE = 10**9
_OLDEST_PYTHON = (3, 11)
_REAL = "ws.audioscrobbler.com"
#: Seconds between two requests below which Last.fm's terms do not let us go.
_FLOOR = 0.2
_MAIL = re.compile(r"[^@\s<>()]+@[^@\s<>()]+\.[^@\s<>()]+")
_PAGE = re.compile(r"https?://[^\s/<>()]+\.[^\s<>()]+")


class State(StrEnum):
    """What a finding means for a run."""

    OK = "ok"
    SKIPPED = "--"  # not configured, and nothing has to be
    WARNING = "warning"  # a run could start
    WRONG = "WRONG"  # the configuration has to be changed
    FAILED = "FAILED"  # something cannot be reached or used


class Finding(NamedTuple):
    """One line about one thing: what was found, or what to do."""

    state: State
    about: str
    line: str


# --- this machine and the settings --------------------------------------------------------------------------------


def versions(requirements: Path) -> Iterator[Finding]:
    """Python and the packages, against the file *requirements* (its part for runs) where there is one."""
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding(State.WRONG, "Python", f"{python}: 3.11 or newer is needed")
    wanted = list(_requirements(requirements))
    faults = [fault for one in wanted if (fault := _fault(one))]
    if faults:
        yield Finding(State.WRONG, "packages", f"{'; '.join(faults)}: pip install -r {requirements.name}")
    else:
        what = f" and {len(wanted)} packages as {requirements.name} wants them" if wanted else ""
        yield Finding(State.OK, "versions", f"Python {python}, Scrapy {version('scrapy')}{what}")


def _requirements(path: Path) -> Iterator[Requirement]:
    """What runs need; what tests need stands below a comment of its own."""
    if not path.exists():  # deployed without it
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# tests"):
            return
        try:
            yield Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:  # a blank line, a comment, an option of pip
            continue


def _fault(wanted: Requirement) -> str | None:
    try:
        there = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is not installed"
    return None if wanted.specifier.contains(there, prereleases=True) else f"{wanted} is wanted, {there} is here"


def contact(settings: Settings) -> Iterator[Finding]:
    """Whom a service can write to."""
    text = settings["CONTACT"]
    if not text:
        line = "is not set: a mail address or URL of yours; MusicBrainz is not asked without it"
        yield Finding(State.WARNING, "CONTACT", line)
    elif _MAIL.fullmatch(text) or _PAGE.fullmatch(text):
        yield Finding(State.OK, "CONTACT", f"services see {config.user_agent(settings)}")
    else:
        yield Finding(State.WARNING, "CONTACT", f"{text!r} is neither a mail address nor a URL that somebody could use")


def pace(settings: Settings) -> Iterator[Finding]:
    """Whether the settings of the pace, and what protects the key, are what they should be."""
    delay, url = settings.getfloat("DOWNLOAD_DELAY"), settings["LASTFM_API_URL"]
    odd = []
    if _REAL in url and delay < _FLOOR:
        odd.append(f"DOWNLOAD_DELAY={delay:g} asks for more than Last.fm allows: it gets one every {_FLOOR} s at most")
    if _REAL in url and url.startswith("http:"):
        odd.append("LASTFM_API_URL without https sends the key for everybody to read")
    if settings.getbool("ROBOTSTXT_OBEY"):
        odd.append("ROBOTSTXT_OBEY is for spiders of pages, which set it themselves: an API has no robots.txt")
    if not settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES"):
        odd.append("DOWNLOAD_VERIFY_CERTIFICATES is off, and a key travels")
    if delay and not settings.getbool("AUTOTHROTTLE_ENABLED"):
        odd.append("AUTOTHROTTLE_ENABLED is off: a slow answer does not slow us down")
    for line in odd:
        yield Finding(State.WARNING, "pace", line)
    if not odd:
        yield Finding(State.OK, "pace", f"a request every {delay:g} s" if delay else "unpaced, for a stand-in")


def jobdir(settings: Settings) -> Iterator[Finding]:
    """Whether the JOBDIR, where there is to be one, can be taken."""
    folder = settings["JOBDIR"]
    if not folder:
        yield Finding(State.SKIPPED, "JOBDIR", "none: runs go on from the warehouse and the response store")
        return
    try:
        line = JobDir(Path(folder), "", {}).check()
    except ValueError as exc:
        yield Finding(State.WRONG, "JOBDIR", str(exc))
    else:
        yield Finding(State.WARNING if line else State.OK, "JOBDIR", line or folder)


# --- the store ----------------------------------------------------------------------------------------------------


def store(settings: Settings) -> Iterator[Finding]:
    """Write, read and delete an object; and what waits on this machine for the store."""
    location = config.store_location(settings)
    storage = open_store(location)
    waiting = Spool(storage, config.spool_folder(settings)).waiting()
    if waiting:
        line = f"{waiting:,} answers that the store did not take wait here: the next run puts them there first"
        yield Finding(State.WARNING, "spool", line)
    try:
        probe(storage)
    except StoreError as exc:
        yield Finding(State.FAILED, "response store", str(exc))
    else:
        yield Finding(State.OK, "response store", f"{location}: written, read and deleted")


def room(settings: Settings, estimates: Sequence[Estimate]) -> Iterator[Finding]:
    """Free space where the data folder is, against what is left to fetch."""
    there = disk(Path(settings["DATA_DIR"]))
    needed = sum(one.size for one in estimates)
    took = f"; what is left to ask for takes about {megabytes(needed)} in the store" if needed else ""
    line = f"{megabytes(there.free)} free in {there.path}{took}"
    if there.free < max(needed, LEAST_FREE):
        yield Finding(State.WARNING, "disk", f"{line}: make room, or move DATA_DIR or RESPONSE_STORE")
    else:
        yield Finding(State.OK, "disk", line)


# --- databases ----------------------------------------------------------------------------------------------------


def warehouse(connection: psycopg.Connection) -> Iterator[Finding]:
    """What the database is, once it is open and its tables are up to date."""
    row = connection.execute(
        "SELECT current_setting('server_version'), current_setting('server_encoding'),"
        " (SELECT count(*) FROM _yoyo_migration)"
    ).fetchone()
    assert row is not None  # it has no FROM  # noqa: S101
    server, encoding, applied = row
    known = sum(1 for file in FOLDER.iterdir() if file.name.endswith(".sql"))
    if encoding != "UTF8":
        yield Finding(State.WRONG, "warehouse", f"its encoding is {encoding}: make a database with ENCODING 'UTF8'")
    elif applied > known:
        line = f"has {applied} migrations, this program knows {known}: a newer one was here; update this one"
        yield Finding(State.WRONG, "warehouse", line)
    else:
        yield Finding(State.OK, "warehouse", f"PostgreSQL {server.split()[0]}, {encoding}, {applied} migrations")


def mirror(settings: Settings) -> Iterator[Finding]:
    """Whether MusicBrainz can be asked, and how."""
    url = settings["MUSICBRAINZ_DATABASE_URL"]
    if not url:
        line = "by its web service" if settings["CONTACT"] else "not asked without CONTACT"
        yield Finding(State.SKIPPED, "MusicBrainz", line)
        return
    try:
        open_mirror(url).close()
    except MirrorUnavailableError as exc:
        yield Finding(State.FAILED, "MusicBrainz", str(exc))
    else:
        yield Finding(State.OK, "MusicBrainz", "the mirror can be read")


def sinks(settings: Settings) -> Iterator[Finding]:
    """Whether the sinks that are configured can be reached."""
    there = configured(settings)
    for sink in there:
        try:
            sink.open()
            try:
                sink.check()
            finally:
                sink.close()
        except (SinkUnavailableError, SinkRefusedError) as exc:
            yield Finding(State.FAILED, sink.name, f"{SETTINGS[sink.name]}={sink.target}: {exc}")
        else:
            yield Finding(State.OK, sink.name, f"{sink.target} answers")
    if not there:
        yield Finding(State.SKIPPED, "sinks", f"none: {' and '.join(SETTINGS.values())} are not set")


def clock(ahead: float | None) -> Finding:
    """Whether our clock is right, *ahead* seconds of a service's."""
    if ahead is None:
        return Finding(State.SKIPPED, "clock", "the service does not tell the time")
    if abs(ahead) > 60:
        way = "ahead of" if ahead > 0 else "behind"
        line = f"{duration(abs(ahead))} {way} the service's: set it, or windows of histories end at the wrong second"
        return Finding(State.WARNING, "clock", f"{line} and Google takes no login")
    return Finding(State.OK, "clock", "right within a minute")
