"""A strict stand-in of Google Cloud Storage's JSON API, for tests: it refuses what Google refuses.

    with GCSServer() as server:
        server.add_bucket("answers")
        server.fault(503, times=2, method="POST")

Point ``STORAGE_EMULATOR_HOST`` at ``server.url``. A request, parameter or field that it does not know is an error, so
that nothing passes because it was ignored. Without versioning, as our buckets are: an object has one generation.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import hashlib
import itertools
import json
import math
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

import google_crc32c

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that every chunk of a resumable upload but the last must be a multiple of.
CHUNK = 256 * 1024
#: For a fault that stays.
FOR_EVER = math.inf
#: Names a page may have, whatever a client asks for.
MAX_RESULTS = 1000

OBJECT_FIELDS = {
    "name", "contentType", "contentEncoding", "contentLanguage", "contentDisposition", "cacheControl", "customTime",
    "metadata", "storageClass", "crc32c", "md5Hash",
}  # fmt: skip
BUCKET_FIELDS = {"name", "location", "storageClass", "iamConfiguration", "lifecycle", "labels", "versioning"}
STORAGE_CLASSES = {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}
CONDITIONS = {
    "age", "createdBefore", "customTimeBefore", "daysSinceCustomTime", "daysSinceNoncurrentTime", "isLive",
    "matchesPrefix", "matchesSuffix", "matchesStorageClass", "noncurrentTimeBefore", "numNewerVersions",
}  # fmt: skip

ALWAYS = {"alt", "prettyPrint", "projection"}
PRECONDITIONS = {"ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"}
SOURCE = {"sourceGeneration", *("ifSource" + name.removeprefix("if") for name in PRECONDITIONS)}


class RefusalError(Exception):
    """An error that the client is answered with."""

    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


#: What Google says with each status that can be asked for.
FAULTS = {
    400: ("badRequest", "Bad Request"),
    401: ("authError", "Invalid Credentials"),
    403: ("forbidden", "tester@example.com does not have storage.objects access to the Google Cloud Storage object."),
    404: ("notFound", "Not Found"),
    408: ("requestTimeout", "Request timed out."),
    412: ("conditionNotMet", "At least one of the pre-conditions you specified did not hold."),
    429: ("rateLimitExceeded", "The object exceeded the rate limit for object mutation operations."),
    500: ("backendError", "We encountered an internal error. Please try again."),
    502: ("backendError", "Bad Gateway"),
    503: ("backendError", "We encountered an internal error. Please try again."),
    504: ("backendError", "Gateway Timeout"),
}


@dataclass
class Fault:
    """What happens to the next *times* requests of *method* that have *match* in their decoded path or query."""

    kind: int | str
    times: float
    method: str | None
    match: str

    def takes(self, call: Call) -> bool:
        return self.times > 0 and self.method in {None, call.method} and self.match in call.target


@dataclass(frozen=True)
class Call:
    """A request that came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]

    @property
    def target(self) -> str:
        return f"{self.path}?{'&'.join(f'{k}={v}' for k, v in self.query)}"


@dataclass
class Object:
    """A stored object: its bytes, and the fields that a client may choose."""

    name: str
    body: bytes
    generation: int
    fields: dict
    created: float = field(default_factory=time.time)
    metageneration: int = 1

    def __post_init__(self) -> None:
        self.crc32c = crc32c(self.body)
        self.md5 = base64.b64encode(hashlib.md5(self.body).digest()).decode()

    def resource(self, bucket: str, url: str) -> dict:
        """The object as JSON, at the server *url*. Numbers of 64 bits are strings, as Google sends them."""
        path = f"/storage/v1/b/{bucket}/o/{quote(self.name, safe='')}"
        return {
            "storageClass": "STANDARD",
            **self.fields,
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "selfLink": url + path,
            "mediaLink": f"{url}/download{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.body)),
            "md5Hash": self.md5,
            "crc32c": self.crc32c,
            "etag": self.etag,
            "timeCreated": stamp(self.created),
            "updated": stamp(self.created),
        }

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()


