"""Train the model of tracks that is shipped: ``python -m lastfm_crawl.matching.train DATA [--out FILE]``.

DATA is a folder with ``musicbrainz-20k/*.csv`` (Leipzig's MusicBrainz 20K or a part of it, CC BY 4.0) and
``itunes-amazon/{structured,dirty}/train.txt`` (DeepMatcher's). The same data make the same file, byte by byte.

Those pairs have no karaoke and few covers, and their negatives seldom share the album. So each record is also told
again in ways that keep it what it is (remastered, deluxe, without an album) and in ways that do not (live, karaoke,
another title of the album, another artist's).
"""

from __future__ import annotations

import argparse
import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lastfm_crawl.matching.candidates import Index
from lastfm_crawl.matching.fit import train
from lastfm_crawl.matching.model import SHIPPED
from lastfm_crawl.matching.records import Prepared, features, prepare
from lastfm_crawl.matching.rows import Record, read_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_SEED = 20
_TOLD_AGAIN = 4000
#: A pair of versions that people sell weighs as much as so many from the catalogue.
_WEIGHT = 8
_MARGINS = (0.05, 0.1, 0.2, 0.3)
_RIGHT = 0.999
_VALUE = re.compile(r"COL (\S+) VAL ((?:(?!COL \S+ VAL).)*)")

_SAME_TITLE = (
    " - Remastered", " - Remastered 2011", " (Remastered 2009)", " (2015 Remaster)", " - 2011 Remaster", " [Explicit]",
    " (Album Version)", " - Mono", " - Single Version", " (Bonus Track)", " (Official Video)",
)  # fmt: skip
_SAME_ALBUM = (
    " (Deluxe Edition)",
    " [Remastered]",
    " (Deluxe Version)",
    " - Single",
    " [Explicit]",
    " (Expanded Edition)",
)
_OTHER_TITLE = (
    " (Live)", " - Live at Wembley", " (Karaoke Version)", " - Instrumental", " (Acoustic)", " - Acoustic Version",
    " (Club Mix)", " - Demo", " (Remix)", " - Sped Up", " (Slowed + Reverb)", " - Karaoke", " (Extended Mix)",
    " (Cover)", " (A Cappella)", " (Re-Recorded)", " (Instrumental Version)", " - Orchestral Version",
)  # fmt: skip
_TOGETHER = (", ", " & ", " feat. ", " x ", "; ")
_OTHER_PART = (" 2", ", Pt. 2", " II", " (Part 3)", " III", " (Reprise)", " (Interlude)")


class Pair(NamedTuple):
    """Two records and whether they are one; pairs of one group are drawn together.

    ``asked``: the record and the source in which the other one was found, both ways round.
    """

    a: Prepared
    b: Prepared
    label: int
    group: int
    asked: tuple[tuple[int, int], ...] = ()


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file of DeepMatcher's: ``COL x VAL y ...``, the same for the other, and 1 or 0, behind tabs."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if line.strip():
            left, right, label = line.split("\t")
            a, b = (prepare(read_row(dict(_VALUE.findall(side)))) for side in (left, right))
            pairs.append(Pair(a, b, int(label), number))
    return pairs


class Catalogue(NamedTuple):
    """Records of several sources, each free of duplicates, with the number of the track that each one is."""

    records: list[Prepared]
    tracks: NDArray[np.int_]
    sources: list[str]


