"""A local stand-in for the web services that the project asks; see ``serve`` and ``demo_world``."""

from lastfm_crawl.sandbox.faults import ALL_KINDS, Faults
from lastfm_crawl.sandbox.history import History, Scrobble, long_history
from lastfm_crawl.sandbox.log import LoggedRequest
from lastfm_crawl.sandbox.server import Sandbox, serve
from lastfm_crawl.sandbox.world import User, World, demo_world, hetrec_world, scrobbles_world, synthetic_world

__all__ = [
    "ALL_KINDS",
    "Faults",
    "History",
    "LoggedRequest",
    "Sandbox",
    "Scrobble",
    "User",
    "World",
    "demo_world",
    "hetrec_world",
    "long_history",
    "scrobbles_world",
    "serve",
    "synthetic_world",
]
