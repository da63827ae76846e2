"""Rows a second into each sink, beside the bare client that does the same load, and the memory that it takes.

    python -m benchmarks.sinks [--users 1000] [--artists 1000] [--memory]

Against the emulators (`.ci/emulators`; Google's of Firestore where it is found), so the figures compare ways of loading
and say nothing of Google's own speed. The warehouse is an embedded PostgreSQL with invented users. ``--memory`` sends
half of the users first, and shows that the second half takes no more memory: constant in the number of rows.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore

from lastfm_crawl.items import Admissions, Member, TopArtistsPage
from lastfm_crawl.warehouse import backlog
from lastfm_crawl.warehouse.bigquery import BigQuerySink
from lastfm_crawl.warehouse.database import Database
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.firestore import FirestoreSink
from lastfm_crawl.warehouse.postgres import PostgresSink

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from emulators import (  # type: ignore[import-not-found]  # the tests' own
    BIGQUERY,
    GET_BIGQUERY,
    GET_FIRESTORE,
    bigquery_emulator,
    firestore_emulator,
    firestore_jar,
)

DATASET = "bench.lastfm"
NOW = 1_800_000_000.0
POOL = 200_000  # artists there are
Row = tuple[Any, ...]


def fill(database: Database, users: range, artists: int) -> None:
    """Load pages of users with *artists* each."""
    sink = PostgresSink()
    for begin in range(users.start, users.stop, 100):
        items: list[Any] = []
        for number in range(begin, min(begin + 100, users.stop)):
            name = f"user{number:06}"
            first = number * 7919
            names = [f"Artist number {(first + place * 31) % POOL}" for place in range(artists)]
            items.append(Admissions((Member(name, None, None, NOW),)))
            items.append(
                TopArtistsPage(
                    method="user.getTopArtists", user=name, params=f"limit={artists},period=overall", period="overall",
                    fetched_at=NOW, received=artists, total=artists,
                    ranks=range(1, artists + 1), names=names, playcounts=range(artists, 0, -1),
                )
            )  # fmt: skip
        database.run(sink.load, items)
        sink.committed()


def feed(database: Database, sink: Any) -> tuple[int, float]:
    """What is sent, and the seconds that it takes."""
    began = time.perf_counter()
    feeder = Feeder(database, sink)
    feeder.drain()
    assert not feeder.left(), feeder.fault
    feeder.close()
    return feeder.fed.rows, time.perf_counter() - began


def everything(database: Database, statement: str) -> list[Row]:
    return database.run(lambda connection: connection.execute(statement).fetchall())


def bare_bigquery(rows: list[Row]) -> None:
    """The client alone: one Parquet file of what is in memory, one load job into a table, no MERGE."""
    client = bigquery.Client("bench", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    names = [
        "lastfm_username", "artist_name", "playcount", "rank", "spotify_artist_id", "spotify_artist_name",
        "match_confidence", "imported_at",
    ]  # fmt: skip
    table = client.create_table(
        bigquery.Table(f"{DATASET}.bare", schema=client.get_table(f"{DATASET}.lastfm_user_artists").schema)
    )
    types = [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string(), pa.float64()]
    types.append(pa.timestamp("us", tz="UTC"))
    file = io.BytesIO()
    arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), file)
    file.seek(0)
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=table.schema)
    client.load_table_from_file(file, table, job_config=config).result()
    client.close()


def bare_firestore(rows: list[Row]) -> int:
    """The client alone: a set() for each document of what is in memory, by its BulkWriter."""
    client = firestore.Client(project="bare")
    writer = client.bulk_writer()
    users: dict[str, list[dict[str, Any]]] = {}
    for user, name, playcount, *_ in rows:
        artist = {
            "name": name,
            "playcount": playcount,
            "spotify_id": None,
            "spotify_name": None,
            "match_confidence": 0.0,
        }
        users.setdefault(user, []).append(artist)
    for user, artists in users.items():
        names = [artist["name"] for artist in artists]
        writer.set(client.document("lastfm_users", user), {"top_artists": artists, "top_artist_names": names})
    writer.close()
    arrived = int(client.collection("lastfm_users").count().get()[0][0].value)
    client.close()
    return arrived


def peak() -> float:
    """Megabytes that this process had at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(what: str, rows: int, seconds: float, note: str = "") -> None:
    print(f"{what:34} {rows:>10,} rows {seconds:8.1f} s {rows / seconds:>10,.0f} rows/s  {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--artists", type=int, default=1000)
    parser.add_argument("--memory", action="store_true", help="BigQuery alone, in two halves, with the peak of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = Database(None, Path(folder, "postgres"))
        database.open()
        try:
            for line in run(database, Path(folder), options.users, options.artists, memory=options.memory):
                print(line)
        finally:
            database.close()


def run(database: Database, folder: Path, users: int, artists: int, *, memory: bool) -> Iterator[str]:
    if not BIGQUERY.exists():
        yield GET_BIGQUERY
    else:
        with bigquery_emulator(folder / "bigquery.log") as url:
            os.environ["BIGQUERY_EMULATOR_HOST"] = url
            sink = BigQuerySink(DATASET)
            sink.open()
            sink.initialise()
            database.run(backlog.register, sink)
            halves = [range(users // 2), range(users // 2, users)] if memory else [range(users)]
            for half in halves:
                began = time.perf_counter()
                fill(database, half, artists)
                say("PostgreSQL", len(half) * artists, time.perf_counter() - began)
                database.run(lambda connection: connection.execute("ANALYZE"))
                before = peak()
                rows, seconds = feed(database, sink)
                say("BigQuery sink", rows, seconds, f"peak {before:,.0f} MB before, {peak():,.0f} MB after")
            if memory:
                return
            plain = everything(database, "SELECT * FROM lastfm_user_artists")
            began = time.perf_counter()
            bare_bigquery(plain)
            say("bare client, rows in memory", len(plain), time.perf_counter() - began, f"peak {peak():,.0f} MB")
    if firestore_jar() is None:
        yield GET_FIRESTORE
        return
    plain = everything(database, "SELECT * FROM lastfm_user_artists")
    with firestore_emulator(folder / "firestore.log") as host:
        os.environ["FIRESTORE_EMULATOR_HOST"] = host
        store = FirestoreSink("bench")
        database.run(backlog.register, store)
        rows, seconds = feed(database, store)
        say("Firestore sink", rows, seconds, f"{users / seconds:,.0f} documents/s")
        began = time.perf_counter()
        arrived = bare_firestore(plain)
        seconds = time.perf_counter() - began
        say("bare client, rows in memory", len(plain), seconds, f"{arrived:,} of {users:,} documents arrived")


if __name__ == "__main__":
    main()