@dataclass
class Bucket:
    """A bucket: the fields that a client may choose, and its objects by name."""

    name: str
    fields: dict
    objects: dict[str, Object] = field(default_factory=dict)
    metageneration: int = 1
    created: float = field(default_factory=time.time)

    def resource(self) -> dict:
        return {
            "location": "US",
            "storageClass": "STANDARD",
            **self.fields,
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": False},
                "publicAccessPrevention": "inherited",
                **self.fields.get("iamConfiguration", {}),
            },
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "projectNumber": "1",
            "metageneration": str(self.metageneration),
            "etag": base64.b64encode(str(self.metageneration).encode()).decode(),
            "timeCreated": stamp(self.created),
        }


@dataclass
class Session:
    """A resumable upload that has begun."""

    bucket: str
    fields: dict
    query: dict[str, str]
    total: int | None
    received: bytearray = field(default_factory=bytearray)
    done: Object | None = None


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_media: bool = False


@dataclass
class Request:
    """A request with its body read; *names* are the decoded parts of its path."""

    method: str
    names: tuple[str, ...]
    query: dict[str, str]
    pairs: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            raise RefusalError(400, "Parse Error", "parseError") from None
        if not isinstance(found, dict):
            raise RefusalError(400, "Parse Error", "parseError")
        return found


def crc32c(body: bytes) -> str:
    """The checksum as Google writes it: big-endian, base64."""
    return base64.b64encode(struct.pack(">I", google_crc32c.value(body))).decode()


def stamp(seconds: float) -> str:
    """A time as Google writes it, in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_bucket_name(name: str) -> None:
    """Google's rules: https://cloud.google.com/storage/docs/buckets#naming."""
    longest = 222 if "." in name else 63
    if (
        not re.fullmatch(r"[a-z0-9][a-z0-9._-]+[a-z0-9]", name)
        or not 3 <= len(name) <= longest
        or any(not part or len(part) > 63 for part in name.split("."))
        or re.fullmatch(r"\d+(\.\d+){3}", name)
        or name.startswith("goog")
        or "google" in name
        or "g00gle" in name
    ):
        raise RefusalError(400, f"Invalid bucket name: '{name}'")


def check_object_name(name: str) -> None:
    """Google's rules: https://cloud.google.com/storage/docs/objects#naming."""
    if (
        not 1 <= len(name.encode()) <= 1024
        or "\r" in name
        or "\n" in name
        or name in {".", ".."}
        or name.startswith(".well-known/acme-challenge/")
    ):
        raise RefusalError(400, f"Invalid object name: '{name}'")


def check_fields(given: dict, known: set[str]) -> dict:
    if strange := given.keys() - known:
        raise RefusalError(400, f"Unknown field: {', '.join(sorted(strange))}")
    return given


def check_lifecycle(lifecycle: dict) -> None:
    rules = lifecycle.get("rule", [])
    if len(rules) > 100:
        raise RefusalError(400, "A bucket has at most 100 lifecycle rules.")
    for rule in rules:
        action, condition = rule.get("action", {}), rule.get("condition", {})
        if action.get("type") not in {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}:
            raise RefusalError(400, f"Unknown lifecycle action: {action}")
        if action["type"] == "SetStorageClass" and action.get("storageClass") not in STORAGE_CLASSES:
            raise RefusalError(400, f"Unknown storage class: {action}")
        if not condition or condition.keys() - CONDITIONS:
            raise RefusalError(400, f"A lifecycle rule needs conditions that there are: {condition}")
        if not all(isinstance(prefix, str) for prefix in condition.get("matchesPrefix", [])):
            raise RefusalError(400, "matchesPrefix is a list of strings.")


