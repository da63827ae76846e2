"""The store in a bucket of Google Cloud Storage: nothing is overwritten without a copy, whoever else writes."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import google.auth
import urllib3
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from lastfm_crawl.httpcache.envelope import utc_stamp
from lastfm_crawl.httpcache.keys import archive_key, check_key
from lastfm_crawl.httpcache.storage import Entry, Storage, StoreError, md5

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.auth.credentials import Credentials
    from requests import Response

#: Connections that are kept open: as many threads may work on one storage without waiting for each other.
CONNECTIONS = 32
#: What a run does with the bucket. Replacing an object takes delete.
PERMISSIONS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")
#: Days after which answers are moved to the class in which keeping costs least.
ARCHIVE_AFTER = 90
#: What answers and their older versions begin with; the rest of the store is written over and over.
ARCHIVED = ("requests/", "archive/")

# Bytes of a large file that are sent at once, and again when that fails.
_CHUNK = 8 << 20

_LOCATION = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])((?:/[^/]+)*)/?")
#: Of one answer by several writers at once. Each attempt that fails means that another one's succeeded.
_ATTEMPTS = 100
_LOG_IN = "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS"
_FAILURES = (
    api.GoogleAPIError,
    GoogleAuthError,
    DataCorruption,
    InvalidResponse,
    OSError,  # requests' errors are of this kind, too
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)


class BucketStorage(Storage):
    """Answers as objects below ``gs://bucket/prefix``, under the names that they have in a folder.

    Credentials are Google's Application Default Credentials; none are used when ``STORAGE_EMULATOR_HOST`` is set.
    *deadline* is for how many seconds each request is tried again, in Google's way, while it fails for reasons that
    pass (429, 5xx, time-outs, broken connections). Nothing is asked before the first method is called. Raises
    ValueError for a *location* that is none.
    """

    def __init__(self, location: str, *, deadline: float = 60.0) -> None:
        found = _LOCATION.fullmatch(location)
        if found is None or {".", ".."} & set(found[2].split("/")):
            raise ValueError(f"{location!r} is not gs://bucket/prefix")
        self._name = found[1]
        self._prefix = f"{found[2][1:]}/" if found[2] else ""
        self.location = f"gs://{found[1]}{found[2]}"
        self._deadline = deadline
        # One request that hangs leaves time for others.
        self._timeout = deadline / 3
        self._retry = DEFAULT_RETRY.with_timeout(deadline)
        self._connecting = threading.Lock()
        self._connected: storage.Client | None = None

    # --- the store ------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """The bytes at *key*, or None."""
        name = self._object_name(key)
        with self._errors("read", key):
            try:
                # Raw: as it is stored. In one go: a download that breaks is begun anew, so that the checksum is of all
                # of it; Google's library does not check what it continued in the middle.
                blob: bytes = self._blob(name).download_as_bytes(
                    raw_download=True, checksum="crc32c", single_shot_download=True, **self._patience
                )
            except api.NotFound as exc:
                if _is_bucket_missing(exc):
                    raise
                return None
        return blob

    def put(self, key: str, blob: bytes) -> None:
        """Keep *blob*; another answer that is there is copied into the archive before it is replaced.

        Whoever else writes the same key meanwhile, every answer is at the key or in the archive afterwards.
        """
        name = self._object_name(key)
        with self._errors("write", key):
            generation = 0  # nothing is there
            for _ in range(_ATTEMPTS):
                try:
                    self._upload(name, blob, if_generation_match=generation)
                    return
                except api.PreconditionFailed:
                    old = self._bucket.get_blob(name, **self._patience)
                # Also when the upload came through and only its acknowledgement was lost.
                if old is not None and _holds(old, blob):
                    return
                generation = 0
                if old is not None:
                    self._archive(key, old)
                    generation = old.generation
        raise StoreError(f"cannot write {key!r} in {self.location}: others kept replacing it")

    def write(self, key: str, blob: bytes) -> None:
        """Keep *blob* in the place of what was there."""
        name = self._object_name(key)
        with self._errors("write", key):
            self._upload(name, blob)

    def write_file(self, key: str, file: Path) -> None:
        """Keep what is in *file* in the place of what was there; the object appears when all of it has arrived."""
        name = self._object_name(key)
        with self._errors("write", key):
            blob = self._blob(name)
            blob.chunk_size = _CHUNK
            blob.upload_from_filename(str(file), content_type=_content_type(name), checksum="crc32c", **self._patience)

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        name = self._object_name(key)
        with self._errors("delete", key):
            try:
                self._blob(name).delete(**self._patience)
            except api.NotFound as exc:
                if _is_bucket_missing(exc):
                    raise

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose key begins with *prefix*, sorted by the bytes of its name."""
        start = self._object_name(prefix) if prefix else self._prefix
        with self._errors("list", f"{prefix}*"):
            listed = self._client.list_blobs(
                self._bucket,
                prefix=start or None,
                fields="items(name,size,updated,md5Hash),nextPageToken",
                **self._patience,
            )
            for blob in listed:
                key = blob.name.removeprefix(self._prefix)
                yield Entry(key, blob.size, blob.updated.timestamp(), blob.md5_hash)

    # --- setting up -----------------------------------------------------------------------------------------------

    def create_bucket(self, region: str | None = None) -> list[str]:
        """Make the bucket, or what an existing one lacks, and return a line for each thing done or left as it was.

        A new bucket is in *region* (Google's default: US) and in the project of the environment or the credentials.
        The bucket gets uniform access, public access prevention, and one lifecycle rule, by which answers move to the
        class ARCHIVE. Nothing that it has is taken away.
        """
        with self._errors("set up", self._name):
            if self._client.project is None:
                raise StoreError("no Google project to make a bucket in; set GOOGLE_CLOUD_PROJECT")
            bucket = self._client.lookup_bucket(self._name, **self._patience)
            if bucket is None:
                bucket = self._bucket
                lines = self._settle(bucket)
                try:
                    bucket.create(location=region, **self._patience)
                except api.Conflict:  # made meanwhile, perhaps by an attempt of ours; or the name is somebody else's
                    bucket = self._client.get_bucket(self._name, **self._patience)
                else:
                    return [f"made the bucket {self._name} in {bucket.location}", *lines]
            there = f"the bucket {self._name} is there, in {bucket.location}"
            if region is not None and region.upper() != bucket.location:
                there += f"; a bucket cannot be moved to {region.upper()}"
            lines = self._settle(bucket)
            if lines:
                bucket.patch(if_metageneration_match=bucket.metageneration, **self._patience)
            return [there, *(lines or ["access and lifecycle are as they should be"]), *self._others(bucket)]

    def missing_permissions(self) -> list[str]:
        """Those of :data:`PERMISSIONS` that the credentials do not have on the bucket, sorted."""
        with self._errors("ask for the permissions on", self._name):
            granted = self._bucket.test_iam_permissions(list(PERMISSIONS), **self._patience)
        return sorted(set(PERMISSIONS) - set(granted))

    def _settle(self, bucket: storage.Bucket) -> list[str]:
        """Change *bucket*, here only, to what it should be; a line for each change."""
        lines = []
        access = bucket.iam_configuration
        if not access.uniform_bucket_level_access_enabled:
            access.uniform_bucket_level_access_enabled = True
            lines.append("turned on uniform access")
        if access.public_access_prevention != "enforced":
            access.public_access_prevention = "enforced"
            lines.append("turned on public access prevention")
        if not any(self._is_ours(rule) for rule in bucket.lifecycle_rules):
            bucket.add_lifecycle_set_storage_class_rule("ARCHIVE", age=ARCHIVE_AFTER, matches_prefix=self._archived)
            moved = " and ".join(self._archived)
            lines.append(f"added a lifecycle rule: {moved} move to class ARCHIVE after {ARCHIVE_AFTER} days")
        return lines

    def _others(self, bucket: storage.Bucket) -> list[str]:
        """A line for each lifecycle rule that is not ours: it stays, but its owner should know what it does to us."""
        return [
            f"left your lifecycle rule {rule['action']['type']} as it is"
            + ("; see that it deletes nothing of the store" if rule["action"]["type"] == "Delete" else "")
            for rule in bucket.lifecycle_rules
            if not self._is_ours(rule)
        ]

    def _is_ours(self, rule: dict[str, Any]) -> bool:
        condition = {"age": ARCHIVE_AFTER, "matchesPrefix": self._archived}
        return bool(rule["action"].get("storageClass") == "ARCHIVE" and rule["condition"] == condition)

    @property
    def _archived(self) -> list[str]:
        return [self._prefix + start for start in ARCHIVED]

    # --- requests -------------------------------------------------------------------------------------------------

    @property
    def _patience(self) -> dict[str, Any]:
        return {"retry": self._retry, "timeout": self._timeout}

    @property
    def _client(self) -> storage.Client:
        """The client, made at the first need: looking for credentials may ask Google's metadata server."""
        with self._connecting:
            if self._connected is None:
                self._connected = _connect()
            return self._connected

    @property
    def _bucket(self) -> storage.Bucket:
        return self._client.bucket(self._name)

    def _blob(self, name: str) -> storage.Blob:
        return self._bucket.blob(name)

    def _object_name(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _upload(self, name: str, blob: bytes, **preconditions: int) -> None:
        # No Content-Encoding: with it Google would decompress for some clients, and bytes would not come back as they
        # went. The answers are gzip files for everyone who reads them.
        self._blob(name).upload_from_string(
            blob, content_type=_content_type(name), checksum="crc32c", **preconditions, **self._patience
        )

    def _archive(self, key: str, old: storage.Blob) -> None:
        """Copy *old*, of its generation and no other. Its archive key follows from it, so it is copied only once."""
        stamp = f"{utc_stamp(old.time_created.timestamp())}-{old.generation}"
        try:
            self._bucket.copy_blob(
                old,
                self._bucket,
                self._prefix + archive_key(key, stamp),
                source_generation=old.generation,
                if_generation_match=0,
                **self._patience,
            )
        except api.PreconditionFailed:
            pass  # another writer, or an attempt of ours whose acknowledgement was lost, has copied it
        except api.NotFound as exc:
            if _is_bucket_missing(exc):
                raise
            # Another writer replaced it, and copied it before: the upload that follows will find that out.

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        """Every failure as a :class:`StoreError` of one line."""
        try:
            yield
        except StoreError:
            raise
        except _FAILURES as exc:
            raise StoreError(f"cannot {verb} {key!r} in {self.location}: {self._reason(exc)}") from exc

    def _reason(self, exc: BaseException) -> str:
        line = " ".join(_said(exc).split())[:300]
        if isinstance(exc, api.RetryError) and exc.cause is not None:
            line = f"{self._reason(exc.cause)} (tried for {self._deadline:g} s)"
        elif isinstance(exc, DefaultCredentialsError):
            line = f"no Google credentials ({line}); {_LOG_IN}"
        elif isinstance(exc, GoogleAuthError | api.Unauthorized):
            line = f"the Google credentials do not work ({line}); {_LOG_IN}"
        elif isinstance(exc, api.NotFound) and _is_bucket_missing(exc):
            line = f"bucket {self._name} does not exist; `scrapy store init` makes it"
        elif isinstance(exc, api.Forbidden):
            line = f"no permission; `scrapy store check` says which is missing ({line})"
        elif isinstance(exc, DataCorruption):
            line = "what came is not what is stored: its checksum is another"
        return line


def _connect() -> storage.Client:
    """A client whose pool has :data:`CONNECTIONS`; Google's own has ten, and warns about every thread beyond."""
    # Its telemetry would ask for the bucket in a thread of its own, which takes a permission that a run does not need.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials: Credentials
    project: str | None
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        credentials, project = AnonymousCredentials(), "emulator"  # type: ignore[no-untyped-call]
    else:
        credentials, project = google.auth.default(scopes=storage.Client.SCOPE)
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.hooks["response"].append(_read_error)
    return storage.Client(project=project, credentials=credentials, _http=session)


def _read_error(response: Response, *_args: object, **_options: object) -> None:
    """Read what the server says about a failed download: Google's library leaves it, and the connection is lost."""
    if response.status_code >= 400:
        _ = response.content


def _is_bucket_missing(exc: api.NotFound) -> bool:
    """Whether more than the object is not there: the status is the same, and a key may say anything."""
    return "bucket does not exist" in str(exc) and "No such object" not in str(exc)


def _said(exc: BaseException) -> str:
    """What the server said, or else what the exception says."""
    response = getattr(exc, "response", None)
    if response is None:
        return str(exc) or type(exc).__name__
    try:
        return f"{response.status_code} {response.json()['error']['message']}"
    except (ValueError, LookupError, TypeError, RuntimeError, OSError):  # plain text, HTML of a proxy, read before
        return f"{response.status_code} {response.reason}"


def _content_type(name: str) -> str:
    if name.endswith(".json.gz"):
        return "application/gzip"
    return "application/json" if name.endswith(".json") else "application/octet-stream"


def _holds(stored: storage.Blob, blob: bytes) -> bool:
    """Whether *stored* is *blob*, without reading it: reading class ARCHIVE costs."""
    # An object that somebody composed has no MD5: it counts as another, and a copy too many is kept.
    return bool(stored.size == len(blob) and stored.md5_hash == md5(blob))
