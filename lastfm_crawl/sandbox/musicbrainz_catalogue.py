"""The releases and release groups that the sandbox's MusicBrainz has: the albums that a world's histories name.

In: a ``World``. Out: releases by the ids that Last.fm gives them, and release groups by search. Everything follows from
names, so ids and dates are the same in every run. As on the real one: some releases are gone, some were merged into
others, some dates are known to the month or year only or not at all, and around every album there are others that are
not it but are called like it.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.sandbox.model import Computed, draw, mbid_of
from lastfm_crawl.sandbox.spotify_catalogue import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lastfm_crawl.sandbox.model import World

_SPACE = uuid.UUID("0d2b8f0e-7c5b-4c5e-9d57-6f6c3f0f7a11")
VARIOUS = ("Various Artists", "89ad4ac3-39f7-470e-963a-56509c546377")
#: What shops add to a title; a release may be called so, its group is not.
_EDITION = re.compile(
    r"\s*[(\[][^()\[\]]*\b(?:deluxe|edition|remaster(?:ed)?|expanded|anniversary|bonus|reissue|explicit)\b[^()\[\]]*[)\]]"
    r"|\s+-\s+(?:EP|Single)$|\s+-\s+[^-]*\bremaster(?:ed)?\b[^-]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Group:
    """A release group. ``date`` is ``""`` or as exact as it is long; ``wrong`` ones are those around an album."""

    id: str
    title: str
    artist: str
    artist_id: str
    date: str
    primary_type: str = "Album"
    secondary_types: tuple[str, ...] = ()
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """A release. ``id`` is the one that is answered; another one may have been asked for."""

    id: str
    title: str
    date: str
    group: Group


class _Named(NamedTuple):
    """An album as histories name it: ``mbid`` is "" or that of a release, ``year`` None if nothing says it."""

    artist: str
    title: str
    mbid: str
    year: int | None = None


class Catalogue:
    """MusicBrainz's side of a world."""

    def __init__(self, world: World) -> None:
        self.groups: dict[str, Group] = {}  # by id
        #: By the id that is asked for: where releases were merged the one that is answered has another.
        self.releases: dict[str, Release] = {}
        #: Ids that Last.fm gives and nobody knows here.
        self.unknown: set[str] = set()
        #: The groups of albums by the names that histories have for (artist, album), and the albums that search lacks.
        self.group_ids: dict[tuple[str, str], str] = {}
        self.missing: set[tuple[str, str]] = set()
        self._with: dict[str, list[Group]] = defaultdict(list)  # by a word of the title
        for album in (*_of_catalogue(world), *_of_histories(world)):
            self._add(album)

    def find(self, title: str, artist: str = "", artist_id: str = "") -> list[Group]:
        """Give the groups with these phrases in title and artist; those that are loud first, then the short."""
        phrase, name = words_of(title), words_of(artist) if artist else []
        hits = [
            group
            for group in self._with.get(phrase[0], ())
            if _has(words_of(group.title), phrase)
            and _has(words_of(group.artist), name)
            and artist_id in {"", group.artist_id}
        ]
        return sorted(hits, key=lambda g: (not _loud(g), len(words_of(g.title)), g.wrong, g.id))

    # --- how it is made -----------------------------------------------------------------

    def _add(self, album: _Named) -> None:
        names = (album.artist, album.title)
        group = self._group_of(album)
        if draw(*map(str.casefold, (album.artist, group.title)), "missing") % 15 == 0:
            self.missing.add(names)
        elif names not in self.group_ids:
            self.group_ids[names] = group.id
            self._keep(group)
        for wrong in _around(album.artist, group.title, _year(album)):
            self._keep(wrong)
        if not album.mbid or album.mbid in self.releases:
            return
        if draw(album.mbid, "unknown") % 20 == 0:
            self.unknown.add(album.mbid)
            return
        merged = draw(album.mbid, "merged") % 12 == 0
        release = Release(_id("release", album.mbid) if merged else album.mbid, album.title, group.date[:4], group)
        self.releases[album.mbid] = self.releases[release.id] = release

    def _group_of(self, album: _Named) -> Group:
        title = _EDITION.sub("", album.title).strip() or album.title
        kind = "EP" if album.title.endswith(" EP") else "Single" if album.title.endswith(" - Single") else "Album"
        made = _group(album.artist, title, _year(album), kind)
        return self.groups.get(made.id, made)  # the first edition has the date

    def _keep(self, group: Group) -> None:
        if group.id not in self.groups:
            self.groups[group.id] = group
            for word in set(words_of(group.title)):
                self._with[word].append(group)


