"""Whole crawls that keep their answers in a bucket, whatever happens to the bucket."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import pytest
from test_crawl import assert_equals_world, snapshot, succeed

from lastfm_crawl.httpcache.bucket import BucketStorage
from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.sandbox import demo_world, serve

STORE = "gs://answers/lastfm"
USERS = 40


@pytest.fixture
def bucket(gcs, project):
    project.environment["RESPONSE_STORE"] = STORE
    return gcs


@pytest.fixture
def sandbox(project):
    with serve(demo_world(USERS)) as sandbox:
        project.url = sandbox.url
        yield sandbox


def questions(sandbox) -> Counter:
    return Counter((call.method, call.params.get("user"), call.params.get("page")) for call in sandbox.log)


def assert_complete(project, sandbox):
    """The data is that of the world, and nothing was asked for twice: "not found" is, to be believed."""
    assert_equals_world(project, sandbox.world, "RJ")
    gone = {
        name.lower()
        for name, status in project.query("SELECT username, status FROM lastfm_users")
        if status == "not_found"
    }
    asked = questions(sandbox)
    assert {question: times for question, times in asked.items() if times > 1 and question[1].lower() not in gone} == {}
    assert len(asked) > USERS * 3 / 4


def test_a_crawl_into_a_bucket_and_again_from_it(bucket, project, sandbox):
    succeed(project.crawl("friends", seeds="RJ"))
    succeed(project.crawl("top_artists"))
    assert_complete(project, sandbox)
    asked, before = len(sandbox.log), snapshot(project)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    succeed(project.crawl("friends", seeds="RJ"))
    succeed(project.crawl("top_artists"))
    assert len(sandbox.log) == asked
    assert snapshot(project) == before
    store = BucketStorage(STORE)
    assert {decode(store.get(key)).status for key in store.keys("requests/user.getTopArtists/")} <= {200, 404}
    assert not list(store.keys("archive/"))


def test_a_bucket_that_falters(bucket, project, sandbox):
    kinds = iter((503, "lost", 429, "reset", 503, "lost", 429, "corrupt", 408, "reset", "lost", "cut"))

    def falter(call):
        if len(sandbox.log) % 3 == 0 and (kind := next(kinds, None)):
            bucket.fault(kind, match="user.getFriends")

    sandbox.before_answer = falter
    succeed(project.crawl("friends", seeds="RJ"))
    assert_complete(project, sandbox)
    assert not list(BucketStorage(STORE).keys("archive/")), (
        "an answer whose acknowledgement was lost is the same answer"
    )


def test_no_bucket_at_the_start(gcs, project, sandbox):
    project.environment["RESPONSE_STORE"] = "gs://nowhere/lastfm"
    result = project.crawl("friends", seeds="RJ")
    assert result.returncode == 3
    assert "scrapy store init" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not sandbox.log


@pytest.mark.parametrize("what", ["forbidden", "gone"])
def test_a_bucket_that_fails_for_good_in_the_middle(bucket, project, sandbox, what):
    """No answer is lost: those that were under way are in the spool, and the next run uploads them first."""
    saved = bucket.buckets["answers"]

    def fail(call):
        if len(sandbox.log) == 30:
            if what == "gone":
                bucket.remove_bucket("answers")
            else:
                bucket.fault(403, times=float("inf"), method="POST")

    sandbox.before_answer = fail
    result = project.crawl("friends", seeds="RJ")
    assert result.returncode == 3, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    spooled = list((project.data / "spool").rglob("*.json.gz"))
    assert spooled
    sandbox.before_answer = None
    bucket.heal()
    bucket.buckets["answers"] = saved
    result = succeed(project.crawl("friends", seeds="RJ"))
    assert f"{len(spooled)} answers that an earlier run could not store" in result.stderr
    assert_complete(project, sandbox)
    assert not list((project.data / "spool").rglob("*.json.gz"))


@pytest.mark.slow
def test_writes_to_a_far_bucket_do_not_delay_the_next_request(bucket, project, sandbox):
    succeed(project.crawl("friends", seeds="RJ"))
    bucket.latency = 0.3
    asked = len(sandbox.log)
    succeed(project.crawl("top_artists", settings={"DOWNLOAD_DELAY": 0.1}))
    times = [call.at for call in sandbox.log[asked:]]
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert len(gaps) > USERS / 2
    assert gaps[0] > 0.09
    assert gaps[len(gaps) // 2] < 0.15


@pytest.mark.slow
def test_a_far_bucket_is_read_quickly(bucket, project, sandbox):
    """30 ms a request; writes do not hold up the next question either."""
    project.environment["RESPONSE_STORE"] = STORE
    succeed(project.crawl("friends", seeds="RJ"))
    bucket.latency = 0.03
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    began = time.monotonic()
    succeed(project.crawl("friends", seeds="RJ"))
    assert time.monotonic() - began < 15
    assert_complete(project, sandbox)
