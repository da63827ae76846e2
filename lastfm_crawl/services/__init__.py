"""The web services, each by what its methods begin with. Pure: bytes in, items out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.services import aoty, lastfm, musicbrainz, spotify

if TYPE_CHECKING:
    from lastfm_crawl.services.service import Service

#: What the methods of Last.fm begin with: what each is about. All of them are of the service ``user``.
_LASTFM = ("user", "track")

SERVICES: dict[str, Service] = {
    "user": lastfm.SERVICE,
    "spotify": spotify.SERVICE,
    "musicbrainz": musicbrainz.SERVICE,
    "aoty": aoty.SERVICE,
}


def folder_of(method: str) -> str:
    """The folder of the store that holds the answers of *method*: Last.fm's are named after it, ``spotify.search`` is
    ``spotify/search``.
    """
    return method if name_of(method) == "user" else method.replace(".", "/")


def method_at(key: str) -> str:
    """The method whose answer is at *key* (``requests/…`` or ``archive/…``); "" where there is none."""
    _, service, *rest = [*key.split("/", 3), "", ""]
    return service if name_of(service) == "user" or len(rest) < 3 else f"{service}.{rest[0]}"


def name_of(method: str) -> str:
    """The name of the service that *method* is asked of: ``user`` for all of Last.fm's; that of a method of nobody is
    no name of :data:`SERVICES`.
    """
    name = method.partition(".")[0]
    return "user" if name in _LASTFM else name


def service_of(method: str) -> Service | None:
    """The service that *method* is asked of: ``user.getInfo`` is Last.fm's; None for a method of nobody."""
    return SERVICES.get(name_of(method))
