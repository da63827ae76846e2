"""How Last.fm's API talks: build a call, sign its URL, read an answer, say what an error means. Pure: no I/O.

Shapes, limits and error meanings are those of the API documentation (https://www.last.fm/api) and of recorded
answers: an automatic conversion of XML, in which numbers are strings and a list may come as a list, as its only
element, as an empty string, or not at all. All of these are normal here, never exceptions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from lastfm_crawl.httpcache.keys import request_key
from lastfm_crawl.items import (
    FriendsPage,
    Page,
    Profile,
    ProfilePage,
    TopArtistsPage,
    UserMark,
    user_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PERIODS = ("overall", "7day", "1month", "3month", "6month", "12month")
#: Rows a page of a top list may have (more: HTTP 400, error 6 ``limit param out of bounds (1-1000)``).
MAX_LIMIT = 1000
#: Friends a page: the largest size known to be in use by a big client; the real bound is not documented.
FRIENDS_LIMIT = 500

DAY = 86_400
#: Seconds for which a profile is kept; every other good answer is kept for ever.
PROFILE_TTL = DAY
#: Seconds for which "no such user", "private" and "no friends" are believed.
NEGATIVE_TTL = 30 * DAY


@dataclass(frozen=True, slots=True)
class Call:
    """One question to Last.fm: the method, the user, and the parameters without key and format, sorted by name."""

    method: str
    user: str
    params: tuple[tuple[str, str], ...] = ()

    @property
    def all_params(self) -> dict[str, str]:
        """Every parameter but key, format and method: what the envelope records."""
        return {**dict(self.params), "user": self.user}

    @property
    def list_params(self) -> str:
        """The parameters that name the list this is a page of: ``limit=1000,period=overall``."""
        return ",".join(f"{k}={v}" for k, v in self.params if k != "page")

    @property
    def page(self) -> int:
        """Which page is asked for, from 1."""
        return int(dict(self.params).get("page", 1))

    @property
    def store_key(self) -> str:
        """Where the answer is stored: ``requests/{method}/{user}/{params}.json.gz``."""
        return request_key((self.method, user_key(self.user)), dict(self.params))

    def url(self, api: str) -> str:
        """The keyless URL below *api*, parameters sorted: the same call always has the same URL."""
        params = {**self.all_params, "format": "json", "method": self.method}
        parts = urlsplit(api)
        return urlunsplit(parts._replace(query=urlencode(sorted(params.items()))))


def get_info(user: str) -> Call:
    """The profile of *user*."""
    return Call("user.getInfo", user)


def get_friends(user: str, page: int = 1) -> Call:
    """A page of the friends of *user*."""
    return Call("user.getFriends", user, (("limit", str(FRIENDS_LIMIT)), ("page", str(page))))


def get_top_artists(user: str, page: int = 1, *, period: str = "overall", limit: int = MAX_LIMIT) -> Call:
    """A page of *limit* (1 to 1000) of the artists that *user* played most in *period*."""
    return Call("user.getTopArtists", user, (("limit", str(limit)), ("page", str(page)), ("period", period)))


def signed(url: str, key: str) -> str:
    """*url* with the API key: for the wire only."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ("api_key", key)])))


# --- what an error means ----------------------------------------------------------------------------------------


class Action(Enum):
    """What the crawler does about an answer that is no page."""

    RETRY = "ask again after a pause"
    RETRY_SMALLER = "ask again after a pause; a big page may never come, a smaller one may"
    SLOW_DOWN = "slow the whole host down, then ask again"
    CONFIRM = "ask once more; only when the answer is the same is it believed and recorded on the user"
    RECORD = "record it on the user and go on"
    DENIED = "record it on the user; repeated without a good answer between, it is the key: stop"
    STOP_KEY = "the key is refused: stop at once"
    STOP_FAULT = "this program asked wrongly: stop at once"


class Rule(NamedTuple):
    """What an error means: what to do, and the status that a user gets if it is recorded."""

    action: Action
    status: str = "error"


