"""The years of albums from a mirror of MusicBrainz's database, thousands a second where its web service gives one.

Only read, one statement a question and no transaction around it. It wants the core tables; what may be missing is asked
once per connection. The dates are those of ``release_group_meta``, which is in the derived dump; without it, or without
a year in it, they are recomputed from the releases as MusicBrainz does: the first of a group, those that were cancelled
left out, where a date that is known to the day comes before the same month or year without.

Quick with the indexes that MusicBrainz itself makes. Where a mirror was loaded without them, it is these that help:
the primary keys, ``release_idx_gid`` and ``release_idx_release_group``; for :func:`similar_groups` also
``artist_idx_lower_unaccent_name_comment``, ``artist_credit_idx_musicbrainz_collate``,
``artist_credit_name_idx_artist``, ``release_group_idx_artist_credit`` and ``release_group_idx_name``. None on trigrams
is used: they are compared among the groups of one artist, or of one title.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import psycopg

from lastfm_crawl.items import ReleaseGroup
from lastfm_crawl.matching.titles import group_title
from lastfm_crawl.warehouse.database import check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

A = TypeVar("A")
B = TypeVar("B")

_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CANCELLED = 6  # release.status
_SIMILAR = 0.3  # pg_trgm's own default, whatever the mirror's is
_CANDIDATES = 10
#: An artist with more groups is Various Artists, or [unknown]: there only equal titles count.
_MOST_GROUPS = 20_000


class MirrorUnavailableError(Exception):
    """The mirror cannot be reached or used: one line that says why and what to do."""


class DatedRelease(NamedTuple):
    """The release group of the release ``asked``, in the spelling it was asked in.

    ``release`` is its id today: another one where releases were merged. What the mirror does not know, and what is no
    id, has neither.
    """

    asked: str
    release: str = ""
    group: ReleaseGroup | None = None


class _Shape(NamedTuple):
    """What of all that a mirror may lack is there."""

    meta: bool
    trigrams: bool
    unaccent: bool
    collation: bool
    unicode: bool


_shapes: WeakKeyDictionary[psycopg.Connection, _Shape] = WeakKeyDictionary()


def open_mirror(url: str) -> psycopg.Connection:
    """A connection to the mirror at *url* that cannot write. Raises :class:`MirrorUnavailableError`."""
    name = "MUSICBRAINZ_DATABASE_URL"
    try:
        check_url(url, name)
        connection = psycopg.connect(url, application_name="lastfm_crawl", autocommit=True, connect_timeout=10)
    except (psycopg.Error, ValueError) as exc:
        raise MirrorUnavailableError(" ".join(str(exc).split())) from exc
    try:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET statement_timeout = '5min'")
        connection.execute("SET search_path = musicbrainz, public")
        connection.execute("SET jit = off")  # it takes longer to compile these than to run them
        dated_releases(connection, [])
        similar_groups(connection, [])
        # Else one that is not loaded yet would know no album.
        if connection.execute("SELECT FROM release LIMIT 1").rowcount:
            return connection
        why = "the table release is empty"
    except psycopg.Error as exc:
        why = exc.diag.message_primary or " ".join(str(exc).split())
    except BaseException:
        connection.close()
        raise
    connection.close()
    raise MirrorUnavailableError(f"{name} leads to no MusicBrainz database that can be used: {why}")


class Mirror:
    """The mirror at *url*, connected when it is first asked. Not for several threads at once.

    Its questions raise :class:`MirrorUnavailableError` alone: an error of another database is none of the warehouse.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None

    def releases(self, mbids: Sequence[str]) -> list[DatedRelease]:
        """:func:`dated_releases`."""
        return self._ask(dated_releases, mbids)

    def similar_groups(self, albums: Sequence[tuple[str, str]]) -> list[list[ReleaseGroup]]:
        """:func:`similar_groups`, for titles without their editions."""
        return self._ask(similar_groups, [(artist, group_title(title)) for artist, title in albums])

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()

    def _ask(self, question: Callable[[psycopg.Connection, Sequence[A]], B], about: Sequence[A]) -> B:
        if self._connection is None:
            self._connection = open_mirror(self._url)
        try:
            return question(self._connection, about)
        except psycopg.Error as exc:
            raise MirrorUnavailableError(f"the mirror of MusicBrainz fails: {' '.join(str(exc).split())}") from exc


def dated_releases(connection: psycopg.Connection, mbids: Sequence[str]) -> list[DatedRelease]:
    """A row for each of *mbids*, ids of releases, in their order. Some thousands at a time are quickest."""
    asked = [mbid.lower() for mbid in mbids]
    known = list(dict.fromkeys(mbid for mbid in asked if _MBID.fullmatch(mbid)))
    rows = connection.execute(_dated(_shape(connection)), {"mbids": known})
    found = {mbid: (release, _group(*group)) for mbid, release, *group in rows}
    return [DatedRelease(mbid, *found.get(key, ())) for mbid, key in zip(mbids, asked, strict=True)]


