"""One song of many tracks: which of an artist's tracks are the same song, and what the song is called by.

A remaster, a deluxe edition, mono and stereo, explicit and clean, a radio edit, guests, case and the article make no
other song. A live version, a remix and the like do, and so do two of them by other names (two remixers, two halls).
Tracks fold

- by name: artist, base title and what makes another recording are equal. That their recording codes differ is no
  reason against: a remaster has a code of its own. Reasons against are guests that have nobody in common, and lengths
  too far apart that no edit explains.
- by an id that they share (ISRC, Spotify, MusicBrainz), if they are the same kind of version and their base titles
  are alike: ids of services are wrong at times.

Two groups join only if every track of the one goes with every track of the other, so that nothing is folded because a
friend's friend is a friend. What is given is one artist's tracks: nothing ever folds across artists, and by name not
what is by nobody in particular ("Various Artists").
"""

from __future__ import annotations

import re
from hashlib import sha1
from typing import TYPE_CHECKING, Literal, NamedTuple

from rapidfuzz import fuzz

from lastfm_crawl.matching.artists import credit, plain
from lastfm_crawl.matching.titles import DISTINCT, parse_title, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: A song of more tracks is an error of somebody: what comes beyond stays alone.
LARGEST = 50
#: Base titles of tracks with one id in common that are at least so alike (0 to 100) are one title misspelt.
ALIKE = 85.0
#: Lengths of one recording differ by no more than this share of the longer one, or by so many seconds.
LENGTH_SHARE, LENGTH_SECONDS = 0.15, 15.0

Reason = Literal["best", "name", "isrc", "spotify", "mbid"]

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_MBID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\d+")
# A version of these kinds is told from others of its kind by the words that say nothing of the kind itself.
_NAMED = DISTINCT | {"edit", "source"}
_SAYS_NOTHING = re.compile(
    r"a|acapella|acoustic|album|alternate|alternative|an|and|as|at|by|cappella|clean|cover|demo|digital|edit|en|explicit"
    r"|extended|for|from|full|heard|in|inst|instrumental|karaoke|live|long|mix|mono|motion|music|of|official|on|original"
    r"|performance|picture|radio|re|record|recorded|recording|remaster|remastered|remix|remixed|rerecorded|rmx|s|seen"
    r"|sessions?|short|single|slowed|songs?|soundtrack|sped|stereo|television|the|theme|to|track|tribute|tv|up|version"
    r"|video|vivo|with"
)

# Names that stand for whoever it is: what they play is not one artist's.
_NOBODY = frozenset({"", "unknown", "unknown artist", "various", "various artists", "va", "no artist", "anonymous"})


class Track(NamedTuple):
    """A track as it is played, with the ids that it is believed to have; ``seconds`` is its length."""

    id: int
    artist: str
    title: str
    plays: int = 0
    isrc: str | None = None
    spotify_id: str | None = None
    mbid: str | None = None
    seconds: float | None = None


class Edge(NamedTuple):
    """That a track is of a song: why, and the canonical id that it would have by itself."""

    track_id: int
    reason: Reason
    own_id: str


class Song(NamedTuple):
    """Tracks that are one song: what the best of them is called, the ids that the song may be known by, the edges.

    ``isrc``, ``spotify_id`` and ``mbid`` are those of the best track that has one. ``name_id`` is made of what its
    tracks have in common, ``raw_id`` of the very names of the best: no other song ever has that.
    """

    artist: str
    title: str
    plays: int
    isrc: str | None
    spotify_id: str | None
    mbid: str | None
    name_id: str
    raw_id: str
    edges: tuple[Edge, ...]


class _Name(NamedTuple):
    """What tracks that fold by name have in common."""

    artist: str
    base: str
    kinds: tuple[str, ...]
    words: tuple[str, ...]


class _Version(NamedTuple):
    track: Track
    name: _Name
    guests: frozenset[str]
    edited: bool


def fold_songs(tracks: Iterable[Track]) -> list[Song]:
    """The songs of *tracks*, which are all by one artist; the order of *tracks* makes no difference."""
    found = sorted(map(_version, tracks), key=_rank)
    names: dict[_Name, list[list[_Version]]] = {}
    for version in found:
        groups = names.setdefault(version.name, [])
        for group in groups:
            if len(group) < LARGEST and not any(_against(version, other) for other in group):
                group.append(version)
                break
        else:
            groups.append([version])
    joined = _join([group for groups in names.values() for group in groups])
    return sorted(map(_song, joined), key=lambda song: (-song.plays, song.artist, song.title))


def artist_form(artist: str) -> str:
    """What the spellings of one artist have in common: without guests, case and the article."""
    return plain(credit(artist).main)


def clean_isrc(text: str | None) -> str | None:
    """*text* as it is written in a canonical id; None if it is no recording code."""
    code = (text or "").replace("-", "").upper()
    return code if _ISRC.fullmatch(code) else None


def clean_mbid(text: str | None) -> str | None:
    """*text* as it is written in a canonical id; None if it is no id of MusicBrainz."""
    mbid = (text or "").lower()
    return mbid if _MBID.fullmatch(mbid) else None


