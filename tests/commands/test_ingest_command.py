"""`scrapy ingest` without its phases: what it takes, what it foretells, and how it ends when they end so."""

from __future__ import annotations

import argparse
import io
from contextlib import contextmanager
from types import SimpleNamespace

import psycopg
import pytest
from conftest import KEY
from rich.console import Console
from scrapy.settings import Settings

from lastfm_crawl.commands import ingest, overview
from lastfm_crawl.commands.overview import Overview
from lastfm_crawl.insight.estimates import Basis, Estimate
from lastfm_crawl.insight.phases import Options, plan


@pytest.fixture
def settings(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    monkeypatch.setenv("SPOTIFY_CLIENT_SECRET", "secret")
    settings = Settings()
    settings.setmodule("lastfm_crawl.settings")
    values = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": database_url,
        "CONTACT": "a@example.org",
        "SPOTIFY_CLIENT_ID": "client",
    }
    settings.update(values, "cmdline")
    return settings


@pytest.fixture
def run(settings, capsys):
    """Runs the command here: exit code, what it says, and its last words."""

    def run(*words):
        command = ingest.Command()
        command.settings = settings
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        opts, args = parser.parse_known_args(words)
        command.run(args, opts)
        out, err = capsys.readouterr()
        return command.exitcode, out, err

    return run


# --- wrong use ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--seeds a,b or --seeds @file says with whom to begin"),
        (["--seeds", " , "], "--seeds: ' , ' is wrong: it names no user"),
        (["--seeds", "@/no/such/file"], "the file cannot be read (No such file or directory)"),
        (["--seeds", "a\nb"], "is no user name"),
        (["--seeds", "rj", "--max-users", "0"], "--max-users: '0' is wrong: it must be a whole number from 1"),
        (["--seeds", "rj", "--max-users", "many"], "--max-users: 'many'"),
        (["--seeds", "rj", "--max-songs", "1.5"], "--max-songs: '1.5'"),
        (["--seeds", "rj", "-s", f"LASTFM_API_KEY={KEY}"], "arguments show in the process list"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_wrong_use_is_one_line(run, settings, tmp_path, words, said, dry):
    code, out, err = run(*words, *dry)
    assert (code, out) == (2, "")
    assert err.startswith("scrapy ingest: ")
    assert said in err
    assert err.count("\n") == 1
    assert KEY not in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:pass@[bad"),
        ("RESPONSE_STORE", "s3://bucket"),
        ("DOWNLOAD_DELAY", "often"),
        ("AOTY_URL", "ftp://x"),
    ],
)
def test_malformed_settings(run, settings, name, value):
    settings.set(name, value, "cmdline")
    code, _, err = run("--seeds", "rj")
    assert code == 2
    assert name in err


def test_no_key(run, monkeypatch):
    monkeypatch.delenv("LASTFM_API_KEY")
    code, _, err = run("--seeds", "rj")
    assert code == 2
    assert "LASTFM_API_KEY is not set: get a key at https://www.last.fm/api/account/create" in err


def test_a_warehouse_out_of_reach_is_critical(run, settings):
    settings.set("DATABASE_URL", "postgresql://u:sesame@127.0.0.1:9/none", "cmdline")
    for dry in ([], ["--dry-run"]):
        code, _, err = run("--seeds", "rj", *dry)
        assert code == 3
        assert "the warehouse cannot be used" in err
        assert "sesame" not in err


def test_a_folder_that_cannot_be_written(run, settings, tmp_path):
    (tmp_path / "data").write_text("in the way")
    code, _, err = run("--seeds", "rj")
    assert code == 3
    assert err.count("\n") == 1
    assert "cannot be used: " in err


# --- the dry run --------------------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(run, settings, empty_database_url, tmp_path):
    settings.set("DATABASE_URL", empty_database_url, "cmdline")
    code, out, err = run("--seeds", "rj,ann", "--max-users", "50", "--histories", "--skip-aoty", "--dry-run")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["friends"].split()[1:4] == ["52", "52", "s"]
    assert "estimated" in lines["friends"]
    assert "one friends list for each user" in lines["friends"]
    assert "aoty: skipped, --skip-aoty" in out
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'users'").fetchone() == (0,)
    assert not (tmp_path / "data").exists()


