"""Release years: every number is what plain SQL counts, and nothing is lost between dated and undated."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import SHARED
from listening import date_albums, listen, three_listeners

from lastfm_crawl.insight.years import Quartiles, Question, release_years
from lastfm_crawl.warehouse.migrate import migrate

WINDOWS = [
    {},
    {"first": datetime(2016, 1, 1, tzinfo=UTC), "end": datetime(2017, 1, 1, tzinfo=UTC)},
    {"first": datetime(2016, 5, 17, tzinfo=UTC)},
    {"end": datetime(2017, 5, 17, tzinfo=UTC)},
]


@pytest.fixture
def database(database_url):
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        yield connection


@pytest.fixture
def warehouse(database):
    three_listeners(database)
    return database


def plain(connection, what, user, window, rest):
    """What SQL that does nothing clever says."""
    return connection.execute(
        f"SELECT {what} FROM lastfm_scrobbles WHERE lower(username) = coalesce(%s, lower(username))"
        f" AND scrobbled_at >= %s AND scrobbled_at < %s {rest}",
        [user, window.get("first", "-infinity"), window.get("end", "infinity")],
    ).fetchall()


COUNT = {"plays": "count(*)", "albums": "count(DISTINCT (username, artist_name, album_name))"}
DATED = "AND release_year IS NOT NULL GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize("window", WINDOWS, ids=["all", "year", "since", "until"])
@pytest.mark.parametrize("measure", ["plays", "albums"])
@pytest.mark.parametrize("by", ["year", "decade"])
def test_the_bars_are_a_plain_count(warehouse, window, measure, by):
    years = release_years(warehouse, "rj", Question(by, measure, **window))
    what = f"release_year - release_year %% {10 if by == 'decade' else 1}"
    if measure == "plays" or by == "year":
        count = COUNT[measure]
    else:  # an album with two years in a decade is in it twice
        count = "count(DISTINCT (username, artist_name, album_name, release_year))"
    own = plain(warehouse, f"{what}, {count}", "rj", window, DATED)
    everyone = dict(plain(warehouse, f"{what}, {count}", None, window, DATED))
    assert [(bar.year, bar.count) for bar in years.bars if bar.count] == own
    assert {bar.year: bar.everyone for bar in years.bars if bar.everyone} == {
        year: n for year, n in everyone.items() if own[0][0] <= year <= own[-1][0]
    }
    step = 10 if by == "decade" else 1
    assert [bar.year for bar in years.bars] == list(range(own[0][0], own[-1][0] + 1, step))
    assert sum(bar.share for bar in years.bars) == pytest.approx(1)
    for bar in years.bars:
        assert bar.everyone_share == pytest.approx(bar.everyone / sum(everyone.values()))
    assert sum(decade.count for decade in years.decades) == years.dated == sum(n for _, n in own)
    assert all(decade.year % 10 == 0 for decade in years.decades)
    assert (years.user, years.everyone.users, years.everyone.dated) == ("RJ", 3, sum(everyone.values()))


@pytest.mark.parametrize("window", WINDOWS, ids=["all", "year", "since", "until"])
def test_undated_plays_have_their_reason(warehouse, window):
    years = release_years(warehouse, "RJ", Question(**window))
    reason = "CASE WHEN album_name IS NULL THEN 'no_album' ELSE augmentation_status END"
    expected = dict(plain(warehouse, f"{reason}, count(*)", "rj", window, "AND release_year IS NULL GROUP BY 1"))
    assert years.undated == expected
    assert set(expected) == {"pending", "not_found", "matched", "no_album"}
    assert [(years.total,)] == plain(warehouse, "count(*)", "rj", window, "")


def test_undated_albums_have_their_reason(warehouse):
    years = release_years(warehouse, "RJ", Question(measure="albums"))
    count = "augmentation_status, count(DISTINCT (artist_name, album_name))"
    rest = "AND release_year IS NULL AND album_name IS NOT NULL GROUP BY 1"
    assert years.undated == dict(plain(warehouse, count, "rj", {}, rest))
    count = "count(DISTINCT (artist_name, album_name)) FILTER (WHERE album_name IS NOT NULL)"
    assert [(years.total,)] == plain(warehouse, count, "rj", {}, "")


QUARTILES = ", ".join(f"percentile_disc({part}) WITHIN GROUP (ORDER BY release_year)" for part in (0.25, 0.5, 0.75))


@pytest.mark.parametrize(("window", "period"), [*zip(WINDOWS, ["year", "month", "year", "year"], strict=True)])
@pytest.mark.parametrize("measure", ["plays", "albums"])
def test_quartiles_over_listening_time_are_those_of_sql(warehouse, window, period, measure):
    years = release_years(warehouse, "RJ", Question(measure=measure, **window))
    start = f"date_trunc('{period}', scrobbled_at, 'UTC')"
    rows = f"SELECT username, release_year, {start} AS period, scrobbled_at FROM lastfm_scrobbles"
    if measure == "albums":
        rows = (
            f"SELECT DISTINCT ON (username, artist_name, album_name, release_year, {start})"
            f" username, release_year, {start} AS period, scrobbled_at FROM lastfm_scrobbles"
        )
    expected = warehouse.execute(
        f"SELECT (period AT TIME ZONE 'UTC')::date, count(*), {QUARTILES} FROM"
        f" ({rows} WHERE release_year IS NOT NULL AND scrobbled_at >= %s AND scrobbled_at < %s) p"
        " WHERE username = 'RJ' GROUP BY 1 ORDER BY 1",
        [window.get("first", "-infinity"), window.get("end", "infinity")],
    ).fetchall()
    assert [(p.start, p.count, *p.quartiles) for p in years.periods] == expected
    assert len(expected) > 1


def test_quartiles_of_all_are_those_of_sql(warehouse):
    years = release_years(warehouse, "RJ", Question())
    assert plain(warehouse, QUARTILES, "rj", {}, "") == [tuple(years.quartiles)]
    assert plain(warehouse, QUARTILES, None, {}, "") == [tuple(years.everyone.quartiles)]


def test_months_are_those_of_utc_whatever_the_time_zone(warehouse):
    question = Question.listening_year(2016)
    expected = release_years(warehouse, "RJ", question)
    warehouse.execute("SET timezone = 'Pacific/Kiritimati'")
    assert release_years(warehouse, "RJ", question) == expected
    assert question.is_listening_year
    assert [p.start.month for p in expected.periods] == list(range(1, 13))


def test_one_album_by_several_ids_counts_once_a_year(database):
    listen(database, "RJ", [(f"2020-01-0{day} 12:00Z", "Weezer", "Weezer") for day in range(1, 5)])
    database.execute(
        "INSERT INTO albums (artist_id, name, mbid) SELECT artist_id, name, unnest('{a,b,c}'::text[]) FROM albums"
    )
    database.execute(
        "INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid)"
        " SELECT t.id, al.id, '', '' FROM tracks t, albums al WHERE al.mbid <> ''"
    )
    database.execute(
        "UPDATE scrobbles SET recording_id = r.id FROM recordings r JOIN albums al ON al.id = r.album_id"
        " WHERE al.mbid = substring('_abc' FROM extract(day FROM at AT TIME ZONE 'UTC')::integer FOR 1)"
    )
    # Nobody knows release c, and the names of the other two are searched for in vain: they are those of a and b, too.
    for mbid, year in (("a", 1994), ("b", 2001)):
        database.execute(
            """INSERT INTO release_groups
               (mbid, title, artist, year, primary_type, secondary_types, source, fetched_at)
               VALUES (%s, 'Weezer', 'Weezer', %s, 'Album', '{}', 'web', now())""",
            [mbid, year],
        )
        database.execute("INSERT INTO releases VALUES (%(mbid)s, %(mbid)s, %(mbid)s, now(), now())", {"mbid": mbid})
    database.execute("INSERT INTO releases VALUES ('c', NULL, NULL, now(), now())")
    date_albums(database, {("Weezer", "Weezer"): (None, "not_found")})
    albums = release_years(database, "RJ", Question(measure="albums"))
    assert [(bar.year, bar.count) for bar in albums.bars if bar.count] == [(1994, 1), (2001, 1)]
    assert (albums.total, dict(albums.undated)) == (2, {})
    plays = release_years(database, "RJ", Question())
    assert (plays.total, dict(plays.undated)) == (4, {"not_found": 2})


def test_one_album(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    date_albums(database, {("Abba", "Arrival"): (1976, "matched")})
    years = release_years(database, "rj", Question(measure="albums"))
    assert [(bar.year, bar.count, bar.share, bar.everyone) for bar in years.bars] == [(1976, 1, 1.0, 1)]
    assert years.quartiles == Quartiles(1976, 1976, 1976)


def test_strangers_and_silence(database):
    assert release_years(database, "nobody", Question()) is None
    listen(database, "RJ", [])
    years = release_years(database, "RJ", Question())
    assert (years.total, years.dated, years.bars, years.quartiles, years.listened) == (0, 0, (), None, None)


def test_nothing_dated_yet(database):
    listen(database, "RJ", [("2020-01-01 12:00Z", "Abba", "Arrival")])
    years = release_years(database, "RJ", Question())
    assert (years.total, years.dated, years.bars, dict(years.undated)) == (1, 0, (), {"pending": 1})


def test_a_long_history_is_quick(database):
    start = datetime(2005, 1, 1, tzinfo=UTC)
    albums = [(f"artist {n % 3000}", f"album {n}") for n in range(9000)]
    rng = random.Random(1)
    listen(
        database, "RJ",
        ((f"{start + timedelta(minutes=40 * n):%Y-%m-%d %H:%M}Z", *rng.choice(albums)) for n in range(219_000)),
    )  # fmt: skip
    date_albums(database, {album: (1960 + n % 60, "matched") for n, album in enumerate(albums[::10])})
    database.execute("ANALYZE")
    began = time.perf_counter()
    years = release_years(database, "RJ", Question())
    assert years.total == 219_000
    assert time.perf_counter() - began < 10, "it takes about one second"


def test_a_real_listener(database):
    file = SHARED / "scrobbles" / "listener_1.tsv"
    if not file.is_file():
        pytest.skip(f"needs the listeners' histories in {file.parent} (or SHARED_DATA)")
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    once = {(int(uts), artist, album) for uts, artist, _, album, *_ in rows if int(uts) > 10**9}
    listen(database, "RJ", [(f"{datetime.fromtimestamp(uts, UTC)}", artist, album) for uts, artist, album in once])
    albums = sorted({(artist, album) for _, artist, album in once if album})
    date_albums(database, {album: (1950 + n % 70, "matched") for n, album in enumerate(albums)})
    years = release_years(database, "RJ", Question(measure="albums"))
    assert (years.total, years.dated) == (len(albums), len(albums))
    plays = release_years(database, "RJ", Question())
    assert plays.total == len(once)
    assert plays.undated.get("no_album", 0) == sum(not album for _, _, album in once)
