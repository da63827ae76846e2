"""The sandbox's MusicBrainz on the wire: /musicbrainz/ws/2/release/{mbid} and /musicbrainz/ws/2/release-group?query=.

In: requests. Out: answers in the shapes of the real one, which wants to know who asks and how often. Every request is
in the sandbox's log, under ``musicbrainz.release`` (with ``mbid``) or ``musicbrainz.search``.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from lastfm_crawl.sandbox.answers import Answer
from lastfm_crawl.sandbox.bodies import Body
from lastfm_crawl.sandbox.faults import error_of
from lastfm_crawl.sandbox.model import OfWorld
from lastfm_crawl.sandbox.musicbrainz_catalogue import VARIOUS, Catalogue
from lastfm_crawl.sandbox.wire import bad_gateway, empty, negotiated, plain, truncated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lastfm_crawl.sandbox.log import LoggedRequest
    from lastfm_crawl.sandbox.model import World
    from lastfm_crawl.sandbox.musicbrainz_catalogue import Group, Release
    from lastfm_crawl.sandbox.server import Sandbox

Json = dict[str, Any]
#: All is well; HTTP 503 to all; connections are closed without an answer.
Mode = Literal["up", "outage", "reset"]

_MBID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
# A mail address or a host name in the brackets behind the name and version of the application.
_CONTACT = re.compile(r"\([^)]*\w[@.]\w[^)]*\)")
_TERM = re.compile(r'(releasegroup|artist|arid):(?:"((?:[^"\\]|\\.)*)"|([0-9a-f-]{36}))')
_ESCAPED = re.compile(r"\\(.)")
_HELP = "For usage, please see: https://musicbrainz.org/development/mmd"
_RATE_LIMIT = (
    "Your requests are exceeding the allowable rate limit. Please see http://wiki.musicbrainz.org/XMLWebService for"
    " more information."
)
_BUSY = "The MusicBrainz web server is currently busy. Please try again later."
_ANONYMOUS = "Please identify your application, and whom to write to about it, in the User-Agent."


class MusicBrainz:
    """The stand-in. ``mode`` and ``rate`` (questions a second; 0: as many as come) may change at any time."""

    def __init__(self) -> None:
        self.mode: Mode = "up"
        self.rate = 0.0
        self._last = 0.0
        self.catalogue = OfWorld(Catalogue)

    def too_fast(self) -> bool:
        """Say whether a question that comes now comes too soon after the last, which may have been refused itself."""
        now = time.monotonic()
        gap, self._last = now - self._last, now
        return bool(self.rate) and gap < 0.9 / self.rate

    def answer(self, world: World, params: Mapping[str, str]) -> Answer:
        """Answer one question from what the world holds."""
        if params["method"] == "musicbrainz.release":
            return _release(self.catalogue(world), params)
        return _search(self.catalogue(world), params)


class MusicBrainzRoutes:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._musicbrainz = sandbox.musicbrainz

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/musicbrainz/ws/2/release/{mbid}", self._lookup)
        router.add_get("/musicbrainz/ws/2/release-group", self._search)

    async def _lookup(self, request: web.Request) -> web.StreamResponse:
        method = {"method": "musicbrainz.release", "mbid": request.match_info["mbid"]}
        return await self._answer(request, {**request.query, **method})

    async def _search(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, {**request.query, "method": "musicbrainz.search"})

    async def _answer(self, request: web.Request, params: Mapping[str, str]) -> web.StreamResponse:
        def respond(call: LoggedRequest) -> web.Response:
            if self._musicbrainz.mode == "reset":
                call.fault = "drop"
            too_fast = self._musicbrainz.too_fast()
            if self._musicbrainz.mode == "outage":
                return plain(_error(503, _BUSY))
            if not _CONTACT.search(call.user_agent):
                return plain(_error(403, _ANONYMOUS))
            if too_fast:
                return self._limited()
            if params.get("fmt") != "json":
                return web.Response(text="<metadata/>", content_type="application/xml")
            said = self._musicbrainz.answer(self._sandbox.world, params)
            return self._instead(call.fault, said) or negotiated(request, Body(said))

        return await self._sandbox.logged(request, params, respond)

    def _instead(self, kind: str | None, said: Answer) -> web.Response | None:
        """Give the faulty answer that takes the place of the one *said*; None for a kind that changes nothing."""
        coded = error_of(kind or "")
        if coded and coded[1] >= 400:
            return plain(_error(coded[1], "Server error"))
        if kind == "rate_limit":
            return self._limited()
        if kind == "truncated":
            return truncated(Body(said))
        if kind == "html_502":
            return bad_gateway()
        return empty() if kind == "empty" else None

    def _limited(self) -> web.Response:
        return plain(_error(503, _RATE_LIMIT), self._sandbox.faults.retry_headers)


def _error(status: int, message: str) -> Answer:
    return Answer(status, {"error": message, "help": _HELP})


# --- methods ---------------------------------------------------------------------------


def _release(music: Catalogue, params: Mapping[str, str]) -> Answer:
    if not _MBID.fullmatch(params["mbid"]):
        return _error(400, "Invalid mbid.")
    release = music.releases.get(params["mbid"].lower())
    if release is None:
        return _error(404, "Not Found")
    return Answer(200, _shown(release, params.get("inc", "").split()))


def _search(music: Catalogue, params: Mapping[str, str]) -> Answer:
    limit, offset = (params.get(name, default) for name, default in (("limit", "25"), ("offset", "0")))
    if not limit.isdecimal() or not offset.isdecimal() or not 1 <= int(limit) <= 100:
        return _error(400, "Invalid limit or offset")
    terms = _terms(params.get("query", ""))
    if terms is None:
        return _error(400, "Unable to parse search: Missing query, or one that is none")
    found = music.find(terms["releasegroup"], terms.get("artist", ""), terms.get("arid", ""))
    first, end = int(offset), int(offset) + int(limit)
    rows = [_hit(group, place) for place, group in enumerate(found)]
    body = {"created": "2026-11-01T00:00:00.000Z", "count": len(found), "offset": first}
    return Answer(200, {**body, "release-groups": rows[first:end]})


def _terms(query: str) -> dict[str, str] | None:
    """Read ``releasegroup:"…" AND artist:"…"``; None for what is not of this form."""
    terms: dict[str, str] = {}
    at = 0
    while found := _TERM.match(query, at):
        terms[found[1]] = _ESCAPED.sub(r"\1", found[2]) if found[2] is not None else found[3]
        at = found.end()
        if query.startswith(" AND ", at):
            at += len(" AND ")
    return terms if at == len(query) and "releasegroup" in terms else None


# --- entities --------------------------------------------------------------------------


def _shown(release: Release, inc: list[str]) -> Json:
    credit = {"artist-credit": _credit(release.group)} if "artist-credits" in inc else {}
    group = {"release-group": {**_group(release.group), **credit}} if "release-groups" in inc else {}
    return {
        "id": release.id,
        "title": release.title,
        "disambiguation": "",
        "date": release.date,
        "country": "XW",
        "status": "Official",
        "quality": "normal",
        "packaging": None,
        "barcode": None,
        "text-representation": {"language": "eng", "script": "Latn"},
        **credit,
        **group,
    }


def _group(group: Group) -> Json:
    return {
        "id": group.id,
        "title": group.title,
        "disambiguation": "",
        "first-release-date": group.date,
        "primary-type": group.primary_type,
        "secondary-types": list(group.secondary_types),
    }


def _hit(group: Group, place: int) -> Json:
    shown = _group(group)
    del shown["disambiguation"]
    if not group.date:
        del shown["first-release-date"]
    if not group.secondary_types:
        del shown["secondary-types"]
    # The first has 100, right or wrong.
    return {**shown, "score": max(30, 100 - 4 * place), "count": 1, "artist-credit": _credit(group)}


def _credit(group: Group) -> list[Json]:
    """Two artists where the name joins two, which on the real one is so for some."""
    names = [group.artist] if group.artist == VARIOUS[0] else group.artist.split(" & ")
    joined = [" & "] * (len(names) - 1) + [""]
    return [
        {
            "name": name,
            "joinphrase": join,
            "artist": {"id": group.artist_id, "name": name, "sort-name": name, "disambiguation": ""},
        }
        for name, join in zip(names, joined, strict=True)
    ]
