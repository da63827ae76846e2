"""Who has logged in with Spotify, and what lets us ask in their name: a file that only its owner can read.

``{DATA_DIR}/spotify-logins.json``: refresh tokens by user name. A refresh token is used up by its use, so the next one
is on the disk before the access token that came with it is used.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings


class Logins:
    """The logins in the data folder of *settings*. Everything here reads or writes a file: not for the event loop."""

    def __init__(self, settings: BaseSettings) -> None:
        self._path = Path(settings["DATA_DIR"], "spotify-logins.json")

    def users(self) -> list[str]:
        """The Last.fm names of those who have logged in."""
        return sorted(login["user"] for login in self._read().values())

    def refresh_token(self, user: str) -> str | None:
        """What a new access token for *user* can be had for; None when they have not logged in."""
        login = self._read().get(user_key(user))
        return login["refresh_token"] if login else None

    def keep(self, user: str, refresh_token: str) -> None:
        """*user* has logged in, or the token was replaced."""
        with self._locked():
            self._write({**self._read(), user_key(user): {"user": user, "refresh_token": refresh_token}})

    def forget(self, user: str) -> bool:
        """*user* has logged out; False when they were not logged in."""
        with self._locked():
            logins = self._read()
            gone = logins.pop(user_key(user), None)
            self._write(logins)
        return gone is not None

    def _locked(self) -> FileLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self._path}.lock")

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            logins: dict[str, dict[str, str]] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return logins

    def _write(self, logins: dict[str, dict[str, str]]) -> None:
        """Replace the file; mkstemp makes files for the owner alone."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".spotify-logins-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(logins, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)
