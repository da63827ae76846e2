"""Which years a user's music comes from: the release years of what was played, counted by the database."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import psycopg

By = Literal["year", "decade"]
Measure = Literal["plays", "albums"]

#: Why there is no year. The first four are what ``augmentation_status`` says; ``no_album`` is a play without an album.
REASONS = ("pending", "not_found", "matched", "fuzzy_matched", "no_album")
# Up to this long a window is looked at month by month.
_YEAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be counted: plays or albums of the listening time [first, end), None is without bound."""

    by: By = "year"
    measure: Measure = "plays"
    first: datetime | None = None
    end: datetime | None = None

    @classmethod
    def listening_year(cls, year: int, by: By = "year", measure: Measure = "plays") -> Question:
        """The plays of one calendar year (UTC)."""
        return cls(by, measure, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))

    @property
    def is_listening_year(self) -> bool:
        """Whether this is one calendar year."""
        return self.first is not None and self == Question.listening_year(self.first.year, self.by, self.measure)

    @property
    def step(self) -> int:
        """The years of a bar."""
        return 10 if self.by == "decade" else 1

    @property
    def period(self) -> Literal["year", "month"]:
        """The parts of the listening time."""
        return "month" if self.first and self.end and self.end - self.first <= _YEAR else "year"


@dataclass(frozen=True, slots=True)
class Bar:
    """What came out in a year, or in the decade that begins with it: the user's count, and that of all users.

    Shares are of what is dated.
    """

    year: int
    count: int
    share: float
    everyone: int
    everyone_share: float


class Quartiles(NamedTuple):
    """Release years that a quarter, half and three quarters are not newer than; each does occur."""

    lower: int
    median: int
    upper: int


@dataclass(frozen=True, slots=True)
class Period:
    """A year or month of listening in which something dated was played: how much of it, and from when it is."""

    start: date
    count: int
    quartiles: Quartiles


class Everyone(NamedTuple):
    """All users of the warehouse together, in the same listening time; albums count once a user."""

    users: int
    dated: int
    quartiles: Quartiles | None


@dataclass(frozen=True, slots=True)
class ReleaseYears:
    """The answer: bars without gaps from the user's oldest to the newest release year, and what has no year."""

    user: str
    question: Question
    total: int
    undated: Mapping[str, int]  # by reason, those that occur
    bars: tuple[Bar, ...]
    decades: tuple[Bar, ...]
    quartiles: Quartiles | None
    periods: tuple[Period, ...]
    everyone: Everyone
    listened: tuple[date, date] | None  # the first days of the first and of the last period with plays

    @property
    def dated(self) -> int:
        """What has a release year."""
        return self.total - sum(self.undated.values())


_WINDOW = "scrobbled_at >= %(first)s::timestamptz AND scrobbled_at < %(end)s::timestamptz"
_PERIOD = "date_trunc(%(period)s, scrobbled_at, 'UTC')"

# Rows are (period or null for the whole time, release year, reason, count).
_PLAYS = f"""
SELECT {_PERIOD}, release_year, CASE WHEN album_name IS NULL THEN 'no_album' ELSE augmentation_status END, count(*)
FROM lastfm_scrobbles WHERE username = %(user)s AND {_WINDOW}
GROUP BY 1, 2, 3
"""  # noqa: S608  (constants of this module)

# An album is an artist and a title. Last.fm gives one album several MBIDs, or none: it counts once for each release
# year found by them, and as undated when none was found. max() prefers the reason that may still go away: pending.
_ALBUMS = f"""
WITH played AS MATERIALIZED (
    SELECT {_PERIOD} AS period, artist_name, album_name, release_year, max(augmentation_status) AS reason
    FROM lastfm_scrobbles WHERE username = %(user)s AND {_WINDOW} AND album_name IS NOT NULL
    GROUP BY 1, 2, 3, 4)
SELECT period, release_year, reason, count(*) FROM (
    SELECT period, release_year, reason,
           count(release_year) OVER (PARTITION BY period, artist_name, album_name) AS years
    FROM played
    UNION ALL
    SELECT NULL, release_year, max(reason), count(release_year) OVER (PARTITION BY artist_name, album_name)
    FROM played GROUP BY artist_name, album_name, release_year) albums
WHERE release_year IS NOT NULL OR years = 0
GROUP BY 1, 2, 3
"""  # noqa: S608

