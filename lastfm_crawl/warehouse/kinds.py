"""The kinds of rows that leave the warehouse: which view each is read from, and what its columns hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Type = Literal["text", "integer", "float", "boolean", "time"]


class Column(NamedTuple):
    """A column; ``required``: it is never null."""

    name: str
    type: Type
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one kind, named as their view and as the table that takes them.

    ``owner`` is the column with the user's name; None: they belong to nobody, and go as a whole. The required columns
    are the natural key.
    """

    view: str
    owner: str | None
    columns: tuple[Column, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell one row from the others."""
        return tuple(column.name for column in self.columns if column.required)


KINDS = {
    "users": Kind(
        "lastfm_users",
        "username",
        (
            Column("username", "text", required=True),
            Column("realname", "text"),
            Column("country", "text"),
            Column("url", "text"),
            Column("playcount", "integer"),
            Column("registered_at", "time"),
            Column("crawl_seed", "text"),
            Column("crawl_depth", "integer"),
            Column("status", "text"),
            Column("status_detail", "text"),
            Column("discovered_at", "time"),
        ),
    ),
    "friends": Kind(
        "lastfm_friends",
        "username",
        (Column("username", "text", required=True), Column("friend", "text", required=True)),
    ),
    "artists": Kind(
        "lastfm_user_artists",
        "lastfm_username",
        (
            Column("lastfm_username", "text", required=True),
            Column("artist_name", "text", required=True),
            Column("playcount", "integer"),
            Column("rank", "integer"),
            Column("spotify_artist_id", "text"),
            Column("spotify_artist_name", "text"),
            Column("match_confidence", "float"),
            Column("imported_at", "time"),
        ),
    ),
    "scrobbles": Kind(
        "lastfm_scrobbles",
        "username",
        (
            Column("username", "text", required=True),
            Column("scrobbled_at", "time", required=True),
            Column("track_name", "text", required=True),
            Column("artist_name", "text", required=True),
            Column("album_name", "text"),
            Column("track_mbid", "text"),
            Column("artist_mbid", "text"),
            Column("album_mbid", "text"),
            Column("release_year", "integer"),
            Column("augmentation_status", "text"),
        ),
    ),
    "tracks": Kind(
        "lastfm_user_tracks",
        "username",
        (
            Column("username", "text", required=True),
            Column("artist_name", "text", required=True),
            Column("track_name", "text", required=True),
            Column("playcount", "integer"),
            Column("first_scrobbled_at", "time"),
            Column("last_scrobbled_at", "time"),
            Column("loved", "boolean"),
            Column("sync_count", "integer"),
        ),
    ),
    "songs": Kind(
        "songs",
        None,
        (
            Column("id", "text", required=True),
            Column("artist", "text"),
            Column("title", "text"),
            Column("canonical_id", "text"),
            Column("isrc", "text"),
            Column("spotify_id", "text"),
        ),
    ),
}
#: Of which kinds of rows that what a sink takes is made: a user with the artists as one document, for example.
PARTS: Mapping[str, tuple[str, ...]] = {**{kind: (kind,) for kind in KINDS}, "documents": ("users", "artists")}
