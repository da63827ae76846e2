"""Exports: every row of the views, in three formats, and a name that appears with the whole file."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, date, datetime
from io import StringIO

import psycopg
import pyarrow.parquet as pq
import pytest
from listening import three_listeners
from lists import list_artists

from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.httpcache.memory import MemoryStorage
from lastfm_crawl.warehouse.exports import VIEWS, ExportError, export_to, export_to_store
from lastfm_crawl.warehouse.migrate import migrate

HOSTILE = 'a "quoted" \\ artist,\x01\x02\twith\nlines'


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        list_artists(connection, {"Ann": [("Björk", 3), (HOSTILE, 2)], "Bob": [("Low", 1)]})
        three_listeners(connection)
        connection.execute("UPDATE users SET realname = %s, registered_at = '2009-05-01Z' WHERE key = 'ann'", [HOSTILE])
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.commit()
        yield connection


def rows_of(connection, kind):
    cursor = connection.execute(f"SELECT * FROM {VIEWS[kind]}")
    names = [column.name for column in cursor.description]
    return sorted((dict(zip(names, row, strict=True)) for row in cursor), key=repr)


def like_python(row, times):
    return {k: datetime.fromisoformat(v).astimezone(UTC) if k in times and v else v for k, v in row.items()}


KINDS = {
    "users": {"registered_at", "discovered_at"},
    "friends": set(),
    "artists": {"imported_at"},
    "scrobbles": {"scrobbled_at"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_three_formats_have_the_rows_of_the_view(connection, tmp_path, kind):
    expected = [
        {k: v.astimezone(UTC) if isinstance(v, datetime) else v for k, v in row.items()}
        for row in rows_of(connection, kind)
    ]
    seen = []
    assert export_to(connection, kind, "ndjson", str(tmp_path / "rows.json"), seen.append) == len(expected)
    assert sum(seen) == len(expected)
    text = (tmp_path / "rows.json").read_text()
    assert "+09" not in text
    read = [like_python(json.loads(line), KINDS[kind]) for line in text.splitlines()]
    assert sorted(read, key=repr) == sorted(expected, key=repr)

    assert export_to(connection, kind, "csv", str(tmp_path / "rows.csv.gz")) == len(expected)
    table = list(csv.reader(StringIO(gzip.decompress((tmp_path / "rows.csv.gz").read_bytes()).decode())))
    columns = [c.name for c in connection.execute(f"SELECT * FROM {VIEWS[kind]}").description]
    assert table[0] == columns
    if kind == "artists":
        assert [row[1] for row in table if row[1].startswith("a ")] == [HOSTILE]

    assert export_to(connection, kind, "parquet", str(tmp_path / "rows.parquet")) == len(expected)
    parquet = pq.read_table(tmp_path / "rows.parquet")
    assert parquet.column_names == columns
    read = [{k: v.astimezone(UTC) if isinstance(v, datetime) else v for k, v in r.items()} for r in parquet.to_pylist()]
    assert sorted(read, key=repr) == sorted(expected, key=repr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv.gz", "rows.json", "rows.parquet"]


@pytest.mark.parametrize("place", ["folder", "memory", "bucket"])
def test_into_the_store(connection, tmp_path, place, request):
    if place == "bucket":
        request.getfixturevalue("gcs")
    store = {
        "folder": lambda: open_store(str(tmp_path / "store")),
        "memory": MemoryStorage,
        "bucket": lambda: open_store("gs://answers/of/a run"),
    }[place]()
    for _ in range(2):  # the second of a day takes the place of the first
        key, rows = export_to_store(connection, "users", "ndjson", store, date(2026, 11, 21))
        assert (key, rows) == ("exports/lastfm_users_20261121.json.gz", 3)
        assert list(store.keys()) == [key]
    names = {json.loads(line)["username"] for line in gzip.decompress(store.get(key)).splitlines()}
    assert names == {"Ann", "Bob", "RJ"}


def test_into_a_bucket(connection, gcs):
    assert export_to(connection, "artists", "ndjson", "gs://answers/some/where/artists.json.gz") == 3
    lines = gzip.decompress(open_store("gs://answers/some").get("where/artists.json.gz")).splitlines()
    assert {json.loads(line)["artist_name"] for line in lines} == {"Björk", HOSTILE, "Low"}
    with pytest.raises(ExportError, match="is not gs://bucket/name"):
        export_to(connection, "artists", "ndjson", "gs://answers")
    with pytest.raises(StoreError):
        export_to(connection, "artists", "ndjson", "gs://another/name")


def test_half_a_file_has_no_name(connection, tmp_path):
    def interrupt(_):
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_to(connection, "scrobbles", "ndjson", str(tmp_path / "rows.json.gz"), interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(connection, tmp_path):
    connection.execute("DROP TABLE IF EXISTS songs CASCADE")
    with pytest.raises(ExportError, match="there are no songs yet; run scrapy songs"):
        export_to(connection, "songs", "csv", str(tmp_path / "songs.csv"))
    with pytest.raises(ExportError, match="Parquet is compressed inside"):
        export_to(connection, "users", "parquet", str(tmp_path / "users.parquet.gz"))
    with pytest.raises(FileNotFoundError):
        export_to(connection, "users", "csv", str(tmp_path / "nowhere" / "users.csv"))
    assert list(tmp_path.iterdir()) == []
