"""Bytes in, an item or a problem out."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from lastfm_crawl.items import (
    Answered,
    SpotifyArtist,
    SpotifyArtists,
    SpotifyProfile,
    SpotifyTopArtists,
    SpotifyTopTracks,
    SpotifyTrack,
    SpotifyTracks,
    UserMark,
    name_fault,
)
from lastfm_crawl.services.decoding import held, parse
from lastfm_crawl.services.problems import Problem
from lastfm_crawl.services.spotify.errors import BROKEN, rule_for
from lastfm_crawl.services.spotify.shapes import (
    Album,
    Answer,
    Artist,
    ArtistList,
    ArtistsAnswer,
    ExternalIds,
    Followers,
    LinkedFrom,
    SearchAnswer,
    Track,
    TrackList,
    TracksAnswer,
    UserAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lastfm_crawl.services.spotify.calls import Call

Entity = TypeVar("Entity", Artist, Track)
Row = TypeVar("Row", SpotifyArtist, SpotifyTrack)

_DAY = 86_400
#: Seconds for which a good answer is kept: the terms allow temporary caching of metadata, and no longer.
GOOD_TTL = 30 * _DAY
#: Seconds for which "no such id" and "nothing found" are believed: the next release may be what was asked for.
NEGATIVE_TTL = _DAY

_PRECISIONS = ("year", "month", "day")
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)


# --- rows ---------------------------------------------------------------------------------------------------------


def _artist(artist: Artist) -> SpotifyArtist:
    return SpotifyArtist(
        artist.id or "",
        artist.name or "",
        artist.popularity,
        (artist.followers or Followers()).total,
        tuple(genre for genre in artist.genres or () if genre),
    )


def _track(track: Track) -> SpotifyTrack:
    album = track.album or Album()
    artists = [artist for artist in track.artists or () if artist is not None and (artist.id or artist.name)]
    released, precision = _released(album)
    return SpotifyTrack(
        track.id or "",
        track.name or "",
        artist_ids=tuple(held(artist.id) for artist in artists),
        artist_names=tuple(held(artist.name) for artist in artists),
        album_id=held(album.id),
        album_name=held(album.name),
        album_type=held(album.album_type).lower(),
        release_date=released,
        release_precision=precision,
        duration_ms=track.duration_ms,
        explicit=bool(track.explicit),
        track_number=track.track_number,
        disc_number=track.disc_number,
        isrc=held((track.external_ids or ExternalIds()).isrc).upper() or None,
        popularity=track.popularity,
        linked_from=held((track.linked_from or LinkedFrom()).id) or None,
    )


def _released(album: Album) -> tuple[str | None, str | None]:
    """The release date as far as it is known, and how far that is. ``0000`` is how Spotify says that it is not."""
    found = _DATE.fullmatch((album.release_date or "").strip())
    if found is None:
        return None, None
    parts = [part for part in found.groups() if part]
    try:
        date(*map(int, [*parts, "1", "1"][:3]))
    except ValueError:  # no such day, or the year 0
        return None, None
    said = album.release_date_precision
    if said in _PRECISIONS:
        parts = parts[: _PRECISIONS.index(said) + 1]  # a year may come as 1979-01-01
    return "-".join(parts), _PRECISIONS[len(parts) - 1]


def _rows(
    entities: Sequence[Entity | None], make: Callable[[Entity], Row]
) -> tuple[list[tuple[int, Row]], dict[str, int]]:
    """The rows that are good, each with its place from 0, and how many are not, by reason."""
    rows: list[tuple[int, Row]] = []
    skipped: Counter[str] = Counter()
    for place, entity in enumerate(entities):
        if entity is None:
            skipped["null"] += 1
        elif fault := ("no_id" if name_fault(entity.id or "") else name_fault(entity.name or "")):
            skipped[fault] += 1
        else:
            rows.append((place, make(entity)))
    return rows, dict(skipped)


# --- look-ups -----------------------------------------------------------------------------------------------------


def _lookup(call: Call) -> dict[str, Any]:
    return {"method": call.method, "params": call.list_params, "subject": call.subject, "asked": call.asked}


def _missing(call: Call, entities: Sequence[Artist | Track | None]) -> tuple[str, ...]:
    """The ids of a batch for which nothing came: the answer has a place for each."""
    if len(entities) != len(call.asked):
        return ()
    return tuple(asked for asked, entity in zip(call.asked, entities, strict=True) if entity is None)


def _artists(call: Call, entities: Sequence[Artist | None] | None, *, by_id: bool) -> SpotifyArtists | None:
    if entities is None:
        return None
    rows, skipped = _rows(entities, _artist)
    return SpotifyArtists(
        **_lookup(call),
        received=len(entities),
        skipped=skipped,
        artists=tuple(row for _, row in rows),
        missing=_missing(call, entities) if by_id else (),
    )


def _tracks(call: Call, entities: Sequence[Track | None] | None, *, by_id: bool) -> SpotifyTracks | None:
    if entities is None:
        return None
    rows, skipped = _rows(entities, _track)
    if by_id and len(entities) == len(call.asked):
        # linked_from is no more in development mode; the place says as much.
        rows = [(place, _linked(row, call.asked[place])) for place, row in rows]
    return SpotifyTracks(
        **_lookup(call),
        received=len(entities),
        skipped=skipped,
        tracks=tuple(row for _, row in rows),
        missing=_missing(call, entities) if by_id else (),
    )


def _linked(track: SpotifyTrack, asked: str) -> SpotifyTrack:
    return track if asked in {track.id, track.linked_from} else track._replace(linked_from=asked)


def _read_search(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, SearchAnswer)
    if dict(call.params)["type"] == "artist":
        return _artists(call, (answer.artists or ArtistList()).items, by_id=False) or answer
    return _tracks(call, (answer.tracks or TrackList()).items, by_id=False) or answer


def _read_artist(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, Artist)
    return (_artists(call, [answer], by_id=True) if answer.id else None) or answer


def _read_track(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, Track)
    return (_tracks(call, [answer], by_id=True) if answer.id else None) or answer


def _read_artists(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, ArtistsAnswer)
    return _artists(call, answer.artists, by_id=True) or answer


def _read_tracks(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, TracksAnswer)
    return _tracks(call, answer.tracks, by_id=True) or answer


# --- users --------------------------------------------------------------------------------------------------------


def _read_top(call: Call, body: bytes) -> Answered | Answer:
    of_artists = dict(call.params)["kind"] == "artists"
    return _read_top_artists(call, body) if of_artists else _read_top_tracks(call, body)


def _read_top_artists(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, ArtistList)
    if answer.items is None:
        return answer
    rows, skipped = _rows(answer.items, _artist)
    return SpotifyTopArtists(
        **_top(call, answer.total, len(answer.items)),
        skipped=skipped,
        ranks=_ranks(call, [place for place, _ in rows]),
        artists=tuple(row for _, row in rows),
    )


def _read_top_tracks(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, TrackList)
    if answer.items is None:
        return answer
    rows, skipped = _rows(answer.items, _track)
    return SpotifyTopTracks(
        **_top(call, answer.total, len(answer.items)),
        skipped=skipped,
        ranks=_ranks(call, [place for place, _ in rows]),
        tracks=tuple(row for _, row in rows),
    )


def _top(call: Call, total: int | None, received: int) -> dict[str, Any]:
    """The fields that both top lists share; without a total the list is taken to end here."""
    params = dict(call.params)
    total = int(params["offset"]) + received if total is None else total
    return {
        "method": call.method,
        "user": call.user,
        "params": call.list_params,
        "page": call.page,
        "pages": -(-total // int(params["limit"])),
        "total": total,
        "received": received,
        "time_range": params["time_range"],
    }


def _ranks(call: Call, places: Sequence[int]) -> tuple[int, ...]:
    first = int(dict(call.params)["offset"]) + 1
    return tuple(first + place for place in places)


def _read_me(call: Call, body: bytes) -> Answered | Answer:
    answer = parse(body, UserAnswer)
    if not held(answer.id):
        return answer
    return SpotifyProfile(
        method=call.method,
        user=call.user,
        params=call.list_params,
        total=1,
        received=1,
        account=answer.id or "",
        display_name=held(answer.display_name) or None,
        country=held(answer.country) or None,
        product=held(answer.product) or None,
    )


_READERS: dict[str, Callable[[Call, bytes], Answered | Answer]] = {
    "spotify.search": _read_search,
    "spotify.artist": _read_artist,
    "spotify.track": _read_track,
    "spotify.artists": _read_artists,
    "spotify.tracks": _read_tracks,
    "spotify.top": _read_top,
    "spotify.me": _read_me,
}


# --- all ----------------------------------------------------------------------------------------------------------


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
    said_status, message = _said(answer.error)
    if status < 400 and said_status is None:
        return Problem(BROKEN, "no_list", f"HTTP {status} without what was asked for")
    kind, rule = rule_for(call.method, status if status >= 400 else said_status or status, message)
    return Problem(rule, kind, f"HTTP {status}: {message}" if message else f"HTTP {status}")


def _said(error: Any) -> tuple[int | None, str | None]:
    """The status and the words (message, reason) of an error object, or of the plain text that stands for one."""
    if isinstance(error, str):
        return None, error
    if not isinstance(error, dict):
        return None, None
    status = error.get("status")
    words = [text for name in ("message", "reason") if isinstance(text := error.get(name), str) and text]
    return status if isinstance(status, int) and 400 <= status < 600 else None, ", ".join(words)


def mark(call: Call, problem: Problem) -> SpotifyArtists | SpotifyTracks | UserMark:
    """What a confirmed *problem* says of what was asked for."""
    if call.user:
        return UserMark(
            method=call.method,
            user=call.user,
            params=call.list_params,
            page=call.page,
            status=problem.rule.status,
            detail=problem.message,
        )
    of_artists = "artist" in call.method or dict(call.params).get("type") == "artist"
    kind = SpotifyArtists if of_artists else SpotifyTracks
    return kind(
        **_lookup(call), status=problem.rule.status, missing=call.asked if problem.rule.status == "not_found" else ()
    )


def time_to_live(call: Call, answer: Answered | Problem) -> int:  # noqa: ARG001  (what Service asks for)
    """For how many seconds the store keeps *answer*."""
    if isinstance(answer, SpotifyArtists | SpotifyTracks) and not answer.received:
        return NEGATIVE_TTL
    return NEGATIVE_TTL if isinstance(answer, Problem) else GOOD_TTL