def test_a_dry_run_makes_no_embedded_warehouse(run, settings, tmp_path):
    settings.set("DATABASE_URL", None, "cmdline")
    code, out, _ = run("--seeds", "rj", "--quick", "--dry-run")
    assert not code
    assert out.splitlines()[1].split()[:2] == ["friends", "11"]
    assert not (tmp_path / "data").exists()


def test_a_warehouse_of_an_earlier_version_is_left_as_it_is(run, settings, empty_database_url):
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE users (id integer)")
    settings.set("DATABASE_URL", empty_database_url, "cmdline")
    code, _, err = run("--seeds", "rj", "--dry-run")
    assert code == 3
    assert "it is of an earlier version; `scrapy status` brings it up to date" in err


# --- phases that end so -------------------------------------------------------------------------------------------


@pytest.fixture
def ends(monkeypatch):
    """How commands end, by their first two words; what was run is in ``ran``."""
    codes: dict[str, int] = {}
    ran: list[str] = []

    class Process:
        def __init__(self, code):
            self.code = code

        def poll(self):
            return self.code

        wait = poll

    class Ended:
        def __init__(self, name):
            self.process = Process(codes.get(name, 0))
            self.interrupted = codes.get(name) == 4 and name == "top_tracks"

    @contextmanager
    def child(words, **streams):
        name = words[1] if words[0] == "crawl" else words[0]
        ran.append(name)
        if name in codes:
            streams["stderr"].write(f"scrapy {words[0]}: {name} says why\n".encode())
            streams["stderr"].flush()
        yield Ended(name)

    monkeypatch.setattr(ingest, "child", child)
    return SimpleNamespace(codes=codes, ran=ran)


def test_all_is_well(run, ends):
    code, out, err = run("--seeds", "rj")
    assert not code
    assert out == "nothing was asked for: all that there is to ask for is there\n"
    # Users are to come, so nothing is known to be nothing.
    assert ends.ran == [
        "friends", "top_artists", "top_tracks", "match", "spotify_artists", "spotify_tracks", "track_tags", "aoty",
        "match", "songs", "quality",
    ]  # fmt: skip
    assert "histories: skipped, only with --histories" in err
    assert "MusicBrainz: done, nothing to do" in err


@pytest.mark.parametrize(
    ("name", "ended", "last", "whole", "says"),
    [
        ("friends", 1, "quality", 1, "friends with losses; run it again for what is missing; the log: "),
        ("friends", 2, "friends", 2, "friends failed; the log: "),
        ("friends", 3, "friends", 3, "friends failed; the log: "),
        ("top_artists", 4, "top_artists", 4, "top artists stopped; run it again to go on; the log: "),
        ("top_tracks", 4, "top_tracks", 4, "top tracks stopped; run it again to go on; the log: "),
        ("spotify_artists", 4, "quality", 4, "Spotify artists stopped; run it again to go on; the log: "),
        ("aoty", 4, "quality", 4, "AOTY stopped; run it again to go on; the log: "),
        ("spotify_tracks", 3, "spotify_tracks", 3, "Spotify tracks failed; the log: "),
        ("songs", -9, "songs", 4, "songs failed; run it again to go on; the log: "),
    ],
)
def test_how_the_whole_ends_when_a_phase_ends_so(run, ends, name, ended, last, whole, says):
    ends.codes[name] = ended
    code, _, err = run("--seeds", "rj")
    assert ends.ran[-1] == last
    assert code == whole
    *lines, end = err.splitlines()
    assert end.startswith(f"scrapy ingest: {says}")
    assert any(line.endswith(f"{name} says why") for line in lines)


def test_sinks_are_loaded_where_they_are_configured(run, ends, settings):
    settings.set("BIGQUERY_DATASET", "project.dataset", "cmdline")
    ends.codes["sync"] = 1
    code, _, err = run("--seeds", "rj", "--skip-spotify", "--skip-aoty")
    assert code == 1
    assert ends.ran[-2:] == ["sync", "quality"]
    assert "load bigquery with losses" in err
    assert "spotify_artists" not in ends.ran
    assert "aoty" not in ends.ran


# --- the view -----------------------------------------------------------------------------------------------------


