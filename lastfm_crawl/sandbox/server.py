"""The sandbox on the wire: Last.fm, its site, Spotify's two hosts, MusicBrainz and albumoftheyear.org, on a local port.

In: a world and the faults to show. Out: answers over HTTP, and a log of every call. ``Sandbox`` runs in the
caller's event loop, ``serve`` runs one in a thread for tests that drive crawls in subprocesses.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from aiohttp import web

from lastfm_crawl.sandbox.answers import Answer, answer, error, version
from lastfm_crawl.sandbox.aoty import Aoty
from lastfm_crawl.sandbox.aoty_pages import ROBOTS
from lastfm_crawl.sandbox.aoty_routes import AotyRoutes
from lastfm_crawl.sandbox.bodies import Bodies, Body
from lastfm_crawl.sandbox.faults import Faults, error_of, identity
from lastfm_crawl.sandbox.lastfm_accounts import LastfmAccounts
from lastfm_crawl.sandbox.log import LoggedRequest
from lastfm_crawl.sandbox.musicbrainz import MusicBrainz, MusicBrainzRoutes
from lastfm_crawl.sandbox.profile_routes import ProfileRoutes
from lastfm_crawl.sandbox.spotify import Spotify
from lastfm_crawl.sandbox.spotify_routes import SpotifyRoutes
from lastfm_crawl.sandbox.wire import bad_gateway, empty, negotiated, plain, truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lastfm_crawl.sandbox.model import Status, World

_XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<lfm status="failed"><error code="5">Invalid format - '
    "the sandbox speaks format=json only</error></lfm>\n"
)


class Sandbox:
    """One server. ``faults`` may be replaced or scripted while it runs, ``world`` may be replaced."""

    def __init__(self, world: World, faults: Faults | None = None, *, unwrap_single: bool = False) -> None:
        self.faults = faults or Faults()
        self.accounts = LastfmAccounts()
        self.spotify = Spotify()
        self.musicbrainz = MusicBrainz()
        self.aoty = Aoty()
        self.robots = ROBOTS  # of all sites: they are one host here
        self.log: list[LoggedRequest] = []
        # For tests that change a History during a walk: called with every call that arrives, in the server's thread.
        self.before_answer: Callable[[LoggedRequest], object] | None = None
        self._unwrap_single = unwrap_single
        self.host, self.port = "", 0
        # World and bodies belong together; one assignment swaps both, so any thread may set the world.
        self._served = (world, Bodies())
        self._runner: web.AppRunner | None = None

    @property
    def world(self) -> World:
        """Give what is served; after a change inside it (but for a History), set it again: answers are kept."""
        return self._served[0]

    @world.setter
    def world(self, world: World) -> None:
        self._served = (world, Bodies())

    @property
    def root(self) -> str:
        """Give the server's address without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Give what LASTFM_API_URL is to be."""
        return f"{self.root}/2.0/"

    @property
    def site_url(self) -> str:
        """Give what LASTFM_URL is to be."""
        return f"{self.root}/"

    @property
    def spotify_url(self) -> str:
        """Give what SPOTIFY_API_URL is to be."""
        return f"{self.root}/spotify/v1"

    @property
    def spotify_token_url(self) -> str:
        """Give what SPOTIFY_TOKEN_URL is to be."""
        return f"{self.root}/spotify/api/token"

    @property
    def musicbrainz_url(self) -> str:
        """Give what MUSICBRAINZ_API_URL is to be."""
        return f"{self.root}/musicbrainz/ws/2/"

    @property
    def aoty_url(self) -> str:
        """Give what AOTY_URL is to be."""
        return f"{self.root}/"

    def calls(self, method: str | None = None, user: str | None = None) -> list[LoggedRequest]:
        """Give the calls so far, of one method or about one user if asked, whatever their case."""
        return [
            call
            for call in list(self.log)
            if (method is None or call.method.lower() == method.lower())
            and (user is None or call.user.lower() == user.lower())
        ]

    def turn(self, status: Status, *names: str) -> None:
        """Let users go (``deleted``), hide or come back (``ok``) while the sandbox runs."""
        world = self.world
        turned = {name.lower(): replace(world.users[name.lower()], status=status) for name in names}
        self.world = replace(world, users={**world.users, **turned})

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        app = web.Application()
        for path in ("/2.0/", "/2.0"):
            app.router.add_route("GET", path, self._lastfm)
            app.router.add_route("POST", path, self._lastfm)
        app.router.add_get("/api/auth/", self._consent)
        SpotifyRoutes(self).add_to(app.router)
        MusicBrainzRoutes(self).add_to(app.router)
        AotyRoutes(self).add_to(app.router)
        ProfileRoutes(self).add_to(app.router)
        app.router.add_get("/_sandbox/log", self._show_log)
        app.router.add_get("/_sandbox/healthy", self._show_healthy)
        # Calls that wait out a latency are cut off on stop.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.host, self.port = host, self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    # --- answers -----------------------------------------------------------------------

    async def _lastfm(self, request: web.Request) -> web.StreamResponse:
        params = {name: str(value) for name, value in (await _sent(request)).items()}

        def respond(call: LoggedRequest) -> web.Response:
            if params.get("format") != "json":
                return web.Response(status=400, text=_XML, content_type="text/xml")
            return self._response(request, params, call)

        return await self.logged(request, params, respond)

    async def _consent(self, request: web.Request) -> web.StreamResponse:
        params = {"method": "auth.consent"}

        def respond(_: LoggedRequest) -> web.Response:
            default = next((user.name for user in self.world.users.values() if user.status != "deleted"), "")
            return web.Response(text=self.accounts.consent(request.query, default))

        return await self.logged(request, params, respond)

    async def logged(
        self, request: web.Request, params: Mapping[str, str], respond: Callable[[LoggedRequest], web.Response]
    ) -> web.StreamResponse:
        """Log a call, decide what goes wrong with it, and answer in time."""
        call = LoggedRequest.of(params, request.headers.get("User-Agent", ""))
        self.log.append(call)
        if self.before_answer:
            self.before_answer(call)
        call.fault = self.faults.next(params.get("method", ""), params.get("user", ""), params)
        delay = self.faults.latency + (self.faults.slow if call.fault == "slow" else 0)
        if delay:
            await asyncio.sleep(delay)
        response = respond(call)
        if call.fault == "drop" and request.transport:
            request.transport.close()
            return response
        call.status = response.status
        return response

    def _response(self, request: web.Request, params: Mapping[str, str], call: LoggedRequest) -> web.Response:
        if call.fault == "truncated":
            return truncated(self._body(params))
        if call.fault == "wrong_user":
            foreign = self._foreign(params)
            if foreign:
                return negotiated(request, foreign)
            call.fault = None  # there is nobody else
        return self._instead(call.fault) or negotiated(request, self._body(params))

    def _instead(self, kind: str | None) -> web.Response | None:
        """Give the answer of those kinds of fault that do not depend on the right answer."""
        coded = error_of(kind or "")
        if coded:
            return plain(error(*coded))
        if kind == "false_404":
            return plain(error(6, 404, "User not found"))
        if kind == "rate_limit":
            return plain(error(29, 429), self.faults.retry_headers)
        if kind == "html_502":
            return bad_gateway()
        if kind == "empty":
            return empty()
        return None

    def _body(self, params: Mapping[str, str]) -> Body:
        world, bodies = self._served

        def make() -> Answer:
            return answer(world, params, unwrap_single=self._unwrap_single, viewer=viewer)

        key, viewer = params.get("api_key", ""), ""
        if not key or key.startswith(("invalid", "suspended")):
            return Body(make())
        if (said := self.accounts.answer(params)) is not None:
            return Body(said)
        viewer = self.accounts.viewer(params)
        asked = identity(params.get("method", ""), params.get("user", ""), params)
        return bodies.get(f"{version(world, params)} {viewer} {asked}", make)

    def _foreign(self, params: Mapping[str, str]) -> Body | None:
        """Find somebody about whom the same call, or else its first page, has a right-shaped answer; of a track one of
        another artist and another name.
        """
        if "track" in params:
            artist, track = params.get("artist", "").lower(), params["track"].lower()
            tracks = ((a, t) for a, t in self.world.tagged if a != artist and t != track)
            return next((self._body({**params, "artist": a, "track": t}) for a, t in tracks), None)
        params = {name: value for name, value in params.items() if name not in {"api_sig", "sk"}}
        asked = params.get("user", "").lower()
        others = [user.name for user in islice(self.world.users.values(), 50) if user.name.lower() != asked]
        for page in dict.fromkeys((params.get("page", "1"), "1")):
            for name in others:
                body = self._body({**params, "user": name, "page": page})
                if body.status == 200:
                    return body
        return None

    async def _show_log(self, _: web.Request) -> web.Response:
        return web.json_response([call.as_json() for call in self.log])

    async def _show_healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")


@contextmanager
def serve(
    world: World, faults: Faults | None = None, *, unwrap_single: bool = False, port: int = 0
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread with an event loop of its own, for as long as the block lasts."""
    sandbox = Sandbox(world, faults, unwrap_single=unwrap_single)
    ready = threading.Event()
    failure: list[BaseException] = []
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        end = asyncio.Event()
        await sandbox.start(port=port)
        ending.append((asyncio.get_running_loop(), end))
        ready.set()
        await end.wait()
        await sandbox.stop()

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as caught:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(caught)
        finally:
            ready.set()

    thread = threading.Thread(target=target, name="sandbox", daemon=True)
    thread.start()
    ready.wait()
    try:
        if not failure:
            yield sandbox
    finally:
        for loop, end in ending:
            if not loop.is_closed():
                loop.call_soon_threadsafe(end.set)
        thread.join(timeout=10)
    if failure:
        raise failure[0]


async def _sent(request: web.Request) -> Mapping[str, object]:
    if request.method != "POST":
        return request.query
    return {**request.query, **await request.post()}
