"""Names against a catalogue: what each stage finds, what none of them accepts."""

from __future__ import annotations

import pickle
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA, Levenshtein

from lastfm_crawl.matching.edits import EditIndex
from lastfm_crawl.matching.names import NameIndex

NAMES = [
    "Earth, Wind & Fire", "Tyler, The Creator", "AC/DC", "Simon & Garfunkel", "The Beatles", "Sigur Rós", "Кино", "!!!",
    "+/-", "Blink 182", "Sum 41", "Metallica", "U2", "Drake", "Kendrick Lamar", "北京", "Red House Band", "Земфира",
    "Talk Talk", "A$AP Rocky", "Christina Aguilera", "きゃりーぱみゅぱみゅ", "방탄소년단", "Gaia", "The Dear Hunter",
    "Rihanna", "Земфира Рамазанова", "Black House", "Green House", "Black Horse", "Green Horse", "White Horse",
    "White Mouse Society",
]  # fmt: skip


@pytest.fixture(scope="module")
def index():
    return NameIndex(range(len(NAMES)), NAMES, [1000] * len(NAMES))


def one(index, name, **options):
    (match,) = index.match([name], **options)
    return match


@pytest.mark.parametrize(
    ("name", "found", "tier"),
    [
        ("metallica", "Metallica", "exact"),
        ("METALLICA", "Metallica", "exact"),
        ("  Sum  41 ", "Sum 41", "exact"),
        ("!!!", "!!!", "exact"),
        ("u2", "U2", "exact"),
        ("КИНО", "Кино", "exact"),
        ("Earth Wind and Fire", "Earth, Wind & Fire", "strong"),
        ("Beatles, The", "The Beatles", "strong"),
        ("Beatles", "The Beatles", "strong"),
        ("The Sigur Ros", "Sigur Rós", "strong"),
        ("Blink-182", "Blink 182", "strong"),
        ("Kino", "Кино", "latin"),
        ("Zemfira", "Земфира", "latin"),
        ("Drake feat. Metallica", "Drake", "credit"),
        ("U2 (with Nobody)", "U2", "credit"),
        ("sigur ros ft. Björk", "Sigur Rós", "credit"),
        ("Metallica, Christina Aguilera & Kendrick Lamar", "Metallica", "credit"),
        ("Tyler, The Creator & Kendrick Lamar", "Tyler, The Creator", "credit"),
        ("Metalica", "Metallica", "fuzzy"),
        ("Metallcia", "Metallica", "fuzzy"),
        ("TalkTalk", "Talk Talk", "fuzzy"),
        ("Cristina Aguillera", "Christina Aguilera", "fuzzy"),
        ("Simon & Garfunkle", "Simon & Garfunkel", "fuzzy"),
        ("Kendrik Lamar ft. Somebody", "Kendrick Lamar", "fuzzy"),
        ("Zemfira Ramazanowa", "Земфира Рамазанова", "fuzzy"),
    ],
)
def test_accepted(index, name, found, tier):
    match = one(index, name)
    assert (match.name, match.tier, match.band) == (found, tier, "accept")
    assert match.id == NAMES.index(found)
    assert 0 <= match.runner_up < match.score <= 1
    assert match.evidence


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\0", "\ud800", "\u200b", "a", "???", "Blink 183", "Sum 42", "Sum 411", "Nobody At All", "Metal",
        "方丈", "背景", "Bei Jinng", "방탄소년당", "feat. Drake", " & ", "()", "Nobody feat. Drake", "U3",
        "AB/DC/EF/GH",
    ],
)  # fmt: skip
def test_nothing(index, name):
    match = one(index, name)
    assert (match.id, match.name, match.tier, match.band, match.score) == (None, None, "none", "reject", 0)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Red Horse Band", "Red House Band"),  # a word of other names
        ("Gala", "Gaia"),  # short
        ("Rihana", "Rihanna"),
        ("Zemfirra", "Земфира"),
        ("Kendrick Lemur", "Kendrick Lamar"),  # two edits in a short word
        ("Deerhunter", "The Dear Hunter"),
        ("Bei Jing", None),  # one reading of several
        ("Drake & Rihanna", "Drake"),  # may be one artist
        ("Metallica and Somebody", "Metallica"),
    ],
)
def test_doubtful(index, name, found):
    match = one(index, name)
    assert match.band != "accept"
    assert match.name == found


