"""A row that a page holds twice counts once; what other pages hold is the business of the warehouse's keys."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import FriendsPage, TopArtistsPage, user_key

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence


class DeduplicatePipeline:
    """Keeps the first of equal rows: the best rank of an artist, the first place of a friend."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without repeated rows, which ``skipped`` counts."""
        if isinstance(item, TopArtistsPage):
            artists, repeats = _first_of_each(item.artists, lambda artist: artist.name)
            return replace(item, artists=artists, skipped=_with(item.skipped, repeats)) if repeats else item
        if isinstance(item, FriendsPage):
            friends, repeats = _first_of_each(item.friends, lambda friend: user_key(friend.name))
            return replace(item, friends=friends, skipped=_with(item.skipped, repeats)) if repeats else item
        return item


def _first_of_each(rows: Sequence[Any], key: Callable[[Any], Hashable]) -> tuple[tuple[Any, ...], int]:
    first: dict[Hashable, Any] = {}
    for row in rows:
        first.setdefault(key(row), row)
    return tuple(first.values()), len(rows) - len(first)


def _with(skipped: Any, repeats: int) -> dict[str, int]:
    return dict(Counter(skipped) + Counter({"repeated": repeats}))
