"""Who may ask the sandbox's Last.fm in a user's name: tokens, consents, sessions and signatures.

In: the parameters of calls. Out: answers, and in whose name a call is. Nothing of this is ever logged.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastfm_crawl.sandbox.answers import Answer, error

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class _Token:
    """What a user may consent to, once."""

    api_key: str
    ends: float
    user: str = ""  # who consented


class LastfmAccounts:
    """Every API key goes with ``secret``. Tokens live for ``token_seconds`` and one session, sessions for ever."""

    def __init__(self) -> None:
        self.secret = "sandbox"  # noqa: S105  (a stand-in's)
        self.token_seconds: float = 3600
        #: Who is asked at the page of consent ("" is the first user of the world), and whether they say yes.
        self.user = ""
        self.consents = True
        self._tokens: dict[str, _Token] = {}
        self._sessions: dict[str, tuple[str, str]] = {}  # API key and user, by session key

    def answer(self, params: Mapping[str, str]) -> Answer | None:
        """Answer an auth method, or refuse a call that is signed wrongly; None for any other call."""
        method = params.get("method", "").lower()
        if method in {"auth.gettoken", "auth.getsession"} or "api_sig" in params or "sk" in params:
            if params.get("api_sig") != self.signature(params):
                return error(13, 403)
            if method == "auth.gettoken":
                return self._new_token(params["api_key"])
            if method == "auth.getsession":
                return self._new_session(params)
            if self._sessions.get(params.get("sk", ""), ("", ""))[0] != params["api_key"]:
                return error(9, 403)
        return None

    def viewer(self, params: Mapping[str, str]) -> str:
        """Say in whose name a call is asked that :meth:`answer` had nothing against; "" for nobody's."""
        return self._sessions.get(params.get("sk", ""), ("", ""))[1]

    def signature(self, params: Mapping[str, str]) -> str:
        """Give what ``api_sig`` has to be."""
        names = sorted(params.keys() - {"api_sig", "callback", "format"})
        text = "".join(name + params[name] for name in names) + self.secret
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324  (Last.fm's choice)

    def consent(self, query: Mapping[str, str], default: str) -> str:
        """Say what the page shows, after the user (or *default*) consented to the token in *query*."""
        token = self._tokens.get(query.get("token", ""))
        if token is None or token.api_key != query.get("api_key") or token.ends < time.monotonic():
            return "Invalid token: go back to the application and try again"
        if self.consents:
            token.user = self.user or default
        return "You can close this page now"

    def open(self, user: str, api_key: str) -> str:
        """Give a session key of *user*, who consented at some time."""
        session_key = secrets.token_urlsafe(24)
        self._sessions[session_key] = (api_key, user)
        return session_key

    def withdraw(self) -> None:
        """Forget every consent, as when users take them back."""
        self._tokens.clear()
        self._sessions.clear()

    def _new_token(self, api_key: str) -> Answer:
        text = secrets.token_urlsafe(24)
        self._tokens[text] = _Token(api_key, time.monotonic() + self.token_seconds)
        return Answer(200, {"token": text})

    def _new_session(self, params: Mapping[str, str]) -> Answer:
        token = self._tokens.get(params.get("token", ""))
        if token is None or token.api_key != params["api_key"]:
            return error(4, 403)
        if token.ends < time.monotonic():
            return error(15, 403)
        if not token.user:
            return error(14, 403)
        del self._tokens[params["token"]]
        session_key = self.open(token.user, params["api_key"])
        return Answer(200, {"session": {"name": token.user, "key": session_key, "subscriber": 0}})
