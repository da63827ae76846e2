"""Whether a long run could start: everything it needs, looked at before it does."""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand, not_set
from lastfm_crawl.downloader.pace import paces
from lastfm_crawl.downloader.reach import RefusedError, UnreachableError, ask_lastfm, ask_spotify
from lastfm_crawl.downloader.redact import redact
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.insight import readiness
from lastfm_crawl.insight.readiness import Finding, State
from lastfm_crawl.insight.status import what_is_left
from lastfm_crawl.insight.wording import printable
from lastfm_crawl.secret_manager import SecretUnavailableError
from lastfm_crawl.stop import Exit
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError, check_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from scrapy.settings import Settings

#: Seconds that a check may take; the first start of the embedded PostgreSQL takes some of them.
PATIENCE = 90.0


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def short_desc(self) -> str:
        return "Look at everything that a long run needs before it starts"

    def long_desc(self) -> str:
        return (
            "Settings, versions, store, warehouse, sinks, room on the disk, and with one request each whether Last.fm"
            " takes the key and Spotify the app. Writes nothing but a probe, and the tables of a new warehouse. Exits"
            " with 0 when a run could start (warnings included), 2 when the configuration is wrong, 3 when something"
            " cannot be reached."
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:  # noqa: ARG002  (Scrapy's signature)
        if args:
            raise UsageError("validate takes no arguments")
        found = []
        for finding in findings(self.settings):
            found.append(finding.state)
            print(redact(printable(f"{finding.state.value:7}  {finding.about}: {finding.line}")), flush=True)
        wrong, failed = (found.count(state) for state in (State.WRONG, State.FAILED))
        if wrong:
            self.end(Exit.WRONG_USE, f"{wrong + failed} of {len(found)} checks say that a run would fail")
        elif failed:
            self.end(Exit.CRITICAL, f"{failed} of {len(found)} checks found something that cannot be reached or used")


def findings(settings: Settings) -> Iterator[Finding]:
    """All that is found, what needs no network first; what rests on something wrong is left out."""
    wrong = list(_configuration(settings))
    yield from wrong or [Finding(State.OK, "settings", "can be read")]
    yield from readiness.versions((config.project_folder() or Path()) / "requirements.txt")
    yield from readiness.contact(settings)
    lacking = _credentials(settings)
    yield from filter(None, lacking.values())
    if wrong:
        return
    yield from readiness.pace(settings)
    yield from readiness.jobdir(settings)
    yield _aoty()
    yield from _within("response store", partial(readiness.store, settings))
    yield from _within("warehouse", partial(_warehouse, settings))
    yield from _within("MusicBrainz", partial(readiness.mirror, settings))
    yield from _within("sinks", partial(readiness.sinks, settings))
    if lacking["Spotify"] is None:
        yield from _spotify(settings)
    if lacking["Last.fm"] is None:
        yield from _lastfm(settings)


def _configuration(settings: Settings) -> Iterator[Finding]:
    """What a run would refuse to start with."""
    urls = [name for name in ("DATABASE_URL", "MUSICBRAINZ_DATABASE_URL") if settings[name]]
    checks: list[Callable[[], object]] = [
        partial(config.check, settings),
        partial(open_store, config.store_location(settings)),
        *(partial(check_url, settings[name], name) for name in urls),
    ]
    for check in checks:
        try:
            check()
        except ValueError as exc:
            yield Finding(State.WRONG, "settings", str(exc))


def _aoty() -> Finding:
    way = "by a proxy" if config.secret("AOTY_PROXY_URL") else "without a proxy, which it may turn away"
    return Finding(State.SKIPPED, "albumoftheyear.org", f"asked only by `scrapy crawl aoty`, {way}")


def _warehouse(settings: Settings) -> Iterator[Finding]:
    database = Database(settings["DATABASE_URL"], config.database_folder(settings))
    left = []
    try:
        database.open()
        yield from database.run(lambda connection: list(readiness.warehouse(connection)))
        left = database.run(what_is_left, paces(settings))
    except WarehouseUnavailableError as exc:
        yield Finding(State.FAILED, "warehouse", str(exc))
    finally:
        database.close()
    yield from readiness.room(settings, left)


def _credentials(settings: Settings) -> dict[str, Finding | None]:
    """For each service that wants credentials what is to be said before it is asked; None: it can be asked."""
    wanted = {"Last.fm": ("LASTFM_API_KEY",), "Spotify": ("SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")}
    found: dict[str, Finding | None] = {}
    for service, names in wanted.items():
        missing = [name for name in names if not config.is_set(settings, name)]
        found[service] = _unread(service, names)
        if service == "Spotify" and missing == list(names):
            line = f"{' and '.join(missing)} are not set: artists and tracks are not searched there"
            found[service] = Finding(State.SKIPPED, service, line)
        elif missing:
            found[service] = Finding(State.WRONG, service, not_set(missing[0]))
    return found


def _unread(service: str, names: Iterable[str]) -> Finding | None:
    """Why one of the secrets among *names* cannot be had from where it refers to."""
    try:
        config.fetch_secrets(*(name for name in names if name in config.SECRETS))
    except SecretUnavailableError as exc:
        return Finding(State.WRONG if exc.code is Exit.WRONG_USE else State.FAILED, service, str(exc))
    return None


def _spotify(settings: Settings) -> Iterator[Finding]:
    try:
        ask_spotify(settings)
    except RefusedError as exc:
        yield Finding(State.FAILED, "Spotify", f"does not take the app ({exc}); check its id and secret")
    except UnreachableError as exc:
        yield Finding(State.FAILED, "Spotify", f"gives no token: {exc}")
    else:
        yield Finding(State.OK, "Spotify", "gives a token")


def _lastfm(settings: Settings) -> Iterator[Finding]:
    try:
        ahead = ask_lastfm(settings)
    except RefusedError as exc:
        yield Finding(State.FAILED, "Last.fm", f"refuses LASTFM_API_KEY: {exc}")
    except UnreachableError as exc:
        yield Finding(State.FAILED, "Last.fm", f"{settings['LASTFM_API_URL']} does not answer as it should: {exc}")
    else:
        yield Finding(State.OK, "Last.fm", "takes the key")
        yield readiness.clock(ahead)


def _within(about: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What *check* finds in :data:`PATIENCE` seconds. It goes on in a thread that nobody waits for."""
    found: queue.Queue[Finding | BaseException | None] = queue.Queue()

    def work() -> None:
        try:
            for finding in check():
                found.put(finding)
        except Exception as exc:  # noqa: BLE001  (raised where somebody hears it)
            found.put(exc)
        found.put(None)

    threading.Thread(target=work, daemon=True).start()
    end = time.monotonic() + PATIENCE
    while True:
        try:
            finding = found.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            yield Finding(State.FAILED, about, f"no answer within {PATIENCE:.0f} s")
            return
        if finding is None:
            return
        if isinstance(finding, BaseException):
            raise finding
        yield finding
