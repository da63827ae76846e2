"""What a crawl would ask for, how long that takes, and how much room the answers need, before it is asked.

:func:`count` reads what the warehouse says, :func:`estimates` makes figures of it and does nothing else. Where nothing
is known yet they rest on assumptions, and say on which.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.items import user_key
from lastfm_crawl.services import aoty, lastfm
from lastfm_crawl.warehouse import aoty_matches, artist_matches, queries, release_groups, track_matches, track_tags
from lastfm_crawl.warehouse.most_played import among_most_played

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

#: Of each phase the service (of ``services.SERVICES``) and the method that it asks most, in the order of an ingest. A
#: phase is called as its spider.
_ASKS = {
    "friends": ("user", "user.getFriends"),
    "top_artists": ("user", "user.getTopArtists"),
    "top_tracks": ("user", "user.getTopTracks"),
    "recent_tracks": ("user", "user.getRecentTracks"),
    "spotify_artists": ("spotify", "spotify.search"),
    "spotify_tracks": ("spotify", "spotify.search"),
    "musicbrainz": ("musicbrainz", "musicbrainz.release"),
    "track_tags": ("user", "track.getTopTags"),
    "aoty": ("aoty", "aoty.album"),
}
PHASES = tuple(_ASKS)
#: Answers of a method from which on their own mean size counts, and users from which on their own ratios do.
ENOUGH = 20
#: The same where there are fewer: bytes of an answer, before compression.
SIZES = {
    "user.getFriends": 25_000.0,  # some fifty friends
    "user.getTopArtists": 200_000.0,
    "user.getTopTracks": 350_000.0,
    "user.getRecentTracks": 375_000.0,  # 1,000 plays
    "spotify.search": 20_000.0,
    "musicbrainz.release": 3_000.0,
    "track.getTopTags": 4_000.0,
    "aoty.album": 180_000.0,
}
#: How many times smaller an answer is in the store.
GZIP = 5.2
#: What one more user brings that nobody had before, and how much one has played.
NEW_ARTISTS, NEW_TRACKS, NEW_ALBUMS, PLAYS = 50.0, 300.0, 100.0, 20_000.0
#: Plays a request.
_PAGE = 1_000


class Basis(StrEnum):
    """How sure a figure is."""

    KNOWN = "known"
    AT_LEAST = "at least"
    ESTIMATED = "estimated"


class Estimate(NamedTuple):
    """What a phase would ask for; ``because`` is what an estimate rests on."""

    phase: str
    requests: int
    seconds: float
    size: int  # bytes of the answers in the store
    basis: Basis
    because: str = ""


class Wanted(NamedTuple):
    """What is to be had in the end, beside what is known already.

    ``max_users`` of None is no discovery. ``histories`` reach up to ``until`` (seconds since 1970). Of artists, tracks
    and albums the ``top`` most played are asked about (None: all); of the ``ratings`` most played albums the ratings
    are looked for.
    """

    seeds: Sequence[str] = ()
    max_users: int | None = None
    histories: bool = False
    until: float = 0.0
    top: int | None = None
    ratings: int | None = None


class Counts(NamedTuple):
    """What the warehouse says; what is ``left`` is by phase, in users or in rows to ask about."""

    users: int = 0
    new_seeds: int = 0
    found_by_lists: int = 0  # users that friends lists brought, and how many of these were read
    lists_read: int = 0
    left: Mapping[str, int] = {}
    history_requests: int = 0  # of known users
    plays_a_user: float | None = None
    charts_left: int = 0  # charts of albumoftheyear.org that were never read
    #: New ones that each user brought so far, by phase, where enough users were read to tell.
    growth: Mapping[str, float] = {}
    #: Mean bytes of an answer by method, where there are enough.
    sizes: Mapping[str, float] = {}


def count(connection: psycopg.Connection, wanted: Wanted, now: float, phases: Iterable[str] = PHASES) -> Counts:
    """What is known about *phases* at *now* (seconds since 1970). Those after recent_tracks read all plays."""
    phases = set(phases)
    profiles = queries.users_fetched(connection, "user.getInfo")
    row = connection.execute(
        """
        SELECT count(*), count(*) FILTER (WHERE crawl_depth > 0), avg(playcount)::float8, count(playcount),
               (SELECT count(*) FROM fetches WHERE method = 'user.getFriends')
        FROM users WHERE discovered_at IS NOT NULL
        """
    ).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    users, found, plays, with_plays, lists = row
    return Counts(
        users=users,
        new_seeds=len({user_key(seed) for seed in wanted.seeds} - profiles.keys()),
        found_by_lists=found,
        lists_read=lists,
        left=_users_left(connection, phases, now) | _rows_left(connection, phases, wanted, now),
        history_requests=_histories(connection, wanted, now) if wanted.histories and "recent_tracks" in phases else 0,
        plays_a_user=plays if with_plays >= ENOUGH else None,
        charts_left=_charts_left(connection) if "aoty" in phases else 0,
        growth=_growth(connection),
        sizes=_sizes(connection),
    )


def estimates(counts: Counts, wanted: Wanted, paces: Mapping[str, float]) -> list[Estimate]:
    """One for each phase that *counts* looked at, in the order of :data:`PHASES`; a history only where it is wanted.

    *paces* has the seconds between two requests to each service.
    """
    new = _new_users(counts, wanted)
    found = [_friends(counts, wanted, new)]
    for phase in ("top_artists", "top_tracks"):
        because = f"{new:,} users to come" if new else ""
        found.append(_Figure(phase, counts.left.get(phase, 0) + new, because))
    if wanted.histories:
        found.append(_history(counts, wanted, new))
    found += [_enrichment(phase, counts, wanted, new) for phase in _GROWS_WITH]
    return [_priced(figure, counts, paces) for figure in found if figure.phase in counts.left]


class _Figure(NamedTuple):
    """Requests of a phase; with a reason they are estimated."""

    phase: str
    requests: float
    because: str = ""
    at_least: bool = False


#: What phases that ask about music ask about, and what brings more of it.
_GROWS_WITH = {
    "spotify_artists": ("top_artists", "artists", NEW_ARTISTS),
    "spotify_tracks": ("top_tracks", "tracks", NEW_TRACKS),
    "musicbrainz": ("recent_tracks", "albums", NEW_ALBUMS),
    "track_tags": ("top_tracks", "tracks", NEW_TRACKS),
    "aoty": ("recent_tracks", "albums", NEW_ALBUMS),
}


def _priced(figure: _Figure, counts: Counts, paces: Mapping[str, float]) -> Estimate:
    requests = math.ceil(figure.requests)
    basis = Basis.ESTIMATED if figure.because else Basis.AT_LEAST if figure.at_least and requests else Basis.KNOWN
    service, method = _ASKS[figure.phase]
    size = counts.sizes.get(method, SIZES[method]) / GZIP
    seconds = requests * paces[service]
    return Estimate(figure.phase, requests, seconds, round(requests * size), basis, figure.because)


def _new_users(counts: Counts, wanted: Wanted) -> int:
    """How many users may be found; none where no friends list is left to read."""
    if not (counts.new_seeds or counts.left.get("friends")):
        return 0
    return max(0, (wanted.max_users or 0) - counts.users)


def _friends(counts: Counts, wanted: Wanted, new: int) -> _Figure:
    requests = float(counts.new_seeds if wanted.max_users is not None else 0)
    if not new:
        return _Figure("friends", requests)
    if counts.lists_read >= ENOUGH and counts.found_by_lists:
        each = counts.found_by_lists / counts.lists_read
        return _Figure("friends", requests + new / each, f"{each:.1f} new users a friends list, as so far")
    return _Figure("friends", requests + new, "one friends list for each user")


def _history(counts: Counts, wanted: Wanted, new: int) -> _Figure:
    if not new:
        # Profiles may be older than the last plays, and of some only the friends list is known.
        return _Figure("recent_tracks", counts.history_requests, at_least=True)
    plays = PLAYS if counts.plays_a_user is None else counts.plays_a_user
    each = _windows(wanted.until) + plays / _PAGE
    known = ", as so far" if counts.plays_a_user is not None else ""
    because = f"{new:,} users to come with {plays:,.0f} plays each{known}"
    return _Figure("recent_tracks", counts.history_requests + new * each, because)


def _enrichment(phase: str, counts: Counts, wanted: Wanted, new: int) -> _Figure:
    source, what, assumed = _GROWS_WITH[phase]
    left = counts.left.get(phase, 0)
    users = counts.left.get(source, 0) + new if source != "recent_tracks" or wanted.histories else 0
    if source == "recent_tracks" and not counts.history_requests and not new:
        users = 0
    most = wanted.top
    if phase == "aoty":
        most = wanted.ratings
        if counts.charts_left and not users:
            return _Figure(phase, left + counts.charts_left, f"{counts.charts_left:,} charts, and what they name")
    if not users or (most is not None and left >= most):
        # An answer may lead to another question: a release that nobody knows is searched for by its names.
        return _Figure(phase, left, at_least=phase in {"musicbrainz", "aoty"})
    each = counts.growth.get(source, assumed)
    more = left + users * each
    known = ", as so far" if source in counts.growth else ""
    because = f"{each:,.0f} new {what} a user{known}"
    if most is not None and more >= most:
        more, because = most, f"the {most:,} most played {what}"
    return _Figure(phase, more, because)


def _windows(until: float) -> int:
    """Windows in which a whole history is asked for: each year since scrobbles began."""
    return max(1, datetime.fromtimestamp(until, UTC).year - 2001)


def _users_left(connection: psycopg.Connection, phases: set[str], now: float) -> dict[str, int]:
    """Users whose lists are not complete."""
    lists = {
        "friends": (lastfm.get_friends(""), None, 0.0),
        "top_artists": (lastfm.get_top_artists(""), 1, now - lastfm.NEGATIVE_TTL),
        "top_tracks": (lastfm.get_top_tracks(""), 1, now - lastfm.NEGATIVE_TTL),
    }
    left = {
        phase: len(queries.members_left(connection, call.method, call.list_params, pages, None, marks_since))
        for phase, (call, pages, marks_since) in lists.items()
        if phase in phases
    }
    if "recent_tracks" in phases:
        names = queries.members_to_ask(connection, "user.getRecentTracks", now - lastfm.NEGATIVE_TTL)
        have = connection.execute(
            "SELECT count(DISTINCT user_id) FROM fetches"
            " WHERE method = 'user.getRecentTracks' AND status = 'ok' AND page > 0"
        ).fetchone()
        left["recent_tracks"] = max(0, len(names) - (have[0] if have else 0))
    return left


def _rows_left(connection: psycopg.Connection, phases: set[str], wanted: Wanted, now: float) -> dict[str, int]:
    """Artists, tracks and albums that the spiders would ask about: counted with what they themselves look at."""
    left = {}
    if "spotify_artists" in phases:
        ids = artist_matches.artists_to_search(connection, now)
        left["spotify_artists"] = len(among_most_played(connection, "artists", ids, wanted.top))
        left["spotify_artists"] += len(artist_matches.ids_without_row(connection))
    if "spotify_tracks" in phases:
        ids = track_matches.tracks_to_search(connection, now)
        left["spotify_tracks"] = len(among_most_played(connection, "tracks", ids, wanted.top))
        left["spotify_tracks"] += len(track_matches.ids_without_details(connection))
    if "musicbrainz" in phases:
        ids = release_groups.albums_left(connection, now)
        left["musicbrainz"] = len(among_most_played(connection, "albums", ids, wanted.top))
    if "track_tags" in phases:
        ids = track_tags.tracks_left(connection, now - lastfm.TAGS_TTL)
        left["track_tags"] = len(among_most_played(connection, "tracks", ids, wanted.top))
    if "aoty" in phases:
        pages = aoty_matches.pages_left(connection, datetime.fromtimestamp(now - aoty.GOOD_TTL, UTC))
        left["aoty"] = len(aoty_matches.of_most_played(connection, pages, wanted.ratings))
    return left


def _histories(connection: psycopg.Connection, wanted: Wanted, now: float) -> int:
    """Requests for the histories of the known users: windows that were never read, or the time since."""
    names = queries.members_to_ask(connection, "user.getRecentTracks", now - lastfm.NEGATIVE_TTL)
    # Windows are read out of the parameters, of which the many pages of one have the same.
    rows = connection.execute(
        """
        SELECT coalesce(u.playcount, 0), count(DISTINCT w.first), coalesce(sum(w.received), 0),
               coalesce(max(w.beyond), -1) < %s
        FROM users u LEFT JOIN (
            SELECT user_id, substring(params FROM 'from=([0-9]+)')::bigint AS first,
                   substring(params FROM 'to=([0-9]+)')::bigint AS beyond, sum(received) AS received
            FROM fetches WHERE method = 'user.getRecentTracks' AND status = 'ok' AND page > 0
            GROUP BY user_id, params) w ON w.user_id = u.id
        WHERE u.name = ANY(%s) GROUP BY u.id
        """,
        [wanted.until, names],
    )
    requests = 0
    for plays, windows, read, behind in rows:
        missing = _windows(wanted.until) - windows
        requests += missing + max(0, plays - read) // _PAGE if missing > 0 else int(behind)
    return requests


def _charts_left(connection: psycopg.Connection) -> int:
    """Years from which music was played, and whose charts were never read."""
    read = {name for (name,) in connection.execute("SELECT subject FROM lookups WHERE method = 'aoty.list'")}
    return sum(not any(name.endswith(f"/{year}") for name in read) for year in aoty_matches.years_played(connection))


def _growth(connection: psycopg.Connection) -> dict[str, float]:
    """What each user brought that nobody had before."""
    rows = connection.execute(
        """
        SELECT phase, things::float8 / users FROM (
            SELECT 'top_artists' AS phase, (SELECT count(*) FROM artists) AS things, count(DISTINCT user_id) AS users
            FROM fetches WHERE method = 'user.getTopArtists' AND status = 'ok'
            UNION ALL
            SELECT 'top_tracks', (SELECT count(*) FROM tracks), count(DISTINCT user_id)
            FROM fetches WHERE method = 'user.getTopTracks' AND status = 'ok'
            UNION ALL
            SELECT 'recent_tracks', (SELECT count(*) FROM albums), count(DISTINCT user_id)
            FROM fetches WHERE method = 'user.getRecentTracks' AND status = 'ok') counted
        WHERE users >= %s
        """,
        [ENOUGH],
    )
    return dict(rows.fetchall())


def _sizes(connection: psycopg.Connection) -> dict[str, float]:
    rows = connection.execute(
        """
        SELECT method, avg(bytes)::float8 FROM (
            SELECT method, bytes FROM fetches WHERE status = 'ok'
            UNION ALL SELECT method, bytes FROM lookups WHERE status = 'ok') kept
        GROUP BY method HAVING count(*) >= %s
        """,
        [ENOUGH],
    )
    return dict(rows.fetchall())
