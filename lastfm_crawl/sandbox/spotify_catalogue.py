"""The music that the sandbox's Spotify has: what the world's users listen to, and what gets in the way of finding it.

In: a ``World``. Out: artists and tracks by id, by the names that Last.fm has for them, and by search. Everything
follows from names, so ids and codes are the same in every run. As on the real one: some artists are missing or spelt
differently, some names belong to two artists, some recordings are on two albums, and tributes come first in searches.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

from lastfm_crawl.sandbox.model import MOST_USERS, Computed, draw, duration_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lastfm_crawl.sandbox.model import World

_BASE62 = string.digits + string.ascii_letters
_BASE36 = string.digits + string.ascii_uppercase
_TITLES = (
    "Aurora",
    "Bridges",
    "Cinders",
    "Driftwood",
    "Echoes",
    "Fault Lines",
    "Gravity",
    "Halfway",
    "Intro",
    "Juniper",
)
_WORD = re.compile(r"\w+")
_APOSTROPHES = re.compile("['\u2018\u2019]")
_UNHEARD = frozenset({"the", "and"})


@dataclass(frozen=True, slots=True)
class Artist:
    """``loud`` ones come first in searches, whatever was looked for."""

    id: str
    name: str
    genres: Sequence[str]
    popularity: int
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Album:
    """``date`` is as exact as ``precision`` says, or ``0000``."""

    id: str
    name: str
    artist: Artist
    kind: str
    date: str
    precision: str
    tracks: int


@dataclass(frozen=True, slots=True)
class Track:
    """One track of one album; the same recording on another album has another id and the same ``isrc``."""

    id: str
    name: str
    artist: Artist
    album: Album
    number: int
    duration_ms: int
    isrc: str
    popularity: int
    loud: bool = False


class Catalogue:
    """Spotify's side of a world."""

    def __init__(self, world: World) -> None:
        self.artists: dict[str, Artist] = {}  # by id
        self.tracks: dict[str, Track] = {}
        #: What Last.fm calls them, and their ids here.
        self.artist_ids: dict[str, str] = {}
        self.track_ids: dict[tuple[str, str], str] = {}
        #: Names of artists that are not here.
        self.missing: set[str] = set()
        self._tracks_of: dict[str, list[Track]] = defaultdict(list)  # by the artist's id
        self._artists_with: dict[str, list[str]] = defaultdict(list)  # by a word of the name
        self._tracks_with: dict[str, list[Track]] = defaultdict(list)  # by a word of the title
        self._by_isrc: dict[str, list[Track]] = defaultdict(list)
        for entry in world.catalogue or _derived(world):
            self._add(entry["name"], entry["genres"], entry["albums"])

    # --- what there is ------------------------------------------------------------------

    def by_isrc(self, isrc: str) -> list[Track]:
        """Give the tracks with this code, the first release first."""
        return list(self._by_isrc.get(isrc.upper(), ()))

    def elsewhere(self, track: Track) -> Track:
        """Give the same recording on its last album, which is what a relinked answer shows."""
        return self._by_isrc[track.isrc][-1]

    def find_artists(self, artist: str = "", words: str = "") -> list[Artist]:
        """Give the artists whose name has all words, the loud first, then the popular."""
        found = self._named(f"{artist} {words}".strip())
        return sorted(found, key=lambda a: (not a.loud, -a.popularity, a.id))

    def find_tracks(self, artist: str = "", track: str = "", album: str = "", words: str = "") -> list[Track]:
        """Give the tracks of which each field has all words that are asked of it, in the same order."""
        candidates: Iterable[Track] = ()
        if artist:
            candidates = (t for a in self._named(artist) for t in self._tracks_of[a.id])
        elif track or words:
            rare = words_of(track or words)[0]
            of_artists = (t for a in self._artists_with.get(rare, ()) for t in self._tracks_of[a])
            candidates = self._tracks_with.get(rare, ()) if track else (*self._tracks_with.get(rare, ()), *of_artists)
        elif album:
            candidates = self.tracks.values()
        wanted = [set(words_of(text)) if text else set() for text in (track, album, words)]
        found = {t.id: t for t in candidates if _has(t, *wanted)}
        return sorted(found.values(), key=lambda t: (not t.loud, -t.popularity, t.id))

    def _named(self, text: str) -> list[Artist]:
        ids = [self._artists_with.get(word, ()) for word in words_of(text)]
        common = set(ids[0]).intersection(*ids[1:])
        return [self.artists[artist_id] for artist_id in common]

    # --- how it is made -----------------------------------------------------------------

    def _add(self, name: str, genres: Sequence[str], albums: Sequence[Mapping[str, Any]]) -> None:
        def lengths(titles: Sequence[str]) -> dict[str, float]:
            return {title: duration_of(name, title) for title in titles}

        first = albums[0]["tracks"][0]
        if draw(name, "missing") % 23 == 0:
            self.missing.add(name)
        else:
            artist = self._artist(_spelling(name), genres, name)
            self.artist_ids[name] = artist.id
            for album in albums:
                for track in self._album(artist, album["title"], album["year"], lengths(album["tracks"])):
                    self.track_ids.setdefault((name, track.name), track.id)
            if draw(name, "best") % 3 == 0:
                best = lengths(albums[0]["tracks"][:2])
                self._album(artist, f"Best of {artist.name}", albums[-1]["year"] + 10, best, kind="compilation")
        self._add_distractors(name, first, duration_of(name, first))

    def _add_distractors(self, name: str, first: str, seconds: float) -> None:
        """Add what is found instead of an artist or its *first* track."""
        if name in self.missing or draw(name, "tribute") % 4 == 0:
            band = self._artist(f"{name} Tribute Band", (), name, loud=True)
            self._album(band, f"A Tribute to {name}", 2015, {first: seconds + 5})
        if draw(name, "fast") % 5 == 0:
            factory = self._artist("Sped Up Nation", (), loud=True)
            self._album(factory, f"{first}, Faster", 2023, {f"{first} - Sped Up": seconds * 0.8})
        if draw(name, "sung") % 5 == 0:
            factory = self._artist("Karaoke Kings", (), loud=True)
            self._album(factory, f"Sing {name}", 2012, {f"{first} (Karaoke Version)": seconds})
        if draw(name, "homonym") % 9 == 0:
            other = self._artist(_spelling(name), (), name, "another", loud=True)
            self._album(other, "Untitled", 2020, {"Untitled": 200})

    def _artist(self, name: str, genres: Sequence[str], *more: str, loud: bool = False) -> Artist:
        artist_id = _id("artist", name, *more)
        if artist_id not in self.artists:
            popularity = draw(name, "popularity", *more) % (10 if loud else 100)
            self.artists[artist_id] = Artist(artist_id, name, tuple(genres), popularity, loud)
            for word in words_of(name):
                self._artists_with[word].append(artist_id)
        return self.artists[artist_id]

    def _album(
        self, artist: Artist, title: str, year: int, tracks: Mapping[str, float], *, kind: str = "album"
    ) -> Sequence[Track]:
        """Add an album whose *tracks* take so many seconds."""
        date, precision = _released(artist.name, title, year)
        album = Album(_id("album", artist.id, title), title, artist, kind, date, precision, len(tracks))
        made = [
            _track(artist, album, number, name, seconds) for number, (name, seconds) in enumerate(tracks.items(), 1)
        ]
        for track in made:
            self.tracks[track.id] = track
            self._tracks_of[artist.id].append(track)
            self._by_isrc[track.isrc].append(track)
            for word in words_of(track.name):
                self._tracks_with[word].append(track)
        return made


