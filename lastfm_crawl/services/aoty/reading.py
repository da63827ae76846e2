"""Bytes in, an item or a problem out; also what comes from files instead of the site: saved pages and CSV tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import AotyAlbum, AotyAlbumPage, AotyListPage, AotyRow, name_fault
from lastfm_crawl.services.aoty.album import WrongPageError, read_album
from lastfm_crawl.services.aoty.calls import album_url, page_of
from lastfm_crawl.services.aoty.challenge import is_challenge, refusal
from lastfm_crawl.services.aoty.lists import read_rows
from lastfm_crawl.services.aoty.page import MAX_COUNT, Html, clean, number, precision, released
from lastfm_crawl.services.problems import Action, Problem, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lastfm_crawl.items import Answered
    from lastfm_crawl.services.aoty.calls import Call

_DAY = 86_400
#: Seconds for which a page is kept: scores move slowly, and the site may not let us in again.
GOOD_TTL = 90 * _DAY
#: Seconds for which "no such page" and a list without albums are believed.
NEGATIVE_TTL = 7 * _DAY

#: What is read of a table of albums.
CSV_COLUMNS = ("title", "artist", "release_date", "genres", "user_score", "rating_count", "album_link")

#: By HTTP status; what is not listed and below 500 is recorded as an error, and asked for again by the next run.
STATUSES: dict[int, Rule] = {
    404: Rule(Action.RECORD, "not_found"),
    410: Rule(Action.RECORD, "not_found"),
    429: Rule(Action.SLOW_DOWN),
}
_REFUSED = Rule(Action.RECORD)
_BROKEN = Rule(Action.RETRY)


def read(call: Call, status: int, body: bytes) -> Answered | Problem:
    """What *body* holds (without its ``fetched_at``), or what is wrong with it. Never raises."""
    if refused := refusal(status, {}, body):
        return refused
    if not 200 <= status < 300:
        rule = STATUSES.get(status, _BROKEN if status >= 500 else _REFUSED)
        return Problem(rule, "not_found" if rule.status == "not_found" else f"http_{status}", f"HTTP {status}")
    if b"</html" not in body[-1000:].lower():
        return Problem(_BROKEN, "broken_body", f"HTTP {status}, half a page")
    html = Html(body)
    if call.method == "aoty.album":
        try:
            album = read_album(html, call.id)
        except WrongPageError as exc:
            return Problem(_REFUSED, "wrong_page", f"HTTP {status}, but {exc}")
        return AotyAlbumPage(**_lookup(call), asked=call.id, received=1, album=album)
    rows, received, skipped = read_rows(html)
    return AotyListPage(**_lookup(call), page=call.page, received=received, skipped=skipped, rows=tuple(rows))


def mark(call: Call, problem: Problem) -> AotyAlbumPage | AotyListPage:
    """What a confirmed *problem* says of what was asked for."""
    if call.method == "aoty.album":
        return AotyAlbumPage(**_lookup(call), asked=call.id, status=problem.rule.status)
    return AotyListPage(**_lookup(call), page=call.page, status=problem.rule.status)


def time_to_live(call: Call, answer: Answered | Problem) -> int:  # noqa: ARG001  (what Service asks for)
    """For how many seconds the store keeps *answer*."""
    return NEGATIVE_TTL if isinstance(answer, Problem) or not answer.received else GOOD_TTL


def _lookup(call: Call) -> dict[str, Any]:
    return {"method": call.method, "params": call.list_params, "subject": call.subject}


def read_saved(body: bytes) -> AotyAlbum | tuple[AotyRow, ...] | None:
    """The album of a saved page, or the rows of a saved list; None for any other file. Never raises."""
    if is_challenge(200, {}, body):
        return None
    html = Html(body)
    try:
        return read_album(html)
    except WrongPageError:
        return tuple(read_rows(html)[0]) or None


def read_csv_row(row: Mapping[str, str | None]) -> AotyAlbum | None:
    """An album of a table of albums with their users' scores; None without a title or an album's address.

    The columns are :data:`CSV_COLUMNS`: a ``release_date`` is ``March 15, 2015``, ``genres`` have commas between, a
    ``rating_count`` is ``28,594 ratings``, and ``album_link`` is an address. An ``id`` there is a rank: not looked at.
    """
    said = {name: clean(row.get(name)) for name in CSV_COLUMNS}
    page = page_of("album", said["album_link"])
    if page is None or name_fault(said["title"]):
        return None
    rejected = []
    score, count = number(said["user_score"]), number(said["rating_count"])
    if said["user_score"] and (score is None or not 0 <= score <= 100):
        rejected.append(f"user_score: out of range ({said['user_score'][:40]!r})")
        score = None
    if said["rating_count"] and (count is None or not 0 <= count <= MAX_COUNT):
        rejected.append(f"user_count: out of range ({said['rating_count'][:40]!r})")
        count = None
    released_on = released(said["release_date"])
    album = AotyAlbum(
        id=page[0],
        url=album_url(*page),
        title=said["title"],
        artists=() if name_fault(said["artist"]) else (said["artist"],),
        user_score=score,
        user_count=count,
        genres=tuple(genre for text in said["genres"].split(",") if (genre := text.strip()) and not name_fault(genre)),
        release_date=released_on,
        release_precision=precision(released_on) if released_on else None,
        era="csv",
        rejected=tuple(rejected),
    )
    fields = ("title", "artists", "user_score", "user_count", "genres", "release_date")
    return album._replace(origins={name: "csv" for name in fields if getattr(album, name) not in {None, ()}})
