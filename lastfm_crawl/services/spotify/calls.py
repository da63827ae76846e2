"""What is asked: one :class:`Call` a question, its URL and its place in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from lastfm_crawl.httpcache.keys import param_text, request_key
from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Rows a search may have in development mode (more: HTTP 400 "Invalid limit"); extended mode takes 50.
SEARCH_LIMIT = 10
#: Ids a batch may have; in development mode there are no batches.
MAX_IDS = 50
#: Characters that a query may have. The reference names no bound; others met 404 and 400 from 101 on.
MAX_QUERY = 100
TYPES = ("artist", "track")
KINDS = ("artists", "tracks")
TIME_RANGES = ("short_term", "medium_term", "long_term")
#: Rows a page of a top list may have, in either mode.
TOP_LIMIT = 50

#: The methods whose answers we can read, and the parameters that each must have.
METHODS: dict[str, frozenset[str]] = {
    "spotify.search": frozenset({"limit", "type"}),
    "spotify.artist": frozenset({"id"}),
    "spotify.track": frozenset({"id"}),
    "spotify.artists": frozenset({"ids"}),
    "spotify.tracks": frozenset({"ids"}),
    "spotify.top": frozenset({"user", "kind", "limit", "offset", "time_range"}),
    "spotify.me": frozenset({"user"}),
}
#: Those whose answers are about a person.
PERSONAL = frozenset(method for method, needed in METHODS.items() if "user" in needed)
_PATHS = {
    "spotify.search": "search",
    "spotify.artist": "artists/{id}",
    "spotify.track": "tracks/{id}",
    "spotify.artists": "artists",
    "spotify.tracks": "tracks",
    "spotify.top": "me/top/{kind}",
    "spotify.me": "me",
}
#: The words of a search, by the name of their field filter, in the order in which they stand in the query.
WORDS = ("artist", "track", "album", "isrc")

_APOSTROPHES = re.compile("['\u2018\u2019\u00b4`]")
_NO_WORD = re.compile('["\x00-\x1f\x7f-\x9f\ud800-\udfff]+')


@dataclass(frozen=True, slots=True)
class Call:
    """One question to Spotify: the method, the parameters sorted by name, and the Last.fm user whom it is about.

    A search has its words among the parameters as they were given (``artist``, ``track``, ``album``, ``isrc``): it is
    :meth:`url` that makes a query of them, so the envelope and the item tell exactly what was looked for.
    """

    method: str
    params: tuple[tuple[str, str], ...] = ()
    user: str = ""

    @classmethod
    def of(cls, method: str, params: Mapping[str, str]) -> Call:
        """The question whose *method* and *params* an envelope records. Raises KeyError when they lack a parameter, and
        ValueError for a method that we do not know or a number that is none.
        """
        if method not in METHODS:
            raise ValueError(f"{method} is no method that we know")
        for name in METHODS[method]:
            if not params[name]:
                raise ValueError(f"{method} without {name}")
        for name in ("limit", "offset"):
            if int(params.get(name, "1")) < (name == "limit"):
                raise ValueError(f"{params[name]} is no {name}")
        if params.get("kind", "artists") not in KINDS or params.get("type", "artist") not in TYPES:
            raise ValueError(f"{method} of nothing that we know")
        others = tuple(sorted((name, value) for name, value in params.items() if name != "user"))
        call = cls(method, others, params["user"] if "user" in METHODS[method] else "")
        if method == "spotify.search" and not call.asked:
            raise KeyError("artist")
        return call

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter, and the user: what the envelope records."""
        return {**dict(self.params), "user": self.user} if self.user else dict(self.params)

    @property
    def asked(self) -> tuple[str, ...]:
        """What is looked for: the ids, or the words of a search in the order artist, track, album, isrc."""
        params = dict(self.params)
        if "ids" in params:
            return tuple(params["ids"].split(","))
        return tuple(params[name] for name in ("id", *WORDS) if name in params)

    @property
    def subject(self) -> str:
        """One text for what is looked for, different for different :attr:`asked`: an id, a name, or several named."""
        params = dict(self.params)
        named = [(name, params[name]) for name in ("id", "ids", *WORDS) if name in params]
        return named[0][1] if len(named) == 1 else ",".join(f"{name}={param_text(text)}" for name, text in named)

    @property
    def list_params(self) -> str:
        """The parameters beside :attr:`subject`, user and page: ``limit=10,type=artist``."""
        return ",".join(f"{k}={v}" for k, v in self.params if k not in {"id", "ids", "offset", *WORDS})

    @property
    def page(self) -> int:
        """Which page of a top list is asked for, from 1."""
        params = dict(self.params)
        return int(params["offset"]) // int(params["limit"]) + 1 if "offset" in params else 1

    @property
    def store_key(self) -> str:
        """Where the answer is stored: ``requests/spotify/{method}/[{id or user}/]{params}.json.gz``."""
        params = dict(self.params)
        folder = user_key(self.user) if self.user else params.pop("id", "")
        return request_key(("spotify", self.method.partition(".")[2], *filter(None, [folder])), params)

    def __str__(self) -> str:
        if self.user:
            return f"{self.method} of {self.user}" + (f" ({self.list_params})" if self.params else "")
        return f"{self.method} of " + (f"{len(self.asked)} ids" if len(self.asked) > 1 and self._ids else self.subject)

    def url(self, api: str) -> str:
        """The URL below *api*, parameters sorted: the same call always has the same URL. It does not name the user."""
        params = dict(self.params)
        path = _PATHS[self.method].format(id=quote(params.pop("id", ""), safe=""), kind=params.pop("kind", ""))
        if words := {word: params.pop(word) for word in WORDS if word in params}:
            params["q"] = _query(words)
        parts = urlsplit(api)
        below = f"{parts.path.rstrip('/')}/{path}"
        return urlunsplit(parts._replace(path=below, query=urlencode(sorted(params.items()))))

    @property
    def _ids(self) -> bool:
        return self.method in {"spotify.artists", "spotify.tracks"}