def check_sums(body: bytes, declared: dict[str, str | None]) -> None:
    """Refuse *body* when a checksum that came with it is another's."""
    if (given := declared.get("crc32c")) and given != (found := crc32c(body)):
        raise RefusalError(400, f'Provided CRC32C "{given}" doesn\'t match calculated CRC32C "{found}".')
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    if (given := declared.get("md5Hash")) and given != md5:
        raise RefusalError(400, f'Provided MD5 hash "{given}" doesn\'t match calculated MD5 hash "{md5}".')


def hash_header(headers: dict[str, str]) -> dict[str, str | None]:
    """The checksums of an ``X-Goog-Hash`` or ``Content-MD5`` header."""
    found = dict(re.findall(r"(crc32c|md5)=([\w+/]+={0,2})", headers.get("x-goog-hash", "")))
    return {"crc32c": found.get("crc32c"), "md5Hash": found.get("md5") or headers.get("content-md5")}


def check_preconditions(
    found: Object | Bucket | None, query: dict[str, str], prefix: str = "if", *, reading: bool = False
) -> None:
    """Refuse with 412, or 304 to a reader, when what is there is not what the client expects to be there."""
    generation = getattr(found, "generation", 0) if found else 0
    metageneration = found.metageneration if found else 0
    for name, there in (("Generation", generation), ("Metageneration", metageneration)):
        wanted, unwanted = query.get(f"{prefix}{name}Match"), query.get(f"{prefix}{name}NotMatch")
        if wanted is not None and int(wanted) != there:
            raise RefusalError(412, FAULTS[412][1], "conditionNotMet")
        if unwanted is not None and int(unwanted) == there:
            raise RefusalError(304 if reading else 412, FAULTS[412][1], "conditionNotMet")


