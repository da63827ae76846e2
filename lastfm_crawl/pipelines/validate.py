"""Rows that no database can hold are left out and counted, so that one of them never costs the page it is on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from lastfm_crawl.items import (
    MAX_NAME,
    FriendsPage,
    LovedTracksPage,
    Page,
    Profile,
    ProfilePage,
    RecentTracksPage,
    TopAlbumsPage,
    TopArtistsPage,
    TopTracksPage,
    name_fault,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Columns = TypeVar("Columns", bound=Page)

_MAX_INTEGER = 2**31 - 1


class ValidatePipeline:
    """Checks the rows of a page; the page goes on with the good ones, and ``skipped`` says why it lost others."""

    @staticmethod
    def process_item(item: Any) -> Any:
        """The same page, or a copy without what is wrong in it."""
        if isinstance(item, Page) and not (0 <= item.pages <= _MAX_INTEGER and 0 <= item.total <= _MAX_INTEGER):
            item = replace(item, pages=_in_range(item.pages), total=_in_range(item.total))
        if isinstance(item, TopArtistsPage):
            return item if _all_good(item) else _good_artists(item)
        if isinstance(item, TopTracksPage | LovedTracksPage | RecentTracksPage):
            return _good_rows(item, "tracks")
        if isinstance(item, TopAlbumsPage):
            return _good_rows(item, "albums")
        if isinstance(item, FriendsPage):
            faults = [name_fault(friend.name) for friend in item.friends]
            friends = tuple(_clean(f) for f, fault in zip(item.friends, faults, strict=True) if not fault)
            return item if friends == item.friends else replace(item, friends=friends, skipped=_counted(faults))
        if isinstance(item, ProfilePage):
            # The name of a profile is the name that was asked for, give or take its case.
            profile = item.profile._replace(name=item.user) if name_fault(item.profile.name) else item.profile
            return replace(item, profile=_clean(profile))
        return item


def _in_range(number: int) -> int:
    return min(max(number, 0), _MAX_INTEGER)


def _clean(profile: Profile) -> Profile:
    """*profile* without the fields that no database takes: they are worth less than the user."""
    playcount, registered_at = profile.playcount, profile.registered_at
    return profile._replace(
        realname=_text(profile.realname),
        country=_text(profile.country),
        url=_text(profile.url),
        playcount=playcount if playcount is None or 0 <= playcount < 2**63 else None,
        registered_at=registered_at if registered_at is None or 0 <= registered_at < 2**33 else None,
    )


def _text(text: str | None) -> str | None:
    return None if text is not None and "\0" in text else text


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
    return _without(page, [_artist_fault(*row) for row in page.rows()])


def _good_rows(page: TopTracksPage | TopAlbumsPage | LovedTracksPage | RecentTracksPage, named: str) -> Page:
    """*page* without rows whose artist, or whose name in the column *named*, nobody can name.

    Any other name or id that cannot be stored is as good as none.
    """
    titles: Sequence[str] = getattr(page, named)
    blank: dict[str, Any] = {
        name: ["" if text and name_fault(text) else text for text in column]
        for name in ("artist_mbids", "track_mbids", "albums", "album_mbids")
        if name != named and not _are_texts(column := getattr(page, name, ()), may_be_empty=True)
    }
    if blank:
        page = replace(page, **blank)
    faults: list[str | None] = [None] * len(titles)
    if not (_are_texts(page.artists) and _are_texts(titles)):
        names = zip(page.artists, titles, strict=True)
        faults = [name_fault(artist) or name_fault(title) for artist, title in names]
    for name in ("ranks", "playcounts", "uts", "loved_at"):
        for place, number in enumerate(getattr(page, name, ())):
            if number is not None and not 0 <= number <= _MAX_INTEGER:
                faults[place] = faults[place] or "number out of range"
    return _without(page, faults) if any(faults) else page


def _are_texts(column: Sequence[str], *, may_be_empty: bool = False) -> bool:
    """Whether every text of *column* can be stored: passes in C, since this is so for nearly every page."""
    return not column or (
        (may_be_empty or "" not in column) and max(map(len, column)) <= MAX_NAME // 4 and "\0" not in "".join(column)
    )


def _without(page: Columns, faults: Sequence[str | None]) -> Columns:
    """*page* without the rows that have a fault, which ``skipped`` counts by their faults."""
    good = [place for place, fault in enumerate(faults) if not fault]
    return page.keep(good, Counter(fault for fault in faults if fault))


def _artist_fault(rank: int, name: str, playcount: int) -> str | None:
    if not 0 <= playcount <= _MAX_INTEGER or not 0 < rank <= _MAX_INTEGER:
        return "number out of range"
    return name_fault(name)


def _counted(faults: list[str | None]) -> dict[str, int]:
    return dict(Counter(fault for fault in faults if fault))
