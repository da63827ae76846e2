"""Names of artists against a catalogue of a million: an index that is built once, and what it says of each name.

Each stage works on what the one before has left. ``exact``: equal but for case. ``strong``: equal without diacritics,
article and punctuation. ``latin``: equal in ASCII. ``credit``: a name with guests, or several names. ``fuzzy``: one or
two edits away. All but the last are look-ups in dictionaries; what the last needs is built when it is first used.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lastfm_crawl.matching.artists import credit, has_article, key, plain
from lastfm_crawl.matching.edits import LONGEST, SHORTEST, EditIndex
from lastfm_crawl.matching.normalise import fold, strong

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Id = str | int
Tier = Literal["exact", "strong", "latin", "credit", "fuzzy", "none"]
Band = Literal["accept", "review", "reject"]

#: How sure a match of each tier can be; a fuzzy one loses the share of its letters that were edited.
SCORES: dict[Tier, float] = {"exact": 1.0, "strong": 0.97, "latin": 0.9, "credit": 0.92, "fuzzy": 0.95}
# A runner-up of more than this share of the score makes a match doubtful.
_RIVAL = 0.25
# So much rarer is a name that is written with one difference more: an edit, a lost article, another script.
_RARER = 0.1
# Artists that separators part are taken for several only if each has so long a name: short ones are words, too.
_LONG_PART = 8
# A word of so many names is no typo of another.
_WORD_OF_NAMES = 3
# So long must a name be that one edit, or two, leave no doubt: Domine is not Domino, Deerhunter not Dear Hunter.
_SURE = {1: 8, 2: 12}
# So long must a word be that has both of two edits: David Holmes is not David Hodges.
_SURE_WORD = 7
# Names a turn of the last stage: tens of milliseconds, so that other threads come to theirs.
_TURN = 1000

_NUMBER = re.compile(r"\d+")
# One reading of several is what ASCII keeps of these.
_HAN = re.compile("[\u2e80-\u2fff\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# One character of these is a syllable or a word: an edit makes another name.
_SYLLABIC = re.compile("[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]")


class Match(NamedTuple):
    """What the catalogue has for one name: its id and name (none: None), how they were found and how sure that is.

    ``accept`` may be used as it is, ``review`` is for a reader's eyes, ``reject`` has no id. ``runner_up`` is the
    score that the next best name would have: of several with one form the most popular is meant, the more surely
    the more popular it is.
    """

    id: Id | None
    name: str | None
    tier: Tier
    score: float
    runner_up: float
    evidence: str
    band: Band


_NOTHING = Match(None, None, "none", 0.0, 0.0, "no name is like it", "reject")


class _Candidate(NamedTuple):
    position: int
    cost: int
    tier: Tier
    score: float
    evidence: str
    doubtful: bool


class NameIndex:
    """A catalogue of artists by name. *popularity* is a count (listeners, followers, plays), or nothing.

    It holds the lists that it is given, and about 350 MB more for a million names; ``match`` changes nothing that
    another thread could see, and an index may be pickled.
    """

    def __init__(self, ids: Sequence[Id], names: Sequence[str], popularity: Iterable[float] | None = None) -> None:
        self._ids = ids
        self._names = names
        self._popularity = array("d", popularity if popularity is not None else [0.0] * len(names))
        if not len(ids) == len(names) == len(self._popularity):
            raise ValueError(f"{len(ids)} ids, {len(names)} names, {len(self._popularity)} popularities")
        # Under each form the place of the name, or of the names, the most popular first.
        self._folded: dict[str, int | list[int]] = {}
        self._keys: dict[str, int | list[int]] = {}
        self._fuzzy: _Fuzzy | None = None
        for position, name in enumerate(names):
            folded = fold(name)
            form = key(folded)
            _add(self._folded, folded, position)
            _add(self._keys, folded if form == folded else form, position)
        for forms in (self._folded, self._keys):
            for several in forms.values():
                if isinstance(several, list):
                    several.sort(key=self._rank)

    def match(self, names: Iterable[str], *, fuzzy: bool = True) -> list[Match]:
        """One match for every name, in the order of *names*; each depends on nothing but its name.

        Without *fuzzy* the last stage is left out: names a few letters off are not found.
        """
        names = list(names)
        matches = [self._exact(name) or _NOTHING for name in names]
        found: dict[str, Match] = {}
        left = []
        for name in dict.fromkeys(name for name, match in zip(names, matches, strict=True) if match is _NOTHING):
            if match := self._equal(name):
                found[name] = match
            else:
                left.append(name)
        for begin in range(0, len(left), _TURN):
            self._turn(left[begin : begin + _TURN], found, fuzzy=fuzzy)
        return [found[name] if match is _NOTHING else match for name, match in zip(names, matches, strict=True)]

    def _turn(self, names: list[str], found: dict[str, Match], *, fuzzy: bool) -> None:
        """What the later stages find for *names*, each of which is in the index in no form, goes into *found*."""
        left: dict[str, str] = {}
        for name in names:
            whole = credit(name)
            match = self._as_written(whole.main) if whole.featured else None
            if match is None:
                left[name] = whole.main
            else:
                found[name] = _credited(match, match.band, f"without guests {_short(match.name)}")
        # A typo of one name before a list of several: Simon & Garfunkle.
        similar = self._similar(set(left.values())) if fuzzy else {}
        for name, main in left.items():
            match = similar.get(main, _NOTHING)
            if match.band != "accept":
                several = self._several(main)
                if several is not None and (several.band == "accept" or match.band == "reject"):
                    match = several
            found[name] = match

    def _as_written(self, name: str) -> Match | None:
        return self._exact(name) or self._equal(name)

    def _exact(self, name: str) -> Match | None:
        """The name that equals *name* but for case; the most popular of several."""
        # What is in the index is folded: if it has the plain lower case, that is the folded form.
        place = self._folded.get(name.casefold())
        if place is None and (place := self._folded.get(fold(name))) is None:
            return None
        runner_up = 0.0
        if isinstance(place, list):
            place, second = place[:2]
            runner_up = round((self._popularity[second] + 1) / (self._popularity[place] + 1), 4)
        kept = self._names[place]
        return Match(
            self._ids[place], kept, "exact", 1.0, runner_up, "equal" if name == kept else "equal but for case", "accept"
        )

    def _equal(self, name: str) -> Match | None:
        """The name that equals *name* in a form that gives up more than case."""
        folded = fold(name)
        form = key(folded)
        places = self._keys.get(form)
        if places is None:
            return None
        candidates = [self._same_key(folded, place) for place in _places(places)]
        return self._best([one for one in candidates if one is not None])

    def _same_key(self, folded: str, place: int) -> _Candidate | None:
        """A name of the catalogue that has the same key as a name in its folded form."""
        other = self._names[place]
        cost = int(strong(folded) != strong(other)) + int(has_article(folded) != has_article(other))
        short = len(strong(folded)) < SHORTEST
        form = plain(folded)
        if form == plain(other):
            return _Candidate(place, cost, "strong", SCORES["strong"], f"strong form {_short(form)}", short)
        han = bool(_HAN.search(folded)), bool(_HAN.search(other))
        if all(han):  # other characters that are read alike
            return None
        evidence = f"latin form {_short(key(form))}"
        return _Candidate(place, cost + 2, "latin", SCORES["latin"], evidence, short or any(han))

    def _similar(self, names: Iterable[str]) -> dict[str, Match]:
        """The names that have one a few edits away."""
        if self._fuzzy is None:
            # Two threads that come at once both build it, and either is right.
            self._fuzzy = _Fuzzy(self._spelt_keys())
        found = {}
        for name, near in self._fuzzy.near(sorted(names)):
            match = self._best(
                [
                    self._edited(name, place, form, edits, doubt)
                    for form, edits, doubt in near
                    for place in _places(self._keys[form])
                ]
            )
            if match is not None:
                found[name] = match
        return found

    def _edited(self, name: str, place: int, form: str, edits: int, doubt: str) -> _Candidate:
        """A name of the catalogue whose key *form* is so many edits from that of *name*."""
        cost = edits + int(has_article(name) != has_article(self._names[place]))
        score = SCORES["fuzzy"] * (1 - edits / len(form))
        evidence = f"{edits} edit{'s' if edits > 1 else ''} of {len(form)}"
        return _Candidate(place, cost, "fuzzy", score, f"{evidence}, {doubt}" if doubt else evidence, bool(doubt))

    def _spelt_keys(self) -> list[str]:
        """The keys of names that are spelt in letters, the most popular first."""
        forms, weights = [], []
        for form, places in self._keys.items():
            place = _places(places)[0]
            name = self._names[place]
            if _spelt(form) and (name.isascii() or not _SYLLABIC.search(name)):
                forms.append(form)
                weights.append(-self._popularity[place])
        # Of equal popularity by the alphabet, not as the catalogue has them.
        order = np.lexsort((np.array(forms, dtype=f"S{LONGEST}"), np.array(weights)))
        return [forms[number] for number in order.tolist()]

    def _several(self, name: str) -> Match | None:
        """The first of the artists that *name* lists, if the catalogue has it."""
        parts = credit(name, self._knows)
        first = self._as_written(parts.main) if parts.others else None
        if first is None:
            return None
        known = all(self._knows(part) and len(key(part)) >= _LONG_PART for part in (parts.main, *parts.others))
        band: Band = first.band if known else "review"
        return _credited(first, band, f"first of {len(parts.others) + 1} artists {_short(first.name)}")

    def _knows(self, name: str) -> bool:
        return key(name) in self._keys

    def _best(self, candidates: list[_Candidate]) -> Match | None:
        """The candidate that is meant most likely: by how it differs and by how many know it."""
        if not candidates:
            return None
        first, *others = sorted(candidates, key=lambda one: (-self._odds(one), self._rank(one.position)))
        rivals = (self._odds(other) / self._odds(first) for other in others)
        runner_up = first.score * max(rivals, default=0.0)
        evidence = first.evidence if not others else f"{first.evidence}, best of {len(candidates)}"
        sure = not first.doubtful and runner_up <= _RIVAL * first.score
        place = first.position
        return Match(
            self._ids[place], self._names[place], first.tier, round(first.score, 4), round(runner_up, 4), evidence,
            "accept" if sure else "review",
        )  # fmt: skip

    def _odds(self, candidate: _Candidate) -> float:
        return (self._popularity[candidate.position] + 1) * _RARER**candidate.cost

    def _rank(self, position: int) -> tuple[float, str, str]:
        """The most popular first; the rest only so that the order of the catalogue changes nothing."""
        return -self._popularity[position], self._names[position], str(self._ids[position])


class _Fuzzy:
    """Keys that an edit leaves recognisable, the most popular first, and what is near them."""

    def __init__(self, forms: list[str]) -> None:
        self._forms = forms
        self._index = EditIndex(forms)
        words = Counter(word for form in forms for word in form.split())
        self._words = frozenset(word for word, count in words.items() if count >= _WORD_OF_NAMES)

    def near(self, names: list[str]) -> Iterator[tuple[str, list[tuple[str, int, str]]]]:
        """For each name that has any: the keys near it, the edits, and what is doubtful about them."""
        keys = {name: key(name) for name in names if not _SYLLABIC.search(plain(name))}
        asked = [name for name, form in keys.items() if _spelt(form)]
        forms = [keys[name] for name in asked]
        pairs = zip(*(numbers.tolist() for numbers in self._index.near(forms)), strict=True)
        for number, group in groupby(pairs, key=itemgetter(0)):
            near = [(self._forms[found], edits) for _, found, edits in group]
            mine = forms[number]
            yield (
                asked[number],
                [
                    (form, edits, self._doubt(mine, form, edits))
                    for form, edits in near
                    if _numbers(form) == _numbers(mine)
                ],
            )

    def _doubt(self, mine: str, form: str, edits: int) -> str:
        """Why *mine* may be more than a misspelt *form*."""
        if mine.replace(" ", "") == form.replace(" ", ""):
            return ""
        words, others = mine.split(), form.split()
        lost = [word for word in others if word not in words]
        gained = [word for word in words if word not in others]
        if not lost or not gained:
            return "a word more or less"
        both_in_one = edits > 1 and len(gained) == 1
        if min(map(len, lost + gained)) < (_SURE_WORD if both_in_one else SHORTEST):
            return "a short word is another"
        if known := [word for word in gained if word in self._words]:
            return f"{_short(known[0])} is a word of names"
        return "a short name" if min(len(mine), len(form)) < _SURE[edits] else ""


def _spelt(form: str) -> bool:
    """Whether a key is in ASCII, and neither so short nor so long that edits say nothing of it."""
    return SHORTEST <= len(form) <= LONGEST and form.isascii() and form[0].isalnum()


def _numbers(form: str) -> list[str]:
    return _NUMBER.findall(form)


def _add(forms: dict[str, int | list[int]], form: str, position: int) -> None:
    place = forms.setdefault(form, position)
    if isinstance(place, list):
        place.append(position)
    elif place != position:
        forms[form] = [place, position]


def _places(places: int | list[int]) -> list[int]:
    return [places] if isinstance(places, int) else places


def _credited(match: Match, band: Band, evidence: str) -> Match:
    share = SCORES["credit"]
    return match._replace(
        tier="credit",
        score=round(match.score * share, 4),
        runner_up=round(match.runner_up * share, 4),
        evidence=evidence,
        band=band,
    )


def _short(text: str | None) -> str:
    """*text* in quotes, cut where a reader has seen enough."""
    return repr(text if text is None or len(text) <= 60 else f"{text[:59]}…")
