"""A spider that asks nobody: it yields the pages of stored answers, and whom the recorded runs admitted."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar

from scrapy import Request, Spider
from scrapy.spiderloader import get_spider_loader

from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.httpcache.envelope import CorruptEnvelopeError
from lastfm_crawl.httpcache.keys import segment
from lastfm_crawl.httpcache.packs import indexes, read_packs
from lastfm_crawl.items import Admissions, Answered, Page, ProfileCheck, UserMark, user_key
from lastfm_crawl.services import folder_of, lastfm, method_at
from lastfm_crawl.spiders.arguments import ArgumentError
from lastfm_crawl.spiders.retrace import Marks, Retrace, Run, Strangers
from lastfm_crawl.spiders.stored import Outline, Reader, Stored
from lastfm_crawl.stop import stop_run, stopping
from lastfm_crawl.warehouse import membership, queries
from lastfm_crawl.warehouse.database import Warehouse
from lastfm_crawl.warehouse.forgotten import NOBODY, in_store, without

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from scrapy.http import Response

    from lastfm_crawl.httpcache.storage import Storage
    from lastfm_crawl.spiders.stored import Source
    from lastfm_crawl.warehouse.membership import Membership

#: What a replay's crawler is set to, whatever else is said: no way out, no store in the way of answers.
OFFLINE: Mapping[str, Any] = {
    "DOWNLOAD_HANDLERS": {"http": None, "https": None, "ftp": None, "s3": None, "file": None},
    "HTTPCACHE_ENABLED": False,
    "AUTOTHROTTLE_ENABLED": False,
    "DOWNLOAD_DELAY": 0,
    "JOBDIR": None,
}
#: Cores of this machine. On two a second connection takes from the first (and from the readers) what it brings.
CORES = os.cpu_count() or 1
#: And unless somebody says otherwise: pages come as fast as the database takes them.
BULK: Mapping[str, Any] = {"LOAD_BATCH_ROWS": 100_000, "LOAD_CONNECTIONS": 2 if CORES >= 4 else 1}
ORIGINS = ("store", "packs", "archive")
_FRIENDS = "user.getFriends"
#: Arguments that name users.
NAMING = frozenset({"seeds", "users"})


@dataclass(frozen=True)
class Plan:
    """What is to be replayed: *methods* (None: all), of *users* (none: of all), answered from *since* on."""

    methods: frozenset[str] | None = None
    users: tuple[str, ...] = ()
    since: float | None = None
    origin: str = "store"
    workers: int = max(1, min(4, CORES - 1))
    dry_run: bool = False

    def wants(self, key: str) -> bool:
        """Whether the answer at *key* is to be loaded."""
        return self.methods is None or method_at(key) in self.methods

    @property
    def retraces(self) -> bool:
        """Whether the walks over the friends graph are made again, for which all answers are needed."""
        everything = not self.users and self.since is None and self.origin != "archive"
        return everything and (self.methods is None or _FRIENDS in self.methods)

    def prefixes(self) -> list[str]:
        """Where the answers are."""
        roots = ["archive/"] if self.origin == "archive" else ["requests/", "archive/"]
        if self.retraces or (self.methods is None and not self.users):
            return roots
        folders = [f"{folder_of(method)}/" for method in sorted(self.methods or lastfm.METHODS)]
        users = [f"{segment(user_key(user))}/" for user in self.users] or [""]
        return [f"{root}{folder}{user}" for root in roots for folder in folders for user in users]


class ReplaySpider(Spider):
    """Made by ``scrapy replay``; it has no name of its own, so that ``scrapy crawl`` does not know it.

    One request to itself, and everything from its callback: items from start() know no back-pressure. First all that
    does not depend on who is a member; then the walks, which say which friends lists the crawls took into account;
    then these.
    """

    recorded = False
    unit: ClassVar[str] = "answers"

    def __init__(self, plan: Plan) -> None:
        super().__init__("replay")
        self.plan = plan
        self.done = self.total = self.rows = self.pages = 0
        #: Friends lists that no recorded walk took into account.
        self.left_out = 0

    async def start(self) -> AsyncIterator[Request]:
        """The request to ourselves."""
        yield Request("data:,", self.replay, dont_filter=True)

    async def replay(self, _: Response) -> AsyncIterator[Any]:
        """Everything that was asked for."""
        opener = partial(open_store, self.settings["RESPONSE_STORE"])
        try:
            # A dry run has not looked into the warehouse.
            self._forgotten = Warehouse.of(self.crawler).forgotten or await asyncio.to_thread(in_store, opener())
        except StoreError as exc:
            stop_run(self.crawler, "store_unavailable", f"the response store does not work: {exc}")
            return
        reader = Reader(opener, self.plan.workers, self._forgotten)
        try:
            # When the run is stopped a file in it may still be read, which Windows then does not remove.
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                self._answers: _Answers = (_Packed if self.plan.origin == "packs" else _Loose)(
                    opener(), self.plan, folder, self._bad
                )
                await asyncio.to_thread(self._answers.find)
                self.total = self._answers.total
                async for item in self._everything(reader):
                    yield item
                    if stopping(self.crawler):
                        break
        except (StoreError, CorruptEnvelopeError) as exc:
            stop_run(self.crawler, "store_unavailable", f"the response store does not work: {exc}")
        except BrokenExecutor:
            why = "a process that reads answers was killed (no memory left?); --workers 1 takes least"
            stop_run(self.crawler, "store_unavailable", why)
        finally:
            await asyncio.to_thread(reader.close)

    async def _everything(self, reader: Reader) -> AsyncIterator[Answered | Admissions]:
        records = await asyncio.to_thread(self._records, self._answers.storage)
        if not self.plan.dry_run and not self.plan.users and self.plan.since is None:
            await Warehouse.of(self.crawler).run(queries.restore_runs, records)
        runs = self._runs(records)
        self._strangers = Strangers(runs)
        past = _Past(runs)
        async for key, page in self._pages(reader, self._answers.others()):
            if isinstance(page, Page) and not isinstance(page, ProfileCheck):  # which makes nobody a member
                if self.plan.retraces:
                    past.note(page)
                if admissions := self._strangers.admitted(page):
                    yield admissions
            if self.plan.wants(key):
                yield self._counted(page)
        taken = None
        if self.plan.retraces:
            outlines = await self._outlines(reader, past)
            kept = await asyncio.to_thread(self._kept)
            retrace = Retrace(runs, outlines, past.profiles, self._strangers.found, past.marks, kept)
            for admissions in retrace.admissions():
                yield admissions
            taken = retrace.taken
            self.left_out = len(outlines) - len(taken)
            self.done += self.left_out
        async for _, page in self._pages(reader, self._answers.friends(taken)):
            yield self._counted(page)

    async def _pages(self, reader: Reader, sources: Iterable[Source]) -> AsyncIterator[tuple[str, Answered]]:
        """The pages of *sources*, under the names that their users have here."""
        async for batch in reader.pages(sources, self.plan.since or 0):
            for key, page, fault in batch:
                self.done += 1
                if fault is not None:
                    self._bad(key, fault)
                if isinstance(page, Page) and (name := self._strangers.spelling(page.user)) != page.user:
                    page = replace(page, user=name)  # noqa: PLW2901
                if page is not None:
                    yield key, page
            if stopping(self.crawler):
                return

    async def _outlines(self, reader: Reader, past: _Past) -> list[Outline]:
        """What the walks need of all friends lists."""
        outlines: list[Outline] = []
        names: dict[str, str] = {}  # each name once: a user stands in many lists
        async for batch in reader.outlines(self._answers.friends()):
            for found in batch:
                if isinstance(found, Stored):
                    self.done += 1
                    if found.fault is not None:
                        self._bad(found.key, found.fault)
                    continue
                friends = found.friends and [names.setdefault(name, name) for name in found.friends]
                outlines.append(found._replace(friends=friends))
                status = None if found.friends is not None else found.status
                past.marks.note(found.user, _FRIENDS, "", status, found.at)
            if stopping(self.crawler):
                break
        return outlines

    def _counted(self, page: Answered) -> Answered:
        self.pages += 1
        self.rows += page.received - sum(page.skipped.values())
        return page

    def _bad(self, key: str, why: str) -> None:
        self.crawler.stats.inc_value("lastfm_crawl/bad_objects")
        self.logger.error("%s is skipped: %s", key, why)

    def _records(self, storage: Storage) -> list[dict[str, Any]]:
        """The run records in the store, in the order in which the runs began."""
        records = []
        for key in storage.keys("state/runs/"):
            try:
                record = json.loads(storage.get(key) or b"")
                for name in ("run_id", "spider", "arguments", "started_at", "members_before"):
                    record[name]
            except (ValueError, TypeError, KeyError) as exc:
                self._bad(key, f"it is no record of a run ({type(exc).__name__}: {exc})")
            else:
                named = NAMING & record["arguments"].keys()
                for name in named if self._forgotten else ():
                    users = without(record["arguments"][name].split(","), self._forgotten)
                    record["arguments"][name] = ",".join(users) or NOBODY
                records.append(record)
        return sorted(records, key=lambda record: (record["started_at"], record["run_id"]))

    def _kept(self) -> Membership | None:
        """Who was a member when somebody was forgotten, without those who were since."""
        try:
            kept = membership.read(self._answers.storage)
        except ValueError as exc:
            self._bad(membership.KEY, str(exc))
            return None
        return kept and kept.without(self._forgotten)

    def _runs(self, records: Iterable[Mapping[str, Any]]) -> list[Run]:
        spiders = get_spider_loader(self.settings)
        runs = []
        for record in records:
            if record["spider"] not in spiders.list():
                continue
            try:
                args = spiders.load(record["spider"]).read(record["arguments"])  # type: ignore[attr-defined]
                for name in NAMING & args.keys():
                    args[name] = args[name] and without(args[name], self._forgotten)
            except ArgumentError as exc:
                self._bad(f"state/runs/{record['run_id']}.json", str(exc))
                continue
            finished = record.get("finished_at")
            run = Run(
                record["run_id"],
                record["spider"],
                args,
                _seconds(record["started_at"]),
                # Records of earlier versions have whole seconds: what was answered within the last one is of the run.
                _seconds(finished) + ("." not in finished) if finished else None,
                record.get("finish_reason") == "finished",
                record["members_before"],
                record.get("members_after"),
                args.get("users") or (),
            )
            runs.append(run)
        return runs


class _Past:
    """What the walks need to know besides the friends lists: who was gone, and the profiles of seeds."""

    def __init__(self, runs: Iterable[Run]) -> None:
        walks = [run for run in runs if run.discovers]
        self._seeds = {user_key(seed) for run in walks for seed in run.args["seeds"]}
        self.marks = Marks(run.started for run in walks)
        self.profiles: list[Page] = []

    def note(self, page: Page) -> None:
        """Keep what *page* says of that."""
        status = page.status if isinstance(page, UserMark) else None
        self.marks.note(page.user, page.method, page.params, status, page.fetched_at)
        if page.method == "user.getInfo" and user_key(page.user) in self._seeds:
            self.profiles.append(page)


class _Answers:
    """The answers to replay: friends lists apart from the others."""

    total = 0

    def __init__(self, storage: Storage, plan: Plan, folder: str, bad: Callable[[str, str], None]) -> None:
        self.storage = storage
        self._bad = bad
        self._faults: set[str] = set()
        self._plan = plan
        self._folder = folder

    def find(self) -> None:
        """Find out what there is."""

    def others(self) -> Iterator[Source]:
        """All answers but friends lists."""
        raise NotImplementedError

    def friends(self, taken: set[str] | None = None) -> Iterator[Source]:
        """Friends lists; only those in *taken*."""
        raise NotImplementedError


class _Loose(_Answers):
    """Answers as objects of their own; their names wait in files, so that a store of any size fits into memory."""

    def find(self) -> None:
        with self._open("friends", "w") as friends, self._open("others", "w") as others:
            for prefix in self._prefixes():
                for key in self.storage.keys(prefix):
                    file = friends if method_at(key) == _FRIENDS else others
                    file.write(json.dumps(key) + "\n")
                    self.total += 1

    def _prefixes(self) -> list[str]:
        return self._plan.prefixes()

    def others(self) -> Iterator[Source]:
        yield from self._keys("others")

    def friends(self, taken: set[str] | None = None) -> Iterator[Source]:
        yield from (key for key in self._keys("friends") if taken is None or key in taken)

    def _keys(self, name: str) -> Iterator[str]:
        with self._open(name, "r") as file:
            yield from map(json.loads, file)

    def _open(self, name: str, mode: str) -> IO[str]:
        return open(os.path.join(self._folder, name), mode, encoding="utf-8")  # noqa: PTH118, PTH123


class _Packed(_Loose):
    """Answers in packs, read once for each purpose; what newer ones replaced is not packed, and comes from archive/."""

    def find(self) -> None:
        super().find()
        within = tuple(self._plan.prefixes())
        # By key: of an answer that was packed again the older one is read, too.
        self.total += sum(a.key.startswith(within) for index in indexes(self.storage) for a in index.answers)

    def _prefixes(self) -> list[str]:
        return [prefix for prefix in super()._prefixes() if prefix.startswith("archive/")]

    def others(self) -> Iterator[Source]:
        yield from ((key, envelope) for key, envelope in self._all() if method_at(key) != _FRIENDS)
        yield from super().others()

    def friends(self, taken: set[str] | None = None) -> Iterator[Source]:
        for key, envelope in self._all():
            if method_at(key) == _FRIENDS and (taken is None or key in taken):
                yield key, envelope
        yield from super().friends(taken)

    def _all(self) -> Iterator[tuple[str, Any]]:
        within = tuple(self._plan.prefixes())
        everything = self._plan.retraces or self._plan.methods is None
        folders = [""] if everything else [f"{folder_of(method)}/" for method in sorted(self._plan.methods or ())]
        for folder in folders:
            for key, envelope in read_packs(self.storage, f"requests/{folder}", self._spoilt):
                if key.startswith(within):
                    yield key, envelope

    def _spoilt(self, fault: str) -> None:
        if fault not in self._faults:  # a pack is read more than once
            self._faults.add(fault)
            self._bad("packs/", fault)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
