"""The stand-in of Google Cloud Storage is as strict as Google: what it lets pass proves something."""

from __future__ import annotations

import gzip
import http.client
import json
from urllib.parse import quote

import pytest
from gcs_server import CHUNK, GCSServer, crc32c
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

UPLOAD = "/upload/storage/v1/b/answers/o"
THINGS = "/storage/v1/b/answers/o"


class Answered:
    def __init__(self, answer: http.client.HTTPResponse):
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    def json(self):
        return json.loads(self.body)

    @property
    def reason(self) -> tuple[int, str]:
        error = self.json()["error"]
        assert error["code"] == self.status
        return error["code"], error["errors"][0]["reason"]


def ask(gcs: GCSServer, method: str, path: str, body: bytes | dict = b"", **headers: str) -> Answered:
    connection = http.client.HTTPConnection(gcs.url.removeprefix("http://"), timeout=5)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, given)
        return Answered(connection.getresponse())
    finally:
        connection.close()


def put(gcs: GCSServer, name: str, body: bytes = b"1", query: str = "", **headers: str) -> Answered:
    return ask(gcs, "POST", f"{UPLOAD}?uploadType=media&name={quote(name, safe='')}{query}", body, **headers)


def multipart(fields: dict, body: bytes, mark: bytes = b"=mark=") -> bytes:
    head = b"--%b\r\ncontent-type: application/json\r\n\r\n%b\r\n" % (mark, json.dumps(fields).encode())
    return head + b"--%b\r\ncontent-type: text/plain\r\n\r\n%b\r\n--%b--" % (mark, body, mark)


@pytest.fixture
def client(gcs) -> storage.Client:
    return storage.Client(project="p", credentials=AnonymousCredentials())


# --- buckets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["abc", "a-b_c.d", "x" * 63, ".".join(["x" * 63] * 3), "0a0"])
def test_names_of_buckets(gcs, name):
    assert ask(gcs, "POST", "/storage/v1/b?project=p", {"name": name}).status == 200
    assert ask(gcs, "GET", f"/storage/v1/b/{name}").json()["name"] == name


@pytest.mark.parametrize(
    "name",
    ["", "b", "ab", "Abc", "-abc", "abc-", "a b", "x" * 64, f"{'x' * 64}.y", "a..b", "1.2.3.4", "goog1", "my-google"],
)
def test_names_that_buckets_cannot_have(gcs, name):
    assert ask(gcs, "POST", "/storage/v1/b?project=p", {"name": name}).reason == (400, "invalid")


def test_a_bucket_needs_a_project_and_a_name_of_its_own(gcs):
    assert ask(gcs, "POST", "/storage/v1/b", {"name": "new-one"}).reason == (400, "required")
    assert ask(gcs, "POST", "/storage/v1/b?project=p", {"name": "answers"}).reason == (409, "conflict")


@pytest.mark.parametrize(
    "fields",
    [
        {"colour": "red"},
        {"lifecycle": {"rule": [{"action": {"type": "Burn"}, "condition": {"age": 1}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"weight": 1}}]}},
        {
            "lifecycle": {
                "rule": [{"action": {"type": "SetStorageClass", "storageClass": "X"}, "condition": {"age": 1}}]
            }
        },
        {"iamConfiguration": {"publicAccessPrevention": "perhaps"}},
        {"location": "EU"},
    ],
)
def test_what_a_bucket_cannot_have(gcs, fields):
    before = ask(gcs, "GET", "/storage/v1/b/answers").json()
    assert ask(gcs, "PATCH", "/storage/v1/b/answers", fields).reason == (400, "invalid")
    assert ask(gcs, "GET", "/storage/v1/b/answers").json() == before


def test_a_bucket_changes_only_as_who_asks_knows_it(gcs):
    path = "/storage/v1/b/answers"
    changed = ask(gcs, "PATCH", f"{path}?ifMetagenerationMatch=1", {"labels": {"a": "b"}}).json()
    assert changed["metageneration"] == "2"
    assert ask(gcs, "PATCH", f"{path}?ifMetagenerationMatch=1", {"labels": {}}).reason == (412, "conditionNotMet")


