"""How one logs in: the requests for a token, the page where a user consents, and what the token answer says.

Pure as the rest: secrets go in and come out, and are shown by no ``repr`` and no message.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from lastfm_crawl.services.decoding import Number, parse
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.services.spotify.errors import TOKEN_ERRORS, rule_for

if TYPE_CHECKING:
    from collections.abc import Mapping

#: All that reading top lists needs.
SCOPE = "user-top-read"
_TOKEN_PATH = "/api/token"  # noqa: S105  (a path)
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is to be POSTed to SPOTIFY_TOKEN_URL."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """What lets us ask for ``expires_in`` seconds. A ``refresh_token`` that comes takes the place of the old one."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(default=None, repr=False)
    scope: str = ""


class _TokenAnswer(msgspec.Struct):
    access_token: str | None = None
    expires_in: Number | None = None
    refresh_token: str | None = None
    scope: str | None = None
    error: str | None = None
    error_description: str | None = None


def client_credentials(client_id: str, client_secret: str) -> TokenRequest:
    """Ask for a token of the app's own: for search and look-ups, not for what a user plays."""
    basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return _request({"grant_type": "client_credentials"}, {"Authorization": f"Basic {basic}"})


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE *verifier* (43 to 128 characters, which the caller draws)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(token_url: str, client_id: str, redirect_uri: str, challenge: str, state: str) -> str:
    """The page, on the host of *token_url*, where a user consents.

    It leads back to *redirect_uri* (``http://127.0.0.1:port/…``: Spotify refuses ``localhost``) with ``code`` or
    ``error``, and with *state*, which must be the one that was sent.
    """
    query = {
        "client_id": client_id,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": SCOPE,
        "state": state,
    }
    parts = urlsplit(token_url)
    path = parts.path.removesuffix(_TOKEN_PATH) + "/authorize"
    return urlunsplit(parts._replace(path=path, query=urlencode(query)))


def code_exchange(code: str, verifier: str, client_id: str, redirect_uri: str) -> TokenRequest:
    """Ask for a user's token with the *code* that the consent gave (PKCE: no client secret)."""
    return _request(
        {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "client_id": client_id,
            "redirect_uri": redirect_uri,
        }
    )


def refresh(refresh_token: str, client_id: str) -> TokenRequest:
    """Ask for a user's next token. The refresh token is used up by it: keep the one that comes with the answer."""
    return _request({"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id})


def _request(form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> TokenRequest:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return TokenRequest(urlencode(form).encode(), {**kind, **(headers or {})})


def read_token(status: int, body: bytes) -> Token | Problem:
    """The token that *body* holds, or what is wrong with it: ``invalid_grant``, ``invalid_client``, … Never raises."""
    try:
        answer = parse(body, _TokenAnswer)
    except (ValueError, RecursionError):
        answer = _TokenAnswer()  # and no word of the body in the message: it may be half a token
    if answer.error in TOKEN_ERRORS:
        said = f"{answer.error}: {answer.error_description or ''}".rstrip(": ")
        return Problem(TOKEN_ERRORS[answer.error], answer.error, said)
    if status >= 400 or not answer.access_token:
        kind, rule = rule_for("", status, answer.error)
        return Problem(rule, kind if status >= 400 else "no_token", f"HTTP {status} without a token")
    return Token(
        answer.access_token,
        _HOUR if answer.expires_in is None else answer.expires_in,
        answer.refresh_token or None,
        answer.scope or "",
    )
