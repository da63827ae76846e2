"""The fixed views as files: rows in, newline-delimited JSON, CSV or Parquet out, a few rows in memory at a time.

A file gets its name when it is complete: whoever looks for it sees all of it or nothing.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from isal import igzip
from psycopg import sql

from lastfm_crawl.httpcache import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date

    import psycopg
    from psycopg.abc import Buffer

    from lastfm_crawl.httpcache import Storage

Format = Literal["ndjson", "csv", "parquet"]
#: What each kind of rows is read from. ``songs`` is there once `scrapy songs` has made it.
VIEWS = {
    "users": "lastfm_users",
    "friends": "lastfm_friends",
    "artists": "lastfm_user_artists",
    "scrobbles": "lastfm_scrobbles",
    "songs": "songs",
}
#: What the name of an export in the store ends in.
SUFFIXES: dict[Format, str] = {"ndjson": "json.gz", "csv": "csv.gz", "parquet": "parquet"}
#: Rows of a row group of Parquet, and of one read from the server.
BATCH = 50_000

# Neither occurs in JSON, whose strings escape them: so CSV quotes nothing, and a line is a row's JSON as it is.
_JSON_LINES = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"


class ExportError(Exception):
    """It cannot be exported: one line that says why and what to do."""


def export_to_store(
    connection: psycopg.Connection,
    kind: str,
    form: Format,
    store: Storage,
    day: date,
    on_rows: Callable[[int], object] = lambda _: None,
) -> tuple[str, int]:
    """Write the export of *day* into *store*; its key, and how many rows it has. Raises ExportError and StoreError."""
    key = f"exports/lastfm_{kind}_{day:%Y%m%d}.{SUFFIXES[form]}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, Path(key).name)
        rows = _export(connection, kind, form, file, on_rows)
        store.write_file(key, file)
    return key, rows


def export_to(
    connection: psycopg.Connection,
    kind: str,
    form: Format,
    target: str,
    on_rows: Callable[[int], object] = lambda _: None,
) -> int:
    """Write an export to *target*, a path or ``gs://bucket/name``, and return how many rows it has.

    It is compressed when the name ends in ``.gz``. Raises ExportError, StoreError, and OSError for a path.
    """
    if form == "parquet" and target.endswith(".gz"):
        raise ExportError("Parquet is compressed inside: the name must not end in .gz")
    if target.startswith("gs://"):
        location, _, name = target.rpartition("/")
        if not name or location == "gs:/":
            raise ExportError(f"{target!r} is not gs://bucket/name")
        try:
            store = open_store(location)
        except ValueError:
            raise ExportError(f"{target!r} is not gs://bucket/name") from None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"export{'.gz' if name.endswith('.gz') else ''}")
            rows = _export(connection, kind, form, file, on_rows)
            store.write_file(name, file)
        return rows
    path = Path(target)
    # Beside it: elsewhere may be another disk, and a name is changed in one step only within one.
    temporary = path.with_name(f".{os.getpid()}.tmp{'.gz' if path.suffix == '.gz' else ''}")
    try:
        rows = _export(connection, kind, form, temporary, on_rows)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def take_out(store: Storage, key: str, is_gone: Callable[[str], bool], *, dry_run: bool = False) -> int:
    """Take the rows of people out of the export at *key*; how many rows went or changed.

    Rows are theirs when *is_gone* says so of their user or friend; who was reached from them as a seed stays, without
    seed and depth. All other rows stay as they are. Raises StoreError; OSError, EOFError and ValueError for what is no
    export.
    """
    blob = store.get(key)
    if blob is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, Path(key).name)
        if key.endswith(".parquet"):
            changed = _take_out_of_parquet(blob, file, is_gone)
        else:
            take = _take_out_of_csv if key.endswith(".csv.gz") else _take_out_of_json
            with igzip.IGzipFile(fileobj=BytesIO(blob)) as lines, _opened(file) as out:  # type: ignore[no-untyped-call]
                changed = take(lines, out, is_gone)
        if changed and not dry_run:
            store.write_file(key, file)
    return changed


def _take_out_of_json(lines: Iterable[bytes], out: IO[bytes], is_gone: Callable[[str], bool]) -> int:
    changed = 0
    for line in lines:
        row = json.loads(line)
        stays = _stays(row, is_gone)
        if stays:
            out.write(line)
            continue
        changed += 1
        if stays is not None:
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return changed


def _take_out_of_csv(lines: Iterable[bytes], out: IO[bytes], is_gone: Callable[[str], bool]) -> int:
    changed = 0
    columns: list[str] = []
    pending = b""
    for line in lines:
        pending += line
        if pending.count(b'"') % 2:  # within a text that has line breaks
            continue
        record, pending = pending, b""
        (values,) = csv.reader([record.decode()])
        if not columns:
            columns = values
            out.write(record)
            continue
        row: dict[str, Any] = dict(zip(columns, values, strict=True))
        stays = _stays(row, is_gone)
        if not stays:
            changed += 1
            text = StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerow(row.values())
            record = b"" if stays is None else text.getvalue().encode()
        out.write(record)
    return changed


def _take_out_of_parquet(blob: bytes, file: Path, is_gone: Callable[[str], bool]) -> int:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    changed = 0
    source = pq.ParquetFile(BytesIO(blob))
    with pq.ParquetWriter(file, source.schema_arrow) as writer:
        for batch in source.iter_batches(BATCH):
            rows = batch.to_pylist()
            stay = [_stays(row, is_gone) for row in rows]
            changed += len(rows) - stay.count(True)
            kept = [row for row, stays in zip(rows, stay, strict=True) if stays is not None]
            writer.write_batch(pa.RecordBatch.from_pylist(kept, schema=source.schema_arrow))
    return changed


def _stays(row: dict[str, Any], is_gone: Callable[[str], bool]) -> bool | None:
    """True for a row that stays as it is, False for one that was changed here, None for one that is to go."""
    if any(row.get(column) and is_gone(row[column]) for column in ("username", "lastfm_username", "friend")):
        return None
    if row.get("crawl_seed") and is_gone(row["crawl_seed"]):
        row["crawl_seed"] = row["crawl_depth"] = None
        return False
    return True


def _export(
    connection: psycopg.Connection, kind: str, form: Format, file: Path, on_rows: Callable[[int], object]
) -> int:
    view = VIEWS[kind]
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [view]).fetchone()
    if row is None or not row[0]:
        raise ExportError(f"there are no {kind} yet; run scrapy {kind}")
    # As text, times have the zone of the session.
    connection.execute("SELECT set_config('TimeZone', 'UTC', true)")
    with _opened(file) as out:
        if form == "parquet":
            return _parquet(connection, view, out, on_rows)
        return _text(connection, view, form, out, on_rows)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """*file*, to be written, compressed if its name says so; on disk afterwards."""
    with file.open("wb") as raw:
        if file.suffix == ".gz":
            with igzip.IGzipFile(fileobj=raw, mode="wb", compresslevel=2, filename="", mtime=0) as packed:  # type: ignore[no-untyped-call]
                yield cast("IO[bytes]", packed)
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())


def _text(
    connection: psycopg.Connection, view: str, form: Format, out: IO[bytes], on_rows: Callable[[int], object]
) -> int:
    table = sql.Identifier(view)
    if form == "ndjson":
        query = sql.SQL("COPY (SELECT row_to_json(v) FROM {} v) TO STDOUT ({})").format(table, sql.SQL(_JSON_LINES))
    else:
        query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT csv, HEADER)").format(table)
    with connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            parts: list[Buffer] = []
            size = 0
            for part in copy:  # one a row
                parts.append(part)
                size += len(part)
                if size >= 1 << 20:
                    out.write(b"".join(parts))
                    on_rows(len(parts))
                    parts, size = [], 0
            out.write(b"".join(parts))
            on_rows(len(parts))
        return cursor.rowcount


def _parquet(connection: psycopg.Connection, view: str, out: IO[bytes], on_rows: Callable[[int], object]) -> int:
    import pyarrow as pa  # noqa: PLC0415  (it takes long to import, and most exports are text)
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = 0
    types = {
        "bool": pa.bool_(), "int2": pa.int16(), "int4": pa.int32(), "int8": pa.int64(), "float4": pa.float32(),
        "float8": pa.float64(), "timestamptz": pa.timestamp("us", "UTC"), "date": pa.date32(),
        "_text": pa.list_(pa.string()),
    }  # fmt: skip
    columns = connection.execute(
        """
        SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """,
        [view],
    ).fetchall()
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in columns])
    # What Parquet has no type for (uuid, jsonb) is text there.
    chosen = sql.SQL(", ").join(
        sql.Identifier(name) if kind in types else sql.SQL("{}::text").format(sql.Identifier(name))
        for name, kind in columns
    )
    with connection.cursor(name="export", binary=True) as cursor, pq.ParquetWriter(out, schema) as writer:
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(chosen, sql.Identifier(view)))
        while batch := cursor.fetchmany(BATCH):
            values: list[Any] = [
                pa.array(column, type=field.type)
                for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(values, schema=schema))
            rows += len(batch)
            on_rows(len(batch))
    return rows
