"""What is on the wire, as msgspec decodes it: only the fields that we use, in every shape in which they come.

Decoding is the greater part of a replay, so the usual shapes are decoded straight into these structs, and what
does not fit is mended (:func:`_repaired`) and converted: slow, but rare.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


class Paging(msgspec.Struct, gc=False):
    """The ``@attr`` of a list."""

    user: str | None = None
    perPage: int | None = None  # noqa: N815  (Last.fm's name)
    total: int | None = None
    totalPages: int | None = None  # noqa: N815


class Registered(msgspec.Struct, gc=False):
    """When a user registered; the ``#text`` beside it is a number in getInfo and a date in getFriends."""

    unixtime: int | None = None


class User(msgspec.Struct):
    """A user, in getInfo and in getFriends."""

    name: str | None = None
    realname: str | None = None
    country: str | None = None
    url: str | None = None
    playcount: int | None = None
    registered: Registered | str | None = None


class Named(msgspec.Struct, gc=False):
    """An artist or an album of a track: its name is ``#text`` in recent tracks, ``name`` elsewhere (extended, too)."""

    text: str | None = msgspec.field(name="#text", default=None)
    name: str | None = None
    mbid: str | None = None


class Rank(msgspec.Struct, gc=False):
    """The ``@attr`` of a row in a top list."""

    rank: int | None = None


class Artist(msgspec.Struct):
    """A row of user.getTopArtists."""

    name: str | None = None
    playcount: int | None = None
    attr: Rank | None = msgspec.field(name="@attr", default=None)


class Track(msgspec.Struct, gc=False):
    """A row of user.getTopTracks or user.getTopAlbums."""

    name: str | None = None
    mbid: str | None = None
    playcount: int | None = None
    artist: Named | str | None = None
    attr: Rank | None = msgspec.field(name="@attr", default=None)


class Date(msgspec.Struct, gc=False):
    """When; the ``#text`` beside it is UTC to the minute."""

    uts: int | None = None


class PlayAttr(msgspec.Struct):
    """The ``@attr`` of what a user listens to right now."""

    nowplaying: Any = None


class Play(msgspec.Struct, gc=False):
    """A row of user.getRecentTracks or user.getLovedTracks; ``loved`` is there in extended form only."""

    name: str | None = None
    mbid: str | None = None
    artist: Named | str | None = None
    album: Named | str | None = None
    date: Date | str | None = None
    loved: int | None = None
    attr: PlayAttr | None = msgspec.field(name="@attr", default=None)


class Tag(msgspec.Struct, gc=False):
    """A row of track.getTopTags."""

    name: str | None = None
    count: int | None = None


class Tagged(msgspec.Struct):
    """The ``@attr`` of track.getTopTags: which track it is about."""

    artist: Any = None
    track: Any = None


class Week(msgspec.Struct, gc=False, rename={"first": "from", "end": "to"}):
    """A row of user.getWeeklyChartList."""

    first: int | None = None
    end: int | None = None


class Listing(msgspec.Struct):
    """What every list has. Empty lists of 2013 had the paging here, beside ``#text``, instead of in ``@attr``."""

    attr: Paging | None = msgspec.field(name="@attr", default=None)
    perPage: int | None = None  # noqa: N815
    total: int | None = None
    totalPages: int | None = None  # noqa: N815
    user: str | None = None

    @property
    def paging(self) -> Paging:
        """The paging, wherever it stands."""
        if self.attr is not None:
            return self.attr
        user = self.user if isinstance(self.user, str) else None
        return Paging(user, self.perPage, self.total, self.totalPages)


class Friends(Listing):
    """user.getFriends; ``user`` holds the rows, or the name in an empty list of 2013."""

    user: list[User] | User | str | None = None  # type: ignore[assignment]


class TopArtists(Listing):
    """user.getTopArtists."""

    artist: list[Artist] | Artist | str | None = None


class TopAlbums(Listing):
    """user.getTopAlbums."""

    album: list[Track] | Track | str | None = None


class TopTracks(Listing):
    """user.getTopTracks."""

    track: list[Track] | Track | str | None = None


class Plays(Listing):
    """user.getRecentTracks and user.getLovedTracks."""

    track: list[Play] | Play | str | None = None


class Weeks(Listing):
    """user.getWeeklyChartList."""

    chart: list[Week] | Week | str | None = None


class TopTags(msgspec.Struct):
    """track.getTopTags."""

    tag: list[Tag] | Tag | str | None = None
    attr: Tagged | None = msgspec.field(name="@attr", default=None)


class Answer(msgspec.Struct):
    """An answer of any method: an error, or one of the others."""

    error: int | None = None
    message: Any = None
    user: User | None = None
    friends: Friends | None = None
    topartists: TopArtists | None = None
    topalbums: TopAlbums | None = None
    toptracks: TopTracks | None = None
    recenttracks: Plays | None = None
    lovedtracks: Plays | None = None
    weeklychartlist: Weeks | None = None
    toptags: TopTags | None = None

    @property
    def listing(self) -> Listing | None:
        """The list that this is, if it is one."""
        return (
            self.friends
            or self.topartists
            or self.topalbums
            or self.recenttracks
            or self.toptracks
            or self.lovedtracks
            or self.weeklychartlist
        )

    @property
    def named_user(self) -> str | None:
        """Whose answer it says it is."""
        if self.user is not None:
            return self.user.name
        return self.listing.paging.user if self.listing else None


_decode = msgspec.json.Decoder(Answer, strict=False).decode
_NUMBERS = frozenset(
    {"count", "error", "from", "loved", "perPage", "playcount", "rank", "to", "total", "totalPages", "unixtime", "uts"}
)
_TEXTS = frozenset({"#text", "mbid", "name"})
_OBJECTS = frozenset({"@attr", "album", "artist", "date"})
_BOM = b"\xef\xbb\xbf"


def parse(body: bytes) -> Answer:
    """The typed answer. Raises ValueError for what is no JSON object, or one of other shapes than ours."""
    body = body.removeprefix(_BOM)
    try:
        return _decode(body)
    except msgspec.DecodeError:
        # Not as it should be: a number that is none, or half a surrogate pair. Rare, so this way may be slow.
        return msgspec.convert(_repaired(json.loads(body)), Answer, strict=False)


def _repaired(value: Any, key: str = "") -> Any:
    """*value* (the member *key* of its object) without what spoils it.

    That is: numbers that are none, texts that came as numbers, objects that came as an empty list or text (so PHP
    writes an empty one), and the half surrogate pairs that no database takes.
    """
    if key in _NUMBERS and not isinstance(value, (dict, list)):
        return _number(value)
    if value == [] or (value == "" and key in _OBJECTS):
        return None
    if isinstance(value, dict):
        return {k: _repaired(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_repaired(element) for element in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return str(value) if key in _TEXTS and isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _number(value: Any) -> int | None:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def as_list(value: Any) -> list[Any]:
    """A list that may have come as its only element, as an empty string, or not at all."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, str) else [value]
