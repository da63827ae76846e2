"""Albums as they are scrobbled among the albums of their artist: how many are found rightly, and how many a second.

    SHARED_DATA=… python -m benchmarks.albums [--show]

The albums are those of two real histories that have an MBID; the candidates for each are all albums of its artist. Each
is asked for as another play with the same MBID writes it, in variations that leave it the same album, and in some that
do not. ``absent`` is the album's own name when only the artist's other albums are there. --show prints what was wrong
or missed, for reading. The peer is the model of tracks on the same pairs. The histories know neither years nor types:
what the rules make of those is not measured.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lastfm_crawl.matching.album_titles import parse_album
from lastfm_crawl.matching.albums import AlbumCandidate, album_key, match_album
from lastfm_crawl.matching.artists import key, main_artist
from lastfm_crawl.matching.model import shipped
from lastfm_crawl.matching.normalise import fold
from lastfm_crawl.matching.records import features, prepare
from lastfm_crawl.matching.rows import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EDITIONS = (
    " (Deluxe Edition)", " [2011 Remaster]", " - Remastered", " (20th Anniversary Edition)", " (Disc 1)",
    " (Bonus Track Version)", " [Explicit]", " (Expanded & Remastered)",
)  # fmt: skip
#: Of what was missed so many of each kind.
MOST_SHOWN = 20


class Query(NamedTuple):
    """An album that is asked for, and the id that is right; none, if none is."""

    kind: str
    artist: str
    title: str
    meant: str | None
    candidates: list[AlbumCandidate]


def plays() -> Iterator[dict[str, str]]:
    for path in sorted((Path(os.environ["SHARED_DATA"]) / "scrobbles").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def queries(rng: random.Random) -> Iterator[Query]:
    """Every album with an MBID, asked for in every way that changes its name."""
    spellings = names_of_albums()
    albums: dict[str, dict[str, AlbumCandidate]] = defaultdict(dict)
    for mbid, names in sorted(spellings.items()):
        artist, title = min(names)
        albums[key(main_artist(artist))].setdefault(album_key(artist, title), AlbumCandidate(mbid, title, artist))
    for of_artist in albums.values():
        for album in of_artist.values():
            yield from queries_for(album, list(of_artist.values()), spellings[album.id], rng)


def names_of_albums() -> dict[str, set[tuple[str, str]]]:
    """Artist and title as each MBID was scrobbled."""
    spellings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for play in plays():
        if play["album"] and play["album_mbid"]:
            spellings[play["album_mbid"]].add((play["artist"], play["album"]))
    return spellings


def queries_for(
    album: AlbumCandidate, candidates: list[AlbumCandidate], names: set[tuple[str, str]], rng: random.Random
) -> Iterator[Query]:
    for artist, title in sorted(names):
        if fold(title) != fold(album.title):
            yield Query("real: another spelling", artist, title, album.id, candidates)
    for kind, vary in VARIATIONS.items():
        artist, title = vary(album, rng)
        # A live album that is said to be live is no other one, nor is the best of the best.
        same = kind.startswith("another") and parse_album(album.title).kinds & {"live", "compilation"}
        if (fold(artist), fold(title)) != (fold(album.artist), fold(album.title)) and not same:
            yield Query(kind, artist, title, None if kind.startswith("another") else album.id, candidates)
    others = [other for other in candidates if other is not album]
    if others:
        yield Query("absent", album.artist, album.title, None, others)


def typo(album: AlbumCandidate, rng: random.Random) -> tuple[str, str]:
    letters = [place for place, char in enumerate(album.title) if char.isalpha()]
    if len(album.title) < 8 or not letters:
        return album.artist, album.title
    place = rng.choice(letters)
    return album.artist, album.title[:place] + album.title[place + 1 :]


VARIATIONS: dict[str, Callable[[AlbumCandidate, random.Random], tuple[str, str]]] = {
    "edition": lambda album, rng: (album.artist, album.title + rng.choice(EDITIONS)),
    "punctuation": lambda album, _: (
        album.artist, "".join(char for char in album.title.replace("-", " ") if char not in ".,:;!?'\u2019()")
    ),
    "guest": lambda album, _: (f"{album.artist} feat. Somebody Else", album.title),
    "typo": typo,
    "another: live": lambda album, _: (album.artist, f"{album.title} (Live)"),
    "another: volume": lambda album, _: (album.artist, f"{album.title}, Vol. 7"),
    "another: best of": lambda album, _: (album.artist, f"The Best of {album.title}"),
    "another: artist": lambda album, _: (f"{album.artist[::-1]} Band", album.title),
}  # fmt: skip


def by_rules(query: Query) -> tuple[str, str | None, str]:
    match = match_album(query.artist, query.title, query.candidates)
    return match.band, None if match.id is None else str(match.id), f"{match.tier}, {match.evidence}"


def by_model(query: Query) -> tuple[str, str | None, str]:
    """What the model of tracks says of albums."""
    wanted = prepare(Record(query.title, query.artist))
    pairs = [(wanted, prepare(Record(album.title, album.artist))) for album in query.candidates]
    scores = shipped().score(features(pairs)).tolist()
    first, second = (*sorted(scores, reverse=True), 0.0)[:2]
    return shipped().decide(first, second).band, query.candidates[scores.index(first)].id, f"{first:.2f}"


def report(asked: list[Query], found: list[tuple[str, str | None, str]], *, show: bool) -> None:
    """A line for each kind, and the total."""
    print("| kind | count | accepted, right | for review, right | accepted, wrong |\n|---|---|---|---|---|")
    right = wrong = there = 0
    for kind in dict.fromkeys(query.kind for query in asked):
        rows = [(query, *answer) for query, answer in zip(asked, found, strict=True) if query.kind == kind]
        good = sum(band == "accept" and id_ == query.meant for query, band, id_, _ in rows)
        review = sum(band == "review" and id_ == query.meant for query, band, id_, _ in rows)
        bad = [(query, why) for query, band, id_, why in rows if band == "accept" and id_ != query.meant]
        print(f"| {kind} | {len(rows)} | {good / len(rows):.3f} | {review / len(rows):.3f} | {len(bad)} |")
        right += good
        wrong += len(bad)
        there += sum(query.meant is not None for query, *_ in rows)
        if show:
            missed = [(query, why) for query, band, _, why in rows if band != "accept" and query.meant is not None]
            for query, why in bad + missed[:MOST_SHOWN]:
                print(f"    {query.artist}: {query.title} => {why}")
    print(f"precision {right / max(1, right + wrong):.4f} ({wrong} wrong), recall {right / max(1, there):.4f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if "SHARED_DATA" not in os.environ:
        print("SHARED_DATA is not set: no histories")
        return
    asked = list(queries(random.Random(1)))
    for name, way in (("ours", by_rules), ("model of tracks", by_model)):
        began = time.process_time()
        found = [way(query) for query in asked]
        seconds = time.process_time() - began
        candidates = sum(len(query.candidates) for query in asked) / len(asked)
        print(f"{name}: {len(asked) / seconds:,.0f} albums/s on one core, {candidates:.1f} candidates each")
        report(asked, found, show=options.show and way is by_rules)
    every = [query.candidates[0] for query in asked]
    rng = random.Random(1)
    ten = [query._replace(candidates=[*query.candidates, *rng.sample(every, 10)][:10]) for query in asked]
    began = time.process_time()
    for query in ten:
        by_rules(query)
    print(f"ours, 10 candidates each: {len(ten) / (time.process_time() - began):,.0f} albums/s on one core")


if __name__ == "__main__":
    main()
