"""Names of artists matched a second, and how many of them rightly, beside other ways in the same run.

    python -m benchmarks.names [--catalogue 1000000] [--queries 300000] [--seed 1]

The catalogue is invented (words of syllables in four scripts, as frequent as words are; popularity falls with the rank;
one name in a hundred has a twin that differs by case, by an article or by punctuation). With SHARED_DATA set, half of
the real artists of hetrec2011 are in it, too, and the other half are names that are not. Queries are names of the
catalogue, the popular ones more often (by the root of their popularity), in a variation, or decoys: names made in the
same way that are not in the catalogue, and names of the catalogue with another number, another word, or a word more.

A match is right if it has the name that was asked, whichever of several artists of that name.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import sys
import threading
import time
import unicodedata
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rapidfuzz import fuzz, process
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn

from lastfm_crawl.matching.artists import key
from lastfm_crawl.matching.names import NameIndex
from lastfm_crawl.matching.normalise import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lastfm_crawl.matching.names import Match

#: Of a thousand queries so many are of each kind.
SHARES = {
    "case": 800, "punctuation": 20, "diacritics": 20, "article": 15, "featuring": 25, "one typo": 30, "two typos": 15,
    "script": 10, "decoy": 40, "decoy: number": 5, "decoy: other word": 10, "decoy: more words": 5, "decoy: real": 5,
}  # fmt: skip
LATIN = "abcdefghijklmnopqrstuvwxyz"
ACCENTS = str.maketrans("aeiouncsyAEIOU", "áèïöúñçšýÄÉÎÓÜ")
# As passports and libraries write them, which is not always as our own table does.
CYRILLIC = dict(zip("абвгдезийклмнопрстуфхцчшыэюя", [
    "a", "b", "v", "g", "d", "e", "z", "i", "j", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh", "ts",
    "ch", "sh", "y", "e", "yu", "ya",
], strict=True))  # fmt: skip
GREEK = dict(zip("αβγδεζηθικλμνξοπρσςτυφχψω", [
    "a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f",
    "ch", "ps", "o",
], strict=True))  # fmt: skip
ONSETS = [
    "b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "r", "s", "sh", "st",
    "t", "th", "tr", "v", "w", "z",
]  # fmt: skip
RESTS = ["a", "ai", "an", "ar", "e", "el", "en", "er", "i", "in", "o", "on", "or", "ou", "u", "um", "y"]


class Query(NamedTuple):
    """A name that is asked, how it came about, and the name of the catalogue that it means."""

    text: str
    kind: str
    meant: str | None


class Names:
    """Names of artists that nobody has, as many as are asked for."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        latin = _syllables(ONSETS, RESTS)
        cyrillic = _syllables(list("бвгджзклмнпрстфхцчшщ"), list("аеиоуыюя"))
        greek = _syllables(list("βγδζθκλμνξπρστφχψ"), list("αειουηω"))
        kana = _syllables(
            [""], list("あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもらりるれろ")
        )
        self._scripts = [
            self._vocabulary(latin, 40_000), self._vocabulary(cyrillic, 8_000), self._vocabulary(greek, 4_000),
            self._vocabulary(kana, 4_000),
        ]  # fmt: skip

    def _vocabulary(self, syllables: list[str], count: int) -> tuple[list[str], list[float]]:
        words = {"".join(self._rng.choices(syllables, k=self._rng.choice((1, 2, 2, 3, 3, 4)))) for _ in range(count)}
        weights = accumulate(1 / (rank + 20) ** 0.7 for rank in range(len(words)))
        return self._rng.sample(sorted(words), len(words)), list(weights)

    def word(self, script: int = 0) -> str:
        """A word: of the Latin script, if nothing else is said."""
        words, weights = self._scripts[script]
        return self._rng.choices(words, cum_weights=weights)[0]

    def name(self) -> str:
        """A name of one to four words."""
        rng = self._rng
        script = rng.choices(range(4), (92, 5, 1, 2))[0]
        words = [self.word(script) for _ in range(rng.choices((1, 2, 3, 4), (22, 50, 22, 6))[0])]
        if len(words) == 1:  # a name of one word is seldom one of the common words
            words = [self.word(script) + self.word(script)]
        name = " ".join(words).title()
        if script == 0:
            form = rng.random()
            if form < 0.12:
                name = f"The {name}"
            elif form < 0.16:
                name = f"{name} & {self.word().title()}"
            elif form < 0.19:
                name = f"{name} {rng.randint(1, 2000)}"
            elif form < 0.22:
                name = name.replace(" ", rng.choice((".", "-", "/", ", ")), 1)
            elif form < 0.29:
                name = name.translate(ACCENTS)
        return name


