"""The record of every call that the sandbox got.

In: calls as they arrive. Out: what tests ask about them: how many, when, which key, which answer.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping


_CREDENTIALS = frozenset({"api_key", "api_sig", "sk", "token"})


@dataclass(slots=True)
class LoggedRequest:
    """One call: ``at`` is ``time.monotonic()`` of its arrival, ``status`` 0 until answered and if dropped.

    The parameters are held as one string: 100,000 calls are to take some 30 MB, not 100.
    """

    at: float
    method: str
    query: str  # urlencoded parameters without credentials
    api_key: str
    session_key: str
    user_agent: str
    status: int = 0
    fault: str | None = None

    @classmethod
    def of(cls, params: Mapping[str, str], user_agent: str) -> LoggedRequest:
        """Record a call that arrives now."""
        return cls(
            at=time.monotonic(),
            method=sys.intern(params.get("method", "")),
            query=urlencode({name: value for name, value in params.items() if name not in _CREDENTIALS}),
            api_key=sys.intern(params.get("api_key", "")),
            session_key=sys.intern(params.get("sk", "")),
            user_agent=sys.intern(user_agent),
        )

    @property
    def params(self) -> dict[str, str]:
        """Give the parameters as they were sent, without credentials."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def user(self) -> str:
        """Give the user parameter as it was sent."""
        return self.params.get("user", "")

    def as_json(self) -> dict[str, Any]:
        """Show the call without the keys."""
        return {
            "at": self.at,
            "method": self.method,
            "params": self.params,
            "status": self.status,
            "fault": self.fault,
            "user_agent": self.user_agent,
        }
