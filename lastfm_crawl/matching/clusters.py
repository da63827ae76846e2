"""From scored pairs to groups of records that are one, without believing that a friend's friend is a friend.

A pair joins two groups only if the two fit as wholes: on average all their records are alike, none comes from a source
that the other already has, and together they are not too many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence


class Edge(NamedTuple):
    """Two records, by number, and how probable it is that they are one."""

    a: int
    b: int
    score: float


class Refusal(NamedTuple):
    """An edge that did not join two groups, and why."""

    edge: Edge
    reason: str


@dataclass(slots=True)
class Clusters:
    """The group of each record (its smallest member), what was joined, and what was not."""

    group: list[int]
    accepted: list[Edge] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def members(self) -> dict[int, list[int]]:
        """The groups of more than one record, by their smallest member."""
        found: dict[int, list[int]] = {}
        for number, group in enumerate(self.group):
            found.setdefault(group, []).append(number)
        return {group: numbers for group, numbers in found.items() if len(numbers) > 1}


def cluster(
    count: int,
    edges: Iterable[Edge],
    threshold: float,
    *,
    sources: Sequence[Hashable] | None = None,
    score: Callable[[list[tuple[int, int]]], Sequence[float]] | None = None,
    largest: int = 50,
) -> Clusters:
    """Groups among *count* records. *sources* are free of duplicates, None for unknown; *score* tells of pairs without
    an edge, which otherwise count as 0. The order of the edges makes no difference."""
    known: dict[tuple[int, int], float] = {}
    for a, b, value in edges:
        pair = (a, b) if a < b else (b, a)
        known[pair] = max(value, known.get(pair, 0.0))
    groups: dict[int, list[int]] = {}
    result = Clusters(list(range(count)))
    for (a, b), value in sorted(known.items(), key=lambda item: (-item[1], item[0])):
        if value < threshold:
            break
        left, right = result.group[a], result.group[b]
        if left == right:
            continue
        edge = Edge(a, b, value)
        ours, theirs = groups.get(left, [left]), groups.get(right, [right])
        reason = _against(ours, theirs, sources, largest)
        if not reason and len(ours) + len(theirs) > 2:
            reason = _unlike(ours, theirs, known, score, threshold)
        if reason:
            result.refused.append(Refusal(edge, reason))
            continue
        result.accepted.append(edge)
        first = min(left, right)
        groups[first] = ours + theirs
        for number in groups[first]:
            result.group[number] = first
    return result


def _against(ours: list[int], theirs: list[int], sources: Sequence[Hashable] | None, largest: int) -> str:
    if len(ours) + len(theirs) > largest:
        return f"more than {largest} records"
    if sources is not None:
        taken = {sources[number] for number in ours} - {None}
        if any(sources[number] in taken for number in theirs):
            return "two records of one source"
    return ""


def _unlike(
    ours: list[int],
    theirs: list[int],
    known: dict[tuple[int, int], float],
    score: Callable[[list[tuple[int, int]]], Sequence[float]] | None,
    threshold: float,
) -> str:
    pairs = [(a, b) if a < b else (b, a) for a in ours for b in theirs]
    unknown = [pair for pair in pairs if pair not in known]
    if unknown:
        found = score(unknown) if score else [0.0] * len(unknown)
        known.update(zip(unknown, map(float, found), strict=True))
    mean = sum(known[pair] for pair in pairs) / len(pairs)
    return "" if mean >= threshold else f"alike by {mean:.3f} on average"
