"""Catalogues of any form into the warehouse, and what is found in them."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lastfm_crawl.items import SpotifyArtist, SpotifyTrack
from lastfm_crawl.warehouse import catalogue
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.sources import (
    SourceError,
    SourceUnreachableError,
    kind_of,
    read_batches,
    to_artist,
    to_track,
)

ARTISTS = [{"artist_id": "a1", "artist_name": "Björk, and \"friends\"\nlive", "popularity": 77},
           {"artist_id": "a2", "artist_name": "坂本龍一", "popularity": None}]  # fmt: skip


@pytest.fixture
def connection(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


def rows_of(path):
    return [row for batch in read_batches(str(path)) for row in batch]


def csv_of(path, rows, delimiter=",", opener=open):
    with opener(path, "wt", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("form", ["csv", "semicolons.csv", "tabs.csv", "csv.gz", "ndjson", "jsonl.gz", "parquet"])
def test_every_form_holds_the_same(tmp_path, form):
    path = tmp_path / f"artists.{form}"
    if form.endswith("csv"):
        csv_of(path, ARTISTS, {"semicolons": ";", "tabs": "\t"}.get(form.partition(".")[0], ","))
    elif form == "csv.gz":
        csv_of(path, ARTISTS, opener=gzip.open)
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(ARTISTS), path)
    else:
        opener = gzip.open if form.endswith("gz") else open
        with opener(path, "wt", encoding="utf-8") as file:
            file.write("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ARTISTS))
    rows = rows_of(path)
    assert [to_artist(row) for row in rows] == [
        SpotifyArtist("a1", ARTISTS[0]["artist_name"], 77),
        SpotifyArtist("a2", "坂本龍一", None),
    ]
    assert kind_of(rows[0]) == "artists"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.txt", b"", "none of .csv"),
        ("missing.csv", None, "No such file"),
        ("latin.csv", "artist_id,artist_name\na,B\xf6rk".encode("latin-1"), "cannot be read"),
        ("x.parquet", b"no parquet", "no Parquet file"),
        ("x.csv.gz", b"no gzip", "cannot be read"),
        ("spoilt.csv.gz", gzip.compress(b"artist_id,artist_name", mtime=0)[:10] + b"\xff" * 20, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        rows_of(tmp_path / name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_json_is_a_row_without_anything(tmp_path):
    (tmp_path / "x.ndjson").write_text('{"artist_id": "a", "artist_name": "b"}\nno json\n[1]\n')
    assert rows_of(tmp_path / "x.ndjson")[1:] == [{}, {}]


def test_columns_may_have_other_names():
    assert to_artist({"ID": " a ", " Name": "B", "popularity": "12.0"}) == SpotifyArtist("a", "B", 12)
    row = {"track_id": "t", "title": "T", "artist_name": "A, B", "isrc": "X", "duration_ms": "1000", "explicit": "True",
           "release_date": "1999-05", "popularity": "nan?"}  # fmt: skip
    track = to_track(row)
    assert kind_of(row) == "tracks"
    assert (track.artist_names, track.release_precision, track.explicit) == (("A, B",), "month", True)
    assert (track.duration_ms, track.popularity, track.isrc) == (1000, None, "X")


def test_columns_of_nothing_are_refused():
    with pytest.raises(SourceError, match="artists need artist_id"):
        kind_of({"foo": 1})


def save(connection, *artists, source="catalogue", at=1000.0):
    with connection.cursor() as cursor:
        saved = catalogue.save_artists(cursor, artists, source, at)
    connection.commit()
    return saved


def test_rows_that_cannot_be_used_are_counted(connection):
    saved = save(
        connection,
        SpotifyArtist("a", "A", 101, -1),
        SpotifyArtist("", "no id"),
        SpotifyArtist("b", ""),
        SpotifyArtist("c", "nul\0"),
        SpotifyArtist("d", "x" * 3000),
    )
    assert saved.rows == 1
    assert saved.skipped == {"no id": 1, "no name": 1, "NUL in name": 1, "name too long": 1}
    assert connection.execute("SELECT id, popularity, followers FROM spotify_artists").fetchall() == [("a", None, None)]


def test_a_restricted_answer_takes_nothing_away_and_an_older_one_changes_nothing(connection):
    save(connection, SpotifyArtist("a", "Old", 50, 7), at=1000)
    save(connection, SpotifyArtist("a", "New"), source="api", at=2000)
    save(connection, SpotifyArtist("a", "Older", 1), at=500)
    found = connection.execute("SELECT name, popularity, followers, source FROM spotify_artists").fetchall()
    assert found == [("New", 50, 7, "api")]


def test_of_two_rows_with_one_id_the_more_popular_counts(connection):
    save(connection, SpotifyArtist("a", "Less", 1), SpotifyArtist("a", "More", 2), SpotifyArtist("a", "None"))
    assert connection.execute("SELECT name FROM spotify_artists").fetchall() == [("More",)]


def test_tracks_keep_all_that_is_known(connection):
    track = SpotifyTrack(
        "t", "Song - Remastered 2011", ("x",), ("The Band", "Guest"), "al", "Album", "album", "1970-01-02", "day", 1000,
        True, 3, 1, "USX", 44, "asked",
    )  # fmt: skip
    with connection.cursor() as cursor:
        saved = catalogue.save_tracks(cursor, [track, SpotifyTrack("u", "no artist")], "api", 1000)
    assert (saved.rows, dict(saved.skipped)) == (1, {"no artist": 1})
    row = connection.execute(
        "SELECT key, artist_names, release_date, duration_ms, isrc, explicit, track_number FROM spotify_tracks"
    ).fetchone()
    assert row == ("band\tsong", ["The Band", "Guest"], "1970-01-02", 1000, "USX", True, 3)


class BigQuery(BaseHTTPRequestHandler):
    """As much of BigQuery's REST API as reading a table takes; two rows a page."""

    rows = (["Queen", "q", "90"], ["Nul", "n", None], ["Björk", "b", "70"])

    def do_GET(self):
        path, _, query = self.path.partition("?")
        base = "/bigquery/v2/projects/p/datasets/d/tables/spotify_artists"
        names = [("artist_name", "STRING"), ("artist_id", "STRING"), ("popularity", "INTEGER")]
        if path == base:
            reference = {"projectId": "p", "datasetId": "d", "tableId": "spotify_artists"}
            fields = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in names]
            answer = {"tableReference": reference, "schema": {"fields": fields}, "numRows": "3"}
        elif path == f"{base}/data":
            begin = int(parse_qs(query).get("pageToken", ["0"])[0])
            rows = [{"f": [{"v": value} for value in row]} for row in self.rows[begin : begin + 2]]
            answer = {"rows": rows, "totalRows": "3", **({"pageToken": "2"} if not begin else {})}
        else:
            self.send_error(404)
            return
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def big_query(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), BigQuery) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_the_table_of_the_brief_is_read_page_by_page(big_query):
    batches = list(read_batches("bq://p.d.spotify_artists"))
    assert [len(batch) for batch in batches] == [2, 1]
    assert [to_artist(row) for batch in batches for row in batch] == [
        SpotifyArtist("q", "Queen", 90),
        SpotifyArtist("n", "Nul", None),
        SpotifyArtist("b", "Björk", 70),
    ]


def test_a_table_that_is_not_there_is_one_line(big_query):
    with pytest.raises(SourceUnreachableError, match=r"bq://p\.d\.missing cannot be read: 404"):
        list(read_batches("bq://p.d.missing"))