def test_a_bucket_that_is_not_empty_stays(gcs):
    put(gcs, "a")
    assert ask(gcs, "DELETE", "/storage/v1/b/answers").reason == (409, "conflict")
    ask(gcs, "DELETE", f"{THINGS}/a")
    assert ask(gcs, "DELETE", "/storage/v1/b/answers").status == 204
    assert ask(gcs, "GET", f"{THINGS}/a").json()["error"]["message"] == "The specified bucket does not exist."
    assert put(gcs, "a").reason == (404, "notFound")


# --- names and parameters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "ü/😀", "a?b#c%2F", " ", "x" * 1024, "…/../x", "//"])
def test_names_of_objects(gcs, name):
    assert put(gcs, name, b"1").json()["name"] == name
    assert ask(gcs, "GET", f"{THINGS}/{quote(name, safe='')}?alt=media").body == b"1"
    assert gcs.blobs("answers") == {name: b"1"}


@pytest.mark.parametrize("name", ["", "x" * 1025, "ü" * 513, "a\nb", "a\rb", ".", "..", ".well-known/acme-challenge/x"])
def test_names_that_objects_cannot_have(gcs, name):
    assert put(gcs, name).reason == (400, "invalid")


@pytest.mark.parametrize(
    "path",
    [f"{THINGS}?maxResult=3", f"{THINGS}/a?ifGenMatch=0", f"{THINGS}?maxResults=x", f"{THINGS}/a?generation=new"],
)
def test_nothing_is_ignored(gcs, path):
    assert ask(gcs, "GET", path).reason == (400, "invalid")


def test_what_there_is_not(gcs):
    assert ask(gcs, "GET", f"{THINGS}/a/b").reason == (404, "notFound")
    assert ask(gcs, "PUT", THINGS).reason == (404, "notFound")


# --- preconditions ------------------------------------------------------------------------------------------------


def test_the_first_write_only(gcs):
    assert put(gcs, "a", b"1", "&ifGenerationMatch=0").status == 200
    assert put(gcs, "a", b"2", "&ifGenerationMatch=0").reason == (412, "conditionNotMet")
    assert gcs.blobs("answers") == {"a": b"1"}


def test_each_write_is_a_new_generation(gcs):
    first = put(gcs, "a", b"1").json()["generation"]
    second = put(gcs, "a", b"2", f"&ifGenerationMatch={first}").json()["generation"]
    assert int(second) > int(first)
    assert put(gcs, "a", b"3", f"&ifGenerationMatch={first}").reason == (412, "conditionNotMet")
    assert ask(gcs, "GET", f"{THINGS}/a?generation={first}").reason == (404, "notFound")
    assert ask(gcs, "GET", f"{THINGS}/a?generation={second}&alt=media").body == b"2"


@pytest.mark.parametrize("condition", ["ifGenerationMatch=1", "ifMetagenerationMatch=7", "ifMetagenerationNotMatch=1"])
def test_nothing_happens_that_was_not_meant(gcs, condition):
    put(gcs, "a")
    body = multipart({"name": "a"}, b"2")
    for answered in (
        put(gcs, "a", b"2", f"&{condition}"),
        ask(gcs, "POST", f"{UPLOAD}?uploadType=multipart&{condition}", body,
            Content_Type='multipart/related; boundary="=mark="'),
        ask(gcs, "POST", f"{UPLOAD}?uploadType=resumable&{condition}", {"name": "a"}),
        ask(gcs, "DELETE", f"{THINGS}/a?{condition}"),
        ask(gcs, "PATCH", f"{THINGS}/a?{condition}", {"cacheControl": "no-store"}),
        ask(gcs, "POST", f"{THINGS}/a/copyTo/b/answers/o/a?{condition}"),
        ask(gcs, "POST", f"{THINGS}/a/copyTo/b/answers/o/b?ifSource{condition.removeprefix('if')}"),
        ask(gcs, "POST", f"{THINGS}/a/rewriteTo/b/answers/o/a?{condition}"),
    ):  # fmt: skip
        assert answered.reason == (412, "conditionNotMet")
    assert gcs.blobs("answers") == {"a": b"1"}


