"""What a finished run is worth: its exit code and the reasons. Scrapy's own 0 and "finished" prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lastfm_crawl.stop import REASONS, Exit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(NamedTuple):
    """The exit code, and one line for each thing that went wrong."""

    code: Exit
    faults: list[str]


def requests_made(stats: Mapping[str, Any]) -> int:
    """Requests that went to the service, retries included."""
    return sum(count for stat, count in stats.items() if stat.startswith("lastfm_crawl/asked/"))


def judge(stats: Mapping[str, Any]) -> Outcome:
    """The outcome of the run with these final *stats*: everything that was received is counted against what arrived."""
    reason = stats.get("finish_reason")
    stopped = stats.get("lastfm_crawl/stopped")
    faults = [
        f"{count} {what}"
        for stat, what in (
            ("lastfm_crawl/lost", "pages were given up"),
            ("lastfm_crawl/not_loaded", "pages were not loaded; they are in the store, run again"),
            (
                "lastfm_crawl/not_sent",
                "lists of users did not reach a sink; `scrapy status` says why, `scrapy sync` sends them",
            ),
            (
                "lastfm_crawl/logins_ended",
                "logins have ended; `scrapy lastfm login` makes new ones, the log says whose",
            ),
            ("lastfm_crawl/bad_objects", "stored objects cannot be replayed; the log lists them"),
            ("lastfm_crawl/unsteady_windows", "windows kept changing while they were read; run again"),
            ("lastfm_crawl/drifted", "pages have no score where scores are known to be: the markup has changed"),
            ("lastfm_crawl/item_errors", "items failed in a pipeline"),
            ("spider_exceptions/count", "callbacks failed"),
        )
        if (count := stats.get(stat, 0))
    ]
    faults += stats.get("lastfm_crawl/alarms", [])
    yielded, loaded = stats.get("lastfm_crawl/pages", 0), stats.get("lastfm_crawl/pages_loaded", 0)
    if yielded != loaded and not faults:
        faults.append(f"{yielded} pages were parsed, but {loaded} were loaded")
    if reason in REASONS:
        return Outcome(REASONS[reason], [stopped or reason, *faults])
    if reason == "start_error":
        return Outcome(Exit.LOSSES, ["the spider could not start", *faults])
    if reason != "finished":
        return Outcome(Exit.RESUMABLE, [f"stopped early ({reason or 'killed'}); run again to continue", *faults])
    return Outcome(Exit.LOSSES if faults else Exit.COMPLETE, faults)
