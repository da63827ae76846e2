"""Google's own emulator of Firestore, in a process of its own, where it is found on this machine."""

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

GET = "needs Google's Firestore emulator (apt: google-cloud-cli-firestore-emulator) and Java, or FIRESTORE_EMULATOR_JAR"
_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"


def firestore_jar() -> Path | None:
    """The emulator of the Google Cloud SDK, if it and a Java are there."""
    if not shutil.which("java"):
        return None
    if named := os.environ.get("FIRESTORE_EMULATOR_JAR"):
        return Path(named)
    roots = [Path("/usr/lib/google-cloud-sdk"), Path("/usr/share/google-cloud-sdk")]
    if gcloud := shutil.which("gcloud"):
        roots.append(Path(gcloud).resolve().parent.parent)
    return next((root / _JAR for root in roots if (root / _JAR).is_file()), None)


@contextmanager
def firestore_emulator(log: Path):
    """``host:port`` of an empty emulator; what it says goes to the file *log*."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["java", "-Duser.language=en", "-cp", firestore_jar(), _MAIN, "start", "--host=127.0.0.1", f"--port={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = time.monotonic() + 60
        while not _answers(f"http://127.0.0.1:{port}/"):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