def _query(words: Mapping[str, str]) -> str:
    """Field filters for *words*, each a quoted phrase: inside quotes no ``:``, ``*``, ``-``, NOT or OR means anything.

    There is no way to write a double quote in a phrase, so it becomes a blank, and apostrophes go, for a filter that
    holds one finds nothing (github.com/spotify/web-api issues 1041 and 1212). What is too long is cut at a blank.
    """
    if "isrc" in words:
        return f"isrc:{words['isrc']}"
    room = (MAX_QUERY + 1) // len(words)
    return " ".join(f'{name}:"{_cut(_clean(text), room - len(name) - 4)}"' for name, text in words.items())


def _clean(text: str) -> str:
    return " ".join(_NO_WORD.sub(" ", _APOSTROPHES.sub("", text)).split()) or "?"


def _cut(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return text[: room + 1].rpartition(" ")[0] or text[:room]


def _search(words: Mapping[str, str], type_: str, limit: int, market: str) -> Call:
    params = {**words, "limit": str(limit), "market": market, "type": type_}
    return Call("spotify.search", tuple(sorted((name, value) for name, value in params.items() if value)))


def search_artists(name: str, limit: int = SEARCH_LIMIT, *, market: str = "") -> Call:
    """The artists whose name is like *name*. Fewer than 5 rows may have another first one: ask for more and choose."""
    return _search({"artist": name}, "artist", limit, market)


def search_tracks(artist: str, title: str, limit: int = SEARCH_LIMIT, *, album: str = "", market: str = "") -> Call:
    """The tracks like *title* of artists like *artist* on albums like *album*; what is "" is not part of the search."""
    return _search({"artist": artist, "track": title, "album": album}, "track", limit, market)


def search_isrc(isrc: str, limit: int = SEARCH_LIMIT, *, market: str = "") -> Call:
    """The tracks with the recording code *isrc* (with or without hyphens): one, or one for each re-issue."""
    return _search({"isrc": re.sub(r"[^0-9A-Z]", "", isrc.upper())}, "track", limit, market)


def get_artist(artist_id: str) -> Call:
    """One artist."""
    return Call("spotify.artist", (("id", artist_id),))


def get_track(track_id: str, *, market: str = "") -> Call:
    """One track. With a *market* (``DE``) the answer may be about another id, which is to be had there."""
    return Call("spotify.track", (("id", track_id), *_market(market)))


def get_artists(ids: Iterable[str]) -> Call:
    """Up to 50 artists. Raises ValueError for none or more."""
    return Call("spotify.artists", (("ids", _batch(ids)),))


def get_tracks(ids: Iterable[str], *, market: str = "") -> Call:
    """Up to 50 tracks. Raises ValueError for none or more."""
    return Call("spotify.tracks", (("ids", _batch(ids)), *_market(market)))


def get_top(user: str, kind: str, time_range: str, limit: int = TOP_LIMIT, offset: int = 0) -> Call:
    """A page of the *kind* (``artists`` or ``tracks``) that the Spotify account logged in for *user* plays most."""
    if kind not in KINDS or time_range not in TIME_RANGES:
        raise ValueError(f"no top list of {kind} in {time_range}")
    params = (("kind", kind), ("limit", str(limit)), ("offset", str(offset)), ("time_range", time_range))
    return Call("spotify.top", params, user)


def get_me(user: str) -> Call:
    """The Spotify account that is logged in for *user*."""
    return Call("spotify.me", (), user)


def _market(market: str) -> tuple[tuple[str, str], ...]:
    return (("market", market),) if market else ()


def _batch(ids: Iterable[str]) -> str:
    """The ids sorted and each once, so that the same question has the same key."""
    batch = sorted(set(ids))
    if not 1 <= len(batch) <= MAX_IDS:
        raise ValueError(f"a batch has 1 to {MAX_IDS} ids, not {len(batch)}")
    return ",".join(batch)
