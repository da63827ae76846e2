"""Batches into BigQuery, through Google's client against a strict stand-in: schema, jobs, and what is refused."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from bigquery_server import BigQueryServer
from emulators import BIGQUERY, GET_BIGQUERY, bigquery_emulator

from lastfm_crawl.warehouse import bigquery as module
from lastfm_crawl.warehouse.bigquery import BigQuerySink, arrow_schema, write_parquet
from lastfm_crawl.warehouse.kinds import KINDS, Column
from lastfm_crawl.warehouse.sinks import Batch, SinkRefusedError, SinkUnavailableError

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TABLE = "lastfm_user_artists"


def artist(user="RJ", name="Björk", playcount=7, **more):
    row = {"rank": 1, "id": None, "called": None, "confidence": None, "at": NOW} | more
    return (user, name, playcount, row["rank"], row["id"], row["called"], row["confidence"], row["at"])


def batch(*rows, users=("RJ",), version="1", kind="artists"):
    return Batch(kind, users, lambda part: iter(rows if part == kind else ()), version)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 2.0)


@pytest.fixture
def server(monkeypatch):
    with BigQueryServer() as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def sink(server):
    sink = BigQuerySink("music-lab.lastfm")
    sink.open()
    sink.initialise()
    yield sink
    sink.close()


def test_the_table_of_the_brief(sink, server):
    fields = server.tables[f"music-lab.lastfm.{TABLE}"].fields
    assert [(name, field["type"]) for name, field in fields.items()] == [
        ("lastfm_username", "STRING"),
        ("artist_name", "STRING"),
        ("playcount", "INT64"),
        ("rank", "INT64"),
        ("spotify_artist_id", "STRING"),
        ("spotify_artist_name", "STRING"),
        ("match_confidence", "FLOAT64"),
        ("imported_at", "TIMESTAMP"),
    ]
    scrobbles = server.tables["music-lab.lastfm.lastfm_scrobbles"].resource
    assert scrobbles["timePartitioning"] == {"type": "MONTH", "field": "scrobbled_at"}
    assert scrobbles["clustering"] == {"fields": ["username"]}


def test_making_it_again_changes_nothing_and_new_columns_are_added(sink, server, monkeypatch):
    assert sink.initialise() == []
    sink.write(batch(artist()))
    kind = KINDS["artists"]
    wider = type(kind)(kind.view, kind.owner, (*kind.columns, Column("genre", "text")))
    monkeypatch.setitem(KINDS, "artists", wider)
    assert sink.initialise() == [f"added genre to {TABLE}"]
    assert server.rows(TABLE) == [(*artist(), None)]
    sink.write(batch((*artist(), "pop"), version="2"))
    assert server.rows(TABLE) == [(*artist(), "pop")]


def test_rows_of_the_users_are_replaced_and_others_stay(sink, server):
    sink.write(batch(artist(), artist(name="B"), artist("ann"), users=("RJ", "ann")))
    assert len(server.rows(TABLE)) == 3
    sink.write(batch(artist(playcount=8), version="2"))
    assert [row[:3] for row in server.rows(TABLE)] == [("RJ", "Björk", 8), ("ann", "Björk", 7)]
    sink.write(batch(users=("ann",), version="3"))
    assert [row[0] for row in server.rows(TABLE)] == ["RJ"]
    assert [name for name in server.tables if "staging" in name] == []


def test_the_same_again_changes_nothing(sink, server):
    for version in "112":
        sink.write(batch(artist(), artist(name="B"), version=version))
        assert server.changed == 2


def test_rows_that_come_back_after_others_are_sent(sink, server):
    for plays, version in ((7, "1"), (8, "2"), (7, "3")):
        sink.write(batch(artist(playcount=plays), version=version))
        assert server.rows(TABLE) == [artist(playcount=plays)]


def test_a_load_whose_staging_table_is_gone_is_done_again(sink, server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(BigQuerySink, "_merge", lambda *_: None)  # killed between the two
        sink.write(batch(artist()))
    (staging,) = [name for name in server.tables if "staging" in name]
    loaded = server.loaded
    del server.tables[staging]  # it expired
    sink.write(batch(artist()))
    assert server.rows(TABLE) == [artist()]
    assert server.loaded == 2 * loaded


@pytest.mark.parametrize("path", ["upload", "/jobs?", "/queries/", "/jobs/lastfm"])
def test_an_answer_that_is_lost_does_not_do_it_twice(sink, server, path):
    server.lose = (1, path)
    try:
        sink.write(batch(artist()))
    except SinkUnavailableError:
        sink.write(batch(artist()))
    assert server.rows(TABLE) == [artist()]
    assert server.loaded == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (artist(name=None), "without artist_name"),
        (artist(playcount="many"), "lastfm_user_artists: "),
        (artist(playcount=2**63), "lastfm_user_artists: "),
        (artist(name="x" * 2_600_000), "artist_name is too long"),
        ((*artist(), "more"), "lastfm_user_artists: "),
        (artist()[:-1], "lastfm_user_artists: "),
    ],
)
def test_what_bigquery_would_refuse_is_not_sent(sink, server, row, said):
    with pytest.raises(SinkRefusedError, match=said):
        sink.write(batch(artist(name="fine"), row))
    assert server.loaded == 0


def test_a_row_that_is_there_twice_is_refused(sink, server):
    sink.write(batch(artist()))
    with pytest.raises(SinkRefusedError, match="at most one source row"):
        sink.write(batch(artist(playcount=1), artist(playcount=2), version="2"))
    assert server.rows(TABLE) == [artist()]


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_service_that_does_not_work_now(sink, server, status):
    server.down = status
    with pytest.raises(SinkUnavailableError):
        sink.write(batch(artist()))
    server.down = None
    sink.write(batch(artist()))
    assert server.rows(TABLE) == [artist()]


def test_no_tables_yet(server):
    sink = BigQuerySink("music-lab.elsewhere")
    sink.open()
    with pytest.raises(SinkUnavailableError, match="scrapy warehouse init bigquery"):
        sink.write(batch(artist()))
    sink.close()


def test_a_file_of_many_rows_has_them_all(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 10)
    file = io.BytesIO()
    rows = [artist(name=str(n), rank=n) for n in range(95)]
    assert write_parquet(KINDS["artists"], iter(rows), file) == 95
    found = pq.read_table(file)
    assert found.schema == arrow_schema(KINDS["artists"])
    assert [tuple(row.values()) for row in found.to_pylist()] == rows


def test_an_emulator_with_sql_of_its_own_does_the_same(tmp_path, monkeypatch):
    if not BIGQUERY.exists():
        pytest.skip(GET_BIGQUERY)
    with bigquery_emulator(tmp_path / "log") as url:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
        monkeypatch.setattr(module, "PATIENCE", 30.0)
        sink = BigQuerySink("music-lab.lastfm")
        sink.open()
        assert len(sink.initialise()) == 7
        assert sink.initialise() == []
        sink.write(batch(artist(), artist(name="B"), artist("ann"), users=("RJ", "ann")))
        sink.write(batch(artist(playcount=8, confidence=0.5), version="2"))
        songs = [("6b1f", "A", "B", "isrc:1", None, None)]
        sink.write(Batch("songs", [""], lambda _: iter(songs), "1"))
        read = {
            name: [tuple(r.values()) for r in sink._client.list_rows(f"music-lab.lastfm.{name}")]
            for name in (TABLE, "songs")
        }
        assert sorted(read[TABLE]) == [artist(playcount=8, confidence=0.5), artist("ann")]
        assert read["songs"] == songs
        sink.close()
