"""What is asked of every run when it ends: pure, the figures of the run and of earlier ones in, verdicts out.

A check says nothing where there is too little to judge: a first run, a small one, one that had nothing to do. What
fails costs the exit code 0. Some checks only warn, since what they see can have a good reason that they do not know:
how much is on a page depends on whom it is about, and a repeated run may have been meant to ask again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.extensions.fields import fresh_of
from lastfm_crawl.extensions.outcome import requests_made
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from lastfm_crawl.extensions.fields import Fresh
    from lastfm_crawl.warehouse.queries import EarlierRun

ERRORS = "lastfm_crawl/errors/"
#: Requests below which nothing is said of the share of errors, or of a repeated run.
_REQUESTS = 100
#: Runs that make something usual, and the most that are looked at: what changed for good is usual after a few runs.
_LEAST_RUNS = 3
_MOST_RUNS = 9
#: A field that fewer rows than this have in the usual run is no field to miss.
_RARE = 0.05
#: How far from the usual sizes and shares of errors may be before it is worth a line, as a factor.
_FAR = 3.0
#: Why a row is skipped that has no name worth the word.
_NAMELESS = ("no name", "NUL in name", "name too long")
#: Arguments that say whom and when, not how much is on a page.
_WHOM = ("users", "seeds", "since", "until", "year", "max_users", "max_depth", "max_age", "refresh")
#: Arguments that want to be asked again.
_AGAIN = ("max_age", "refresh")
_DAY = timedelta(days=1)


class Verdict(NamedTuple):
    """What a check found: *value* is what it looked at, *line* says it in a sentence. A warning costs nothing."""

    name: str
    ok: bool
    value: float
    expected: str
    line: str
    warning: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the record of the run."""
        return {"name": self.name, "ok": self.ok, "value": round(self.value, 4), "expected": self.expected} | (
            {"warning": True} if self.warning else {}
        )


class Limits(NamedTuple):
    """The settings MONITOR_MAX_ERRORS, MONITOR_MIN_COVERAGE, MONITOR_LOST_FIELD and MONITOR_MIN_ROWS."""

    errors: float
    coverage: float
    lost_field: float
    rows: float


@dataclass(frozen=True, slots=True)
class Examined:
    """The run that ends."""

    stats: Mapping[str, Any]
    arguments: Mapping[str, str]
    members_before: int
    started_at: datetime
    offline: bool
    of_users: bool  # and not of a backlog, from which each run takes the next


def examine(run: Examined, earlier: Sequence[EarlierRun], limits: Limits) -> list[Verdict]:
    """The verdicts about *run*; *earlier* are runs of the same spider, the newest first."""
    fresh = fresh_of(run.stats)
    past = [(other, fresh_of(other.stats)) for other in earlier]
    verdicts = [*_errors(run, earlier, limits), *_store(run), *_repeat(run, earlier)]
    least = max(limits.rows, 1)
    for method, figures in sorted(fresh.items()):
        if figures.rows >= least:
            verdicts += _required(method, figures, limits)
        enough = [(o, f[method]) for o, f in past if method in f and f[method].rows >= least]
        if figures.rows >= least and len(enough) >= _LEAST_RUNS:
            verdicts += _lost_fields(method, figures, [f for _, f in enough[:_MOST_RUNS]], limits)
        # Pages that are all empty are few rows: the number of pages says whether there is something to compare.
        alike = [f for other, f in enough if _kind(other.arguments) == _kind(run.arguments)][:_MOST_RUNS]
        if len(alike) >= _LEAST_RUNS and figures.pages >= median(f.pages for f in alike) / _FAR:
            verdicts += _sizes(method, figures, alike)
    return verdicts


def surely_above(part: int, whole: int, limit: float) -> bool:
    """Whether *part* in *whole* is more than what chance makes of a share of *limit*: Wilson's lower bound, 2 sigma."""
    share, z2 = min(part / whole, 1), 4 / whole  # what fails on the way to the wire was not asked
    lowest = (share + z2 / 2 - math.sqrt(share * (1 - share) * z2 + z2 * z2 / 4)) / (1 + z2)
    return lowest > limit


def errors_of(stats: Mapping[str, Any]) -> dict[str, int]:
    """Answers (and failed downloads) that were errors, by kind, the most frequent first."""
    found = {stat.removeprefix(ERRORS): n for stat, n in stats.items() if stat.startswith(ERRORS)}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def _errors(run: Examined, earlier: Sequence[EarlierRun], limits: Limits) -> Iterator[Verdict]:
    asked, kinds = requests_made(run.stats), errors_of(run.stats)
    count = sum(kinds.values())
    if asked < _REQUESTS:
        return
    share = count / asked
    what = ", ".join(f"{kind}: {n:,}" for kind, n in kinds.items())
    line = f"{share:.0%} of {asked:,} requests brought errors ({what or 'none'})"
    ok = not surely_above(count, asked, limits.errors)
    because = "" if ok else f", more than MONITOR_MAX_ERRORS={limits.errors:g}: is the service ill?"
    yield Verdict("errors", ok, share, f"at most {limits.errors:g}", line + because)
    before = [
        sum(errors_of(other.stats).values()) / requests_made(other.stats)
        for other in earlier
        if requests_made(other.stats) >= _REQUESTS
    ][:_MOST_RUNS]
    if ok and len(before) >= _LEAST_RUNS:
        most = max(_FAR * median(before), _RARE)
        unusual = surely_above(count, asked, most)
        tail = f"; {median(before):.0%} are usual" if unusual else ""
        yield Verdict("errors/usual", not unusual, share, f"at most {most:.3g}", line + tail, warning=True)