def _syllables(onsets: list[str], rests: list[str]) -> list[str]:
    return [onset + rest for onset in onsets for rest in rests]


def real_names() -> list[str]:
    """Artists of hetrec2011, if they are there."""
    path = Path(os.environ.get("SHARED_DATA", "")) / "hetrec2011" / "artists.dat"
    if not path.is_file():
        print("hetrec2011 is not there (SHARED_DATA): no real names")
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    return sorted({line.split("\t")[1] for line in lines if line.count("\t") >= 2})


def catalogue(names: Names, count: int, real: list[str], rng: random.Random) -> list[str]:
    """Distinct names, the most popular first, and their twins."""
    found = dict.fromkeys(real[:count])
    while len(found) < count - count // 100:
        found[names.name()] = None
    every = list(found)
    twins: dict[str, None] = {}
    while len(twins) < count - len(every):
        one = rng.choice(every)
        twin = rng.choice((one.upper(), f"The {one}", one.replace(" ", "-")))
        if twin not in found:
            twins[twin] = None
    every += twins
    rng.shuffle(every)
    return every


class Variations:
    """Names of a catalogue as they are written elsewhere."""

    def __init__(self, every: list[str], names: Names, absent: list[str], rng: random.Random) -> None:
        self._every, self._names, self._absent, self._rng = every, names, absent, rng
        self._weights = list(accumulate(popularity(rank) ** 0.5 for rank in range(len(every))))
        self._keys = {key(name) for name in every}
        self._makers: dict[str, Callable[[str], str | None]] = {
            "case": lambda name: rng.choice((name, name.lower(), name.upper(), name.title())),
            "punctuation": self._punctuation, "diacritics": self._diacritics, "article": self._article,
            "featuring": lambda name: f"{name}{rng.choice((' feat. ', ' ft. ', ' featuring '))}{self._any()}",
            "one typo": lambda name: self._typo(name) if len(name) >= 4 else None,
            "two typos": lambda name: self._typo(self._typo(name)) if len(name) >= 8 else None,
            "script": _romanised,
            "decoy": lambda _: names.name(), "decoy: number": self._other_number,
            "decoy: other word": self._other_word,
            "decoy: more words": lambda name: f"{name} {names.word().title()}",
            "decoy: real": lambda _: rng.choice(absent) if absent else None,
        }  # fmt: skip

    def queries(self, count: int) -> Iterator[Query]:
        """Kind after kind, as many as its share of *count*."""
        for kind, share in SHARES.items():
            if kind == "decoy: real" and not self._absent:
                continue
            wanted = count * share // 1000
            while wanted:
                meant = self._any()
                text = self._makers[kind](meant)
                if text is None or (kind != "case" and fold(text) == fold(meant)):
                    continue
                if kind.startswith("decoy") and key(text) in self._keys:
                    continue
                yield Query(text, kind, None if kind.startswith("decoy") else meant)
                wanted -= 1

    def _any(self) -> str:
        return self._rng.choices(self._every, cum_weights=self._weights)[0]

    def _punctuation(self, name: str) -> str:
        if "&" in name:
            return name.replace("&", "and")
        bare = "".join(" " if char in ".-/," else char for char in name)
        return bare if bare != name else name.replace(" ", self._rng.choice(("-", "_", ". ")), 1) + "!"

    def _diacritics(self, name: str) -> str | None:
        if not name.isascii():
            bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
            return bare if bare.isascii() else None
        place = self._rng.randrange(len(name))
        return name[:place] + name[place:].translate(ACCENTS)

    def _article(self, name: str) -> str:
        if name.startswith("The "):
            return self._rng.choice((name[4:], f"{name[4:]}, The"))
        return f"The {name}"

    def _typo(self, name: str) -> str:
        place = self._rng.randrange(len(name))
        letter = self._rng.choice(LATIN)
        return self._rng.choice((
            name[:place] + name[place + 1 :],
            name[:place] + letter + name[place:],
            name[:place] + letter + name[place + 1 :],
            name[:place] + name[place : place + 2][::-1] + name[place + 2 :],
        ))  # fmt: skip

    def _other_number(self, name: str) -> str | None:
        figures = [place for place, char in enumerate(name) if char.isascii() and char.isdigit()]
        if not figures:
            return None
        place = self._rng.choice(figures)
        return name[:place] + str((int(name[place]) + self._rng.randint(1, 9)) % 10) + name[place + 1 :]

    def _other_word(self, name: str) -> str | None:
        words = name.split(" ")
        if len(words) < 2 or not name.isascii():
            return None
        words[self._rng.randrange(len(words))] = self._names.word().title()
        return " ".join(words)