def test_short_names_are_equal_but_for_case_or_nothing_is_accepted():
    index = NameIndex([1, 2, 3], ["Mø", "The Who", "A-ha"])
    assert one(index, "mø").band == "accept"
    assert one(index, "the who").band == "accept"
    assert [match.band for match in index.match(["mo", "who", "Who!", "A ha"])] == ["review"] * 3 + ["accept"]


def test_of_one_name_the_most_popular_is_meant():
    catalogue = [(1, "Nirvana", 10), (2, "NIRVANA", 1000), (3, "nirvana", 1000), (4, "Other", 5000)]
    for order in (catalogue, catalogue[::-1]):
        ids, names, popularity = zip(*order, strict=True)
        match = one(NameIndex(ids, names, popularity), "Nirvana")
        assert (match.id, match.band, match.runner_up) == (2, "accept", 1)


def test_one_strong_form_of_several_names():
    names = ["Low Roar", "Low-Roar"]
    assert one(NameIndex([1, 2], names, [10, 10]), "Lôw Roar").band == "review"
    match = one(NameIndex([1, 2], names, [10, 100_000]), "Lôw Roar")
    assert (match.id, match.band) == (2, "accept")
    assert 0 < match.runner_up < 0.01
    # What is written counts for more than a little popularity.
    assert one(NameIndex([1, 2], ["The Roar", "Roar"], [10, 20]), "The Roár").id == 1


def test_two_names_that_are_equally_near():
    index = NameIndex([1, 2], ["Marsilion", "Marvilion"], [10, 10])
    assert one(index, "Marxilion").band == "review"
    index = NameIndex([1, 2], ["Marsilion", "Marvilion"], [10, 10_000])
    assert (one(index, "Marxilion").id, one(index, "Marxilion").band) == (2, "accept")


def test_without_the_fuzzy_stage(index):
    fresh = NameIndex(range(len(NAMES)), NAMES)
    assert one(fresh, "Metalica", fuzzy=False).tier == "none"
    assert one(fresh, "Beatles", fuzzy=False).tier == "strong"
    assert fresh._fuzzy is None
    assert one(fresh, "Metalica").tier == "fuzzy"


def test_empty_catalogue():
    index = NameIndex([], [], [])
    assert index.match([]) == []
    assert [match.tier for match in index.match(["", "Metallica", "A feat. B", "A & B"])] == ["none"] * 4


def test_names_that_nobody_can_ask_for():
    index = NameIndex([1, 2, 3, 4], ["", " ", "\0", "\ud800"])
    assert one(index, "").id in {1, 2, 3}
    assert one(index, "Metallica").tier == "none"


def test_lists_of_different_lengths():
    with pytest.raises(ValueError, match="1 ids, 2 names, 2 popularities"):
        NameIndex([1], ["a", "b"])


def test_huge_names(index):
    began = time.perf_counter()
    names = ["x" * 100_000, " & ".join(["ab"] * 20_000), "é" * 100_000, " " * 100_000, "Drake feat. " + "x, " * 30_000]
    matches = index.match(names)
    assert [match.tier for match in matches] == ["none"] * 4 + ["credit"]
    NameIndex(range(5), names).match(names)
    assert time.perf_counter() - began < 10
    assert all(len(match.evidence) < 200 for match in matches)


def test_many_of_one_name():
    index = NameIndex(range(20_000), ["Nirvana"] * 20_000, range(20_000))
    assert one(index, "nirvana").id == 19_999


def test_an_index_may_be_pickled(index):
    names = ["Metalica", "beatles"]
    assert pickle.loads(pickle.dumps(index)).match(names) == index.match(names)


# --- at random ----------------------------------------------------------------------------------------------------

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]


def invented(count, seed):
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.choice((3, 4)))) for _ in range(count)]
    return sorted({" ".join(rng.choices(words, k=rng.choice((1, 2, 2, 3)))).title() for _ in range(count)})


BIG = invented(20_000, 1)
BIG_INDEX = NameIndex(BIG, BIG, [len(BIG) - number for number in range(len(BIG))])


@given(st.sampled_from(BIG), st.randoms(use_true_random=False))
def test_noise_that_is_no_letter_hides_nobody(name, rng):
    noisy = "".join(rng.choice((char.upper(), char.lower())) for char in name)
    noisy = noisy.replace(" ", rng.choice((" ", "-", "_", " - ", ". "))) + rng.choice(("", "!", ".", "?"))
    place = rng.randrange(len(noisy))
    noisy = noisy[:place] + noisy[place:].translate(str.maketrans("aeiouAEIOU", "áèîõüÁÈÎÕÜ"))
    noisy = rng.choice((noisy, f"The {noisy}", f"{noisy}, The", f"{noisy} feat. Somebody"))
    match = one(BIG_INDEX, noisy)
    assert (match.id, match.band) == (name, "accept")


