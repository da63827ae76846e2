"""What api.spotify.com/v1 answers, as JSON-shaped dicts.

In: a world, the path and parameters of one call, and whose token came with it. Out: an ``Answer``. In the mode
``development``, as Spotify treats new apps since February 2026: 10 rows a search, no batches, and fields left out;
in ``extended`` as before. The shapes are those of recorded answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lastfm_crawl.sandbox.answers import Answer
from lastfm_crawl.sandbox.model import OfWorld
from lastfm_crawl.sandbox.spotify_accounts import Access, Accounts, error
from lastfm_crawl.sandbox.spotify_catalogue import Album, Artist, Catalogue, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lastfm_crawl.sandbox.model import World

T = TypeVar("T")
Json = dict[str, Any]
Mode = Literal["development", "extended"]

#: The market in which recordings are to be had on their last album only: asked for there, another id is answered.
RELINKING_MARKET = "JP"
MAX_QUERY = 250
_MARKETS = ("DE", "GB", RELINKING_MARKET, "US")
_ID = re.compile(r"[0-9A-Za-z]{22}")
_FILTER = re.compile(r'\b(artist|track|album|isrc):(?:"([^"]*)"|(\S+))')
#: Of a top list, which rows are left out (every fifth, every second): enough to see which time range was asked for.
_TIME_RANGES = {"long_term": 0, "medium_term": 5, "short_term": 2}
_TYPES = ("artist", "track")


class Spotify:
    """The stand-in. ``mode`` and ``user`` (who consents to a login; "": the world's first) may change at any time."""

    def __init__(self) -> None:
        self.mode: Mode = "development"
        self.user = ""
        self.accounts = Accounts()
        self.catalogue = OfWorld(Catalogue)

    def consenting(self, world: World) -> str:
        """Give the user who consents."""
        return self.user or next((user.name for user in world.users.values()), "")

    def answer(self, world: World, method: str, params: Mapping[str, str], access: Access) -> Answer:
        """Answer one call from what the world holds."""
        call = _Call(world, self.catalogue(world), params, access, extended=self.mode == "extended")
        known = _METHODS.get(method)
        try:
            return Answer(200, known(call)) if known else error(404, "Service not found")
        except _RefusedError as refused:
            return refused.answer


def route_of(path: str) -> tuple[str, dict[str, str]]:
    """Name what a path below /v1/ asks for, ``spotify.artist``, and the parameters that are part of it."""
    match path.strip("/").split("/"):
        case ["artists" | "tracks" as kind, wanted]:
            return f"spotify.{kind[:-1]}", {"id": wanted}
        case ["me", "top", "artists" | "tracks" as kind]:
            return "spotify.top", {"kind": kind}
        case ["search" | "artists" | "tracks" | "me" as name]:
            return f"spotify.{name}", {}
        case _:
            return "spotify.unknown", {"path": path}


def with_null(body: Json) -> Json:
    """Give a copy of an answer whose page ends in a null, as some do."""
    if isinstance(body.get("items"), list):
        return {**body, "items": [*body["items"], None]}
    return {name: with_null(value) if isinstance(value, dict) else value for name, value in body.items()}


class _RefusedError(Exception):
    """A call that gets an error answer."""

    def __init__(self, status: int, message: str) -> None:
        self.answer = error(status, message)


class _Call:
    """One call, with the checks that several methods share."""

    def __init__(
        self, world: World, music: Catalogue, params: Mapping[str, str], access: Access, *, extended: bool
    ) -> None:
        self.world, self.music, self.params, self.access, self.extended = world, music, params, access, extended

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Read a number within bounds, or refuse the call."""
        text = self.params.get(name, str(default))
        if not re.fullmatch(r"-?\d{1,9}", text) or not low <= int(text) <= high:
            raise _RefusedError(400, f"Invalid {name}")
        return int(text)

    @property
    def id(self) -> str:
        """The id asked for, when it may be one."""
        if not _ID.fullmatch(self.params["id"]):
            raise _RefusedError(400, "Invalid base62 id")
        return self.params["id"]

    @property
    def ids(self) -> list[str]:
        """The ids of a batch, which development mode does not have."""
        if not self.extended:
            raise _RefusedError(403, "Forbidden")
        ids = self.params.get("ids", "").split(",")
        if len(ids) > 50:
            raise _RefusedError(400, "Too many ids requested")
        if not all(_ID.fullmatch(wanted) for wanted in ids):
            raise _RefusedError(400, "Invalid base62 id")
        return ids

    def user(self, scope: str = "") -> str:
        """The user whose token it is."""
        if not self.access.user:
            raise _RefusedError(401, "Valid user authentication required")
        if scope and scope not in self.access.scope.split():
            raise _RefusedError(403, "Insufficient client scope")
        return self.access.user

    def paged(self, rows: Sequence[T], show: Callable[[_Call, T], Json], path: str, limit: int, offset: int) -> Json:
        """Show one page of the rows."""
        href = f"https://api.spotify.com/v1/{path}"
        end = offset + limit
        return {
            "href": f"{href}?offset={offset}&limit={limit}",
            "items": [show(self, row) for row in rows[offset:end]],
            "limit": limit,
            "next": f"{href}?offset={end}&limit={limit}" if end < len(rows) else None,
            "offset": offset,
            "previous": f"{href}?offset={max(0, offset - limit)}&limit={limit}" if offset else None,
            "total": len(rows),
        }


# --- entities --------------------------------------------------------------------------


def _named(kind: str, entity: Artist | Album | Track) -> Json:
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{entity.id}"},
        "href": f"https://api.spotify.com/v1/{kind}s/{entity.id}",
        "id": entity.id,
        "name": entity.name,
        "type": kind,
        "uri": f"spotify:{kind}:{entity.id}",
    }


def _images(entity: Artist | Album) -> list[Json]:
    if entity.id[0].isupper():  # some have none
        return []
    return [{"height": size, "url": f"https://i.scdn.co/image/{entity.id}{size}", "width": size} for size in (640, 64)]


def _artist(call: _Call, artist: Artist) -> Json:
    shown = {**_named("artist", artist), "genres": [], "images": _images(artist)}
    if call.extended:
        shown["genres"] = list(artist.genres)
        shown["followers"] = {"href": None, "total": artist.popularity**3}
        shown["popularity"] = artist.popularity
    return shown


def _album(call: _Call, album: Album) -> Json:
    shown = {
        **_named("album", album),
        "album_type": album.kind,
        "artists": [_named("artist", album.artist)],
        "images": _images(album),
        "release_date": album.date,
        "release_date_precision": album.precision,
        "total_tracks": album.tracks,
    }
    return {**shown, "available_markets": list(_MARKETS)} if call.extended else shown


def _track(call: _Call, asked: Track) -> Json:
    track = call.music.elsewhere(asked) if call.params.get("market") == RELINKING_MARKET else asked
    shown = {
        **_named("track", track),
        "album": _album(call, track.album),
        "artists": [_named("artist", track.artist)],
        "disc_number": 1,
        "duration_ms": track.duration_ms,
        "explicit": track.duration_ms % 7 == 0,
        "external_ids": {"isrc": track.isrc},
        "is_local": False,
        "preview_url": None,
        "track_number": track.number,
    }
    if call.params.get("market"):
        shown["is_playable"] = True
    if call.extended:
        shown["popularity"] = track.popularity
        if not call.params.get("market"):
            shown["available_markets"] = list(_MARKETS)
        if track.id != asked.id:
            shown["linked_from"] = {name: value for name, value in _named("track", asked).items() if name != "name"}
    return shown


# --- methods ---------------------------------------------------------------------------


def _one_artist(call: _Call) -> Json:
    artist = call.music.artists.get(call.id)
    if artist is None:
        raise _RefusedError(404, "Resource not found")
    return _artist(call, artist)


def _one_track(call: _Call) -> Json:
    track = call.music.tracks.get(call.id)
    if track is None:
        raise _RefusedError(404, "Resource not found")
    return _track(call, track)


def _artists(call: _Call) -> Json:
    found = [call.music.artists.get(wanted) for wanted in call.ids]
    return {"artists": [artist and _artist(call, artist) for artist in found]}


def _tracks(call: _Call) -> Json:
    found = [call.music.tracks.get(wanted) for wanted in call.ids]
    return {"tracks": [track and _track(call, track) for track in found]}


def _search(call: _Call) -> Json:
    query, types = call.params.get("q", "").strip(), call.params.get("type", "").split(",")
    limit = call.number("limit", 20, 1, 50) if call.extended else call.number("limit", 5, 1, 10)
    offset = call.number("offset", 0, 0, 1000 - limit)
    if not query:
        raise _RefusedError(400, "No search query")
    if len(query) > MAX_QUERY:
        raise _RefusedError(400, f"Query exceeds maximum length of {MAX_QUERY} characters")
    if not set(types) <= set(_TYPES):
        raise _RefusedError(400, "Bad search type field")
    filters = {name: quoted or plain for name, quoted, plain in _FILTER.findall(query)}
    words = _FILTER.sub(" ", query).replace('"', " ").strip()
    found: Json = {}
    if "artist" in types:
        artists = call.music.find_artists(filters.get("artist", ""), words) if filters.keys() <= {"artist"} else []
        found["artists"] = call.paged(_shown(artists, limit, offset), _artist, "search", limit, offset)
    if "track" in types:
        tracks = _found_tracks(call.music, filters, words)
        found["tracks"] = call.paged(_shown(tracks, limit, offset), _track, "search", limit, offset)
    return found


def _shown(hits: list[T], limit: int, offset: int) -> list[T]:
    """Put the second before the first when one alone is asked for: such a page may show another than a longer one."""
    return hits[1:2] + hits[:1] + hits[2:] if limit == 1 and not offset else hits


def _found_tracks(music: Catalogue, filters: Mapping[str, str], words: str) -> list[Track]:
    if "isrc" in filters:
        return music.by_isrc(filters["isrc"])
    return music.find_tracks(**filters, words=words)


def _me(call: _Call) -> Json:
    name = call.user()
    account = re.sub(r"\W", "", name).lower() or "somebody"
    shown = {**_account(account), "display_name": name, "images": []}
    if call.extended:
        shown |= {"country": "GB", "product": "premium", "followers": {"href": None, "total": 0}}
        shown["explicit_content"] = {"filter_enabled": False, "filter_locked": False}
    return shown


def _account(account: str) -> Json:
    return {
        "external_urls": {"spotify": f"https://open.spotify.com/user/{account}"},
        "href": f"https://api.spotify.com/v1/users/{account}",
        "id": account,
        "type": "user",
        "uri": f"spotify:user:{account}",
    }


def _top(call: _Call) -> Json:
    user, kind = call.user("user-top-read"), call.params["kind"]
    limit, offset = call.number("limit", 20, 1, 50), call.number("offset", 0, 0, 10_000)
    time_range = call.params.get("time_range", "medium_term")
    if time_range not in _TIME_RANGES:
        raise _RefusedError(400, "Invalid time_range")
    left_out = _TIME_RANGES[time_range]

    def within(ids: Iterable[str | None]) -> list[str]:
        known = filter(None, ids)  # not all that is played is here
        return [i for place, i in enumerate(known, 1) if not left_out or place % left_out]

    path = f"me/top/{kind}"
    if kind == "artists":
        ids = within(call.music.artist_ids.get(row.artist) for row in call.world.top_artists(user))
        return call.paged([call.music.artists[i] for i in ids], _artist, path, limit, offset)
    ids = within(call.music.track_ids.get((row.artist, row.track)) for row in call.world.top_tracks(user))
    return call.paged([call.music.tracks[i] for i in ids], _track, path, limit, offset)


_METHODS: Mapping[str, Callable[[_Call], Json]] = {
    "spotify.search": _search,
    "spotify.artist": _one_artist,
    "spotify.track": _one_track,
    "spotify.artists": _artists,
    "spotify.tracks": _tracks,
    "spotify.me": _me,
    "spotify.top": _top,
}
