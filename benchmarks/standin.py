"""A stand-in that costs next to nothing: pages rendered once, names filled in, served by a bare asyncio protocol.

Every user ``u0 … uN`` exists, is a friend of the next ones in a ring, and has the same number of artists; a page of
one user differs from another's in its name and in which artists it lists.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
from urllib.parse import parse_qsl, urlsplit

USER = "\0user\0"
CATALOGUE = 100_000
VARIANTS = 64
FRIENDS = 20


def _chart(variant: int, artists: int) -> list[tuple[str, int]]:
    rng = random.Random(variant)
    # Popular artists are in everybody's list, as in real life: cubed, so that the head of the catalogue is dense.
    numbers = dict.fromkeys(int(CATALOGUE * rng.random() ** 3) for _ in range(artists * 3))
    return [(f"Artist Number {n}", 5000 - rank) for rank, n in enumerate(list(numbers)[:artists])]


def _top_artists(variant: int, artists: int) -> bytes:
    rows = [
        {"streamable": "0", "image": [], "mbid": "381086ea-f511-4aba-bdf9-71c753dc5077", "@attr": {"rank": str(rank)},
         "url": f"https://www.last.fm/music/{name}", "playcount": str(plays), "name": name}
        for rank, (name, plays) in enumerate(_chart(variant, artists), 1)
    ]  # fmt: skip
    attr = {"user": USER, "totalPages": "1", "page": "1", "perPage": "1000", "total": str(len(rows))}
    return json.dumps({"topartists": {"artist": rows, "@attr": attr}}).encode()


def _top_artists_xml(variant: int, artists: int) -> bytes:
    rows = "".join(
        f'<artist rank="{rank}"><name>{name}</name><playcount>{plays}</playcount><mbid/><url>x</url></artist>'
        for rank, (name, plays) in enumerate(_chart(variant, artists), 1)
    )
    head = f'<topartists user="{USER}" page="1" perPage="1000" totalPages="1" total="{artists}">'
    return f'<?xml version="1.0" encoding="UTF-8"?><lfm status="ok">{head}{rows}</topartists></lfm>'.encode()


def _user(name: str) -> dict[str, object]:
    return {
        "name": name, "realname": "", "country": "None", "url": f"https://www.last.fm/user/{name}", "playcount": "4711",
        "registered": {"unixtime": "1603189685", "#text": "2020-10-20 10:28"}, "image": [],
    }  # fmt: skip


def _friends(number: int, users: int) -> bytes:
    friends = [_user(f"u{(number + step) % users}") for step in range(1, FRIENDS + 1)]
    attr = {"user": f"u{number}", "page": "1", "perPage": "500", "total": str(FRIENDS), "totalPages": "1"}
    return json.dumps({"friends": {"user": friends, "@attr": attr}}).encode()


class Server(asyncio.Protocol):
    """HTTP/1.1 with keep-alive."""

    def __init__(self, users: int, charts: list[bytes], xml: list[bytes]) -> None:
        self._users, self._charts, self._xml = users, charts, xml
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self._buffer[:end], self._buffer[end + 4 :]
            verb, target, _ = head.split(b" ", 2)
            query = urlsplit(target.decode()).query
            if verb == b"POST":  # pylast
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
                if len(rest) < length:
                    return
                query, rest = rest[:length].decode(), rest[length:]
            self._buffer = rest
            body = self._body(dict(parse_qsl(query)))
            kind = b"application/json" if body[:1] == b"{" else b"text/xml"
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)
            )

    def _body(self, query: dict[str, str]) -> bytes:
        name = query.get("user", "u0")
        number = int(name[1:])
        if query.get("method") == "user.getFriends":
            return _friends(number, self._users)
        if query.get("method") == "user.getInfo":
            return json.dumps({"user": _user(name)}).encode()
        pages = self._charts if query.get("format") == "json" else self._xml
        mark = json.dumps(USER).encode()[1:-1] if pages is self._charts else USER.encode()
        return pages[number % VARIANTS].replace(mark, name.encode())


async def _serve(port: int, users: int, artists: int) -> None:
    charts = [_top_artists(v, artists) for v in range(VARIANTS)]
    xml = [_top_artists_xml(v, artists) for v in range(VARIANTS)]
    server = await asyncio.get_running_loop().create_server(lambda: Server(users, charts, xml), "127.0.0.1", port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/2.0/ {len(charts[0])}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--artists", type=int, default=1000)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.users, options.artists))