@pytest.fixture
def view(tmp_path):
    shown = Overview(plan(Options("rj", 10, 10), {"aoty": "--skip-aoty"}, []), tmp_path / "log")
    shown._console.file = io.StringIO()
    return shown


@pytest.mark.parametrize(
    ("line", "alarm"),
    [
        ("2026-11-21 15:09:13 [lastfm_crawl.x] WARNING: it is late", "WARNING: it is late"),
        ("2026-11-21 15:09:13 [scrapy.core] ERROR: \x1b[31mred", "ERROR:  [31mred"),
        ("scrapy crawl: 3 pages were given up", "scrapy crawl: 3 pages were given up"),
        ('{"time": "2026-11-21T15:09:13.000Z", "level": "WARNING", "logger": "x", "message": "slow"}', "WARNING: slow"),
        ('{"time": "2026-11-21T15:09:13.000Z", "level": "INFO", "logger": "x", "message": "slow"}', None),
        ("2026-11-21 15:09:13 [x] INFO: all is well", None),
        ("a line that says [x] WARNING: no", None),
        ("", None),
    ],
)
def test_which_lines_of_the_log_are_shown(view, line, alarm):
    view.line(line)
    assert list(view.alarms) == ([alarm] if alarm else [])


def test_what_is_said_again_is_shown_once(view):
    with view:
        for second in range(3):
            view.line(f"2026-11-21 15:09:0{second} [x] WARNING: again")
    assert view._console.file.getvalue().count("WARNING: again") == 1
    assert view.alarms == {"WARNING: again": 3}


def test_one_line_a_minute_says_how_far_it_is(view, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(overview.time, "monotonic", lambda: clock[0])
    row = view.rows[0]
    with view:
        view.begin(row)
        for done in range(0, 121, 2):
            view.tick(row, SimpleNamespace(progress=done, total=200, unit="friends lists"))
            clock[0] += 2
        view.end(row, 0)
    lines = [line[9:] for line in view._console.file.getvalue().splitlines() if line[9:].startswith("friends")]
    assert lines == [
        "friends: begins",
        "friends: 60 of 200 friends lists, 60/min, 2 min left, 1 min so far, about 2 min left in all",
        "friends: 120 of 200 friends lists, 60/min, 1 min left, 2 min so far, about 1 min left in all",
        "friends: done, 120 of 200 friends lists, in 2 min",
    ]


@pytest.mark.parametrize(("width", "height", "room"), [(80, 24, 5), (120, 40, 6)])
def test_the_screen_has_room_for_what_counts(tmp_path, monkeypatch, width, height, room):
    clock = [1000.0]
    monkeypatch.setattr(overview.time, "monotonic", lambda: clock[0])
    shown = Overview(
        plan(Options("rj", 10, 10), {"spotify_artists": "no SPOTIFY_CLIENT_ID"}, []), tmp_path / ("log" * 40)
    )
    shown._console = Console(width=width, height=height, file=io.StringIO())
    shown.expected = {"musicbrainz": Estimate("musicbrainz", 3_000, 3_000.0, 1, Basis.KNOWN)}
    shown.end(shown.rows[0], None)
    shown.begin(shown.rows[1])
    for done in (1_000, 2_000):
        shown.tick(shown.rows[1], SimpleNamespace(progress=done, total=10_000, unit="users"))
        clock[0] += 60
    for number in range(9):
        shown.line(f"2026-11-21 15:09:13 [x] WARNING: number {number}, " + "of which much is to be said " * 9)
    shown._console.file = io.StringIO()
    shown._console.print(shown)
    lines = shown._console.file.getvalue().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    by_title = {line.split("  ")[0]: line.split() for line in lines}
    assert by_title["friends"][1:] == ["done,", "nothing", "to", "do"]
    units = ["users"] if width > 100 else []
    assert by_title["top artists"][2:] == ["running", "2,000", "of", "10,000", *units, "1,000/min", "8", "min", "left"]
    assert by_title["MusicBrainz"][1:] == ["waiting", "~50", "min"]
    said = ["skipped,", "no", "SPOTIFY_CLIENT_ID"]
    assert by_title["Spotify artists"][2:] == (said if width > 100 else said[1:])
    assert any(line.startswith("1 of 12 phases, 2 min so far, about 58 min left in all") for line in lines)
    assert sum(line.startswith("WARNING: number") for line in lines) == room
