"""Tombstones: who has been forgotten, told by salted hashes alone, in the warehouse and in the store.

A name can be compared with a tombstone, but not read from it. (Whoever has the salt can try names, as every crawl does;
what recognises a name cannot do without.) In the store each tombstone is an object of its own,
``state/forgotten/{salt}/{digest}``, so that it outlives a lost warehouse, and two that are set at once both stand.

Runs hold a lock, shared, from before they read the tombstones; forgetting takes it for itself after the tombstone is
set. So a run that could bring somebody back is over before the forgetting begins, and one that starts later knows.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.items import user_key
from lastfm_crawl.warehouse import erasing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import psycopg

    from lastfm_crawl.httpcache import Storage

logger = logging.getLogger(__name__)

FOLDER = "state/forgotten/"
#: What stands in records where the name of somebody who is forgotten stood: no name that Last.fm gives.
NOBODY = "~forgotten~"
# Any number, the same in every process.
_LOCK = 0x1A57F5


class Tombstone(NamedTuple):
    """The hash of a name, and the salt that went into it, both hexadecimal."""

    salt: str
    digest: str

    @classmethod
    def of(cls, name: str, salt: str) -> Tombstone:
        """That of the user *name*, whatever its case."""
        key = user_key(name).encode("utf-8", "surrogatepass")
        return cls(salt, hashlib.blake2b(key, digest_size=32, key=bytes.fromhex(salt)).hexdigest())

    @property
    def store_key(self) -> str:
        """Where its copy is in the store."""
        return f"{FOLDER}{self.salt}/{self.digest}"


class Forgotten:
    """Those who are forgotten: ``name in forgotten``. Of warehouses that were never merged there is one salt."""

    def __init__(self, tombstones: Iterable[Tombstone] = ()) -> None:
        self.tombstones = frozenset(tombstones)
        self._salts = sorted({tombstone.salt for tombstone in self.tombstones})

    def __bool__(self) -> bool:
        return bool(self.tombstones)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(Tombstone.of(name, salt) in self.tombstones for salt in self._salts)

    def new(self, name: str) -> Tombstone:
        """A tombstone for *name*, with the salt that is in use."""
        return Tombstone.of(name, self._salts[0] if self._salts else secrets.token_hex(32))


def in_store(store: Storage) -> Forgotten:
    """Those whom the tombstones in *store* tell. Raises StoreError."""
    parts = (key.removeprefix(FOLDER).split("/") for key in store.keys(FOLDER))
    return Forgotten(Tombstone(*both) for both in parts if len(both) == 2)


def in_warehouse(connection: psycopg.Connection) -> Forgotten:
    """Those whom the tombstones in the warehouse tell."""
    return Forgotten(Tombstone(*row) for row in connection.execute("SELECT salt, digest FROM forgotten"))


def save_in_store(store: Storage, tombstones: Iterable[Tombstone]) -> None:
    """Set *tombstones* in *store*. Raises StoreError."""
    for tombstone in tombstones:
        store.write(tombstone.store_key, b"")


def save_in_warehouse(connection: psycopg.Connection, tombstones: Iterable[Tombstone]) -> None:
    """Set *tombstones* in the warehouse."""
    connection.cursor().executemany(
        "INSERT INTO forgotten (salt, digest) VALUES (%s, %s) ON CONFLICT DO NOTHING", sorted(tombstones)
    )


def enter(connection: psycopg.Connection, store: Storage) -> Forgotten:
    """For a run: hold the lock as long as *connection* lasts; who is forgotten. Raises StoreError.

    What the warehouse or the store lacks of the tombstones it gets. A warehouse that lacked some may have their people,
    for a forgetting that was interrupted: here they go from it, so that no query has to leave them out.
    """
    row = connection.execute("SELECT pg_try_advisory_lock_shared(%s)", [_LOCK]).fetchone()
    if not row or not row[0]:
        logger.info("somebody is being forgotten; waiting until that is done")
        connection.execute("SELECT pg_advisory_lock_shared(%s)", [_LOCK])
    here, there = in_warehouse(connection), in_store(store)
    if here.tombstones != there.tombstones:
        save_in_store(store, here.tombstones - there.tombstones)
        if lacking := Forgotten(there.tombstones - here.tombstones):
            erasing.erase(connection, erasing.users_who(connection, lacking.__contains__))
            save_in_warehouse(connection, lacking.tombstones)
    return Forgotten(here.tombstones | there.tombstones)


def lock(connection: psycopg.Connection) -> bool:
    """For a forgetting: hold the lock alone as long as *connection* lasts; False when a run is going on."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    return bool(row and row[0])


def without(names: Collection[str], forgotten: Forgotten) -> list[str]:
    """*names* but for those who are forgotten, and for what stands in records in their place."""
    return [name for name in names if name != NOBODY and name not in forgotten]