class GCSServer:
    """The stand-in on a port of its own, from ``with`` to the end of its block."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        #: Every request that came, in order.
        self.log: list[Call] = []
        #: Seconds before each request is looked at.
        self.latency = 0.0
        #: Names a page has at most.
        self.page_size = MAX_RESULTS
        #: Permissions that the client has not.
        self.denied: set[str] = set()
        self._faults: list[Fault] = []
        self._sessions: dict[str, Session] = {}
        self._generations = itertools.count(time.time_ns() // 1000)
        self._lock = threading.RLock()
        self.stopped = threading.Event()
        self._http = _Server(self)

    @property
    def url(self) -> str:
        """What ``STORAGE_EMULATOR_HOST`` is set to."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> GCSServer:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()

    # --- for tests ------------------------------------------------------------------------------------------------

    def fault(self, kind: int | str, *, times: float = 1, method: str | None = None, match: str = "") -> None:
        """Let the next *times* requests fail, in the order of the calls of this function.

        *kind*: a status; ``reset`` (nothing is done, the connection breaks); ``hang`` (nothing is done or answered);
        ``lost`` (it is done, then the connection breaks); ``corrupt`` (a download has a bit changed); ``cut`` (a
        download ends in the middle).
        """
        self._faults.append(Fault(kind, times, method, match))

    def heal(self) -> None:
        """No faults any more."""
        self._faults.clear()

    def add_bucket(self, name: str) -> Bucket:
        """A bucket that is there."""
        check_bucket_name(name)
        with self._lock:
            self.buckets[name] = Bucket(name, {})
            return self.buckets[name]

    def remove_bucket(self, name: str) -> None:
        """The bucket is gone, with all that is in it."""
        with self._lock:
            del self.buckets[name]

    def blobs(self, bucket: str) -> dict[str, bytes]:
        """The bytes of every object of *bucket*, by name, sorted."""
        with self._lock:
            objects = self.buckets[bucket].objects
            return {name: objects[name].body for name in sorted(objects)}

    def calls(self, method: str = "", match: str = "") -> list[Call]:
        """The requests of *method* that have *match* in their decoded path or query."""
        return [call for call in list(self.log) if method in {"", call.method} and match in call.target]

    # --- the API --------------------------------------------------------------------------------------------------

    def take_fault(self, call: Call) -> int | str | None:
        with self._lock:
            self.log.append(call)
            for fault in self._faults:
                if fault.takes(call):
                    fault.times -= 1
                    return fault.kind
        return None

    def answer(self, method: str, raw_path: str, pairs: tuple, headers: dict[str, str], body: bytes) -> Answer:
        places = ((pattern.fullmatch(raw_path), *rest) for known, pattern, *rest in ROUTES if known == method)
        found, handler, parameters = next((place for place in places if place[0]), (None, None, None))
        if found is None:
            raise RefusalError(404, f"Not Found: {method} {raw_path}", "notFound")
        query = dict(pairs)
        if strange := query.keys() - parameters - ALWAYS:
            raise RefusalError(400, f"Unknown parameter: {', '.join(sorted(strange))}")
        for name in query.keys() & (PRECONDITIONS | SOURCE | {"generation", "maxResults"}):
            if not re.fullmatch(r"\d+", query[name]):
                raise RefusalError(400, f"Invalid value for {name}: {query[name]}")
        try:
            names = tuple(unquote(part, errors="strict") for part in found.groups())
        except UnicodeDecodeError:
            raise RefusalError(400, "A name must be UTF-8.") from None
        with self._lock:
            return handler(self, Request(method, names, query, pairs, headers, body))

    def _bucket(self, name: str) -> Bucket:
        if (bucket := self.buckets.get(name)) is None:
            raise RefusalError(404, "The specified bucket does not exist.", "notFound")
        return bucket

    def _object(self, bucket: str, name: str, generation: str | None = None) -> Object:
        found = self._bucket(bucket).objects.get(name)
        if found is None or (generation is not None and found.generation != int(generation)):
            raise RefusalError(404, f"No such object: {bucket}/{name}", "notFound")
        return found

    def _store(self, bucket: str, fields: dict, body: bytes, query: dict[str, str]) -> Object:
        """The object of an upload that is complete."""
        chosen = dict(fields)
        name = chosen.pop("name")
        check_sums(body, chosen)
        objects = self._bucket(bucket).objects
        check_preconditions(objects.get(name), query)
        for declared in ("crc32c", "md5Hash"):
            chosen.pop(declared, None)
        objects[name] = Object(name, body, next(self._generations), chosen)
        return objects[name]

    # buckets

    def insert_bucket(self, request: Request) -> Answer:
        if not request.query.get("project"):
            raise RefusalError(400, "Required parameter: project", "required")
        fields = check_fields(request.json(), BUCKET_FIELDS)
        name = fields.pop("name", "")
        check_bucket_name(name)
        if name in self.buckets:
            raise RefusalError(409, "Your previous request to create the named bucket succeeded.", "conflict")
        self.buckets[name] = bucket = Bucket(name, {})
        try:
            self._change(bucket, {"location": "US", **fields})
        except RefusalError:
            del self.buckets[name]
            raise
        return _json(bucket.resource())

    def get_bucket(self, request: Request) -> Answer:
        bucket = self._bucket(*request.names)
        check_preconditions(bucket, request.query, reading=True)
        return _json(bucket.resource())

    def patch_bucket(self, request: Request) -> Answer:
        bucket = self._bucket(*request.names)
        check_preconditions(bucket, request.query)
        fields = check_fields(request.json(), BUCKET_FIELDS - {"name", "location"})
        self._change(bucket, fields)
        bucket.metageneration += 1
        return _json(bucket.resource())

    @staticmethod
    def _change(bucket: Bucket, fields: dict) -> None:
        check_lifecycle(fields.get("lifecycle") or {})
        iam = fields.get("iamConfiguration", {})
        if iam.get("publicAccessPrevention", "inherited") not in {"inherited", "enforced"}:
            raise RefusalError(400, f"Invalid publicAccessPrevention: {iam}")
        if "location" in fields and not re.fullmatch(r"[A-Za-z0-9-]+", fields["location"]):
            raise RefusalError(400, "The specified location constraint is not valid.")
        for name, value in fields.items():
            if name == "iamConfiguration":
                bucket.fields[name] = {**bucket.fields.get(name, {}), **value}
            elif name == "location":
                bucket.fields[name] = value.upper()
            else:
                bucket.fields[name] = value

    def delete_bucket(self, request: Request) -> Answer:
        bucket = self._bucket(*request.names)
        check_preconditions(bucket, request.query)
        if bucket.objects:
            raise RefusalError(409, "The bucket you tried to delete is not empty.", "conflict")
        del self.buckets[bucket.name]
        return Answer(204)

    def test_permissions(self, request: Request) -> Answer:
        self._bucket(*request.names)
        asked = [value for name, value in request.pairs if name == "permissions"]
        if not asked or not all(re.fullmatch(r"storage\.\w+\.\w+", name) for name in asked):
            raise RefusalError(400, "Invalid permissions.")
        granted = [name for name in asked if name not in self.denied]
        return _json({"kind": "storage#testIamPermissionsResponse"} | ({"permissions": granted} if granted else {}))

    # objects

    def list_objects(self, request: Request) -> Answer:
        bucket, query = self._bucket(*request.names), request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = b""
        if "pageToken" in query:
            try:
                after = base64.b64decode(query["pageToken"], validate=True)
            except binascii.Error:
                raise RefusalError(400, "Invalid pageToken.") from None
        # Objects are sorted by the bytes of their names; with a delimiter, what has one begins a folder.
        entries: dict[str, Object | None] = {}
        for name in sorted(bucket.objects):
            if not name.startswith(prefix) or name < query.get("startOffset", ""):
                continue
            if "endOffset" in query and name >= query["endOffset"]:
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter or "\0\0")
            if found:
                entries[prefix + head + found] = None
            else:
                entries[name] = bucket.objects[name]
        rest = [name for name in entries if name.encode() > after]
        size = min(self.page_size, int(query.get("maxResults") or self.page_size))
        page = rest[:size]
        answer: dict = {"kind": "storage#objects"}
        if items := [there.resource(bucket.name, self.url) for name in page if (there := entries[name])]:
            answer["items"] = items
        if folders := [name for name in page if entries[name] is None]:
            answer["prefixes"] = folders
        if len(rest) > size:
            answer["nextPageToken"] = base64.b64encode(page[-1].encode()).decode()
        return _json(_only(answer, query["fields"]) if "fields" in query else answer)

    def get_object(self, request: Request) -> Answer:
        bucket, name = request.names
        found = self._object(bucket, name, request.query.get("generation"))
        check_preconditions(found, request.query, reading=True)
        if request.query.get("alt") == "media":
            return _media(found, request.headers)
        return _json(found.resource(bucket, self.url))

    def patch_object(self, request: Request) -> Answer:
        bucket, name = request.names
        found = self._object(bucket, name, request.query.get("generation"))
        check_preconditions(found, request.query)
        fields = check_fields(request.json(), OBJECT_FIELDS - {"name", "crc32c", "md5Hash", "storageClass"})
        found.fields = {key: value for key, value in (found.fields | fields).items() if value is not None}
        found.metageneration += 1
        return _json(found.resource(bucket, self.url))

    def delete_object(self, request: Request) -> Answer:
        bucket, name = request.names
        found = self._object(bucket, name, request.query.get("generation"))
        check_preconditions(found, request.query)
        del self.buckets[bucket].objects[name]
        return Answer(204)

    def copy_object(self, request: Request) -> Answer:
        """``copyTo`` and ``rewriteTo``: the second wraps its answer. In one bucket Google, too, does it in one go."""
        bucket, name, verb, to_bucket, to_name = request.names
        source = self._object(bucket, name, request.query.get("sourceGeneration"))
        check_preconditions(source, request.query, "ifSource")
        objects = self._bucket(to_bucket).objects
        check_object_name(to_name)
        check_preconditions(objects.get(to_name), request.query)
        fields = check_fields(request.json(), OBJECT_FIELDS) or source.fields
        copy = Object(to_name, source.body, next(self._generations), dict(fields))
        objects[to_name] = copy
        resource = copy.resource(to_bucket, self.url)
        if verb == "copyTo":
            return _json(resource)
        size = str(len(copy.body))
        return _json(
            {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
            | {"resource": resource}
        )

    # uploads

    def upload(self, request: Request) -> Answer:
        kind = request.query.get("uploadType")
        self._bucket(*request.names)
        if kind == "media":
            fields = {"contentType": request.headers.get("content-type", "application/octet-stream")}
            body = request.body
        elif kind == "multipart":
            fields, body = _multipart(request)
        elif kind == "resumable":
            fields, body = request.json(), b""
        else:
            raise RefusalError(400, f"Invalid uploadType: {kind}")
        check_fields(fields, OBJECT_FIELDS)
        named = request.query.get("name")
        if named and fields.get("name", named) != named:
            raise RefusalError(400, "The name in the query and the name in the metadata differ.")
        fields["name"] = named or fields.get("name", "")
        check_object_name(fields["name"])
        if kind == "resumable":
            return self._begin(request, fields)
        check_sums(body, hash_header(request.headers))
        return _json(self._store(request.names[0], fields, body, request.query).resource(request.names[0], self.url))

    def _begin(self, request: Request, fields: dict) -> Answer:
        bucket = request.names[0]
        check_preconditions(self._bucket(bucket).objects.get(fields["name"]), request.query)
        fields.setdefault("contentType", request.headers.get("x-upload-content-type", "application/octet-stream"))
        total = request.headers.get("x-upload-content-length")
        number = f"{next(self._generations):x}"
        self._sessions[number] = Session(bucket, fields, request.query, int(total) if total else None)
        where = f"{self.url}/upload/storage/v1/b/{quote(bucket)}/o?uploadType=resumable&upload_id={number}"
        return Answer(200, headers={"Location": where, "X-GUploader-UploadID": number})

    def resume(self, request: Request) -> Answer:
        session = self._sessions.get(request.query.get("upload_id", ""))
        if session is None:
            raise RefusalError(404, "No such upload.", "notFound")
        if session.done:
            return _json(session.done.resource(session.bucket, self.url))
        received, body = session.received, request.body
        place = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)",
            request.headers.get("content-range", f"bytes 0-{len(body) - 1}/{len(body)}" if body else "bytes */0"),
        )
        if place is None:
            raise RefusalError(400, "Failed to parse Content-Range header.")
        total = session.total if place[3] == "*" else int(place[3])
        if session.total not in {None, total}:
            raise RefusalError(400, "The total size is not the one that was announced.")
        if place[1]:
            first, last = int(place[1]), int(place[2])
            if last - first + 1 != len(body) or (total is not None and last >= total):
                raise RefusalError(400, "Content-Range is not the range of the body.")
            if first > len(received):
                raise RefusalError(400, f"Bytes {len(received)} to {first} are missing.")
            is_last = last + 1 == total
            if not is_last and len(body) % CHUNK:
                raise RefusalError(400, f"A chunk must be a multiple of {CHUNK} bytes.")
            received += body[len(received) - first :]
        if total is not None and len(received) == total and place[3] != "*":
            check_sums(bytes(received), hash_header(request.headers))
            session.done = self._store(session.bucket, session.fields, bytes(received), session.query)
            return _json(session.done.resource(session.bucket, self.url))
        return Answer(308, headers={"Range": f"bytes=0-{len(received) - 1}"} if received else {})


