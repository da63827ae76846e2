"""What an answer that is no page means: the table of codes, and what to do about each."""

from __future__ import annotations

from lastfm_crawl.services.problems import Action, Rule

#: By code, as listed at https://www.last.fm/api/errorcodes and met by others. Code 6 is told apart by its message.
ERRORS: dict[int, Rule] = {
    1: Rule(Action.RETRY_SMALLER),  # unexpected server error, in no official list
    2: Rule(Action.RETRY),  # service offline
    3: Rule(Action.STOP_FAULT),  # invalid method
    4: Rule(Action.RENEW),  # authentication failed: where a user is logged in, with their session
    5: Rule(Action.STOP_FAULT),  # invalid format
    7: Rule(Action.RECORD),  # invalid resource
    8: Rule(Action.RETRY_SMALLER),  # operation failed
    9: Rule(Action.RENEW),  # invalid session key: the user took it back
    10: Rule(Action.STOP_KEY),  # invalid API key
    11: Rule(Action.RETRY),  # service offline
    13: Rule(Action.STOP_KEY),  # invalid method signature: the secret is not that of the key
    14: Rule(Action.DENIED),  # token not authorised
    15: Rule(Action.DENIED),  # token expired
    16: Rule(Action.RETRY_SMALLER),  # temporarily unavailable
    17: Rule(Action.RECORD, "private"),  # login required: the user hides this
    26: Rule(Action.STOP_KEY),  # API key suspended
    27: Rule(Action.STOP_FAULT),  # deprecated method
    29: Rule(Action.SLOW_DOWN),  # rate limit exceeded
}
#: Code 6 by what its message says, in order; lower case.
MESSAGES_OF_6: tuple[tuple[str, Rule], ...] = (
    ("user not found", Rule(Action.CONFIRM, "not_found")),
    ("no user with that name", Rule(Action.CONFIRM, "not_found")),  # 2013
    ("invalid user supplied", Rule(Action.CONFIRM, "not_found")),  # 2013
    # No second question to make sure: what it is about goes on without it, and it is asked again on another day.
    ("track not found", Rule(Action.RECORD, "not_found")),
    ("artist you supplied could not be found", Rule(Action.RECORD, "not_found")),
    ("out of bounds", Rule(Action.STOP_FAULT)),
    ("parameter", Rule(Action.STOP_FAULT)),
)
#: By HTTP status, for answers without a code that says more.
STATUSES: dict[int, Rule] = {
    401: Rule(Action.DENIED),
    403: Rule(Action.DENIED),
    429: Rule(Action.SLOW_DOWN),
}
_SERVER_ERROR = Rule(Action.RETRY_SMALLER)
BROKEN = Rule(Action.RETRY)
_UNKNOWN_CODE = Rule(Action.RECORD)
NO_SUCH_PAGE = "no such page"
LOGIN_REQUIRED = "user required to be logged in"


def rule_for(code: int | None, status: int, message: str) -> Rule:
    """What an error means, judged by the body's code first and by the HTTP status after that."""
    lowered = message.lower()
    if LOGIN_REQUIRED in lowered:
        return ERRORS[17]  # whatever the code and the status: 403 is documented, others met 400 and 401
    if code == 6:
        unknown = Rule(Action.CONFIRM, "not_found") if status == 404 else _UNKNOWN_CODE
        return next((rule for text, rule in MESSAGES_OF_6 if text in lowered), unknown)
    if code is not None and code in ERRORS:
        return ERRORS[code]
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return _SERVER_ERROR
    return _UNKNOWN_CODE if code is not None else BROKEN
