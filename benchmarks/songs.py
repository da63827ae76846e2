"""How tracks fold into songs: real histories by name alone, and groups to read with one's own eyes.

    python -m benchmarks.songs [--read 200] [--seed 1] [--warehouse 300000]

The histories are those in SHARED_DATA/scrobbles or ../shared/data/scrobbles; there are no recording codes in them.
``--read`` prints so many groups of more than one track, drawn by the seed. ``--warehouse`` builds songs and vectors of
so many invented tracks, twice, in an embedded PostgreSQL of its own. The title fixtures of
SHARED_DATA/matching/title-cleaning say which versions are to be one song and which are not: each title is folded with
its cleaned form. In the half of MusicBrainz 20K that is there, records that fold are counted that are not one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import time
from collections import Counter
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import psycopg

from lastfm_crawl.matching.songs import Song, Track, artist_form, fold_songs
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.song_vectors import build_vectors
from lastfm_crawl.warehouse.songs import build

if TYPE_CHECKING:
    from collections.abc import Callable

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
#: Artists of 60 tracks, some of which are versions of others; 500 users with five plays for each track.
INVENTED = (
    "INSERT INTO artists (name) SELECT 'Artist ' || n FROM generate_series(1, {count} / 60) AS n",
    """INSERT INTO tracks (artist_id, name)
       SELECT a.id, 'Song ' || n / 3 || (ARRAY['', ' - Remastered 2011', ' (Live)'])[n % 3 + 1]
       FROM artists a, generate_series(1, 60) AS n""",
    "INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid) SELECT id, 0, '', '' FROM tracks",
    """INSERT INTO users (key, name, discovered_at)
       SELECT 'user' || n, 'User' || n, now() FROM generate_series(1, 500) AS n""",
    """INSERT INTO scrobbles (user_id, track_id, at, recording_id, seen_at)
       SELECT 1 + (r.track_id * 7 + n * n * 31) % 500, r.track_id, timestamptz '2020-01-01Z' + n * interval '1 day',
              r.id, now()
       FROM recordings r, generate_series(1, 5) AS n""",
    """INSERT INTO spotify_tracks (id, name, key, artist_ids, artist_names, isrc, duration_ms, source, fetched_at)
       SELECT 's' || id, name, '', '{{}}', '{{A}}', 'USAAA' || lpad(id::text, 7, '0'), 200000, 'catalogue', now()
       FROM tracks WHERE id % 3 > 0""",
    """INSERT INTO track_matches (track_id, spotify_id, band, tier, score, runner_up, evidence, source, normaliser,
                                  catalogue, matched_at)
       SELECT id, 's' || id, 'accept', 'exact', 1, 0, '', 'catalogue', 1, 1, now() FROM tracks WHERE id % 3 > 0""",
    "ANALYZE",
)


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


def warehouse(count: int) -> None:
    """Seconds and memory of two builds and of the vectors: *count* tracks, two thirds with a recording code."""
    server = EmbeddedPostgres(Path(mkdtemp()) / "server")
    try:
        conninfo = server.start()
        migrate(conninfo)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            for statement in INVENTED:
                connection.execute(statement.format(count=count))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            work: list[tuple[str, Callable[[psycopg.Connection, float], object]]] = [
                ("first build", lambda c, now: build(c, 10_000, now)),
                ("second build", lambda c, now: build(c, 10_000, now)),
                ("all songs", lambda c, now: build(c, count, now)),
                ("vectors of 10,000", lambda c, now: (build(c, 10_000, now), build_vectors(c, now))),
            ]
            for name, job in work:
                began = time.perf_counter()
                with connection.transaction():
                    result = job(connection, 1.7e9)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                print(f"{name}: {time.perf_counter() - began:.1f} s, peak {peak} MB ({before} before): {result}")
    finally:
        server.remove()


def labelled() -> None:
    """Folded records of MusicBrainz 20K that are of several of its clusters: it says itself which are one."""
    path = DATA / "matching" / "musicbrainz-20k" / "half.csv"
    if not path.is_file():
        print("MusicBrainz 20K: not there")
        return
    with path.open(encoding="utf-8", newline="") as lines:
        # Without an artist, or with a title of figures alone: letters of other scripts were lost on the way.
        rows = [r for r in csv.DictReader(lines) if r["artist"].strip() and any(map(str.isalpha, r["title"]))]
    tracks = [Track(number, row["artist"], row["title"]) for number, row in enumerate(rows)]
    several = [[rows[e.track_id] for e in song.edges] for song in folded(tracks) if len(song.edges) > 1]
    wrong = [group for group in several if len({row["CID"] for row in group}) > 1]
    print(f"MusicBrainz 20K: {len(several)} groups of {len(rows):,} records, {len(wrong)} of several clusters")
    for group in wrong:
        print("    " + " | ".join(f"{row['artist']}: {row['title']} ({row['album']})" for row in group))


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
    parser.add_argument("--warehouse", type=int, default=0)
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
    labelled()
    fixtures()
    if options.warehouse:
        warehouse(options.warehouse)


if __name__ == "__main__":
    main()
