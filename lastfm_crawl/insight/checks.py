"""What must not be in the warehouse: conditions on rows, as many as possible in one pass over them.

A *fault* is what no sound warehouse has. The rest is worth a look: the data may be so at its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import psycopg

Kind = Literal["duplicate", "orphan", "unexplained", "missing", "range"]


class Check(NamedTuple):
    """*wrong* is a condition in SQL on a row of the pass."""

    kind: Kind
    what: str
    wrong: str
    fault: bool = True


class Pass(NamedTuple):
    """Checks that need the same rows. *parents* are references without a foreign key: column, table it points into."""

    table: str
    name: str  # what a row is called, in SQL; r is the row
    checks: tuple[Check, ...] = ()
    parents: tuple[tuple[str, str], ...] = ()
    rows: str = ""  # in the place of the table

    def all_checks(self) -> tuple[Check, ...]:
        """The orphans that the parents mean, and the others."""
        orphans = (
            Check("orphan", f"{self.table}.{column} that is in no row of {parent}", f"of_{column}.id IS NULL")
            for column, parent in self.parents
        )
        return (*orphans, *self.checks)

    def statement(self) -> str:
        """One row: count and first example, check by check."""
        counts = ", ".join(
            f"count(*) FILTER (WHERE {check.wrong}), min({self.name}) FILTER (WHERE {check.wrong})"
            for check in self.all_checks()
        )
        joins = "".join(
            f" LEFT JOIN {parent} of_{column} ON of_{column}.id = r.{column}" for column, parent in self.parents
        )
        return f"SELECT {counts} FROM {self.rows or self.table} r{joins}"  # noqa: S608  (constants of this module)


@dataclass(frozen=True, slots=True)
class Finding:
    """How many rows fail a check, and one of them."""

    check: Check
    count: int
    example: str | None


# Without blanks, and in the lower case that the locale of the database knows.
def _folded(column: str) -> str:
    return f"""lower(translate({column} COLLATE "default", E' \\t\\n\\u00a0', ''))"""


def _duplicates(what: str, table: str, columns: str, name: str, rows: str = "", *, fault: bool = True) -> Pass:
    """Groups of rows of *table* that have *columns* in common; *rows* in its place when those are more or fewer."""
    groups = f"(SELECT min({name}) AS name FROM {rows or table} GROUP BY {columns} HAVING count(*) > 1)"  # noqa: S608
    return Pass(table, "r.name", (Check("duplicate", what, "true", fault),), rows=groups)


# A day, for clocks differ, and a crawl may go on while this is read.
_FUTURE = "> now() + interval '1 day'"
_NO_YEAR = "{0} < 1860 OR {0} > extract(year FROM now())"


def _score(what: str, column: str, most: int) -> Check:
    return Check("range", f"{what} outside 0 to {most}", f"{column} < 0 OR {column} > {most}")


def _match(what: str) -> tuple[Check, ...]:
    return (
        _score(f"scores of {what}", "r.score", 1),
        Check("range", f"{what} in the future", f"r.matched_at {_FUTURE}"),
    )


_LIST = (
    Check("range", "ranks below 1 in user lists", "r.rank < 1"),
    Check("range", "play counts below 0 in user lists", "r.playcount < 0"),
)
_TOP = (
    Check("range", "ranks below 1 in Spotify's top lists", "r.rank < 1"),
    _score("popularities in Spotify's top lists", "r.popularity", 100),
)

PASSES = (
    Pass("users", "'user ' || r.id", (
        Check("missing", "users without a name", "r.name = '' OR r.key = ''"),
        Check("range", "users with less than 0 plays", "r.playcount < 0"),
        Check("range", "users nearer than 0 to their seed", "r.crawl_depth < 0"),
        Check("range", "users registered before 2002 or in the future",
              f"r.registered_at < '2002-01-01Z' OR r.registered_at {_FUTURE}", fault=False),
    )),
    Pass("fetches", "'answer ' || r.id || ' (' || r.method || ')'", (
        Check("unexplained", "answers that do not account for every row received",
              "r.received <> r.stored + (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(r.skipped))"),
        Check("range", "answers with less than 0 pages or rows",
              "least(r.page, r.pages, r.total, r.received, r.stored) < 0"),
        Check("range", "answers from the future", f"r.fetched_at {_FUTURE}"),
    ), (("user_id", "users"),)),
    Pass("fetches", "'answer ' || r.id || ' (' || r.method || ')'", (
        Check("unexplained", "answers whose rows are not all there, or more than all", "r.stored <> r.rows"),
    ), rows="""(
        SELECT f.id, f.method, f.stored, coalesce(c.rows, 0) AS rows
        FROM fetches f
        LEFT JOIN (SELECT fetch_id, count(*) AS rows FROM user_artists GROUP BY fetch_id
                   UNION ALL SELECT fetch_id, count(*) FROM user_albums GROUP BY fetch_id
                   UNION ALL SELECT fetch_id, count(*) FROM user_tracks GROUP BY fetch_id
                   UNION ALL SELECT fetch_id, count(*) FROM loved_tracks GROUP BY fetch_id
                   UNION ALL SELECT fetch_id, count(*) FROM friendships GROUP BY fetch_id) c ON c.fetch_id = f.id
        WHERE f.status = 'ok' AND f.method IN ('user.getTopArtists', 'user.getTopAlbums', 'user.getTopTracks',
                                               'user.getLovedTracks', 'user.getFriends'))"""),
    Pass("fetches", "'user ' || r.user_id || ', ' || r.window_from || ' to ' || r.window_to", (
        Check("unexplained", "finished windows of histories with rows that nothing accounts for",
              "r.total <> r.rows"),
    ), rows="""(
        SELECT user_id, window_from, window_to, max(total) AS total,
               sum(received - coalesce((skipped ->> 'now_playing')::integer, 0)) AS rows
        FROM history_pages GROUP BY user_id, window_from, window_to
        HAVING min(total) = max(total) AND min(per_page) = max(per_page) AND sum(beyond - first) >= max(total))"""),
    Pass("friendships", "'answer ' || r.fetch_id || ', friend ' || r.friend_id", (
        Check("range", "friends before the first place of their page", "r.position < 0"),
    ), (("fetch_id", "fetches"), ("friend_id", "users"))),
    Pass("artists", "'artist ' || r.id", (Check("missing", "artists without a name", "btrim(r.name) = ''"),)),
    Pass("tracks", "'track ' || r.id", (Check("missing", "tracks without a name", "btrim(r.name) = ''"),),
         (("artist_id", "artists"),)),
    Pass("albums", "'album ' || r.id", (Check("missing", "albums without a name", "btrim(r.name) = ''"),),
         (("artist_id", "artists"),)),
    Pass("recordings", "'recording ' || r.id", parents=(("track_id", "tracks"),)),
    Pass("recordings", "'recording ' || r.id", parents=(("album_id", "albums"),),
         rows="(SELECT id, album_id FROM recordings WHERE album_id <> 0)"),
    Pass("user_artists", "'answer ' || r.fetch_id || ', artist ' || r.artist_id", _LIST,
         (("fetch_id", "fetches"), ("artist_id", "artists"))),
    Pass("user_albums", "'answer ' || r.fetch_id || ', album ' || r.album_id", _LIST,
         (("fetch_id", "fetches"), ("album_id", "albums"))),
    Pass("user_tracks", "'answer ' || r.fetch_id || ', track ' || r.track_id", _LIST,
         (("fetch_id", "fetches"), ("track_id", "tracks"), ("recording_id", "recordings"))),
    Pass("loved_tracks", "'answer ' || r.fetch_id || ', track ' || r.track_id", (
        Check("range", "loves before 2002 or in the future",
              f"r.loved_at < '2002-01-01Z' OR r.loved_at {_FUTURE}", fault=False),
    ), (("fetch_id", "fetches"), ("track_id", "tracks"), ("recording_id", "recordings"))),
    Pass("scrobbles", "'user ' || r.user_id || ', ' || r.at", (
        Check("orphan", "plays of a recording of another track", "of_recording_id.track_id <> r.track_id"),
        Check("range", "plays before 2002 or in the future", f"r.at < '2002-01-01Z' OR r.at {_FUTURE}"),
        Check("duplicate", "plays between two seconds, where one can be stored twice",
              "r.at <> date_trunc('second', r.at)"),
    ), (("user_id", "users"), ("track_id", "tracks"), ("recording_id", "recordings"))),
    Pass("named_tracks", "'answer ' || r.fetch_id", parents=(("fetch_id", "fetches"),)),
    Pass("named_tracks", "'answer ' || r.fetch_id || ', track ' || r.track_id", parents=(("track_id", "tracks"),),
         rows="(SELECT fetch_id, track_id FROM named_tracks, unnest(tracks) AS track_id)"),
    Pass("spotify_top_artists", "'answer ' || r.fetch_id || ', rank ' || r.rank", _TOP, (("fetch_id", "fetches"),)),
    Pass("spotify_top_tracks", "'answer ' || r.fetch_id || ', rank ' || r.rank", _TOP, (("fetch_id", "fetches"),)),
    Pass("spotify_artists", "r.id", (
        Check("missing", "artists of Spotify without a name", "r.name = ''"),
        _score("popularities of Spotify's artists", "r.popularity", 100),
        Check("range", "artists of Spotify with less than 0 followers", "r.followers < 0"),
    )),
    Pass("spotify_tracks", "r.id", (
        Check("missing", "tracks of Spotify without a name or an artist", "r.name = '' OR r.artist_names = '{}'"),
        _score("popularities of Spotify's tracks", "r.popularity", 100),
        Check("range", "tracks of Spotify shorter than nothing", "r.duration_ms < 0"),
        Check("range", "tracks of Spotify released before 1860 or in the future",
              f"({_NO_YEAR})".format("substring(r.release_date FROM '^[0-9]{4}')::integer"), fault=False),
    )),
    Pass("artist_matches", "'artist ' || r.artist_id", (
        *_match("artist matches"),
        Check("missing", "artists whose match is believed but has no id", "r.band = 'accept' AND r.spotify_id IS NULL"),
        Check("orphan", "believed artist ids of which nothing is kept, as Spotify's terms may make us",
              "r.kept IS NULL AND r.band = 'accept' AND r.spotify_id IS NOT NULL", fault=False),
    ), rows="(SELECT m.*, s.id AS kept FROM artist_matches m LEFT JOIN spotify_artists s ON s.id = m.spotify_id)"),
    Pass("track_matches", "'track ' || r.track_id", (
        *_match("track matches"),
        Check("missing", "tracks whose match is believed but has no id", "r.band = 'accept' AND r.spotify_id IS NULL"),
        Check("orphan", "believed track ids of which nothing is kept, as Spotify's terms may make us",
              "r.kept IS NULL AND r.band = 'accept' AND r.spotify_id IS NOT NULL", fault=False),
    ), rows="""(
        SELECT m.*, coalesce(s.id, a.id) AS kept FROM track_matches m
        LEFT JOIN spotify_tracks s ON s.id = m.spotify_id LEFT JOIN spotify_aliases a ON a.asked_id = m.spotify_id)"""),
    Pass("album_searches", "r.artist || ' - ' || r.title", (
        _score("scores of searched albums", "r.score", 1),
        Check("missing", "albums whose match is believed but has no id", "r.band = 'accept' AND r.group_mbid IS NULL"),
    )),
    Pass("release_groups", "r.mbid", (
        Check("missing", "release groups without a title", "r.title = ''"),
        Check("range", "release groups from before 1860 or the future", _NO_YEAR.format("r.year")),
        Check("range", "release groups with a day that no calendar has",
              "r.month NOT BETWEEN 1 AND 12 OR r.day NOT BETWEEN 1 AND 31"),
    )),
    Pass("aoty_albums", "'album ' || r.id", (
        Check("missing", "albums of AOTY without a title or an artist", "r.title = '' OR r.artists = '{}'"),
        _score("critics' scores", "r.critic_score", 100),
        _score("users' scores", "r.user_score", 100),
        Check("range", "albums of AOTY from before 1860 or the future",
              f"({_NO_YEAR})".format("substring(r.release_date FROM '^[0-9]{4}')::integer"), fault=False),
    )),
    Pass("aoty_tracks", "'album ' || r.album_id || ', track ' || r.place", (
        Check("missing", "tracks of AOTY without a title", "r.title = ''"),
        _score("ratings of tracks", "r.rating", 100),
        Check("range", "tracks of AOTY shorter than nothing", "r.seconds < 0"),
    )),
    Pass("aoty_album_matches", "'album ' || r.album_id", (
        *_match("AOTY's albums"),
        Check("missing", "albums that are believed to be in AOTY, but nowhere",
              "r.band = 'accept' AND r.aoty_id IS NULL"),
    )),
    Pass("aoty_track_matches", "'track ' || r.track_id", (
        *_match("AOTY's tracks"),
        Check("missing", "tracks that are believed to be in AOTY, but nowhere",
              "r.believed AND (r.aoty_id IS NULL OR r.place IS NULL)"),
    )),
    Pass("songs", "r.id::text", (
        Check("missing", "songs without artist, title or canonical id",
              "r.artist = '' OR r.title = '' OR r.canonical_id = ''"),
    )),
    Pass("spotify_attrs", "r.song_id::text", (
        _score("popularities of songs", "r.popularity", 100),
        Check("range", "songs shorter than nothing", "r.duration_ms < 0"),
    )),
    Pass("lastfm_stats", "r.song_id::text", (
        Check("range", "songs with less than 0 plays or listeners", "r.playcount < 0 OR r.listeners < 0"),
    )),
    Pass("aoty_attrs", "r.song_id::text", (
        _score("scores of songs", "r.user_score", 100),
        _score("critics' scores of songs", "r.critic_score", 100),
        _score("scores of songs' albums", "r.album_score", 100),
    )),
    # Blanks within the name of a user are part of it.
    _duplicates("users who differ by case or outer blanks alone", "users", "lower(btrim(key))", "name"),
    _duplicates("artists who differ by case or blanks alone", "artists", _folded("name"), "name", fault=False),
    _duplicates("tracks of one artist that differ by case or blanks alone", "tracks",
                f"artist_id, {_folded('name')}", "name", fault=False),
    _duplicates("albums of one artist and id that differ by case or blanks alone", "albums",
                f"artist_id, mbid, {_folded('name')}", "name", fault=False),
    _duplicates("plays of one user and second whose tracks differ by case or blanks alone", "scrobbles",
                "s.user_id, s.at, twins.artist, twins.title", "'user ' || s.user_id || ', ' || s.at",
                f"""(SELECT id, artist, title, count(*) OVER (PARTITION BY artist, title) AS n
                     FROM (SELECT t.id, {_folded('a.name')} AS artist, {_folded('t.name')} AS title
                           FROM tracks t JOIN artists a ON a.id = t.artist_id) named) twins
                    JOIN scrobbles s ON s.track_id = twins.id AND twins.n > 1""", fault=False),  # noqa: S608
    _duplicates("Spotify artists who are believed to be several artists", "artist_matches", "spotify_id", "spotify_id",
                "(SELECT spotify_id FROM artist_matches WHERE band = 'accept' AND spotify_id <> '') m", fault=False),
    _duplicates("songs with one canonical id", "songs", "canonical_id", "canonical_id"),
    _duplicates("songs with one ISRC", "songs", "isrc", "isrc", "(SELECT isrc FROM songs WHERE isrc <> '') s"),
    _duplicates("songs with one Spotify id", "songs", "spotify_id", "spotify_id",
                "(SELECT spotify_id FROM songs WHERE spotify_id <> '') s"),
    _duplicates("songs of one artist whose titles differ by case or blanks alone", "songs",
                f"artist_id, {_folded('title')}", "artist || ' - ' || title", fault=False),
)  # fmt: skip


def find(connection: psycopg.Connection, one: Pass) -> list[Finding]:
    """What the checks of *one* pass find, those that find nothing among them."""
    values = connection.execute(one.statement()).fetchone()
    assert values is not None  # an aggregate always has a row  # noqa: S101
    return [Finding(check, values[2 * place], values[2 * place + 1]) for place, check in enumerate(one.all_checks())]
