"""Rows that no database can hold are left out and counted, so that one of them never costs the page it is on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import FriendsPage, TopArtistsPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Bytes a name may have: a unique index of PostgreSQL takes 2,704 a row, real names stay below 1,000.
MAX_NAME = 2_000
_MAX_INTEGER = 2**31 - 1


class ValidatePipeline:
    """Checks the rows of a page; the page goes on with the good ones, and ``skipped`` says why it lost others."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without its bad rows."""
        if isinstance(item, TopArtistsPage):
            good, skipped = _sort_out(item.artists, _artist_fault)
            return replace(item, artists=good, skipped=skipped) if skipped else item
        if isinstance(item, FriendsPage):
            good, skipped = _sort_out(item.friends, lambda friend: name_fault(friend.name))
            return replace(item, friends=good, skipped=skipped) if skipped else item
        return item


def name_fault(name: str) -> str | None:
    """Why *name* cannot be stored, or None."""
    if not name:
        return "no name"
    if "\0" in name:
        return "NUL in name"
    return "name too long" if len(name) > MAX_NAME // 4 and len(name.encode()) > MAX_NAME else None


def _artist_fault(artist: Any) -> str | None:
    if not 0 <= artist.playcount <= _MAX_INTEGER or not 0 < artist.rank <= _MAX_INTEGER:
        return "number out of range"
    return name_fault(artist.name)


def _sort_out(rows: Sequence[Any], fault: Callable[[Any], str | None]) -> tuple[tuple[Any, ...], dict[str, int]]:
    faults = [fault(row) for row in rows]
    good: Iterable[Any] = (row for row, why in zip(rows, faults, strict=True) if why is None)
    return tuple(good), dict(Counter(why for why in faults if why is not None))
