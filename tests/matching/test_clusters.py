"""Groups by verified merges."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from lastfm_crawl.matching.clusters import Edge, cluster


def test_a_friends_friend_is_no_friend():
    edges = [Edge(0, 1, 0.95), Edge(1, 2, 0.9)]
    found = cluster(3, edges, 0.5)
    assert found.members() == {0: [0, 1]}
    [(edge, reason)] = found.refused
    assert edge == (1, 2, 0.9)
    assert "0.450 on average" in reason
    asked = []

    def score(pairs):
        asked.extend(pairs)
        return [0.6] * len(pairs)

    assert cluster(3, edges, 0.5, score=score).members() == {0: [0, 1, 2]}
    assert asked == [(0, 2)]


def test_a_source_has_no_duplicates():
    edges = [Edge(0, 1, 0.99), Edge(0, 2, 0.98), Edge(1, 2, 0.97)]
    found = cluster(3, edges, 0.5, sources=["a", "b", "b"])
    assert found.members() == {0: [0, 1]}
    assert {reason for _, reason in found.refused} == {"two records of one source"}
    assert cluster(3, edges, 0.5, sources=["a", None, None]).members() == {0: [0, 1, 2]}


def test_groups_stay_small():
    edges = [Edge(a, b, 0.9) for a, b in combinations(range(6), 2)]
    found = cluster(6, edges, 0.5, largest=4)
    assert max(map(len, found.members().values())) <= 4
    assert any("more than 4" in reason for _, reason in found.refused)


EDGES = st.lists(
    st.builds(Edge, st.integers(0, 7), st.integers(0, 7), st.floats(0, 1)).filter(lambda edge: edge.a != edge.b)
)


@given(EDGES, st.randoms(use_true_random=False))
def test_order_makes_no_difference(edges, random):
    shuffled = list(edges)
    random.shuffle(shuffled)
    sources = [number % 3 for number in range(8)]
    found = cluster(8, edges, 0.5, sources=sources, largest=3)
    again = cluster(8, shuffled, 0.5, sources=sources, largest=3)
    assert (found.group, found.accepted) == (again.group, again.accepted)
    for members in found.members().values():
        assert len(members) <= 3
        assert len({sources[number] for number in members}) == len(members)
