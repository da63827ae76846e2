"""Faults on demand: what goes wrong with a call, and when.

In: the method, user and parameters of a call. Out: the kind of fault that its answer gets, or None. A fault
depends on the seed, the identity of the request and the number of the attempt, so the order in which calls
come does not matter. No request gets more than ``most_in_a_row`` random faults in a row, so every crawl that
repeats comes to an end. (One exception on both counts: see ``Faults._may_lose``.)
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ERROR_KINDS = tuple(f"error_{code}_{status}" for code in (8, 11, 16) for status in (500, 200))
ALL_KINDS = (
    *ERROR_KINDS,
    "rate_limit",  # HTTP 429 with error 29, and Retry-After if Faults.retry_after says so
    "html_502",
    "drop",  # the connection is closed without an answer
    "truncated",  # HTTP 200, honest Content-Length, half of the JSON
    "wrong_user",  # a right-shaped answer about somebody else
    "false_404",  # "User not found" about a user who is there, once
    "slow",  # the right answer, late
)
#: What is drawn for calls to Spotify; the names that it shares with Last.fm mean the same.
SPOTIFY_KINDS = (
    "rate_limit",  # HTTP 429, and Retry-After if Faults.retry_after says so
    "rate_limit_short",  # the same with Retry-After: 1
    "rate_limit_words",  # the same with a Retry-After that is no number
    "expired_token",  # HTTP 401 to this token from now on
    "html_502",
    "drop",
    "truncated",
    "null_items",  # the right page, and a null at its end
    "slow",
)
#: The same for MusicBrainz, whose rate limit is HTTP 503.
MUSICBRAINZ_KINDS = ("rate_limit", "html_502", "drop", "truncated", "slow")
#: What is drawn for pages of albumoftheyear.org, where an error is a page, too.
AOTY_KINDS = ("rate_limit", "html_502", "drop", "truncated", "slow")
#: HTTP 200 without a body; 429 for a day; 429 without an end; 403 with a page in the place of albumoftheyear.org's.
#: Also error_<code>_<status> for any of them.
SCRIPT_ONLY_KINDS = ("empty", "rate_limit_long", "quota_exceeded", "challenge", "denied")
_OWN_KINDS = {"spotify": SPOTIFY_KINDS, "musicbrainz": MUSICBRAINZ_KINDS, "aoty": AOTY_KINDS}
_DRAWN = tuple(dict.fromkeys((*ALL_KINDS, *SPOTIFY_KINDS)))
_NOT_ASKED = ("api_key", "api_sig", "sk", "format", "method", "user")
_ERROR = re.compile(r"error_\d+_[1-5]\d\d")


@dataclass(slots=True)
class _Past:
    """What one request has met so far."""

    attempts: int = 0
    in_a_row: int = 0


@dataclass(slots=True)
class _Script:
    """Answers laid down by a test for the calls that match."""

    method: str
    user: str | None
    params: Mapping[str, str]
    kinds: Sequence[str]
    pass_first: int
    left: float  # how many faults are still to give; infinite for a permanent script
    limit_above: int
    given: int = 0

    def matches(self, method: str, user: str, params: Mapping[str, str]) -> bool:
        return (
            self.left > 0
            and self.method in {"*", method}
            and self.user in {None, user}
            and _limit(params) > self.limit_above
            and all(params.get(name) == value for name, value in self.params.items())
        )


@dataclass
class Faults:
    """Decides about every call; one object may serve several runs, and remembers what each one met."""

    rate: float = 0.0
    kinds: Sequence[str] = ALL_KINDS  # of Last.fm; the other services have their own
    seed: int = 0
    latency: float = 0.0  # seconds before every answer
    slow: float = 0.2  # seconds more for the kind "slow"
    most_in_a_row: int = 3
    retry_after: int | None = None  # seconds; real answers carried none so far
    _past: dict[str, _Past] = field(default_factory=dict, init=False, repr=False)
    _lost: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False)
    _scripts: list[_Script] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self.kinds)

    @property
    def retry_headers(self) -> dict[str, str]:
        """The headers of an answer that says to come later."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def script(
        self,
        method: str,
        user: str | None = None,
        kinds: Sequence[str] = (),
        *,
        times: int | None = 1,
        pass_first: int = 0,
        params: Mapping[str, str] | None = None,
        limit_above: int = 0,
    ) -> None:
        """Lay down the next answers to a request: ``kinds`` in order, then normal.

        ``times`` is how often the kinds are repeated (None: for ever). ``method="*"`` is any method,
        ``user=None`` any user; ``params`` narrows it, for example to one page, and ``limit_above`` to big pages
        (of more rows than that: with ``times=None`` an account whose big pages never come); ``pass_first`` lets
        that many matching calls through before it starts.
        """
        _check(kinds, script=True)
        if not kinds:
            raise ValueError("a script needs at least one kind")
        left = float("inf") if times is None else times * len(kinds)
        whom = None if user is None else user.lower()
        script = _Script(method.lower(), whom, dict(params or {}), tuple(kinds), pass_first, left, limit_above)
        with self._lock:
            self._scripts.append(script)

    def next(self, method: str, user: str, params: Mapping[str, str]) -> str | None:
        """Say what goes wrong with this call, and remember that it was made."""
        method, user = method.lower(), user.lower()
        with self._lock:
            scripted = self._scripted(method, user, params)
            if scripted:
                return scripted
            kinds = _OWN_KINDS.get(method.partition(".")[0], self.kinds)
            return self._drawn(method, user, params, kinds) if self.rate > 0 and kinds else None

    def _scripted(self, method: str, user: str, params: Mapping[str, str]) -> str | None:
        for script in self._scripts:
            if not script.matches(method, user, params):
                continue
            if script.pass_first > 0:
                script.pass_first -= 1
                continue
            kind = script.kinds[script.given % len(script.kinds)]
            script.given += 1
            script.left -= 1
            return kind
        return None

    def _drawn(self, method: str, user: str, params: Mapping[str, str], kinds: Sequence[str]) -> str | None:
        request = identity(method, user, params)
        past = self._past.setdefault(request, _Past())
        past.attempts += 1
        rng = Random(f"{self.seed} {request} {past.attempts}")
        fault = rng.random() < self.rate and past.in_a_row < self.most_in_a_row
        kind = rng.choice(kinds) if fault else None
        if kind == "false_404" and not self._may_lose(method, user):
            kind = None
        past.in_a_row = past.in_a_row + 1 if kind else 0
        return kind

    def _may_lose(self, method: str, user: str) -> bool:
        """Allow one false "not found" per user and method.

        None to a getInfo after another method had one: that call is there to confirm the first. Of two pages
        of one list that draw it, the one that comes first has it: here alone the order of arrival counts.
        """
        if (method, user) in self._lost:
            return False
        if method == "user.getinfo" and any(who == user for _, who in self._lost):
            return False
        self._lost.add((method, user))
        return True


def _limit(params: Mapping[str, str]) -> int:
    limit = params.get("limit", "")
    return int(limit) if limit.isdecimal() else 50


def identity(method: str, user: str, params: Mapping[str, str]) -> str:
    """Name a request by what it asks for, not by who asks or in which order the parameters stand."""
    rest = "&".join(f"{name}={params[name]}" for name in sorted(params) if name not in _NOT_ASKED)
    return f"{method.lower()}?user={user.lower()}&{rest}"


def error_of(kind: str) -> tuple[int, int] | None:
    """Give (code, HTTP status) of a kind like ``error_8_500``."""
    if not _ERROR.fullmatch(kind):
        return None
    _, code, status = kind.split("_")
    return int(code), int(status)


def _check(kinds: Sequence[str], *, script: bool = False) -> None:
    for kind in kinds:
        if kind not in _DRAWN and not (script and (kind in SCRIPT_ONLY_KINDS or error_of(kind))):
            raise ValueError(f"unknown kind of fault: {kind}; there are {', '.join(_DRAWN)}")
