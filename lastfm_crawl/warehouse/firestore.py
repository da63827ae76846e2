"""The Firestore sink: one document a user, in the collection ``lastfm_users``, with the artists in it."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import GoogleAPIError, InvalidArgument
from google.auth.exceptions import GoogleAuthError
from google.cloud import firestore
from google.cloud.firestore_v1.bulk_writer import BulkWriter

from lastfm_crawl.warehouse.kinds import KINDS
from lastfm_crawl.warehouse.sinks import SinkRefusedError, SinkUnavailableError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lastfm_crawl.warehouse.sinks import Batch

COLLECTION = "lastfm_users"
SOURCE = "lastfm_friends_crawl"
#: Bytes that a document may have (1 MiB), less some for its name; and that are sent at once: the service takes 10 MiB,
#: gRPC elsewhere 4, and names of fields count in both.
LARGEST_DOCUMENT = 1_048_576 - 8_192
LARGEST_REQUEST = 2_500_000
#: Bytes that the id of a document may have.
LONGEST_ID = 1_500
#: Times that a document is tried again when the service is too busy for it.
ATTEMPTS = 5
# Codes of gRPC: deadline exceeded, resource exhausted, aborted, internal, unavailable.
_TRANSIENT = {4, 8, 10, 13, 14}
_INVALID = 3


class _Writer(BulkWriter):  # type: ignore[misc]
    """Google's BulkWriter, which loses what fails on the way in a thread of its own; here it is kept."""

    fault: Exception | None = None

    def _send(self, batch: Any) -> Any:
        try:
            return super()._send(batch)
        except Exception as exc:
            self.fault = exc
            raise


class FirestoreSink:
    """Users with their artists as documents of the project *target*."""

    name = "firestore"
    interval = 30.0
    kinds: Mapping[str, int] = {"documents": 200}

    def __init__(self, target: str) -> None:
        self.target = target

    def open(self) -> None:
        """Make the client; nothing is asked yet. (It heeds FIRESTORE_EMULATOR_HOST by itself.)"""
        with _understood():
            self._client = firestore.Client(project=self.target)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def check(self) -> None:
        """Ask for a document. Raises SinkUnavailableError."""
        with _understood():
            self._client.collection(COLLECTION).document("RJ").get(timeout=20)

    def write(self, batch: Batch) -> None:
        """See Sink.write."""
        gone = set(batch.names)
        failures: list[tuple[int, str]] = []

        def again(failure: Any, _: Any) -> bool:
            transient = failure.code in _TRANSIENT and failure.attempts < ATTEMPTS
            if not transient:
                failures.append((failure.code, failure.message))
            return transient

        with _understood():
            found = list(documents(batch))
            writer = _Writer(self._client)
            writer.on_write_error(again)
            largest = max((size for _, size in found), default=1)
            writer.batch_size = max(1, min(BulkWriter.batch_size, LARGEST_REQUEST // largest))
            for document, _ in found:
                gone.discard(document["lastfm_username"])
                writer.set(self._document(document["lastfm_username"]), document)
            for name in sorted(gone):
                writer.delete(self._document(name))
            writer.close()
            if writer.fault is not None:
                raise writer.fault
        if failures:
            code, message = failures[0]
            error = SinkRefusedError if code == _INVALID else SinkUnavailableError
            raise error(f"{len(failures)} documents were not written, the first because: {message}")

    def _document(self, username: str) -> Any:
        return self._client.collection(COLLECTION).document(document_id(username))


def documents(batch: Batch) -> Iterator[tuple[dict[str, Any], int]]:
    """The document of each user in *batch*, and its size in bytes as Firestore counts."""
    artists: dict[str, list[dict[str, Any]]] = {}
    for row in _dicts(batch, "artists"):
        artists.setdefault(row["lastfm_username"], []).append(row)
    for user in _dicts(batch, "users"):
        yield fit(document_of(user, artists.get(user["username"], ())))


def _dicts(batch: Batch, part: str) -> Iterator[dict[str, Any]]:
    names = [column.name for column in KINDS[part].columns]
    for row in batch.read(part):
        yield dict(zip(names, row, strict=True))


def document_of(user: Mapping[str, Any], artists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of *user* (a row of lastfm_users), with *artists* (rows of lastfm_user_artists) by rank."""
    artists = sorted(artists, key=lambda row: (row["rank"], row["artist_name"]))
    return {
        "id": document_id(user["username"]),
        "lastfm_username": user["username"],
        "lastfm_playcount": user["playcount"],
        "lastfm_url": user["url"],
        # Of the newest answer that is in it.
        "imported_at": max((row["imported_at"] for row in artists), default=user["discovered_at"]),
        "source": SOURCE,
        "crawl_seed": user["crawl_seed"],
        "crawl_depth": user["crawl_depth"],
        "top_artists": [
            {
                "name": row["artist_name"],
                "playcount": row["playcount"],
                "spotify_id": row["spotify_artist_id"],
                "spotify_name": row["spotify_artist_name"],
                "match_confidence": row["match_confidence"] or 0.0,
            }
            for row in artists
        ],
        "artist_count": len(artists),
        "matched_artist_count": sum(row["spotify_artist_id"] is not None for row in artists),
        "top_artist_names": [row["artist_name"] for row in artists],
    }


def fit(document: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """*document* with as many artists as it can have, and its size; ``top_artists_cut`` says how many it has not."""
    size = size_of(document)
    if size <= LARGEST_DOCUMENT:
        return document, size
    artists, names = document["top_artists"], document["top_artist_names"]
    room = LARGEST_DOCUMENT - size_of({**document, "top_artists": [], "top_artist_names": [], "top_artists_cut": 0})
    kept = 0
    for artist, name in zip(artists, names, strict=True):
        room -= size_of(artist) + size_of(name)
        if room < 0:
            break
        kept += 1
    cut = {"top_artists": artists[:kept], "top_artist_names": names[:kept], "top_artists_cut": len(artists) - kept}
    document = {**document, **cut}
    return document, size_of(document)


def size_of(value: Any) -> int:
    """The bytes that Firestore counts for *value* (https://firebase.google.com/docs/firestore/storage-size)."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return len(value.encode()) + 1
    if isinstance(value, int | float | datetime):
        return 8
    if isinstance(value, dict):
        return sum(size_of(name) + size_of(inner) for name, inner in value.items())
    return sum(map(size_of, value))


# --- ids ----------------------------------------------------------------------------------------------------------


def document_id(username: str) -> str:
    """The id of the document of *username*: the name, but for what an id cannot be or hold, percent-encoded.

    Names that are too long for that end in a hash; the document has the name as well.
    """
    encoded = username.replace("%", "%25").replace("/", "%2F")
    if encoded in {".", ".."} or re.fullmatch(r"__.*__", encoded, re.DOTALL):
        encoded = "".join(f"%{ord(character):02X}" for character in encoded[:2]) + encoded[2:]
    raw = encoded.encode()
    if len(raw) <= LONGEST_ID:
        return encoded
    digest = hashlib.sha256(raw).hexdigest()
    return f"{raw[: LONGEST_ID - len(digest) - 1].decode(errors='ignore')}%{digest}"


@contextmanager
def _understood() -> Iterator[None]:
    """Google's errors as ours: what another try may mend, and what not."""
    try:
        yield
    except (InvalidArgument, ValueError, TypeError) as exc:
        raise SinkRefusedError(one_line(exc)) from exc
    except (GoogleAPIError, GoogleAuthError, OSError) as exc:
        raise SinkUnavailableError(one_line(exc)) from exc
