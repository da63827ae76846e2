"""What is asked: one :class:`Call` a question, its URL and its place in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from lastfm_crawl.httpcache.keys import param_text, request_key
from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIODS = ("overall", "7day", "1month", "3month", "6month", "12month")
#: Rows a page of a top list may have (more: HTTP 400, error 6 ``limit param out of bounds (1-1000)``).
MAX_LIMIT = 1000
#: Friends a page: the largest size known to be in use by a big client; the real bound is not documented.
FRIENDS_LIMIT = 500

DAY = 86_400

#: What we call the question for a profile page: the site's business, not the API's, and nothing that a key belongs to.
PAGE_METHOD = "user.page"
#: The methods about users whose answers we can read.
METHODS = frozenset(
    f"user.get{name}"
    for name in ("Info", "Friends", "TopArtists", "TopTracks", "LovedTracks", "RecentTracks", "WeeklyChartList")
) | {PAGE_METHOD}


@dataclass(frozen=True, slots=True)
class Call:
    """One question to Last.fm: the method, the user, and the parameters without key and format, sorted by name."""

    method: str
    user: str
    params: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, method: str, params: Mapping[str, str]) -> Call:
        """The question whose *method* and *params* an envelope records. Raises KeyError when they name no user, and
        ValueError for a method that we do not know.
        """
        if method not in METHODS:
            raise ValueError(f"{method} is no method that we know")
        others = tuple(sorted((name, value) for name, value in params.items() if name != "user"))
        return cls(method, params["user"], others)

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter but key, format and method: what the envelope records."""
        return {**dict(self.params), "user": self.user}

    @property
    def list_params(self) -> str:
        """The parameters that name the list this is a page of: ``limit=1000,period=overall``."""
        return ",".join(f"{k}={v}" for k, v in self.params if k != "page")

    @property
    def page(self) -> int:
        """Which page is asked for, from 1."""
        return int(dict(self.params).get("page", 1))

    @property
    def store_key(self) -> str:
        """Where the answer is stored: ``requests/{method}/{user}/{params}.json.gz``."""
        return request_key((self.method, user_key(self.user)), dict(self.params))

    def __str__(self) -> str:
        return f"{self.method} of {self.user}" + (f" page {self.page}" if self.page > 1 else "")

    def url(self, api: str) -> str:
        """The keyless URL below *api*, parameters sorted: the same call always has the same URL."""
        return _url(api, self)


@dataclass(frozen=True, slots=True)
class PageCall(Call):
    """The question whether the site has a profile page of a user."""

    def __str__(self) -> str:
        return f"the profile page of {self.user}"

    def url(self, api: str) -> str:
        """The page's address below *api*, which is the site here; blanks in old names are pluses, as the site's own."""
        parts = urlsplit(api)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/user/{quote_plus(self.user)}"))


@dataclass(frozen=True, slots=True)
class TagsCall:
    """The question how listeners tag a track, by the names that plays give it: Last.fm is not to correct them."""

    method: ClassVar[str] = "track.getTopTags"
    #: The parameters beside :attr:`subject`.
    list_params: ClassVar[str] = "autocorrect=0"

    artist: str
    track: str

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter but key, format and method: what the envelope records."""
        return {"artist": self.artist, "autocorrect": "0", "track": self.track}

    @property
    def asked(self) -> tuple[str, str]:
        """The artist and the title."""
        return self.artist, self.track

    @property
    def subject(self) -> str:
        """One text for :attr:`asked`, different for different ones: ``artist=…,track=…``."""
        return f"artist={param_text(self.artist)},track={param_text(self.track)}"

    @property
    def store_key(self) -> str:
        """Where the answer is stored: ``requests/track.getTopTags/{artist}/autocorrect=0,track={track}.json.gz``."""
        return request_key((self.method, self.artist), {"autocorrect": "0", "track": self.track})

    def __str__(self) -> str:
        return f"{self.method} of {self.artist}: {self.track}"

    def url(self, api: str) -> str:
        """The keyless URL below *api*, parameters sorted: the same call always has the same URL."""
        return _url(api, self)


def _url(api: str, call: Call | TagsCall) -> str:
    params = {**call.all_params, "format": "json", "method": call.method}
    parts = urlsplit(api)
    return urlunsplit(parts._replace(query=urlencode(sorted(params.items()))))


def call_of(method: str, params: Mapping[str, str]) -> Call | TagsCall:
    """The question whose *method* and *params* an envelope records. Raises KeyError when they lack a parameter, and
    ValueError for a method that we do not know or a track without a name.
    """
    return get_top_tags(params["artist"], params["track"]) if method == TagsCall.method else Call.of(method, params)


def get_info(user: str) -> Call:
    """The profile of *user*."""
    return Call("user.getInfo", user)


def get_page(user: str) -> PageCall:
    """Whether *user* has a profile page."""
    return PageCall(PAGE_METHOD, user)


def get_friends(user: str, page: int = 1) -> Call:
    """A page of the friends of *user*."""
    return Call("user.getFriends", user, (("limit", str(FRIENDS_LIMIT)), ("page", str(page))))


def get_top_artists(user: str, page: int = 1, *, period: str = "overall", limit: int = MAX_LIMIT) -> Call:
    """A page of *limit* (1 to 1000) of the artists that *user* played most in *period*."""
    return Call("user.getTopArtists", user, (("limit", str(limit)), ("page", str(page)), ("period", period)))


def get_recent_tracks(user: str, page: int = 1, *, from_: int, to: int, limit: int = MAX_LIMIT) -> Call:
    """A page of *limit* (1 to 1000) of the scrobbles of *user* with *from_* <= time < *to*, newest first.

    Seconds since 1970; 0 as *from_* is no bound, and alone shows undated plays. *to* is not optional: without it
    every new scrobble moves all rows towards later pages, and a walk over the pages repeats or misses some.
    """
    params = (("from", str(from_)), ("limit", str(limit)), ("page", str(page)), ("to", str(to)))
    return Call("user.getRecentTracks", user, params)


def get_top_tracks(user: str, page: int = 1, *, period: str = "overall", limit: int = MAX_LIMIT) -> Call:
    """A page of *limit* (1 to 1000) of the tracks that *user* played most in *period*."""
    return Call("user.getTopTracks", user, (("limit", str(limit)), ("page", str(page)), ("period", period)))


def get_loved_tracks(user: str, page: int = 1, *, limit: int = MAX_LIMIT) -> Call:
    """A page of *limit* (1 to 1000) of the tracks that *user* loves, latest first."""
    return Call("user.getLovedTracks", user, (("limit", str(limit)), ("page", str(page))))


def get_weekly_chart_list(user: str) -> Call:
    """The weeks for which there are charts: the same for every user."""
    return Call("user.getWeeklyChartList", user)


def get_top_tags(artist: str, track: str) -> TagsCall:
    """The tags of *track* by *artist*. Raises ValueError when either has no name."""
    if not artist or not track:
        raise ValueError(f"no tags of {track!r} by {artist!r}")
    return TagsCall(artist, track)