def test_a_reader_who_has_it(gcs):
    generation = put(gcs, "a").json()["generation"]
    assert ask(gcs, "GET", f"{THINGS}/a?ifGenerationNotMatch={generation}").status == 304
    assert ask(gcs, "GET", f"{THINGS}/a?ifGenerationMatch=0").status == 412


def test_metadata_changes_the_metageneration(gcs):
    first = put(gcs, "a").json()
    changed = ask(gcs, "PATCH", f"{THINGS}/a", {"metadata": {"a": "ü"}}).json()
    assert (changed["generation"], changed["metageneration"], changed["metadata"]) == (
        first["generation"], "2", {"a": "ü"},
    )  # fmt: skip


def test_a_copy_of_one_generation(gcs):
    generation = put(gcs, "a", b"1").json()["generation"]
    way = f"{THINGS}/a/rewriteTo/b/answers/o/copy%2Fa?sourceGeneration={generation}"
    assert ask(gcs, "POST", f"{way}&ifGenerationMatch=0").json()["done"]
    assert ask(gcs, "POST", f"{way}&ifGenerationMatch=0").reason == (412, "conditionNotMet")
    put(gcs, "a", b"2")
    assert ask(gcs, "POST", way).reason == (404, "notFound")
    assert gcs.blobs("answers") == {"a": b"2", "copy/a": b"1"}


# --- checksums ----------------------------------------------------------------------------------------------------


def test_checksums_are_as_google_writes_them(gcs):
    found = put(gcs, "a", b"123456789").json()
    assert (found["crc32c"], found["md5Hash"]) == ("4waSgw==", "JfnnlDI7RTiF9RgfG2JNCw==")


@pytest.mark.parametrize("declared", [{"crc32c": crc32c(b"2")}, {"md5Hash": "yB5yjZ1MML2NvBn+JzBSGg=="}])
def test_a_body_that_is_not_what_was_declared(gcs, declared):
    content_type = {"Content_Type": 'multipart/related; boundary="=mark="'}
    path = f"{UPLOAD}?uploadType=multipart"
    answered = ask(gcs, "POST", path, multipart({"name": "a", **declared}, b"1"), **content_type)
    assert answered.reason == (400, "invalid")
    assert "doesn't match calculated" in answered.json()["error"]["message"]
    [(name, value)] = declared.items()
    header = {"X_Goog_Hash": f"{name.removesuffix('Hash')}={value}"}
    assert put(gcs, "a", b"1", **header).reason == (400, "invalid")
    where = ask(gcs, "POST", f"{UPLOAD}?uploadType=resumable", {"name": "a"}).headers["Location"]
    assert ask(gcs, "PUT", where.removeprefix(gcs.url), b"1", **header).reason == (400, "invalid")
    assert gcs.blobs("answers") == {}
    assert put(gcs, "a", b"1", X_Goog_Hash=f"crc32c={crc32c(b'1')}").status == 200


# --- uploads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"\r\n--=mark=", b"\r\n--=mark=\r\n\r\n", b"--=mark=--", b"\r\n\r\n"])
def test_bytes_that_look_like_a_boundary(gcs, body):
    ask(gcs, "POST", f"{UPLOAD}?uploadType=multipart", multipart({"name": "a"}, body),
        Content_Type='multipart/related; boundary="=mark="')  # fmt: skip
    assert gcs.blobs("answers") == {"a": body}


