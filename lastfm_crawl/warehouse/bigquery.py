"""The BigQuery sink: a Parquet file loaded into a staging table, and one MERGE that makes it the users' rows.

Load jobs cost nothing and streaming inserts do, and until it is merged nobody sees a batch. Jobs have ids that follow
from what they do: one whose answer was lost is found again, not done again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import (
    ClientError,
    Conflict,
    Forbidden,
    GoogleAPIError,
    NotFound,
    TooManyRequests,
    Unauthorized,
)
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from lastfm_crawl.warehouse.kinds import KINDS
from lastfm_crawl.warehouse.sinks import SinkRefusedError, SinkUnavailableError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.api_core.retry import Retry

    from lastfm_crawl.warehouse.kinds import Column, Kind
    from lastfm_crawl.warehouse.sinks import Batch

#: Seconds for which a call that fails is tried again, and that a single try may take.
PATIENCE = 60.0
TIMEOUT = 60.0
#: Rows that are in memory at once.
ROWS = 50_000
#: How long a staging table outlives a run that was killed.
STAGING_EXPIRES = timedelta(days=1)
#: BigQuery takes no longer value.
LONGEST_TEXT = 10_000_000

_TYPES = {"text": "STRING", "integer": "INT64", "float": "FLOAT64", "boolean": "BOOL", "time": "TIMESTAMP"}
_ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}
# Tables that are read by time: a partition a month. The others are small enough to be read by user alone.
_PARTITIONED = {"scrobbles": "scrobbled_at"}


def connect(project: str) -> bigquery.Client:
    """A client; nothing is asked yet. Raises Google's errors."""
    # The emulators' own variable, which Google's library heeds for the address alone.
    emulated = os.environ.get("BIGQUERY_EMULATOR_HOST")
    credentials = AnonymousCredentials() if emulated else None  # type: ignore[no-untyped-call]
    return bigquery.Client(project=project, credentials=credentials)


class BigQuerySink:
    """Rows into the tables of *target* (project.dataset), each named as its view."""

    name = "bigquery"
    interval = 300.0  # a table takes 1,500 load jobs a day
    #: As many users as make some hundred thousand rows.
    kinds: Mapping[str, int] = {
        "users": 10_000,
        "friends": 2_000,
        "artists": 1_000,
        "scrobbles": 50,
        "tracks": 200,
        "songs": 1,
    }

    def __init__(self, target: str) -> None:
        self.target = target
        self._retry: Retry = DEFAULT_RETRY.with_timeout(PATIENCE)

    def open(self) -> None:
        """Make the client; nothing is asked yet."""
        with _understood(self.target):
            self._client = connect(self.target.rpartition(".")[0])

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def check(self) -> None:
        """Look whether the tables are there. Raises SinkUnavailableError."""
        with _understood(self.target):
            for name in self.kinds:
                self._client.get_table(self._table(KINDS[name]), retry=self._retry, timeout=TIMEOUT)

    def initialise(self, location: str | None = None) -> list[str]:
        """Make the dataset and its tables, and add columns that are new; what was done. Raises SinkUnavailableError."""
        done = []
        with _understood(self.target):
            try:
                self._client.get_dataset(self.target, retry=self._retry, timeout=TIMEOUT)
            except NotFound:
                dataset = bigquery.Dataset(self.target)
                if location:
                    dataset.location = location
                self._client.create_dataset(dataset, retry=self._retry, timeout=TIMEOUT)
                done.append(f"made the dataset {self.target}")
            for name in self.kinds:
                done += self._initialise_table(name)
        return done

    def _initialise_table(self, name: str) -> list[str]:
        kind = KINDS[name]
        try:
            table = self._client.get_table(self._table(kind), retry=self._retry, timeout=TIMEOUT)
        except NotFound:
            table = bigquery.Table(self._table(kind), schema=_schema(kind))
            if name in _PARTITIONED:
                table.time_partitioning = bigquery.TimePartitioning(
                    bigquery.TimePartitioningType.MONTH, field=_PARTITIONED[name]
                )
            table.clustering_fields = [kind.owner or kind.key[0]]
            self._client.create_table(table, retry=self._retry, timeout=TIMEOUT)
            return [f"made the table {kind.view}"]
        there = {field.name for field in table.schema}
        new = [_field(column, required=False) for column in kind.columns if column.name not in there]
        if not new:
            return []
        table.schema = [*table.schema, *new]
        self._client.update_table(table, ["schema"], retry=self._retry, timeout=TIMEOUT)
        return [f"added {', '.join(field.name for field in new)} to {kind.view}"]

    def write(self, batch: Batch) -> None:
        """See Sink.write."""
        kind = KINDS[batch.kind]
        with tempfile.TemporaryFile() as file:
            rows = write_parquet(kind, batch.read(batch.kind), file)
            file.seek(0)
            content = hashlib.file_digest(file, "sha256").hexdigest()
            # The rows and the marks: the same rows that come back after others are another job.
            job = hashlib.sha256(f"{self._table(kind)} {batch.version} {content}".encode()).hexdigest()[:32]
            with _understood(self.target):
                self._load(kind, file, rows, job)
                self._merge(kind, batch.names, job)

    def _load(self, kind: Kind, file: IO[bytes], rows: int, job: str) -> None:
        """Load *file*, which has *rows*, into a staging table of its own."""
        staging = bigquery.Table(self._staging(kind, job), schema=_schema(kind))
        staging.expires = datetime.now(UTC) + STAGING_EXPIRES
        self._client.create_table(staging, exists_ok=True, retry=self._retry, timeout=TIMEOUT)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=_schema(kind),
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )

        def load(name: str) -> Any:
            return self._client.load_table_from_file(
                file, staging.reference, rewind=True, job_config=config, job_id=name, num_retries=3, timeout=TIMEOUT
            )

        name = f"lastfm_crawl_load_{job}"
        try:
            load(name).result(retry=self._retry)
        except Conflict:  # it was asked for before, and the answer was lost
            self._job(name).result(retry=self._retry)
            if self._client.get_table(staging, retry=self._retry, timeout=TIMEOUT).num_rows != rows:
                # What it loaded is gone since then: merging now would delete rows.
                load(f"{name}_{uuid.uuid4().hex}").result(retry=self._retry)

    def _merge(self, kind: Kind, names: Sequence[str], job: str) -> None:
        """Make the staged rows those of the users called *names*."""
        staging = self._staging(kind, job)
        config = bigquery.QueryJobConfig(query_parameters=[bigquery.ArrayQueryParameter("users", "STRING", names)])
        name = f"lastfm_crawl_merge_{job}"
        try:
            merge = self._client.query(
                merge_statement(kind, self._table(kind), staging),
                job_config=config, job_id=name, retry=self._retry, timeout=TIMEOUT, job_retry=None,
            )  # fmt: skip
        except Conflict:
            merge = self._job(name)
        merge.result(retry=self._retry)
        self._client.delete_table(staging, not_found_ok=True, retry=self._retry, timeout=TIMEOUT)

    def _job(self, name: str) -> Any:
        """A job that is there already. Where it is, is where the dataset is."""
        location = self._client.get_dataset(self.target, retry=self._retry, timeout=TIMEOUT).location
        return self._client.get_job(name, location=location, retry=self._retry, timeout=TIMEOUT)

    def _table(self, kind: Kind) -> str:
        return f"{self.target}.{kind.view}"

    def _staging(self, kind: Kind, job: str) -> str:
        return f"{self._table(kind)}_staging_{job}"


