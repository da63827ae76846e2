"""What an answer that holds nothing to load means, whichever service gave it, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Action(Enum):
    """What the crawler does about an answer that is no page."""

    RETRY = "ask again after a pause"
    RETRY_SMALLER = "ask again after a pause; a big page may never come, a smaller one may"
    SLOW_DOWN = "slow the whole host down, then ask again"
    CONFIRM = "ask once more; only when the answer is the same is it believed and recorded"
    RECORD = "record it and go on"
    REPHRASE = "the question is not taken in this form: tell the spider, which asks in another"
    RENEW = "the credentials are worn out: ask again with fresh ones; refused with those, too, they are DENIED"
    DENIED = "record it; repeated without a good answer between, it is the key: stop"
    STOP_KEY = "the key is refused: stop at once"
    STOP_QUOTA = "no more today: stop at once, and ask nothing before the time that the answer names"
    STOP_FAULT = "this program asked wrongly: stop at once"


class Rule(NamedTuple):
    """What an error means: what to do, and the status that its subject gets if it is recorded."""

    action: Action
    status: str = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is no page. ``kind`` is short and stable, for counting: ``error_8``, ``wrong_user``."""

    rule: Rule
    kind: str
    message: str

    @property
    def lasting(self) -> bool:
        """Whether an answer that was stored as this one is a result; any other should not have been stored."""
        action, status = self.rule
        return action is Action.CONFIRM or (action is Action.RECORD and status != "error")
