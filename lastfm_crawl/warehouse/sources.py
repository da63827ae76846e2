"""Where a catalogue comes from: a CSV, Parquet or NDJSON file, or a table of BigQuery; rows as dicts, in batches."""

from __future__ import annotations

import csv
import gzip
import zlib
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from lastfm_crawl.items import SpotifyArtist, SpotifyTrack
from lastfm_crawl.warehouse.sinks import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Rows a batch.
BATCH = 50_000
# A field of a CSV file may be as long as the name of an artist can be, and a good deal longer.
_LONGEST_FIELD = 1_000_000

Row = dict[str, Any]

#: What a column may be called, the first that is there counts; case and blanks make no difference.
_ARTIST = {
    "id": ("artist_id", "spotify_artist_id", "spotify_id", "id"),
    "name": ("artist_name", "name", "artist"),
    "popularity": ("popularity", "artist_popularity"),
    "followers": ("followers", "follower_count"),
}
_TRACK = {
    "id": ("track_id", "spotify_track_id", "spotify_id", "id"),
    "name": ("track_name", "title", "name", "track"),
    "artists": ("artist_names", "artists", "artist_name", "artist"),
    "artist_ids": ("artist_ids", "artist_id"),
    "album_id": ("album_id",),
    "album_name": ("album_name", "album"),
    "album_type": ("album_type",),
    "release_date": ("release_date", "album_release_date"),
    "duration_ms": ("duration_ms",),
    "explicit": ("explicit",),
    "track_number": ("track_number",),
    "disc_number": ("disc_number",),
    "isrc": ("isrc",),
    "popularity": ("popularity", "track_popularity"),
}
_PRECISIONS = {4: "year", 7: "month", 10: "day"}


class SourceError(ValueError):
    """A source that cannot be read as a catalogue: one line that says why."""


class SourceUnreachableError(Exception):
    """A table that cannot be read now: one line that says why."""


def read_batches(source: str) -> Iterator[list[Row]]:
    """The rows of *source*: a path (.csv, .ndjson, .jsonl, .parquet; .gz behind the first three) or
    ``bq://project.dataset.table``. Raises SourceError and SourceUnreachableError.
    """
    if source.startswith("bq://"):
        yield from _big_query(source.removeprefix("bq://"))
        return
    path = Path(source)
    kind = path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]
    readers = {".csv": _csv, ".ndjson": _ndjson, ".jsonl": _ndjson, ".parquet": _parquet}
    reader = readers.get(kind[0].lower() if kind else "")
    if reader is None:
        raise SourceError(f"{source} is none of .csv, .ndjson, .jsonl (or these with .gz), .parquet and bq://…")
    try:
        yield from reader(path)
    except OSError as exc:
        raise SourceError(f"{source} cannot be read: {exc.strerror or exc}") from exc
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as exc:
        raise SourceError(f"{source} cannot be read: {exc}") from exc


def kind_of(row: Mapping[str, Any]) -> str:
    """Whether a row is one of ``tracks`` or of ``artists``, by its columns. Raises SourceError."""
    names = {_plain(name) for name in row}
    if names & {"track_id", "track_name", "title", "track", "spotify_track_id"}:
        return "tracks"
    if names.intersection(_ARTIST["id"]) and names.intersection(_ARTIST["name"]):
        return "artists"
    raise SourceError(
        f"no columns of a catalogue among {', '.join(sorted(map(str, row)))[:200] or 'none'}; artists need artist_id"
        " and artist_name, tracks need track_id, track_name and artist_name"
    )


def to_artist(row: Mapping[str, Any]) -> SpotifyArtist:
    """The artist of a row; what is missing in it is empty."""
    found = _columns(row, _ARTIST)
    return SpotifyArtist(
        _text(found["id"]), _text(found["name"]), _number(found["popularity"]), _number(found["followers"])
    )


def to_track(row: Mapping[str, Any]) -> SpotifyTrack:
    """The track of a row; what is missing in it is empty."""
    found = _columns(row, _TRACK)
    released = _text(found["release_date"])[:10]
    return SpotifyTrack(
        id=_text(found["id"]),
        name=_text(found["name"]),
        artist_ids=_texts(found["artist_ids"]),
        artist_names=_texts(found["artists"]),
        album_id=_text(found["album_id"]),
        album_name=_text(found["album_name"]),
        album_type=_text(found["album_type"]),
        release_date=released or None,
        release_precision=_PRECISIONS.get(len(released)),
        duration_ms=_number(found["duration_ms"]),
        explicit=_text(found["explicit"]).lower() in {"true", "1", "t", "yes"},
        track_number=_number(found["track_number"]),
        disc_number=_number(found["disc_number"]),
        isrc=_text(found["isrc"]) or None,
        popularity=_number(found["popularity"]),
    )


def _columns(row: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]) -> Row:
    plain = {_plain(name): value for name, value in row.items()}
    return {field: next((plain[name] for name in names if name in plain), None) for field, names in wanted.items()}


def _plain(name: object) -> str:
    return str(name).strip().lower().replace(" ", "_")


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _texts(value: object) -> tuple[str, ...]:
    """Names of artists: a list, or one text that is one name (nobody can tell a comma in it from one between two)."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(text for text in map(_text, values) if text)


def _number(value: object) -> int | None:
    try:
        return round(float(_text(value)))
    except (ValueError, OverflowError):
        return None


def _open(path: Path) -> IO[str]:
    how: dict[str, Any] = {"mode": "rt", "encoding": "utf-8-sig", "newline": ""}
    file: IO[str] = (gzip.open if path.suffix == ".gz" else open)(path, **how)
    return file


def _csv(path: Path) -> Iterator[list[Row]]:
    csv.field_size_limit(_LONGEST_FIELD)
    with _open(path) as file:
        start = file.read(4096)
        file.seek(0)
        delimiter = max(",;\t", key=start.partition("\n")[0].count)
        rows = csv.DictReader(file, delimiter=delimiter)
        while batch := list(islice(rows, BATCH)):
            yield batch


def _ndjson(path: Path) -> Iterator[list[Row]]:
    with _open(path) as file:
        lines = (line for line in file if not line.isspace())
        while batch := [_object(line) for line in islice(lines, BATCH)]:
            yield batch


def _object(line: str) -> Row:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return {}  # a row without anything: counted with its reason where rows are checked
    return row if isinstance(row, dict) else {}


def _parquet(path: Path) -> Iterator[list[Row]]:
    import pyarrow as pa  # noqa: PLC0415  (60 MB that other sources do not need)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield batch.to_pylist()
    except pa.ArrowInvalid as exc:
        raise SourceError(f"{path} is no Parquet file: {one_line(exc)}") from exc


def _big_query(table: str) -> Iterator[list[Row]]:
    from google.api_core.exceptions import GoogleAPIError  # noqa: PLC0415  (half a second to import)
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    from lastfm_crawl.warehouse.bigquery import connect  # noqa: PLC0415

    if table.count(".") < 2:
        raise SourceError(f"bq://{table} is no table; write bq://project.dataset.table")
    try:
        with connect(table.rsplit(".", 2)[0]) as client:
            for page in client.list_rows(client.get_table(table), page_size=BATCH).pages:
                yield [dict(row.items()) for row in page]
    except (GoogleAPIError, GoogleAuthError, OSError) as exc:
        raise SourceUnreachableError(f"bq://{table} cannot be read: {one_line(exc)}") from exc
