"""How MusicBrainz's web service talks: build a call and its URL, read an answer, say what an error means. Pure: no I/O.

Asked is for releases (what Last.fm's album ids name) with their release group, and, for albums without an id, for
release groups by name. Shapes are those of the documentation (https://musicbrainz.org/doc/MusicBrainz_API) and of
recorded answers. One question a second, and a User-Agent that names a contact.
"""

from lastfm_crawl.services.musicbrainz.calls import (
    MAX_PHRASE,
    METHODS,
    SEARCH_LIMIT,
    VARIOUS_ARTISTS,
    Call,
    get_release,
    is_mbid,
    search_release_groups,
)
from lastfm_crawl.services.musicbrainz.errors import rule_for
from lastfm_crawl.services.musicbrainz.reading import RECHECK_TTL, mark, read, read_date, time_to_live
from lastfm_crawl.services.service import Service

SERVICE = Service(
    "MusicBrainz",
    "MUSICBRAINZ_API_URL",
    "CONTACT (a mail address or URL of yours)",
    Call.of,
    read,
    mark,
    time_to_live,
)

__all__ = [
    "MAX_PHRASE",
    "METHODS",
    "RECHECK_TTL",
    "SEARCH_LIMIT",
    "SERVICE",
    "VARIOUS_ARTISTS",
    "Call",
    "get_release",
    "is_mbid",
    "mark",
    "read",
    "read_date",
    "rule_for",
    "search_release_groups",
    "time_to_live",
]
