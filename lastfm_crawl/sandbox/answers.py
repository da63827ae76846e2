"""What ws.audioscrobbler.com/2.0 answers, as JSON-shaped dicts.

In: a world and the parameters of one call. Out: an ``Answer``: HTTP status and body. Pure, no HTTP. The
shapes are those of recorded answers; where two methods show one field in two types, so do we.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote_plus

from lastfm_crawl.sandbox.model import Loved, TrackPlays, User, World, duration_of, mbid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lastfm_crawl.sandbox.history import Scrobble

T = TypeVar("T")
Json = dict[str, Any]

MAX_LIMIT = 1000
MAX_PAGE = 1_000_000
# A shorter period shows this fraction of the plays: enough to see which period was asked for.
PERIODS = {"overall": 1, "12month": 3, "6month": 6, "3month": 12, "1month": 36, "7day": 150}
MESSAGES = {
    3: "Invalid Method - No method with that name in this package",
    4: "Authentication Failed - You do not have permissions to access the service",
    5: "Invalid format - This service doesn't exist in that format",
    6: "Invalid parameters - Your request is missing a required parameter",
    8: "Operation failed - Most likely the backend service failed. Please try again.",
    9: "Invalid session key - Please re-authenticate",
    10: "Invalid API key - You must be granted a valid key by last.fm",
    11: "Service Offline - This service is temporarily offline. Try again later.",
    13: "Invalid method signature supplied",
    14: "Unauthorized Token - This token has not been authorized",
    15: "Unauthorized Token - This token has expired",
    16: "There was a temporary error processing your request. Please try again",
    17: "Login: User required to be logged in",
    26: "Suspended API key - Access for your account has been suspended, please contact Last.fm",
    29: "Rate Limit Exceeded - Your IP has made too many requests in a short period",
}
_SIZES = (("small", "34s"), ("medium", "64s"), ("large", "174s"), ("extralarge", "300x300"))
_PLACEHOLDER = "2a96cbd8b46e442fc41c2b86b821562f"
# The list of weeks as it was on 2025-11-23; it starts on Sunday 2005-02-13 12:00 UTC, whoever asks.
_FIRST_WEEK, _WEEK, _WEEKS = 1_108_296_000, 604_800, 1_084
_STREAMABLE = {"fulltrack": "0", "#text": "0"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer before it is put on the wire."""

    status: int
    body: Json


