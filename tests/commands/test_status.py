"""`scrapy status`, and what it says about the data that is kept."""

from __future__ import annotations

import pytest

from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import demo_world, serve


@pytest.fixture
def crawled(project):
    with serve(demo_world(30)) as sandbox:
        project.url = sandbox.url
        assert project.crawl("friends", seeds="RJ").returncode == 0
        assert project.crawl("top_artists").returncode == 0
    return project


def stored(project) -> int:
    return project.query("SELECT sum(bytes)::bigint FROM fetches")[0][0]


def test_what_is_kept_is_counted_by_method_and_user(crawled):
    result = crawled.run("status")
    assert result.returncode == 0, result.stderr
    for method, count in crawled.query("SELECT method, count(*) FROM fetches GROUP BY method"):
        assert any(line.split()[:2] == [method, str(count)] for line in result.stdout.splitlines()), result.stdout
    (name,) = crawled.query(
        "SELECT u.name FROM fetches f JOIN users u ON u.id = f.user_id GROUP BY u.name ORDER BY sum(bytes) DESC LIMIT 1"
    )[0]
    assert name in result.stdout
    assert f"{stored(crawled) / 1e6:,.1f} MB of the 100 MB" in result.stdout
    assert "finished" in result.stdout


def test_the_bytes_are_those_of_the_answers(crawled):
    store = FolderStorage(crawled.data / "store")
    bodies = [len(decode(store.get(key)).body) for key in store.keys("requests/")]
    assert stored(crawled) == sum(bodies) > 0


def test_a_run_warns_above_the_cap(crawled):
    crawled.execute("UPDATE fetches SET bytes = 1000000")
    crawled.environment["LASTFM_STORAGE_CAP_MB"] = "5"
    result = crawled.crawl("top_artists")
    assert result.returncode == 0
    assert "MB of Last.fm's data are stored, and its terms allow 5 MB" in result.stderr
    assert "more than the 5 MB" in " ".join(crawled.run("status").stdout.split())


@pytest.mark.parametrize(("cap", "said"), [("0", "there is an agreement"), ("1000", "of the 1,000 MB")])
def test_below_the_cap_or_with_an_agreement_it_does_not(crawled, cap, said):
    crawled.environment["LASTFM_STORAGE_CAP_MB"] = cap
    assert "terms allow" not in crawled.crawl("top_artists").stderr
    assert said in crawled.run("status").stdout


def test_an_empty_warehouse(project):
    result = project.run("status")
    assert (result.returncode, result.stderr) == (0, "")
    assert "0 users" in result.stdout


def test_no_warehouse(project):
    project.database_url = "postgresql://nobody@127.0.0.1:9/nothing"
    result = project.run("status")
    assert result.returncode == 3
    assert result.stderr.startswith("scrapy status: the warehouse cannot be used")
    assert "Traceback" not in result.stderr


def test_arguments_are_refused(project):
    assert project.run("status", "RJ").returncode == 2
