"""pylast asks the stand-in for the same top artists, one user after another; prints the seconds."""

from __future__ import annotations

import sys
import time
from typing import Any
from urllib.parse import urlsplit

import pylast


def main(api: str, users: int) -> None:
    """Fetch and count."""
    http: Any = pylast.httpx  # type: ignore[attr-defined]  # its own, which has no option for plain HTTP
    client = http.Client
    http.Client = lambda base_url, **options: client(base_url=base_url.replace("https:", "http:"), **options)
    parts = urlsplit(api)
    network = pylast.LastFMNetwork(api_key="bench")
    network.ws_server = (parts.netloc, parts.path)
    started = time.perf_counter()
    rows = 0
    for number in range(users):
        rows += len(network.get_user(f"u{number}").get_top_artists(limit=1000))  # type: ignore[no-untyped-call]
    assert rows, "no rows"
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
