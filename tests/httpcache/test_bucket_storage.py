"""The store in a bucket when things go wrong, and how it is set up: over the strict stand-in."""

from __future__ import annotations

import gzip
import logging
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from gcs_server import FOR_EVER

from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.httpcache.bucket import CONNECTIONS, PERMISSIONS, BucketStorage
from lastfm_crawl.httpcache.storage import probe

KEY = "requests/user.getInfo/rj/all.json.gz"
BLOB = gzip.compress(b'{"version": 1}', mtime=0)
LARGE = random.Random(1).randbytes(9_000_000)  # Google's library uploads more than 8 MiB in a resumable way


def impatient(location: str = "gs://answers/run", deadline: float = 5.0) -> BucketStorage:
    """A storage whose pauses between attempts are short."""
    store = BucketStorage(location, deadline=deadline)
    store._retry = store._retry.with_delay(initial=0.01, maximum=0.05)
    return store


@pytest.fixture
def store(gcs) -> BucketStorage:
    return impatient()


def blobs(gcs) -> dict[str, bytes]:
    """What is in the bucket, by key."""
    return {name.removeprefix("run/"): blob for name, blob in gcs.blobs("answers").items()}


def archived(gcs) -> list[bytes]:
    return [blob for key, blob in blobs(gcs).items() if key.startswith("archive/")]


VERBS = {
    "get": lambda store: store.get(KEY),
    "put": lambda store: store.put(KEY, b"newer"),
    "write": lambda store: store.write(KEY, b"newer"),
    "delete": lambda store: store.delete(KEY),
    "keys": lambda store: list(store.keys()),
}


@pytest.fixture(params=VERBS)
def verb(request):
    return VERBS[request.param]


def failure(work, store) -> str:
    with pytest.raises(StoreError) as caught:
        work(store)
    message = str(caught.value)
    assert "\n" not in message
    assert "gs://answers/run" in message
    assert len(message) < 500
    return message


# --- where it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "normal"),
    [
        ("gs://answers", "gs://answers"),
        ("gs://answers/", "gs://answers"),
        ("gs://answers/a/b c/", "gs://answers/a/b c"),
        ("gs://my.bucket_1-2/?x#y", "gs://my.bucket_1-2/?x#y"),
    ],
)
def test_locations(location, normal):
    store = open_store(location)
    assert isinstance(store, BucketStorage)
    assert store.location == normal


@pytest.mark.parametrize(
    "location",
    [
        "gs://",
        "gs:answers",
        "gs:///x",
        "gs://A/x",
        "gs://ab",
        "gs://-ab",
        "gs://answers//x",
        "gs://answers/../x",
        "gs:",
    ],
)
def test_locations_that_are_none(location):
    with pytest.raises(ValueError, match="is not gs://bucket/prefix") as caught:
        open_store(location)
    assert "\n" not in str(caught.value)


def test_all_of_it_is_below_the_prefix(gcs):
    impatient("gs://answers").put(KEY, b"1")
    impatient("gs://answers/run").put(KEY, b"2")
    impatient("gs://answers/run").put(KEY, b"3")
    assert set(gcs.blobs("answers")) >= {KEY, f"run/{KEY}"}
    assert next(name for name in gcs.blobs("answers") if "archive/" in name).startswith("run/archive/user.getInfo/")
    assert list(impatient("gs://answers/ru").keys()) == []
    assert list(impatient("gs://answers").keys("req")) == [KEY]


def test_nothing_is_asked_before_the_first_need(gcs):
    BucketStorage("gs://answers/run")
    assert gcs.log == []


# --- what is stored, and how --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (KEY, "application/gzip"),
        ("state/progress.json", "application/json"),
        ("packs/1.ndjson.zst", "application/octet-stream"),
    ],
)
def test_gzip_files_are_files_not_an_encoding(gcs, store, key, kind):
    store.write(key, BLOB)
    assert store.get(key) == BLOB
    assert gcs.buckets["answers"].objects[f"run/{key}"].fields == {"contentType": kind}


def test_what_somebody_stored_with_an_encoding_comes_as_it_is_stored(gcs, store):
    store.write(KEY, BLOB)
    gcs.buckets["answers"].objects[f"run/{KEY}"].fields["contentEncoding"] = "gzip"
    assert store.get(KEY) == BLOB


def test_a_first_write_is_one_request(gcs, store):
    store.put(KEY, BLOB)
    [upload] = gcs.log
    assert dict(upload.query) == {"uploadType": "multipart", "ifGenerationMatch": "0"}


def test_what_is_there_is_not_read_to_be_compared(gcs, store):
    """Reading class ARCHIVE costs."""
    store.put(KEY, BLOB)
    store.put(KEY, BLOB)
    store.put(KEY, b"newer")
    assert not gcs.calls(match="alt=media")
    assert archived(gcs) == [BLOB]


