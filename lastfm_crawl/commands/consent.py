"""What the logins share: the page of this machine that a browser is sent to, and the question that brings the token."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import urlsplit

from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Seconds that we wait for the consent.
PATIENCE = 300.0
_STEP = 1.0
#: Seconds; browsers open connections in advance on which nothing comes, and we serve one at a time.
_PATIENCE_WITH_SILENCE = 2.0


class Shown(NamedTuple):
    """What a browser is answered: an HTTP status, a text, and where it is sent on to."""

    status: int
    text: str = ""
    location: str = ""


class Loopback:
    """A port of this machine, for one login; *respond* says what is shown at a path (RFC 8252)."""

    def __init__(self, respond: Callable[[str], Shown]) -> None:
        class Handler(BaseHTTPRequestHandler):
            error_content_type: ClassVar[str] = "text/plain; charset=utf-8"  # type: ignore[misc]
            timeout: ClassVar[float] = _PATIENCE_WITH_SILENCE

            def do_GET(self) -> None:
                shown = respond(self.path)
                self.send_response(shown.status)
                if shown.location:
                    self.send_header("Location", shown.location)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(shown.text.encode())

            def log_message(self, *_: object) -> None:
                """Nothing: paths hold codes."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._server.timeout = _STEP
        self.root = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def handle(self) -> None:
        """Answer one request, or wait a second for one."""
        self._server.handle_request()


def post(url: str, form: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """The HTTP status and the body of the answer to *form*. Raises CommandError when there is none."""
    request = urllib.request.Request(url, form, dict(headers), method="POST")  # noqa: S310  (checked)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()
    except (OSError, HTTPException) as exc:
        raise CommandError(Exit.RESUMABLE, f"{urlsplit(url).netloc} does not answer ({exc}); run it again") from exc
