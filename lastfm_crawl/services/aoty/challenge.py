"""Telling the site's own pages from what is put in their place: challenges, denials, somebody else's pages.

No challenge is solved and no block is gone round: whoever meets one stops, and comes back another day.
"""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from lastfm_crawl.services.problems import Action, Problem, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The run ends, resumable, and the next ones leave the site alone for a day: nothing is said about what was asked.
CHALLENGED = Rule(Action.STOP_QUOTA, "unavailable")

#: What the site says of itself in every page; a challenge may name the host in its text, but none of these.
_OF_THE_SITE = re.compile(
    rb"""property="og:site_name"[^>]{0,20}content="Album\ of\ The\ Year"
    |name="twitter:site"[^>]{0,20}content="@aoty"
    |rel="canonical"[^>]{0,20}href="https?://(?:www\.)?albumoftheyear\.org/
    |property="og:url"[^>]{0,20}content="https?://(?:www\.)?albumoftheyear\.org/
    |class="(?:albumBlock|albumListRow|albumHeadline|albumTopBox)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SITE_TITLE = "album of the year"
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,300})", re.IGNORECASE)
#: How the titles of challenges and denials begin.
_TITLES = (
    "just a moment",
    "attention required",
    "access denied",
    "access to this page has been denied",
    "checking your browser",
    "ddos protection",
    "ddos-guard",
    "loading... please wait",
    "one more step",
    "please wait",
    "pardon our interruption",
    "security check",
    "verify you are human",
    "verifying you are human",
    "you are being redirected",
    "you have been blocked",
)
#: What challenges are made of.
_MARKS = re.compile(
    rb"cf-browser-verification|challenge-form|jschl[_-]|_cf_chl_opt|cf_chl_|cf-captcha-container|cf-turnstile"
    rb"|sucuri_cloudproxy_js|[gh]-recaptcha|hcaptcha\.com|google\.com/recaptcha",
    re.IGNORECASE,
)
_WHOLE = re.compile(rb"</html\s*>", re.IGNORECASE)


def is_challenge(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Why this answer is not the site's own, or "". A server's failure (5xx) and half a page are no challenges."""
    mitigated = next((value for name, value in headers.items() if name.lower() == "cf-mitigated"), "")
    if mitigated:
        return f"cf-mitigated: {mitigated[:40]}"
    title = _title(body)
    own = title.endswith(_SITE_TITLE) or _OF_THE_SITE.search(body) is not None
    if title.startswith(_TITLES) and not own:
        return f"a page titled {title[:60]!r}"
    if status in {401, 403, 451}:
        return f"HTTP {status}"
    if own:
        return ""
    if mark := _MARKS.search(body):
        return f"a page with {mark[0].decode()}"
    return "a page that is not the site's" if status < 300 and _WHOLE.search(body) else ""


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Problem | None:
    """The same as a problem, before anything else is read from the answer."""
    why = is_challenge(status, headers, body)
    return (
        Problem(CHALLENGED, "challenge", f"HTTP {status}, no page but a challenge or a denial: {why}") if why else None
    )


def _title(body: bytes) -> str:
    found = _TITLE.search(body)
    return " ".join(unescape(found[1].decode("utf-8", "replace")).split()).lower() if found else ""
