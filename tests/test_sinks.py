"""Crawls that feed BigQuery and Firestore: whatever is interrupted or down, all have the same rows in the end."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from bigquery_server import BigQueryServer
from emulators import BIGQUERY, GET_BIGQUERY, GET_FIRESTORE, bigquery_emulator, firestore_emulator, firestore_jar
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore
from test_crawl import succeed

from lastfm_crawl.sandbox import Faults, demo_world, serve
from lastfm_crawl.warehouse.firestore import document_id
from lastfm_crawl.warehouse.kinds import KINDS

TABLES = [kind for kind in KINDS if kind != "songs"]
DATASET = "music-lab.lastfm"


@pytest.fixture
def world():
    with serve(demo_world(40)) as sandbox:
        yield sandbox


@pytest.fixture
def lake(project, world):
    """The stand-in of BigQuery with its tables, and a project that feeds it."""
    with BigQueryServer() as server:
        project.url = world.url
        project.environment |= {"BIGQUERY_DATASET": DATASET, "BIGQUERY_EMULATOR_HOST": server.url}
        succeed(project.run("warehouse", "init", "bigquery"))
        yield server


def rows_of(project, kind) -> list[tuple]:
    columns = ", ".join(column.name for column in KINDS[kind].columns)
    rows = project.query(f"SELECT {columns} FROM {KINDS[kind].view}")
    return plain(rows)


def plain(rows) -> list[tuple]:
    """Rows in one order, with times as texts."""
    return sorted(
        (tuple(v.astimezone(UTC).isoformat() if isinstance(v, datetime) else v for v in row) for row in rows), key=repr
    )


def assert_same(project, server, kinds=TABLES) -> None:
    for kind in kinds:
        assert plain(server.rows(KINDS[kind].view)) == rows_of(project, kind), kind
    assert project.query("SELECT * FROM sink_backlog") == []
    assert [name for name in server.tables if "staging" in name] == []


def test_a_crawl_feeds_it_and_a_second_changes_nothing(project, lake):
    succeed(project.crawl("friends", seeds="rj"))
    succeed(project.crawl("top_artists"))
    succeed(project.crawl("top_tracks", users="rj"))
    succeed(project.crawl("recent_tracks", users="jester71", year=2019))
    assert all(rows_of(project, kind) for kind in TABLES)
    assert_same(project, lake)
    loaded, changed = lake.loaded, lake.changed
    succeed(project.crawl("top_artists"))
    succeed(project.run("replay", "all"))
    assert (lake.loaded, lake.changed) == (loaded, changed)
    succeed(project.run("sync", "--all", "bigquery"))
    assert lake.loaded > loaded
    assert lake.changed == changed
    assert_same(project, lake)


def test_a_sink_that_is_down_costs_the_crawl_nothing(project, lake):
    succeed(project.crawl("friends", seeds="rj"))
    lake.down = 403
    result = project.crawl("top_artists")
    assert result.returncode == 1
    assert "did not reach" in result.stderr
    assert "scrapy sync bigquery" in result.stderr
    assert rows_of(project, "artists")
    assert lake.rows("lastfm_user_artists") == []
    said = project.run("status")
    assert said.returncode == 0, said.stderr
    assert "this stand-in is down" in said.stdout
    assert project.run("sync", "bigquery").returncode == 1
    lake.down = None
    succeed(project.run("replay", "all", "--sink", "bigquery"))
    assert_same(project, lake)
    assert "in vain" not in project.run("status").stdout


def test_a_sink_turned_on_later_gets_everything(project, lake):
    dataset = project.environment.pop("BIGQUERY_DATASET")
    succeed(project.crawl("friends", seeds="rj"))
    assert "no sink" not in project.run("status").stderr
    project.environment["BIGQUERY_DATASET"] = dataset
    succeed(project.crawl("top_artists", users="rj"))
    assert_same(project, lake)
    # Turned off for a while, it is still marked for.
    del project.environment["BIGQUERY_DATASET"]
    succeed(project.crawl("top_artists"))
    assert len(lake.rows("lastfm_user_artists")) < len(rows_of(project, "artists"))
    project.environment["BIGQUERY_DATASET"] = dataset
    succeed(project.run("sync", "bigquery"))
    assert_same(project, lake)


@pytest.mark.slow
def test_what_matching_and_corrections_change_is_brought_by_sync(project, lake, tmp_path):
    succeed(project.crawl("friends", seeds="rj"))
    succeed(project.crawl("top_artists"))
    names = [name for (name,) in project.query("SELECT name FROM artists ORDER BY name LIMIT 5")]
    catalogue = tmp_path / "artists.ndjson"
    catalogue.write_text(
        "\n".join(json.dumps({"artist_id": f"id{n}", "artist_name": name}) for n, name in enumerate(names))
    )
    succeed(project.run("catalog", "import", str(catalogue)))
    succeed(project.run("match"))
    assert all(row[4] is None for row in lake.rows("lastfm_user_artists"))
    loaded = lake.loaded
    succeed(project.run("sync", "bigquery"))
    assert_same(project, lake)
    assert any(row[4] for row in lake.rows("lastfm_user_artists"))
    assert 0 < lake.loaded - loaded < len(rows_of(project, "artists")) + 1
    project.execute("DELETE FROM users WHERE key = 'jester71'")
    succeed(project.run("sync", "bigquery"))
    assert "jester71" not in {row[0] for row in lake.rows("lastfm_user_artists")}
    assert_same(project, lake)


def test_what_is_matched_during_a_crawl_arrives_with_it(project, lake, tmp_path):
    succeed(project.crawl("top_artists", users="rj"))
    names = [name for (name,) in project.query("SELECT name FROM artists ORDER BY name LIMIT 5")]
    catalogue = tmp_path / "artists.ndjson"
    catalogue.write_text(
        "\n".join(json.dumps({"artist_id": f"id{n}", "artist_name": name}) for n, name in enumerate(names))
    )
    succeed(project.run("catalog", "import", str(catalogue)))
    succeed(project.crawl("top_artists", users="jester71"))
    assert any(row[4] for row in lake.rows("lastfm_user_artists"))
    assert_same(project, lake)


def test_names_in_another_case_leave_nothing_behind(project, lake):
    succeed(project.crawl("friends", seeds="rj"))
    project.execute("UPDATE users SET name = 'rJ' WHERE key = 'rj'")
    succeed(project.run("sync", "bigquery"))
    assert "rJ" in {row[0] for row in lake.rows("lastfm_friends")}
    assert_same(project, lake)


@pytest.mark.parametrize("path", ["/queries/", "upload", "/jobs?"])
def test_an_answer_that_is_lost_on_the_way(project, lake, path):
    dataset = project.environment.pop("BIGQUERY_DATASET")
    succeed(project.crawl("top_artists", users="rj"))
    project.environment["BIGQUERY_DATASET"] = dataset
    lake.lose = (1, path)
    project.run("sync", "bigquery")
    assert lake.lose[0] == 0
    succeed(project.run("sync", "bigquery"))
    assert_same(project, lake)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sync", "bigquery"], "BIGQUERY_DATASET is not set"),
        (["sync", "firestore"], "FIRESTORE_PROJECT is not set"),
        (["sync", "oracle"], "bigquery|firestore"),
        (["warehouse", "init", "bigquery"], "BIGQUERY_DATASET is not set"),
        (["warehouse", "bigquery"], "init bigquery|firestore"),
        (["replay", "all", "--sink", "bigquery"], "BIGQUERY_DATASET is not set"),
        (["sync", "bigquery", "-s", "BIGQUERY_DATASET=nodots"], "is not project.dataset"),
    ],
)
def test_wrong_use(project, words, said):
    result = project.run(*words)
    assert result.returncode == 2
    assert said in result.stderr + result.stdout


# --- all three ----------------------------------------------------------------------------------------------------


@pytest.fixture
def three(project, tmp_path):
    """A project that feeds the emulators of BigQuery and of Firestore."""
    if not BIGQUERY.exists():
        pytest.skip(GET_BIGQUERY)
    if firestore_jar() is None:
        pytest.skip(GET_FIRESTORE)
    with ExitStack() as stack:
        url = stack.enter_context(bigquery_emulator(tmp_path / "bigquery.log"))
        host = stack.enter_context(firestore_emulator(tmp_path / "firestore.log"))
        project.environment |= {"BIGQUERY_DATASET": DATASET, "BIGQUERY_EMULATOR_HOST": url}
        project.environment |= {"FIRESTORE_PROJECT": "music-lab", "FIRESTORE_EMULATOR_HOST": host}
        succeed(project.run("warehouse", "init", "bigquery"))
        succeed(project.run("warehouse", "init", "firestore"))
        yield project


def assert_three(project, monkeypatch) -> None:
    for name in ("BIGQUERY_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST"):
        monkeypatch.setenv(name, project.environment[name])
    client = bigquery.Client("music-lab", credentials=AnonymousCredentials())
    for kind in TABLES:
        rows = [tuple(row.values()) for row in client.list_rows(f"{DATASET}.{KINDS[kind].view}")]
        assert plain(rows) == rows_of(project, kind), kind
    client.close()
    store = firestore.Client("music-lab")
    documents = {document.id: document.to_dict() for document in store.collection("lastfm_users").stream()}
    store.close()
    users = rows_of(project, "users")
    assert documents.keys() == {document_id(user[0]) for user in users}
    artists = [
        (d["lastfm_username"], a["name"], a["playcount"], a["spotify_id"])
        for d in documents.values()
        for a in d["top_artists"]
    ]
    expected = [(user, name, plays, spotify) for user, name, plays, _, spotify, *_ in rows_of(project, "artists")]
    assert sorted(artists, key=repr) == sorted(expected, key=repr)
    assert project.query("SELECT * FROM sink_backlog") == []


@pytest.mark.slow
def test_three_runs_a_kill_and_a_sink_that_is_down_leave_the_same_rows(three, monkeypatch):
    with serve(demo_world(60), Faults(latency=0.02)) as sandbox:
        three.url = sandbox.url
        process = three.start(*three.words("friends", seeds="rj"), stderr=subprocess.DEVNULL)
        while len(sandbox.log) < 40 and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.wait()
        for _ in range(3):
            succeed(three.crawl("friends", seeds="rj"))
        host = three.environment["FIRESTORE_EMULATOR_HOST"]
        three.environment["FIRESTORE_EMULATOR_HOST"] = "127.0.0.1:9"
        result = three.crawl("top_artists", timeout=240)
        assert result.returncode == 1, result.stderr[-2000:]
        assert "firestore" in result.stderr
        three.environment["FIRESTORE_EMULATOR_HOST"] = host
        assert three.query("SELECT DISTINCT sink FROM sink_backlog") == [("firestore",)]
        succeed(three.run("replay", "all", "--sink", "firestore"))
        succeed(three.run("sync", "bigquery"))  # marked by the replay, and found to be the same
        assert_three(three, monkeypatch)
        for _ in range(2):
            succeed(three.crawl("top_artists"))
        succeed(three.crawl("recent_tracks", users="jester71", year=2019))
        assert_three(three, monkeypatch)
