"""What is on the wire, as :mod:`lastfm_crawl.services.decoding` reads it: only the fields that we use."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, rename="kebab"):
    """What every answer may be instead: an error."""

    error: Any = None


class Artist(msgspec.Struct):
    """An artist by the name that MusicBrainz prefers."""

    name: str | None = None


class Credit(msgspec.Struct):
    """A part of an artist credit: a name as it is written on the cover, and what stands between it and the next."""

    name: str | None = None
    joinphrase: str | None = None
    artist: Artist | None = None


class Group(msgspec.Struct, rename="kebab"):
    """A release group: a row of a search, or a part of a release."""

    id: str | None = None
    title: str | None = None
    first_release_date: str | None = None
    primary_type: str | None = None
    secondary_types: list[str | None] | None = None
    artist_credit: list[Credit | None] | None = None


class Release(Answer, rename="kebab"):
    """musicbrainz.release."""

    id: str | None = None
    artist_credit: list[Credit | None] | None = None
    release_group: Group | None = None


class Groups(Answer, rename="kebab"):
    """musicbrainz.search."""

    release_groups: list[Group | None] | None = None