def similar_groups(connection: psycopg.Connection, albums: Sequence[tuple[str, str]]) -> list[list[ReleaseGroup]]:
    """For each (artist, title) of *albums* the groups that might be it, at most 10, the likeliest first.

    Equal names first (case and, in Latin script, accents do not count); with pg_trgm then similar titles of the artist,
    and equal titles of artists with a similar name. An artist's name is looked up as it is, in lower and upper case and
    with capitals, because MusicBrainz's databases know the case of ASCII letters only. All groups of an artist are read
    once for all of *albums*: a thousand at a time cost little more than one.
    """
    artists = [(artist, form) for artist in dict.fromkeys(artist for artist, _ in albums) for form in _forms(artist)]
    titles = [(place, form) for place, (_, title) in enumerate(albums, 1) for form in _forms(title)]
    rows = connection.execute(
        _similar(_shape(connection)),
        {
            "artists": [artist for artist, _ in albums], "titles": [title for _, title in albums],
            "artist": [artist for artist, _ in artists], "artist_form": [form for _, form in artists],
            "place": [place for place, _ in titles], "title_form": [form for _, form in titles],
        },
    )  # fmt: skip
    found: list[list[ReleaseGroup]] = [[] for _ in albums]
    for place, *group in rows:
        found[place - 1].append(_group(*group))
    return found


def _forms(name: str) -> list[str]:
    return list(dict.fromkeys((name, name.lower(), name.upper(), string.capwords(name))))


def _group(
    mbid: str, title: str, artist: str, year: int | None, month: int | None, day: int | None, primary: str | None,
    secondary: list[str] | None,
) -> ReleaseGroup:  # fmt: skip
    return ReleaseGroup(mbid, title, artist, year, month, day, primary or "", tuple(secondary or ()))


def _shape(connection: psycopg.Connection) -> _Shape:
    if connection not in _shapes:
        row = connection.execute(
            """
            SELECT to_regclass('release_group_meta') IS NOT NULL,
                   to_regprocedure('similarity(text, text)') IS NOT NULL,
                   to_regprocedure('musicbrainz_unaccent(text)') IS NOT NULL,
                   to_regcollation('musicbrainz') IS NOT NULL,
                   to_regcollation('"und-x-icu"') IS NOT NULL
            """
        ).fetchone()
        assert row is not None  # noqa: S101  (it has no FROM)
        _shapes[connection] = _Shape(*row)
    return _shapes[connection]


def _dated(shape: _Shape) -> str:
    return f"""
    WITH found AS MATERIALIZED (
        SELECT w.gid AS asked, r.gid AS release, r.release_group AS id
        FROM unnest(%(mbids)s::uuid[]) AS w (gid)
        LEFT JOIN release now ON now.gid = w.gid
        LEFT JOIN release_gid_redirect moved ON moved.gid = w.gid AND now.id IS NULL
        JOIN release r ON r.id = coalesce(now.id, moved.new_id)
    ),
    {_described(shape)}
    SELECT f.asked::text, f.release::text, {_COLUMNS} FROM found f JOIN described d ON d.id = f.id
    """  # noqa: S608  (constants of this module)


