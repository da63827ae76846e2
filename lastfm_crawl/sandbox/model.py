"""What a sandbox world is made of: users, their friends, and what they listened to.

In: the mappings that a builder in ``world.py`` or ``demo.py`` fills or computes. Out: look-ups that ignore
the case of a name and give the case the user chose, as Last.fm does.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from lastfm_crawl.sandbox.history import History, Scrobble

T = TypeVar("T")
Status = Literal["ok", "private", "deleted"]
#: Of a world without a catalogue, the libraries that are looked at: a synthetic one may have millions.
MOST_USERS = 2_000
_GENRES = ("rock", "electronic", "pop", "jazz", "folk", "hip hop", "metal")
_MBID_SPACE = uuid.UUID("6b0f4a34-6f0e-4a4e-9a7b-0d5f6a1c2e30")


@dataclass(frozen=True, slots=True)
class User:
    """One account. ``private`` hides recent tracks only; ``deleted`` is still named in friends' lists."""

    name: str
    realname: str = ""
    country: str | None = None
    playcount: int = 0
    registered: int = 1_104_537_600  # 2005-01-01
    status: Status = "ok"
    type: str = "user"
    subscriber: bool = False
    avatar: str = ""  # 32 hex digits, or "" for the four empty images


class ArtistPlays(NamedTuple):
    """One row of a user's top artists."""

    artist: str
    playcount: int


class TrackPlays(NamedTuple):
    """One row of a user's top tracks."""

    artist: str
    track: str
    playcount: int


class AlbumPlays(NamedTuple):
    """One row of a user's top albums."""

    artist: str
    album: str
    playcount: int


class Loved(NamedTuple):
    """One loved track and when it was loved (unix time)."""

    artist: str
    track: str
    uts: int


class Tagged(NamedTuple):
    """A track as Last.fm writes it, and its tags, the most used first."""

    artist: str
    track: str
    tags: Sequence[str]


