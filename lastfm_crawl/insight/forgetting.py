"""Everything about somebody, out of every place in which this project keeps it.

In this order, so that it can be stopped anywhere and run again: the tombstone; then the rows of the warehouse, with the
marks that let sinks know, in one transaction; then what the crawl is without them, for replays; then answers, packs,
exports and records; then the sinks. Whatever was done is found done, and the rest is found by the name.

The log files of runs, backups, copies of the store, and older versions that a bucket, BigQuery or Firestore keep for a
while are not seen from here.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import psycopg

from lastfm_crawl import config, jobdir
from lastfm_crawl.httpcache import StoreError
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError, Envelope, decode, encode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.packs import rewrite
from lastfm_crawl.httpcache.parallel import in_threads
from lastfm_crawl.insight.scrubbing import Scrubber
from lastfm_crawl.items import FriendsPage
from lastfm_crawl.logins import SERVICES, Logins
from lastfm_crawl.services import method_at, redacted, service_of, user_at
from lastfm_crawl.stop import CommandError, Exit
from lastfm_crawl.warehouse import erasing, forgotten, membership
from lastfm_crawl.warehouse.exports import take_out
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.kinds import KINDS, PARTS
from lastfm_crawl.warehouse.sinks import SETTINGS, Batch, SinkRefusedError, SinkUnavailableError, configured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy.settings import BaseSettings

    from lastfm_crawl.httpcache import Storage
    from lastfm_crawl.warehouse.database import Database
    from lastfm_crawl.warehouse.sinks import Sink

_FRIENDS = "user.getFriends"


class Forgetting(NamedTuple):
    """What was removed, by place; a line for each thing that could not be read; and for each sink that is behind."""

    removed: Counter[str]
    faults: list[str]
    behind: list[str]


class Forgetter:
    """Forgets *names*: in the warehouse *database*, the response store, and the data folder of *settings*.

    *advance* is called for each thing that is looked at. With *dry_run* everything is only counted.
    """

    def __init__(
        self,
        settings: BaseSettings,
        database: Database,
        store: Storage,
        names: Sequence[str],
        advance: Callable[[], object] = lambda: None,
        *,
        dry_run: bool = False,
    ) -> None:
        self._settings, self._database, self._store = settings, database, store
        self._who = Scrubber(names)
        self._advance = advance
        self._dry_run = dry_run
        self._tombstones: set[forgotten.Tombstone] = set()
        self._removed: Counter[str] = Counter()
        self._faults: list[str] = []

    def run(self) -> Forgetting:
        """Do it. Raises CommandError (a run is going on), ValueError (one line), OSError (the store's errors, too) and
        WarehouseUnavailableError.
        """
        self._database.open()
        with psycopg.connect(self._database.conninfo, autocommit=True) as guard:
            if not self._dry_run:
                self._bury()
                if not forgotten.lock(guard):
                    line = "a run is going on, which may know them: wait for it or stop it, and run this again"
                    raise CommandError(Exit.RESUMABLE, line)
            self._check_runs()
            self._database.run(self._leave_warehouse)
            if not self._dry_run:
                membership.save(self._store, self._database.run(membership.take, time.time()))
            self._leave_answers(self._store)
            self._leave_packs()
            self._leave_records()
            self._leave_folder()
            behind = [] if self._dry_run else self._leave_sinks()
            if not self._dry_run:
                erasing.compact(guard)
        return Forgetting(self._removed, self._faults, behind)

    def _bury(self) -> None:
        """Set the tombstones: from here on whoever starts leaves them out. (The warehouse gets its with its rows.)"""
        here, there = self._database.run(forgotten.in_warehouse), forgotten.in_store(self._store)
        known = forgotten.Forgotten(here.tombstones | there.tombstones)
        salted = forgotten.Forgotten(known.tombstones or {known.new(self._who.names[0])})
        self._tombstones = {salted.new(name) for name in self._who.names}
        forgotten.save_in_store(self._store, self._tombstones - there.tombstones)

    def _check_runs(self) -> None:
        """Raise ValueError when the warehouse is not what the store would make of it."""
        rows = self._database.run(lambda connection: connection.execute("SELECT id FROM runs").fetchall())
        there = {Path(key).stem for key in self._store.keys("state/runs/")}
        if lacking := len(there - {run for (run,) in rows}):
            raise ValueError(
                f"the warehouse lacks {lacking} runs that the store has: run `scrapy replay all` first, which leaves"
                " those who are forgotten out, then this again"
            )

    # --- the warehouse --------------------------------------------------------------------------------------------

    def _leave_warehouse(self, connection: psycopg.Connection) -> None:
        with connection.transaction(force_rollback=self._dry_run):
            rows = erasing.erase(connection, erasing.users_called(connection, self._who.names))
            records = erasing.scrub(connection, self._who.is_gone, self._who.arguments, self._who.texts)
            if not self._dry_run:
                forgotten.save_in_warehouse(connection, self._tombstones)
        self._removed = Counter({f"warehouse: {what}": count for what, count in rows.items()})
        self._count("warehouse: records of runs and jobs", records)

    # --- the store ------------------------------------------------------------------------------------------------

    def _leave_answers(self, store: Storage, place: str = "store") -> None:
        """Answers about them go, and they go from the answers about others."""
        theirs, friends = self._answers_in(store)
        for key, envelope in in_threads(lambda key: self._redacted_at(store, key), friends):
            self._advance()
            if envelope is not None:
                self._count(f"{place}: {_kind(key)} about others that named them", 1)
                if not self._dry_run:
                    # First the warehouse: whoever is stopped in between finds the answer as it was.
                    self._note(envelope)
                    store.write(key, encode(envelope))
        for key in theirs:
            self._count(f"{place}: {_kind(key)} about them", 1)
        if not self._dry_run:
            for _ in in_threads(store.delete, theirs):
                self._advance()
            if isinstance(store, FolderStorage):
                store.sweep()

    def _answers_in(self, store: Storage) -> tuple[list[str], list[str]]:
        """The keys of answers about them, and of those that may name them."""
        theirs, friends = [], []
        for room in ("requests/", "archive/"):
            for key in store.keys(room):
                self._advance()
                if user_at(key) in self._who.segments:
                    theirs.append(key)
                elif method_at(key) == _FRIENDS:
                    friends.append(key)
        return theirs, friends

    def _redacted_at(self, store: Storage, key: str) -> tuple[str, Envelope | None]:
        """The answer at *key* without them; None when they are not in it."""
        blob = store.get(key)
        if blob is None:
            return key, None
        try:
            envelope = decode(blob)
        except CorruptEnvelopeError as exc:
            self._unreadable(key, exc)
            return key, None
        other = self._redacted(envelope)
        return key, None if other is envelope else other

    def _redacted(self, envelope: Envelope) -> Envelope:
        body, entries = redacted(envelope.method, envelope.body, self._who.is_gone)
        if not entries:
            return envelope
        return msgspec.structs.replace(envelope, body=body, redacted=envelope.redacted + entries)

    def _note(self, envelope: Envelope) -> None:
        """Let the record of the answer in the warehouse say what a replay would make it say."""
        service = service_of(envelope.method)
        assert service is not None  # noqa: S101  (it is one of those that name others)
        page = service.read(service.call_of(envelope.method, envelope.params), envelope.status, envelope.body)
        if isinstance(page, FriendsPage):
            self._database.run(
                erasing.note_redacted, page.user, page.params, page.page, envelope.answered_at,
                received=page.received, size=len(envelope.body),
            )  # fmt: skip

    def _leave_packs(self) -> None:
        def change(key: str, envelope: Envelope) -> Envelope | None:
            self._advance()
            if user_at(key) in self._who.segments:
                return None
            other = self._redacted(envelope)
            if other is not envelope and not self._dry_run:
                self._note(other)
            return other

        changed = rewrite(self._store, change, "packs/user.", self._faults.append, dry_run=self._dry_run)
        self._count("store: packed answers", changed)

    def _leave_records(self) -> None:
        """Lists of users, records of runs, and exports."""
        for key in list(self._store.keys("state/")):
            if key.endswith(".json") and key != membership.KEY:
                self._leave_record(key)
        for key in list(self._store.keys("exports/")):
            self._advance()
            try:
                rows = take_out(self._store, key, self._who.is_gone, dry_run=self._dry_run)
            except StoreError:
                raise
            except (OSError, EOFError, ValueError) as exc:
                self._unreadable(key, exc)
            else:
                self._count("store: rows of exports", rows)

    def _leave_record(self, key: str) -> None:
        self._advance()
        try:
            content = json.loads(self._store.get(key) or b"null")
        except ValueError as exc:
            self._unreadable(key, exc)
            return
        clean = self._who.state(content)
        if clean != content:
            self._count("store: files of state/ that named them", 1)
            if not self._dry_run:
                self._store.write(key, json.dumps(clean, ensure_ascii=False, indent=1).encode())

    def _unreadable(self, key: str, exc: Exception) -> None:
        self._faults.append(f"{key} cannot be read ({exc}), and may hold something about them: delete it")

    # --- the data folder ------------------------------------------------------------------------------------------

    def _leave_folder(self) -> None:
        """Answers that wait for a store that was away, logins, and what interrupted runs left."""
        for spool in spools(self._settings):
            self._leave_answers(spool, "spool")
        for logins in (Logins(self._settings, service) for service in SERVICES):
            for name in filter(self._who.is_gone, logins.users()):
                self._count("logins", 1)
                if not self._dry_run:
                    logins.forget(name)
        if not self._dry_run:
            clear_jobdirs(self._settings)

    # --- sinks ----------------------------------------------------------------------------------------------------

    def _leave_sinks(self) -> list[str]:
        """A line for each sink that still has rows of them, or may have."""
        behind = []
        rows = self._database.run(lambda connection: connection.execute("SELECT name, target FROM sinks").fetchall())
        known: dict[str, str] = dict(rows)
        for sink in configured(self._settings):
            fault = self._leave_sink(sink, known=known.get(sink.name) == sink.target)
            if fault:
                behind.append(f"{sink.name} has not let go of them ({fault}): run this again when it can be reached")
            if known.get(sink.name) == sink.target:
                del known[sink.name]
        behind += [
            f"{name} has rows of them in {known[name]}: set {SETTINGS[name]} to that, and run this again"
            for name in self._database.run(erasing.still_sent, self._who.names)
            if name in known
        ]
        return behind

    def _leave_sink(self, sink: Sink, *, known: bool) -> str | None:
        """Take them out of *sink*; why that is not done, if it is not."""
        feeder = Feeder(self._database, sink)
        try:
            if known:
                feeder.drain()
                if sink.name in self._database.run(erasing.still_sent, self._who.names):
                    return feeder.fault or "somebody else is sending"
                self._count(f"{sink.name}: lists of users sent anew", feeder.fed.users)
            # What an earlier warehouse sent there nobody remembers.
            sink.open()
            try:
                for kind in sink.kinds:
                    if all(KINDS[part].owner for part in PARTS[kind]):
                        sink.write(Batch(kind, self._who.names, lambda _: iter(()), secrets.token_hex(16)))
            finally:
                sink.close()
        except (SinkUnavailableError, SinkRefusedError) as exc:
            return str(exc)
        finally:
            feeder.close()
        return None

    def _count(self, what: str, count: int) -> None:
        if count:
            self._removed[what] += count


def spools(settings: BaseSettings) -> list[FolderStorage]:
    """Where answers wait for a store that was away."""
    return [FolderStorage(folder) for folder in sorted(config.spool_folder(settings).glob("*")) if folder.is_dir()]


def clear_jobdirs(settings: BaseSettings) -> None:
    """Take out what interrupted runs left: it names whom they were about to ask about."""
    for place in filter(None, {settings["DATA_DIR"], settings["JOBDIR"]}):
        jobdir.clear(Path(place))


def _kind(key: str) -> str:
    return "answers" if key.startswith("requests/") else "older answers"
