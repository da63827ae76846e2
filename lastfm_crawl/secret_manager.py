"""Secrets that Google Secret Manager keeps: a reference in, the value out.

One GET of its REST API by google-auth, which is here for the bucket anyway: Google's own client for it would bring gRPC
and its threads into the process of every crawl for one small answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from typing import TYPE_CHECKING, Any

from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

SCHEME = "sm://"
_REFERENCE = re.compile(r"sm://([a-z0-9.:-]+)/([A-Za-z0-9_-]{1,255})(?:/versions/([A-Za-z0-9_-]{1,63}))?")
_HOST = "https://secretmanager.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Seconds that one question may take.
_TIMEOUT = 15
#: What Google answers when the reference names nothing that could be read; anything else is a fault on the way.
_WRONG_REFERENCE = frozenset({400, 404})


class SecretUnavailableError(CommandError):
    """A secret that cannot be had."""


def fetch(name: str, reference: str) -> str:
    """The value of the secret *name*, which is set to *reference* (``sm://project/secret[/versions/3]``).

    Credentials are Google's Application Default Credentials; none are used where ``SECRET_MANAGER_EMULATOR_HOST``
    (host:port) is set. Blocks for as long as a network takes: not for the event loop. Raises SecretUnavailableError.
    """
    named = _REFERENCE.fullmatch(reference)
    if named is None:
        # Not the text itself: whoever put a value behind the scheme by mistake would read it in a log.
        line = f"{name} begins with {SCHEME}, but is not sm://project/secret or sm://project/secret/versions/3"
        raise SecretUnavailableError(Exit.WRONG_USE, line)
    # Here, for they take a fifth of a second that only those who refer to a secret should pay.
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    project, secret, version = named.groups()
    emulated = os.environ.get("SECRET_MANAGER_EMULATOR_HOST")
    path = f"/v1/projects/{project}/secrets/{secret}/versions/{version or 'latest'}:access"
    failure = ""
    try:
        with _session(emulated) as session:
            answer = session.get(f"http://{emulated}{path}" if emulated else f"{_HOST}{path}", timeout=_TIMEOUT)
            status, body = answer.status_code, answer.content
    except (GoogleAuthError, RequestException) as exc:
        failure = _one_line(exc)
    if failure:
        raise SecretUnavailableError(
            Exit.CRITICAL,
            f"{name} cannot be read from Secret Manager ({failure}); check the network, and the credentials:"
            " `gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
        )
    if status != 200:
        raise SecretUnavailableError(*_refusal(name, reference, status, body))
    value = _payload(body)
    if value is None:
        line = f"{name} cannot be read: what Secret Manager holds at {reference} came damaged, or is no text"
        raise SecretUnavailableError(Exit.CRITICAL, line)
    if not value:
        raise SecretUnavailableError(Exit.WRONG_USE, f"{name} is empty: Secret Manager holds blanks at {reference}")
    return value


def _session(emulated: str | None) -> AuthorizedSession:
    """What asks in our name. Raises GoogleAuthError."""
    import google.auth  # noqa: PLC0415
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

    credentials = AnonymousCredentials() if emulated else google.auth.default(scopes=[_SCOPE])[0]  # type: ignore[no-untyped-call]
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


def _refusal(name: str, reference: str, status: int, body: bytes) -> tuple[Exit, str]:
    """What an answer without the value means."""
    said = _message(body)
    if status in _WRONG_REFERENCE:
        return Exit.WRONG_USE, f"{name}: Secret Manager has nothing to read at {reference} ({said or status})"
    if status in {401, 403}:
        return Exit.CRITICAL, (
            f"{name}: Secret Manager does not let us read {reference} ({said or status}); grant"
            " roles/secretmanager.secretAccessor"
        )
    return Exit.CRITICAL, f"{name}: Secret Manager does not answer (HTTP {status}); run again later"


def _message(body: bytes) -> str:
    """What Google says of an error: it names the resource, never a value."""
    try:
        said = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return ""
    return _one_line(said)


def _payload(body: bytes) -> str | None:
    """The value in an answer, without the blanks around it; None when its checksum does not fit or it is no text.

    Nothing is raised: an exception would carry the value, or the bytes of it.
    """
    import google_crc32c  # noqa: PLC0415

    try:
        payload: dict[str, Any] = json.loads(body)["payload"]
        data = base64.b64decode(payload["data"], validate=True)
        if int(payload["dataCrc32c"]) != google_crc32c.value(data):
            return None
        return data.decode().strip()
    except (binascii.Error, UnicodeDecodeError, ValueError, LookupError, TypeError):
        return None


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".")
