"""The artists, tracks and albums that the users played most: what is asked about where not everything can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

Kind = Literal["artists", "tracks", "albums"]

# The orders in which the work lists of the spiders are.
_PLAYS = {
    "artists": "SELECT artist_id AS id, sum(playcount) AS n FROM user_artists GROUP BY 1",
    "tracks": "SELECT track_id AS id, sum(playcount) AS n FROM listening GROUP BY 1",
    "albums": """SELECT r.album_id AS id, count(*) AS n FROM scrobbles s JOIN recordings r ON r.id = s.recording_id
                 WHERE r.album_id <> 0 GROUP BY 1""",
}


def among_most_played(connection: psycopg.Connection, kind: Kind, ids: Sequence[int], top: int | None) -> Sequence[int]:
    """Those of *ids* that are among the *top* most played of *kind* (None: all of them), in their order."""
    if top is None or not ids:
        return ids
    rows = connection.execute(
        f"""
        SELECT s.id FROM {kind} s LEFT JOIN ({_PLAYS[kind]}) p USING (id)
        ORDER BY p.n DESC NULLS LAST, s.id LIMIT %s
        """,  # noqa: S608  (constants of this module)
        [top],
    )
    chosen = {row for (row,) in rows}
    return [row for row in ids if row in chosen]