@pytest.mark.parametrize(
    "body", [b"", b"x", multipart({}, b"1", b"other"), b'--=mark=\r\n\r\n{"name": "a"}\r\n--=mark=--']
)
def test_an_upload_of_no_parts(gcs, body):
    answered = ask(gcs, "POST", f"{UPLOAD}?uploadType=multipart", body,
                   Content_Type='multipart/related; boundary="=mark="')  # fmt: skip
    assert answered.status == 400
    assert gcs.blobs("answers") == {}


def test_a_field_that_there_is_not(gcs):
    assert ask(gcs, "POST", f"{UPLOAD}?uploadType=resumable", {"name": "a", "size": 3}).reason == (400, "invalid")


def test_an_upload_in_chunks(gcs, client):
    body = bytes(range(256)) * (CHUNK // 100)
    blob = client.bucket("answers").blob("a", chunk_size=CHUNK)
    blob.upload_from_string(body, checksum="crc32c")
    blob.upload_from_string(body[:100], checksum="md5")
    with blob.open("wb", chunk_size=CHUNK) as file:
        file.write(body)
    assert gcs.blobs("answers") == {"a": body}
    assert len(gcs.calls("PUT")) >= 3


def test_an_upload_that_goes_on(gcs):
    body = b"x" * (2 * CHUNK + 5)
    where = ask(gcs, "POST", f"{UPLOAD}?uploadType=resumable&ifGenerationMatch=0", {"name": "a"}).headers["Location"]
    path = where.removeprefix(gcs.url)

    def send(first: int, last: int, total: int | str = len(body), part: bytes | None = None) -> Answered:
        given = body[first : last + 1] if part is None else part
        return ask(gcs, "PUT", path, given, Content_Range=f"bytes {first}-{last}/{total}")

    assert "Range" not in ask(gcs, "PUT", path, Content_Range="bytes */*").headers
    assert send(0, CHUNK - 1, "*").status == 308
    assert ask(gcs, "PUT", path, Content_Range="bytes */*").headers["Range"] == f"bytes=0-{CHUNK - 1}"
    assert send(CHUNK, CHUNK + 9, "*").reason == (400, "invalid")  # no multiple of 256 KiB
    assert send(2 * CHUNK, 2 * CHUNK + 4).reason == (400, "invalid")  # a gap
    assert send(CHUNK, 2 * CHUNK - 1, part=b"short").reason == (400, "invalid")
    assert send(0, 2 * CHUNK - 1).status == 308  # what came before is not taken twice
    assert gcs.blobs("answers") == {}
    assert send(2 * CHUNK, len(body) - 1).status == 200
    assert send(2 * CHUNK, len(body) - 1).status == 200
    assert gcs.blobs("answers") == {"a": body}
    assert ask(gcs, "PUT", f"{UPLOAD}?upload_id=none").reason == (404, "notFound")


def test_an_upload_that_is_overtaken(gcs):
    where = ask(gcs, "POST", f"{UPLOAD}?uploadType=resumable&ifGenerationMatch=0", {"name": "a"}).headers["Location"]
    put(gcs, "a", b"first")
    assert ask(gcs, "PUT", where.removeprefix(gcs.url), b"second").reason == (412, "conditionNotMet")
    assert gcs.blobs("answers") == {"a": b"first"}


# --- downloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "got"), [("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")]
)
def test_a_range(gcs, wanted, got):
    put(gcs, "a", b"0123456789")
    answered = ask(gcs, "GET", f"{THINGS}/a?alt=media", Range=wanted)
    assert (answered.status, answered.body) == (206, got)
    assert answered.headers["Content-Range"].endswith("/10")
    assert ask(gcs, "GET", f"{THINGS}/a?alt=media", Range="bytes=10-").status == 416


def test_gzip_is_undone_for_who_does_not_take_it(gcs, client):
    packed = gzip.compress(b"plain" * 100)
    blob = client.bucket("answers").blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    plain = ask(gcs, "GET", f"{THINGS}/a?alt=media", Range="bytes=0-1")
    assert (plain.status, plain.body, plain.headers["Content-Encoding"]) == (200, b"plain" * 100, None)
    assert plain.headers["X-Goog-Stored-Content-Encoding"] == "gzip"
    stored = ask(gcs, "GET", f"{THINGS}/a?alt=media", Accept_Encoding="gzip")
    assert (stored.body, stored.headers["Content-Encoding"]) == (packed, "gzip")
    assert blob.download_as_bytes() == b"plain" * 100
    assert blob.download_as_bytes(raw_download=True) == packed