def _store(run: Examined) -> Iterator[Verdict]:
    """What an offline run lacks: a warning, for the window of a history that ends now is never in a store."""
    hits, missing = run.stats.get("httpcache/hit", 0), run.stats.get("httpcache/ignore", 0)
    if run.offline and hits + missing:
        line = f"{missing:,} of {hits + missing:,} answers are not in the store, and this run was to be offline"
        yield Verdict("store", not missing, hits / (hits + missing), "1", line, warning=hits >= missing)


def _repeat(run: Examined, earlier: Sequence[EarlierRun]) -> Iterator[Verdict]:
    """A complete run, done again the same day with nobody new, has next to nothing to ask for."""
    if run.offline or not run.of_users or any(run.arguments.get(name) for name in _AGAIN):
        return
    for other in earlier:
        same = (_given(other.arguments), other.members_before) == (_given(run.arguments), run.members_before)
        if not same or other.exit_code != Exit.COMPLETE or run.started_at - other.finished_at > _DAY:
            continue
        asked, then = requests_made(run.stats), requests_made(other.stats)
        if then >= _REQUESTS:
            line = f"{asked:,} requests, though the same run was complete with {then:,} of them within a day before"
            yield Verdict("repeat", asked <= then / 2, asked, f"at most {then // 2}", line, warning=True)
            return


def _required(method: str, fresh: Fresh, limits: Limits) -> Iterator[Verdict]:
    """What no row may lack: a name, and the plays in a list of what is played most."""
    shares = {"name": 1 - sum(fresh.skipped.get(why, 0) for why in _NAMELESS) / fresh.rows}
    if "playcounts" in fresh.filled and fresh.kept:
        shares["playcounts"] = fresh.filled["playcounts"] / fresh.kept
    for name, share in shares.items():
        ok = share >= limits.coverage
        line = f"{share:.0%} of {fresh.rows:,} rows of {method} have a {name.removesuffix('s')}" + (
            "" if ok else f", less than MONITOR_MIN_COVERAGE={limits.coverage:g}: has the answer changed its shape?"
        )
        yield Verdict(f"fields/{method}/{name}", ok, share, f"at least {limits.coverage:g}", line)


def _lost_fields(method: str, fresh: Fresh, usual: Sequence[Fresh], limits: Limits) -> Iterator[Verdict]:
    """Fields that rows usually have. How many have one differs much between listeners; that nearly none has is news.

    Of a thousand plays in a row of one listener 10 to 69 in a hundred had the id of an album: with a fifth of the usual
    as the limit two in a hundred comparisons of two real histories were false alarms, with a tenth none was.
    """
    for name in sorted({name for f in usual for name in f.filled}):
        before = [f.filled.get(name, 0) / f.kept for f in usual if f.kept]
        if len(before) < _LEAST_RUNS or not fresh.kept or median(before) < _RARE:
            continue
        share, least = fresh.filled.get(name, 0) / fresh.kept, limits.lost_field * median(before)
        ok = share >= least or share >= min(before) / 2
        line = f"{share:.0%} of {fresh.kept:,} rows of {method} have {name}, {median(before):.0%} are usual" + (
            "" if ok else ": has the answer changed its shape?"
        )
        yield Verdict(f"usual/{method}/{name}", ok, share, f"at least {least:.3g}", line)


_SIZES: Mapping[str, Callable[[Fresh], int]] = {"rows": lambda fresh: fresh.rows, "bytes": lambda fresh: fresh.bytes}


def _sizes(method: str, fresh: Fresh, usual: Sequence[Fresh]) -> Iterator[Verdict]:
    for name, size in _SIZES.items():
        before = median(size(f) / f.pages for f in usual)
        value = size(fresh) / fresh.pages
        ok = before / _FAR <= value <= before * _FAR
        line = f"{value:,.0f} {name} on a page of {method}, {before:,.0f} are usual"
        expected = f"{before / _FAR:.0f} to {before * _FAR:.0f}"
        yield Verdict(f"usual/{method}/{name} a page", ok, value, expected, line, warning=True)


def _kind(arguments: Mapping[str, str]) -> dict[str, str]:
    """Those of *arguments* that say how much is on a page."""
    return {name: value for name, value in _given(arguments).items() if name not in _WHOM}


def _given(arguments: Mapping[str, str]) -> dict[str, str]:
    """*arguments* without what Scrapyd adds."""
    return {name: value for name, value in arguments.items() if not name.startswith("_")}
