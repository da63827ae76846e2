"""Everything goes: the end of the terms under which it was kept. Tombstones stay, for what they say outlives the data.

First the warehouse, with the marks that let sinks know, in one transaction; then the store, the data folder, and the
sinks. Stopped anywhere and run again, it goes on. As for one person, logs, backups and copies are not seen from here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.parallel import in_threads
from lastfm_crawl.httpcache.upkeep import ROOMS
from lastfm_crawl.insight.forgetting import Forgetting, clear_jobdirs, spools
from lastfm_crawl.logins import SERVICES, Logins
from lastfm_crawl.stop import CommandError, Exit
from lastfm_crawl.warehouse import backlog, erasing, forgotten
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.sinks import SETTINGS, configured

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.settings import BaseSettings

    from lastfm_crawl.httpcache import Storage
    from lastfm_crawl.warehouse.database import Database


def purge_all(
    settings: BaseSettings, database: Database, store: Storage, advance: Callable[[], object] = lambda: None
) -> Forgetting:
    """Do it.

    Raises CommandError (a run is going on), OSError (the store's errors, too), psycopg.Error and
    WarehouseUnavailableError.
    """
    database.open()
    with psycopg.connect(database.conninfo, autocommit=True) as guard:
        if not forgotten.lock(guard):
            raise CommandError(Exit.RESUMABLE, "a run is going on: wait or stop it, then run this again")
        # The store may be the only one that knows them.
        database.run(forgotten.save_in_warehouse, forgotten.in_store(store).tombstones)
        removed = Counter({f"warehouse: rows of {table}": n for table, n in database.run(erasing.empty).items()})
        removed += _empty_store(store, "store", advance)
        for spool in spools(settings):
            removed += _empty_store(spool, "spool", advance)
        for logins in (Logins(settings, service) for service in SERVICES):
            for name in logins.users():
                logins.forget(name)
                removed["logins"] += 1
        clear_jobdirs(settings)
        behind = _empty_sinks(settings, database)
        erasing.compact(guard)
    return Forgetting(removed, [], behind)


def _empty_store(store: Storage, place: str, advance: Callable[[], object]) -> Counter[str]:
    """Delete every object but tombstones; how many, by room."""
    removed: Counter[str] = Counter()
    for room in ROOMS:
        keys = [key for key in store.keys(f"{room}/") if not key.startswith(forgotten.FOLDER)]
        for _ in in_threads(store.delete, keys):
            advance()
        if keys:
            removed[f"{place}: {room}"] = len(keys)
    if isinstance(store, FolderStorage):
        store.sweep()
    return removed


def _empty_sinks(settings: BaseSettings, database: Database) -> list[str]:
    """Send what is marked, which is that nothing is there any more; a line for each sink that has not taken it."""
    behind = []
    sinks = {(sink.name, sink.target): sink for sink in configured(settings)}
    rows = database.run(lambda connection: connection.execute("SELECT name, target FROM sinks").fetchall())
    for name, target in rows:
        sink = sinks.get((name, target))
        if sink is not None:
            feeder = Feeder(database, sink)
            try:
                feeder.drain()
            finally:
                feeder.close()
        if left := database.run(backlog.waiting, name):
            why = f": {feeder.fault}" if sink is not None else f"; set {SETTINGS[name]} to {target}"
            behind.append(f"{left:,} lists of users are still in {name}{why}; run this again")
    return behind
