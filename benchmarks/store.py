"""Answers a second written and read: our stores beside Scrapy's folder and a plain loop over Google's client.

    python -m benchmarks.store [--answers 1000] [--kilobytes 75] [--latency 30]

Folder and bucket are measured as a crawl uses them, through the store's process with 16 answers under way. The bucket
is a stand-in on this machine (the packaged emulator, and with ``--latency`` tests/gcs_server.py, each request of which
takes that many milliseconds more). Bytes are those on disk, or in the bucket, per answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import urlopen

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from scrapy import Request, Spider
from scrapy.extensions.httpcache import FilesystemCacheStorage
from scrapy.http import TextResponse
from scrapy.utils.test import get_crawler

from lastfm_crawl.httpcache.envelope import Envelope, decode, encode
from lastfm_crawl.httpcache.process import StoreProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
IN_FLIGHT = 16
BUCKET = "answers"


class Figures(NamedTuple):
    """Answers a second, and bytes an answer (None: not measured)."""

    written: float
    read: float
    size: float | None


def answers(count: int, kilobytes: int) -> list[tuple[str, Envelope]]:
    """Pages of plays, each with words of its own."""
    rng = random.Random(1)
    words = [f"{rng.randbytes(4).hex()} {rng.randbytes(3).hex()}" for _ in range(5000)]
    found = []
    for number in range(count):
        rows: list[dict[str, str]] = []
        size = 0
        while size < kilobytes * 1000:
            rows.append({"name": rng.choice(words), "artist": rng.choice(words), "uts": str(rng.randrange(10**9))})
            size += len(json.dumps(rows[-1])) + 2
        body = json.dumps({"recenttracks": {"track": rows}}).encode()
        envelope = Envelope(
            method="user.getRecentTracks", params={"user": f"u{number}"}, url=f"https://example.org/?n={number}",
            asked_at=1.8e9, status=200, headers={"Content-Type": "application/json"}, answered_at=1.8e9, body=body,
        )  # fmt: skip
        found.append((f"requests/user.getRecentTracks/u{number}/page=1.json.gz", envelope))
    return found


def rate(count: int, work: Callable[[], None]) -> float:
    """How many a second *work* does, which does *count*."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


async def ours(location: str, spool: str, pages: list[tuple[str, Envelope]]) -> tuple[float, float]:
    """Write and read through the store's process, as a crawl does."""
    store = StoreProcess(location, spool)
    await store.open()
    await store.probe()
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def put(key: str, envelope: Envelope) -> None:
        async with slots:
            await store.put(key, envelope)

    async def get(key: str, envelope: Envelope) -> None:
        async with slots:
            found = await store.get(key)
        assert found is not None
        assert found.body == envelope.body

    rates = []
    for work in (put, get):
        began = time.perf_counter()
        await asyncio.gather(*(work(key, envelope) for key, envelope in pages))
        rates.append(len(pages) / (time.perf_counter() - began))
    await store.close()
    return rates[0], rates[1]


def scrapys_folder(folder: Path, pages: list[tuple[str, Envelope]]) -> Figures:
    """FilesystemCacheStorage, one answer after another, as Scrapy's middleware uses it."""
    crawler = get_crawler(Spider, {"HTTPCACHE_DIR": str(folder)})
    spider = Spider.from_crawler(crawler, name="bench")
    stock = FilesystemCacheStorage(crawler.settings)
    stock.open_spider(spider)
    requests = [Request(envelope.url) for _, envelope in pages]

    def write() -> None:
        for request, (_, envelope) in zip(requests, pages, strict=True):
            stock.store_response(spider, request, TextResponse(request.url, body=envelope.body))

    def read() -> None:
        for request in requests:
            assert stock.retrieve_response(spider, request) is not None

    return Figures(rate(len(pages), write), rate(len(pages), read), on_disk(folder) / len(pages))


def plain_loop(url: str, pages: list[tuple[str, Envelope]]) -> Figures:
    """google-cloud-storage in a loop: the same bytes, checked, one after another."""
    client = storage.Client(project="bench", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})  # type: ignore[no-untyped-call]
    bucket = client.bucket(BUCKET)
    blobs = [(bucket.blob(f"plain/{key}"), encode(envelope)) for key, envelope in pages]

    def write() -> None:
        for blob, content in blobs:
            blob.upload_from_string(content, checksum="crc32c", if_generation_match=0)

    def read() -> None:
        for blob, content in blobs:
            assert decode(blob.download_as_bytes(checksum="crc32c")) == decode(content)

    return Figures(rate(len(pages), write), rate(len(pages), read), sum(len(c) for _, c in blobs) / len(pages))


def on_disk(folder: Path) -> int:
    """Bytes that the files below *folder* take on the disk, in whole blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@contextmanager
def emulator() -> Iterator[str]:
    """gcp-storage-emulator in a process of its own, in memory."""
    port = 9000 + os.getpid() % 900
    command = ["gcp-storage-emulator", "start", "--host", "127.0.0.1", "--port", str(port), "-M", "-q"]
    with subprocess.Popen(
        [*command, "--default-bucket", BUCKET], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                urlopen(f"{url}/storage/v1/b/{BUCKET}").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
        process.terminate()


@contextmanager
def far_bucket(milliseconds: float) -> Iterator[str]:
    """The tests' strict stand-in, so far away that each request takes *milliseconds* more."""
    sys.path.insert(0, str(ROOT / "tests"))
    from gcs_server import GCSServer  # type: ignore[import-not-found]  # noqa: PLC0415  (tests are no package)

    with GCSServer() as server:
        server.add_bucket(BUCKET)
        server.latency = milliseconds / 1000
        yield server.url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1000)
    parser.add_argument("--kilobytes", type=int, default=75)
    parser.add_argument("--latency", type=float, default=30.0, help="milliseconds")
    options = parser.parse_args()
    pages = answers(options.answers, options.kilobytes)
    lines: list[tuple[str, Figures, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written, read = asyncio.run(ours(str(folder / "ours"), str(folder / "spool"), pages))
        lines.append(("folder: ours", Figures(written, read, on_disk(folder / "ours") / len(pages)), "folder: ours"))
        lines.append(("folder: Scrapy's", scrapys_folder(folder / "stock", pages), "folder: ours"))
        for title, server in (("emulator", emulator()), (f"{options.latency:.0f} ms", far_bucket(options.latency))):
            with server as url:
                os.environ["STORAGE_EMULATOR_HOST"] = url
                # The emulator takes longer for each object, the more there are.
                few = pages[:300]
                mine = asyncio.run(ours(f"gs://{BUCKET}/ours", str(folder / "spool"), few))
                lines.append((f"{title}: ours", Figures(*mine, None), f"{title}: ours"))
                lines.append((f"{title}: plain loop", plain_loop(url, few), f"{title}: ours"))
    by_title = {title: figures for title, figures, _ in lines}
    print(f"\n{options.answers} answers of {options.kilobytes} KB (buckets: at most 300), {IN_FLIGHT} under way\n")
    print(f"{'':22}{'written/s':>10}{'ratio':>7}{'read/s':>9}{'ratio':>7}{'KB each':>9}")
    for title, figures, peer in lines:
        mine_, size = by_title[peer], "" if figures.size is None else f"{figures.size / 1000:.1f}"
        print(
            f"{title:22}{figures.written:10,.0f}{mine_.written / figures.written:7.2f}"
            f"{figures.read:9,.0f}{mine_.read / figures.read:7.2f}{size:>9}"
        )
    print("\nratio: ours divided by this line's")


if __name__ == "__main__":
    main()
