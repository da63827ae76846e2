"""Who is a member of the crawl, for the crawl itself and for a replay of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastfm_crawl.items import Admissions, Member, user_key
from lastfm_crawl.spiders.frontier import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lastfm_crawl.spiders.frontier import Step


class Members:
    """Members by key, and what the steps of a :class:`Frontier` make of them; *seeds* are those of all runs."""

    def __init__(self, seeds: Sequence[str], known: Iterable[Member]) -> None:
        self._seeds = seeds
        self._known = {user_key(member.name): member for member in known}

    def __iter__(self) -> Iterator[Member]:
        return iter(self._known.values())

    def ways(self) -> dict[str, Way | None]:
        """How each member is reached, as the frontier wants to know it; None for those who were only named."""
        places = {user_key(seed): place for place, seed in enumerate(self._seeds)}
        return {
            key: None if m.seed is None else Way(m.depth or 0, places[user_key(m.seed)])
            for key, m in self._known.items()
        }

    def admit(self, step: Step, answered_at: float | None, now: float) -> Admissions | None:
        """Whom *step* admitted, at the time of its answer; *now* where neither that nor the user is known."""
        if not step.admitted:
            return None
        members = []
        for user, way in step.admitted:
            known = self._known.get(user_key(user)) or Member(user, None, None, answered_at or now)
            member = Member(user, self._seeds[way.seed], way.depth, answered_at or known.discovered_at)
            first = min(known.discovered_at, member.discovered_at)
            self._known[user_key(user)] = member._replace(name=known.name, discovered_at=first)
            members.append(member)
        return Admissions(tuple(members))
