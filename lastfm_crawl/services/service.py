"""What the rest of the house may know of a web service: how its questions look, and how its answers are read."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lastfm_crawl.items import Answered
    from lastfm_crawl.services.problems import Problem


class Call(Protocol):
    """One question. The same question always has the same URL, and the same place in the store."""

    @property
    def method(self) -> str:
        """What is asked for, ``user.getInfo`` or ``spotify.search``: what is before the dot says whom."""

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter but credentials and format: what the envelope records."""

    @property
    def store_key(self) -> str:
        """Where the answer is stored."""

    def url(self, api: str) -> str:
        """The URL below *api*, without any credentials."""

    def __str__(self) -> str:
        """The question in a few words, for people."""


@dataclass(frozen=True, slots=True)
class Service:
    """A web service. Its functions are pure, and none of them raises but as it says."""

    title: str
    #: The setting with the base URL.
    url_setting: str
    #: What to look at when the service refuses us.
    credentials: str
    #: The question whose method and parameters an envelope records. Raises KeyError and ValueError.
    call_of: Callable[[str, Mapping[str, str]], Any]
    #: What an answer holds (call, HTTP status, body), without its time.
    read: Callable[[Any, int, bytes], Answered | Problem]
    #: What a problem that is a result says of the subject of the call.
    mark: Callable[[Any, Problem], Answered]
    #: For how many seconds the store keeps an answer; None is for ever.
    time_to_live: Callable[[Any, Answered | Problem], float | None]
    _: KW_ONLY
    #: Why an answer (HTTP status, headers, body) is none but a refusal to be asked at all; None where it is not.
    refusal: Callable[[int, Mapping[str, str], bytes], Problem | None] | None = None
    #: The secret or setting by whose value the service counts our requests; "" where it goes by where they come from.
    account: str = ""
    #: The secret that may hold the URL of a proxy.
    proxy: str = ""
    #: Seconds that a run waits at most when the service says how long; a longer wait ends the run.
    longest_wait: float = 3600.0
    #: Seconds to wait after a rate limit that names none, doubled with each; 0 leaves it to the pace.
    blind_wait: float = 0.0
    #: Whether it is a site of pages, whose robots.txt is obeyed; an API has none to obey.
    robots: bool = False