def _json(found: dict) -> Answer:
    return Answer(200, json.dumps(found).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def _only(answer: dict, fields: str) -> dict:
    """The part of *answer* that ``fields=items(name,size),nextPageToken`` names."""
    chosen = {}
    for name, inner in re.findall(r"(\w+)(?:\(([\w,]+)\))?(?:,|$)", fields):
        if name == "items" and inner and name in answer:
            chosen[name] = [{part: item[part] for part in inner.split(",") if part in item} for item in answer[name]]
        elif name in answer:
            chosen[name] = answer[name]
    return chosen


def _media(found: Object, headers: dict[str, str]) -> Answer:
    """A download: of a range, or decompressed for who does not take gzip."""
    is_gzip = found.fields.get("contentEncoding") == "gzip"
    answer = Answer(
        200,
        found.body,
        {
            "Content-Type": found.fields.get("contentType", "application/octet-stream"),
            "ETag": found.etag,
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Metageneration": str(found.metageneration),
            "X-Goog-Hash": f"crc32c={found.crc32c},md5={found.md5}",
            "X-Goog-Storage-Class": found.fields.get("storageClass", "STANDARD"),
            "X-Goog-Stored-Content-Length": str(len(found.body)),
            "X-Goog-Stored-Content-Encoding": found.fields.get("contentEncoding", "identity"),
        },
        is_media=True,
    )
    if is_gzip and "gzip" not in headers.get("accept-encoding", ""):
        answer.body = gzip.decompress(found.body)
        answer.headers["Warning"] = "214 UploadServer gunzipped"
        return answer  # whole, whatever range was asked for
    if is_gzip:
        answer.headers["Content-Encoding"] = "gzip"
    if place := re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", "")):
        size = len(found.body)
        if place[1]:
            first, last = int(place[1]), min(int(place[2] or size), size - 1)
        else:
            first, last = max(0, size - int(place[2] or 0)), size - 1
        if first > last:
            raise RefusalError(416, "Request range not satisfiable", "requestedRangeNotSatisfiable")
        answer.status, answer.body = 206, found.body[first : last + 1]
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return answer


def _multipart(request: Request) -> tuple[dict, bytes]:
    """Metadata and bytes of a multipart/related upload."""
    kind = re.fullmatch(r'multipart/related; boundary="?([^"]+)"?', request.headers.get("content-type", ""))
    if kind is None:
        raise RefusalError(400, "Invalid multipart request: no boundary.")
    mark = b"--" + kind[1].encode()
    body = request.body
    if not body.startswith(mark + b"\r\n") or not body.rstrip(b"\r\n").endswith(b"\r\n" + mark + b"--"):
        raise RefusalError(400, "Invalid multipart request: it does not begin and end with the boundary.")
    # Cut at the first two boundaries and at the end: the bytes themselves may hold anything.
    head, found, rest = body[len(mark) + 2 :].partition(b"\r\n" + mark + b"\r\n")
    if not found:
        raise RefusalError(400, "Invalid multipart request: it needs two parts.")
    media = rest[: rest.rindex(b"\r\n" + mark + b"--")]
    head_kind, metadata = _part(head)
    media_kind, blob = _part(media)
    if "json" not in head_kind:
        raise RefusalError(400, "Invalid multipart request: the first part is no JSON.")
    fields = Request("", (), {}, (), {}, metadata).json()
    fields.setdefault("contentType", media_kind or "application/octet-stream")
    return fields, blob


def _part(part: bytes) -> tuple[str, bytes]:
    head, _, rest = (b"\r\n" + part).partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-type: ([^\r\n]+)", head)
    return found[1].decode() if found else "", rest


def _routes() -> list[tuple[str, re.Pattern, Callable[[GCSServer, Request], Answer], set[str]]]:
    name, gcs = "([^/]+)", GCSServer
    bucket = f"/storage/v1/b/{name}"
    thing = f"{bucket}/o/{name}"
    reading = {"generation", *PRECONDITIONS}
    table = [
        ("POST", "/storage/v1/b", gcs.insert_bucket, {"project"}),
        ("GET", bucket, gcs.get_bucket, PRECONDITIONS),
        ("PATCH", bucket, gcs.patch_bucket, PRECONDITIONS),
        ("DELETE", bucket, gcs.delete_bucket, PRECONDITIONS),
        ("GET", f"{bucket}/iam/testPermissions", gcs.test_permissions, {"permissions"}),
        ("GET", f"{bucket}/o", gcs.list_objects,
         {"prefix", "delimiter", "startOffset", "endOffset", "pageToken", "maxResults", "fields"}),
        ("GET", thing, gcs.get_object, reading),
        ("GET", f"/download{thing}", gcs.get_object, reading),
        ("PATCH", thing, gcs.patch_object, reading),
        ("DELETE", thing, gcs.delete_object, reading),
        ("POST", f"{thing}/(copyTo|rewriteTo)/b/{name}/o/{name}", gcs.copy_object, PRECONDITIONS | SOURCE),
        ("POST", f"/upload{bucket}/o", gcs.upload, {"uploadType", "name", *PRECONDITIONS}),
        ("PUT", f"/upload{bucket}/o", gcs.resume, {"uploadType", "upload_id"}),
    ]  # fmt: skip
    return [(method, re.compile(path), handler, parameters) for method, path, handler, parameters in table]


ROUTES = _routes()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, gcs: GCSServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gcs = gcs
        self._open: set[socket.socket] = set()

    def process_request(self, request, client_address) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for a client's next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no error of ours; anything else must not be silent."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_args: object) -> None:
        pass

    def _serve(self) -> None:
        gcs = self.server.gcs
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        raw_path, _, raw_query = self.path.partition("?")
        pairs = tuple(parse_qsl(raw_query, keep_blank_values=True))
        call = Call(self.command, unquote(raw_path), pairs)
        kind = gcs.take_fault(call)
        if gcs.latency:
            gcs.stopped.wait(gcs.latency)
        if kind == "reset":
            self._break()
            return
        if kind == "hang":
            gcs.stopped.wait(60)
            self._break()
            return
        wants_text = dict(pairs).get("alt") == "media"
        try:
            if isinstance(kind, int):
                reason, message = FAULTS[kind]
                raise RefusalError(kind, message, reason)
            answer = gcs.answer(self.command, raw_path, pairs, headers, body)
        except RefusalError as refusal:
            answer = _refused(refusal, wants_text=wants_text)
        if kind == "lost":
            self._break()
            return
        if kind == "corrupt" and answer.is_media:
            answer.body = answer.body[:-1] + bytes([answer.body[-1] ^ 1])
        self._send(answer, cut=kind == "cut" and answer.is_media)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _send(self, answer: Answer, *, cut: bool) -> None:
        # In one piece: a head and a body that go out one by one cost a delayed acknowledgement each.
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}"]
        if answer.status not in {204, 304}:
            answer.headers["Content-Length"] = str(len(answer.body))
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if cut:
            self.wfile.write(head + answer.body[: len(answer.body) // 2])
            self.close_connection = True
            return
        self.wfile.write(head + answer.body)

    def _break(self) -> None:
        """Close so that the client gets a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _refused(refusal: RefusalError, *, wants_text: bool) -> Answer:
    message = str(refusal)
    if refusal.status == 304:
        return Answer(304)
    if wants_text:  # downloads fail in plain text
        return Answer(refusal.status, message.encode(), {"Content-Type": "text/html; charset=UTF-8"})
    error = {"message": message, "domain": "global", "reason": refusal.reason}
    found = {"error": {"code": refusal.status, "message": message, "errors": [error]}}
    return Answer(refusal.status, json.dumps(found).encode(), {"Content-Type": "application/json; charset=UTF-8"})
