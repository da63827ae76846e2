"""A row that a page holds twice counts once; what other pages hold is the business of the warehouse's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import (
    FriendsPage,
    LovedTracksPage,
    RecentTracksPage,
    TopAlbumsPage,
    TopArtistsPage,
    TopTracksPage,
    user_key,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


_Columns = TopArtistsPage | TopAlbumsPage | TopTracksPage | LovedTracksPage | RecentTracksPage


class DeduplicatePipeline:
    """Keeps the first of equal rows: the best rank of an artist, an album or a track, the first place of a friend, one
    play of a track in a second."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without repeated rows, which ``skipped`` counts."""
        if isinstance(item, _Columns):
            rows = _keys(item)
            first = _first_of_each(rows)
            return item if first is None else item.keep(first, {"repeated": len(rows) - len(first)})
        if isinstance(item, FriendsPage) and (first := _first_of_each([user_key(f.name) for f in item.friends])):
            friends = tuple(item.friends[i] for i in first)
            repeated = len(item.friends) - len(first)
            return replace(item, friends=friends, skipped={**item.skipped, "repeated": repeated})
        return item


def _keys(page: _Columns) -> Sequence[Hashable]:
    """What makes a row of *page* the same as another."""
    if isinstance(page, TopArtistsPage):
        return page.names
    if isinstance(page, TopAlbumsPage):
        return page.album_names()
    if isinstance(page, RecentTracksPage):
        return list(zip(page.uts, page.artists, page.tracks, strict=True))
    return list(zip(page.artists, page.tracks, strict=True))


def _first_of_each(keys: Sequence[Hashable]) -> list[int] | None:
    """Where each key stands first; None when none stands twice, as is nearly always so."""
    if len(set(keys)) == len(keys):
        return None
    first: dict[Hashable, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    return list(first.values())
