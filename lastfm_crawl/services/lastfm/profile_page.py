"""What the site says of a profile page: that it is there, that it is not, or nothing that can be relied on.

Asked with HEAD, so there is no body to read. It is not the API's word: no status follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.items import ProfileCheck
from lastfm_crawl.services.lastfm.calls import DAY, PAGE_METHOD, PageCall
from lastfm_crawl.services.problems import Action, Problem, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lastfm_crawl.items import Answered

#: Seconds for which an answer is kept, whichever it is: people come and go.
PAGE_TTL = DAY

_GONE = Rule(Action.CONFIRM, "not_found")
_NO_VERDICT = Rule(Action.REPHRASE)


def call_of(method: str, params: Mapping[str, str]) -> PageCall:
    """The question whose *method* and *params* an envelope records. Raises KeyError when they name no user, and
    ValueError for another method.
    """
    if method != PAGE_METHOD:
        raise ValueError(f"{method} is no method that we know")
    return PageCall(method, params["user"])


def read(call: PageCall, status: int, body: bytes) -> ProfileCheck | Problem:  # noqa: ARG001  (what Service asks for)
    """That there is a page, or why we do not know. Never raises."""
    if status == 200:
        return _check(call, total=1)
    return Problem(_GONE if status == 404 else _NO_VERDICT, f"page_{status}", f"HTTP {status}")


def mark(call: PageCall, problem: Problem) -> ProfileCheck:  # noqa: ARG001
    """That there is no page."""
    return _check(call, total=0)


def time_to_live(call: PageCall, answer: Answered | Problem) -> int:  # noqa: ARG001
    """For how many seconds the store keeps *answer*."""
    return PAGE_TTL


def _check(call: PageCall, *, total: int) -> ProfileCheck:
    return ProfileCheck(method=call.method, user=call.user, params=call.list_params, total=total)
