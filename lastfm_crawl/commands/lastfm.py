"""Logging in with Last.fm, so that owners of a hidden history may fetch it."""

from __future__ import annotations

import secrets
import time
import webbrowser
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.consent import PATIENCE, Loopback, Shown, post
from lastfm_crawl.commands.ours import OurCommand, not_set, one_user
from lastfm_crawl.downloader.redact import redact
from lastfm_crawl.items import user_key
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.problems import Action, Problem
from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    import argparse

#: Seconds between two looks at whether the user has consented.
_INTERVAL = 3.0
#: Last.fm's way to say "not yet".
_NOT_YET = "error_14"
#: What another look may mend.
_PASSING = frozenset({Action.RETRY, Action.RETRY_SMALLER, Action.SLOW_DOWN})


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted; nobody was logged in"

    def syntax(self) -> str:
        return "login [NAME] | logout NAME | logins"

    def short_desc(self) -> str:
        return "Log a user in with Last.fm, so that their own hidden history can be fetched"

    def long_desc(self) -> str:
        return (
            "login leads to Last.fm's page, where the user consents, and keeps what Last.fm gives in DATA_DIR, readable"
            " to its owner alone. From then on questions about this user, and about nobody else, are asked in their"
            " name. With NAME, nobody else is logged in. logins shows who is; at Last.fm a user takes the consent back"
            " at https://www.last.fm/settings/applications."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--no-browser", action="store_true", help="login: show the address, open nothing")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        config.check(self.settings)
        match args:
            case ["login"]:
                self._login(None, browser=not opts.no_browser)
            case ["login", name]:
                self._login(one_user(name), browser=not opts.no_browser)
            case ["logout", name]:
                gone = Logins(self.settings, "lastfm").forget(one_user(name))
                print(f"{name} is logged out" if gone else f"{name} was not logged in")
            case ["logins"]:
                for login in Logins(self.settings, "lastfm").all().values():
                    print(f"{login.user} since {datetime.fromtimestamp(login.at, UTC):%Y-%m-%d %H:%M} UTC")
            case _:
                raise UsageError(f"say one of: {self.syntax()}")

    def _login(self, user: str | None, *, browser: bool) -> None:
        """Last.fm's desktop flow: a token, the user's consent to it, and a session for it.

        Raises CommandError and ValueError.
        """
        config.fetch_secrets("LASTFM_API_KEY", "LASTFM_API_SECRET")
        app = _App(self.settings["LASTFM_API_URL"], config.user_agent(self.settings))
        token = app.token()
        # Their page has the key in its address, which would be on the terminal and in the browser's arguments: what is
        # shown is an address of ours that leads there, under a name that nobody can guess.
        path = f"/{secrets.token_urlsafe(16)}"
        page = Shown(302, location=app.consent_url(token))
        with Loopback(lambda asked: page if asked == path else Shown(404, "There is nothing here.")) as loopback:
            print(f"Consent on the page that this address leads to:\n{loopback.root}{path}", flush=True)
            if browser:
                webbrowser.open(f"{loopback.root}{path}")
            session = app.session(token, loopback)
        if user is not None and user_key(session.user) != user_key(user):
            line = f"the browser is logged in with Last.fm as {session.user}, not as {user}; nobody was logged in"
            raise CommandError(Exit.LOSSES, line)
        Logins(self.settings, "lastfm").keep(session.user, session.key)
        print(
            f"{session.user} is logged in; `scrapy crawl recent_tracks -a users={session.user}` fetches their history"
        )

    def say(self, line: str) -> None:
        super().say(redact(line))


class _App:
    """Our app, as Last.fm's auth methods know it. Raises ValueError when its key or secret is not set."""

    def __init__(self, api: str, user_agent: str) -> None:
        self._api = api
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": user_agent}
        self._key, self._secret = map(_needed, ("LASTFM_API_KEY", "LASTFM_API_SECRET"))

    def consent_url(self, token: str) -> str:
        """The page where a user consents to *token*."""
        return lastfm.consent_url(self._api, self._key, token)

    def token(self) -> str:
        """A token that nobody has consented to yet. Raises CommandError."""
        answer = lastfm.read_token(*self._post("auth.getToken"))
        if isinstance(answer, Problem):
            raise _error(answer)
        return answer

    def session(self, token: str, loopback: Loopback) -> lastfm.Session:
        """The session that the consent to *token* opens; *loopback* is served until then. Raises CommandError."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            look = time.monotonic() + _INTERVAL
            while time.monotonic() < look:
                loopback.handle()
            answer = lastfm.read_session(*self._post("auth.getSession", token=token))
            if not isinstance(answer, Problem):
                return answer
            if answer.kind != _NOT_YET and answer.rule.action not in _PASSING:
                raise _error(answer)
        raise CommandError(Exit.RESUMABLE, "nobody consented within five minutes; run it again")

    def _post(self, method: str, **params: str) -> tuple[int, bytes]:
        return post(self._api, lastfm.login_call(method, self._key, self._secret, **params), self._headers)


def _needed(name: str) -> str:
    value = config.secret(name)
    if value is None:
        raise ValueError(not_set(name))
    return value


def _error(problem: Problem) -> CommandError:
    """What *problem*, instead of a token or a session, means for the login."""
    if problem.rule.action is Action.STOP_KEY:
        line = f"Last.fm refuses the key ({problem.message}); check LASTFM_API_KEY and LASTFM_API_SECRET"
        return CommandError(Exit.CRITICAL, line)
    if problem.rule.action in _PASSING:
        return CommandError(
            Exit.RESUMABLE, f"Last.fm cannot log anybody in now ({problem.message}); run it again later"
        )
    return CommandError(Exit.LOSSES, f"Last.fm logs nobody in ({problem.message}); run it again")