class Computed(Mapping[str, T]):
    """A mapping whose values are worked out when asked for, so that no big world fills the memory.

    Those that may change are kept from then on (``keep``).
    """

    def __init__(
        self, keys: Mapping[str, object] | Collection[str], compute: Callable[[str], T], *, keep: bool = False
    ) -> None:
        self._keys = keys
        self._compute = compute
        self._kept: dict[str, T] | None = {} if keep else None

    def __getitem__(self, key: str) -> T:
        if key not in self._keys:
            raise KeyError(key)
        if self._kept is None:
            return self._compute(key)
        if key not in self._kept:
            self._kept.setdefault(key, self._compute(key))  # of two threads the first has made it
        return self._kept[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class OfWorld(Generic[T]):
    """What follows from a world: made when it is first asked for, and anew for another world."""

    def __init__(self, make: Callable[[World], T]) -> None:
        self._make = make
        self._last: tuple[World, T] | None = None

    def __call__(self, world: World) -> T:
        """Give what *world* has."""
        last = self._last
        if last is None or last[0] is not world:
            last = self._last = (world, self._make(world))
        return last[1]


@dataclass(frozen=True)
class World:
    """Everything that the sandbox knows: ``users`` by lower-cased name, all the lists by display name."""

    users: Mapping[str, User]
    friends: Mapping[str, Sequence[str]] = field(default_factory=dict)
    artists: Mapping[str, Sequence[ArtistPlays]] = field(default_factory=dict)  # ranked
    tracks: Mapping[str, Sequence[TrackPlays]] = field(default_factory=dict)  # ranked
    loved: Mapping[str, Sequence[Loved]] = field(default_factory=dict)  # newest first
    scrobbles: Mapping[str, Sequence[Scrobble]] = field(default_factory=dict)  # in any order; each becomes a History
    playing: Mapping[str, Scrobble] = field(default_factory=dict)  # what a user listens to right now
    catalogue: Sequence[Mapping[str, Any]] = ()  # artists as in world.json; () when only listening is known

    def __post_init__(self) -> None:
        if isinstance(self.scrobbles, dict):
            histories = {
                name: plays if isinstance(plays, History) else History(plays) for name, plays in self.scrobbles.items()
            }
            object.__setattr__(self, "scrobbles", histories)

    @classmethod
    def of(
        cls,
        friends: Mapping[str, Sequence[str]],
        artists: Mapping[str, Sequence[tuple[str, int]]] | None = None,
        *,
        scrobbles: Mapping[str, Sequence[Scrobble]] | None = None,
        private: Sequence[str] = (),
        deleted: Sequence[str] = (),
    ) -> World:
        """Make a small world by hand: every name in it becomes a user; for tests."""
        plays = {name: [ArtistPlays(*row) for row in rows] for name, rows in (artists or {}).items()}
        histories = dict(scrobbles or {})
        named = [n for row in friends.values() for n in row]
        names = dict.fromkeys([*friends, *named, *plays, *histories, *private, *deleted])
        users = {}
        for name in names:
            status: Status = "deleted" if name in deleted else "private" if name in private else "ok"
            users[name.lower()] = User(name, playcount=sum(n for _, n in plays.get(name, [])), status=status)
        return cls(users, dict(friends), plays, scrobbles=histories)

    def user(self, name: str) -> User | None:
        """Find a user whatever the case of the name, deleted ones too."""
        return self.users.get(name.lower())

    def friends_of(self, name: str) -> list[User]:
        """Give the friends in order; one whom the world does not know is shown as a deleted user."""
        return [self.user(n) or User(n, status="deleted") for n in self.friends.get(self._display(name), ())]

    def top_artists(self, name: str) -> Sequence[ArtistPlays]:
        """Give (artist, playcount), most played first."""
        return self.artists.get(self._display(name), ())

    def top_tracks(self, name: str) -> Sequence[TrackPlays]:
        """Give (artist, track, playcount), most played first."""
        return self.tracks.get(self._display(name), ())

    def loved_tracks(self, name: str) -> Sequence[Loved]:
        """Give (artist, track, unix time), newest first."""
        return self.loved.get(self._display(name), ())

    def history(self, name: str) -> History:
        """Give all plays, newest first: the object that is served, so that a change in it is seen at once."""
        history = self.scrobbles.get(self._display(name))
        return history if isinstance(history, History) else History()

    def top_albums(self, name: str) -> Sequence[AlbumPlays]:
        """Count (artist, album, playcount) in the history, most played first."""
        counted = self.history(name).counts(lambda play: (play.artist, play.album))
        return [AlbumPlays(artist, album, plays) for (artist, album), plays in counted if album]

    def now_playing(self, name: str) -> Scrobble | None:
        """Give what the user listens to right now."""
        return self.playing.get(self._display(name))

    @cached_property
    def tagged(self) -> Mapping[tuple[str, str], Tagged]:
        """Every track by its names in lower case: those of the catalogue, or what is listened to where there is none.

        Some have no tags. What a history gets later is not among them.
        """
        found: dict[tuple[str, str], Tagged] = {}
        for entry in self.catalogue:
            for album in entry["albums"]:
                for title in album["tracks"]:
                    _tag(found, entry["name"], title, (*entry["genres"], f"{album['year'] % 100 // 10}0s"))
        if not found:
            for artist, title in self._listened():
                _tag(found, artist, title, tuple(_GENRES[(draw(artist) + i) % len(_GENRES)] for i in (0, 2)))
        return found

    def _listened(self) -> Iterator[tuple[str, str]]:
        for name in islice(self.tracks, MOST_USERS):
            yield from ((row.artist, row.track) for row in self.tracks[name])
        if not isinstance(self.scrobbles, Computed):  # those are made from the tracks
            for name in self.scrobbles:
                yield from (names for names, _ in self.history(name).counts(lambda play: (play.artist, play.track)))

    def _display(self, name: str) -> str:
        user = self.user(name)
        return user.name if user else name


def _tag(found: dict[tuple[str, str], Tagged], artist: str, track: str, tags: Sequence[str]) -> None:
    known = () if draw(artist, track) % 9 == 0 else tags
    found.setdefault((artist.lower(), track.lower()), Tagged(artist, track, known))


def draw(*names: str) -> int:
    """Draw a number that depends on the names alone."""
    return zlib.crc32("\0".join(names).encode("utf-8", "replace"))


@lru_cache(maxsize=50_000)
def mbid_of(kind: str, *names: str) -> str:
    """Give the MusicBrainz id that this world has for an entity; about a quarter have none, as on Last.fm."""
    return "" if draw(kind, *names) % 4 == 0 else str(uuid.uuid5(_MBID_SPACE, "\0".join((kind, *names))))


def duration_of(artist: str, track: str) -> int:
    """Give a track's length in seconds."""
    return 120 + draw(artist, track) % 240
