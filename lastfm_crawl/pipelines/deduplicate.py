"""A row that a page holds twice counts once; what other pages hold is the business of the warehouse's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import FriendsPage, Page, TopArtistsPage, user_key

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeduplicatePipeline:
    """Keeps the first of equal rows: the best rank of an artist, the first place of a friend."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without repeated rows, which ``skipped`` counts."""
        if isinstance(item, TopArtistsPage) and (first := _first_of_each(item.names)):
            return replace(
                item,
                ranks=[item.ranks[i] for i in first],
                names=[item.names[i] for i in first],
                playcounts=[item.playcounts[i] for i in first],
                skipped=_with_repeated(item, len(item.names) - len(first)),
            )
        if isinstance(item, FriendsPage) and (first := _first_of_each([user_key(f.name) for f in item.friends])):
            friends = tuple(item.friends[i] for i in first)
            return replace(item, friends=friends, skipped=_with_repeated(item, len(item.friends) - len(first)))
        return item


def _first_of_each(names: Sequence[str]) -> list[int] | None:
    """Where each name stands first; None when no name stands twice, as is nearly always so."""
    if len(set(names)) == len(names):
        return None
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    return list(first.values())


def _with_repeated(page: Page, count: int) -> dict[str, int]:
    return {**page.skipped, "repeated": count}