#: By code, as listed at https://www.last.fm/api/errorcodes and met by others. Code 6 is told apart by its message.
ERRORS: dict[int, Rule] = {
    1: Rule(Action.RETRY_SMALLER),  # unexpected server error, in no official list
    2: Rule(Action.RETRY),  # service offline
    3: Rule(Action.STOP_FAULT),  # invalid method
    4: Rule(Action.DENIED),  # authentication failed
    5: Rule(Action.STOP_FAULT),  # invalid format
    7: Rule(Action.RECORD),  # invalid resource
    8: Rule(Action.RETRY_SMALLER),  # operation failed
    9: Rule(Action.DENIED),  # invalid session key
    10: Rule(Action.STOP_KEY),  # invalid API key
    11: Rule(Action.RETRY),  # service offline
    13: Rule(Action.STOP_FAULT),  # invalid method signature
    14: Rule(Action.DENIED),  # token not authorised
    15: Rule(Action.DENIED),  # token expired
    16: Rule(Action.RETRY_SMALLER),  # temporarily unavailable
    17: Rule(Action.RECORD, "private"),  # login required: the user hides this
    26: Rule(Action.STOP_KEY),  # API key suspended
    27: Rule(Action.STOP_FAULT),  # deprecated method
    29: Rule(Action.SLOW_DOWN),  # rate limit exceeded
}
#: Code 6 by what its message says, in order; lower case.
MESSAGES_OF_6: tuple[tuple[str, Rule], ...] = (
    ("user not found", Rule(Action.CONFIRM, "not_found")),
    ("no user with that name", Rule(Action.CONFIRM, "not_found")),  # 2013
    ("invalid user supplied", Rule(Action.CONFIRM, "not_found")),  # 2013
    ("out of bounds", Rule(Action.STOP_FAULT)),
    ("parameter", Rule(Action.STOP_FAULT)),
)
#: By HTTP status, for answers without a code that says more.
STATUSES: dict[int, Rule] = {
    401: Rule(Action.DENIED),
    403: Rule(Action.DENIED),
    429: Rule(Action.SLOW_DOWN),
}
_SERVER_ERROR = Rule(Action.RETRY_SMALLER)
_BROKEN = Rule(Action.RETRY)
_UNKNOWN_CODE = Rule(Action.RECORD)
_NO_SUCH_PAGE = "no such page"


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is no page. ``kind`` is short and stable, for counting: ``error_8``, ``wrong_user``."""

    rule: Rule
    kind: str
    message: str


def rule_for(code: int | None, status: int, message: str) -> Rule:
    """What an error means, judged by the body's code first and by the HTTP status after that."""
    if code == 6:
        lowered = message.lower()
        for text, rule in MESSAGES_OF_6:
            if text in lowered:
                return rule
        return Rule(Action.CONFIRM, "not_found") if status == 404 else _UNKNOWN_CODE
    if code is not None and code in ERRORS:
        return ERRORS[code]
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return _SERVER_ERROR
    return _UNKNOWN_CODE if code is not None else _BROKEN


# --- the shapes on the wire -------------------------------------------------------------------------------------


class _Paging(msgspec.Struct, gc=False):
    user: str | None = None
    perPage: int | None = None  # noqa: N815  (Last.fm's name)
    total: int | None = None
    totalPages: int | None = None  # noqa: N815


class _Registered(msgspec.Struct, gc=False):
    unixtime: int | None = None


class _User(msgspec.Struct):
    name: str | None = None
    realname: str | None = None
    country: str | None = None
    url: str | None = None
    playcount: int | None = None
    registered: _Registered | str | None = None


class _Rank(msgspec.Struct, gc=False):
    rank: int | None = None


class _Artist(msgspec.Struct):
    name: str | None = None
    playcount: int | None = None
    attr: _Rank | None = msgspec.field(name="@attr", default=None)


class _List(msgspec.Struct):
    attr: _Paging | None = msgspec.field(name="@attr", default=None)
    user: list[_User] | _User | str | None = None
    artist: list[_Artist] | _Artist | str | None = None
    # Empty lists of 2013 had the paging here, beside "#text", instead of in "@attr".
    perPage: int | None = None  # noqa: N815
    total: int | None = None
    totalPages: int | None = None  # noqa: N815


class _Answer(msgspec.Struct):
    error: int | None = None
    message: Any = None
    user: _User | None = None
    friends: _List | None = None
    topartists: _List | None = None


_decode = msgspec.json.Decoder(_Answer, strict=False).decode
_NUMBERS = frozenset({"error", "perPage", "playcount", "rank", "total", "totalPages", "unixtime"})
_BOM = b"\xef\xbb\xbf"


def _parse(body: bytes) -> _Answer:
    """The typed answer. Raises ValueError for what is no JSON object, or one of other shapes than ours."""
    body = body.removeprefix(_BOM)
    try:
        return _decode(body)
    except msgspec.DecodeError:
        # Not as it should be: a number that is none, or half a surrogate pair. Rare, so this way may be slow.
        return msgspec.convert(_repaired(json.loads(body)), _Answer, strict=False)


