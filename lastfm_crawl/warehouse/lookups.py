"""Answers about music: that they were given, in the transaction that loads what they hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from lastfm_crawl.items import Lookup

_SAVE = """
INSERT INTO lookups (method, subject, params, status, received, skipped, fetched_at, bytes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (method, subject, params) DO UPDATE
SET status = excluded.status, received = excluded.received, skipped = excluded.skipped,
    fetched_at = excluded.fetched_at, bytes = excluded.bytes
WHERE lookups.fetched_at <= excluded.fetched_at
"""


def load_lookups(cursor: psycopg.Cursor[Any], lookups: Iterable[Lookup]) -> None:
    """Record *lookups*: of several answers to one question the newest stays."""
    # In one order, so that two loaders wait for each other instead of deadlocking.
    rows = sorted(lookups, key=lambda lookup: (lookup.method, lookup.subject, lookup.params, lookup.fetched_at))
    cursor.executemany(
        _SAVE,
        [
            (
                row.method, row.subject, row.params, row.status, row.received, json.dumps(dict(row.skipped)),
                datetime.fromtimestamp(row.fetched_at, UTC), row.size,
            )
            for row in rows
        ],
    )  # fmt: skip
