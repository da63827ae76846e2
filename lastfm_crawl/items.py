"""What flows from the spiders to the warehouse: one frozen object per page of an API, never one per row.

Times are seconds since 1970 (UTC) of the stored answer, never the clock of the load. User names come in the
answer's own case; :func:`user_key` folds them for comparison. A page holds up to 1,000 rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: 2002-01-01: Last.fm (then Audioscrobbler) has no earlier scrobbles, so an earlier time is a player's wrong clock.
FIRST_SCROBBLE = 1_009_843_200
#: Bytes a name may have: a unique index of PostgreSQL takes 2,704 a row, real names stay below 1,000.
MAX_NAME = 2_000


def user_key(name: str) -> str:
    """The key under which a user is the same whatever the case (``RJ`` and ``rj``); spaces stay."""
    return name.lower()


def name_fault(name: str) -> str | None:
    """Why *name* cannot be stored, or None."""
    if not name:
        return "no name"
    if "\0" in name:
        return "NUL in name"
    return "name too long" if len(name) > MAX_NAME // 4 and len(name.encode()) > MAX_NAME else None


class Profile(NamedTuple):
    """What a friend list or a profile says of a user. ``registered_at`` in seconds since 1970."""

    name: str
    realname: str | None = None
    country: str | None = None
    url: str | None = None
    playcount: int | None = None
    registered_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What every answer has: what was asked, when it was answered, and what became of its rows.

    ``params`` names the question without whom it is about and without the page (``limit=1000,period=overall``).
    ``skipped`` counts rows that are not stored, by reason. ``size`` is that of the answer's body in bytes.
    """

    method: str
    params: str
    received: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    fetched_at: float = 0.0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Answered):
    """An answer about music, whoever listens to it. ``subject`` is what was asked about: an id, or words.

    ``status`` is ``ok`` or ``not_found``; an answer without rows to a search is ``ok``.
    """

    subject: str
    status: str = "ok"

    def __repr__(self) -> str:
        """Short, as for pages."""
        return f"<{type(self).__name__} {self.method} {self.subject!r} {self.status}, {self.received} rows>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Answered):
    """What every page about a user has: whom it is about, and where in the list it stands.

    ``pages`` and ``total`` are Last.fm's own figures for the whole list.
    """

    #: The fields that hold a value a row, for pages that hold their rows by columns.
    columns: ClassVar[tuple[str, ...]] = ()

    user: str
    page: int = 1
    pages: int = 1
    total: int = 0

    def keep(self, places: Sequence[int], skipped: Mapping[str, int]) -> Self:
        """A copy with the rows at *places* alone, which counts *skipped* besides what was skipped before."""
        kept: dict[str, Any] = {
            name: [column[i] for i in places] for name in self.columns if (column := getattr(self, name))
        }
        total = {why: self.skipped.get(why, 0) + skipped.get(why, 0) for why in {**self.skipped, **skipped}}
        return replace(self, skipped=total, **kept)

    def __repr__(self) -> str:
        """Short: a page holds a thousand rows, and Scrapy likes to log items."""
        return f"<{type(self).__name__} {self.user!r} {self.page}/{self.pages}, {self.received} rows>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProfilePage(Page):
    """An answer of user.getInfo."""

    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FriendsPage(Page):
    """A page of user.getFriends, in the answer's order: the position decides whom the crawl admits first."""

    friends: tuple[Profile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TopArtistsPage(Page):
    """A page of user.getTopArtists for one period, by columns: a thousand rows are three sequences.

    Most of what a crawl does is to pass such pages on; an object a row would be most of the time that this takes.
    Ranks count from 1 over all pages of the list.
    """

    columns: ClassVar[tuple[str, ...]] = ("ranks", "names", "playcounts")

    period: str
    ranks: Sequence[int] = ()
    names: Sequence[str] = ()
    playcounts: Sequence[int] = ()

    def rows(self) -> list[tuple[int, str, int]]:
        """(rank, name, playcount) of each row."""
        return list(zip(self.ranks, self.names, self.playcounts, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RecentTracksPage(Page):
    """A page of user.getRecentTracks for one window of time, by columns, newest play first.

    ``window_from`` <= ``uts`` < ``window_to`` (0 as ``window_from``: no bound). What is "" is not known: the album, or
    a MusicBrainz id. ``loved`` is empty unless the answer says it. ``received`` counts all rows, ``skipped`` those that
    are no scrobbles: ``now_playing`` (on every page, in addition to ``per_page``, not in ``total``), ``undated`` (no
    time, or 0), ``before_2002`` and ``outside_window``. Scrobbles of one second stay apart, and repeated rows stay in.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "uts", "artists", "artist_mbids", "albums", "album_mbids", "tracks", "track_mbids", "loved",
    )  # fmt: skip

    window_from: int
    window_to: int
    per_page: int
    uts: Sequence[int] = ()
    artists: Sequence[str] = ()
    artist_mbids: Sequence[str] = ()
    albums: Sequence[str] = ()
    album_mbids: Sequence[str] = ()
    tracks: Sequence[str] = ()
    track_mbids: Sequence[str] = ()
    loved: Sequence[bool] = ()

    @property
    def missing(self) -> int:
        """Rows that this page lacks by its own figures (``total``, ``per_page``): above 0, the list changed."""
        expected = min(max(self.total - (self.page - 1) * self.per_page, 0), self.per_page)
        return max(expected - (self.received - self.skipped.get("now_playing", 0)), 0)

    def rows(self) -> list[tuple[int, str, str, str, str, str, str]]:
        """(uts, artist, artist mbid, album, album mbid, track, track mbid) of each scrobble."""
        columns = (self.artists, self.artist_mbids, self.albums, self.album_mbids, self.tracks, self.track_mbids)
        return list(zip(self.uts, *columns, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TopTracksPage(Page):
    """A page of user.getTopTracks for one period, by columns. Ranks count from 1 over all pages of the list."""

    columns: ClassVar[tuple[str, ...]] = ("ranks", "artists", "artist_mbids", "tracks", "track_mbids", "playcounts")

    period: str
    ranks: Sequence[int] = ()
    artists: Sequence[str] = ()
    artist_mbids: Sequence[str] = ()
    tracks: Sequence[str] = ()
    track_mbids: Sequence[str] = ()
    playcounts: Sequence[int] = ()

    def rows(self) -> list[tuple[int, str, str, int]]:
        """(rank, artist, track, playcount) of each row."""
        return list(zip(self.ranks, self.artists, self.tracks, self.playcounts, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LovedTracksPage(Page):
    """A page of user.getLovedTracks, by columns, latest first; ``loved_at`` is None where no time is known."""

    columns: ClassVar[tuple[str, ...]] = ("artists", "artist_mbids", "tracks", "track_mbids", "loved_at")

    artists: Sequence[str] = ()
    artist_mbids: Sequence[str] = ()
    tracks: Sequence[str] = ()
    track_mbids: Sequence[str] = ()
    loved_at: Sequence[int | None] = ()

    def rows(self) -> list[tuple[str, str, int | None]]:
        """(artist, track, loved at) of each row."""
        return list(zip(self.artists, self.tracks, self.loved_at, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WeeklyChartListPage(Page):
    """An answer of user.getWeeklyChartList: the weeks that have charts, by columns; ``starts`` <= time < ``ends``.

    The list is the same for every user, whatever they listened to. ``skipped`` counts weeks without a bound.
    """

    starts: Sequence[int] = ()
    ends: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProfileCheck(Page):
    """Whether the site has a profile page of the user: ``total`` is 1 or 0. No word of the API, so no status."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UserMark(Page):
    """A confirmed answer that there is nothing to have: ``status`` is ``not_found``, ``private`` or ``error``."""

    status: str
    detail: str


class Member(NamedTuple):
    """A user whom the crawl admitted: the seed it was reached from, and how many friendships away.

    ``depth`` and ``seed`` are None for a user who was named in ``users=`` and is not part of the graph yet.
    """

    name: str
    seed: str | None
    depth: int | None
    discovered_at: float


@dataclass(frozen=True, slots=True)
class Admissions:
    """Users whom a friend list admitted to the crawl, or whose shortest way from a seed it changed, in order.

    ``profiles`` are what is known, and since when, of users of whom no answer tells it any more.
    """

    members: tuple[Member, ...]
    profiles: tuple[tuple[Profile, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TrackTags(Lookup):
    """What listeners call the track ``asked`` (artist, title): (tag, count) with counts of 0 to 100, the first first.

    With the status ``not_found`` there is no such track. ``skipped`` counts tags that are none: ``number out of
    range``, and what :func:`name_fault` says.
    """

    asked: tuple[str, str]
    tags: tuple[tuple[str, int], ...] = ()


class SpotifyArtist(NamedTuple):
    """An artist on Spotify. What a restricted answer leaves out is None: ``popularity`` (0 to 100), ``followers``."""

    id: str
    name: str
    popularity: int | None = None
    followers: int | None = None
    genres: tuple[str, ...] = ()


class SpotifyTrack(NamedTuple):
    """A track on Spotify; what is not known is None or "".

    ``release_date`` is that of the album, ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` as ``release_precision`` (``year``,
    ``month``, ``day``) says. ``linked_from`` is the id that was asked for when another one was answered.
    """

    id: str
    name: str
    artist_ids: tuple[str, ...] = ()
    artist_names: tuple[str, ...] = ()
    album_id: str = ""
    album_name: str = ""
    album_type: str = ""
    release_date: str | None = None
    release_precision: str | None = None
    duration_ms: int | None = None
    explicit: bool = False
    track_number: int | None = None
    disc_number: int | None = None
    isrc: str | None = None
    popularity: int | None = None
    linked_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpotifyArtists(Lookup):
    """Artists that Spotify has for ``asked``: the ids, or the words of a search; best first.

    ``missing`` are the ids that Spotify does not know. ``skipped`` counts rows that are none: ``null``, ``no_id``, and
    what :func:`name_fault` says.
    """

    asked: tuple[str, ...]
    artists: tuple[SpotifyArtist, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpotifyTracks(Lookup):
    """Tracks that Spotify has for ``asked``, in all else as :class:`SpotifyArtists`."""

    asked: tuple[str, ...]
    tracks: tuple[SpotifyTrack, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpotifyTopArtists(Page):
    """A page of what the Spotify account of ``user`` plays most. Ranks count from 1 over all pages of the list."""

    columns: ClassVar[tuple[str, ...]] = ("ranks", "artists")

    time_range: str
    ranks: Sequence[int] = ()
    artists: Sequence[SpotifyArtist] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpotifyTopTracks(Page):
    """A page of the tracks that the Spotify account of ``user`` plays most, as :class:`SpotifyTopArtists`."""

    columns: ClassVar[tuple[str, ...]] = ("ranks", "tracks")

    time_range: str
    ranks: Sequence[int] = ()
    tracks: Sequence[SpotifyTrack] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpotifyProfile(Page):
    """The Spotify account that is logged in for ``user``; the mail address is never read."""

    account: str
    display_name: str | None = None
    country: str | None = None
    product: str | None = None


class ReleaseGroup(NamedTuple):
    """An album as MusicBrainz sees it: all its releases together, with the date of the first of them.

    A date may be known to the year or the month only; with no year there is no date. ``artist`` is the credit as it
    is written on the cover.
    """

    mbid: str
    title: str
    artist: str = ""
    year: int | None = None
    month: int | None = None
    day: int | None = None
    primary_type: str = ""
    secondary_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReleaseLookup(Lookup):
    """The release group of the release with the id ``asked``.

    ``release`` is the id that was answered: another one where releases were merged. With the status ``not_found``
    there is no group.
    """

    asked: str
    release: str = ""
    group: ReleaseGroup | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReleaseGroupSearch(Lookup):
    """What MusicBrainz's search finds for an album of an artist, in its own order, which proves nothing."""

    asked: tuple[str, str]
    groups: tuple[ReleaseGroup, ...] = ()


class AotyTrack(NamedTuple):
    """A track of an album on albumoftheyear.org; ``rating`` is its users' score (0 to 100) by ``ratings`` of them."""

    number: int | None
    title: str
    seconds: int | None = None
    rating: int | None = None
    ratings: int | None = None
    featuring: tuple[str, ...] = ()
    note: str = ""
    disc: int = 1


class AotyAlbum(NamedTuple):
    """An album on albumoftheyear.org. Scores are 0 to 100; what is not known is None or "".

    ``release_date`` is ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` as ``release_precision`` (``year``, ``month``, ``day``)
    says. ``era`` is the kind of markup that was read: ``2026``, ``2025``, ``unknown``, or ``csv``. ``origins`` says of
    each field where its value was found (``jsonld``, ``css``, ``itemprop``, ``regex``, ``csv``), also of a score that
    is None because the page says that there is none. ``rejected`` tells which values were not believed, and why.
    """

    id: int
    url: str
    title: str
    artists: tuple[str, ...] = ()
    critic_score: int | None = None
    critic_score_exact: float | None = None
    critic_count: int | None = None
    user_score: int | None = None
    user_score_exact: float | None = None
    user_count: int | None = None
    genres: tuple[str, ...] = ()
    secondary_genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    label: str = ""
    release_date: str | None = None
    release_precision: str | None = None
    format: str = ""
    tracks: tuple[AotyTrack, ...] = ()
    era: str = "unknown"
    origins: Mapping[str, str] = {}
    rejected: tuple[str, ...] = ()


class AotyRow(NamedTuple):
    """What a list on albumoftheyear.org says of an album. ``type`` is ``lp``, ``single`` and the like, or ""."""

    id: int
    url: str
    title: str
    artist: str = ""
    type: str = ""
    year: int | None = None
    critic_score: int | None = None
    critic_count: int | None = None
    user_score: int | None = None
    user_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AotyAlbumPage(Lookup):
    """The album with the id ``asked``; with the status ``not_found`` there is none."""

    asked: int
    album: AotyAlbum | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AotyListPage(Lookup):
    """Albums of an artist or a page of a chart, in the page's order. ``skipped`` counts rows that name no album."""

    page: int = 1
    rows: tuple[AotyRow, ...] = ()
