"""Which texts of a catalogue may be meant."""

from __future__ import annotations

import random
from itertools import repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.matching import candidates
from lastfm_crawl.matching.candidates import Index, text_of

CATALOGUE = [text_of(*pair) for pair in [
    ("Ann Lee", "Blue Moon Rising"), ("Ann Lee", "Closing Time"),
    ("Björk", "Jóga"), ("Кино", "Группа крови"), ("", "22"),
    ("X", ""),
    ("宇多田ヒカル", "光"), ("!!!", "Myth Takes"),
]]  # fmt: skip


def places(query: str, best: int = 10) -> list[int]:
    [found] = Index(CATALOGUE).query([query], best)
    return [candidate.place for candidate in found]


def test_the_nearest_comes_first():
    assert places(text_of("Anne Lee", "Blue Moon Risin"))[0] == 0
    assert places(text_of("Ann Lee", "Closing Tyme"))[0] == 1
    assert places("joga bjork")[0] == 2
    assert places(text_of("Kino", "Gruppa krovi"))[0] == 3
    assert places(text_of("宇多田ヒカル", "光"))[0] == 6
    assert len(places("ann lee", best=1)) == 1


def test_short_texts_are_equal_or_nothing():
    assert places("22") == [4]
    assert places("x") == [5]
    assert places("xy") == []
    assert places("") == []


def test_equal_texts_keep_their_order():
    [found] = Index(["blue moon", "red sun", "blue moon"]).query(["blue moon"])
    assert [candidate.place for candidate in found][:2] == [0, 2]
    assert found[0].cosine > 0.999


def test_catalogues_without_long_texts():
    assert list(Index([]).query(["blue moon", ""])) == [[], []]
    assert list(Index(["ab", "ab", ""]).query(["ab", "blue moon"])) == [[(0, 1.0), (1, 1.0)], []]


def test_batches_make_no_difference(monkeypatch):
    rng = random.Random(1)
    texts = ["".join(rng.choices("abcdef ", k=12)) for _ in range(50)]
    whole = list(Index(texts).query(texts))
    monkeypatch.setattr(candidates, "_BATCH", 7)
    assert list(Index(texts).query(iter(texts))) == whole


def test_many_queries_are_answered_one_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(candidates, "_BATCH", 10)
    answers = Index(CATALOGUE).query(repeat("ann lee"))
    assert next(answers)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=20), max_size=6), st.text(max_size=20))
def test_texts_of_anything(texts, query):
    [found] = Index(texts).query([query])
    assert all(0 <= candidate.place < len(texts) for candidate in found)