def _repaired(value: Any) -> Any:
    """*value* without the numbers that are none and the half surrogate pairs that no database takes."""
    if isinstance(value, dict):
        return {
            k: _number(v) if k in _NUMBERS and not isinstance(v, (dict, list)) else _repaired(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_repaired(element) for element in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _number(value: Any) -> int | None:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def as_list(value: Any) -> list[Any]:
    """A list that may have come as its only element, as an empty string, or not at all."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, str) else [value]


def _text(value: str | None) -> str | None:
    return value or None


def _profile(user: _User) -> Profile:
    registered = user.registered
    return Profile(
        name=user.name or "",
        realname=_text(user.realname),
        # "None" is how Last.fm says that no country is set.
        country=None if user.country == "None" else _text(user.country),
        url=_text(user.url),
        playcount=user.playcount,
        registered_at=(registered.unixtime or None) if isinstance(registered, _Registered) else None,
    )


def _paging(listing: _List) -> _Paging:
    if listing.attr is not None:
        return listing.attr
    user = listing.user if isinstance(listing.user, str) else None
    return _Paging(user, listing.perPage, listing.total, listing.totalPages)


def _list_fields(call: Call, paging: _Paging, rows: int) -> dict[str, Any]:
    """The fields that all pages of lists share; a missing figure is derived from the others."""
    total, pages, per_page = paging.total, paging.totalPages, paging.perPage
    if pages is None:
        pages = -(-total // per_page) if total is not None and per_page else call.page
    return {
        "method": call.method,
        "user": call.user,
        "params": call.list_params,
        "page": call.page,
        "pages": pages,
        "total": total if total is not None else rows,
        "received": rows,
    }


def _read_profile(call: Call, answer: _Answer) -> ProfilePage | None:
    if answer.user is None or not answer.user.name:
        return None
    return ProfilePage(
        method=call.method,
        user=call.user,
        params=call.list_params,
        total=1,
        received=1,
        profile=_profile(answer.user),
    )


def _read_friends(call: Call, answer: _Answer) -> FriendsPage | None:
    if answer.friends is None:
        return None
    listing = answer.friends
    rows = as_list(listing.user)
    return FriendsPage(
        **_list_fields(call, _paging(listing), len(rows)),
        friends=tuple(_profile(row) for row in rows),
    )


def _read_top_artists(call: Call, answer: _Answer) -> TopArtistsPage | None:
    if answer.topartists is None:
        return None
    listing = answer.topartists
    rows = as_list(listing.artist)
    params = dict(call.params)
    return TopArtistsPage(
        **_list_fields(call, _paging(listing), len(rows)),
        period=params["period"],
        ranks=_ranks(rows, (call.page - 1) * int(params["limit"]) + 1),
        names=[row.name or "" for row in rows],
        playcounts=[row.playcount or 0 for row in rows],
    )


def _ranks(rows: list[_Artist], first: int) -> Sequence[int]:
    """The ranks that the rows say, or their places in the list when one of them says none."""
    ranks = [row.attr.rank for row in rows if row.attr is not None and row.attr.rank is not None]
    return ranks if len(ranks) == len(rows) else range(first, first + len(rows))


_READERS: dict[str, Callable[[Call, _Answer], Page | None]] = {
    "user.getInfo": _read_profile,
    "user.getFriends": _read_friends,
    "user.getTopArtists": _read_top_artists,
}


def read(call: Call, status: int, body: bytes) -> Page | Problem:
    """The page that *body* holds (without its ``fetched_at``), or what is wrong with it. Never raises.

    "no such page" is a page: an empty list of friends, or the end of a list that grew shorter.
    """
    try:
        answer = _parse(body)
    except (ValueError, RecursionError) as exc:
        if (rule := rule_for(None, status, "")) is not _BROKEN:
            return Problem(rule, f"http_{status}", f"HTTP {status}")
        kind = "broken_body" if status == 200 else f"http_{status}"
        return Problem(_BROKEN, kind, f"HTTP {status}, no JSON that we know: {exc}")
    if answer.error is not None:
        return _read_error(call, status, answer)
    page = _READERS[call.method](call, answer) if status < 400 else None
    if page is None:
        rule = rule_for(None, status, "")
        return Problem(rule, "no_list" if status < 400 else f"http_{status}", f"HTTP {status} without the list")
    named = _named_user(answer)
    if named and user_key(named) != user_key(call.user):
        return Problem(_BROKEN, "wrong_user", "the answer is another user's")
    return page


def _read_error(call: Call, status: int, answer: _Answer) -> Page | Problem:
    code = answer.error
    message = answer.message if isinstance(answer.message, str) else ""
    if code == 6 and call.method == "user.getFriends" and _NO_SUCH_PAGE in message.lower():
        fields = _list_fields(call, _Paging(total=0, totalPages=call.page - 1), 0)
        return FriendsPage(**fields)
    return Problem(rule_for(code, status, message), f"error_{code}", f"error {code}: {message}".strip())


def _named_user(answer: _Answer) -> str | None:
    if answer.user is not None:
        return answer.user.name
    listing = answer.friends or answer.topartists
    return _paging(listing).user if listing else None


def mark(call: Call, problem: Problem) -> UserMark:
    """What a confirmed *problem* says of the user who was asked for."""
    return UserMark(
        method=call.method,
        user=call.user,
        params=call.list_params,
        page=call.page,
        status=problem.rule.status,
        detail=problem.message,
    )


def time_to_live(call: Call, answer: Page | Problem) -> int | None:
    """For how many seconds the store keeps *answer*; None is for ever."""
    if isinstance(answer, Problem):
        return NEGATIVE_TTL
    if call.method == "user.getInfo":
        return PROFILE_TTL
    return NEGATIVE_TTL if isinstance(answer, FriendsPage) and answer.pages < answer.page else None


def list_is_complete(pages_done: Iterable[int], pages: int) -> bool:
    """Whether *pages_done* are all pages of a list of *pages* (an empty list has one answer)."""
    return set(range(1, max(pages, 1) + 1)) <= set(pages_done)
