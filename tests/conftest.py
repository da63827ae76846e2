"""What tests share: a real PostgreSQL, the sandbox, and crawls run as a user runs them."""

from __future__ import annotations

import getpass
import itertools
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from gcs_server import GCSServer
from psycopg import sql
from psycopg.conninfo import make_conninfo
from scrapy.cmdline import execute
from scrapy.utils.project import get_project_settings

from lastfm_crawl.warehouse.embedded import EmbeddedPostgres
from lastfm_crawl.warehouse.migrate import migrate

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
KEY = "canary0key0canary0key0canary0key"

# Most tests run commands in processes of their own: compiled once, also where no bytecode is to be written.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), f"lastfm_crawl-{getpass.getuser()}"))

_databases = itertools.count(1)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three on two cores: most tests wait for processes of their own a third of the time."""
    return min(8, (os.cpu_count() or 2) * 3 // 2)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    """Tests see none of the settings that the one who runs them has in the environment or in .env."""
    for name in (
        "LASTFM_API_KEY",
        "LASTFM_API_SECRET",
        "LASTFM_API_URL",
        "LASTFM_URL",
        "CONTACT",
        "MUSICBRAINZ_API_URL",
        "AOTY_URL",
        "AOTY_PROXY_URL",
        "SPOTIFY_API_URL",
        "SPOTIFY_TOKEN_URL",
        "SPOTIFY_CLIENT_ID",
        "SPOTIFY_CLIENT_SECRET",
        "DATA_DIR",
        "RESPONSE_STORE",
        "DATABASE_URL",
        "MUSICBRAINZ_DATABASE_URL",
        "ALERT_WEBHOOK",
        "SCRAPYD_URL",
        "SCRAPYD_USERNAME",
        "SCRAPYD_PASSWORD",
        "METRICS_FILE",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "JOB_WEBHOOK",
        "BIGQUERY_DATASET",
        "BIGQUERY_EMULATOR_HOST",
        "FIRESTORE_PROJECT",
        "EXPORT_EVERY",
        "FIRESTORE_EMULATOR_HOST",
        "STORAGE_EMULATOR_HOST",
        "SECRET_MANAGER_EMULATOR_HOST",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_PROJECT",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A PostgreSQL server for the session: its libpq connection string."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "server")
    url = server.start()
    # No test lets this server die.
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.remove()


@pytest.fixture(scope="session")
def _template(postgres):
    """The name of a database with all tables and no rows: a copy of it is there ten times as soon as the tables."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_of_tests")
    migrate(make_conninfo(postgres, dbname="template_of_tests"))
    return "template_of_tests"


@contextmanager
def _database(postgres, template):
    name = f"test_{next(_databases)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    yield make_conninfo(postgres, dbname=name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres, _template):
    """The connection string of a database of this test's own: a warehouse without rows."""
    with _database(postgres, _template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres):
    """The same of one without tables, for what makes them."""
    with _database(postgres, "template1") as url:
        yield url


@pytest.fixture
def gcs(monkeypatch):
    """A stand-in of Google Cloud Storage with the bucket ``answers``; clients that are made now talk to it."""
    with GCSServer() as server:
        server.add_bucket("answers")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capsys):
    """A command in this process, with settings over the project's; not for one that crawls."""

    def run(*words: str, **settings: str) -> Said:
        monkeypatch.chdir(ROOT)
        monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "lastfm_crawl.settings")
        chosen = get_project_settings()
        chosen.setdict(settings, "cmdline")
        with pytest.raises(SystemExit) as ended:
            execute(["scrapy", *words], chosen)
        return Said(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def hetrec():
    """The HetRec-2011 folder of the shared data sets."""
    folder = SHARED / "hetrec2011"
    if not folder.is_dir():
        pytest.skip(f"needs the HetRec-2011 data set in {folder} (or SHARED_DATA)")
    return folder


@dataclass
class Project:
    """The project as a user runs it: commands in processes of their own, with their own data folder."""

    data: Path
    url: str = "http://127.0.0.1:9/2.0/"
    database_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        own = {"LASTFM_API_KEY": KEY, "LASTFM_API_URL": self.url, "DATA_DIR": str(self.data)}
        if self.database_url:
            own["DATABASE_URL"] = self.database_url
        return {**os.environ, **own, **self.environment}

    def start(self, *words: str, **options) -> subprocess.Popen:
        """A command that goes on in the background."""
        return subprocess.Popen([sys.executable, "-m", "scrapy", *words], cwd=ROOT, env=self.env(), **options)

    def run(self, *words: str, timeout: float = 120, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        """A command, run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "scrapy", *words],
            cwd=ROOT, env=env or self.env(), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def crawl(self, spider: str, *, settings=None, timeout: float = 120, **arguments) -> subprocess.CompletedProcess:
        """``scrapy crawl``, unpaced and with short pauses."""
        return self.run(*self.words(spider, settings, **arguments), timeout=timeout)

    @staticmethod
    def words(spider: str, settings=None, **arguments) -> list[str]:
        chosen = {"DOWNLOAD_DELAY": 0, "CONCURRENT_REQUESTS": 16, "BACKOFF_FIRST": 0.02, "BACKOFF_MAX": 0.2}
        chosen |= settings or {}
        words = ["crawl", spider]
        for name, value in chosen.items():
            words += ["-s", f"{name}={value}"]
        for name, value in arguments.items():
            words += ["-a", f"{name}={value}"]
        return words

    def execute(self, statement: str) -> None:
        """Change the warehouse behind the project's back."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(statement)

    def query(self, statement: str, *parameters) -> list[tuple]:
        """Rows of the warehouse."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement, parameters).fetchall()


@pytest.fixture
def project(tmp_path, database_url):
    """The project with a data folder and a database of its own; set ``url`` to a sandbox's."""
    return Project(tmp_path / "data", database_url=database_url)
