"""`scrapy store`, as a user runs it."""

from __future__ import annotations

import pytest

from lastfm_crawl.httpcache.bucket import BucketStorage
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.packs import read_packs
from lastfm_crawl.sandbox import demo_world, serve


@pytest.fixture
def crawled(project):
    with serve(demo_world(30)) as sandbox:
        project.url = sandbox.url
        assert project.crawl("friends", seeds="RJ").returncode == 0
        assert project.crawl("top_artists").returncode == 0
    project.store = FolderStorage(project.data / "store")
    return project


def said(result, code=0):
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return " ".join(result.stdout.split())


def test_a_store_in_a_folder(crawled):
    answers = len(list(crawled.store.keys("requests/")))
    assert "is there and works" in said(crawled.run("store", "init"))
    checked = said(crawled.run("store", "check"))
    assert "can be written, read and deleted from" in checked
    artists = len(list(crawled.store.keys("requests/user.getTopArtists/")))
    assert f"requests/user.getTopArtists {artists} " in checked
    assert said(crawled.run("store", "verify")) == "everything is as it should be"
    assert said(crawled.run("store", "pack")) == f"{answers} answers packed, 0 were packed before"
    assert said(crawled.run("store", "pack", "--method", "user.getFriends")).startswith("0 answers packed")
    assert len(list(read_packs(crawled.store))) == answers


def test_what_is_wrong_is_listed(crawled):
    first, second, *_ = crawled.store.keys("requests/user.getTopArtists/")
    crawled.store.write(first, b"spoilt")
    crawled.store.write(second, crawled.store.get(next(crawled.store.keys("requests/user.getInfo/"))))
    result = crawled.run("store", "verify")
    text = said(result, 1)
    assert f"{first} cannot be read" in text
    assert f"{second} holds the answer that belongs at" in text
    assert result.stderr == "scrapy store: 2 things are wrong\n"
    assert "1 could not be packed" in crawled.run("store", "pack").stderr


def test_a_bucket_from_nothing_to_a_copy_of_the_folder(crawled, gcs):
    crawled.environment["RESPONSE_STORE"] = "gs://new-bucket/lastfm"
    crawled.environment["GOOGLE_CLOUD_PROJECT"] = "test"
    result = crawled.run("store", "check")
    said(result, 3)
    assert "`scrapy store init` makes it" in result.stderr
    text = said(crawled.run("store", "init", "--region", "europe-west1"))
    assert "made the bucket new-bucket in EUROPE-WEST1" in text
    assert "Reading what has moved to class ARCHIVE costs" in text
    assert "access and lifecycle are as they should be" in said(crawled.run("store", "init"))
    copied = said(crawled.run("store", "copy", str(crawled.store.root), "gs://new-bucket/lastfm"))
    assert copied == f"{len(list(crawled.store.keys()))} copied, 0 were there"
    bucket = BucketStorage("gs://new-bucket/lastfm")
    assert {k: bucket.get(k) for k in bucket.keys("")} == {k: crawled.store.get(k) for k in crawled.store.keys("")}
    assert "everything is as it should be" in said(crawled.run("store", "verify"))
    gcs.denied = {"storage.objects.delete"}
    result = crawled.run("store", "check")
    said(result, 3)
    assert "lack storage.objects.delete" in result.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 2), (("burn",), 2), (("copy", "one"), 2), (("check", "this"), 2), (("copy", "s3://a", "b"), 2),
     (("pack", "--compression", "rar"), 2)],
)  # fmt: skip
def test_wrong_use(project, words, code):
    said(project.run("store", *words), code)


@pytest.mark.parametrize("words", [("verify",), ("pack",), ("copy", "/nowhere/store", "/nowhere/copy")])
def test_a_folder_that_is_not_there(project, words):
    result = project.run("store", *words)
    said(result, 3)
    assert result.stderr.startswith("scrapy store: there is no folder")


def test_a_store_that_does_not_work(project):
    project.data.mkdir()
    (project.data / "store").write_bytes(b"I am no folder")
    result = project.run("store", "check")
    said(result, 3)
    assert len(result.stderr.splitlines()) == 1
