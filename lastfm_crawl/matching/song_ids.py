"""Which id a song keeps: songs are folded anew each time, and are to be the same songs as the last time.

A song's id is made of the first canonical id that it was ever given (``song_uuid``). Later it may be called by another:
then it is known by its tracks, or by an id that it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Any uuid, the same for ever: every id of a song is made from it.
_NAMESPACE = UUID("5b0c2f0e-6d5f-5a55-9c46-2f0d4c4f6a01")


class Claim(NamedTuple):
    """A song as it is folded now, by number, and a song that was there before.

    ``strength``: 0, that one's id was made of this one's canonical id; 1, this one's canonical id is one of its ids;
    2, they have tracks in common; 3, another id. ``first_id`` is the first canonical id of the song that was there.
    """

    song: int
    before: UUID
    strength: int
    first_id: str


class Kept(NamedTuple):
    """The id of each song by number, and for ids that are no more: the one that took them over."""

    ids: dict[int, UUID]
    merged: dict[UUID, UUID]


def song_uuid(canonical_id: str) -> UUID:
    """The id that a song gets when it is first seen as *canonical_id*."""
    return uuid5(_NAMESPACE, canonical_id)


def keep_ids(songs: Mapping[int, str], claims: Iterable[Claim]) -> Kept:
    """The ids of *songs* (canonical id by number), given what they may have been before.

    Of several that became one, the one with the smallest first id lives on. Of one that became several, the part that
    has the strongest claim keeps the id, then the one whose canonical id is the smallest. New ids are free: whoever
    bears the canonical id of one that was given has the strongest claim to it, and is new only if it has another.
    """
    ids: dict[int, UUID] = {}
    taken: set[UUID] = set()
    lost: list[Claim] = []
    for claim in sorted(claims, key=lambda one: (one.first_id, one.strength, songs[one.song])):
        if claim.song not in ids and claim.before not in taken:
            ids[claim.song] = claim.before
            taken.add(claim.before)
        else:
            lost.append(claim)
    for number, canonical_id in songs.items():
        if number not in ids:
            ids[number] = song_uuid(canonical_id)
            taken.add(ids[number])
    merged: dict[UUID, UUID] = {}
    for claim in lost:
        # A shared id of some service is no reason to say that the songs are one.
        if claim.before not in taken and claim.strength < 3:
            merged.setdefault(claim.before, ids[claim.song])
    return Kept(ids, merged)