def _track(artist: Artist, album: Album, number: int, name: str, seconds: float) -> Track:
    popularity = draw(name, artist.id) % (artist.popularity + 1)
    return Track(
        id=_id("track", album.id, str(number), name),
        name=name,
        artist=artist,
        album=album,
        number=number,
        duration_ms=int(seconds * 1000) + draw(name, "ms") % 1000,
        isrc=_isrc(album.id if artist.loud else artist.id, name),
        popularity=popularity // 2 if album.kind == "compilation" else popularity,
        loud=artist.loud,
    )


def words_of(text: str) -> list[str]:
    """Give the words by which search knows a text: without case, marks, apostrophes and articles; never none."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text)).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for word in _WORD.findall(plain) if word not in _UNHEARD] or [plain.strip()]


def _has(track: Track, title: set[str], album: set[str], words: set[str]) -> bool:
    name = set(words_of(track.name))
    return (
        title <= name
        and (not album or album <= set(words_of(track.album.name)))
        and (not words or words <= name | set(words_of(track.artist.name)))
    )


def _spelling(name: str) -> str:
    """Give the artist's name here: some have lost their marks, their article or their ampersand."""
    if draw(name, "marks") % 3 == 0:
        parts = unicodedata.normalize("NFD", name)
        if any("LATIN" in unicodedata.name(c, "") for c in parts):
            name = "".join(c for c in parts if not unicodedata.combining(c))
    if draw(name, "article") % 3 == 0 and len(name.split()) > 1:
        name = name.removeprefix("The ") if "The The" not in name else name
    if draw(name, "and") % 2 == 0:
        name = name.replace(" & ", " and ") if " & " in name else name.replace(" and ", " & ")
    return name


def _released(artist: str, title: str, year: int) -> tuple[str, str]:
    drawn = draw(artist, title, "date")
    if drawn % 37 == 0:
        return "0000", "year"
    month, day = drawn % 12 + 1, drawn // 12 % 28 + 1
    forms = ((f"{year}", "year"), (f"{year}-{month:02}", "month"), (f"{year}-{month:02}-{day:02}", "day"))
    return forms[min(drawn % 5, 2)]


def _derived(world: World) -> Iterator[Mapping[str, Any]]:
    """Make a catalogue of what users listen to: one album an artist, with the tracks that are known or made-up ones."""
    tracks: dict[str, dict[str, None]] = {}
    for name in islice(world.artists, MOST_USERS):
        for row in world.artists[name]:
            tracks.setdefault(row.artist, {})
    for name in islice(world.tracks, MOST_USERS):
        for track in world.tracks[name]:
            tracks.setdefault(track.artist, {})[track.track] = None
    if not isinstance(world.scrobbles, Computed):  # those are made from the tracks
        for name in world.scrobbles:
            for (artist, title), _ in world.history(name).counts(lambda play: (play.artist, play.track)):
                tracks.setdefault(artist, {})[title] = None
    for artist, known in tracks.items():
        drawn = draw(artist, "titles")
        titles = list(known) or [_TITLES[(drawn + i) % len(_TITLES)] for i in range(3 + drawn % 4)]
        album = {"title": titles[-1], "year": 1960 + drawn % 60, "tracks": titles}
        yield {"name": artist, "genres": (), "albums": [album]}


def _digits(names: Sequence[str], alphabet: str, count: int) -> str:
    number = int.from_bytes(sha256("\0".join(names).encode("utf-8", "replace")).digest())
    digits = []
    for _ in range(count):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(digits)


def _id(*names: str) -> str:
    return _digits(names, _BASE62, 22)


def _isrc(*names: str) -> str:
    return f"ZZ{_digits(names, _BASE36, 3)}{_digits(names, string.digits, 7)}"