def _romanised(name: str) -> str | None:
    table = CYRILLIC | GREEK
    lower = unicodedata.normalize("NFC", name.lower())
    if not lower.replace(" ", "").isalpha() or not all(char in table or char == " " for char in lower):
        return None
    return "".join(table.get(char, char) for char in lower).title()


def popularity(rank: int) -> int:
    """Listeners of the artist of a rank."""
    return int(4_000_000 / (rank + 1) ** 0.8)


class Pulse(threading.Thread):
    """How long another thread of the process waits for its turn at most, in milliseconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        """Take a turn every millisecond."""
        while True:
            began = time.perf_counter()
            if self._over.wait(0.001):
                return
            self.longest = max(self.longest, (time.perf_counter() - began) * 1000 - 1)

    def stop(self) -> float:
        """The longest wait."""
        self._over.set()
        self.join()
        return self.longest


def peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def report(queries: list[Query], matches: list[Match]) -> None:
    """A line for each kind."""
    right = {
        query: match.name is not None and query.meant is not None and fold(match.name) == fold(query.meant)
        for query, match in zip(queries, matches, strict=True)
    }
    print("\n| kind | count | accepted, right | for review, right | accepted, wrong |\n|---|---|---|---|---|")
    accepted = wrong = 0
    for kind in SHARES:
        rows = [(query, match) for query, match in zip(queries, matches, strict=True) if query.kind == kind]
        if rows:
            good = sum(match.band == "accept" and right[query] for query, match in rows)
            bad = sum(match.band == "accept" and not right[query] for query, match in rows)
            review = sum(match.band == "review" and right[query] for query, match in rows)
            print(f"| {kind} | {len(rows)} | {good / len(rows):.3f} | {review / len(rows):.3f} | {bad} |")
            accepted += good + bad
            wrong += bad
    print(f"\nprecision of what is accepted: {(accepted - wrong) / max(1, accepted):.5f} ({wrong} wrong of {accepted})")
    for tier in ("exact", "strong", "latin", "credit", "fuzzy"):
        rows = [(q, m) for q, m in zip(queries, matches, strict=True) if m.tier == tier and m.band == "accept"]
        print(f"  {tier}: {len(rows)} accepted, {sum(not right[query] for query, _ in rows)} wrong")


def peers(every: list[str], queries: list[Query], rng: random.Random) -> None:
    """The limit of the exact stage, and two other ways for typos among decoys, on samples."""
    began = time.perf_counter()
    index = {name.casefold(): number for number, name in enumerate(every)}
    built = time.perf_counter() - began
    began = time.perf_counter()
    found = [index.get(query.text.casefold()) for query in queries]
    seconds = time.perf_counter() - began
    share = sum(number is not None for number in found) / len(queries)
    print(f"\ndict on casefold: {len(queries) / seconds:,.0f} names/s, {share:.3f} found, built in {built:.1f} s")
    left = [query for query in queries if "typo" in query.kind or "decoy" in query.kind]
    rng.shuffle(left)
    texts = [name.casefold() for name in every]

    sample = left[:200]
    began = time.perf_counter()
    best = [process.extractOne(q.text.casefold(), texts, scorer=fuzz.ratio, score_cutoff=85) for q in sample]
    _peer("rapidfuzz extractOne", sample, [hit and every[hit[2]] for hit in best], time.perf_counter() - began)

    sample = left[:2000]
    began = time.perf_counter()
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True, min_df=2)
    matrix = vectoriser.fit_transform(texts).T.tocsr()
    built = time.perf_counter() - began
    began = time.perf_counter()
    asked = [query.text.casefold() for query in sample]
    top = sp_matmul_topn(vectoriser.transform(asked), matrix, top_n=10, threshold=0.3, sort=True, n_threads=2)
    names: list[str | None] = []
    for row, text in enumerate(asked):
        near = top.indices[top.indptr[row] : top.indptr[row + 1]].tolist()
        hit = process.extractOne(text, {number: texts[number] for number in near}, scorer=fuzz.ratio, score_cutoff=85)
        names.append(every[hit[2]] if hit else None)
    _peer(f"TF-IDF + sparse_dot_topn (built in {built:.1f} s)", sample, names, time.perf_counter() - began)


def _peer(label: str, sample: list[Query], names: list[str | None], seconds: float) -> None:
    print(f"{label}: {len(sample) / seconds:,.0f} names/s, {_right(sample, names)}")


def _right(sample: list[Query], names: list[str | None]) -> str:
    pairs = list(zip(sample, names, strict=True))
    real = [(query, name) for query, name in pairs if query.meant is not None]
    good = sum(name is not None and fold(name) == fold(query.meant or "") for query, name in real)
    accepted = sum(name is not None for name in names)
    return f"recall {good / max(1, len(real)):.3f}, precision {good / max(1, accepted):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    names = Names(rng)
    real = real_names()
    rng.shuffle(real)
    every = catalogue(names, options.catalogue, real[: len(real) // 2], rng)
    queries = list(Variations(every, names, real[len(real) // 2 :], rng).queries(options.queries))
    rng.shuffle(queries)
    texts = [query.text for query in queries]
    print(f"{len(every):,} names, {len(queries):,} queries; {peak_megabytes():,.0f} MB before the index")

    began = time.perf_counter()
    index = NameIndex(range(len(every)), every, map(popularity, range(len(every))))
    print(f"index built in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    for begin in range(0, len(texts), 1000):
        index.match(texts[begin : begin + 1000], fuzzy=False)
    print(f"without the fuzzy stage, 1,000 at a time: {len(texts) / (time.perf_counter() - began):,.0f} names/s")
    began = time.perf_counter()
    index.match(["a name that nobody has"])
    print(f"fuzzy stage built in {time.perf_counter() - began:.1f} s")
    gc.freeze()  # as a crawl does after its start: what the collector need not walk through
    pulse = Pulse()
    pulse.start()
    began = time.perf_counter()
    matches = index.match(texts)
    seconds = time.perf_counter() - began
    print(f"matched in {seconds:.1f} s: {len(texts) / seconds:,.0f} names/s; peak {peak_megabytes():,.0f} MB; "
          f"another thread waited at most {pulse.stop():.0f} ms")  # fmt: skip
    report(queries, matches)
    sample = [query for query in queries if "typo" in query.kind or "decoy" in query.kind]
    began = time.perf_counter()
    kept = [match.name if match.band == "accept" else None for match in index.match([q.text for q in sample])]
    seconds = time.perf_counter() - began
    print(f"\ntypos and decoys alone: {len(sample) / seconds:,.0f} names/s, {_right(sample, kept)}")
    peers(every, queries, rng)


if __name__ == "__main__":
    main()
