"""Matches of artists and of tracks: what is to be looked for, and one edge each, which only a better one replaces."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from psycopg import sql

from lastfm_crawl.matching.normalise import NORMALISER_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from lastfm_crawl.matching.names import Match

Kind = Literal["artist", "track"]
#: Artists that are matched in one transaction.
CHUNK = 10_000

_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_matches (
    subject_id integer, spotify_id text COLLATE "C", band text, tier text, score real, runner_up real, evidence text
) ON COMMIT DELETE ROWS
"""
# A match that is believed gives way to another that is believed, never to a doubt; anything else to what is newer.
_SAVE = """
INSERT INTO {table} AS m ({subject}, spotify_id, band, tier, score, runner_up, evidence, source, normaliser,
                          catalogue, matched_at, first_searched_at, searched_at)
SELECT subject_id, spotify_id, band, tier, score, runner_up, evidence, %(source)s, %(normaliser)s, %(catalogue)s,
       %(at)s, %(searched)s, %(searched)s
FROM stage_matches ORDER BY subject_id
ON CONFLICT ({subject}) DO UPDATE
SET spotify_id = excluded.spotify_id, band = excluded.band, tier = excluded.tier, score = excluded.score,
    runner_up = excluded.runner_up, evidence = excluded.evidence, source = excluded.source,
    matched_at = excluded.matched_at
WHERE excluded.band = 'accept' OR m.band <> 'accept'
"""
# That somebody looked is kept, whatever was found.
_STAMP = """
UPDATE {table} m
SET catalogue = greatest(m.catalogue, %(catalogue)s), normaliser = %(normaliser)s,
    first_searched_at = least(m.first_searched_at, %(searched)s), searched_at = greatest(m.searched_at, %(searched)s)
FROM stage_matches s WHERE s.subject_id = m.{subject}
"""
_LEFT = """
SELECT s.id FROM {subjects} s LEFT JOIN {table} m ON m.{subject} = s.id
WHERE %(again)s OR m.{subject} IS NULL
   OR (m.tier <> 'exact' OR m.band <> 'accept') AND (m.catalogue < %(catalogue)s OR m.normaliser <> %(normaliser)s)
ORDER BY s.id
"""


def just_asked(last: str, first: str) -> str:
    """The condition that it is not yet time to ask again what was asked in vain, *last* and *first* then (columns).

    That is a day later, then after as long as it has been since the first time (1, 1, 2, 4 … days), at most 32 days
    later.
    """
    return (
        f"({last} IS NOT NULL"
        f" AND {last} + least(greatest({last} - {first}, interval '1 day'), interval '32 days') > %(now)s)"
    )


#: Of a match: it was searched for in vain, and it is not yet time to search again.
JUST_SEARCHED = just_asked("m.searched_at", "m.first_searched_at")


def _statement(text: str, kind: Kind) -> sql.Composed:
    names = {"table": f"{kind}_matches", "subject": f"{kind}_id", "subjects": f"{kind}s"}
    plays = sql.SQL(_PLAYS[kind])
    return sql.SQL(text).format(plays=plays, **{name: sql.Identifier(value) for name, value in names.items()})


def record_import(connection: psycopg.Connection, kind: str, source: str, rows: int) -> int:
    """That a catalogue of *kind* (artists or tracks) was imported; the number of the import."""
    row = connection.execute(
        "INSERT INTO catalogue_imports (kind, source, rows, imported_at) VALUES (%s, %s, %s, now()) RETURNING id",
        [kind, source, rows],
    ).fetchone()
    assert row is not None  # it was inserted  # noqa: S101
    return int(row[0])


def catalogue_version(connection: psycopg.Connection, kind: str) -> int:
    """The number of the last import of *kind*; 0 when there was none."""
    row = connection.execute("SELECT coalesce(max(id), 0) FROM catalogue_imports WHERE kind = %s", [kind]).fetchone()
    return row[0] if row else 0


class Artist(NamedTuple):
    """An artist of Last.fm."""

    id: int
    name: str


class Track(NamedTuple):
    """A track of Last.fm."""

    id: int
    artist: str
    title: str


