"""Credentials of Last.fm's API: the key in a URL, the signature of a call, and how a user lets us ask in their name.

Pure as the rest: secrets go in and come out, and are shown by no ``repr`` and no message.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from lastfm_crawl.services.decoding import Number, parse
from lastfm_crawl.services.lastfm.errors import BROKEN, rule_for
from lastfm_crawl.services.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Parameters that a signature leaves out.
_UNSIGNED = frozenset({"format", "callback"})
#: Where users of Last.fm consent; that of any stand-in (Libre.fm's, too) is on the host of its API.
_PAGES = {"ws.audioscrobbler.com": ("https", "www.last.fm")}


@dataclass(frozen=True, slots=True)
class Session:
    """What lets us ask in the name of ``user``, until they take it back."""

    user: str
    key: str = field(repr=False)


class _SessionAnswer(msgspec.Struct):
    name: str | None = None
    key: str | None = None


class _Answer(msgspec.Struct):
    token: str | None = None
    session: _SessionAnswer | None = None
    error: Number | None = None
    message: str | None = None


def signature(params: Mapping[str, str], secret: str) -> str:
    """``api_sig`` of *params*: the MD5 of their names and values, by name, and the *secret* that belongs to the key."""
    text = "".join(f"{name}{params[name]}" for name in sorted(params) if name not in _UNSIGNED)
    return hashlib.md5(f"{text}{secret}".encode()).hexdigest()  # noqa: S324  (Last.fm's choice)


def signed(url: str, key: str, secret: str = "", session_key: str = "") -> str:
    """*url* with the API key, for the wire only; with a *session_key*, as a call of the user whose it is."""
    parts = urlsplit(url)
    params = [*parse_qsl(parts.query), ("api_key", key)]
    if session_key:
        params.append(("sk", session_key))
        params.append(("api_sig", signature(dict(params), secret)))
    return urlunsplit(parts._replace(query=urlencode(params)))


def login_call(method: str, key: str, secret: str, **params: str) -> bytes:
    """The form of ``auth.getToken``, or of ``auth.getSession`` with its *token*: to be POSTed to LASTFM_API_URL."""
    asked = {"method": method, "format": "json", "api_key": key, **params}
    return urlencode({**asked, "api_sig": signature(asked, secret)}).encode()


def consent_url(api: str, key: str, token: str) -> str:
    """The page where a user consents to what *token* is for. It holds the API key: show it to their browser alone."""
    parts = urlsplit(api)
    scheme, host = _PAGES.get(parts.hostname or "", (parts.scheme, parts.netloc))
    return urlunsplit((scheme, host, "/api/auth/", urlencode({"api_key": key, "token": token}), ""))


def read_token(status: int, body: bytes) -> str | Problem:
    """The token that *body* holds (good for 60 minutes and one session), or what is wrong with it. Never raises."""
    answer = _read(status, body)
    return answer if isinstance(answer, Problem) else answer.token or _without(status, "token")


def read_session(status: int, body: bytes) -> Session | Problem:
    """The session that *body* holds, or what is wrong with it: ``error_14`` until the user consents. Never raises."""
    answer = _read(status, body)
    if isinstance(answer, Problem):
        return answer
    session = answer.session
    return (
        Session(session.name, session.key) if session and session.name and session.key else _without(status, "session")
    )


def _read(status: int, body: bytes) -> _Answer | Problem:
    try:
        answer = parse(body, _Answer)
    except (ValueError, RecursionError):
        answer = _Answer()  # and no word of the body in the message: it may be half a session
    if answer.error is None:
        return answer if status < 400 else _without(status, "answer")
    message = answer.message or ""
    kind = f"error_{answer.error}"
    return Problem(rule_for(answer.error, status, message), kind, f"error {answer.error}: {message}")


def _without(status: int, what: str) -> Problem:
    return Problem(
        BROKEN if status < 400 else rule_for(None, status, ""), f"http_{status}", f"HTTP {status} without a {what}"
    )
