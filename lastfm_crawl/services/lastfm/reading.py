"""Bytes in, a page or a problem out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from lastfm_crawl.items import (
    FIRST_SCROBBLE,
    Answered,
    FriendsPage,
    LovedTracksPage,
    Page,
    Profile,
    ProfilePage,
    RecentTracksPage,
    TopAlbumsPage,
    TopArtistsPage,
    TopTracksPage,
    TrackTags,
    UserMark,
    WeeklyChartListPage,
    name_fault,
    user_key,
)
from lastfm_crawl.services.lastfm.calls import DAY, Call, TagsCall
from lastfm_crawl.services.lastfm.errors import BROKEN, NO_SUCH_PAGE, rule_for
from lastfm_crawl.services.lastfm.shapes import (
    Answer,
    Artist,
    Date,
    Friends,
    Named,
    Paging,
    Play,
    Plays,
    Registered,
    Tag,
    TopAlbums,
    TopArtists,
    TopTracks,
    Track,
    User,
    Week,
    as_list,
    parse,
)
from lastfm_crawl.services.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds for which a profile is kept; every other good answer is kept for ever.
PROFILE_TTL = DAY
#: Seconds for which "no such user", "private" and "no friends" are believed.
NEGATIVE_TTL = 30 * DAY
#: Seconds for which the list of weeks is kept: one comes in each week.
CHART_LIST_TTL = DAY
#: Seconds for which the tags of a track are believed, or that there is no such track.
TAGS_TTL = 90 * DAY

_NOT_PLAYING = (None, "", "false", "0", False)


def _text(value: str | None) -> str | None:
    return value or None


def _profile(user: User) -> Profile:
    registered = user.registered
    return Profile(
        name=user.name or "",
        realname=_text(user.realname),
        # "None" is how Last.fm says that no country is set.
        country=None if user.country == "None" else _text(user.country),
        url=_text(user.url),
        playcount=user.playcount,
        registered_at=(registered.unixtime or None) if isinstance(registered, Registered) else None,
    )


def _list_fields(call: Call, paging: Paging, received: int, *, extra: int = 0) -> dict[str, Any]:
    """The fields that all pages of lists share; a missing figure is derived from the others.

    *extra* of the *received* rows are not part of the list that ``total`` counts.
    """
    total, pages, per_page = paging.total, paging.totalPages, paging.perPage
    if pages is None:
        pages = -(-total // per_page) if total is not None and per_page else call.page
    return {
        "method": call.method,
        "user": call.user,
        "params": call.list_params,
        "page": call.page,
        "pages": pages,
        "total": total if total is not None else received - extra,
        "received": received,
    }


def _read_profile(call: Call, answer: Answer) -> ProfilePage | None:
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


def _read_friends(call: Call, answer: Answer) -> FriendsPage | None:
    if answer.friends is None:
        return None
    rows = as_list(answer.friends.user)
    return FriendsPage(
        **_list_fields(call, answer.friends.paging, len(rows)),
        friends=tuple(_profile(row) for row in rows),
    )


def _read_top_artists(call: Call, answer: Answer) -> TopArtistsPage | None:
    if answer.topartists is None:
        return None
    rows = as_list(answer.topartists.artist)
    return TopArtistsPage(
        **_list_fields(call, answer.topartists.paging, len(rows)),
        period=dict(call.params)["period"],
        ranks=_ranks(call, rows),
        names=[row.name or "" for row in rows],
        playcounts=[row.playcount or 0 for row in rows],
    )


def _read_top_albums(call: Call, answer: Answer) -> TopAlbumsPage | None:
    if answer.topalbums is None:
        return None
    rows: list[Track] = as_list(answer.topalbums.album)
    artists, _ = _names([row.artist for row in rows])
    return TopAlbumsPage(
        **_list_fields(call, answer.topalbums.paging, len(rows)),
        period=dict(call.params)["period"],
        ranks=_ranks(call, rows),
        artists=artists,
        albums=[row.name or "" for row in rows],
        album_mbids=[row.mbid or "" for row in rows],
        playcounts=[row.playcount or 0 for row in rows],
    )


def _read_top_tracks(call: Call, answer: Answer) -> TopTracksPage | None:
    if answer.toptracks is None:
        return None
    rows: list[Track] = as_list(answer.toptracks.track)
    artists, artist_mbids = _names([row.artist for row in rows])
    return TopTracksPage(
        **_list_fields(call, answer.toptracks.paging, len(rows)),
        period=dict(call.params)["period"],
        ranks=_ranks(call, rows),
        artists=artists,
        artist_mbids=artist_mbids,
        tracks=[row.name or "" for row in rows],
        track_mbids=[row.mbid or "" for row in rows],
        playcounts=[row.playcount or 0 for row in rows],
    )


def _read_loved_tracks(call: Call, answer: Answer) -> LovedTracksPage | None:
    if answer.lovedtracks is None:
        return None
    rows: list[Play] = as_list(answer.lovedtracks.track)
    artists, artist_mbids = _names([row.artist for row in rows])
    return LovedTracksPage(
        **_list_fields(call, answer.lovedtracks.paging, len(rows)),
        artists=artists,
        artist_mbids=artist_mbids,
        tracks=[row.name or "" for row in rows],
        track_mbids=[row.mbid or "" for row in rows],
        loved_at=[_time(row) or None for row in rows],
    )


def _read_recent_tracks(call: Call, answer: Answer) -> RecentTracksPage | None:
    if answer.recenttracks is None:
        return None
    paging = answer.recenttracks.paging
    rows: list[Play] = as_list(answer.recenttracks.track)
    asked = dict(call.params)
    first, end = int(asked["from"]), int(asked["to"])
    uts, plays, skipped = _scrobbles(rows, first, end)
    artists, artist_mbids = _names([row.artist for row in plays])
    albums, album_mbids = _names([row.album for row in plays])
    says_loved = bool(plays) and all(row.loved is not None for row in plays)
    return RecentTracksPage(
        **_list_fields(call, paging, len(rows), extra=skipped.get("now_playing", 0)),
        skipped=skipped,
        window_from=first,
        window_to=end,
        per_page=paging.perPage or int(asked["limit"]),
        uts=uts,
        artists=artists,
        artist_mbids=artist_mbids,
        albums=albums,
        album_mbids=album_mbids,
        tracks=[row.name or "" for row in plays],
        track_mbids=[row.mbid or "" for row in plays],
        loved=[bool(row.loved) for row in plays] if says_loved else (),
    )


def _scrobbles(rows: list[Play], first: int, end: int) -> tuple[list[int], list[Play], dict[str, int]]:
    """The scrobbles with *first* <= time < *end*: their times, their rows, and how many rows are none, by reason."""
    earliest = max(first, FIRST_SCROBBLE)
    # Nearly every answer holds scrobbles and nothing else: a look at all of it at once tells.
    dates = [row.date.uts if isinstance(row.date, Date) else 0 for row in rows]
    if all(row.attr is None for row in rows) and all(uts is not None and earliest <= uts < end for uts in dates):
        return cast("list[int]", dates), rows, {}
    times: list[int] = []
    plays: list[Play] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        uts = _time(row)
        if row.attr is not None and row.attr.nowplaying not in _NOT_PLAYING:
            skipped["now_playing"] += 1
        elif earliest <= uts < end:
            times.append(uts)
            plays.append(row)
        elif uts == 0:
            skipped["undated"] += 1
        else:
            skipped["before_2002" if uts < FIRST_SCROBBLE else "outside_window"] += 1
    return times, plays, dict(skipped)


def _time(row: Play) -> int:
    """Seconds since 1970, 0 when none is said: that is how Last.fm writes an unknown time, too."""
    return (row.date.uts or 0) if isinstance(row.date, Date) else 0


def _names(entities: Sequence[Named | str | None]) -> tuple[list[str], list[str]]:
    """The names and MusicBrainz ids of artists or albums, "" for those that have none."""
    try:  # objects, nearly always
        return [e.text or e.name or "" for e in entities], [e.mbid or "" for e in entities]  # type: ignore[union-attr]
    except AttributeError:
        return _names([e if isinstance(e, Named) else Named(e or None) for e in entities])


def _read_weekly_chart_list(call: Call, answer: Answer) -> WeeklyChartListPage | None:
    if answer.weeklychartlist is None:
        return None
    rows: list[Week] = as_list(answer.weeklychartlist.chart)
    weeks = [(row.first, row.end) for row in rows if row.first is not None and row.end is not None]
    return WeeklyChartListPage(
        **_list_fields(call, answer.weeklychartlist.paging, len(rows)),
        skipped={"undated": len(rows) - len(weeks)} if len(weeks) < len(rows) else {},
        starts=[first for first, _ in weeks],
        ends=[end for _, end in weeks],
    )


def _tags_of(call: TagsCall) -> dict[str, Any]:
    return {"method": call.method, "params": call.list_params, "subject": call.subject, "asked": call.asked}


def _read_tags(call: TagsCall, answer: Answer) -> TrackTags | None:
    if answer.toptags is None:
        return None
    rows: list[Tag] = as_list(answer.toptags.tag)
    faults = [_tag_fault(row) for row in rows]
    return TrackTags(
        **_tags_of(call),
        received=len(rows),
        skipped=dict(Counter(fault for fault in faults if fault)),
        tags=tuple((row.name or "", row.count or 0) for row, fault in zip(rows, faults, strict=True) if not fault),
    )


def _tag_fault(row: Tag) -> str | None:
    return name_fault(row.name or "") or (None if 0 <= (row.count or 0) <= 100 else "number out of range")


def _is_another_track(call: TagsCall, answer: Answer) -> bool:
    """Whether *answer* says that it is about another track. One name may be written otherwise than it was asked for."""
    named = answer.toptags.attr if answer.toptags else None
    if named is None or not isinstance(named.artist, str) or not isinstance(named.track, str):
        return False
    return _folded(named.artist) != _folded(call.artist) and _folded(named.track) != _folded(call.track)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _ranks(call: Call, rows: Sequence[Artist | Track]) -> Sequence[int]:
    """The ranks that the rows say, or their places in the list when one of them says none."""
    ranks = [row.attr.rank for row in rows if row.attr is not None and row.attr.rank is not None]
    first = (call.page - 1) * int(dict(call.params)["limit"]) + 1
    return ranks if len(ranks) == len(rows) else range(first, first + len(rows))


_READERS: dict[str, Callable[[Any, Answer], Page | TrackTags | None]] = {
    "user.getInfo": _read_profile,
    "user.getFriends": _read_friends,
    "user.getTopArtists": _read_top_artists,
    "user.getTopAlbums": _read_top_albums,
    "user.getTopTracks": _read_top_tracks,
    "user.getLovedTracks": _read_loved_tracks,
    "user.getRecentTracks": _read_recent_tracks,
    "user.getWeeklyChartList": _read_weekly_chart_list,
    TagsCall.method: _read_tags,
}
#: An answer without rows, for the lists that may say "no such page" instead.
_EMPTY: dict[str, Answer] = {
    "user.getFriends": Answer(friends=Friends()),
    "user.getTopArtists": Answer(topartists=TopArtists()),
    "user.getTopAlbums": Answer(topalbums=TopAlbums()),
    "user.getTopTracks": Answer(toptracks=TopTracks()),
    "user.getLovedTracks": Answer(lovedtracks=Plays()),
    "user.getRecentTracks": Answer(recenttracks=Plays()),
}


def read(call: Call | TagsCall, status: int, body: bytes) -> Page | TrackTags | Problem:
    """The page (or tags) that *body* holds (without its ``fetched_at``), or what is wrong with it. Never raises.

    "no such page" is a page: an empty list, or the end of one that grew shorter.
    """
    try:
        answer = parse(body)
    except (ValueError, RecursionError) as exc:
        if (rule := rule_for(None, status, "")) is not BROKEN:
            return Problem(rule, f"http_{status}", f"HTTP {status}")
        kind = "broken_body" if status == 200 else f"http_{status}"
        return Problem(BROKEN, kind, f"HTTP {status}, no JSON that we know: {exc}")
    if answer.error is not None:
        return _read_error(call, status, answer)
    page = _READERS[call.method](call, answer) if status < 400 else None
    if page is None:
        rule = rule_for(None, status, _message(answer))
        return Problem(rule, "no_list" if status < 400 else f"http_{status}", f"HTTP {status} without the list")
    if whose := _whose(call, answer):
        # Somebody else's answer comes now and then, and the next one is right. That a renamed user is answered for
        # under the new name was never seen: the old one is "not found". If it happens, the loss names both.
        named = f": {answer.named_user}" if whose == "user" else ""
        return Problem(BROKEN, f"wrong_{whose}", f"the answer is another {whose}'s{named}")
    return page


def _whose(call: Call | TagsCall, answer: Answer) -> str | None:
    """What *answer* is about, ``user`` or ``track``, when it says that this is another than was asked for."""
    if isinstance(call, TagsCall):
        return "track" if _is_another_track(call, answer) else None
    named = answer.named_user
    return "user" if named and user_key(named) != user_key(call.user) else None


def _read_error(call: Call | TagsCall, status: int, answer: Answer) -> Page | Problem:
    code = answer.error
    message = _message(answer)
    if isinstance(call, Call) and code == 6 and call.method in _EMPTY and NO_SUCH_PAGE in message.lower():
        page = _READERS[call.method](call, _EMPTY[call.method])
        if isinstance(page, Page):
            return replace(page, pages=call.page - 1)
    return Problem(rule_for(code, status, message), f"error_{code}", f"error {code}: {message}".strip())


def _message(answer: Answer) -> str:
    return answer.message if isinstance(answer.message, str) else ""


def mark(call: Call | TagsCall, problem: Problem) -> UserMark | TrackTags:
    """What a *problem* that is a result says of the user who was asked for; a track can only be missing."""
    if isinstance(call, TagsCall):
        return TrackTags(**_tags_of(call), status="not_found")
    return UserMark(
        method=call.method,
        user=call.user,
        params=call.list_params,
        page=call.page,
        status=problem.rule.status,
        detail=problem.message,
    )


def time_to_live(call: Call | TagsCall, answer: Answered | Problem) -> int | None:
    """For how many seconds the store keeps *answer*; None is for ever.

    Scrobbles are kept for ever, for every window has an end: what is asked for later has another, and another key.
    """
    if isinstance(call, TagsCall):
        return TAGS_TTL
    if isinstance(answer, Problem):
        return NEGATIVE_TTL
    if call.method == "user.getInfo":
        return PROFILE_TTL
    if call.method == "user.getWeeklyChartList":
        return CHART_LIST_TTL
    return NEGATIVE_TTL if isinstance(answer, FriendsPage) and answer.pages < answer.page else None