def read_catalogue(path: Path) -> Catalogue:
    """A file in the form of MusicBrainz 20K: TID, CID, CTID, SourceID, id and the columns of a track."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = ("TID", "CID", "CTID", "SourceID", "id")
    tracks = np.array([int(row["CID"]) for row in rows])
    sources = [row["SourceID"] for row in rows]
    records = [prepare(read_row({name: text for name, text in row.items() if name not in keys})) for row in rows]
    return Catalogue(records, tracks, sources)


def candidate_pairs(catalogue: Catalogue, numbers: Sequence[int], best: int) -> list[tuple[int, int]]:
    """The pairs of records of different sources, of which one is among the *best* candidates of the other."""
    texts = [catalogue.records[number].row for number in numbers]
    found = set()
    # One more: the best candidate is the record itself.
    for number, candidates in zip(numbers, Index(texts).query(texts, best + 1), strict=True):
        for candidate in candidates:
            other = numbers[candidate.place]
            if catalogue.sources[other] != catalogue.sources[number]:
                found.add((min(number, other), max(number, other)))
    return sorted(found)


def told_again(records: Sequence[Record], rng: np.random.Generator) -> Iterator[tuple[Record, Record, int, int]]:
    """Pairs of a record with what it may be called elsewhere (1), and with what it is not (0), and its number."""
    named = [number for number, record in enumerate(records) if record.title and record.artist]
    chosen = rng.choice(named, min(_TOLD_AGAIN, len(named)), replace=False)
    for number, other_number in zip(chosen.tolist(), rng.permutation(chosen).tolist(), strict=True):
        record, other = records[number], records[other_number]
        if record.title == other.title or record.artist == other.artist:
            continue
        for told, label in _tellings(record, other, rng):
            yield _forget(record, rng), _forget(told, rng), label, number


def _tellings(record: Record, other: Record, rng: np.random.Generator) -> Iterator[tuple[Record, int]]:
    def one(choices: tuple[str, ...]) -> str:
        return choices[rng.integers(len(choices))]

    near = (
        None
        if record.duration is None
        else record.duration + float(rng.choice([0, 0, 0, 1, -1, 2, -2, 4, -7, 15, -40]))
    )
    far = (
        None
        if record.duration is None
        else max(20.0, record.duration + float(rng.choice([-60, -25, -9, -3, 3, 12, 40])))
    )
    newer = None if record.year is None else record.year + int(rng.integers(1, 30))
    yield replace(record, title=record.title + one(_SAME_TITLE), duration=near, year=newer), 1
    yield replace(record, album=record.album and record.album + one(_SAME_ALBUM), duration=near), 1
    yield replace(record, title=f"{record.title} (feat. {other.artist})", duration=near), 1
    yield replace(record, artist=record.artist + one(_TOGETHER) + other.artist, duration=near), 1
    yield replace(record, title=record.title.lower(), album=other.album, year=newer, duration=near), 1
    yield replace(record, title=record.title + one(_OTHER_TITLE), duration=near, year=newer), 0
    yield replace(record, title=record.title + one(_OTHER_TITLE), duration=far), 0
    yield replace(record, title=other.title, duration=other.duration, number=other.number), 0
    yield replace(record, title=other.title, duration=near, album=""), 0
    yield replace(record, artist=f"{record.artist} {other.artist.split()[-1]}", duration=far, album=""), 0
    yield replace(record, title=f"{record.title}{one(_OTHER_PART)}", duration=far), 0
    yield replace(record, artist=other.artist, album=other.album, duration=near, year=other.year), 0
    yield replace(record, artist=other.artist, duration=far, year=other.year), 0


def _forget(record: Record, rng: np.random.Generator) -> Record:
    """The record without what others may not know of it."""
    album, duration, year, number = rng.random(4) < (0.5, 0.35, 0.5, 0.7)
    return replace(
        record,
        album="" if album else record.album,
        duration=None if duration else record.duration,
        year=None if year else record.year,
        number=None if number else record.number,
    )


def training_pairs(data: Path) -> list[Pair]:
    """All pairs of the folder, and the invented ones."""
    rng = np.random.default_rng(_SEED)
    pairs: list[Pair] = []
    first = earlier = 0  # the first track of a file, and the records of the files before
    for path in sorted((data / "musicbrainz-20k").glob("*.csv")):
        catalogue = read_catalogue(path)
        tracks = catalogue.tracks + first
        for a, b in candidate_pairs(catalogue, range(len(tracks)), 10):
            label = int(tracks[a] == tracks[b])
            sources = [int(catalogue.sources[number]) for number in (a, b)]
            asked = ((earlier + a, sources[1]), (earlier + b, sources[0]))
            pairs.append(Pair(catalogue.records[a], catalogue.records[b], label, int(tracks[a]), asked))
        originals = [prepared.record for prepared in catalogue.records]
        pairs += [
            Pair(prepare(a), prepare(b), label, int(tracks[number]))
            for a, b, label, number in told_again(originals, rng)
        ]
        first = int(tracks.max()) + 1
        earlier += len(tracks)
    for kind in ("structured", "dirty"):
        for pair in read_pairs(data / "itunes-amazon" / kind / "train.txt"):
            # The two kinds are the same pairs, so they are of the same groups.
            pairs += [pair._replace(group=first + pair.group)] * _WEIGHT
    return pairs


def choose_margin(scores: NDArray[np.float64], pairs: Sequence[Pair], accept: float) -> float:
    """How much less probable the runner-up has to be: the least of ``_MARGINS`` with which the best is right often
    enough, else the widest.

    The other half of each pair of the catalogue is asked for among the candidates of one source, which has no copies.
    """
    asked: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for score, pair in zip(scores.tolist(), pairs, strict=True):
        for query in pair.asked:
            asked.setdefault(query, []).append((score, pair.label))
    best = []
    for found in asked.values():
        (score, label), *others = sorted(found, reverse=True)
        if score >= accept:
            best.append((score - (others[0][0] if others else 0.0), label))
    for margin in _MARGINS:
        labels = [label for gap, label in best if gap >= margin]
        if sum(labels) >= _RIGHT * len(labels):
            break
    return margin


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description="Train the model of tracks.")
    parser.add_argument("data", type=Path, help="folder with musicbrainz-20k/ and itunes-amazon/")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    pairs = training_pairs(arguments.data)
    values = features([(pair.a, pair.b) for pair in pairs])
    labels = np.array([pair.label for pair in pairs])
    model, held_out = train(values, labels, np.array([pair.group for pair in pairs]), seed=_SEED)
    margin = choose_margin(held_out, pairs, model.bands.accept)
    model = replace(model, bands=replace(model.bands, margin=margin))
    arguments.out.write_text(model.dumps(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
