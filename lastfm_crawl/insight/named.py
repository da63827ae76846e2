"""The artists whom people mean by the names that they give: whatever the case, accents and article, typos too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.artists import key, plain
from lastfm_crawl.matching.names import NameIndex
from lastfm_crawl.warehouse.artist_keys import all_artists, artists_keyed
from lastfm_crawl.warehouse.tastes import bring_up_to_date, count_listeners, read_tastes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from lastfm_crawl.warehouse.matches import Artist


class Chosen(NamedTuple):
    """An artist who is meant: the name as most listeners have it, and the ids of all its spellings."""

    name: str
    ids: tuple[int, ...]


class Named(NamedTuple):
    """What became of the names: those meant for sure, and what is doubtful (with a suggestion) or unknown."""

    chosen: list[Chosen]  # each once, in the order in which they were named
    doubtful: list[tuple[str, str]]
    unknown: list[str]


def look_up(connection: psycopg.Connection, names: Sequence[str]) -> Named:
    """The artists of the users' lists, as they are now, that *names* mean.

    Spellings that differ in case, accents, punctuation or the article alone are one artist. For what is not found so
    the whole list of artists is searched for the nearest name, which takes seconds where it has a million.
    """
    bring_up_to_date(connection)
    known = artists_keyed(connection, sorted({key(name) for name in names}))
    # They decide between several: mostly there is one.
    several = len({key(artist.name) for artist in known}) < len(known)
    listeners = count_listeners(connection, [artist.id for artist in known]) if several else {}
    matches = dict(zip(names, _index(known, listeners).match(names), strict=True))
    left = [name for name, match in matches.items() if match.band == "reject"]
    if left:
        listeners = dict(enumerate(read_tastes(connection).listeners().tolist()))
        matches |= zip(left, _index(all_artists(connection), listeners).match(left), strict=True)
        known += artists_keyed(connection, sorted({key(match.name) for match in matches.values() if match.name}))
    chosen: dict[str, Chosen] = {}
    named = Named([], [], [])
    for name, match in matches.items():
        if match.name is None:
            named.unknown.append(name)
        elif match.band != "accept":
            named.doubtful.append((name, _spellings(plain(match.name), known, listeners).name))
        else:
            form = plain(match.name)
            chosen.setdefault(form, _spellings(form, known, listeners))
    named.chosen.extend(chosen.values())
    return named


def _index(artists: Sequence[Artist], listeners: Mapping[int, int]) -> NameIndex:
    return NameIndex(
        [artist.id for artist in artists],
        [artist.name for artist in artists],
        [listeners.get(artist.id, 0) for artist in artists],
    )


def _spellings(form: str, known: Sequence[Artist], listeners: Mapping[int, int]) -> Chosen:
    spellings = {artist.id: artist.name for artist in known if plain(artist.name) == form}
    best = max(spellings, key=lambda identity: (listeners.get(identity, 0), -identity))
    return Chosen(spellings[best], tuple(sorted(spellings)))
