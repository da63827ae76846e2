"""What is asked: one :class:`Call` a question, its URL and its place in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from lastfm_crawl.httpcache.keys import param_text, request_key
from lastfm_crawl.matching.titles import group_title, without_featuring

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Rows a search asks for: the right one is seldom further down (the service takes 1 to 100).
SEARCH_LIMIT = 10
#: Characters of a name that are looked for: the beginning of a phrase finds it too, and a URL may have some 8,000.
MAX_PHRASE = 200
#: The artist to whom MusicBrainz credits what is by many.
VARIOUS_ARTISTS = "89ad4ac3-39f7-470e-963a-56509c546377"

_RELEASE, _SEARCH = "musicbrainz.release", "musicbrainz.search"
#: The methods whose answers we can read, and the parameters that each must have.
METHODS: dict[str, frozenset[str]] = {_RELEASE: frozenset({"mbid"}), _SEARCH: frozenset({"limit", "title"})}

_MBID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_LUCENE = re.compile(r'([+\-&|!(){}\[\]^"~*?:\\/])')
_NO_WORD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_VARIOUS = re.compile(r"various artists\b.*|various|v/a|v\.? ?a\.?", re.IGNORECASE)


def is_mbid(text: str) -> bool:
    """Whether *text* has the form of a MusicBrainz id, in either case."""
    return _MBID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Call:
    """One question to MusicBrainz: the method, and the parameters sorted by name.

    A search has the artist and the title among them as they were given: it is :meth:`url` that makes a query of them,
    so the envelope and the item tell exactly what was looked for.
    """

    method: str
    params: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, method: str, params: Mapping[str, str]) -> Call:
        """The question whose *method* and *params* an envelope records. Raises KeyError when they lack a parameter, and
        ValueError for a method that we do not know or a parameter that is not what its name says.
        """
        if method not in METHODS:
            raise ValueError(f"{method} is no method that we know")
        for name in METHODS[method]:
            if not params[name]:
                raise ValueError(f"{method} without {name}")
        if method == _RELEASE:
            return get_release(params["mbid"])
        return search_release_groups(params.get("artist", ""), params["title"], int(params["limit"]))

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter: what the envelope records."""
        return dict(self.params)

    @property
    def asked(self) -> str | tuple[str, str]:
        """What is looked for: the id of a release, or (artist, title) as they were given."""
        params = dict(self.params)
        return params["mbid"] if self.method == _RELEASE else (params.get("artist", ""), params["title"])

    @property
    def subject(self) -> str:
        """One text for :attr:`asked`, different for different ones: the id, or ``artist=…,title=…``."""
        if self.method == _RELEASE:
            return dict(self.params)["mbid"]
        return ",".join(f"{name}={param_text(text)}" for name, text in self.params if name != "limit")

    @property
    def list_params(self) -> str:
        """The parameters beside :attr:`subject`: ``limit=10``."""
        return ",".join(f"{name}={value}" for name, value in self.params if name == "limit")

    @property
    def store_key(self) -> str:
        """Where the answer is stored: ``requests/musicbrainz/{method}/{params}.json.gz``."""
        return request_key(("musicbrainz", self.method.partition(".")[2]), dict(self.params))

    def __str__(self) -> str:
        return f"{self.method} of {self.subject}"

    def url(self, api: str) -> str:
        """The URL below *api*, parameters sorted: the same call always has the same URL."""
        params = dict(self.params)
        if self.method == _RELEASE:
            path = f"release/{quote(params['mbid'])}"
            sent = {"inc": "artist-credits release-groups"}
        else:
            path = "release-group"
            sent = {"limit": params["limit"], "query": _query(params.get("artist", ""), params["title"])}
        parts = urlsplit(api)
        query = urlencode(sorted({"fmt": "json", **sent}.items()))
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}", query=query))


def _query(artist: str, title: str) -> str:
    """The title without what says which edition it is, by the artist without guests: neither is in the group's name.

    Various Artists go by their id, for they have a name in every language. Without an artist the title alone is looked
    for: of a play on a compilation Last.fm names the track's artist, whom the album is not credited to.
    """
    query = f"releasegroup:{_phrase(group_title(title))}"
    if not artist.strip():
        return query
    if _VARIOUS.fullmatch(artist.strip()):
        return f"{query} AND arid:{VARIOUS_ARTISTS}"
    return f"{query} AND artist:{_phrase(without_featuring(artist))}"


def _phrase(text: str) -> str:
    """*text* in quotes, inside which no sign of Lucene's means anything. What is too long is cut at a blank."""
    words = " ".join(_NO_WORD.sub(" ", text).split())
    if len(words) > MAX_PHRASE:
        words = words[: MAX_PHRASE + 1].rpartition(" ")[0] or words[:MAX_PHRASE]
    return '"' + _LUCENE.sub(r"\\\1", words) + '"'


def get_release(mbid: str) -> Call:
    """A release with its release group. Ids are asked in lower case. Raises ValueError for what is no id."""
    if not is_mbid(mbid):
        raise ValueError(f"{mbid!r} is no MusicBrainz id")
    return Call(_RELEASE, (("mbid", mbid.lower()),))


def search_release_groups(artist: str, title: str, limit: int = SEARCH_LIMIT) -> Call:
    """The release groups like *title* by *artist*, or by anybody when that is "". Raises ValueError without a title, or
    when there is no such *limit*.
    """
    if not title or not 1 <= limit <= 100:
        raise ValueError(f"no search for {title!r} with {limit} rows")
    params = {"artist": artist, "limit": str(limit), "title": title}
    return Call(_SEARCH, tuple((name, value) for name, value in params.items() if value))
