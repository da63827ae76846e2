"""The envelope: one stored answer as one JSON object, its raw body spliced in byte for byte.

``{"version": 1, "request": {"method", "params", "url", "timestamp"},
"response": {"status_code", "headers", "timestamp", "body"}}``

A body that is JSON stands in ``body`` as it came; any other text stands in ``text``, and bytes that are no text in
``base64``. An answer that is kept for a limited time also has ``expires``, and one from whose body something was taken
has ``redacted``: how many entries. No pickle, no request headers, no key.

The number says how to read what is there, and is no date: what was stored as version 1 stays that, nothing is rewritten
for a new version. A member that readers may pass over needs no new number. One that changes what the others mean does:
then :func:`encode` writes 2, and :func:`decode_line` reads the number first and takes the reader of that number from a
table, ``{1: …, 2: …}``, each of which gives the same :class:`Envelope`; readers are added, and none is ever removed.
Who does not know a number leaves the answer where and as it is: :class:`NewerEnvelopeError`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping  # noqa: TC003  (msgspec reads the annotations)
from datetime import UTC, datetime
from typing import Literal

import msgspec
from isal import igzip, igzip_lib

VERSION: Literal[1] = 1


class CorruptEnvelopeError(ValueError):
    """What was stored cannot be read back: truncated, not gzip, not JSON, or of another shape or version."""


class NewerEnvelopeError(CorruptEnvelopeError):
    """A version of the envelope that is not known yet: there is nothing wrong with it, but with who reads it."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A stored answer. Times are seconds since 1970 with microseconds; ``expires`` is None for ever.

    ``redacted`` is how many entries were taken out of its body, which is as it came but for these.
    """

    method: str
    params: Mapping[str, str]
    url: str
    asked_at: float
    status: int
    headers: Mapping[str, str]
    answered_at: float
    body: bytes
    expires: float | None = None
    redacted: int = 0

    def expired(self, now: float) -> bool:
        """Whether the time that this answer was to be kept is over."""
        return self.expires is not None and now >= self.expires


class _Request(msgspec.Struct):
    method: str
    params: dict[str, str]
    url: str
    timestamp: str


class _Response(msgspec.Struct):
    status_code: int
    headers: dict[str, str]
    timestamp: str
    expires: str | None = None
    redacted: int = 0
    body: msgspec.Raw = msgspec.Raw()
    text: str | None = None
    base64: str | None = None


class _File(msgspec.Struct):
    version: Literal[1]
    request: _Request
    response: _Response
    key: str = ""


class _Version(msgspec.Struct):
    version: int | None = None


class _AnyJson(msgspec.Struct):
    body: msgspec.Raw


_decode_file = msgspec.json.Decoder(_File).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_decode_any = msgspec.json.Decoder(_AnyJson).decode
_json = msgspec.json.encode


def utc_stamp(seconds: float) -> str:
    """*seconds* since 1970 as ``2026-11-21T01:57:59.123456Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_stamp(stamp: str) -> float:
    """Seconds since 1970 of a :func:`utc_stamp`."""
    return datetime.fromisoformat(stamp).timestamp()


def encode(envelope: Envelope) -> bytes:
    """The gzip bytes to store for *envelope*; the same envelope always gives the same bytes."""
    return igzip.compress(b"{%b" % _members(envelope, _body_member(envelope.body)), compresslevel=1, mtime=0)


def encode_line(key: str, envelope: Envelope) -> bytes:
    """*envelope* as one line of JSON without the line's end, its *key* first; decompressed, for packs."""
    body = envelope.body
    # A body that has line breaks of its own travels as text, so that a line is a record for everyone who reads it.
    member = _text_member(body) if b"\n" in body or b"\r" in body else _body_member(body)
    return b'{"key":%b,%b' % (_json(key), _members(envelope, member))


def _members(envelope: Envelope, body: bytes) -> bytes:
    head = {
        "method": envelope.method,
        "params": dict(envelope.params),
        "url": envelope.url,
        "timestamp": utc_stamp(envelope.asked_at),
    }
    answer: dict[str, object] = {
        "status_code": envelope.status,
        "headers": dict(envelope.headers),
        "timestamp": utc_stamp(envelope.answered_at),
    }
    if envelope.expires is not None:
        answer["expires"] = utc_stamp(envelope.expires)
    if envelope.redacted:
        answer["redacted"] = envelope.redacted
    return b'"version":%d,"request":%b,"response":%b,%b}}' % (VERSION, _json(head), _json(answer)[:-1], body)


def _body_member(body: bytes) -> bytes:
    try:
        body.decode()  # the scanner does not look into strings
        # A scanner's pass, no objects built. White space around the value would not come back: that goes into text.
        if bytes(_decode_any(b'{"body":%b}' % body).body) == body:
            return b'"body":%b' % body
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    return _text_member(body)


def _text_member(body: bytes) -> bytes:
    try:
        return b'"text":%b' % _json(body.decode())
    except UnicodeDecodeError:
        return b'"base64":"%b"' % base64.b64encode(body)


def decode(blob: bytes) -> Envelope:
    """The envelope stored as *blob*. Raises :class:`CorruptEnvelopeError` as :func:`decode_line`."""
    try:
        text = igzip.decompress(blob)  # type: ignore[no-untyped-call]
    except (OSError, EOFError, ValueError, igzip_lib.IsalError) as exc:  # type: ignore[misc]  # its stub says function
        raise CorruptEnvelopeError(f"{type(exc).__name__}: {exc}") from exc
    return decode_line(text)[1]


def decode_line(text: bytes) -> tuple[str, Envelope]:
    """The key ("" where none is said) and the envelope of one line.

    Raises :class:`CorruptEnvelopeError` when it is none, and :class:`NewerEnvelopeError` when it is of a later version.
    """
    try:
        file = _decode_file(text)
        response = file.response
        return file.key, Envelope(
            method=file.request.method,
            params=file.request.params,
            url=file.request.url,
            asked_at=from_stamp(file.request.timestamp),
            status=response.status_code,
            headers=response.headers,
            answered_at=from_stamp(response.timestamp),
            body=_body(response),
            expires=from_stamp(response.expires) if response.expires else None,
            redacted=response.redacted,
        )
    except CorruptEnvelopeError:
        raise
    except (ValueError, RecursionError) as exc:
        if (version := _version(text)) > VERSION:
            line = f"it is an envelope of version {version}, and known is {VERSION}: update the software that reads it"
            raise NewerEnvelopeError(line) from exc
        raise CorruptEnvelopeError(f"{type(exc).__name__}: {exc}") from exc


def _version(text: bytes) -> int:
    """The number that *text* says, or 0."""
    try:
        return _decode_version(text).version or 0
    except (ValueError, RecursionError):
        return 0


def _body(response: _Response) -> bytes:
    if len(body := bytes(response.body)):
        return body
    if response.text is not None:
        return response.text.encode()
    if response.base64 is not None:
        return base64.b64decode(response.base64, validate=True)
    raise CorruptEnvelopeError("neither body, text nor base64")
