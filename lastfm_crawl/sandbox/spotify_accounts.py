"""Who may ask the sandbox's Spotify: the tokens of apps and users, as accounts.spotify.com gives them.

In: forms and Authorization headers. Out: answers, and whose a token is. Nothing of this is ever logged.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from lastfm_crawl.sandbox.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a token opens: the app's own things, or those of ``user`` within ``scope``."""

    user: str = ""
    scope: str = ""
    ends: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class _Consent:
    """What a user agreed to, until the app takes its code to the token page."""

    client_id: str
    redirect_uri: str
    challenge: str
    access: Access


class Accounts:
    """Tokens live for ``token_seconds``; a refresh token is used up by its use."""

    def __init__(self) -> None:
        self.token_seconds: float = 3600
        self.consents = True  # whether the user who is asked says yes
        self._tokens: dict[str, Access] = {}
        self._codes: dict[str, _Consent] = {}
        self._refresh: dict[str, tuple[str, Access]] = {}  # client and access, by token

    def token(self, form: Mapping[str, str], authorization: str) -> Answer:
        """Answer a POST to /api/token."""
        client_id, secret = _client(form, authorization)
        if not client_id or client_id.startswith("invalid"):
            return _refused("invalid_client", "Invalid client")
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            known = secret and not secret.startswith("invalid")
            return Answer(200, self._issue(Access())) if known else _refused("invalid_client", "Invalid client secret")
        if grant == "authorization_code":
            return self._exchange(form, client_id)
        if grant == "refresh_token":
            return self._next(form, client_id)
        return _refused("unsupported_grant_type", "grant_type parameter is missing or unknown")

    def authorize(self, query: Mapping[str, str], user: str) -> str | None:
        """Give the address to which the consent of *user* leads back; None when nobody may be sent there."""
        target = urlsplit(query.get("redirect_uri", ""))
        if target.scheme != "http" or target.hostname not in _LOOPBACK or not query.get("client_id"):
            return None
        back = {"state": query.get("state", "")}
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            back["error"] = "invalid_request"
        elif not self.consents:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(24)
            self._codes[back["code"]] = _Consent(
                query["client_id"], query["redirect_uri"], query.get("code_challenge", ""),
                Access(user, query.get("scope", "")),
            )  # fmt: skip
        return target._replace(query=urlencode(back)).geturl()

    def access(self, authorization: str) -> Access | Answer:
        """Say whose token a request shows, or refuse it."""
        kind, _, token = authorization.partition(" ")
        if not authorization:
            return error(401, "No token provided")
        if kind != "Bearer" or not token:
            return error(400, "Only valid bearer authentication supported")
        access = self._tokens.get(token)
        if access is None:
            return error(401, "Invalid access token")
        return access if time.monotonic() < access.ends else error(401, "The access token expired")

    def expire(self, authorization: str | None = None) -> None:
        """End one token, or all, before its time."""
        shown = [authorization.partition(" ")[2]] if authorization is not None else list(self._tokens)
        for token in shown:
            if token in self._tokens:
                self._tokens[token] = Access()

    def withdraw(self) -> None:
        """Forget every consent, as after six months or when users take them back."""
        self._codes.clear()
        self._refresh.clear()

    def _exchange(self, form: Mapping[str, str], client_id: str) -> Answer:
        consent = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if consent is None or consent.client_id != client_id:
            return _refused("invalid_grant", "Invalid authorization code")
        if consent.redirect_uri != form.get("redirect_uri"):
            return _refused("invalid_grant", "Invalid redirect URI")
        if not 43 <= len(verifier) <= 128 or consent.challenge != challenge:
            return _refused("invalid_grant", "code_verifier was incorrect")
        return Answer(200, self._issue_to_user(client_id, consent.access))

    def _next(self, form: Mapping[str, str], client_id: str) -> Answer:
        owner, access = self._refresh.get(form.get("refresh_token", ""), ("", Access()))
        if owner != client_id:
            return _refused("invalid_grant", "Invalid refresh token")
        del self._refresh[form["refresh_token"]]
        return Answer(200, self._issue_to_user(client_id, access))

    def _issue(self, access: Access) -> dict[str, object]:
        token = secrets.token_urlsafe(32)
        self._tokens[token] = Access(access.user, access.scope, time.monotonic() + self.token_seconds)
        return {"access_token": token, "token_type": "Bearer", "expires_in": max(1, int(self.token_seconds))}

    def _issue_to_user(self, client_id: str, access: Access) -> dict[str, object]:
        refresh_token = secrets.token_urlsafe(32)
        self._refresh[refresh_token] = (client_id, access)
        return {**self._issue(access), "refresh_token": refresh_token, "scope": access.scope}


def error(status: int, message: str, **more: str) -> Answer:
    """Build an error answer of the Web API."""
    return Answer(status, {"error": {"status": status, "message": message, **more}})


def _refused(kind: str, description: str) -> Answer:
    return Answer(400, {"error": kind, "error_description": description})


def _client(form: Mapping[str, str], authorization: str) -> tuple[str, str]:
    """Give the client's id and secret, from the header or the form; "" for what is not given."""
    kind, _, encoded = authorization.partition(" ")
    if kind != "Basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return client_id, secret
