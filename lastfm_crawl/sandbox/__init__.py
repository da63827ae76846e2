"""A local stand-in for the web services that the project asks; see ``serve`` and ``demo_world``."""

from .faults import ALL_KINDS, Faults
from .log import LoggedRequest
from .server import Sandbox, serve
from .world import Scrobble, User, World, demo_world, hetrec_world, synthetic_world

__all__ = [
    "ALL_KINDS",
    "Faults",
    "LoggedRequest",
    "Sandbox",
    "Scrobble",
    "User",
    "World",
    "demo_world",
    "hetrec_world",
    "serve",
    "synthetic_world",
]
