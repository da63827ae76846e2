"""Vectors of songs: alike for those who share listeners, the same for the same plays."""

from __future__ import annotations

import numpy as np
import pytest

from lastfm_crawl.matching.cooccurrence import DIMENSIONS, song_vectors


def plays(users: int, songs: int, seed: int = 1):
    """Every user plays a tenth of the songs of one of two tastes: even or odd."""
    rng = np.random.default_rng(seed)
    pairs = [
        (user, song, rng.integers(1, 50))
        for user in range(users)
        for song in range(user % 2, songs, 2)
        if rng.random() < 0.2
    ]
    who, what, count = zip(*pairs, strict=True)
    return np.array(who, np.int32), np.array(what, np.int32), np.array(count, np.float64)


@pytest.mark.parametrize(("users", "songs"), [(300, 400), (20, 400), (400, 40), (2, 100)])
def test_those_of_one_taste_are_nearer(users, songs):
    found = song_vectors(*plays(users, songs), songs)
    assert found.shape == (songs, DIMENSIONS)
    assert np.isfinite(found).all()
    heard = found.any(axis=1)
    assert np.allclose(np.linalg.norm(found[heard], axis=1), 1, atol=1e-4)
    similarity = found @ found.T
    tastes = np.arange(songs) % 2
    same = tastes[:, None] == tastes[None, :]
    both = heard[:, None] & heard[None, :] & ~np.eye(songs, dtype=bool)
    assert similarity[same & both].mean() > similarity[~same & both].mean() + 0.01


def test_the_same_plays_give_the_same_vectors():
    users, songs, counts = plays(300, 400)
    first = song_vectors(users, songs, counts, 400)
    assert np.array_equal(first, song_vectors(users, songs, counts, 400))
    order = np.random.default_rng(2).permutation(len(users))
    shuffled = song_vectors(users[order], songs[order], counts[order], 400)
    assert np.abs(first - shuffled).max() < 1e-4


def test_few_users_fill_few_dimensions():
    found = song_vectors(*plays(3, 50), 60)
    assert not found[:, 3:].any()
    assert not found[50:].any()


def test_nothing_gives_nothing():
    none = np.array([], np.int32)
    assert not song_vectors(none, none, np.array([], np.float64), 4).any()
    assert song_vectors(none, none, np.array([], np.float64), 0).shape == (0, DIMENSIONS)
