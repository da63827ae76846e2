"""What first-hand answers held, method by method, as stats of a run: pages, bytes, rows, and rows with each field.

``lastfm_crawl/fresh/{method}/pages``, ``…/bytes``, ``…/rows`` (as received), ``…/skipped/{why}``, ``…/with/{field}``.
They are in the record of every run, so that a later run knows what is usual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import (
    Answered,
    AotyListPage,
    FriendsPage,
    Lookup,
    Page,
    ProfilePage,
    ReleaseGroupSearch,
    SpotifyArtists,
    SpotifyTopArtists,
    SpotifyTopTracks,
    SpotifyTracks,
    UserMark,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FRESH = "lastfm_crawl/fresh/"
#: Pages that hold a tuple a row, and where.
_ROWS: Mapping[type[Answered], str] = {
    AotyListPage: "rows",
    FriendsPage: "friends",
    ReleaseGroupSearch: "groups",
    SpotifyArtists: "artists",
    SpotifyTopArtists: "artists",
    SpotifyTopTracks: "tracks",
    SpotifyTracks: "tracks",
}


@dataclass(slots=True)
class Fresh:
    """What the first-hand answers of one method held; ``filled`` counts the kept rows that have a field."""

    pages: int = 0
    bytes: int = 0
    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Rows that were not skipped."""
        return self.rows - sum(self.skipped.values())


def counted(item: Answered) -> Iterator[tuple[str, int]]:
    """The stats that *item* adds to; nothing for an answer that there is nothing to have."""
    if isinstance(item, UserMark) or (isinstance(item, Lookup) and item.status != "ok"):
        return
    start = f"{FRESH}{item.method}/"
    yield f"{start}pages", 1
    yield f"{start}bytes", item.size
    yield f"{start}rows", item.received
    for why, count in item.skipped.items():
        yield f"{start}skipped/{why}", count
    for name, count in _filled(item).items():
        yield f"{start}with/{name}", count


def _filled(item: Answered) -> dict[str, int]:
    """How many rows of *item* have each field."""
    if isinstance(item, ProfilePage):
        return _filled_of([item.profile])
    if rows := _ROWS.get(type(item)):
        return _filled_of(getattr(item, rows))
    if isinstance(item, Page):
        # Ranks are counted where they are missing; whether a track is loved is asked for by the answer alone.
        return {name: _present(name, getattr(item, name)) for name in item.columns if name not in {"ranks", "loved"}}
    return {}


def _filled_of(rows: Sequence[Any]) -> dict[str, int]:
    names = rows[0]._fields if rows else ()
    return {name: sum(row[place] not in {None, "", ()} for row in rows) for place, name in enumerate(names)}


def _present(name: str, column: Sequence[Any]) -> int:
    """Values of *column* that are there; nobody is in a list of what is played most with no play."""
    missing = column.count("") + column.count(None) + (column.count(0) if name == "playcounts" else 0)
    return len(column) - missing


def fresh_of(stats: Mapping[str, Any]) -> dict[str, Fresh]:
    """What the *stats* of a run say, by method."""
    found: dict[str, Fresh] = {}
    for stat, count in stats.items():
        if not stat.startswith(FRESH):
            continue
        method, what, *rest = stat.removeprefix(FRESH).split("/", 2)
        fresh = found.setdefault(method, Fresh())
        match what:
            case "pages":
                fresh.pages = count
            case "bytes":
                fresh.bytes = count
            case "rows":
                fresh.rows = count
            case "skipped":
                fresh.skipped[rest[0]] = count
            case "with":
                fresh.filled[rest[0]] = count
    return found