_EVERYONE = """
WITH counted AS MATERIALIZED (
    SELECT username, release_year, count(*) AS count FROM {rows} played GROUP BY 1, 2)
SELECT release_year, sum(count)::bigint, (SELECT count(DISTINCT username) FROM counted) FROM counted GROUP BY 1
"""
_DATED = f"FROM lastfm_scrobbles WHERE {_WINDOW} AND release_year IS NOT NULL"
_EVERYONES = {
    "plays": _EVERYONE.format(rows=f"(SELECT username, release_year {_DATED})"),
    "albums": _EVERYONE.format(rows=f"(SELECT DISTINCT username, release_year, artist_name, album_name {_DATED})"),
}


def release_years(connection: psycopg.Connection, user: str, question: Question) -> ReleaseYears | None:
    """The release years of what *user* played; None for a user whom the warehouse does not know."""
    row = connection.execute("SELECT name FROM users WHERE key = %s", [user_key(user)]).fetchone()
    if row is None:
        return None
    (name,) = row
    values: dict[str, Any] = {
        "user": name,
        "period": question.period,
        "first": question.first or "-infinity",
        "end": question.end or "infinity",
    }
    undated: Counter[str] = Counter()
    years: Counter[int] = Counter()
    by_period: dict[date, Counter[int]] = {}
    rows = connection.execute(_PLAYS if question.measure == "plays" else _ALBUMS, values).fetchall()
    for period, year, reason, count in rows:
        if period is not None:
            counts = by_period.setdefault(period.astimezone(UTC).date(), Counter())
            if year is not None:
                counts[year] += count
        # Plays of the periods add up to those of the whole time, albums do not: they have rows for it.
        if question.measure == "plays" or period is None:
            if year is None:
                undated[reason] += count
            else:
                years[year] += count
    everyones: Counter[int] = Counter()
    users = 0
    for year, count, users in connection.execute(_EVERYONES[question.measure], values):  # noqa: B007  (same in each)
        everyones[year] = count
    return ReleaseYears(
        user=name,
        question=question,
        total=years.total() + undated.total(),
        undated={reason: undated[reason] for reason in REASONS if undated[reason]},
        bars=_bars(years, everyones, question.step),
        decades=_bars(years, everyones, 10),
        quartiles=_quartiles(years),
        periods=tuple(
            Period(start, counts.total(), quartiles)
            for start, counts in sorted(by_period.items())
            if (quartiles := _quartiles(counts))
        ),
        everyone=Everyone(users, everyones.total(), _quartiles(everyones)),
        listened=(min(by_period), max(by_period)) if by_period else None,
    )


def _bars(years: Counter[int], everyones: Counter[int], step: int) -> tuple[Bar, ...]:
    """*years* in bars of *step* years; those of nothing between the first and the last are among them."""
    if not years:
        return ()
    own, all_users = _by_step(years, step), _by_step(everyones, step)
    dated, dated_of_all = own.total(), all_users.total()
    return tuple(
        Bar(year, own[year], own[year] / dated, all_users[year], all_users[year] / dated_of_all)
        for year in range(min(own), max(own) + 1, step)
    )


def _by_step(years: Counter[int], step: int) -> Counter[int]:
    steps: Counter[int] = Counter()
    for year, count in years.items():
        steps[year - year % step] += count
    return steps


def _quartiles(years: Counter[int]) -> Quartiles | None:
    """As percentile_disc of SQL has them."""
    ordered = sorted(years)
    reached = list(accumulate(years[year] for year in ordered))
    if not reached:
        return None
    lower, median, upper = (ordered[bisect_left(reached, reached[-1] * part)] for part in (0.25, 0.5, 0.75))
    return Quartiles(lower, median, upper)
