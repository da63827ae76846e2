"""Somebody is forgotten, and is nowhere any more: not in a row, an answer, a pack, an export, a record or a sink."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pytest
import zstandard
from bigquery_server import BigQueryServer
from scrapy.settings import Settings
from test_crawl import succeed
from test_replay import assert_rebuilt, drop, replay, views

from lastfm_crawl.httpcache import StoreError, open_store
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.keys import segment
from lastfm_crawl.httpcache.packs import pack
from lastfm_crawl.insight.forgetting import Forgetter
from lastfm_crawl.sandbox import World, serve
from lastfm_crawl.sandbox.world import ArtistPlays, Loved, Scrobble, TrackPlays, User
from lastfm_crawl.warehouse.database import Database
from lastfm_crawl.warehouse.exports import SUFFIXES, export_to_store
from lastfm_crawl.warehouse.forgotten import enter

# Beside others whose names begin like it, or hold it.
NAME = "Zoë K. Müller"
DATASET = "music-lab.lastfm"


def the_world() -> World:
    """RJ knows everybody; *NAME* is a friend of many, the only one who knows ``lone wolf``, and a seed."""
    friends = {
        "RJ": ["ana", NAME, "bo", "cy"],
        "ana": ["RJ", NAME, "dee"],
        "bo": [NAME, "RJ"],
        "cy": ["eve"],
        NAME: ["lone wolf", "ana", "eve", "gone girl"],
        "lone wolf": [NAME, "pup"],
        "dee": [],
        "eve": ["cy", NAME.upper()],
        "pup": ["lone wolf"],
        f"{NAME} jr": ["RJ"],
    }
    friends["RJ"].append(f"{NAME} jr")
    names = list(friends)
    artists = {
        name: [ArtistPlays("Queen", 90 + n), ArtistPlays(f"Band of {n}", 20), ArtistPlays("ABBA", 3)]
        for n, name in enumerate(names)
    }
    tracks = {name: [TrackPlays(row.artist, "Song", row.playcount) for row in rows] for name, rows in artists.items()}
    plays = {
        name: [Scrobble(row.artist, "Song", 1_550_000_000 + 60 * (10 * n + m), album="Album")
               for m, row in enumerate(artists[name])]
        for n, name in enumerate(names)
    }  # fmt: skip
    users = {name.lower(): User(name, realname=f"Real {n}", country="Spain", playcount=100 + n)
             for n, name in enumerate(names)}  # fmt: skip
    users[NAME.lower()] = User(NAME, realname="Zoe Who", country="Spain", playcount=77)
    users["gone girl"] = User("gone girl", status="deleted")
    loved = {name: [Loved(rows[1].artist, "Song", 1_560_000_000)] for name, rows in artists.items()}
    return World(users, friends, artists, tracks, loved, plays, playing={NAME: plays[NAME][0]})


@pytest.fixture
def sandbox(project):
    with serve(the_world()) as sandbox:
        project.url = sandbox.url
        yield sandbox


@pytest.fixture
def lake(project):
    with BigQueryServer() as server:
        project.environment |= {"BIGQUERY_DATASET": DATASET, "BIGQUERY_EMULATOR_HOST": server.url}
        succeed(project.run("warehouse", "init", "bigquery"))
        yield server


def crawl_everything(project, seeds=f"RJ,{NAME}") -> None:
    succeed(project.crawl("friends", seeds=seeds))
    for spider in ("top_artists", "top_tracks", "loved_tracks"):
        succeed(project.crawl(spider))
    succeed(project.crawl("recent_tracks", users=f"{NAME.lower()},ana,lone wolf", year=2019))


def keep_copies(project, store) -> None:
    """Packs of both compressions, and exports of every form."""
    pack(store, "user.getFriends", "gzip")
    pack(store)
    with psycopg.connect(project.database_url) as connection:
        for kind in ("users", "friends", "artists"):
            for form in SUFFIXES:
                export_to_store(connection, kind, form, store, datetime.now(UTC).date())


# --- looking for a name -------------------------------------------------------------------------------------------

NEEDLES = {
    form(spelt)
    for spelt in (NAME, NAME.lower(), NAME.upper())
    for form in (str, quote, quote_plus, segment, lambda text: json.dumps(text)[1:-1])
}


def finds(blob: bytes | str) -> bool:
    """Whether the name is in it, as it is or escaped; but not within that of somebody else."""
    text = blob if isinstance(blob, str) else blob.decode("utf-8", "replace")
    folded = text.lower()
    for needle in {needle.lower() for needle in NEEDLES}:
        start = folded.find(needle)
        while start >= 0:
            rest = folded[start + len(needle) :]
            if not rest.startswith((" jr", "%20jr", "+jr")):
                return True
            start = folded.find(needle, start + 1)
    return False


def plain(blob: bytes) -> list[bytes]:
    """*blob*, decompressed where it is, and what is in it in base64."""
    if blob[:2] == b"\x1f\x8b":
        blob = gzip.decompress(blob)
    elif blob[:4] == b"\x28\xb5\x2f\xfd":
        with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as reader:
            blob = reader.read()
    elif blob[:4] == b"PAR1":
        import io  # noqa: PLC0415

        import pyarrow.parquet as pq  # noqa: PLC0415

        return [blob, repr(pq.read_table(io.BytesIO(blob)).to_pylist()).encode()]
    found = [blob]
    if b'"base64":"' in blob:
        found.append(base64.b64decode(blob.partition(b'"base64":"')[2].partition(b'"')[0]))
    return found


def where_in_store(store) -> list[str]:
    return [key for key in store.keys("") if finds(key) or any(map(finds, plain(store.get(key))))]


def where_in_files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if "postgres" in path.parts:
            continue
        if finds(path.name) or (path.is_file() and any(map(finds, plain(path.read_bytes())))):
            found.append(str(path))
    return found


def where_in_warehouse(project) -> list[str]:
    """Every value of every table and view, and what the planner knows of them."""
    found = []
    tables = project.query(
        """
        SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'ml')
        UNION ALL SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname IN ('public', 'ml')
        UNION ALL SELECT 'pg_stats'
        """
    )
    for (table,) in tables:
        if any(finds(text) for (text,) in project.query(f"SELECT t::text FROM {table} t")):
            found.append(table)
    return found


def where_in_pages(project) -> list[str]:
    """Files of the database itself, dead rows and all."""
    with psycopg.connect(project.database_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        (folder,) = connection.execute(
            "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    found = []
    for path in Path(folder).iterdir():
        if finds(path.read_bytes()):
            names = project.query("SELECT relname FROM pg_class WHERE pg_relation_filenode(oid)::text = %s", path.name)
            found.append(names or path.name)
    return found


def where_in_lake(lake) -> list[str]:
    return [name for name, table in lake.tables.items() if finds(repr(table.rows))]


def assert_nowhere(project, store=None, lake=None) -> None:
    assert where_in_warehouse(project) == []
    assert where_in_files(project.data) == []
    assert where_in_store(store or FolderStorage(project.data / "store")) == []
    assert lake is None or where_in_lake(lake) == []


# --- tests --------------------------------------------------------------------------------------------------------


def forget(project, *names, code=0) -> str:
    result = project.run("forget", *(names or (NAME,)))
    assert result.returncode == code, result.stderr[-3000:]
    assert "Traceback" not in result.stderr, result.stderr[-3000:]
    return result.stdout


def without_them(rows: list[tuple]) -> list[tuple]:
    return [row for row in rows if not finds(repr(row))]


@pytest.mark.slow
def test_nothing_is_left_in_any_place(project, sandbox, lake):
    crawl_everything(project)
    store = FolderStorage(project.data / "store")
    keep_copies(project, store)
    assert len(where_in_store(store)) > 30
    assert where_in_files(project.data)
    assert {"public.users", "public.lastfm_friends", "public.runs"} <= set(where_in_warehouse(project))
    assert where_in_lake(lake)
    before = views(project)
    files = {key: store.get(key) for key in store.keys("")}
    said = project.run("forget", "--dry-run", NAME)
    assert said.returncode == 0, said.stderr
    assert views(project) == before
    assert {key: store.get(key) for key in store.keys("")} == files
    assert "nothing was changed" in said.stdout

    told = forget(project, NAME.lower())
    assert set(told.splitlines()[:-1]) >= set(said.stdout.splitlines()[:-1])
    assert_nowhere(project, store, lake)
    assert where_in_pages(project) == []
    after = views(project)
    for view in ("lastfm_user_artists", "lastfm_user_tracks", "lastfm_scrobbles", "lastfm_friends"):
        assert after[view] == without_them(before[view]), view
    # Who was reached from them as a seed is as one who was only named; all others are what they were.
    reached = {row[0]: row for row in before["lastfm_users"] if not finds(row[0])}
    assert {row[6] for row in reached.values()} == {"RJ", NAME}
    assert after["lastfm_users"] == [
        (*row[:6], None, None, *row[8:]) if row[6] == NAME else row for row in reached.values()
    ]
    redacted = json.loads(gzip.decompress(store.get("requests/user.getFriends/rj/limit=500,page=1.json.gz")))
    assert redacted["response"]["redacted"] == 1
    assert redacted["response"]["body"]["friends"]["@attr"]["total"] == "5"

    assert "nothing to remove" in forget(project)
    # A replay into an empty warehouse, and a crawl that finds them named everywhere.
    assert_rebuilt(project)
    assert_nowhere(project, store, lake)
    asked = len(sandbox.log)
    result = succeed(project.crawl("friends", seeds=f"RJ,{NAME}", max_age=0))
    assert "1 of the seeds are left out" in result.stderr
    succeed(project.crawl("top_artists", users=NAME))
    assert not any(finds(call.user or "") for call in sandbox.log[asked:])
    assert len(sandbox.log) > asked
    assert_nowhere(project, store, lake)
    assert_rebuilt(project)


class FailingStorage(FolderStorage):
    """A folder that takes some changes, and is gone then: with the last of them *made*, or not."""

    def __init__(self, root, changes: int, *, made: bool) -> None:
        super().__init__(root)
        self._left, self._made_last = changes, made
        self._lock = threading.Lock()

    def _change(self, change, *arguments) -> None:
        with self._lock:
            self._left -= 1
            if self._left > 0 or (self._left == 0 and self._made_last):
                change(*arguments)
            if self._left <= 0:
                raise StoreError("the disk is gone")

    def write(self, key, blob) -> None:
        self._change(super().write, key, blob)

    def write_file(self, key, file) -> None:
        self._change(super().write_file, key, file)

    def delete(self, key) -> None:
        self._change(super().delete, key)


def test_it_is_stopped_after_every_change_and_goes_on(project, sandbox):
    succeed(project.crawl("friends", seeds=f"{NAME},RJ", max_users=8))
    succeed(project.crawl("top_artists"))
    root = project.data / "store"
    keep_copies(project, FolderStorage(root))
    before = views(project)
    settings = Settings({"DATA_DIR": str(project.data), "JOBDIR": None}, "cmdline")
    settings.setdict({"BIGQUERY_DATASET": None, "FIRESTORE_PROJECT": None})
    stops = 0
    while True:
        # The first is what every attempt does, and a pack takes four in one go: with more it gets on.
        assert stops < 50
        store = FailingStorage(root, 6 + stops % 3, made=bool(stops % 2))
        database = Database(project.database_url, project.data / "postgres")
        try:
            Forgetter(settings, database, store, [NAME]).run()
            break
        except StoreError:
            stops += 1
        finally:
            database.close()
    assert stops > 5
    assert_nowhere(project)
    assert project.run("store", "verify").returncode == 0
    after = views(project)
    assert after["lastfm_friends"] == without_them(before["lastfm_friends"])
    assert len(after["lastfm_users"]) == 7
    # The walk was cut at eight: without them others would have been let in.
    assert_rebuilt(project)
    drop(project)
    replay(project, "all", "--from", "packs")
    assert views(project) == after


@pytest.mark.slow
def test_it_is_killed_at_random_and_a_crawl_comes_in_between(project, sandbox):
    succeed(project.crawl("friends", seeds=f"RJ,{NAME}"))
    succeed(project.crawl("top_artists"))
    chance = random.Random(7)
    for _ in range(4):
        process = project.start("forget", NAME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not where_tombstones(project) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.random() / 2)
        process.kill()
        process.wait()
        succeed(project.crawl("friends", seeds=f"RJ,{NAME}"))
        succeed(project.crawl("top_artists"))
        assert [row for row in views(project)["lastfm_users"] if finds(row[0])] == []
    forget(project)
    assert_nowhere(project)
    assert_rebuilt(project)


def where_tombstones(project) -> list[str]:
    return list(FolderStorage(project.data / "store").keys("state/forgotten/"))


@pytest.mark.slow
def test_a_sink_that_is_down_lets_go_when_it_is_back(project, sandbox, lake):
    succeed(project.crawl("friends", seeds=f"RJ,{NAME}"))
    lake.down = 403
    result = project.run("forget", NAME)
    assert result.returncode == 4, result.stderr
    assert "bigquery has not let go of them" in result.stderr
    assert "this stand-in is down" in result.stderr
    assert where_in_lake(lake)
    # By then only the sink's own list knows whom it has.
    assert set(where_in_warehouse(project)) - {"pg_stats"} == {"public.sink_sent"}
    lake.down = None
    succeed(project.run("sync", "bigquery"))
    assert where_in_lake(lake) == []
    forget(project)
    assert_nowhere(project)
    # A sink that an earlier warehouse has fed, and this one does not know.
    (users,) = [table for name, table in lake.tables.items() if name.endswith(".lastfm_users")]
    users.rows.append(dict.fromkeys(users.fields) | {"username": NAME})
    drop(project)
    result = project.run("forget", NAME)
    assert result.returncode == 2
    assert "run `scrapy replay all` first" in result.stderr
    replay(project)
    forget(project)
    assert_nowhere(project, lake=lake)


def test_a_run_that_goes_on_has_to_end_first(project, sandbox):
    succeed(project.crawl("top_artists", users=f"{NAME},ana"))
    with psycopg.connect(project.database_url, autocommit=True) as running:
        enter(running, FolderStorage(project.data / "store"))
        result = project.run("forget", NAME)
        assert result.returncode == 4
        assert "a run is going on" in result.stderr
        assert where_in_warehouse(project)
    assert where_tombstones(project)
    # Who comes before the second attempt knows already.
    result = succeed(project.crawl("top_artists", users=NAME))
    assert "1 of the users are left out: they were forgotten" in result.stderr
    forget(project)
    assert_nowhere(project)


def test_in_a_bucket(project, sandbox, gcs):
    project.environment["RESPONSE_STORE"] = "gs://answers/lastfm"
    store = open_store("gs://answers/lastfm")
    succeed(project.crawl("friends", seeds=f"RJ,{NAME}"))
    pack(store)
    assert where_in_store(store)
    forget(project)
    assert_nowhere(project, store)


def test_several_from_a_file_and_a_stranger(project, sandbox, tmp_path):
    succeed(project.crawl("friends", seeds=f"RJ,{NAME}"))
    people = tmp_path / "people.txt"
    people.write_text(f"{NAME}\nnobody ever\nEVE\n", encoding="utf-8")
    assert "3 are forgotten" in forget(project, f"@{people}")
    names = {row[0] for row in views(project)["lastfm_users"]}
    assert {"ana", "lone wolf"} <= names
    assert not names & {NAME, "eve"}
    assert_nowhere(project)
    assert_rebuilt(project)
    assert project.run("forget").returncode == 2
    assert "names no user" in project.run("forget", ",").stderr


@pytest.mark.slow
def test_everything_goes_but_tombstones(project, sandbox, lake):
    succeed(project.crawl("friends", seeds="RJ"))
    succeed(project.crawl("top_artists", users="RJ"))
    forget(project)
    store = FolderStorage(project.data / "store")
    tombstones = where_tombstones(project)
    for words, said in (((), "wants to be confirmed"), (("--confirm", "yes"), "'yes' is not")):
        result = project.run("purge", "--all", *words, env=project.env())
        assert result.returncode == 2, result.stderr
        assert said in result.stderr
    assert views(project)["lastfm_users"]
    lake.down = 403
    assert project.run("purge", "--all", "--confirm", store.location).returncode == 4
    lake.down = None
    succeed(project.run("purge", "--all", "--confirm", store.location))
    assert list(store.keys()) == tombstones
    assert {view: rows for view, rows in views(project).items() if rows} == {}
    assert not any(table.rows for table in lake.tables.values())
    assert "nothing to remove" in succeed(project.run("purge", "--all", "--confirm", store.location)).stdout
    succeed(project.crawl("friends", seeds="RJ"))
    assert views(project)["lastfm_users"]
    assert_nowhere(project, lake=lake)
