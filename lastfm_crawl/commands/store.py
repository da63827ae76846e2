"""The response store: set it up, look at it, prove it sound, copy it, and pack it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import OurCommand
from lastfm_crawl.commands.working import working
from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.services import service_of
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from lastfm_crawl.httpcache import Storage

#: Lines about single objects that are shown; the rest is counted.
SHOWN = 100
#: What is not packed, for it is to be forgotten after its time.
NOT_FOR_EVER = ("spotify",)


class Command(OurCommand, ScrapyCommand):
    def syntax(self) -> str:
        return "init | check | verify | copy SOURCE TARGET | pack"

    def short_desc(self) -> str:
        return "Set up, check, verify, copy or pack the response store"

    def long_desc(self) -> str:
        return (
            "init: make the bucket or the folder, and set up a bucket's access and lifecycle. "
            "check: write, read and delete a probe; permissions; what is there. "
            "verify: read every answer, and see that it stands where it belongs. "
            "copy: bring one store into another (gs://bucket/prefix or a path), skipping what is there. "
            "pack: put many small answers into a few large segments below packs/."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--region", help="init: where a new bucket is to be, as europe-west1 (default: US)")
        parser.add_argument("--method", help="pack: answers of this method only, as user.getTopArtists")
        parser.add_argument(
            "--compression", choices=("zstd", "gzip"), default="zstd", help="pack: BigQuery loads gzip alone"
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        actions: dict[str, Callable[[], int]] = {
            "init": lambda: self._init(self._store(), opts.region),
            "check": lambda: self._check(self._store()),
            "verify": lambda: self._verify(_existing(self._store())),
            "pack": lambda: self._pack(_existing(self._store()), opts.method, opts.compression),
            "copy": lambda: self._copy(_existing(open_store(args[1])), open_store(args[2])),
        }
        action = args[0] if args else ""
        if action not in actions or len(args) != (3 if action == "copy" else 1):
            raise UsageError(f"say one of: {self.syntax()}")
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self.exitcode = actions[action]()

    def _store(self) -> Storage:
        return open_store(config.store_location(self.settings))

    def _init(self, store: Storage, region: str | None) -> int:
        from lastfm_crawl.httpcache.storage import probe  # noqa: PLC0415  (one command of many)

        create: Callable[[str | None], list[str]] = getattr(store, "create_bucket", lambda _: [])
        lines = create(region)
        probe(store)
        for line in lines or [f"{store.location} is there and works"]:
            self._console.print(line)
        if lines:
            self._console.print("Reading what has moved to class ARCHIVE costs: `scrapy store pack` before it does.")
        return int(Exit.COMPLETE)

    def _check(self, store: Storage) -> int:
        from lastfm_crawl.httpcache.storage import probe  # noqa: PLC0415
        from lastfm_crawl.httpcache.upkeep import holdings  # noqa: PLC0415

        lacking: Callable[[], list[str]] = getattr(store, "missing_permissions", list)
        if missing := lacking():
            raise StoreError(f"{store.location}: the credentials lack {', '.join(missing)}")
        probe(store)
        self._console.print(f"{store.location} can be written, read and deleted from")
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("")
        for title in ("objects", "MB"):
            table.add_column(title, justify="right")
        for name, held in holdings(store).items():
            table.add_row(name, f"{held.objects:,}", f"{held.size / 1e6:,.1f}")
        self._console.print(table)
        return int(Exit.COMPLETE)

    def _verify(self, store: Storage) -> int:
        from lastfm_crawl.httpcache.upkeep import verify  # noqa: PLC0415

        faults = 0
        with working("verifying", self._count(store, "requests/", "archive/")) as advance:
            for line in verify(store, key_of, advance):
                faults += 1
                if faults <= SHOWN:
                    self._console.print(line)
        return self._outcome("everything is as it should be", faults, "things are wrong")

    def _copy(self, source: Storage, target: Storage) -> int:
        from lastfm_crawl.httpcache.upkeep import copy  # noqa: PLC0415

        with working("copying", self._count(source, "")) as advance:
            done = copy(source, target, advance)
        for line in done.faults[:SHOWN]:
            self._console.print(line)
        return self._outcome(
            f"{done.copied:,} copied, {done.there:,} were there", len(done.faults), "could not be copied"
        )

    def _pack(self, store: Storage, method: str | None, compression: Any) -> int:
        from lastfm_crawl.httpcache.packs import pack  # noqa: PLC0415

        with working("packing", None) as advance:
            done = pack(store, method, compression, advance, NOT_FOR_EVER)
        for line in done.faults[:SHOWN]:
            self._console.print(line)
        said = f"{done.packed:,} answers packed, {done.unchanged:,} were packed before"
        return self._outcome(said, len(done.faults), "could not be packed")

    @staticmethod
    def _count(store: Storage, *prefixes: str) -> int:
        return sum(1 for prefix in prefixes for _ in store.entries(prefix))

    def _outcome(self, said: str, faults: int, what: str) -> int:
        if not faults:
            self._console.print(said)
            return int(Exit.COMPLETE)
        self.end(Exit.LOSSES, f"{faults:,} {what}" + (f", of which {SHOWN} are shown" if faults > SHOWN else ""))
        return int(Exit.LOSSES)


def _existing(store: Storage) -> Storage:
    """*store*, unless it is a folder that is not there: a mistyped path would look like an empty store."""
    root = getattr(store, "root", None)
    if root is not None and not root.is_dir():
        raise StoreError(f"there is no folder {root}")
    return store


def key_of(method: str, params: Mapping[str, str]) -> str | None:
    """Where the answer to a question belongs; None for services that have no say in it."""
    service = service_of(method)
    if service is None:
        return None
    try:
        return str(service.call_of(method, params).store_key)
    except (KeyError, ValueError):
        return f"requests/{method}/(no such question)"
