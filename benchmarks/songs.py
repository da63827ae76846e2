"""How tracks fold into songs: real histories by name alone, and groups to read with one's own eyes.

    python -m benchmarks.songs [--read 200] [--seed 1] [--speed 300000]

The histories are those in SHARED_DATA/scrobbles or ../shared/data/scrobbles; there are no recording codes in them.
``--read`` prints so many groups of more than one track, drawn by the seed. ``--speed`` folds so many invented tracks
with ids. The title fixtures of SHARED_DATA/matching/title-cleaning say which versions are to be one song and which
are not: each title is folded with its cleaned form.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

from lastfm_crawl.matching.songs import Song, Track, artist_form, fold_songs

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
#: Fixtures of versions, and whether the version is the song.
FIXTURES = {
    "remove-remastered": True,
    "remove-reissue": True,
    "remove-clean-explicit": True,
    "remove-feature": True,
    "remove-live": False,
    "remove-parody": False,
}


def played() -> list[Track]:
    """The tracks of all histories, each once, with its plays."""
    plays: Counter[tuple[str, str]] = Counter()
    for path in sorted((DATA / "scrobbles").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                plays[row["artist"], row["track"]] += 1
    return [Track(n, *names, plays=count) for n, (names, count) in enumerate(sorted(plays.items()))]


def folded(tracks: list[Track]) -> list[Song]:
    """The songs of *tracks*, artist after artist, as the warehouse folds them."""
    forms = {artist: artist_form(artist) for artist in {track.artist for track in tracks}}
    ordered = sorted(tracks, key=lambda track: forms[track.artist])
    blocks = groupby(ordered, key=lambda track: forms[track.artist])
    return [song for _, block in blocks for song in fold_songs(block)]


def invented(count: int) -> list[Track]:
    """Tracks of a few thousand artists, some with ids that they share."""
    rng = random.Random(1)
    versions = ("", "", "", "", " - Remastered 2011", " (Live)", " (feat. Somebody)", " [Deluxe]", " (X Remix)")
    return [
        Track(
            n, f"artist {rng.randrange(count // 60)}", f"song {rng.randrange(40)}{rng.choice(versions)} {n % 7 * '!'}",
            rng.randrange(100), f"USAAA{rng.randrange(count):07}" if n % 3 else None, None, None, rng.uniform(150, 400),
        )
        for n in range(count)
    ]  # fmt: skip


def fixtures() -> None:
    """How many titles fold with their cleaned form where they should, or stay apart where they should."""
    for name, same in FIXTURES.items():
        path = DATA / "matching" / "title-cleaning" / f"{name}.json"
        if not path.is_file():
            print(f"{name}: not there")
            continue
        pairs = set()
        for case in json.loads(path.read_text(encoding="utf-8")):
            text = case.get("funcParameter", case.get("fieldValue"))
            if text and text != case["expectedValue"]:
                pairs.add((text, case["expectedValue"]))
        wrong = [p for p in sorted(pairs) if (len(fold_songs([Track(1, "A", p[0]), Track(2, "A", p[1])])) == 1) != same]
        print(f"{name}: {len(pairs) - len(wrong)} of {len(pairs)} {'fold' if same else 'stay apart'}; not: {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=int, default=0)
    options = parser.parse_args()
    tracks = played()
    songs = folded(tracks)
    several = [song for song in songs if len(song.edges) > 1]
    print(f"{len(tracks):,} played tracks: {len(songs):,} songs, {len(several):,} of more than one track")
    titles = {track.id: track for track in tracks}
    chosen = random.Random(options.seed).sample(several, min(options.read, len(several)))
    for number, song in enumerate(chosen, 1):
        print(
            f"{number:3} " + " | ".join(f"{titles[e.track_id].artist}: {titles[e.track_id].title}" for e in song.edges)
        )
    fixtures()
    if options.speed:
        tracks = invented(options.speed)
        began = time.perf_counter()
        songs = folded(tracks)
        print(f"{len(tracks):,} invented tracks in {time.perf_counter() - began:.1f} s: {len(songs):,} songs")


if __name__ == "__main__":
    main()
