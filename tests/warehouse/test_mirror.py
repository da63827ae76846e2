"""A mirror of MusicBrainz's database: its own tables, filled here; the years are those that its web service gives."""

from __future__ import annotations

import itertools
import traceback
import uuid

import psycopg
import pytest
from listening import listen
from psycopg import sql
from test_crawl import succeed

from benchmarks.musicbrainz import INDEXES, DebianPostgres, create_mirror, lacking, run_scripts
from lastfm_crawl.items import ReleaseGroup
from lastfm_crawl.sandbox import Scrobble, World, serve
from lastfm_crawl.sandbox.musicbrainz_catalogue import Catalogue
from lastfm_crawl.warehouse.migrate import migrate
from lastfm_crawl.warehouse.mirror import (
    DatedRelease,
    MirrorUnavailableError,
    dated_releases,
    open_mirror,
    similar_groups,
)

NOBODY = "00000000-0000-4000-8000-ffffffffffff"
CANCELLED, OFFICIAL = 6, 1
_databases = itertools.count(1)


def mbid(number: int) -> str:
    return str(uuid.UUID(int=(0xABCDEF << 100) + number))


class Mirror:
    """A MusicBrainz database, filled row by row."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ids = itertools.count(1)
        self._connection = psycopg.connect(url, autocommit=True)
        self.run("SET search_path = musicbrainz, public")
        for table, names in (
            ("release_group_primary_type", ["Album", "Single", "EP"]),
            ("release_group_secondary_type", ["Live", "Compilation", "Remix"]),
        ):
            for name in names:
                self.insert(table, name=name, gid=mbid(next(self._ids)))
        self.artist("Nobody")
        self.release(self.group("Nothing", "Nobody"))

    def run(self, statement: str, *parameters) -> psycopg.Cursor:
        return self._connection.execute(statement, parameters)

    def insert(self, table: str, **values) -> None:
        self._connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )

    def close(self) -> None:
        self._connection.close()

    def artist(self, name: str) -> int:
        number = next(self._ids)
        self.insert("artist", id=number, gid=mbid(number), name=name, sort_name=name)
        self.credit(name, number)
        return number

    def credit(self, name: str, *artists: int) -> None:
        number = next(self._ids)
        self.insert("artist_credit", id=number, gid=mbid(number), name=name, artist_count=len(artists))
        for position, artist in enumerate(artists):
            self.insert("artist_credit_name", artist_credit=number, position=position, artist=artist, name=name)

    def group(self, title: str, artist: str, *secondary: str, primary: str | None = "Album", meta=None) -> int:
        """A release group; *meta* is its date in release_group_meta, where it gets no row without one."""
        number = next(self._ids)
        self.run(
            "INSERT INTO release_group (id, gid, name, artist_credit, type) VALUES (%s, %s, %s, "
            "(SELECT id FROM artist_credit WHERE name = %s), (SELECT id FROM release_group_primary_type "
            "WHERE name = %s))",
            number, mbid(number), title, artist, primary,
        )  # fmt: skip
        for name in secondary:
            self.run(
                "INSERT INTO release_group_secondary_type_join (release_group, secondary_type) "
                "SELECT %s, id FROM release_group_secondary_type WHERE name = %s",
                number, name,
            )  # fmt: skip
        if meta:
            self.insert("release_group_meta", id=number, **date("first_release_date", meta))
        return number

    def release(self, group: int, *dates: tuple, status: int | None = OFFICIAL, unknown=None) -> str:
        """The id of a new release with *dates* in some countries, and one in no known country."""
        number = next(self._ids)
        self.run(
            "INSERT INTO release (id, gid, name, artist_credit, release_group, status) "
            "SELECT %s, %s, name, artist_credit, id, %s FROM release_group WHERE id = %s",
            number, mbid(number), status, group,
        )  # fmt: skip
        for country, day in enumerate(dates):
            self.insert("release_country", release=number, country=country, **date("date", day))
        if unknown:
            self.insert("release_unknown_country", release=number, **date("date", unknown))
        return mbid(number)


def date(prefix: str, parts: tuple) -> dict[str, int | None]:
    return dict(itertools.zip_longest((f"{prefix}_year", f"{prefix}_month", f"{prefix}_day"), parts))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if (what := lacking()) is not None:
        pytest.skip(what)
    server = DebianPostgres(tmp_path_factory.mktemp("debian") / "server")
    yield server.start()
    server.remove()


@pytest.fixture(scope="module")
def empty(server):
    """A database with all tables and indexes, copied for each test."""
    create_mirror(server, "empty")
    with psycopg.connect(server, dbname="empty", autocommit=True) as connection:
        run_scripts(connection, INDEXES)
    return "empty"


@pytest.fixture
def mirror(server, empty):
    name = f"mirror_{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {empty}")
    mirror = Mirror(psycopg.conninfo.make_conninfo(server, dbname=name))
    yield mirror
    mirror.close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def with_trigrams(mirror):
    mirror.run("CREATE EXTENSION pg_trgm WITH SCHEMA public")


@pytest.fixture
def connection(mirror):
    with open_mirror(mirror.url) as connection:
        yield connection


def first_dates(mirror: Mirror, *mbids: str) -> list[tuple | None]:
    """The dates of releases, asked on a connection that has just been opened."""
    with open_mirror(mirror.url) as connection:
        return [row.group and row.group[3:6] for row in dated_releases(connection, mbids)]


def titles(connection, *albums: tuple[str, str]) -> list[list[str]]:
    return [[group.title for group in groups] for groups in similar_groups(connection, albums)]


# --- by id --------------------------------------------------------------------------------------------------------


def test_all_that_the_web_service_says_of_a_group(mirror, connection):
    mirror.artist("Björk")
    group = mirror.group('Début\'s "best" 日本 %s', "Björk", "Remix", "Compilation", meta=(1993, 7, 5))
    release = mirror.release(group, (1994,))
    assert dated_releases(connection, [release]) == [
        DatedRelease(release, release, ReleaseGroup(
            mbid(group), "Début's \"best\" 日本 %s", "Björk", 1993, 7, 5, "Album", ("Compilation", "Remix")))
    ]  # fmt: skip


def test_a_group_of_no_type_and_no_date(mirror, connection):
    group = mirror.group("Untitled", "Nobody", primary=None)
    release = mirror.release(group)
    assert dated_releases(connection, [release])[0].group == ReleaseGroup(mbid(group), "Untitled", "Nobody")


def test_merged_releases(mirror, connection):
    group = mirror.group("Merged", "Nobody", meta=(2001,))
    release = mirror.release(group)
    number = mirror.run("SELECT id FROM release WHERE gid = %s", release).fetchone()[0]
    mirror.insert("release_gid_redirect", gid=NOBODY, new_id=number)
    (row,) = dated_releases(connection, [NOBODY])
    assert row == DatedRelease(NOBODY, release, row.group)
    assert row.group.mbid == mbid(group)


def test_every_question_is_answered_in_its_place(mirror, connection):
    one, other = (mirror.release(mirror.group(title, "Nobody")) for title in ("One", "Other"))
    wrong = [
        "",
        "nonsense",
        one[:-1],
        one + "0",
        f" {one}",
        one.replace("-", ""),
        f"{{{one}}}",
        "'; --",
        "é" * 36,
        "\0",
    ]
    asked = [other, one.upper(), NOBODY, one, *wrong, one]
    rows = dated_releases(connection, asked)
    assert [row.asked for row in rows] == asked
    assert [row.group and row.group.title for row in rows] == ["Other", "One", None, "One", *[None] * len(wrong), "One"]
    assert [row.release for row in rows] == [other, one, "", one, *[""] * len(wrong), one]
    assert dated_releases(connection, []) == []


DATES = [
    ("the first of several releases", [((1979, 5, 1),), ((1977, 10, 28),)], (1977, 10, 28)),
    ("the first of several countries", [((1979, 5, 1), (1977, 10, 28))], (1977, 10, 28)),
    ("a day before a month", [((1977, 10),), ((1977, 10, 28),)], (1977, 10, 28)),
    ("a month before a year", [((1977,),), ((1977, 11),)], (1977, 11, None)),
    ("a year before a later day", [((1977,),), ((1978, 1, 1),)], (1977, None, None)),
    ("a year and a day without a month", [((1977, None, 3),), ((1977, 12),)], (1977, 12, None)),
    ("a month without a year is no date", [((None, 5, 1),), ((1990,),)], (1990, None, None)),
    ("only a month", [((None, 5, 1),)], (None, None, None)),
    ("no date", [()], (None, None, None)),
]


@pytest.mark.parametrize("table", ["absent", "empty", "without a year"])
def test_dates_that_are_recomputed(mirror, table):
    asked, expected = [], []
    for title, releases, first in DATES:
        group = mirror.group(title, "Nobody")
        asked.append([mirror.release(group, *dates) for dates in releases][-1])
        expected.append(first)
        if table == "without a year":
            mirror.insert("release_group_meta", id=group)
    if table == "absent":
        mirror.run("DROP TABLE release_group_meta CASCADE")
    assert first_dates(mirror, *asked) == expected


def test_cancelled_releases_do_not_count(mirror):
    group = mirror.group("Late", "Nobody")
    cancelled = mirror.release(group, (1970,), status=CANCELLED, unknown=(1969,))
    mirror.release(group, (1980,), status=None)
    alone = mirror.release(mirror.group("Never", "Nobody"), (1970,), status=CANCELLED)
    assert first_dates(mirror, cancelled, alone) == [(1980, None, None), (None, None, None)]


def test_dates_of_no_known_country(mirror):
    alone = mirror.release(mirror.group("Somewhere", "Nobody"), unknown=(1966, 8))
    both = mirror.release(mirror.group("Here and there", "Nobody"), (1967,), unknown=(1966,))
    assert first_dates(mirror, alone, both) == [(1966, 8, None), (1966, None, None)]


def test_the_date_that_is_kept_goes_before_the_recomputed_one(mirror):
    kept = mirror.release(mirror.group("Kept", "Nobody", meta=(1971, 2)), (1969, 1, 1))
    assert first_dates(mirror, kept) == [(1971, 2, None)]


def test_without_indexes(server):
    """A core dump alone, into the tables alone: slower, and the same."""
    mirror = Mirror(create_mirror(server, "bare"))
    mirror.artist("Kino")
    release = mirror.release(mirror.group("Noch", "Kino"), (1986,))
    with open_mirror(mirror.url) as connection:
        assert [row.group.year for row in dated_releases(connection, [release])] == [1986]
        assert titles(connection, ("KINO", "noch")) == [["Noch"]]
    mirror.close()


def test_tables_in_the_schema_public(server, mirror):
    """Loaded by somebody's own scripts: no schema, no function and no collation of MusicBrainz's."""
    mirror.artist("Kino")
    release = mirror.release(mirror.group("Noch", "Kino"), (1986,))
    mirror.run("DROP FUNCTION musicbrainz_unaccent CASCADE")
    mirror.run("DROP COLLATION musicbrainz CASCADE")
    mirror.run("ALTER SCHEMA musicbrainz RENAME TO elsewhere")
    for (table,) in mirror.run("SELECT tablename FROM pg_tables WHERE schemaname = 'elsewhere'").fetchall():
        mirror.run(f"ALTER TABLE elsewhere.{table} SET SCHEMA public")
    with open_mirror(mirror.url) as connection:
        assert [row.group.year for row in dated_releases(connection, [release])] == [1986]
        assert titles(connection, ("KINO", "noch")) == [["Noch"]]


# --- by name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [None, "with_trigrams"])
def test_equal_names(mirror, connection, request, extension):
    if extension:
        request.getfixturevalue(extension)
    for artist, title in (
        ("Sigur Rós", "Ágætis byrjun"), ("Кино", "Группа крови"), ("Guns N' Roses", "Don't \\ \"%s\"; --"),
        ("椎名林檎", "無罪モラトリアム"),
    ):  # fmt: skip
        mirror.artist(artist)
        mirror.group(title, artist)
    asked = [
        ("Sigur Rós", "Ágætis byrjun"), ("SIGUR ROS", "agaetis byrjun"), ("кино", "ГРУППА КРОВИ"),
        ("guns n' roses", "don't \\ \"%S\"; --"), ("椎名林檎", "無罪モラトリアム"),
    ]  # fmt: skip
    first = [groups[0].title for groups in similar_groups(connection, asked)]
    assert first == [
        "Ágætis byrjun", "Ágætis byrjun", "Группа крови", "Don't \\ \"%s\"; --", "無罪モラトリアム"
    ]  # fmt: skip


def test_candidates_are_described(mirror, connection):
    mirror.artist("Weezer")
    group = mirror.group("Weezer", "Weezer", "Live", meta=(1994, 5, 10))
    assert similar_groups(connection, [("weezer", "weezer")]) == [
        [ReleaseGroup(mbid(group), "Weezer", "Weezer", 1994, 5, 10, "Album", ("Live",))]
    ]


def test_without_trigrams_only_what_is_equal(mirror, connection):
    mirror.artist("The Beatles")
    mirror.group("Abbey Road", "The Beatles")
    asked = [("The Beatles", "Abbey Road (Remastered)"), ("Beatles", "Abbey Road"), ("The Beatles", "abbey road")]
    assert titles(connection, *asked) == [[], [], ["Abbey Road"]]


@pytest.mark.usefixtures("with_trigrams")
def test_similar_titles_and_similar_artists(mirror, connection):
    mirror.artist("The Beatles")
    mirror.artist("Booker T. & the M.G.'s")
    for title in ("Abbey Road", "Abbey Road Live", "Help!"):
        mirror.group(title, "The Beatles")
    mirror.group("Abbey Road", "Booker T. & the M.G.'s")
    asked = [
        ("the beatles", "Abbey Road (Remastered)"), ("Beatles", "Abbey Road"), ("The Beatles", "Abbey Road"),
        ("The Beatles", "Kind of Blue"), ("Miles Davis", "Help!"), ("", ""),
    ]  # fmt: skip
    assert titles(connection, *asked) == [
        ["Abbey Road", "Abbey Road Live"], ["Abbey Road"], ["Abbey Road", "Abbey Road Live"], [], [], [],
    ]  # fmt: skip


@pytest.mark.usefixtures("with_trigrams")
def test_credits_of_several_artists(mirror, connection):
    jay, kanye = mirror.artist("Jay-Z"), mirror.artist("Kanye West")
    mirror.credit("Jay-Z & Kanye West", jay, kanye)
    mirror.group("Watch the Throne", "Jay-Z & Kanye West")
    asked = [("Jay-Z & Kanye West", "watch the throne"), ("Kanye West", "Watch The Throne"), ("jay-z", "Otis")]
    assert titles(connection, *asked) == [["Watch the Throne"], ["Watch the Throne"], []]


@pytest.mark.usefixtures("with_trigrams")
def test_an_artist_with_thousands_of_groups(mirror, connection, monkeypatch):
    mirror.artist("Johann Sebastian Bach")
    mirror.run(
        """
        INSERT INTO release_group (id, gid, name, artist_credit)
        SELECT 100000 + n, md5(n::text)::uuid, 'Cantata ' || n, c.id
        FROM generate_series(1, 3000) n, artist_credit c WHERE c.name = 'Johann Sebastian Bach'
        """
    )
    ((first, *others),) = titles(connection, ("johann sebastian bach", "Cantata 147"))
    assert first == "Cantata 147"
    assert len(others) == 9
    monkeypatch.setattr("lastfm_crawl.warehouse.mirror._MOST_GROUPS", 2000)
    assert titles(connection, ("Johann Sebastian Bach", "cantata 147")) == [["Cantata 147"]]


# --- the connection -----------------------------------------------------------------------------------------------


def test_nothing_can_be_written(connection):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM release")
    assert dated_releases(connection, [NOBODY]) == [DatedRelease(NOBODY)]


def test_a_mirror_that_is_not_loaded_yet(server, empty):
    with pytest.raises(MirrorUnavailableError, match=r"^MUSICBRAINZ_DATABASE_URL .*release is empty$"):
        open_mirror(psycopg.conninfo.make_conninfo(server, dbname=empty))


def test_another_database(database_url):
    with pytest.raises(MirrorUnavailableError, match=r'^MUSICBRAINZ_DATABASE_URL .*"release" does not exist$'):
        open_mirror(database_url)


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/name", "postgresql://user:hunter2@127.0.0.1:1/name"])
def test_no_database(url):
    with pytest.raises(MirrorUnavailableError) as caught:
        open_mirror(url)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_crawl_of_the_mirror_gives_the_years_that_the_web_service_gives(project, mirror):
    """The same world twice: asked of the stand-in of the web service, then of a mirror that holds the same."""
    mirror.run("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
    plays = [
        Scrobble(
            f"Band {n}", "Song", 1_600_000_000 + 300 * n,
            album=f"Record {n} Blue" + (" (Deluxe Edition)" if n % 4 == 1 else ""),
            album_mbid="" if n % 3 == 2 else mbid(0xF000 + n),
        )
        for n in range(90)
    ]  # fmt: skip
    world = World.of({"rj": []}, {}, scrobbles={"rj": plays})
    music = Catalogue(world)
    _fill(mirror, music)
    years = (
        "SELECT a.name, al.name, y.status, y.group_mbid, y.year, y.month, y.day FROM album_years y"
        " JOIN albums al ON al.id = y.album_id JOIN artists a ON a.id = al.artist_id ORDER BY 1, 2"
    )
    with serve(world) as sandbox:
        project.url = sandbox.url
        project.environment = {"MUSICBRAINZ_API_URL": sandbox.musicbrainz_url, "CONTACT": "me@example.org"}
        succeed(project.crawl("recent_tracks", users="rj"))
        succeed(project.crawl("musicbrainz"))
        by_web = project.query(years)
        project.execute("TRUNCATE release_groups, releases, album_searches")
        asked = len(sandbox.log)
        project.environment = {"MUSICBRAINZ_DATABASE_URL": mirror.url}  # a mirror of one's own wants no contact
        succeed(project.crawl("musicbrainz"))
        assert project.query(years) == by_web
        assert len(sandbox.log) == asked
    assert {status for _, _, status, *_ in by_web} >= {"matched", "fuzzy_matched"}
    assert len({row[3] for row in by_web}) > 70
    ids = project.query("SELECT mbid, current_mbid FROM releases WHERE mbid <> current_mbid")
    assert ids
    assert all(music.releases[asked].id == now for asked, now in ids)
    assert project.query("SELECT DISTINCT source FROM release_groups") == [("mirror",)]


def _fill(mirror, music):
    artists = set()
    # Search lacks some groups of releases that are there.
    groups = {release.group.id: release.group for release in music.releases.values()} | music.groups
    for group in groups.values():
        if group.artist not in artists:
            artists.add(group.artist)
            mirror.artist(group.artist)
        number = mirror.group(group.title, group.artist, *group.secondary_types, primary=group.primary_type)
        mirror.run("UPDATE release_group SET gid = %s WHERE id = %s", group.id, number)
        if group.date:
            mirror.insert(
                "release_group_meta",
                id=number,
                **date("first_release_date", tuple(map(int, group.date.split("-")))),
            )
    for asked, release in music.releases.items():
        if asked != release.id:
            continue
        (number,) = mirror.run("SELECT id FROM release_group WHERE gid = %s", release.group.id).fetchone()
        made = mirror.release(number)
        mirror.run("UPDATE release SET gid = %s WHERE gid = %s", asked, made)
    for asked, release in music.releases.items():
        if asked != release.id:
            (number,) = mirror.run("SELECT id FROM release WHERE gid = %s", release.id).fetchone()
            mirror.insert("release_gid_redirect", gid=asked, new_id=number)


def test_a_mirror_that_is_away_ends_the_run_with_one_line(project):
    migrate(project.database_url)
    with psycopg.connect(project.database_url) as connection:
        listen(connection, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    project.environment = {"MUSICBRAINZ_DATABASE_URL": "postgresql://127.0.0.1:9/musicbrainz"}
    result = project.crawl("musicbrainz")
    assert result.returncode == 4
    assert "Traceback" not in result.stderr
    assert "check MUSICBRAINZ_DATABASE_URL" in result.stderr.splitlines()[-1]


def test_a_url_that_is_none_is_wrong_use(project):
    project.environment = {"MUSICBRAINZ_DATABASE_URL": "mysql:/secret0canary"}
    result = project.crawl("musicbrainz")
    assert result.returncode == 2
    assert "MUSICBRAINZ_DATABASE_URL is not a PostgreSQL connection URL" in result.stderr.splitlines()[-1]
    assert "secret0canary" not in result.stderr
