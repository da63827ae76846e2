"""What is on the wire, as :mod:`lastfm_crawl.services.decoding` reads it: only the fields that we use."""

from __future__ import annotations

from typing import Any

import msgspec

from lastfm_crawl.services.decoding import Number  # noqa: TC001  (msgspec looks it up)


class Answer(msgspec.Struct):
    """What every answer may be instead: an error."""

    error: Any = None


class Artist(Answer):
    """spotify.artist; also a row, or a part of a track."""

    id: str | None = None
    name: str | None = None
    popularity: Number | None = None
    followers: Followers | None = None
    genres: list[str | None] | None = None


class Followers(msgspec.Struct):
    """How many follow."""

    total: Number | None = None


class Album(msgspec.Struct):
    """The album of a track."""

    id: str | None = None
    name: str | None = None
    album_type: str | None = None
    release_date: str | None = None
    release_date_precision: str | None = None


class ExternalIds(msgspec.Struct):
    """Ids that others gave."""

    isrc: str | None = None


class LinkedFrom(msgspec.Struct):
    """The track that was asked for, when another one was answered."""

    id: str | None = None


class Track(Answer):
    """spotify.track; also a row."""

    id: str | None = None
    name: str | None = None
    artists: list[Artist | None] | None = None
    album: Album | None = None
    duration_ms: Number | None = None
    explicit: bool | None = None
    track_number: Number | None = None
    disc_number: Number | None = None
    external_ids: ExternalIds | None = None
    popularity: Number | None = None
    linked_from: LinkedFrom | None = None


class ArtistsAnswer(Answer):
    """spotify.artists: in the order of the ids, null for one that is nobody's."""

    artists: list[Artist | None] | None = None


class TracksAnswer(Answer):
    """spotify.tracks, likewise."""

    tracks: list[Track | None] | None = None


class ArtistList(Answer):
    """spotify.top of artists; also a part of spotify.search."""

    items: list[Artist | None] | None = None
    total: Number | None = None


class TrackList(Answer):
    """spotify.top of tracks; also a part of spotify.search."""

    items: list[Track | None] | None = None
    total: Number | None = None


class SearchAnswer(Answer):
    """spotify.search, for either type."""

    artists: ArtistList | None = None
    tracks: TrackList | None = None


class UserAnswer(Answer):
    """spotify.me."""

    id: str | None = None
    display_name: str | None = None
    country: str | None = None
    product: str | None = None
