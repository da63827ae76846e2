"""Logging in with Spotify, so that ``scrapy crawl spotify_top`` may ask what a user plays there."""

from __future__ import annotations

import secrets
import time
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.consent import PATIENCE, Loopback, Shown, post
from lastfm_crawl.commands.ours import OurCommand, not_set, one_user
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import spotify
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    import argparse


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; nobody was logged in"

    def syntax(self) -> str:
        return "login NAME | logout NAME"

    def short_desc(self) -> str:
        return "Log a user in with Spotify, for `scrapy crawl spotify_top`"

    def long_desc(self) -> str:
        return (
            "NAME is the user's name on Last.fm. login opens Spotify's page, where the user consents to having their"
            " top artists and tracks read, and keeps what Spotify gives in DATA_DIR, readable to its owner alone."
            " Register http://127.0.0.1/callback as a redirect URI of your app (any port is taken then)."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--no-browser", action="store_true", help="login: show the address, open nothing")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 2 or args[0] not in {"login", "logout"}:
            raise UsageError(f"say one of: {self.syntax()}")
        config.check(self.settings)
        user = one_user(args[1])
        if args[0] == "login":
            self._login(user, browser=not opts.no_browser)
        else:
            gone = Logins(self.settings, "spotify").forget(user)
            print(f"{user} is logged out" if gone else f"{user} was not logged in")

    def _login(self, user: str, *, browser: bool) -> None:
        """Authorization code with PKCE on a loopback redirect (RFC 8252). Raises CommandError and ValueError."""
        client_id, token_url = self.settings["SPOTIFY_CLIENT_ID"], self.settings["SPOTIFY_TOKEN_URL"]
        if not client_id:
            raise ValueError(not_set("SPOTIFY_CLIENT_ID"))
        verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(16)
        with _Redirect(state) as redirect:
            challenge = spotify.challenge_of(verifier)
            page = spotify.authorize_url(token_url, client_id, redirect.uri, challenge, state)
            print(f"Consent on this page:\n{page}", flush=True)
            if browser:
                webbrowser.open(page)
            code = redirect.wait()
        token = _exchange(token_url, spotify.code_exchange(code, verifier, client_id, redirect.uri))
        if token.refresh_token is None:
            raise CommandError(Exit.LOSSES, "Spotify gave nothing that could be kept; try again")
        Logins(self.settings, "spotify").keep(user, token.refresh_token)
        print(f"{user} is logged in; `scrapy crawl spotify_top` asks for their top artists and tracks")


class _Redirect:
    """Where Spotify sends the browser after the consent."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._answer: dict[str, str] = {}
        self._page = Loopback(self._take)
        self.uri = f"{self._page.root}/callback"

    def __enter__(self) -> _Redirect:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.__exit__()

    def _take(self, path: str) -> Shown:
        """Keep the answer in *path*, unless it is none to our question."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        state = query.get("state", "")
        if parts.path != "/callback" or not secrets.compare_digest(state.encode(), self._state.encode()):
            return Shown(400, "This is not the answer that we wait for.")
        self._answer = query
        return Shown(200, "You can close this page and go back.")

    def wait(self) -> str:
        """The code of the consent. Raises CommandError."""
        end = time.monotonic() + PATIENCE
        while not self._answer:
            if time.monotonic() > end:
                raise CommandError(Exit.RESUMABLE, "nobody consented within five minutes; run it again")
            self._page.handle()
        if "code" not in self._answer:
            raise CommandError(
                Exit.LOSSES, f"Spotify says: {self._answer.get('error', 'no code')}; nobody was logged in"
            )
        return self._answer["code"]


def _exchange(url: str, question: spotify.TokenRequest) -> spotify.Token:
    """The token for a code. Raises CommandError."""
    answer = spotify.read_token(*post(url, question.body, question.headers))
    if isinstance(answer, Problem):
        raise CommandError(Exit.LOSSES, f"Spotify gives no token: {answer.message}")
    return answer
