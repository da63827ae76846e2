"""A strict stand-in of BigQuery's REST protocol for load jobs and our MERGE: it refuses what BigQuery refuses.

    with BigQueryServer() as server:
        server.rows("lastfm_users")

Point ``BIGQUERY_EMULATOR_HOST`` at ``server.url``. Where emulators are lax it is not: job ids that were used, unknown
and missing required columns, types that differ, unknown fields of requests, rows that a MERGE would change twice. It
understands one statement, the MERGE that the sink writes, and does what it says.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

BASE = "/bigquery/v2/projects/"
TYPES = {"STRING": pa.string(), "INTEGER": pa.int64(), "INT64": pa.int64(), "FLOAT": pa.float64()}
TYPES |= {"FLOAT64": pa.float64(), "BOOL": pa.bool_(), "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC")}
LOAD = {"sourceFormat", "schema", "writeDisposition", "createDisposition", "destinationTable"}
QUERY = {"query", "queryParameters", "useLegacySql", "parameterMode"}
TABLE = {"tableReference", "schema", "timePartitioning", "clustering", "expirationTime", "labels"}
MERGE = re.compile(
    r"MERGE INTO `(?P<target>[^`]+)` t USING `(?P<source>[^`]+)` s ON (?P<on>.+)\n"
    r"(?:WHEN MATCHED AND \((?P<differs>.+)\) THEN UPDATE SET (?P<update>.+)\n)?"
    r"WHEN NOT MATCHED BY TARGET THEN INSERT \((?P<columns>.+)\) VALUES \((?P<values>.+)\)\n"
    r"WHEN NOT MATCHED BY SOURCE(?: AND t\.(?P<owner>\w+) IN UNNEST\(@users\))? THEN DELETE"
)


class RefusalError(Exception):
    """An error that the client is answered with, or that its job ends with."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    def resource(self) -> dict:
        return {"reason": self.reason, "message": str(self)}


@dataclass
class Table:
    resource: dict
    rows: list[dict] = field(default_factory=list)

    @property
    def fields(self) -> dict[str, dict]:
        return {column["name"]: column for column in self.resource["schema"]["fields"]}


