"""What an answer that is no good one means: the tables, and what to do about each."""

from __future__ import annotations

from lastfm_crawl.services.problems import Action, Rule

#: What development mode does not have any more, whichever of :data:`GONE` says so.
REMOVED = frozenset({"spotify.artists", "spotify.tracks"})
GONE = frozenset({403, 404, 410})
#: The methods that ask for one id, which may be nobody's.
SINGLE = frozenset({"spotify.artist", "spotify.track"})

#: By (HTTP status, what the message or the reason says, in lower case), in order: kind and rule.
SAID: tuple[tuple[int, str, str, Rule], ...] = (
    (400, "invalid limit", "invalid_limit", Rule(Action.REPHRASE)),
    (400, "bearer authentication", "bad_token", Rule(Action.RENEW)),
    (429, "quota_exceeded", "quota_exceeded", Rule(Action.STOP_QUOTA)),
)
#: The same for the methods of :data:`SINGLE`: "invalid id" and "Invalid base62 id" are met, "" is any message.
SAID_OF_ONE: tuple[tuple[int, str, str, Rule], ...] = (
    (400, "invalid id", "not_found", Rule(Action.CONFIRM, "not_found")),
    (400, "base62", "not_found", Rule(Action.CONFIRM, "not_found")),
    (404, "", "not_found", Rule(Action.CONFIRM, "not_found")),
)
#: By HTTP status alone.
STATUSES: dict[int, Rule] = {
    401: Rule(Action.RENEW),
    403: Rule(Action.DENIED),  # not a user of the app, a scope that was not granted, an owner without Premium
    429: Rule(Action.SLOW_DOWN),
}
#: By the ``error`` of a token that was not given (RFC 6749, section 5.2).
TOKEN_ERRORS: dict[str, Rule] = {
    "access_denied": Rule(Action.DENIED),  # the user said no
    "invalid_client": Rule(Action.STOP_KEY),
    "invalid_grant": Rule(Action.DENIED),  # the user's consent is used up, withdrawn or older than six months
    "invalid_request": Rule(Action.STOP_FAULT),
    "invalid_scope": Rule(Action.STOP_FAULT),
    "server_error": Rule(Action.RETRY),
    "temporarily_unavailable": Rule(Action.RETRY),
    "unauthorized_client": Rule(Action.STOP_KEY),
    "unsupported_grant_type": Rule(Action.STOP_FAULT),
}
#: An answer that is no JSON of ours, and whatever a server says from 500 on.
BROKEN = Rule(Action.RETRY)
_REFUSED = Rule(Action.RECORD)


def rule_for(method: str, status: int, message: str | None) -> tuple[str, Rule]:
    """Kind and meaning of an answer of *status*. *message* is what its error object says, None when it has none."""
    if method in REMOVED and status in GONE:
        return "removed_endpoint", Rule(Action.REPHRASE)
    if message is not None:
        for said_with, text, kind, rule in SAID + (SAID_OF_ONE if method in SINGLE else ()):
            if status == said_with and text in message.lower():
                return kind, rule
    if status in STATUSES:
        return f"http_{status}", STATUSES[status]
    # Without an error object a 404 is a proxy's or a wrong URL's, and says nothing of what was asked for.
    refused = 400 <= status < 500 and message is not None
    return f"http_{status}", _REFUSED if refused else BROKEN
