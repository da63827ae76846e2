"""Emulators of Google's services, in processes of their own, where they are found on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

EMULATORS = Path(os.environ.get("EMULATORS") or Path.home() / ".cache/lastfm_crawl/emulators")
BIGQUERY = EMULATORS / "bigquery/bin/bqemulator"
GET_BIGQUERY = f"needs the emulator of BigQuery in {EMULATORS} (or EMULATORS); `.ci/emulators` installs it"
GET_FIRESTORE = (
    "needs Google's Firestore emulator (apt: google-cloud-cli-firestore-emulator) and Java, or FIRESTORE_EMULATOR_JAR"
)
_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"


def firestore_jar() -> Path | None:
    """The emulator of the Google Cloud SDK, if it and a Java are there."""
    if named := os.environ.get("FIRESTORE_EMULATOR_JAR"):
        return Path(named)
    if not shutil.which("java"):
        return None
    roots = [Path("/usr/lib/google-cloud-sdk"), Path("/usr/share/google-cloud-sdk")]
    if gcloud := shutil.which("gcloud"):
        roots.append(Path(gcloud).resolve().parent.parent)
    return next((root / _JAR for root in roots if (root / _JAR).is_file()), None)


@contextmanager
def bigquery_emulator(log: Path):
    """The URL of an empty emulator of BigQuery."""
    port, other = free_port(), free_port()
    words = [BIGQUERY, "start", "--rest-port", str(port), "--grpc-port", str(other)]
    url = f"http://127.0.0.1:{port}"
    with running(words, log, f"{url}/bigquery/v2/projects/p/datasets", {**os.environ, "HOME": str(EMULATORS / "home")}):
        yield url


@contextmanager
def firestore_emulator(log: Path):
    """``host:port`` of an empty emulator of Firestore."""
    port = free_port()
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    words = ["java", "-Duser.language=en", "-cp", firestore_jar(), main, "start", "--host=127.0.0.1", f"--port={port}"]
    with running(words, log, f"http://127.0.0.1:{port}/", dict(os.environ)):
        yield f"127.0.0.1:{port}"


@contextmanager
def running(words, log: Path, url: str, env: dict[str, str]):
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=env, cwd=log.parent)
        try:
            deadline = time.monotonic() + 60
            while not answers(url):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.1)
            yield process
        finally:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
