"""Bytes in, an item or a problem out."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import Answered, ReleaseGroup, ReleaseGroupSearch, ReleaseLookup, name_fault
from lastfm_crawl.services.decoding import held, parse
from lastfm_crawl.services.musicbrainz.calls import is_mbid
from lastfm_crawl.services.musicbrainz.errors import BROKEN, rule_for
from lastfm_crawl.services.musicbrainz.shapes import Answer, Artist, Credit, Group, Groups, Release
from lastfm_crawl.services.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lastfm_crawl.services.musicbrainz.calls import Call

#: Seconds for which "no such release", a date that nobody knows yet, and a search are believed. Which albums are asked
#: about again, and when, is for the warehouse to say; what it asks for must then not come from the store.
RECHECK_TTL = 86_400


# --- parts --------------------------------------------------------------------------------------------------------


def read_date(text: str | None) -> tuple[int | None, int | None, int | None]:
    """Year, month and day of ``1977-10-28``, ``1977-10`` or ``1977``; ``????`` and ``??`` stand for what is not known.

    What no calendar has is not known either, and nothing is without what stands before it.
    """
    parts = [*(text or "").strip().split("-"), "", ""]
    year, month, day = (_number(part, digits) for part, digits in zip(parts, (4, 2, 2), strict=False))
    if not year:
        return None, None, None
    if month is None or not 1 <= month <= 12:
        return year, None, None
    return year, month, day if day and day <= monthrange(year, month)[1] else None


def _number(text: str, digits: int) -> int | None:
    return int(text) if len(text) == digits and text.isascii() and text.isdecimal() else None


def _credited(credits_: Sequence[Credit | None] | None) -> str:
    """An artist credit as one text: the names, and what joins them."""
    parts = [part for part in credits_ or () if part is not None]
    return held(
        "".join((part.name or (part.artist or Artist()).name or "") + (part.joinphrase or "") for part in parts)
    )


def _group(group: Group, artist: str = "") -> ReleaseGroup:
    """The row of *group*, which has an id; by *artist* when it says of nobody."""
    year, month, day = read_date(group.first_release_date)
    return ReleaseGroup(
        mbid=(group.id or "").lower(),
        title=held(group.title),
        artist=_credited(group.artist_credit) or artist,
        year=year,
        month=month,
        day=day,
        primary_type=held(group.primary_type),
        secondary_types=tuple(kind for kind in group.secondary_types or () if held(kind) and kind),
    )


def _fault(group: Group | None) -> str | None:
    """Why *group* is no candidate, or None."""
    if group is None:
        return "null"
    return name_fault(group.title or "") if is_mbid(group.id or "") else "no_id"


# --- answers ------------------------------------------------------------------------------------------------------


def _lookup(call: Call) -> dict[str, Any]:
    return {"method": call.method, "params": call.list_params, "subject": call.subject, "asked": call.asked}


def _read_release(call: Call, body: bytes) -> Answered | Answer:
    release = parse(body, Release)
    group = release.release_group
    # We asked for the group, and the id alone says where a year belongs: without either it is another answer.
    if group is None or not is_mbid(group.id or "") or not is_mbid(release.id or ""):
        return release
    return ReleaseLookup(
        **_lookup(call),
        received=1,
        release=(release.id or "").lower(),
        group=_group(group, _credited(release.artist_credit)),
    )


def _read_search(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, Groups)
    if answer.release_groups is None:
        return answer
    faults = Counter(fault for group in answer.release_groups if (fault := _fault(group)))
    groups = tuple(_group(group) for group in answer.release_groups if group is not None and not _fault(group))
    return ReleaseGroupSearch(**_lookup(call), received=len(answer.release_groups), skipped=dict(faults), groups=groups)


_READERS: dict[str, Callable[[Call, bytes], Answered | Answer]] = {
    "musicbrainz.release": _read_release,
    "musicbrainz.search": _read_search,
}


def read(call: Call, status: int, body: bytes) -> Answered | Problem:
    """What *body* holds (without its ``fetched_at``), or what is wrong with it. Never raises."""
    try:
        answer = parse(body, Answer) if status >= 400 else _READERS[call.method](call, body)
    except (ValueError, RecursionError) as exc:
        kind, rule = rule_for(call.method, status, None)
        if status < 400:
            return Problem(BROKEN, "broken_body", f"HTTP {status}, no JSON that we know: {exc}")
        return Problem(rule, kind, f"HTTP {status}")
    if isinstance(answer, Answered):
        return answer
    message = answer.error if isinstance(answer.error, str) and answer.error else None
    if status < 400 and message is None:
        return Problem(BROKEN, "no_list", f"HTTP {status} without what was asked for")
    kind, rule = rule_for(call.method, status, message)
    return Problem(rule, kind, f"HTTP {status}: {message}" if message else f"HTTP {status}")


def mark(call: Call, problem: Problem) -> ReleaseLookup | ReleaseGroupSearch:
    """What a confirmed *problem* says of what was asked for."""
    kind = ReleaseLookup if call.method == "musicbrainz.release" else ReleaseGroupSearch
    return kind(**_lookup(call), status=problem.rule.status)


def time_to_live(call: Call, answer: Answered | Problem) -> float | None:  # noqa: ARG001  (what Service asks for)
    """For how many seconds the store keeps *answer*: a dated release for ever."""
    dated = isinstance(answer, ReleaseLookup) and answer.group is not None and answer.group.year is not None
    return None if dated else RECHECK_TTL