def test_what_is_not_there(gcs):
    assert ask(gcs, "GET", f"{THINGS}/a").reason == (404, "notFound")
    assert ask(gcs, "DELETE", f"{THINGS}/a").reason == (404, "notFound")
    assert ask(gcs, "GET", f"{THINGS}/a?alt=media").body == b"No such object: answers/a"


# --- lists --------------------------------------------------------------------------------------------------------


def test_lists(gcs, client):
    names = ["a", "b/1", "b/2", "b/c/3", "d", "ü", "😀"]
    for name in reversed(names):
        put(gcs, name)

    def listed(**options) -> list[str]:
        return [blob.name for blob in client.list_blobs("answers", **options)]

    assert listed() == names
    assert listed(page_size=2) == names
    assert listed(max_results=3) == names[:3]
    assert listed(prefix="b/") == names[1:4]
    assert listed(start_offset="b/2", end_offset="ü") == names[2:5]
    assert listed(prefix="z") == []
    gcs.page_size = 2
    for prefix, objects, folders in (("", ["a", "d", "ü", "😀"], {"b/"}), ("b/", ["b/1", "b/2"], {"b/c/"})):
        found = client.list_blobs("answers", prefix=prefix, delimiter="/")
        assert [blob.name for blob in found] == objects
        assert found.prefixes == folders
    assert len(gcs.calls("GET", "pageToken=")) >= 5


def test_a_page(gcs):
    for name in "abc":
        put(gcs, name)
    page = ask(gcs, "GET", f"{THINGS}?maxResults=2&fields=items(name),nextPageToken").json()
    assert page["items"] == [{"name": "a"}, {"name": "b"}]
    rest = ask(gcs, "GET", f"{THINGS}?pageToken={quote(page['nextPageToken'])}&fields=items(name,size)").json()
    assert rest == {"items": [{"name": "c", "size": "1"}]}
    assert ask(gcs, "GET", f"{THINGS}?pageToken=?").reason == (400, "invalid")


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_status_on_demand(gcs, status):
    gcs.fault(status, times=2, method="GET", match="o/b c")
    assert ask(gcs, "GET", f"{THINGS}/other").status == 404
    assert put(gcs, "b c").status == 200
    assert [ask(gcs, "GET", f"{THINGS}/b%20c").status for _ in range(3)] == [status, status, 200]


def test_broken_connections(gcs):
    gcs.fault("reset")
    with pytest.raises(ConnectionError):
        put(gcs, "a")
    assert gcs.blobs("answers") == {}
    gcs.fault("lost")
    with pytest.raises(ConnectionError):
        put(gcs, "a")
    assert gcs.blobs("answers") == {"a": b"1"}
    gcs.fault("cut")
    with pytest.raises(http.client.IncompleteRead):
        ask(gcs, "GET", f"{THINGS}/a?alt=media")
    gcs.fault("corrupt")
    assert ask(gcs, "GET", f"{THINGS}/a?alt=media").body == b"0"
    assert [call.method for call in gcs.log] == ["POST", "POST", "GET", "GET"]


def test_the_client_understands_errors(gcs, client):
    blob = client.bucket("answers").blob("a")
    gcs.fault(403, times=2, match="/o")  # the library also asks for the bucket, in a thread of its own
    with pytest.raises(api.Forbidden, match="does not have storage"):
        blob.upload_from_string(b"1")
    with pytest.raises(api.Forbidden):
        blob.download_as_bytes()
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(api.PreconditionFailed):
        blob.upload_from_string(b"1", if_generation_match=0)
    assert client.lookup_bucket("nowhere") is None