def merge_statement(kind: Kind, table: str, staging: str) -> str:
    """The statement after which *table* holds the rows of *staging* and no others of the users @users."""
    names = [column.name for column in kind.columns]
    values = [name for name in names if name not in kind.key]
    on = " AND ".join(f"t.{name} = s.{name}" for name in kind.key)
    update = ""
    if values:
        differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in values)
        changes = ", ".join(f"{name} = s.{name}" for name in values)
        update = f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {changes}\n"
    owned = f" AND t.{kind.owner} IN UNNEST(@users)" if kind.owner else ""
    return (
        f"MERGE INTO `{table}` t USING `{staging}` s ON {on}\n"  # noqa: S608  (names of our own)
        f"{update}"
        f"WHEN NOT MATCHED BY TARGET THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f's.{n}' for n in names)})\n"
        f"WHEN NOT MATCHED BY SOURCE{owned} THEN DELETE"
    )


def arrow_schema(kind: Kind) -> pa.Schema:
    """The columns of *kind* in a Parquet file."""
    return pa.schema([pa.field(c.name, _ARROW[c.type], nullable=not c.required) for c in kind.columns])


def write_parquet(kind: Kind, rows: Iterator[Sequence[Any]], file: IO[bytes]) -> int:
    """Write *rows* into *file*, in little memory; how many there are. Raises SinkRefusedError for what cannot be sent.

    What BigQuery would refuse is refused here, whatever an emulator takes: nulls where there must be a value, rows with
    other columns, values of other types or too long.
    """
    schema = arrow_schema(kind)
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while chunk := list(islice(rows, ROWS)):
            writer.write_table(_table_of(kind, schema, chunk))
            count += len(chunk)
    return count


def _table_of(kind: Kind, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    try:
        columns = list(zip(*rows, strict=True))
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as exc:
        raise SinkRefusedError(f"{kind.view}: {one_line(exc)}") from exc
    for column, values in zip(kind.columns, arrays, strict=True):
        if column.required and values.null_count:
            raise SinkRefusedError(f"{kind.view}: a row without {column.name}, which is required")
        if column.type == "text" and any(len(v) > LONGEST_TEXT // 4 for v in _texts(columns, kind, column)):
            raise SinkRefusedError(f"{kind.view}: a value of {column.name} is too long")
    return pa.Table.from_arrays(arrays, schema=schema)


def _texts(columns: Sequence[Sequence[Any]], kind: Kind, column: Column) -> Iterable[str]:
    return filter(None, columns[kind.columns.index(column)])


def _schema(kind: Kind) -> list[bigquery.SchemaField]:
    return [_field(column, required=column.required) for column in kind.columns]


def _field(column: Column, *, required: bool) -> bigquery.SchemaField:
    return bigquery.SchemaField(column.name, _TYPES[column.type], mode="REQUIRED" if required else "NULLABLE")


@contextmanager
def _understood(target: str) -> Iterator[None]:
    """Google's errors as ours: what another try may mend, and what not."""
    try:
        yield
    except NotFound as exc:
        raise SinkUnavailableError(f"{one_line(exc)}; `scrapy warehouse init bigquery` makes {target}") from exc
    except (Unauthorized, Forbidden, TooManyRequests) as exc:
        raise SinkUnavailableError(one_line(exc)) from exc
    except ClientError as exc:
        raise SinkRefusedError(one_line(exc)) from exc
    except (GoogleAPIError, GoogleAuthError, OSError) as exc:
        raise SinkUnavailableError(one_line(exc)) from exc
