"""What is said of figures, in the same words on a terminal, in a picture and on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from datetime import date

    from lastfm_crawl.insight.years import Bar, Question, ReleaseYears

_REASONS = {
    "pending": "not looked up yet",
    "not_found": "not found in MusicBrainz",
    "matched": "without a date in MusicBrainz",
    "fuzzy_matched": "without a date in MusicBrainz (fuzzy match)",
    "no_album": "played without an album",
}


def printable(text: str) -> str:
    """*text* without what would steer a terminal or has no picture."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def name(years: ReleaseYears) -> str:
    """The user's name without what would steer a terminal or has no picture."""
    return printable(years.user)


def profile_url(years: ReleaseYears) -> str:
    """The user's page on Last.fm."""
    return f"https://www.last.fm/user/{quote_plus(years.user)}"


def percent(part: int, whole: int) -> str:
    """A share as ``85.2 %``; what is not all or nothing never reads as that."""
    share = 100 * part / whole if whole else 0.0
    if 0 < part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.1f} %".replace(".0 %", " %")


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 20 min``, ``6 days 4 h``: two units at most."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} day{'s' if days > 1 else ''}" + (f" {hours} h" if hours else "")


def megabytes(size: float) -> str:
    """A size in bytes as ``12.3 MB``, from a thousand of these on as ``4.5 GB``."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def amount(count: int, question: Question) -> str:
    """``1,234 plays``, ``1 album``."""
    return f"{count:,} {question.measure if count != 1 else question.measure[:-1]}"


def label(bar: Bar, question: Question) -> str:
    """``1977``, ``1970s``."""
    return f"{bar.year}s" if question.by == "decade" else str(bar.year)


def period(start: date, question: Question) -> str:
    """``2016``, ``2016-03``."""
    return f"{start:%Y-%m}" if question.period == "month" else f"{start:%Y}"


def title(years: ReleaseYears, length: int | None = None) -> str:
    """Whose years they are; of a name longer than *length* only the beginning."""
    user = name(years)
    short = user if length is None or len(user) <= length else f"{user[:length]}…"
    return f"Which years the music of {short} comes from"


def listening(years: ReleaseYears) -> str:
    """When it was played: ``played in 2016``, ``played from 2009 to 2024``."""
    question = years.question
    if question.is_listening_year and question.first:
        return f"played in {question.first.year}"
    if question.first or question.end:
        since = f"from {question.first:%Y-%m-%d}" if question.first else ""
        until = f"before {question.end:%Y-%m-%d}" if question.end else ""
        return f"played {' and '.join(filter(None, (since, until)))}"
    if years.listened is None:
        return "never played"
    first, last = (period(start, question) for start in years.listened)
    return f"played in {first}" if first == last else f"played from {first} to {last}"


def coverage(years: ReleaseYears) -> str:
    """``85.2 % of 12,345 plays dated``."""
    return f"{percent(years.dated, years.total)} of {amount(years.total, years.question)} dated"


def undated(years: ReleaseYears) -> str:
    """Why the others have no year: ``1,234 not looked up yet, 12 not found in MusicBrainz``; empty when all have."""
    return ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in years.undated.items())


def middle(years: ReleaseYears) -> str:
    """``median 1994, the middle half from 1985 to 2007``; empty when nothing is dated."""
    if years.quartiles is None:
        return ""
    lower, median, upper = years.quartiles
    if lower == upper:
        return f"median {median}"
    return f"median {median}, the middle half from {lower} to {upper}"


def everyone(years: ReleaseYears) -> str:
    """``all 12 users: median 1998``; empty when there is nobody to compare with."""
    if years.everyone.users < 2 or years.everyone.quartiles is None:
        return ""
    return f"all {years.everyone.users:,} users: median {years.everyone.quartiles.median}"


def bar(one: Bar, years: ReleaseYears) -> str:
    """All about one bar: ``1977: 42 plays, 3.1 % (all users 2 %)``."""
    text = f"{label(one, years.question)}: {amount(one.count, years.question)}, {percent(one.count, years.dated)}"
    return f"{text} (all users {percent(one.everyone, years.everyone.dated)})" if everyone(years) else text
