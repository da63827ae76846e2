"""How Spotify's Web API talks: build a call and its URL, read an answer, say what an error means, log in. Pure: no I/O.

An app is assumed to be in development mode, as all new ones are: one id a look-up, at most 10 rows a search, no
popularity and no followers. More is taken where it comes, and what is missing is None. Shapes are those of the
reference (https://developer.spotify.com/documentation/web-api) and of recorded answers.
"""

from lastfm_crawl.services.service import Service
from lastfm_crawl.services.spotify.auth import (
    SCOPE,
    Token,
    TokenRequest,
    authorize_url,
    challenge_of,
    client_credentials,
    code_exchange,
    read_token,
    refresh,
)
from lastfm_crawl.services.spotify.calls import (
    KINDS,
    MAX_IDS,
    MAX_QUERY,
    METHODS,
    PERSONAL,
    SEARCH_LIMIT,
    TIME_RANGES,
    Call,
    get_artist,
    get_artists,
    get_me,
    get_top,
    get_track,
    get_tracks,
    search_artists,
    search_isrc,
    search_tracks,
)
from lastfm_crawl.services.spotify.errors import rule_for
from lastfm_crawl.services.spotify.reading import GOOD_TTL, NEGATIVE_TTL, mark, read, time_to_live

SERVICE = Service(
    "Spotify",
    "SPOTIFY_API_URL",
    "SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET",
    Call.of,
    read,
    mark,
    time_to_live,
    account="SPOTIFY_CLIENT_ID",
    longest_wait=60,
    blind_wait=30,
)

__all__ = [
    "GOOD_TTL",
    "KINDS",
    "MAX_IDS",
    "MAX_QUERY",
    "METHODS",
    "NEGATIVE_TTL",
    "PERSONAL",
    "SCOPE",
    "SEARCH_LIMIT",
    "SERVICE",
    "TIME_RANGES",
    "Call",
    "Token",
    "TokenRequest",
    "authorize_url",
    "challenge_of",
    "client_credentials",
    "code_exchange",
    "get_artist",
    "get_artists",
    "get_me",
    "get_top",
    "get_track",
    "get_tracks",
    "mark",
    "read",
    "read_token",
    "refresh",
    "rule_for",
    "search_artists",
    "search_isrc",
    "search_tracks",
    "time_to_live",
]