def _around(artist: str, title: str, year: int) -> Iterator[Group]:
    """Make what is found besides an album, and now and then before it."""
    yield _group(artist, title, year - 1, "Single", wrong=True)
    yield _group(artist, f"{title}: Live in Berlin", year + 5, secondary=("Live",), wrong=True)
    yield _group(artist, f"{title} and Other Hits", year + 12, secondary=("Compilation",), wrong=True)
    yield _group(f"{artist} Tribute Band", title, 2015, wrong=True)


def _group(
    artist: str, title: str, year: int, kind: str = "Album", *, secondary: tuple[str, ...] = (), wrong: bool = False
) -> Group:
    name, artist_id = VARIOUS if artist == VARIOUS[0] else (artist, mbid_of("artist", artist) or _id("artist", artist))
    group_id = _id("group", artist.casefold(), title.casefold(), *(("wrong", kind) if wrong else ()))
    return Group(group_id, title, name, artist_id, _date(group_id, year), kind, secondary, wrong)


def _date(group_id: str, year: int) -> str:
    drawn = draw(group_id, "date")
    if drawn % 23 == 0:
        return ""
    month, day = drawn % 12 + 1, drawn // 12 % 28 + 1
    return (f"{year}", f"{year}-{month:02}", f"{year}-{month:02}-{day:02}")[min(drawn % 5, 2)]


def _year(album: _Named) -> int:
    if album.year is not None:
        return album.year
    return 1960 + draw(album.artist.casefold(), _EDITION.sub("", album.title).casefold(), "year") % 60


def _of_catalogue(world: World) -> Iterator[_Named]:
    for entry in world.catalogue:
        for album in entry["albums"]:
            yield _Named(entry["name"], album["title"], mbid_of("album", entry["name"], album["title"]), album["year"])


def _of_histories(world: World) -> Iterator[_Named]:
    """The albums of histories that are there before they are asked for; those of the demo are the catalogue's."""
    if isinstance(world.scrobbles, Computed):
        return
    plays: Counter[tuple[str, str, str]] = Counter()
    for name in world.scrobbles:
        for album, count in world.history(name).counts(lambda play: (play.artist, play.album, play.album_mbid)):
            plays[album] += count
    years = {(entry["name"], album["title"]): album["year"] for entry in world.catalogue for album in entry["albums"]}
    by_mbid: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for (artist, title, mbid), count in plays.items():
        if title and mbid:
            by_mbid[mbid.lower()][artist, title] += count
        elif title:
            yield _Named(artist, title, "", years.get((artist, title)))
    for mbid, names in by_mbid.items():
        (artist, title), _ = names.most_common(1)[0]
        yield _Named(_credited(names) or artist, title, mbid, years.get((artist, title)))


def _credited(names: Mapping[tuple[str, str], int]) -> str:
    """Whose a release is that was played as being by many; "" when one artist is enough."""
    artists = {artist for artist, _ in names}
    return VARIOUS[0] if len(artists) > 3 else ""


def _has(words: list[str], phrase: list[str]) -> bool:
    size = len(phrase)
    return any(words[at : at + size] == phrase for at in range(len(words) - size + 1))


def _loud(group: Group) -> bool:
    """Whether a group comes before all others for no good reason."""
    return group.wrong and draw(group.id, "loud") % 8 == 0


def _id(*names: str) -> str:
    return str(uuid.uuid5(_SPACE, "\0".join(names)))
