"""The way of requests that take a proxy: it is put on the wire only, for its address may hold a password."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from lastfm_crawl.config import secret
from lastfm_crawl.services import SERVICES

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings


class _Proxy(NamedTuple):
    url: str
    authorization: str | None


class Proxies:
    """The proxies of the services that have one, by the host that is asked (pages and robots.txt alike)."""

    def __init__(self, settings: BaseSettings) -> None:
        self._by_host: dict[str, _Proxy] = {}
        for service in SERVICES.values():
            if service.proxy and (url := secret(service.proxy)):
                self._by_host[urlsplit(settings[service.url_setting]).hostname or ""] = _read(url)

    def route(self, request: Request) -> Request:
        """*request*, or a copy of it that goes through its host's proxy."""
        proxy = self._by_host.get(urlsplit(request.url).hostname or "")
        if proxy is None:
            return request
        sent = request.replace(meta={**request.meta, "proxy": proxy.url})
        if proxy.authorization:
            sent.headers["Proxy-Authorization"] = proxy.authorization
        return sent


def _read(url: str) -> _Proxy:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    authorization = f"Basic {b64encode(credentials.encode()).decode()}" if credentials else None
    return _Proxy(urlunsplit((parts.scheme, host, "", "", "")), authorization)
