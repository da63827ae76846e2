"""The worlds that the sandbox can serve: a demo, the HetRec 2011 data, and a made-up one of any size.

In: a size, a seed or a folder. Out: a ``World``. ``World.of`` makes one by hand from a few names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from lastfm_crawl.sandbox.demo import demo_world
from lastfm_crawl.sandbox.history import YEAR_2005, History, Scrobble, listened
from lastfm_crawl.sandbox.model import ArtistPlays, Computed, Loved, TrackPlays, User, World

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ArtistPlays",
    "Loved",
    "Scrobble",
    "TrackPlays",
    "User",
    "World",
    "demo_world",
    "hetrec_world",
    "scrobbles_world",
    "synthetic_world",
]


def hetrec_world(folder: Path) -> World:
    """Read the HetRec 2011 Last.fm set; names are its user ids, friends stand in file order."""
    artist_names = {row[0]: row[1] for row in _rows(folder / "artists.dat")}
    artists: dict[str, list[ArtistPlays]] = {}
    for user, artist, weight in _rows(folder / "user_artists.dat"):
        artists.setdefault(user, []).append(ArtistPlays(artist_names[artist], int(weight)))
    friends: dict[str, list[str]] = {}
    for user, friend in _rows(folder / "user_friends.dat"):
        friends.setdefault(user, []).append(friend)
    for rows in artists.values():
        rows.sort(key=lambda row: -row.playcount)  # stable: ties stay in the order of the file
    users = {
        name: User(
            name,
            playcount=sum(row.playcount for row in artists.get(name, [])),
            registered=YEAR_2005 + int(name),
        )
        for name in dict.fromkeys([*artists, *friends, *(f for row in friends.values() for f in row)])
    }
    return World(users, friends, artists)


def scrobbles_world(folder: Path) -> World:
    """Read histories: one user a file, ``listener_1`` from ``listener_1.tsv``; top lists are counted from the plays.

    Columns, below a header: uts, artist, its MBID, album, its MBID, track, its MBID; an empty one is not known.
    """
    histories = {}
    for file in sorted(folder.glob("*.tsv")):
        plays = [
            Scrobble(artist, track, int(uts or 0), album, artist_mbid, album_mbid, mbid)
            for uts, artist, artist_mbid, album, album_mbid, track, mbid in _rows(file)
        ]
        histories[file.stem] = History(plays)
    if not histories:
        raise ValueError(f"no histories (*.tsv) in {folder}")
    return World(
        users={name.lower(): User(name, playcount=len(plays)) for name, plays in histories.items()},
        friends={name: [other for other in histories if other != name] for name in histories},
        artists={
            name: [ArtistPlays(artist, n) for artist, n in plays.counts(lambda play: play.artist)]
            for name, plays in histories.items()
        },
        tracks={
            name: [TrackPlays(*row, n) for row, n in plays.counts(lambda play: (play.artist, play.track))]
            for name, plays in histories.items()
        },
        scrobbles=histories,
    )


def synthetic_world(
    users: int,
    artists_per_user: int = 50,
    friends_per_user: int = 20,
    *,
    artists: int = 50_000,
    seed: int = 7,
) -> World:
    """Make a world of any size, in which everything about ``u17`` is worked out from 17 when it is asked for.

    Friends are the users at fixed distances round a ring, near and far: mutual, and connected in few steps.
    """
    names = _Names(users)
    steps = _steps(users, friends_per_user)

    def library(name: str) -> list[ArtistPlays]:
        rng = Random(seed * 1_000_003 + names.index(name))
        drawn: dict[int, None] = {}
        while len(drawn) < min(artists_per_user, artists):
            # The third power prefers low numbers; when the few of them are used up, any artist will do.
            drawn[int(artists * rng.random() ** (3 if rng.random() < 0.9 else 1))] = None
        loudest = 10 * artists_per_user + rng.randrange(1000)
        return [ArtistPlays(f"Artist {number}", loudest // rank) for rank, number in enumerate(drawn, 1)]

    def profile(name: str) -> User:
        rng = Random(seed * 1_000_003 + names.index(name) + 1)
        return User(name, playcount=rng.randrange(100_000), registered=YEAR_2005 + rng.randrange(600_000_000))

    def befriended(name: str) -> list[str]:
        return [names[(names.index(name) + step) % users] for step in steps]

    def top_tracks(name: str) -> list[TrackPlays]:
        return [TrackPlays(artist, f"Song of {artist}", plays) for artist, plays in library(name)]

    def history(name: str) -> History:
        plays = [(Scrobble(row.artist, row.track, album="Album"), row.playcount) for row in top_tracks(name)]
        return listened(Random(f"{seed} plays {name}"), plays, profile(name).registered)

    return World(
        users=Computed(names, profile),
        friends=Computed(names, befriended),
        artists=Computed(names, library),
        tracks=Computed(names, top_tracks),
        scrobbles=Computed(names, history, keep=True),
    )


class _Names(Sequence[str]):
    """The names u0, u1, … of a synthetic world, none of which is held in memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices
        if not 0 <= index < self._count:
            raise IndexError(index)
        return f"u{index}"

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name[1:].isdecimal():
            return False
        return name == f"u{int(name[1:])}" and int(name[1:]) < self._count

    def index(self, name: str, *_: int) -> int:
        """Give the number in a name."""
        return int(name[1:])


def _steps(users: int, friends: int) -> list[int]:
    """Choose the distances to friends: 1 (so that all are connected), then growing, each also backwards."""
    pairs = max(1, min(friends, users - 1) // 2)
    steps = {round(users ** (i / pairs) / 2) or 1 for i in range(pairs)} | {1}
    spare = iter(range(2, users))
    while len(steps) < min(pairs, (users - 1) // 2):
        steps.add(next(spare))
    both = [s for step in sorted(steps) for s in (step, users - step)]
    return list(dict.fromkeys(s for s in both if 0 < s < users))


def _rows(path: Path) -> Iterator[list[str]]:
    """Read the rows below the header; only a line feed ends one, for names hold other line separators."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        next(lines, None)
        for line in lines:
            yield line.rstrip("\r\n").split("\t")
