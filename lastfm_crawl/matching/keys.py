"""What all spellings of one song have in common."""

from __future__ import annotations

from lastfm_crawl.matching.artists import key, main_artist
from lastfm_crawl.matching.titles import parse_title


def track_key(artist: str, title: str) -> str:
    """The key of *title* by *artist*: of the artist without guests, and of the title without its version."""
    return f"{key(main_artist(artist))}\t{key(parse_title(title).base)}"