@dataclass(frozen=True, slots=True)
class _Call:
    """One checked call: the user is there and the page is within bounds."""

    world: World
    user: User
    params: Mapping[str, str]
    limit: int
    page: int
    unwrap_single: bool
    viewer: str

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        """Cut this call's page out of all rows."""
        return rows[(self.page - 1) * self.limit : self.page * self.limit]

    def attr(self, total: int) -> Json:
        """Say which page this is; all values are strings."""
        return {
            "user": self.user.name,
            "page": str(self.page),
            "perPage": str(self.limit),
            "total": str(total),
            "totalPages": str(-(-total // self.limit)),
        }

    def listed(self, rows: list[Json]) -> list[Json] | Json:
        """Show a list of one as the bare object when the world is served that way (seen in old answers)."""
        return rows[0] if self.unwrap_single and len(rows) == 1 else rows


class _RefusedError(Exception):
    """A call that gets an error answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def error(code: int, status: int, message: str = "") -> Answer:
    """Build an error answer; ``error`` is a JSON number, unlike every other number of this API."""
    return Answer(status, {"error": code, "message": message or MESSAGES.get(code, f"Error {code}")})


def answer(world: World, params: Mapping[str, str], *, unwrap_single: bool = False, viewer: str = "") -> Answer:
    """Answer one call from what the world holds; *viewer* is the user in whose name it is asked."""
    try:
        _check_key(params.get("api_key", ""))
        if params.get("method", "").lower() == "track.gettoptags":
            return Answer(200, _track_tags(world, params, unwrap_single=unwrap_single))
        method = _METHODS.get(params.get("method", "").lower())
        if method is None:
            return error(3, 400)
        return Answer(200, method(_check_call(world, params, viewer, unwrap_single=unwrap_single)))
    except _RefusedError as refused:
        return refused.answer


def _check_key(key: str) -> None:
    if not key:
        raise _RefusedError(error(6, 400))
    if key.startswith("invalid"):
        raise _RefusedError(error(10, 403))
    if key.startswith("suspended"):
        raise _RefusedError(error(26, 403))


def _check_call(world: World, params: Mapping[str, str], viewer: str, *, unwrap_single: bool) -> _Call:
    limit = _bounded(params, "limit", MAX_LIMIT, default=50)
    page = _bounded(params, "page", MAX_PAGE, default=1)
    if not params.get("user"):
        raise _RefusedError(error(6, 400))
    user = world.user(params["user"])
    if user is None or user.status == "deleted":
        raise _RefusedError(error(6, 404, "User not found"))
    return _Call(world, user, params, limit, page, unwrap_single, viewer)


def _bounded(params: Mapping[str, str], name: str, maximum: int, default: int) -> int:
    text = params.get(name, str(default))
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= value <= maximum:
        raise _RefusedError(error(6, 400, f"{name} param out of bounds (1-{maximum})"))
    return value


# --- one function per method ----------------------------------------------------------


def _user_info(call: _Call) -> Json:
    user, name = call.user, call.user.name
    artists, tracks = len(call.world.top_artists(name)), len(call.world.top_tracks(name))
    counts = {
        "artist_count": str(artists),
        "album_count": str(artists),  # the world has no albums per user: one for each artist
        "track_count": str(tracks),
    }
    registered = {
        "unixtime": str(user.registered),
        "#text": user.registered,
    }  # an integer, in this method only
    return {"user": {**_profile(user), "age": "0", "gender": "n", **counts, "registered": registered}}


def _friends(call: _Call) -> Json:
    friends = call.world.friends_of(call.user.name)
    page = call.cut(friends)
    if not page:
        raise _RefusedError(error(6, 400, "no such page"))
    rows = []
    for user in page:
        date = datetime.fromtimestamp(user.registered, UTC).strftime("%Y-%m-%d %H:%M")
        rows.append({**_profile(user), "registered": {"unixtime": str(user.registered), "#text": date}})
    return {"friends": {"user": call.listed(rows), "@attr": call.attr(len(friends))}}


def _top_artists(call: _Call) -> Json:
    ranked = _in_period(call, [(artist, "", plays) for artist, plays in call.world.top_artists(call.user.name)])
    rows = [
        {
            "@attr": {"rank": str(rank)},
            "name": row.artist,
            "mbid": mbid_of("artist", row.artist),
            "playcount": str(row.playcount),
            "url": _music_url(row.artist),
            "streamable": "0",
            "image": _ARTIST_IMAGES,
        }
        for rank, row in call.cut(ranked)
    ]
    return {"topartists": {"artist": call.listed(rows), "@attr": call.attr(len(ranked))}}


def _top_tracks(call: _Call) -> Json:
    ranked = _in_period(call, call.world.top_tracks(call.user.name))
    rows = [
        {
            "@attr": {"rank": str(rank)},
            "name": row.track,
            "duration": str(duration_of(row.artist, row.track)),  # seconds here, milliseconds in track.getInfo
            "playcount": str(row.playcount),
            "artist": _linked_artist(row.artist),
            "streamable": _STREAMABLE,
            "mbid": mbid_of("track", row.artist, row.track),
            "url": _music_url(row.artist, row.track),
            "image": _TRACK_IMAGES,
        }
        for rank, row in call.cut(ranked)
    ]
    return {"toptracks": {"track": call.listed(rows), "@attr": call.attr(len(ranked))}}


def _loved_tracks(call: _Call) -> Json:
    loved = call.world.loved_tracks(call.user.name)
    rows = [_loved_row(row) for row in call.cut(loved)]
    return {"lovedtracks": {"@attr": call.attr(len(loved)), "track": call.listed(rows)}}


def _loved_row(row: Loved) -> Json:
    return {
        "artist": _linked_artist(row.artist),
        "name": row.track,
        "mbid": mbid_of("track", row.artist, row.track),
        "url": _music_url(row.artist, row.track),
        "date": _date(row.uts),
        "streamable": _STREAMABLE,
        "image": _TRACK_IMAGES,
    }


def _recent_tracks(call: _Call) -> Json:
    if call.user.status == "private" and call.viewer.lower() != call.user.name.lower():
        raise _RefusedError(error(17, 403))
    first, end = (int(t) if (t := call.params.get(k, "")).isdecimal() else 0 for k in ("from", "to"))
    history = call.world.history(call.user.name)
    total, plays = history.page(first, end, (call.page - 1) * call.limit, call.limit)
    extended = call.params.get("extended") == "1"
    rows = [{**_played(recording, extended=extended), "date": _date(uts)} for uts, recording in plays]
    playing = call.world.now_playing(call.user.name)
    if playing:  # extra to limit, not in total, without a date, and with any window
        rows.insert(0, {"@attr": {"nowplaying": "true"}, **_played(playing, extended=extended)})
    return {"recenttracks": {"@attr": call.attr(total), "track": call.listed(rows)}}


def _top_albums(call: _Call) -> Json:
    ranked = _in_period(call, call.world.top_albums(call.user.name))
    rows = [
        {
            "@attr": {"rank": str(rank)},
            "name": row.track,
            "playcount": str(row.playcount),
            "mbid": mbid_of("album", row.artist, row.track),
            "url": _music_url(row.artist, row.track),
            "artist": _linked_artist(row.artist),
            "image": _TRACK_IMAGES,
        }
        for rank, row in call.cut(ranked)
    ]
    return {"topalbums": {"album": call.listed(rows), "@attr": call.attr(len(ranked))}}


def _weekly_chart_list(call: _Call) -> Json:
    starts = range(_FIRST_WEEK, _FIRST_WEEK + _WEEKS * _WEEK, _WEEK)
    weeks = [{"#text": "", "from": str(start), "to": str(start + _WEEK)} for start in starts]
    return {"weeklychartlist": {"chart": weeks, "@attr": {"user": call.user.name}}}


def _track_tags(world: World, params: Mapping[str, str], *, unwrap_single: bool) -> Json:
    """The first tag has 100, whatever the track, the others a share of it; unlike elsewhere these are numbers."""
    artist, track = params.get("artist", ""), params.get("track", "")
    if not artist.strip() or not track.strip():
        raise _RefusedError(error(6, 400))
    known = world.tagged.get((artist.lower(), track.lower()))
    if known is None:
        raise _RefusedError(error(6, 200, "Track not found"))
    rows: list[Json] = [
        {"count": 100 // place, "name": tag, "url": f"https://www.last.fm/tag/{quote_plus(tag)}"}
        for place, tag in enumerate(known.tags, 1)
    ]
    shown = rows[0] if unwrap_single and len(rows) == 1 else rows
    return {"toptags": {"tag": shown, "@attr": {"artist": known.artist, "track": known.track}}}


_METHODS: dict[str, Callable[[_Call], Json]] = {
    "user.getinfo": _user_info,
    "user.getfriends": _friends,
    "user.gettopartists": _top_artists,
    "user.gettoptracks": _top_tracks,
    "user.getlovedtracks": _loved_tracks,
    "user.getrecenttracks": _recent_tracks,
    "user.gettopalbums": _top_albums,
    "user.getweeklychartlist": _weekly_chart_list,
}


def version(world: World, params: Mapping[str, str]) -> int:
    """Say which state of the world the answer to this call shows: only histories change."""
    of_history = params.get("method", "").lower() in {"user.getrecenttracks", "user.gettopalbums"}
    return world.history(params.get("user", "")).version if of_history else 0


# --- parts ----------------------------------------------------------------------------


def _in_period(call: _Call, rows: Sequence[tuple[str, str, int]]) -> list[tuple[int, TrackPlays]]:
    period = call.params.get("period") or "overall"
    if period not in PERIODS:
        raise _RefusedError(error(6, 400, "Invalid parameters - period"))
    part = PERIODS[period]
    kept = (TrackPlays(artist, track, plays // part) for artist, track, plays in rows if plays >= part)
    return list(enumerate(kept, 1))


def _profile(user: User) -> Json:
    """Give the fields that getInfo and getFriends share."""
    return {
        "name": user.name,
        "realname": user.realname,
        "url": f"https://www.last.fm/user/{quote_plus(user.name)}",
        "country": user.country or "None",
        "subscriber": str(int(user.subscriber)),
        "playcount": str(user.playcount),
        "playlists": "0",
        "bootstrap": "0",
        "type": user.type,
        "image": _images(user.avatar),
    }


@lru_cache(maxsize=20_000)
def _played(scrobble: Scrobble, *, extended: bool) -> Json:
    row: Json = {
        "artist": {"mbid": scrobble.artist_mbid, "#text": scrobble.artist},
        "album": {"mbid": scrobble.album_mbid, "#text": scrobble.album},
        "name": scrobble.track,
        "mbid": scrobble.mbid,
        "url": _music_url(scrobble.artist, scrobble.track),
        "streamable": "0",
        "image": _TRACK_IMAGES,
    }
    if extended:
        row["artist"] = {**_linked_artist(scrobble.artist, scrobble.artist_mbid), "image": _TRACK_IMAGES}
        row["loved"] = str(int(scrobble.loved))
    return row


def _linked_artist(artist: str, mbid: str | None = None) -> Json:
    return {
        "name": artist,
        "url": _music_url(artist),
        "mbid": mbid_of("artist", artist) if mbid is None else mbid,
    }


@lru_cache(maxsize=50_000)
def _music_url(artist: str, track: str = "") -> str:
    url = f"https://www.last.fm/music/{quote_plus(artist)}"
    return f"{url}/_/{quote_plus(track)}" if track else url


def _date(uts: int) -> Json:
    day, second = divmod(uts, 86_400)
    return {"uts": str(uts), "#text": f"{_day(day)}, {second // 3600:02}:{second // 60 % 60:02}"}


@lru_cache(maxsize=20_000)
def _day(days: int) -> str:
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%d %b %Y")


def _images(picture: str, *, mega: bool = False) -> list[Json]:
    sizes = (*_SIZES, ("mega", "300x300")) if mega else _SIZES
    base = "https://lastfm.freetls.fastly.net/i/u"
    return [{"size": n, "#text": f"{base}/{size}/{picture}.png" if picture else ""} for n, size in sizes]


_TRACK_IMAGES = _images(_PLACEHOLDER)
_ARTIST_IMAGES = _images(_PLACEHOLDER, mega=True)
