"""The sandbox's albumoftheyear.org: which albums it has, what it thinks of them, and what it answers to a path.

In: a world and a path. Out: a page with its HTTP status. Everything follows from names, so ids and scores are the same
in every run. As on the real one: some albums are missing, some have no score, and one in six pages is of 2025.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lastfm_crawl.sandbox import aoty_pages
from lastfm_crawl.sandbox.model import Computed, OfWorld, draw, duration_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lastfm_crawl.sandbox.model import World

#: ``challenge`` and ``denied`` are answered to every page; ``drifted`` is the site after one more change of its markup.
Mode = Literal["open", "challenge", "denied", "drifted"]

PER_PAGE = 25
_PAGE = re.compile(r"(album|artist)/(\d{1,9})(?:-[^/]*?)?(?:\.php|/)?")
_CHART = re.compile(r"(ratings/user-highest-rated/(?:all|\d{4}))(?:/(\d{1,4}))?/?")


@dataclass(frozen=True, slots=True)
class Artist:
    """One artist and its albums here."""

    id: int
    name: str
    albums: list[Album] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where the page is, below the site's address."""
        return f"artist/{self.id}-{slug(self.name)}/"


@dataclass(frozen=True, slots=True)
class Score:
    """What a group thinks: the ``exact`` mean, of so many."""

    exact: float
    count: int

    @property
    def rounded(self) -> int:
        """The score as it is shown."""
        return int(self.exact + 0.5)


@dataclass(frozen=True, slots=True)
class Track:
    """One track; ``score`` is None on albums that nobody rated."""

    number: int
    title: str
    seconds: int
    score: Score | None


@dataclass(frozen=True, slots=True)
class Album:
    """One album; without a ``day`` only the year of its release is known."""

    id: int
    title: str
    artist: Artist
    genres: Sequence[str]
    year: int
    month: int
    day: int | None
    critics: Score | None
    users: Score | None
    tracks: Sequence[Track]
    microdata: bool

    @property
    def path(self) -> str:
        """Where the page is, below the site's address."""
        return f"album/{self.id}-{slug(f'{self.artist.name} {self.title}')}.php"


class Page(NamedTuple):
    """One answer."""

    status: int
    html: str
    headers: Mapping[str, str] = {}


class Ratings:
    """The albums of a world as the site has them."""

    def __init__(self, world: World) -> None:
        self.albums: dict[int, Album] = {}
        self.artists: dict[int, Artist] = {}
        #: By the names that Last.fm has for artist and album.
        self.ids: dict[tuple[str, str], int] = {}
        for entry in world.catalogue or _played(world):
            name = entry["name"]
            artist = Artist(_free_id(self.artists, "artist", name), name)
            for album in entry["albums"]:
                if draw(name, album["title"], "missing") % 19:
                    self._add(artist, entry["genres"], album)
            if artist.albums:
                self.artists[artist.id] = artist

    def chart(self, year: str) -> list[Album]:
        """Give the albums of a year (or of "all") that users rated, the best first."""
        rated = [(a.users, a) for a in self.albums.values() if a.users and year in {"all", str(a.year)}]
        return [album for _, album in sorted(rated, key=lambda row: (-row[0].exact, row[1].id))]

    def _add(self, artist: Artist, genres: Sequence[str], known: Mapping[str, Any]) -> None:
        title, drawn = known["title"], draw(artist.name, known["title"], "page")
        users = None if drawn % 11 == 0 else _score(60, artist.name, title, "users")
        album = Album(
            id=_free_id(self.albums, "album", artist.name, title),
            title=title,
            artist=artist,
            genres=[genre.title() for genre in genres],
            year=known["year"],
            month=drawn % 12 + 1,
            day=None if drawn % 7 == 0 else drawn // 12 % 28 + 1,
            critics=None if drawn % 5 == 0 else _score(1, artist.name, title, "critics"),
            users=users,
            tracks=[
                Track(number, name, duration_of(artist.name, name), users and _score(5, artist.name, name, "track"))
                for number, name in enumerate(known["tracks"], 1)
            ],
            microdata=drawn % 6 == 1,
        )
        self.albums[album.id] = album
        self.ids[artist.name, title] = album.id
        artist.albums.append(album)


class Aoty:
    """The stand-in. ``mode`` may change at any time."""

    def __init__(self) -> None:
        self.mode: Mode = "open"
        self.ratings = OfWorld(Ratings)

    def answer(self, world: World, method: str, params: Mapping[str, str]) -> Page:
        """Answer one call from what the world holds."""
        if self.mode in {"challenge", "denied"}:
            return refused(self.mode)
        html = self._html(self.ratings(world), method, params)
        if html is None:
            return Page(404, aoty_pages.not_found())
        return Page(200, html.replace("albumUserScore", "fanScore") if self.mode == "drifted" else html)

    @staticmethod
    def _html(ratings: Ratings, method: str, params: Mapping[str, str]) -> str | None:
        if method == "aoty.album":
            album = ratings.albums.get(int(params["id"]))
            show = aoty_pages.album_2025 if album and album.microdata else aoty_pages.album_2026
            return show(album) if album else None
        if method == "aoty.artist":
            artist = ratings.artists.get(int(params["id"]))
            return aoty_pages.artist(artist) if artist else None
        if method == "aoty.list":
            chart = ratings.chart(params["path"].rpartition("/")[2])
            first = (int(params["page"]) - 1) * PER_PAGE
            return aoty_pages.chart(params["path"], int(params["page"]), chart[first : first + PER_PAGE], first + 1)
        return None


def refused(kind: str) -> Page:
    """Give what stands before the site: a challenge (``challenge``) or a denial."""
    if kind == "challenge":
        return Page(403, aoty_pages.CHALLENGE, {"cf-mitigated": "challenge"})
    return Page(403, aoty_pages.DENIED)


def route_of(path: str) -> tuple[str, dict[str, str]]:
    """Name what a path asks for, ``aoty.album``, and the parameters that are part of it."""
    path = path.lstrip("/")
    if found := _PAGE.fullmatch(path):
        return f"aoty.{found[1]}", {"id": found[2]}
    if (found := _CHART.fullmatch(path)) and int(found[2] or 1):
        return "aoty.list", {"path": found[1], "page": found[2] or "1"}
    name = path.partition("/")[0]
    return ("aoty.search" if name in {"search", "scripts"} else "aoty.unknown"), {"path": path}


def slug(text: str) -> str:
    """Give a name as it stands in addresses."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "untitled"


def _played(world: World) -> Iterator[Mapping[str, Any]]:
    """Make a catalogue of the albums in the histories, each with the tracks that were played of it."""
    albums: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    if not isinstance(world.scrobbles, Computed):  # a synthetic world may have millions of users
        for user in world.scrobbles:
            for (artist, title, track), _ in world.history(user).counts(lambda p: (p.artist, p.album, p.track)):
                if title:
                    albums[artist][title][track] = None
    for artist, titles in albums.items():
        known = [
            {"title": title, "year": 1960 + draw(artist, title, "year") % 60, "tracks": list(tracks)}
            for title, tracks in titles.items()
        ]
        yield {"name": artist, "genres": (), "albums": known}


def _score(fewest: int, *names: str) -> Score:
    drawn = draw(*names)
    return Score(40 + drawn % 5_600 / 100, fewest + drawn % (fewest * 400))


def _free_id(taken: Mapping[int, object], *names: str) -> int:
    number = 1 + draw(*names, "id") % 1_900_000
    while number in taken:
        number += 1
    return number
