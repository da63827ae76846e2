"""The phases of an ingest: in which order, with which words, and what the end of one means for the rest. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Tracks, artists and albums that are asked about for each song that is kept, and songs for each album whose ratings
#: are.
RAW, SONGS_AN_ALBUM = 3, 10
#: The spiders whose work lists are counted before they run: with nothing on them they need not run.
COUNTED = {"top_artists", "top_tracks", "spotify_artists", "spotify_tracks", "musicbrainz", "track_tags"}


class Options(NamedTuple):
    """What is asked for: *seeds* as an argument of a spider, histories up to *until* (a day) or none."""

    seeds: str
    max_users: int
    max_songs: int
    until: str | None = None
    charts: int | None = None

    @property
    def top(self) -> int:
        """So many artists, tracks and albums are asked about, the most played."""
        return RAW * self.max_songs

    @property
    def ratings(self) -> int:
        """Of so many albums the ratings are looked for, the most played."""
        return max(1, self.max_songs // SONGS_AN_ALBUM)


class Phase(NamedTuple):
    """A command of ours that is run for the whole; ``left_out`` says why it is not."""

    name: str  # of the spider, where it is one
    title: str
    words: tuple[str, ...] = ()
    #: What it does not bring keeps nothing else from being done.
    enriches: bool = False
    left_out: str = ""


def plan(options: Options, left_out: Mapping[str, str], sinks: Sequence[str]) -> list[Phase]:
    """All phases in order. *left_out* says by name why one is not run."""
    top = ("-a", f"top={options.top}")
    ratings: tuple[str, ...] = ("-a", f"top={options.ratings}")
    if options.charts is not None:
        ratings = (*ratings, "-a", f"charts={options.charts}")
    phases = [
        _crawl("friends", "friends", "-a", f"seeds={options.seeds}", "-a", f"max_users={options.max_users}"),
        _crawl("top_artists", "top artists"),
        _crawl("top_tracks", "top tracks"),
        _crawl("recent_tracks", "histories", "-a", f"until={options.until}"),
        Phase("match", "match", ("match",)),
        _crawl("spotify_artists", "Spotify artists", *top, enriches=True),
        _crawl("spotify_tracks", "Spotify tracks", *top, enriches=True),
        _crawl("musicbrainz", "MusicBrainz", *top, enriches=True),
        _crawl("track_tags", "tags", *top, enriches=True),
        _crawl("aoty", "AOTY", *ratings, enriches=True),
        Phase("match_again", "match again", ("match",)),
        Phase("songs", "songs", ("songs", "--max-songs", str(options.max_songs))),
        *(Phase(f"sync_{sink}", f"load {sink}", ("sync", sink)) for sink in sinks),
        Phase("quality", "quality", ("quality",)),
    ]
    return [phase._replace(left_out=left_out.get(phase.name, "")) for phase in phases]


def _crawl(name: str, title: str, *words: str, enriches: bool = False) -> Phase:
    return Phase(name, title, ("crawl", name, *words), enriches)


def goes_on(phase: Phase, code: int) -> bool:
    """Whether the next phase is run when *phase* ended with *code*."""
    return code in {Exit.COMPLETE, Exit.LOSSES} or (code == Exit.RESUMABLE and phase.enriches)


def outcome(codes: Iterable[int]) -> Exit:
    """The exit code of the whole. A phase that was killed (by a signal) can be taken up again."""
    worst = {Exit.COMPLETE: 0, Exit.LOSSES: 1, Exit.RESUMABLE: 2, Exit.WRONG_USE: 3, Exit.CRITICAL: 4}
    known = {int(code) for code in Exit}
    ends = (Exit(code) if code in known else Exit.RESUMABLE if code < 0 else Exit.LOSSES for code in codes)
    return max(ends, key=worst.__getitem__, default=Exit.COMPLETE)
