"""Whether a track is on one of some albums with known track lists, and how far that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from lastfm_crawl.matching.rows import Record
from lastfm_crawl.matching.tracks import TrackCandidate, match_track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lastfm_crawl.matching.names import Match

MatchType = Literal["track_match", "album_match", "artist_match", "no_match"]
Confidence = Literal["high", "medium", "low"]
#: What is left of a score when the album is one of the artist's, but none that the track was played from.
OTHER_ALBUM = 0.9


class ListedTrack(NamedTuple):
    """A track of an album's list. ``played``: the track that is looked for was played from that album."""

    album: int
    place: int
    title: str
    artists: tuple[str, ...]
    album_title: str = ""
    seconds: int | None = None
    played: bool = False


class ListedMatch(NamedTuple):
    """What a track is: ``album`` and ``place`` of its list where they are known, and why in one sentence."""

    match_type: MatchType
    confidence: Confidence
    score: float
    album: int | None
    place: int | None
    reason: str


def match_listed(
    artist: str, title: str, tracks: Sequence[ListedTrack], played_album: int | None, *, artist_known: bool
) -> ListedMatch:
    """The one of *tracks* that *title* by *artist* is.

    High confidence: it is sure, and on the album it was played from (*played_album*, if that is known). Medium: it is
    sure, but on another album of the artist. Low: somebody should look. Without a track there may still be an album,
    or an artist.
    """
    by_id = {f"{track.album}:{track.place}": track for track in tracks}
    # The album it was played from first: another edition may have it as well.
    match = _match(artist, title, [track for track in tracks if track.played])
    if match.band != "accept":
        match = _match(artist, title, tracks)
    if match.id is not None:
        track = by_id[str(match.id)]
        score = match.score * (1.0 if track.played else OTHER_ALBUM)
        sure: Confidence = "high" if track.played else "medium"
        where = f"{'of' if track.played else 'not of the album played, but of'} {track.album_title!r}"
        confidence: Confidence = sure if match.band == "accept" else "low"
        return ListedMatch("track_match", confidence, score, track.album, track.place, f"{match.evidence}; {where}")
    if played_album is not None:
        return ListedMatch("album_match", "low", 0.5, played_album, None, "the album is there, the track is not")
    if artist_known:
        return ListedMatch("artist_match", "low", 0.2, None, None, "other albums of the artist are there")
    return ListedMatch("no_match", "low", 0.0, None, None, "no album of the artist is there")


def _match(artist: str, title: str, tracks: Sequence[ListedTrack]) -> Match:
    candidates = [
        TrackCandidate(f"{track.album}:{track.place}", track.title, track.artists, duration=track.seconds)
        for track in tracks
    ]
    return match_track(Record(title, artist), candidates)
