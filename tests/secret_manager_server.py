"""A strict stand-in of Google Secret Manager's REST API, for tests: it refuses what Google refuses.

    with SecretManagerServer() as server:
        server.add("project", "key", b"first", b"second")

Point ``SECRET_MANAGER_EMULATOR_HOST`` at ``server.host``. Only reading a version is known; anything else is an error.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google_crc32c

PATH = re.compile(r"/v1/projects/([^/]+)/secrets/([^/]+)/versions/([^/]+):access")
#: What Google says with each status that can be asked for.
FAULTS = {
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied for resource '{}'."),
    429: ("RESOURCE_EXHAUSTED", "Quota exceeded."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}


class SecretManagerServer:
    """``calls`` are the paths that were asked for; ``fault`` is a status, "corrupt" or "half" for all that come."""

    def __init__(self):
        self.calls: list[str] = []
        self.fault: int | str | None = None
        self._versions: dict[tuple[str, str], list[bytes | None]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = outer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, project: str, name: str, *versions: bytes | None) -> None:
        """A secret with its *versions* from the first; None is one that was disabled."""
        self._versions[project, name] = list(versions)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.calls.append(path)
        asked = PATH.fullmatch(path)
        if asked is None:
            return _error(400, "INVALID_ARGUMENT", f"{path} is no method that is known here")
        project, name, version = asked.groups()
        resource = f"projects/{project}/secrets/{name}"
        if isinstance(self.fault, int):
            kind, message = FAULTS[self.fault]
            return _error(self.fault, kind, message.format(f"{resource}/versions/{version}"))
        versions = self._versions.get((project, name))
        if versions is None:
            return _error(404, "NOT_FOUND", f"Secret [{resource}] not found or has no versions.")
        number = len(versions) if version == "latest" else int(version)
        if number > len(versions):
            return _error(404, "NOT_FOUND", f"Secret Version [{resource}/versions/{number}] not found.")
        data = versions[number - 1]
        if data is None:
            message = f"Secret Version [{resource}/versions/{number}] is in DISABLED state."
            return _error(400, "FAILED_PRECONDITION", message)
        checksum = google_crc32c.value(data) + (self.fault == "corrupt")
        payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": str(checksum)}
        found = json.dumps({"name": f"{resource}/versions/{number}", "payload": payload}).encode()
        return 200, found[: len(found) // 2] if self.fault == "half" else found


def _error(code: int, status: str, message: str) -> tuple[int, bytes]:
    return code, json.dumps({"error": {"code": code, "message": message, "status": status}}).encode()
