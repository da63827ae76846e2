"""The sandbox over real HTTP: answers, every kind of fault, the log."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest

from lastfm_crawl.sandbox import ALL_KINDS, Faults, Sandbox, World, demo_world, serve
from lastfm_crawl.sandbox.answers import error
from lastfm_crawl.sandbox.bodies import Bodies
from lastfm_crawl.sandbox.faults import ERROR_KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANY = [(f"Artist {i}", 100 - i) for i in range(60)]
ARTISTS = "user.getTopArtists"


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def make_world() -> World:
    return World.of({"RJ": ["x", "Test User"], "x": ["RJ"]}, {"RJ": MANY, "x": [("Queen", 5)]}, private=["x"])


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    server = Sandbox(make_world())
    await server.start()
    yield server
    await server.stop()


async def get(
    sandbox: Sandbox, method: str = ARTISTS, user: str = "rj", *, gzipped: bool = False, **params: str
) -> Got:
    query = {"method": method, "user": user, "api_key": "secret", "format": "json", **params}
    headers = {"Accept-Encoding": "gzip" if gzipped else "identity", "User-Agent": "tests (me@example.org)"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(sandbox.url, params=query, headers=headers) as response,
    ):
        return Got(response.status, dict(response.headers), await response.read())


# --- answers ---------------------------------------------------------------------------


async def test_a_page_over_http(sandbox: Sandbox) -> None:
    got = await get(sandbox)
    assert got.status == 200
    assert got.headers["Content-Type"] == "application/json; charset=utf-8"
    assert got.json["topartists"]["@attr"]["totalPages"] == "2"


async def test_large_answers_are_gzipped_on_request(sandbox: Sandbox) -> None:
    zipped, plain = await get(sandbox, gzipped=True), await get(sandbox)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(zipped.body) == plain.body


async def test_small_answers_are_not_gzipped(sandbox: Sandbox) -> None:
    got = await get(sandbox, user="nobody", gzipped=True)
    assert (got.status, got.json) == (404, {"error": 6, "message": "User not found"})
    assert "Content-Encoding" not in got.headers


async def test_post_and_a_path_without_slash(sandbox: Sandbox) -> None:
    form = {"method": "user.getInfo", "user": "test user", "api_key": "k", "format": "json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(sandbox.url.rstrip("/"), data=form) as response,
    ):
        assert (await response.json())["user"]["name"] == "Test User"


async def test_only_json_is_spoken(sandbox: Sandbox) -> None:
    got = await get(sandbox, format="xml")
    assert got.status == 400
    assert b'<lfm status="failed"><error code="5">' in got.body


async def test_a_key_is_judged_each_time(sandbox: Sandbox) -> None:
    keys = ("secret", "invalid1", "suspended1", "", "secret")
    assert [(await get(sandbox, api_key=key)).status for key in keys] == [200, 403, 403, 400, 200]


async def test_names_are_sent_as_utf8() -> None:
    sandbox = Sandbox(World.of({}, {"RJ": [("Sigur Rós / Ágætis", 1)]}), unwrap_single=True)
    await sandbox.start()
    got = await get(sandbox)
    await sandbox.stop()
    assert '"name":"Sigur Rós / Ágætis"'.encode() in got.body
    assert got.json["topartists"]["artist"]["playcount"] == "1"


async def test_a_new_world_is_served_at_once(sandbox: Sandbox) -> None:
    before = await get(sandbox, "user.getFriends", limit="1")
    sandbox.world = World.of({"RJ": ["y"]})
    after = await get(sandbox, "user.getFriends", limit="1")
    assert [got.json["friends"]["user"][0]["name"] for got in (before, after)] == ["x", "y"]


def test_the_kept_bodies_are_bounded() -> None:
    bodies = Bodies(most_bytes=5000)
    made = [bodies.get(str(i), lambda i=i: error(i, 400)) for i in range(100)]  # type: ignore[misc]
    assert len(bodies) < 10
    assert bodies.get("99", lambda: error(0, 200)) is made[99]
    assert bodies.get("0", lambda: error(0, 200)).status == 200


# --- faults ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERROR_KINDS)
async def test_error_bodies(sandbox: Sandbox, kind: str) -> None:
    sandbox.faults.script(ARTISTS, kinds=[kind])
    faulty, right = await get(sandbox), await get(sandbox)
    assert f"error_{faulty.json['error']}_{faulty.status}" == kind
    assert right.json["topartists"]["@attr"]["user"] == "RJ"


@pytest.mark.parametrize("seconds", [None, 7])
async def test_rate_limit(sandbox: Sandbox, seconds: int | None) -> None:
    sandbox.faults = Faults(retry_after=seconds)
    sandbox.faults.script(ARTISTS, kinds=["rate_limit"])
    got = await get(sandbox)
    assert (got.status, got.json["error"]) == (429, 29)
    assert got.headers.get("Retry-After") == (str(seconds) if seconds else None)


async def test_html(sandbox: Sandbox) -> None:
    sandbox.faults.script(ARTISTS, kinds=["html_502"])
    got = await get(sandbox)
    assert (got.status, got.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert b"try again in 30 seconds" in got.body


async def test_drop(sandbox: Sandbox) -> None:
    sandbox.faults.script("user.getInfo", kinds=["drop"])
    # By hand, for aiohttp's client asks again by itself when a connection is dropped.
    reader, writer = await asyncio.open_connection(sandbox.host, sandbox.port)
    writer.write(b"GET /2.0/?method=user.getInfo&user=rj&api_key=k&format=json HTTP/1.1\r\nHost: x\r\n\r\n")
    got = await reader.read()
    writer.close()
    assert got == b""
    assert (await get(sandbox, "user.getInfo")).status == 200
    assert [call.status for call in sandbox.log] == [0, 200]


async def test_truncated(sandbox: Sandbox) -> None:
    sandbox.faults.script(ARTISTS, kinds=["truncated"])
    cut, whole = await get(sandbox), await get(sandbox)
    assert (cut.status, int(cut.headers["Content-Length"])) == (200, len(cut.body))
    assert cut.body == whole.body[: len(whole.body) // 2]


@pytest.mark.parametrize("method", [ARTISTS, "user.getInfo", "user.getFriends"])
async def test_wrong_user(sandbox: Sandbox, method: str) -> None:
    sandbox.faults.script(method, kinds=["wrong_user"])
    foreign, right = await get(sandbox, method, "x"), await get(sandbox, method, "x")
    inner = next(iter(foreign.json.values()))
    assert foreign.status == right.status == 200
    assert foreign.json.keys() == right.json.keys()
    assert inner.get("@attr", {}).get("user") == "RJ" or inner.get("name") == "RJ"


async def test_wrong_user_when_nobody_has_that_page(sandbox: Sandbox) -> None:
    sandbox.faults.script("user.getFriends", kinds=["wrong_user"])
    got = await get(sandbox, "user.getFriends", page="2", limit="1")
    assert got.json["friends"]["@attr"] == {
        "user": "x",
        "page": "1",
        "perPage": "1",
        "total": "1",
        "totalPages": "1",
    }


async def test_false_404(sandbox: Sandbox) -> None:
    sandbox.faults = Faults(1.0, ["false_404"])
    got = [await get(sandbox), await get(sandbox)]
    assert [(g.status, g.json.get("message")) for g in got] == [(404, "User not found"), (200, None)]


async def test_empty(sandbox: Sandbox) -> None:
    sandbox.faults.script(ARTISTS, kinds=["empty"])
    got = await get(sandbox)
    assert (got.status, got.body) == (200, b"")


async def test_slow_and_latency(sandbox: Sandbox) -> None:
    sandbox.faults = Faults(latency=0.05, slow=0.15)
    sandbox.faults.script(ARTISTS, kinds=["slow"])
    took = []
    for _ in range(2):
        start = time.monotonic()
        assert (await get(sandbox)).status == 200
        took.append(time.monotonic() - start)
    assert took[0] >= 0.2
    assert took[1] >= 0.05


async def test_every_kind_comes_by_chance_and_everything_comes_right(sandbox: Sandbox) -> None:
    sandbox.world = demo_world(60)
    sandbox.faults = Faults(0.5, slow=0.01)

    async def until_right(user: str) -> int:
        for attempt in range(1, 5):
            try:
                got = await get(sandbox, "user.getInfo", user)
                if got.status == 200 and got.json["user"]["name"].lower() == user:
                    return attempt
            except (aiohttp.ServerDisconnectedError, ValueError, KeyError):
                continue
        raise AssertionError(user)

    alive = [name for name, user in sandbox.world.users.items() if user.status != "deleted"]
    attempts = await asyncio.gather(*(until_right(name) for name in alive))
    assert max(attempts) > 1
    assert {call.fault for call in sandbox.log} == {None, *ALL_KINDS}


# --- log -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", ARTISTS),
        ("params", {"method": ARTISTS, "user": "test user", "format": "json", "limit": "5"}),
        ("user", "test user"),
        ("api_key", "secret"),
        ("status", 500),
        ("fault", "error_8_500"),
        ("user_agent", "tests (me@example.org)"),
    ],
)
async def test_a_call_is_logged(sandbox: Sandbox, field: str, value: object) -> None:
    sandbox.faults.script(ARTISTS, kinds=["error_8_500"])
    await get(sandbox, user="test user", limit="5")
    assert getattr(sandbox.log[0], field) == value


async def test_the_log_knows_when(sandbox: Sandbox) -> None:
    before = time.monotonic()
    await get(sandbox)
    assert before < sandbox.log[0].at < time.monotonic()


async def test_calls_by_method_and_user(sandbox: Sandbox) -> None:
    await get(sandbox, "user.getInfo", "RJ")
    await get(sandbox, "user.getInfo", "x")
    await get(sandbox)
    counts = [len(sandbox.calls(*asked)) for asked in ((), ("user.getinfo",), ("user.getInfo", "rj"), (None, "RJ"))]
    assert counts == [3, 2, 1, 2]


async def test_the_log_over_http_shows_no_key(sandbox: Sandbox) -> None:
    await get(sandbox)
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.root}/_sandbox/log") as response:
        text = await response.text()
    assert "secret" not in text
    assert [(call["method"], call["status"], call["fault"]) for call in json.loads(text)] == [(ARTISTS, 200, None)]


async def test_healthy(sandbox: Sandbox) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox.root}/_sandbox/healthy") as response,
    ):
        assert (response.status, await response.text()) == (200, "ok")


# --- in a thread -----------------------------------------------------------------------


async def test_serve_runs_beside_the_loop_of_the_test() -> None:
    with serve(make_world(), Faults(latency=0.01), unwrap_single=True) as sandbox:
        got = await asyncio.gather(*(get(sandbox, user="x") for _ in range(5)))
        assert [g.json["topartists"]["artist"]["name"] for g in got] == ["Queen"] * 5
        assert len(sandbox.calls(ARTISTS)) == 5
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(sandbox)


def test_serve_says_when_the_port_is_taken() -> None:
    with serve(make_world()) as first, pytest.raises(OSError, match="address already in use"):  # noqa: SIM117
        with serve(make_world(), port=first.port):
            raise AssertionError("two servers on one port")
    assert first.log == []


def test_serve_ends_also_when_the_block_fails() -> None:
    with pytest.raises(RuntimeError, match="of the test"), serve(make_world()) as sandbox:
        raise RuntimeError("of the test")
    with serve(make_world(), port=sandbox.port) as again:
        assert again.port == sandbox.port
