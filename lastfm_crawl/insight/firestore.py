"""Users who share some of a few artists, asked of Firestore: the answer of PostgreSQL, for an app that has none.

The collection is that of the Firestore sink: a document a user, with ``lastfm_username``, ``lastfm_playcount``,
``top_artist_names`` and ``top_artists`` (name and playcount), the most played first.

Firestore cannot count what two arrays have in common. It finds the documents that have any of 30 values, compared byte
for byte; they are counted here, without regard to case. So of a name the usual cases are asked for (as given, lower,
upper and title case), and when these are more than 30 there are several queries, whose results are merged. Names that
differ in more than case are to be matched before: :func:`lastfm_crawl.insight.named.look_up`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from google.cloud.firestore_v1.base_query import FieldFilter

from lastfm_crawl.insight.similar import LIMIT, MIN_SHARED, OTHERS, Played, SimilarUser
from lastfm_crawl.items import user_key
from lastfm_crawl.matching.normalise import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.cloud.firestore import Client

COLLECTION = "lastfm_users"
#: Values that one query may ask for.
VALUES = 30


class _Sharing(NamedTuple):
    """A document, how many artists are shared, and how long its list is."""

    reference: Any
    user: str
    shared: int
    artists: int


def users_who_share_in_firestore(
    client: Client,
    artists: Sequence[str],
    min_shared: int = MIN_SHARED,
    limit: int | None = LIMIT,
    others: int = OTHERS,
    collection: str = COLLECTION,
) -> list[SimilarUser]:
    """Users who listen to at least *min_shared* of *artists*: see :func:`lastfm_crawl.insight.similar.users_who_share`.

    The names alone are read of whoever listens to any of them, whole documents only of those who are returned. Raises
    what the client raises.
    """
    given = {fold(name): name for name in artists}
    names = given.keys()
    asked = sorted({form for name in artists for form in (name, name.lower(), name.upper(), name.title())})
    found: dict[str, _Sharing] = {}
    for begin in range(0, len(asked), VALUES):
        any_of = FieldFilter("top_artist_names", "array_contains_any", asked[begin : begin + VALUES])
        query = client.collection(collection).where(filter=any_of).select(["lastfm_username", "top_artist_names"])
        for document in query.stream():
            theirs = document.get("top_artist_names")
            shared = len(names & set(map(fold, theirs)))
            if shared >= max(1, min_shared):
                user = document.get("lastfm_username")
                found[document.id] = _Sharing(document.reference, user, shared, len(theirs))
    order = sorted(found.values(), key=lambda one: (-one.shared, one.artists, user_key(one.user)))[:limit]
    documents = {document.id: document.to_dict() for document in client.get_all([one.reference for one in order])}
    # Who went meanwhile is not there any more.
    return [_described(about, given, others) for one in order if (about := documents[one.reference.id])]


def _described(document: dict[str, Any], given: dict[str, str], others: int) -> SimilarUser:
    shared: dict[str, str] = {}
    rest: list[Played] = []
    for artist in document["top_artists"]:
        form = fold(artist["name"])
        if form in given:
            shared.setdefault(form, given[form])
        elif len(rest) < others:
            rest.append(Played(artist["name"], artist["playcount"]))
    return SimilarUser(
        user=document["lastfm_username"],
        playcount=document.get("lastfm_playcount"),
        shared=tuple(shared.values()),
        others=tuple(rest),
    )
