"""Where a secret may be: on the wire, and nowhere else, whatever goes wrong."""

from __future__ import annotations

import base64
import time
from argparse import Namespace
from contextlib import suppress
from urllib.parse import quote_plus, urlsplit

import psutil
import psycopg
import pytest
from conftest import KEY
from psycopg import sql
from scrapy.settings import Settings

from lastfm_crawl.commands.crawl import Command
from lastfm_crawl.config import SECRETS
from lastfm_crawl.httpcache.envelope import decode
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.logins import Logins
from lastfm_crawl.sandbox import Faults, demo_world, serve

#: What a URL, a header and a shell would each write in their own way.
VALUES = {name: f"canary+0/{name}=" for name in SECRETS} | {
    "AOTY_PROXY_URL": "http://me:canary+0proxy@127.0.0.1:{port}"
}
#: The crawls that use each secret.
RUNS = {
    "LASTFM_API_KEY": [("friends", {"seeds": "RJ", "full_profiles": 1})],
    "LASTFM_API_SECRET": [("recent_tracks", {"users": "RJ"})],
    "SPOTIFY_CLIENT_SECRET": [("top_artists", {"users": "RJ"}), ("spotify_artists", {"limit": 20})],
    # Its charts are those of the years from which music was played.
    "AOTY_PROXY_URL": [("recent_tracks", {"users": "RJ"}), ("musicbrainz", {"limit": 5}), ("aoty", {"charts": 1})],
}


def test_every_secret_is_looked_for():
    assert RUNS.keys() == VALUES.keys() == set(SECRETS)


def spellings(value: str) -> set[bytes]:
    """How a secret may look."""
    parts = urlsplit(value) if "://" in value else None
    plain = {value, f"client:{value}"} | ({parts.password, f"me:{parts.password}"} if parts else set())
    found = {spelt for text in plain for spelt in (text, quote_plus(text), base64.b64encode(text.encode()).decode())}
    return {spelt.encode() for spelt in found}


def run(project, spider, settings, arguments, output) -> tuple[int, str]:
    """The exit code of a crawl, and the arguments of every process that there was while it ran."""
    seen = set()
    with output.open("ab") as file:
        process = project.start(*project.words(spider, settings, **arguments), stdout=file, stderr=file)
        while process.poll() is None:
            with suppress(psutil.Error):
                crawl = psutil.Process(process.pid)
                for one in (crawl, *crawl.children(recursive=True)):
                    seen.add(" ".join(one.cmdline()))
            time.sleep(0.05)
    return process.returncode, "\n".join(seen)


def tables(project) -> bytes:
    """Every row of every table of the warehouse, as text."""
    rows = []
    with psycopg.connect(project.database_url) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(names) > 20
        for name in names:
            rows += connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*name))).fetchall()
    return repr(rows).encode()


def texts_of(project, folder) -> dict[str, bytes]:
    """All that is left of the crawls, by where it is: files, stored answers, the warehouse."""
    texts = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # What a login keeps is a secret of its own, in a file of its own.
    texts.pop(str(project.data / "lastfm-logins.json"))
    store = FolderStorage(project.data / "store")
    for key in store.keys(""):
        blob = store.get(key)
        texts[key] = decode(blob).body + repr(decode(blob)).encode() if key.startswith("requests/") else blob
    return {**texts, "warehouse": tables(project)}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if len(RUNS[name]) > 2 else name for name in SECRETS]
)
def test_a_secret_is_on_the_wire_only(project, tmp_path, name):
    """Crawls with faults, time-outs and refused connections; then everything that is left is searched."""
    faults = Faults(rate=0.2, seed=5, slow=1.5, retry_after=0)
    faults.script("*", kinds=["slow", "html_502"], pass_first=1)
    output = tmp_path / "output"
    settings = {
        "LOG_LEVEL": "DEBUG",
        "LOG_FILE": tmp_path / "log",
        "LOG_FORMAT": "%(asctime)s %(name)s %(levelname)s %(pathname)s %(message)s %(args)s",
        "DOWNLOAD_TIMEOUT": 1,
        "BACKOFF_MAX": 0.05,
    }
    arguments = ""
    with serve(demo_world(12), faults) as sandbox:
        project.url = sandbox.url
        # The sandbox is a proxy of itself.
        values = {one: value.format(port=sandbox.port) for one, value in VALUES.items()}
        used = {one: value for one, value in values.items() if one in {name, "LASTFM_API_KEY", "LASTFM_API_SECRET"}}
        project.environment = {
            **used,
            "MUSICBRAINZ_API_URL": sandbox.musicbrainz_url,
            "SPOTIFY_API_URL": sandbox.spotify_url,
            "SPOTIFY_TOKEN_URL": sandbox.spotify_token_url,
            "SPOTIFY_CLIENT_ID": "client",
            "AOTY_URL": sandbox.aoty_url,
            "CONTACT": "me@example.org",
        }
        sandbox.accounts.secret = values["LASTFM_API_SECRET"]
        session = sandbox.accounts.open("RJ", values["LASTFM_API_KEY"])
        Logins({"DATA_DIR": str(project.data)}, "lastfm").keep("RJ", session)
        for number, (spider, given) in enumerate(RUNS[name]):
            code, seen = run(project, spider, {**settings, "JOBDIR": tmp_path / f"job{number}"}, given, output)
            assert code == 0, output.read_text()[-2000:]
            arguments += seen
        if name.startswith("LASTFM"):
            assert {call.api_key for call in sandbox.log} == {values["LASTFM_API_KEY"]}
            assert session in {call.session_key for call in sandbox.log}
        faulty = len([call for call in sandbox.log if call.fault])
    assert faulty >= 2
    # Nobody listens there any more.
    spider, given = RUNS[name][-1]
    code, seen = run(project, spider, {**settings, "JOBDIR": tmp_path / "gone"}, {**given, "max_age": 0}, output)
    assert code == 4
    texts = {**texts_of(project, tmp_path), "arguments": (arguments + seen).encode()}

    assert (tmp_path / "log").stat().st_size > 10_000
    assert b"DEBUG" in texts[str(tmp_path / "log")]
    assert b"crawl" in texts["arguments"]
    hidden = {spelt for value in (*used.values(), session) for spelt in spellings(value)}
    assert [(where, spelt) for where, text in texts.items() for spelt in hidden if spelt in text] == []


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("way", ["set", "spargs"])
def test_a_secret_in_the_arguments_is_refused_and_not_repeated(name, way):
    command = Command()
    command.settings, command.crawler_process = Settings(), object()
    given = {"set": [f"{name}={KEY}"], "spargs": {}} if way == "set" else {"set": [], "spargs": {name.lower(): KEY}}
    with pytest.raises(ValueError, match=f"^{name} must come from the environment or .env: [a-z ]*$"):
        command._check("friends", Namespace(**given))
