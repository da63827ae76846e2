"""What an answer that is no good one means: the tables, and what to do about each."""

from __future__ import annotations

from lastfm_crawl.services.problems import Action, Rule

#: By what the error says, in lower case, whatever the HTTP status below 500.
NOT_FOUND: tuple[str, ...] = ("not found", "invalid mbid")
RATE_LIMIT = "rate limit"
#: By HTTP status alone. There is no key: who is refused has not said who they are, or is not welcome.
STATUSES: dict[int, Rule] = {
    401: Rule(Action.STOP_KEY),
    403: Rule(Action.STOP_KEY),
    429: Rule(Action.SLOW_DOWN),
    # The rate limit's; a server that is busy or down says the same, and wants the same.
    503: Rule(Action.SLOW_DOWN),
}
#: An answer that is no JSON of ours, and whatever else a server says from 500 on.
BROKEN = Rule(Action.RETRY)
_REFUSED = Rule(Action.RECORD)


def rule_for(method: str, status: int, message: str | None) -> tuple[str, Rule]:
    """Kind and meaning of an answer of *status*. *message* is its ``error``, None when it has none."""
    said = (message or "").lower()
    if RATE_LIMIT in said:
        return "rate_limit", STATUSES[503]
    if status in STATUSES:
        return f"http_{status}", STATUSES[status]
    # No second question to make sure: the ids are the service's own, and it is asked again on another day.
    if method == "musicbrainz.release" and status < 500 and any(text in said for text in NOT_FOUND):
        return "not_found", Rule(Action.RECORD, "not_found")
    # Without an error a 404 is a proxy's or a wrong URL's, and says nothing of what was asked for.
    refused = 400 <= status < 500 and message is not None
    return f"http_{status}", _REFUSED if refused else BROKEN