def _version(track: Track) -> _Version:
    track = track._replace(isrc=clean_isrc(track.isrc), mbid=clean_mbid(track.mbid))
    title = parse_title(track.title)
    who = credit(track.artist)
    named = [(inner, kinds) for inner, kinds in versions(track.title) if kinds & _NAMED]
    words = {word for inner, kinds in named for word in _telling(inner, kinds)}
    artist, base = plain(who.main), plain(title.base)
    if artist in _NOBODY:
        artist, base = track.artist, track.title
    name = _Name(artist, base, tuple(sorted(title.flags & DISTINCT)), tuple(sorted(words)))
    guests = frozenset(map(plain, (*title.featuring, *who.featured)))
    return _Version(track, name, guests, "edit" in title.flags)


def _telling(inner: str, kinds: frozenset[str]) -> Iterator[str]:
    """The words by which a version is told from others of its kind. A year is the remaster's, if it is one."""
    for word in plain(inner).split():
        if not _SAYS_NOTHING.fullmatch(word) and not ("remaster" in kinds and len(word) == 4 and word.isdigit()):
            yield word


def _rank(version: _Version) -> tuple[int, int, str, str, int]:
    """The best first: the most complete, then the most played; the rest only so that the order is always the same."""
    track = version.track
    ids = sum(value is not None for value in (track.isrc, track.spotify_id, track.mbid))
    return -ids, -track.plays, track.artist, track.title, track.id


def _against(a: _Version, b: _Version) -> bool:
    """Whether two tracks of one name are two songs."""
    if a.guests and b.guests and not a.guests & b.guests:
        return True
    if a.track.seconds is None or b.track.seconds is None or a.edited or b.edited:
        return False
    apart = abs(a.track.seconds - b.track.seconds)
    return apart > max(LENGTH_SECONDS, LENGTH_SHARE * max(a.track.seconds, b.track.seconds))


def _join(groups: list[list[_Version]]) -> list[list[_Version]]:
    """*groups* of one name each, joined where they share an id and nothing speaks against it."""
    # The group that took a group's tracks over, itself where none did: what was taken over is empty.
    home = list(range(len(groups)))
    for kind in ("isrc", "spotify_id", "mbid"):
        known: dict[str, list[int]] = {}
        for number, group in enumerate(groups):
            for value in {getattr(version.track, kind) for version in group} - {None}:
                known.setdefault(value, []).append(number)
        for _, numbers in sorted(known.items()):
            for number in numbers[1:]:
                ours, theirs = _find(home, numbers[0]), _find(home, number)
                if ours != theirs and _fits(groups[ours], groups[theirs]):
                    groups[ours] += groups[theirs]
                    groups[theirs] = []
                    home[theirs] = ours
    return [sorted(group, key=_rank) for group in groups if group]


def _find(home: list[int], number: int) -> int:
    while home[number] != number:
        home[number] = home[home[number]]
        number = home[number]
    return number


def _fits(ours: list[_Version], theirs: list[_Version]) -> bool:
    return len(ours) + len(theirs) <= LARGEST and all(_alike(a, b) for a in ours for b in theirs)


def _alike(a: _Version, b: _Version) -> bool:
    """Whether tracks that an id joins, or would join with others, may be one song by what they are called."""
    if (a.name.kinds, a.name.words) != (b.name.kinds, b.name.words):
        return False
    one, other = a.name.base, b.name.base
    if _NUMBER.findall(one) != _NUMBER.findall(other):
        return False
    alike = one == other or fuzz.ratio(one, other) >= ALIKE
    return alike and (_shares_id(a.track, b.track) or not _against(a, b))


def _shares_id(a: Track, b: Track) -> bool:
    return any(
        mine is not None and mine == other
        for mine, other in ((a.isrc, b.isrc), (a.spotify_id, b.spotify_id), (a.mbid, b.mbid))
    )


def _song(group: Sequence[_Version]) -> Song:
    best, *others = group
    track = best.track
    edges = [Edge(track.id, "best", _own_id(best))]
    edges += [Edge(other.track.id, _reason(other, group), _own_id(other)) for other in others]
    return Song(
        track.artist, track.title, sum(version.track.plays for version in group),
        next((v.track.isrc for v in group if v.track.isrc), None),
        next((v.track.spotify_id for v in group if v.track.spotify_id), None),
        next((v.track.mbid for v in group if v.track.mbid), None),
        _hashed("|".join(_flat(best.name))), _hashed(f"{track.artist}\0{track.title}"), tuple(edges),
    )  # fmt: skip


def _reason(version: _Version, group: Sequence[_Version]) -> Reason:
    """What joins a track to the others of its group."""
    others = [other for other in group if other is not version]
    if any(other.name == version.name for other in others):
        return "name"
    track = version.track
    if track.isrc and any(other.track.isrc == track.isrc for other in others):
        return "isrc"
    return "spotify" if track.spotify_id in {other.track.spotify_id for other in others} - {None} else "mbid"


def _own_id(version: _Version) -> str:
    track = version.track
    if track.isrc:
        return f"isrc:{track.isrc}"
    if track.spotify_id:
        return f"spotify:{track.spotify_id}"
    return f"mbid:{track.mbid}" if track.mbid else _hashed("|".join(_flat(version.name)))


def _flat(name: _Name) -> tuple[str, str, str]:
    return name.artist, name.base, ",".join((*name.kinds, *name.words))


def _hashed(text: str) -> str:
    # Surrogates that stand alone cannot be encoded, and titles are written by strangers.
    return f"name:{sha1(text.encode(errors='surrogatepass'), usedforsecurity=False).hexdigest()}"
