"""How albumoftheyear.org talks: pages of albums, artists and charts, saved or fetched, as items. Pure: no I/O.

The site has no API. What is read was seen in pages of May 2026 and described for 2025 (see ``album`` and ``lists``).
It is asked slowly, as robots.txt allows, never for a search, and not at all once it shows a challenge.
"""

from lastfm_crawl.services.aoty.album import drifted
from lastfm_crawl.services.aoty.calls import DISALLOWED, METHODS, SITE, Call, get_album, get_artist, get_list
from lastfm_crawl.services.aoty.challenge import is_challenge, refusal
from lastfm_crawl.services.aoty.reading import (
    CSV_COLUMNS,
    GOOD_TTL,
    NEGATIVE_TTL,
    mark,
    read,
    read_csv_row,
    read_saved,
    time_to_live,
)
from lastfm_crawl.services.service import Service

SERVICE = Service(
    "albumoftheyear.org",
    "AOTY_URL",
    "its robots.txt and its terms",
    Call.of,
    read,
    mark,
    time_to_live,
    refusal=refusal,
    proxy="AOTY_PROXY_URL",
    longest_wait=600,
    blind_wait=60,
    robots=True,
)

__all__ = [
    "CSV_COLUMNS",
    "DISALLOWED",
    "GOOD_TTL",
    "METHODS",
    "NEGATIVE_TTL",
    "SERVICE",
    "SITE",
    "Call",
    "drifted",
    "get_album",
    "get_artist",
    "get_list",
    "is_challenge",
    "mark",
    "read",
    "read_csv_row",
    "read_saved",
    "refusal",
    "time_to_live",
]
