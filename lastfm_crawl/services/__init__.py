"""The web services by name: what their methods begin with. Pure: bytes in, items out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.services import aoty, lastfm, musicbrainz, spotify

if TYPE_CHECKING:
    from collections.abc import Callable

    from lastfm_crawl.services.service import Service

#: Last.fm's methods begin with what they are about; the service goes by the first of these.
_LASTFM = ("user", "track")

SERVICES: dict[str, Service] = {
    "user": lastfm.SERVICE,
    "page": lastfm.PAGES,
    "spotify": spotify.SERVICE,
    "musicbrainz": musicbrainz.SERVICE,
    "aoty": aoty.SERVICE,
}


def folder_of(method: str) -> str:
    """The folder of the store that holds the answers of *method*: Last.fm's are named after it, ``spotify.search`` is
    ``spotify/search``.
    """
    return method if _is_lastfms(method) else method.replace(".", "/")


def method_at(key: str) -> str:
    """The method whose answer is at *key* (``requests/…`` or ``archive/…``); "" where there is none."""
    _, service, *rest = [*key.split("/", 3), "", ""]
    return service if _is_lastfms(service) or len(rest) < 3 else f"{service}.{rest[0]}"


def user_at(key: str) -> str:
    """The part of *key* (``requests/…`` or ``archive/…``) that names whom the answer there is about; "" for nobody."""
    _, service, *rest = [*key.split("/"), "", "", ""]
    if service.startswith("user."):
        return rest[0]
    return rest[1] if service == "spotify" and f"spotify.{rest[0]}" in spotify.PERSONAL else ""


def redacted(method: str, body: bytes, is_gone: Callable[[str], bool]) -> tuple[bytes, int]:
    """*body*, an answer of *method* about somebody else, without the entries of those whose name *is_gone*; how many
    these were.
    """
    return lastfm.without_friends(body, is_gone) if method == "user.getFriends" else (body, 0)


def name_of(method: str) -> str:
    """The name of the service that *method* is asked of: ``user`` for all that Last.fm's API has, ``page`` for its
    site; that of a method of nobody is no name of :data:`SERVICES`.
    """
    if method == lastfm.PAGE_METHOD:
        return "page"
    return "user" if _is_lastfms(method) else method.partition(".")[0]


def service_of(method: str) -> Service | None:
    """The service that *method* is asked of: ``user.getInfo`` is Last.fm's; None for a method of nobody."""
    return SERVICES.get(name_of(method))


def _is_lastfms(method: str) -> bool:
    return method.partition(".")[0] in _LASTFM
