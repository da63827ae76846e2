"""Rows that no database can hold are left out and counted, so that one of them never costs the page it is on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from lastfm_crawl.items import FriendsPage, TopArtistsPage

#: Bytes a name may have: a unique index of PostgreSQL takes 2,704 a row, real names stay below 1,000.
MAX_NAME = 2_000
_MAX_INTEGER = 2**31 - 1


class ValidatePipeline:
    """Checks the rows of a page; the page goes on with the good ones, and ``skipped`` says why it lost others."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without its bad rows."""
        if isinstance(item, TopArtistsPage):
            return item if _all_good(item) else _good_artists(item)
        if isinstance(item, FriendsPage):
            faults = [name_fault(friend.name) for friend in item.friends]
            if any(faults):
                good = tuple(f for f, fault in zip(item.friends, faults, strict=True) if not fault)
                return replace(item, friends=good, skipped=_counted(faults))
        return item


def name_fault(name: str) -> str | None:
    """Why *name* cannot be stored, or None."""
    if not name:
        return "no name"
    if "\0" in name:
        return "NUL in name"
    return "name too long" if len(name) > MAX_NAME // 4 and len(name.encode()) > MAX_NAME else None


def _all_good(page: TopArtistsPage) -> bool:
    """Whether no row needs a closer look: passes in C, since this is so for nearly every page that there is."""
    if not page.names:
        return True
    lengths = list(map(len, page.names))
    return (
        min(lengths) > 0
        and max(lengths) <= MAX_NAME // 4
        and "\0" not in "".join(page.names)
        and min(page.ranks) > 0
        and min(page.playcounts) >= 0
        and max(page.ranks) <= _MAX_INTEGER
        and max(page.playcounts) <= _MAX_INTEGER
    )


def _good_artists(page: TopArtistsPage) -> TopArtistsPage:
    rows = page.rows()
    faults = [_artist_fault(*row) for row in rows]
    good = [row for row, fault in zip(rows, faults, strict=True) if not fault]
    return replace(
        page,
        ranks=[rank for rank, _, _ in good],
        names=[name for _, name, _ in good],
        playcounts=[playcount for _, _, playcount in good],
        skipped=_counted(faults),
    )


def _artist_fault(rank: int, name: str, playcount: int) -> str | None:
    if not 0 <= playcount <= _MAX_INTEGER or not 0 < rank <= _MAX_INTEGER:
        return "number out of range"
    return name_fault(name)


def _counted(faults: list[str | None]) -> dict[str, int]:
    return dict(Counter(fault for fault in faults if fault))