def tracks_named(connection: psycopg.Connection, ids: Sequence[int]) -> list[Track]:
    """The tracks with *ids*, in their order."""
    rows = connection.execute(
        """
        SELECT t.id, a.name, t.name FROM unnest(%s::integer[]) WITH ORDINALITY AS wanted (id, place)
        JOIN tracks t USING (id) JOIN artists a ON a.id = t.artist_id ORDER BY wanted.place
        """,
        [list(ids)],
    )
    return [Track(*row) for row in rows]


def new_artists(connection: psycopg.Connection, after: int, limit: int = CHUNK) -> list[Artist]:
    """The first *limit* artists with an id above *after* that were never looked for."""
    rows = connection.execute(
        """
        SELECT a.id, a.name FROM artists a
        WHERE a.id > %s AND NOT EXISTS (SELECT FROM artist_matches m WHERE m.artist_id = a.id)
        ORDER BY a.id LIMIT %s
        """,
        [after, limit],
    )
    return [Artist(*row) for row in rows]


def save_matches(
    connection: psycopg.Connection,
    kind: Kind,
    matches: Mapping[int, Match],
    source: str,
    *,
    catalogue: int = 0,
    searched_at: float | None = None,
) -> int:
    """Keep *matches* (id of the artist or track to match), found in *source* (catalogue or search).

    *catalogue* is the last import that was looked at as a whole. Returns how many of them are believed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STAGING)
        cursor.execute("TRUNCATE stage_matches")
        with cursor.copy("COPY stage_matches FROM STDIN") as copy:
            for subject, match in matches.items():
                copy.write_row(
                    (subject, match.id, match.band, match.tier, match.score, match.runner_up, match.evidence)
                )
        values = {
            "source": source,
            "normaliser": NORMALISER_VERSION,
            "catalogue": catalogue,
            "at": datetime.now(UTC),
            "searched": None if searched_at is None else datetime.fromtimestamp(searched_at, UTC),
        }
        cursor.execute(_statement(_SAVE, kind), values)
        cursor.execute(_statement(_STAMP, kind), values)
    return sum(match.band == "accept" for match in matches.values())


def left_to_match(connection: psycopg.Connection, kind: Kind, catalogue: int, *, again: bool = False) -> list[int]:
    """Ids of the artists or tracks that are worth a look: those never looked for, and those without a sure match since
    the *catalogue* or the forms changed; *again*: all of them.
    """
    values = {"again": again, "catalogue": catalogue, "normaliser": NORMALISER_VERSION}
    return [row for (row,) in connection.execute(_statement(_LEFT, kind), values)]


class MatchCounts(NamedTuple):
    """How far matching is: how many there are, are believed (also by tier), are to be read by somebody; and plays."""

    all: int
    accepted: int
    review: int
    tiers: list[tuple[str, int]]
    plays: int
    plays_accepted: int


_PLAYS = {
    "artist": "SELECT artist_id AS id, sum(playcount) AS n FROM user_artists GROUP BY artist_id",
    "track": "SELECT track_id AS id, count(*) AS n FROM scrobbles GROUP BY track_id",
}
_COUNTS = """
WITH plays AS ({plays})
SELECT count(*), count(*) FILTER (WHERE m.band = 'accept'), count(*) FILTER (WHERE m.band = 'review'),
       coalesce(sum(p.n), 0)::bigint, coalesce(sum(p.n) FILTER (WHERE m.band = 'accept'), 0)::bigint
FROM {subjects} s LEFT JOIN {table} m ON m.{subject} = s.id LEFT JOIN plays p ON p.id = s.id
"""
_TIERS = "SELECT tier, count(*) FROM {table} WHERE band = 'accept' GROUP BY tier ORDER BY 2 DESC, 1"


def match_counts(connection: psycopg.Connection, kind: Kind) -> MatchCounts:
    """How far the matching of artists (plays: of top-artists lists) or tracks (plays: scrobbles) is."""
    row = connection.execute(_statement(_COUNTS, kind)).fetchone()
    assert row is not None  # an aggregate always has a row  # noqa: S101
    tiers = connection.execute(_statement(_TIERS, kind)).fetchall()
    return MatchCounts(row[0], row[1], row[2], tiers, row[3], row[4])