def test_keys_of_many_pages(gcs, store):
    gcs.page_size = 3
    keys = [f"requests/m/{number:02}.json.gz" for number in range(10)]
    for key in keys:
        store.write(key, b"1")
    assert list(store.keys("requests/")) == keys
    assert len(gcs.calls("GET")) == 4


def test_many_threads_have_a_connection_each(gcs, store, caplog):
    caplog.set_level(logging.DEBUG)
    gcs.latency = 0.02
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        assert set(threads.map(store.get, [f"requests/m/{number}" for number in range(4 * CONNECTIONS)])) == {None}
    opened = [record for record in caplog.records if "Starting new HTTP connection" in record.getMessage()]
    assert len(opened) <= CONNECTIONS
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- failures that pass -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [408, 429, 500, 503, "reset"])
def test_what_passes_is_tried_again(gcs, store, verb, kind):
    store.put(KEY, b"1")
    gcs.fault(kind, times=2)
    verb(store)
    gcs.log.clear()
    assert store.get(KEY) in {b"1", b"newer", None}


@pytest.mark.parametrize("kind", [429, 503, "reset", "lost"])
@pytest.mark.parametrize("skipped", range(4))
def test_a_replacement_that_stumbles(gcs, store, kind, skipped):
    """The requests are: the upload, a look at what is there, its copy, the upload. Each may fail."""
    store.put(KEY, b"1")
    match = {"method": "POST", "match": "upload"}, {"method": "GET"}, {"match": "copyTo"}, {"match": "ifGeneration"}
    gcs.fault(kind, times=1 + skipped // 3, **match[skipped])
    store.put(KEY, b"2")
    assert (store.get(KEY), archived(gcs)) == (b"2", [b"1"])


def test_a_server_that_hangs(gcs, verb):
    store = impatient(deadline=1.5)
    store.put(KEY, b"1")
    gcs.fault("hang")
    verb(store)


@pytest.mark.parametrize("kind", [503, "reset"])
def test_a_large_upload_that_stumbles(gcs, store, kind):
    gcs.fault(kind, method="POST")
    gcs.fault(kind, method="PUT")
    store.put(KEY, LARGE)
    assert blobs(gcs) == {KEY: LARGE}


# --- acknowledgements that are lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [BLOB, LARGE], ids=["small", "large"])
def test_stored_but_the_acknowledgement_is_lost(gcs, store, blob):
    gcs.fault("lost", method="POST" if blob is BLOB else "PUT")
    store.put(KEY, blob)
    assert blobs(gcs) == {KEY: blob}


def test_replaced_but_the_acknowledgement_is_lost(gcs, store):
    store.put(KEY, b"1")
    before = gcs.buckets["answers"].objects[f"run/{KEY}"].generation
    gcs.fault("lost", match=f"ifGenerationMatch={before}")
    store.put(KEY, b"2")
    assert (store.get(KEY), archived(gcs)) == (b"2", [b"1"])


def test_every_acknowledgement_is_lost(gcs):
    """The caller is told that it failed, comes again, and finds it done."""
    store = impatient(deadline=0.2)
    gcs.fault("lost", times=FOR_EVER, method="POST")
    gcs.fault("reset", times=FOR_EVER)
    failure(VERBS["put"], store)
    gcs.heal()
    store.put(KEY, b"newer")
    assert blobs(gcs) == {KEY: b"newer"}


def test_deleted_but_the_acknowledgement_is_lost(gcs, store):
    store.put(KEY, b"1")
    gcs.fault("lost", method="DELETE")
    store.delete(KEY)
    assert blobs(gcs) == {}


# --- failures that stay -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "words"), [(403, "no permission"), (401, "credentials"), (400, "Bad Request")])
def test_what_stays_is_not_tried_again(gcs, store, verb, status, words):
    gcs.fault(status, times=FOR_EVER)
    assert words in failure(verb, store)
    assert len(gcs.log) == 1


@pytest.mark.parametrize(("kind", "words"), [(503, "503"), (429, "429"), ("reset", "onnection")])
def test_what_does_not_pass_before_the_deadline(gcs, verb, kind, words):
    gcs.fault(kind, times=FOR_EVER)
    message = failure(verb, impatient(deadline=0.2))
    assert words in message
    assert "tried for 0.2 s" in message
    assert len(gcs.log) > 1


def test_nobody_listens(gcs, monkeypatch, verb):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    failure(verb, impatient(deadline=0.2))


def test_a_bucket_that_is_not_there(gcs, verb):
    with pytest.raises(StoreError, match="bucket nowhere does not exist; `scrapy store init` makes it"):
        verb(impatient("gs://nowhere/run"))
    with pytest.raises(StoreError, match="scrapy store init"):
        probe(impatient("gs://nowhere/run"))


def test_a_key_that_sounds_like_a_bucket(store):
    key = "requests/artist.getInfo/The specified bucket does not exist./all.json.gz"
    assert store.get(key) is None
    store.delete(key)


def test_a_bucket_that_goes_away(gcs, store, verb):
    store.put(KEY, b"1")
    gcs.remove_bucket("answers")
    assert "bucket answers does not exist" in failure(verb, store)


@pytest.mark.parametrize("gone_before", ["GET", "copyTo"])
def test_a_bucket_that_goes_away_during_a_replacement(gcs, store, monkeypatch, gone_before):
    store.put(KEY, b"1")
    answer = gcs.answer

    def answer_of_a_falling_house(method, path, *rest):
        if "answers" in gcs.buckets and (method == gone_before or gone_before in path):
            gcs.remove_bucket("answers")
        return answer(method, path, *rest)

    monkeypatch.setattr(gcs, "answer", answer_of_a_falling_house)
    assert "bucket answers does not exist" in failure(VERBS["put"], store)


def test_no_credentials(monkeypatch, tmp_path, verb):
    for name in ("HOME", "APPDATA", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    message = failure(verb, BucketStorage("gs://answers/run"))
    assert "no Google credentials" in message
    assert "gcloud auth application-default login" in message


def test_credentials_that_are_not_there(monkeypatch, tmp_path, verb):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert "key.json was not found" in failure(verb, BucketStorage("gs://answers/run"))


# --- downloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [BLOB, LARGE], ids=["small", "large"])
def test_a_download_that_is_changed_on_its_way(gcs, store, blob):
    store.put(KEY, blob)
    gcs.fault("corrupt")
    assert "checksum" in failure(VERBS["get"], store)
    assert store.get(KEY) == blob


@pytest.mark.parametrize("blob", [BLOB, LARGE], ids=["small", "large"])
def test_a_download_that_ends_in_the_middle_is_begun_anew(gcs, store, blob):
    store.put(KEY, blob)
    gcs.fault("cut", times=2)
    assert store.get(KEY) == blob


def test_a_download_that_is_cut_then_changed(gcs, store):
    store.put(KEY, LARGE)
    gcs.fault("cut", method="GET")
    gcs.fault("corrupt", method="GET")
    assert "checksum" in failure(VERBS["get"], store)


# --- other writers ------------------------------------------------------------------------------------------------


def test_another_writer_replaces_before_the_copy(gcs, store):
    store.put(KEY, b"1")
    archive = store._archive

    def be_overtaken(key, old):
        store._archive = archive
        impatient().put(KEY, b"2")
        archive(key, old)

    store._archive = be_overtaken
    store.put(KEY, b"3")
    assert (store.get(KEY), archived(gcs)) == (b"3", [b"1", b"2"])


def test_another_writer_replaces_after_the_copy(gcs, store):
    store.put(KEY, b"1")
    archive = store._archive

    def be_overtaken(key, old):
        store._archive = archive
        archive(key, old)
        impatient().put(KEY, b"2")

    store._archive = be_overtaken
    store.put(KEY, b"3")
    assert (store.get(KEY), archived(gcs)) == (b"3", [b"1", b"2"])


def test_only_what_was_looked_at_is_copied(gcs, store):
    """Not what somebody wrote there since, under the name of what it replaced."""
    store.put(KEY, b"1")
    archive = store._archive

    def be_overtaken(key, old):
        store._archive = archive
        impatient().write(KEY, b"2")
        archive(key, old)

    store._archive = be_overtaken
    store.put(KEY, b"3")
    assert (store.get(KEY), archived(gcs)) == (b"3", [b"2"])


def test_another_one_deletes_meanwhile(gcs, store):
    store.put(KEY, b"1")
    archive = store._archive

    def be_overtaken(key, old):
        store._archive = archive
        impatient().delete(KEY)
        archive(key, old)

    store._archive = be_overtaken
    store.put(KEY, b"2")
    assert blobs(gcs) == {KEY: b"2"}


def test_a_key_that_others_keep_replacing(gcs, store, monkeypatch):
    store.put(KEY, b"1")
    monkeypatch.setattr("lastfm_crawl.httpcache.bucket._ATTEMPTS", 3)
    gcs.fault(412, times=FOR_EVER, match="uploadType")
    assert "others kept replacing it" in failure(VERBS["put"], store)


# --- setting up ---------------------------------------------------------------------------------------------------


def rules(gcs) -> list[dict]:
    return gcs.buckets["new-one"].fields["lifecycle"]["rule"]


OUR_RULE = {
    "action": {"type": "SetStorageClass", "storageClass": "ARCHIVE"},
    "condition": {"age": 90, "matchesPrefix": ["run/requests/", "run/archive/"]},
}


def test_a_bucket_is_made(gcs):
    lines = impatient("gs://new-one/run").create_bucket("europe-west1")
    assert lines == [
        "made the bucket new-one in EUROPE-WEST1",
        "turned on uniform access",
        "turned on public access prevention",
        "added a lifecycle rule: run/requests/ and run/archive/ move to class ARCHIVE after 90 days",
    ]
    made = gcs.buckets["new-one"].fields
    assert made["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]
    assert made["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert rules(gcs) == [OUR_RULE]
    probe(impatient("gs://new-one/run"))


def test_what_is_set_up_is_left_as_it_is(gcs):
    store = impatient("gs://new-one/run")
    store.create_bucket()
    gcs.log.clear()
    assert store.create_bucket("us") == [
        "the bucket new-one is there, in US",
        "access and lifecycle are as they should be",
    ]
    assert store.create_bucket("eu")[0] == "the bucket new-one is there, in US; a bucket cannot be moved to EU"
    assert {call.method for call in gcs.log} == {"GET"}


def test_two_stores_in_one_bucket(gcs):
    impatient("gs://new-one/run").create_bucket()
    lines = impatient("gs://new-one").create_bucket()
    assert "added a lifecycle rule: requests/ and archive/ move to class ARCHIVE after 90 days" in lines
    assert [rule["condition"]["matchesPrefix"] for rule in rules(gcs)] == [
        ["run/requests/", "run/archive/"],
        ["requests/", "archive/"],
    ]


def test_the_rules_of_the_owner_stay(gcs):
    theirs = [
        {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["tmp/"]}},
        {"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 30}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}},
    ]
    bucket = gcs.add_bucket("new-one")
    bucket.fields = {"lifecycle": {"rule": list(theirs)}, "labels": {"team": "x"}}
    lines = impatient("gs://new-one/run").create_bucket()
    assert rules(gcs) == [*theirs, OUR_RULE]
    assert bucket.fields["labels"] == {"team": "x"}
    assert lines[0] == "the bucket new-one is there, in US"
    assert lines[1:4] == [
        "turned on uniform access",
        "turned on public access prevention",
        "added a lifecycle rule: run/requests/ and run/archive/ move to class ARCHIVE after 90 days",
    ]
    assert lines[4:] == [
        "left your lifecycle rule Delete as it is; see that it deletes nothing of the store",
        "left your lifecycle rule SetStorageClass as it is",
        "left your lifecycle rule AbortIncompleteMultipartUpload as it is",
    ]


def test_a_bucket_that_is_made_but_the_acknowledgement_is_lost(gcs):
    gcs.fault("lost", method="POST")
    lines = impatient("gs://new-one/run").create_bucket()
    assert lines == ["the bucket new-one is there, in US", "access and lifecycle are as they should be"]
    assert rules(gcs) == [OUR_RULE]


@pytest.mark.parametrize(
    ("location", "status", "words"),
    [
        ("gs://new-one", 403, "no permission"),
        ("gs://google-1", None, "Invalid bucket name"),
        ("gs://new-one", 503, "503"),
    ],
)
def test_a_bucket_that_cannot_be_made(gcs, location, status, words):
    if status:
        gcs.fault(status, times=FOR_EVER)
    with pytest.raises(StoreError, match=words) as caught:
        impatient(location, deadline=0.2).create_bucket()
    assert "\n" not in str(caught.value)
    assert "new-one" not in gcs.buckets


def test_a_region_that_there_is_not(gcs):
    with pytest.raises(StoreError, match="location constraint"):
        impatient("gs://new-one").create_bucket("no where")
    assert "new-one" not in gcs.buckets


def test_no_project(gcs, monkeypatch):
    monkeypatch.setattr("lastfm_crawl.httpcache.bucket._connect", type("Client", (), {"project": None}))
    with pytest.raises(StoreError, match="GOOGLE_CLOUD_PROJECT"):
        impatient("gs://new-one").create_bucket()


def test_permissions(gcs, store):
    assert store.missing_permissions() == []
    gcs.denied = {"storage.objects.list", "storage.objects.delete"}
    assert store.missing_permissions() == ["storage.objects.delete", "storage.objects.list"]
    gcs.denied = set(PERMISSIONS)
    assert store.missing_permissions() == sorted(PERMISSIONS)
    gcs.remove_bucket("answers")
    assert "does not exist" in failure(BucketStorage.missing_permissions, store)
