"""How Last.fm's API talks: build a call, sign its URL, read an answer, say what an error means. Pure: no I/O.

Shapes, limits and error meanings are those of the API documentation (https://www.last.fm/api) and of recorded
answers: an automatic conversion of XML, in which numbers are strings and a list may come as a list, as its only
element, as an empty string, or not at all. All of these are normal here, never exceptions.
"""

from lastfm_crawl.services.lastfm import profile_page
from lastfm_crawl.services.lastfm.auth import (
    Session,
    consent_url,
    login_call,
    read_session,
    read_token,
    signature,
    signed,
)
from lastfm_crawl.services.lastfm.calls import (
    DAY,
    FRIENDS_LIMIT,
    MAX_LIMIT,
    METHODS,
    PAGE_METHOD,
    PERIODS,
    Call,
    PageCall,
    TagsCall,
    call_of,
    get_friends,
    get_info,
    get_loved_tracks,
    get_page,
    get_recent_tracks,
    get_top_albums,
    get_top_artists,
    get_top_tags,
    get_top_tracks,
    get_weekly_chart_list,
)
from lastfm_crawl.services.lastfm.errors import ERRORS, rule_for
from lastfm_crawl.services.lastfm.reading import (
    CHART_LIST_TTL,
    NEGATIVE_TTL,
    PROFILE_TTL,
    TAGS_TTL,
    mark,
    read,
    time_to_live,
)
from lastfm_crawl.services.lastfm.redaction import without_friends
from lastfm_crawl.services.lastfm.shapes import as_list
from lastfm_crawl.services.service import Service

SERVICE = Service(
    "Last.fm",
    "LASTFM_API_URL",
    "LASTFM_API_KEY (and LASTFM_API_SECRET, where somebody is logged in)",
    call_of,
    read,
    mark,
    time_to_live,
    account="LASTFM_API_KEY",
)
#: The site, for profile pages alone: no key goes there.
PAGES = Service(
    "www.last.fm",
    "LASTFM_URL",
    "its robots.txt",
    profile_page.call_of,
    profile_page.read,
    profile_page.mark,
    profile_page.time_to_live,
    robots=True,
)

__all__ = [
    "CHART_LIST_TTL",
    "DAY",
    "ERRORS",
    "FRIENDS_LIMIT",
    "MAX_LIMIT",
    "METHODS",
    "NEGATIVE_TTL",
    "PAGES",
    "PAGE_METHOD",
    "PERIODS",
    "PROFILE_TTL",
    "SERVICE",
    "TAGS_TTL",
    "Call",
    "PageCall",
    "Session",
    "TagsCall",
    "as_list",
    "call_of",
    "consent_url",
    "get_friends",
    "get_info",
    "get_loved_tracks",
    "get_page",
    "get_recent_tracks",
    "get_top_albums",
    "get_top_artists",
    "get_top_tags",
    "get_top_tracks",
    "get_weekly_chart_list",
    "login_call",
    "mark",
    "read",
    "read_session",
    "read_token",
    "rule_for",
    "signature",
    "signed",
    "time_to_live",
    "without_friends",
]
