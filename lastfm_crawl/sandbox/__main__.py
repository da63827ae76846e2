"""Run the sandbox by itself: ``python -m lastfm_crawl.sandbox``; ends silently on SIGINT and SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lastfm_crawl.sandbox.faults import Faults
from lastfm_crawl.sandbox.server import Sandbox
from lastfm_crawl.sandbox.world import World, demo_world, hetrec_world, scrobbles_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments, build the world, serve until told to stop."""
    parent = os.getppid()  # first of all: it may be gone before we listen
    _on_stop(lambda: sys.exit(0))
    options = _parser().parse_args(arguments)
    faults = Faults(rate=options.fault_rate, seed=options.fault_seed, latency=options.latency)
    try:
        sandbox = Sandbox(_world(options), faults, unwrap_single=options.unwrap_single)
        asyncio.run(_serve(sandbox, options.port, parent if options.with_parent else None))
    except (OSError, OverflowError, ValueError) as error:  # no such folder, no users, port taken or none
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    return 0


def _world(options: argparse.Namespace) -> World:
    if options.hetrec:
        return hetrec_world(options.hetrec)
    return scrobbles_world(options.scrobbles) if options.scrobbles else demo_world(options.users, options.seed)


async def _serve(sandbox: Sandbox, port: int, parent: int | None) -> None:
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    await sandbox.start(port=port)
    _on_stop(lambda: loop.call_soon_threadsafe(end.set))
    print(f"listening on {sandbox.url}", flush=True)
    watch = asyncio.create_task(_until_orphan(parent, end)) if parent else None
    await end.wait()
    _on_stop(lambda: None)  # a second signal changes nothing
    if watch:
        watch.cancel()
    await sandbox.stop()


async def _until_orphan(parent: int, end: asyncio.Event) -> None:
    """Set the event when the parent is gone: an orphan gets another parent."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.25)
    end.set()


def _on_stop(act: Callable[[], object]) -> None:
    def handle(_signal: int, _frame: FrameType | None) -> None:
        act()

    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, handle)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lastfm_crawl.sandbox", description="A local Last.fm to crawl.")
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--users", type=int, default=300, help="size of the demo world (default 300)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the demo world (default 7)")
    parser.add_argument("--hetrec", type=Path, metavar="DIR", help="serve the HetRec 2011 data instead of the demo")
    parser.add_argument("--scrobbles", type=Path, metavar="DIR", help="serve the histories in DIR/*.tsv instead")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of faulty answers, 0 to 1 (default 0)")
    parser.add_argument("--fault-seed", type=int, default=0, help="which answers are faulty (default 0)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds before every answer")
    parser.add_argument("--unwrap-single", action="store_true", help="send lists of one as bare objects")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
