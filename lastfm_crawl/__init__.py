"""Listening histories of Last.fm users, joined to Spotify, MusicBrainz and albumoftheyear.org."""

__version__ = "0.1"