class BigQueryServer:
    def __init__(self) -> None:
        self.datasets: dict[str, dict] = {}
        self.tables: dict[str, Table] = {}
        self.jobs: dict[str, dict] = {}
        #: A status with which everything is answered.
        self.down: int | None = None
        #: Requests whose work is done and whose answer is lost: how many more, of paths with that in them.
        self.lose = (0, "")
        #: Rows that load jobs brought, and that statements changed.
        self.loaded = self.changed = 0
        self._uploads: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> BigQueryServer:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                with server._lock:
                    status, answer, headers = server._answer(self, body)
                times, where = server.lose
                if times and where in self.path:
                    server.lose = (times - 1, where)
                    self.close_connection = True
                    self.connection.close()
                    return
                content = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rows(self, table: str) -> list[tuple]:
        """The rows of a table of the only dataset, sorted."""
        (found,) = [t for name, t in self.tables.items() if name.endswith(f".{table}")]
        return sorted((tuple(row[name] for name in found.fields) for row in found.rows), key=repr)

    # --- requests -------------------------------------------------------------------------------------------------

    def _answer(self, request, body: bytes) -> tuple[int, dict, dict]:
        url = urlsplit(request.path)
        try:
            if self.down:
                raise RefusalError(self.down, "accessDenied", "this stand-in is down")
            if url.path.startswith("/upload"):
                return self._upload(request, parse_qs(url.query), body)
            if not url.path.startswith(BASE):
                raise RefusalError(404, "notFound", url.path)
            project, *path = url.path.removeprefix(BASE).split("/")
            return 200, self._call(request.command, project, path, json.loads(body) if body else {}), {}
        except RefusalError as exc:
            error = {"code": exc.status, "message": str(exc), "errors": [exc.resource()]}
            return exc.status, {"error": error}, {}

    def _upload(self, request, query: dict, body: bytes) -> tuple[int, dict, dict]:
        if query["uploadType"] != ["resumable"]:
            raise RefusalError(400, "invalid", "only resumable uploads")
        if request.command == "POST":
            job = json.loads(body)
            self._new_job(job)
            name = job["jobReference"]["jobId"]
            self._uploads[name] = {"job": job, "bytes": b""}
            return 200, {}, {"Location": f"{self.url}/upload/{name}?uploadType=resumable"}
        upload = self._uploads[urlsplit(request.path).path.rpartition("/")[2]]
        upload["bytes"] += body
        if request.headers["Content-Range"].endswith("/*"):
            return 308, {}, {"Range": f"bytes=0-{len(upload['bytes']) - 1}"}
        return 200, self._run(upload["job"], lambda: self._load(upload["job"], upload["bytes"])), {}

    def _call(self, method: str, project: str, path: list[str], body: dict) -> dict:  # noqa: C901, PLR0911  (a list)
        match method, path:
            case "POST", ["datasets"]:
                known(body, {"datasetReference", "labels", "location"})
                name = body["datasetReference"]["datasetId"]
                self.datasets[f"{project}.{name}"] = {"location": "US", **body}
                return self.datasets[f"{project}.{name}"]
            case "GET", ["datasets", dataset]:
                return get(self.datasets, f"{project}.{dataset}", "Dataset")
            case "POST", ["datasets", dataset, "tables"]:
                get(self.datasets, f"{project}.{dataset}", "Dataset")
                return self._new_table(project, dataset, body)
            case "GET", ["datasets", dataset, "tables", table]:
                found = self._table(f"{project}.{dataset}.{table}")
                return {**found.resource, "numRows": str(len(found.rows))}
            case "PATCH", ["datasets", dataset, "tables", table]:
                return self._patch(self._table(f"{project}.{dataset}.{table}"), body)
            case "DELETE", ["datasets", dataset, "tables", table]:
                self._table(f"{project}.{dataset}.{table}")
                del self.tables[f"{project}.{dataset}.{table}"]
                return {}
            case "POST", ["jobs"]:
                self._new_job(body)
                return self._run(body, lambda: self._query(body["configuration"]["query"]))
            case "GET", ["jobs", job]:
                return get(self.jobs, job, "Job")
            case "GET", ["queries", job]:
                found = get(self.jobs, job, "Job")
                if error := found["status"].get("errorResult"):
                    raise RefusalError(400, error["reason"], error["message"])
                changed = found["statistics"]["query"]["numDmlAffectedRows"]
                return {"jobReference": found["jobReference"], "jobComplete": True, "numDmlAffectedRows": changed}
        raise RefusalError(400, "invalid", f"{method} {path} is not known here")

    # --- tables ---------------------------------------------------------------------------------------------------

    def _table(self, name: str) -> Table:
        return get(self.tables, name, "Table")

    def _new_table(self, project: str, dataset: str, body: dict) -> dict:
        known(body, TABLE)
        name = f"{project}.{dataset}.{body['tableReference']['tableId']}"
        if name in self.tables:
            raise RefusalError(409, "duplicate", f"Already Exists: Table {name}")
        columns = {column["name"]: column for column in body["schema"]["fields"]}
        for clustered in body.get("clustering", {}).get("fields", ()):
            if clustered not in columns:
                raise RefusalError(400, "invalid", f"clustered by {clustered}")
        if partition := body.get("timePartitioning"):
            known(partition, {"type", "field"})
            if columns[partition["field"]]["type"] != "TIMESTAMP":
                raise RefusalError(400, "invalid", "partitioned by no time")
        if int(body.get("expirationTime") or 2**62) < time.time() * 1000:
            raise RefusalError(400, "invalid", "expired already")
        self.tables[name] = Table({**body, "etag": "1"})
        return self.tables[name].resource

    def _patch(self, table: Table, body: dict) -> dict:
        known(body, {"schema"})
        old, new = table.fields, {column["name"]: column for column in body["schema"]["fields"]}
        for name, column in old.items():
            if new.get(name, {}).get("type") != column["type"] or new[name].get("mode") != column.get("mode"):
                raise RefusalError(400, "invalid", f"Provided Schema does not match: {name}")
        if any(new[name].get("mode") == "REQUIRED" for name in new.keys() - old.keys()):
            raise RefusalError(400, "invalid", "Cannot add required fields to an existing schema")
        table.resource["schema"] = body["schema"]
        for row in table.rows:
            row.update(dict.fromkeys(new.keys() - old.keys()))
        return table.resource

    # --- jobs -----------------------------------------------------------------------------------------------------

    def _new_job(self, job: dict) -> None:
        known(job, {"jobReference", "configuration"})
        name = job["jobReference"]["jobId"]
        if not re.fullmatch(r"[\w-]{1,1024}", name):
            raise RefusalError(400, "invalid", f"{name!r} is no job id")
        if name in self.jobs:
            raise RefusalError(409, "duplicate", f"Already Exists: Job {name}")

    def _run(self, job: dict, work) -> dict:
        name = job["jobReference"]["jobId"]
        statistics: dict = {}
        status: dict = {"state": "DONE"}
        try:
            statistics = work()
        except RefusalError as exc:
            status |= {"errorResult": exc.resource(), "errors": [exc.resource()]}
        reference = {**job["jobReference"], "location": "US"}
        done = {**job, "jobReference": reference, "status": status, "statistics": statistics}
        self.jobs[name] = done
        return {**done, "status": {"state": "RUNNING"}, "statistics": {}}

    def _load(self, job: dict, content: bytes) -> dict:
        config = job["configuration"]["load"]
        known(config, LOAD)
        if config["sourceFormat"] != "PARQUET" or config["createDisposition"] != "CREATE_NEVER":
            raise RefusalError(400, "invalid", "not what is understood here")
        place = config["destinationTable"]
        table = self._table(f"{place['projectId']}.{place['datasetId']}.{place['tableId']}")
        if config["schema"]["fields"] != table.resource["schema"]["fields"]:
            raise RefusalError(400, "invalid", "Provided Schema does not match")
        found = pq.read_table(io.BytesIO(content))
        for column in found.schema:
            if column.name not in table.fields:
                raise RefusalError(400, "invalid", f"no such field: {column.name}")
            if column.type != TYPES[table.fields[column.name]["type"]]:
                raise RefusalError(400, "invalid", f"{column.name} is a {column.type}")
        for name, column in table.fields.items():
            if column.get("mode") == "REQUIRED" and (name not in found.schema.names or found[name].null_count):
                raise RefusalError(400, "invalid", f"Required field {name} cannot be null")
        rows = [{**dict.fromkeys(table.fields), **row} for row in found.to_pylist()]
        table.rows = rows + (table.rows if config["writeDisposition"] == "WRITE_APPEND" else [])
        self.loaded += len(rows)
        return {"load": {"outputRows": str(len(rows))}}

    def _query(self, config: dict) -> dict:  # noqa: C901  (one statement, in its order)
        known(config, QUERY)
        said = MERGE.fullmatch(config["query"])
        if not said or config.get("useLegacySql"):
            raise RefusalError(400, "invalidQuery", f"Syntax error: {config['query']}")
        (users,) = config["queryParameters"]
        names = {value["value"] for value in users["parameterValue"]["arrayValues"]}
        target, source = self._table(said["target"]), self._table(said["source"])
        keys = re.findall(r"t\.(\w+) = s\.\1(?: AND |$)", said["on"])
        columns = said["columns"].split(", ")
        if said["values"] != ", ".join(f"s.{name}" for name in columns):
            raise RefusalError(400, "invalidQuery", "other columns are inserted")
        updated = re.findall(r"(\w+) = s\.\1", said["update"] or "")
        if re.findall(r"t\.(\w+) IS DISTINCT FROM s\.\1", said["differs"] or "") != updated:
            raise RefusalError(400, "invalidQuery", "other columns are compared")
        for name in (*keys, *columns):
            if name not in target.fields or name not in source.fields:
                raise RefusalError(400, "invalidQuery", f"Unrecognized name: {name}")
        # A null is equal to nothing.
        rows = [dict(row) for row in target.rows]  # all of it or nothing
        there = {tuple(row[name] for name in keys): row for row in rows}
        matched = set()
        changed = 0
        for row in source.rows:
            key = tuple(row[name] for name in keys)
            old = None if None in key else there.get(key)
            if old is None:
                rows.append({**dict.fromkeys(target.fields), **{name: row[name] for name in columns}})
            elif id(old) in matched:
                raise RefusalError(400, "invalidQuery", "MERGE must match at most one source row for each target row")
            elif any(old[name] != row[name] for name in updated):
                old |= {name: row[name] for name in updated}
            else:
                changed -= 1
            if old is not None:
                matched.add(id(old))
            changed += 1
        incoming = {tuple(row[name] for name in keys) for row in source.rows}
        kept = [
            row
            for row in rows
            if tuple(row[name] for name in keys) in incoming or (said["owner"] and row[said["owner"]] not in names)
        ]
        changed += len(rows) - len(kept)
        target.rows = kept
        self.changed += changed
        return {"query": {"numDmlAffectedRows": str(changed), "statementType": "MERGE"}}


def known(body: dict, names: set[str]) -> None:
    if unknown := body.keys() - names:
        raise RefusalError(400, "invalid", f"Unknown name: {', '.join(sorted(unknown))}")


def get(things: dict, name: str, what: str):
    if name not in things:
        raise RefusalError(404, "notFound", f"Not found: {what} {name}")
    return things[name]