@given(st.sampled_from(BIG), st.integers(0, 99), st.integers(0, 99), st.sampled_from("qwxjcy"))
def test_decoys_are_never_accepted(name, number, other, letter):
    words = name.split()
    decoys = [
        f"{name} {letter}{letter}{letter}{letter}",
        f"{letter}a{letter}e{letter}o",
        " ".join(word[0] + letter * 3 + word[3:] for word in words),
        *(f"{name} {figure}" for figure in {number, other}),
    ]
    assert [match.band for match in BIG_INDEX.match(decoys) if match.band == "accept"] == []
    index = NameIndex([1], [f"{name} {number}"])
    assert (one(index, f"{name} {other}").band == "accept") == (number == other)


def typo(name, rng):
    place = rng.randrange(len(name))
    letter = rng.choice(string.ascii_lowercase)
    return rng.choice((name[:place] + name[place + 1 :], f"{name[:place]}{letter}{name[place:]}",
                       f"{name[:place]}{letter}{name[place + 1 :]}"))  # fmt: skip


def test_typos_are_found_and_strangers_are_not():
    rng = random.Random(2)
    meant = [name for name in rng.sample(BIG, 2000) if len(name) >= 8]
    matches = BIG_INDEX.match([typo(name, rng) for name in meant])
    accepted = [(match, name) for match, name in zip(matches, meant, strict=True) if match.band == "accept"]
    assert len(accepted) > 0.9 * len(meant)
    assert sum(match.id != name for match, name in accepted) < 0.01 * len(accepted)
    # Invented words are nearer to each other than names are; some strangers are a letter from somebody.
    strangers = [name for name in invented(4000, 3) if name not in set(BIG)]
    wrong = [match for match in BIG_INDEX.match(strangers) if match.band == "accept" and match.tier != "credit"]
    assert len(wrong) < 0.02 * len(strangers)


def test_order_and_company_change_nothing():
    rng = random.Random(4)
    names = [typo(name, rng) if rng.random() < 0.5 else name.upper() for name in rng.choices(BIG, k=3000)]
    names += ["Drake feat. " + BIG[0], f"{BIG[0]} feat. X", f"{BIG[1]} & {BIG[2]}", "", "???", *names[:50]]
    expected = dict(zip(names, BIG_INDEX.match(names), strict=True))
    rng.shuffle(names)
    assert BIG_INDEX.match(names) == [expected[name] for name in names]
    assert [match for begin in range(0, len(names), 701) for match in BIG_INDEX.match(names[begin : begin + 701])] == [
        expected[name] for name in names
    ]
    assert [one(BIG_INDEX, name) for name in names[:100]] == [expected[name] for name in names[:100]]
    # Nor does the order of the catalogue.
    places = list(range(len(BIG)))
    rng.shuffle(places)
    other = NameIndex([BIG[p] for p in places], [BIG[p] for p in places], [len(BIG) - p for p in places])
    assert other.match(names) == [expected[name] for name in names]


@given(st.lists(st.text(), max_size=20), st.lists(st.text(), max_size=20))
def test_any_text_may_be_in_a_catalogue_and_may_be_asked(catalogue, names):
    index = NameIndex(range(len(catalogue)), catalogue)
    matches = index.match(names)
    assert len(matches) == len(names)
    assert all((match.id is None) == (match.band == "reject") == (match.tier == "none") for match in matches)
    assert [match.tier for match in index.match(catalogue)] == ["exact"] * len(catalogue)


# --- edits --------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab c", min_size=4, max_size=12), unique=True, max_size=30), st.text("ab c", max_size=14))
def test_near_texts_are_those_that_a_loop_finds(texts, query):
    """Plain edits are all found; a swap may be missed if it destroys two segments, but none is made up."""
    asked, found, edits = EditIndex(texts).near([query])
    got = dict(zip(found.tolist(), edits.tolist(), strict=True))
    most = [1 if len(text) < 8 else 2 for text in texts]
    assert set(asked.tolist()) <= {0}
    assert got.keys() >= {n for n, text in enumerate(texts) if Levenshtein.distance(query, text) <= most[n]}
    assert all(OSA.distance(query, texts[number]) == count <= most[number] for number, count in got.items())
