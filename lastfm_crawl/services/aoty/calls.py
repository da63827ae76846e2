"""What is asked: one :class:`Call` a page, its URL and its place in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from lastfm_crawl.httpcache.keys import SUFFIX, request_key, segment

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The site; its pages name themselves by it, wherever they are served from.
SITE = "https://www.albumoftheyear.org/"
#: The methods whose answers we can read, and the parameters that each must have.
METHODS: dict[str, frozenset[str]] = {
    "aoty.album": frozenset({"id"}),
    "aoty.artist": frozenset({"id"}),
    "aoty.list": frozenset({"path", "page"}),
}
#: What robots.txt is reported to disallow, and what is somebody's account: never asked for.
DISALLOWED = frozenset({"account", "scripts", "search", "user"})
#: The highest id that a column takes; the site's are below 2,000,000 so far.
MAX_ID = 2**31 - 1

_SLUG = r"[^/?#\s\"'<>\\]{1,200}?"
_PAGES = {
    kind: re.compile(
        rf"(?:https?://(?:www\.)?albumoftheyear\.org)?/{kind}/(\d{{1,10}})(?:-({_SLUG}))?(?:\.php|/|$|[?#])", re.ASCII
    )
    for kind in ("album", "artist")
}
_PATH = re.compile(r"[0-9A-Za-z_-]{1,100}(?:/[0-9A-Za-z_-]{1,100}){0,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """One question: the method, and the parameters sorted by name. The slug of an id is only part of its URL."""

    method: str
    params: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, method: str, params: Mapping[str, str]) -> Call:
        """The question whose *method* and *params* an envelope records. Raises KeyError when they lack a parameter, and
        ValueError for a method that we do not know or a number that is none.
        """
        if method not in METHODS:
            raise ValueError(f"{method} is no method that we know")
        missing = METHODS[method] - params.keys()
        if missing:
            raise KeyError(min(missing))
        if method == "aoty.list":
            return get_list(params["path"], int(params["page"]))
        return _by_id(method, params["id"], params.get("slug", ""))

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter: what the envelope records."""
        return dict(self.params)

    @property
    def id(self) -> int:
        """The id that is asked for; 0 for a list."""
        return int(dict(self.params).get("id", "0"))

    @property
    def page(self) -> int:
        """Which page of a list is asked for, from 1."""
        return int(dict(self.params).get("page", "1"))

    @property
    def subject(self) -> str:
        """What is looked at: an id, or the path of a list."""
        params = dict(self.params)
        return params.get("id") or params["path"]

    @property
    def list_params(self) -> str:
        """The parameters beside :attr:`subject`, page and slug: there are none."""
        return ""

    @property
    def store_key(self) -> str:
        """``requests/aoty/album/{id}.json.gz``, ``requests/aoty/list/{path}/page={n}.json.gz``."""
        kind = self.method.partition(".")[2]
        params = dict(self.params)
        if kind == "list":
            return request_key(("aoty", kind, params["path"]), {"page": params["page"]})
        return f"requests/aoty/{kind}/{segment(params['id'])}{SUFFIX}"

    def url(self, api: str) -> str:
        """The URL below *api*."""
        kind = self.method.partition(".")[2]
        params = dict(self.params)
        if kind == "list":
            below = f"{params['path']}/{params['page']}/"
        else:
            name = "-".join(filter(None, [params["id"], params.get("slug")]))
            below = f"{kind}/{name}" + (".php" if kind == "album" else "/")
        parts = urlsplit(api)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{below}"))

    def __str__(self) -> str:
        page = f" (page {self.page})" if self.method == "aoty.list" else ""
        return f"{self.method} of {self.subject}{page}"


def get_album(url_or_id: str | int, slug: str = "") -> Call:
    """The page of one album. Raises ValueError for what names none."""
    return _by_id("aoty.album", url_or_id, slug)


def get_artist(url_or_id: str | int, slug: str = "") -> Call:
    """The albums of one artist. Raises ValueError for what names none."""
    return _by_id("aoty.artist", url_or_id, slug)


def get_list(path: str, page: int = 1) -> Call:
    """A page of a chart: *path* is ``ratings/user-highest-rated/2024``. Raises ValueError for what may not be asked."""
    path = path.strip("/")
    if not _PATH.fullmatch(path) or path.partition("/")[0] in DISALLOWED:
        raise ValueError(f"{path!r} is no list that may be asked for")
    if page < 1:
        raise ValueError(f"{page} is no page")
    return Call("aoty.list", (("page", str(page)), ("path", path)))


def page_of(kind: str, url: str) -> tuple[int, str] | None:
    """Id and slug of the *kind* of page (``album``, ``artist``) that a URL or a path leads to; None for another."""
    found = _PAGES[kind].match(url)
    if found is None or not 0 < int(found[1]) <= MAX_ID:
        return None
    return int(found[1]), found[2] or ""


def album_url(album_id: int, slug: str) -> str:
    """The address of an album, whichever form of it was met."""
    return get_album(album_id, slug).url(SITE)


def _by_id(method: str, url_or_id: str | int, slug: str) -> Call:
    kind = method.partition(".")[2]
    named = str(url_or_id)
    found = page_of(kind, f"/{kind}/{named}-{slug}/" if slug else f"/{kind}/{named}/") if named.isdecimal() else None
    found = found or page_of(kind, named)
    if found is None:
        raise ValueError(f"{named!r} is no {kind} of {SITE}")
    number, slug = found
    return Call(method, (("id", str(number)), *([("slug", slug)] if slug else [])))
