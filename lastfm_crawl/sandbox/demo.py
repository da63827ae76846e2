"""The demo world: some hundred people who do not exist, their friendships and what they listen to.

In: how many users, a seed, and the catalogue in ``world.json``. Out: a ``World`` that is the same on every
machine: all draws come from one ``random.Random`` (or one per user, seeded by name), none from ``hash()``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

from lastfm_crawl.sandbox.history import YEAR_2025, History, Scrobble, listened
from lastfm_crawl.sandbox.model import ArtistPlays, Computed, Loved, TrackPlays, User, World, mbid_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CATALOGUE = files("lastfm_crawl.sandbox") / "world.json"
# One word a line would be a page.
# fmt: off
_FIRST = (
    "amber", "brass", "cobalt", "dusty", "electric", "faded", "golden", "hidden", "indigo", "jaded",
    "kinetic", "lunar", "mellow", "neon", "odd", "paper", "quiet", "rusty", "silent", "tidal", "ultra",
    "velvet", "wild",
)
_LAST = (
    "anchor", "bishop", "comet", "dancer", "ember", "falcon", "glider", "harbor", "island", "jester",
    "kite", "lantern", "mirror", "needle", "otter", "piper", "quartz", "river", "signal", "turntable",
    "vinyl", "walker",
)
_GIVEN = (
    "Ada", "Bruno", "Chloë", "Dario", "Elif", "Fumiko", "Goran", "Hanna", "Ines", "Jonas", "Katja", "Luiz",
    "Mira", "Noor", "Oskar", "Priya", "Quinn", "Rosa", "Sami", "Tomáš", "Uma", "Viktor", "Wren", "Zoë",
)
_COUNTRIES = (
    "Brazil", "Finland", "France", "Germany", "Japan", "Mexico", "Netherlands", "Poland",
    "Russian Federation", "Spain", "Sweden", "Türkiye", "United Kingdom", "United States",
)
# fmt: on
_REGISTERED = (1_037_793_040, YEAR_2025)  # the day RJ registered, and the end of 2024


@dataclass(frozen=True)
class _Circle:
    """Who is what, by number: 0 is RJ, the living come first, then the friendless, then the deleted."""

    linked: int
    lonely: int
    deleted: int
    hubs: int
    private: int

    @classmethod
    def of(cls, users: int) -> _Circle:
        some = users >= 20  # smaller worlds are for looking at one thing, so they hold ordinary people only
        lonely = max(2, users // 50) if some else 0
        deleted = max(2, users // 50) if some else 0
        hubs = max(3, users // 100) if users >= 100 else 0
        private = max(3, users // 25) if some else 0
        return cls(users - lonely - deleted, lonely, deleted, hubs, private)


def demo_world(users: int = 300, seed: int = 7, catalogue: Traversable = CATALOGUE) -> World:
    """Build the world that ``scrapy demo`` crawls; the same arguments give the same world."""
    if users < 1:
        raise ValueError("a demo world needs at least one user")
    rng = Random(seed)
    circle = _Circle.of(users)
    names = _names(rng, users)
    links = _friendships(rng, circle)
    music = json.loads(catalogue.read_text(encoding="utf-8"))
    rng.shuffle(music)  # from here on the first are the famous
    tracks_of = {artist["name"]: _tracks_of(artist) for artist in music}
    artists = {name: _library(rng, music) for name in names}
    accounts = _accounts(rng, names, circle, artists)
    tracks = Computed(artists, lambda name: _top_tracks(seed, name, artists[name], tracks_of))
    recordings = {
        (artist["name"], track): _recording(artist["name"], album["title"], track)
        for artist in music
        for album in reversed(artist["albums"])  # a track of several albums is on the first
        for track in album["tracks"]
    }
    registered = {user.name: user.registered for user in accounts}
    playing = {name for name in names if name == "RJ" or Random(f"{seed} playing {name}").random() < 0.1}
    return World(
        users={user.name.lower(): user for user in accounts},
        friends={names[i]: [names[friend] for friend in row] for i, row in enumerate(links)},
        artists=artists,
        tracks=tracks,
        loved=Computed(artists, lambda name: _loved(seed, name, tracks[name])),
        scrobbles=Computed(
            artists, lambda name: _history(seed, name, tracks[name], recordings, registered[name]), keep=True
        ),
        playing=Computed(playing, lambda name: recordings[tracks[name][0][:2]]),
        catalogue=music,
    )


# --- people ---------------------------------------------------------------------------


def _names(rng: Random, count: int) -> list[str]:
    """Make names that differ also when case is ignored; legacy ones hold a space."""
    names = {"rj": "RJ", "test user": "test user"}
    while len(names) < count:
        name = _name(rng)
        if name.lower() in names:
            name += str(len(names))
        names.setdefault(name.lower(), name)
    return list(names.values())[:count]


def _name(rng: Random) -> str:
    first, last, number = rng.choice(_FIRST), rng.choice(_LAST), rng.randrange(100)
    return rng.choice(
        (
            first + last,
            first.title() + last.title(),
            f"{first}_{last}",
            f"{first.upper()}-{last}",
            f"{first}{number}",
            f"xX{last.title()}{number}Xx",
            f"{first} {last}" if number < 25 else f"{last.title()}{number}",
        )
    )


def _accounts(rng: Random, names: list[str], circle: _Circle, artists: dict[str, list[ArtistPlays]]) -> list[User]:
    private = set(rng.sample(range(2, circle.linked), circle.private)) if circle.private else set()
    accounts = [
        User(
            name="RJ",
            realname="Richard Jones ",  # real names may end in blanks
            country="United Kingdom",
            playcount=sum(row.playcount for row in artists["RJ"]),
            registered=_REGISTERED[0],
            type="alum",
            subscriber=True,
            avatar=f"{rng.getrandbits(128):032x}",
        )
    ]
    for number, name in enumerate(names[1:], 1):
        gone = number >= circle.linked + circle.lonely
        accounts.append(
            User(
                name=name,
                realname=rng.choice(_GIVEN) + rng.choice(("", "", " ")) if rng.random() < 0.6 else "",
                country=rng.choice(_COUNTRIES) if rng.random() < 0.7 else None,
                playcount=sum(row.playcount for row in artists[name]),
                registered=rng.randrange(*_REGISTERED),
                status="deleted" if gone else "private" if number in private else "ok",
                subscriber=rng.random() < 0.05,
                avatar=f"{rng.getrandbits(128):032x}" if rng.random() < 0.5 else "",
            )
        )
    return accounts


def _friendships(rng: Random, circle: _Circle) -> list[list[int]]:
    """Draw mutual friendships: a small world (Watts and Strogatz), some hubs, then the deleted."""
    links: list[dict[int, None]] = [{} for _ in range(circle.linked + circle.lonely + circle.deleted)]

    def befriend(one: int, other: int) -> None:
        if one != other:
            links[one][other] = links[other][one] = None

    living = circle.linked
    for i in range(living):
        befriend(i, (i + 1) % living)  # never rewired, so that RJ reaches everyone who has friends
        for step in range(2, 2 + rng.choice((0, 1, 1, 2, 2, 3, 4))):
            befriend(i, rng.randrange(living) if rng.random() < 0.25 else (i + step) % living)
    for hub in rng.sample(range(1, living), circle.hubs):
        for other in rng.sample(range(living), min(living, 62 + rng.randrange(60))):
            befriend(hub, other)
    for gone in range(living + circle.lonely, len(links)):
        for other in rng.sample(range(living), 1 + rng.randrange(3)):
            befriend(gone, other)
    lists = [list(row) for row in links]
    for row in lists:
        rng.shuffle(row)
    return lists


# --- taste ----------------------------------------------------------------------------


def _library(rng: Random, music: list[dict[str, Any]]) -> list[ArtistPlays]:
    """Draw 20-130 artists, most from one to three genres, the famous more often."""
    genres = sorted({genre for artist in music for genre in artist["genres"]})
    liked = set(rng.sample(genres, min(len(genres), rng.choice((1, 2, 2, 3)))))
    weights = [
        (1.0 if liked.intersection(artist["genres"]) else 0.08) / (10 + place) ** 0.5
        for place, artist in enumerate(music)
    ]
    # The largest u ** (1 / weight) are a weighted draw without repeats (Efraimidis and Spirakis).
    drawn = sorted(range(len(music)), key=[rng.random() ** (1 / w) for w in weights].__getitem__, reverse=True)
    loudest, fall = rng.randrange(150, 4000), rng.uniform(0.7, 1.1)
    count = rng.randrange(20, 131)
    return [
        ArtistPlays(music[artist]["name"], max(1, int(loudest / rank**fall)))
        for rank, artist in enumerate(drawn[:count], 1)
    ]


def _tracks_of(artist: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(track for album in artist["albums"] for track in album["tracks"]))


def _top_tracks(seed: int, name: str, artists: list[ArtistPlays], tracks_of: dict[str, list[str]]) -> list[TrackPlays]:
    """Share each artist's plays among its tracks, so that the two lists add up to the same number."""
    rng = Random(f"{seed} tracks {name}")
    rows = []
    for artist, plays in artists:
        tracks = tracks_of[artist]
        tracks = rng.sample(tracks, min(len(tracks), 12))
        shares = list(accumulate(1 / rank for rank in range(1, len(tracks) + 1)))
        ends = [0, *(round(plays * share / shares[-1]) for share in shares)]
        rows += [TrackPlays(artist, t, ends[i + 1] - ends[i]) for i, t in enumerate(tracks) if ends[i + 1] > ends[i]]
    rows.sort(key=lambda row: -row.playcount)
    return rows


def _loved(seed: int, name: str, tracks: list[TrackPlays]) -> list[Loved]:
    rng = Random(f"{seed} loved {name}")
    chosen = rng.sample(tracks, min(len(tracks), rng.choice((0, 1, 5, 20, 70))))
    loved = [Loved(row.artist, row.track, rng.randrange(1_577_836_800, YEAR_2025)) for row in chosen]
    return sorted(loved, key=lambda row: -row.uts)


def _recording(artist: str, album: str, track: str) -> Scrobble:
    return Scrobble(
        artist,
        track,
        album=album,
        artist_mbid=mbid_of("artist", artist),
        album_mbid=mbid_of("album", artist, album),
        mbid=mbid_of("track", artist, track),
    )


def _history(
    seed: int,
    name: str,
    tracks: list[TrackPlays],
    recordings: dict[tuple[str, str], Scrobble],
    registered: int,
) -> History:
    """Play the top tracks, each as often as that list says."""
    plays = [(recordings[row.artist, row.track], row.playcount) for row in tracks]
    return listened(Random(f"{seed} plays {name}"), plays, registered)
