"""What is on the wire, as msgspec decodes it: only the fields that we use, each of which may be null or missing.

An answer of the usual shape is decoded straight into these structs; one in which something is of a wrong type is
taken apart field by field (:func:`_mended`), and what does not fit is as if it were missing: slow, but rare.
"""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

#: A count that a database column takes.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


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


AnyAnswer = TypeVar("AnyAnswer", bound=msgspec.Struct)
_BOM = b"\xef\xbb\xbf"


def parse(body: bytes, kind: type[AnyAnswer]) -> AnyAnswer:
    """*body* as a *kind*. Raises ValueError or RecursionError for what is no JSON object, and nothing else."""
    body = body.removeprefix(_BOM)
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.DecodeError:
        # Not as it should be: a wrong type, or half a surrogate pair. Rare, so this way may be slow.
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError(f"a JSON {type(value).__name__}, not an object") from None  # noqa: TRY004
        mended: AnyAnswer = _mended(value, kind)
        return mended


def _mended(value: Any, kind: Any) -> Any:
    """*value* as a *kind* (a struct, a list, a plain type, or one of these or None); None where it cannot be one."""
    kinds = [k for k in get_args(kind) if k is not NoneType]
    if get_origin(kind) is list:
        return [_mended(element, kinds[0]) for element in value] if isinstance(value, list) else None
    if get_origin(kind) is not Annotated and kinds:
        return _mended(value, kinds[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return kind(**{f.name: _mended(value.get(f.encode_name), f.type) for f in msgspec.structs.fields(kind)})
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).encode("utf-8", "replace").decode()
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None