def _similar(shape: _Shape) -> str:
    by_name = 'c.name COLLATE "musicbrainz"' if shape.collation else "c.name"
    near_title = f"""
        UNION SELECT w.place, o.id FROM wanted w JOIN owned o ON o.artist = w.artist
        WHERE o.many <= {_MOST_GROUPS} AND similarity(o.title_key, w.title_key) >= {_SIMILAR}"""  # noqa: S608
    near_artist = f"OR similarity({_key('c.name', shape)}, w.artist_key) >= {_SIMILAR}"
    likeness = f"similarity({_key('d.artist', shape)}, w.artist_key) + similarity({_key('d.name', shape)}, w.title_key)"
    return f"""
    WITH wanted AS MATERIALIZED (
        SELECT place, artist, {_key("artist", shape)} AS artist_key, {_key("title", shape)} AS title_key
        FROM unnest(%(artists)s::text[], %(titles)s::text[]) WITH ORDINALITY AS w (artist, title, place)
    ),
    artist_forms AS (SELECT * FROM unnest(%(artist)s::text[], %(artist_form)s::text[]) AS f (artist, form)),
    title_forms AS (SELECT * FROM unnest(%(place)s::bigint[], %(title_form)s::text[]) AS f (place, form)),
    credits AS (
        SELECT f.artist, n.artist_credit AS id FROM artist_forms f
        JOIN artist a ON {_indexed("a.name", shape)} = {_indexed("f.form", shape)}
        JOIN artist_credit_name n ON n.artist = a.id
        UNION SELECT f.artist, c.id FROM artist_forms f JOIN artist_credit c ON {by_name} = f.form
    ),
    owned AS MATERIALIZED (
        SELECT c.artist, g.id, {_key("g.name", shape)} AS title_key, count(*) OVER (PARTITION BY c.artist) AS many
        FROM credits c JOIN release_group g ON g.artist_credit = c.id
    ),
    pairs AS MATERIALIZED (
        SELECT w.place, o.id FROM wanted w JOIN owned o ON o.artist = w.artist AND o.title_key = w.title_key
        {near_title if shape.trigrams else ""}
        UNION SELECT w.place, g.id FROM title_forms f JOIN wanted w ON w.place = f.place
        JOIN release_group g ON g.name = f.form JOIN artist_credit c ON c.id = g.artist_credit
        WHERE {_key("c.name", shape)} = w.artist_key {near_artist if shape.trigrams else ""}
    ),
    ranked AS MATERIALIZED (
        SELECT w.place, d.id, row_number() OVER (
            PARTITION BY w.place
            ORDER BY {_key("d.artist", shape)} = w.artist_key AND {_key("d.name", shape)} = w.title_key DESC,
                     {likeness + " DESC," if shape.trigrams else ""} d.id) AS rank
        FROM pairs p JOIN wanted w ON w.place = p.place
        JOIN (SELECT g.id, g.name, c.name AS artist FROM release_group g
              JOIN artist_credit c ON c.id = g.artist_credit) d ON d.id = p.id
    ),
    found AS MATERIALIZED (SELECT place, rank, id FROM ranked WHERE rank <= {_CANDIDATES}),
    {_described(shape)}
    SELECT f.place, {_COLUMNS} FROM found f JOIN described d ON d.id = f.id ORDER BY f.place, f.rank
    """  # noqa: S608  (constants of this module)


def _indexed(name: str, shape: _Shape) -> str:
    """A name without case, as MusicBrainz's own index of artists has it."""
    return f"lower(musicbrainz_unaccent({name}))" if shape.unaccent else f"lower({name})"


def _key(name: str, shape: _Shape) -> str:
    """A name without case: of any letter, also in a database that itself knows ASCII only, as MusicBrainz's does."""
    bare = f"musicbrainz_unaccent({name})" if shape.unaccent else name
    return f'lower({bare} COLLATE "und-x-icu")' if shape.unicode else f"lower({bare})"


_COLUMNS = "d.mbid, d.name, d.artist, d.year, d.month, d.day, d.primary_type, d.secondary_types"


def _described(shape: _Shape) -> str:
    """The release groups whose ids are in ``found``, as :func:`_group` takes them.

    MusicBrainz gives the secondary types of a group in no order; here they are sorted by name.
    """
    meta = "SELECT NULL::integer, NULL::smallint, NULL::smallint, NULL::smallint WHERE false"
    if shape.meta:
        meta = """
        SELECT id, first_release_date_year, first_release_date_month, first_release_date_day FROM release_group_meta
        WHERE id IN (SELECT id FROM found) AND first_release_date_year IS NOT NULL"""
    return f"""
    meta (id, year, month, day) AS MATERIALIZED ({meta}),
    firsts (id, year, month, day) AS (
        SELECT DISTINCT ON (r.release_group) r.release_group, e.date_year, e.date_month, e.date_day
        FROM release r
        JOIN (SELECT release, date_year, date_month, date_day FROM release_country
              UNION ALL
              SELECT release, date_year, date_month, date_day FROM release_unknown_country) e ON e.release = r.id
        WHERE r.release_group IN (SELECT id FROM found EXCEPT SELECT id FROM meta)
        AND r.status IS DISTINCT FROM {_CANCELLED} AND e.date_year IS NOT NULL
        ORDER BY r.release_group, e.date_year, e.date_month NULLS LAST, e.date_day NULLS LAST
    ),
    kinds (id, names) AS (
        SELECT j.release_group, array_agg(t.name::text ORDER BY t.name COLLATE "C")
        FROM release_group_secondary_type_join j
        JOIN release_group_secondary_type t ON t.id = j.secondary_type
        WHERE j.release_group IN (SELECT id FROM found)
        GROUP BY j.release_group
    ),
    described AS MATERIALIZED (
        SELECT g.id, g.gid::text AS mbid, g.name, c.name AS artist, y.year, y.month, y.day, p.name AS primary_type,
               k.names AS secondary_types
        FROM release_group g
        JOIN artist_credit c ON c.id = g.artist_credit
        LEFT JOIN release_group_primary_type p ON p.id = g.type
        LEFT JOIN (SELECT * FROM meta UNION ALL SELECT * FROM firsts) y ON y.id = g.id
        LEFT JOIN kinds k ON k.id = g.id
        WHERE g.id IN (SELECT id FROM found)
    )"""  # noqa: S608  (constants of this module)
