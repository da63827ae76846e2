"""Who has logged in with Last.fm or Spotify, and what lets us ask in their name: files that only their owner can read.

``{DATA_DIR}/spotify-logins.json``: refresh tokens by user name. A refresh token is used up by its use, so the next one
is on the disk before the access token that came with it is used. ``lastfm-logins.json``: session keys, which do not end
by themselves.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from filelock import FileLock

from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

Service = Literal["lastfm", "spotify"]
SERVICES: tuple[Service, ...] = ("lastfm", "spotify")
#: What each service calls the thing that is kept.
_FIELDS = {"lastfm": "session_key", "spotify": "refresh_token"}


class Login(NamedTuple):
    """What lets us ask in the name of *user*, and since when (seconds since 1970; 0 when that was not kept)."""

    user: str
    token: str
    at: float

    def __repr__(self) -> str:
        return f"Login({self.user!r})"


class Logins:
    """The logins in the data folder of *settings*. Everything here reads or writes a file: not for the event loop."""

    def __init__(self, settings: BaseSettings, service: Service) -> None:
        self._path = Path(settings["DATA_DIR"], f"{service}-logins.json")
        self._field = _FIELDS[service]

    def all(self) -> dict[str, Login]:
        """Every login, by the key of the user's name on Last.fm. Raises ValueError when the file is spoilt."""
        logins = self._read()
        return {
            key: Login(str(login["user"]), str(login[self._field]), float(login.get("at", 0)))
            for key, login in sorted(logins.items())
        }

    def users(self) -> list[str]:
        """The Last.fm names of those who have logged in."""
        return [login.user for login in self.all().values()]

    def token(self, user: str) -> str | None:
        """What lets us ask in the name of *user*; None when they have not logged in."""
        login = self.all().get(user_key(user))
        return login.token if login else None

    def keep(self, user: str, token: str) -> None:
        """*user* has logged in, or the token was replaced."""
        with self._locked():
            login: dict[str, str | float] = {"user": user, self._field: token, "at": round(time.time(), 6)}
            self._write({**self._read(), user_key(user): login})

    def forget(self, user: str, token: str | None = None) -> bool:
        """*user* has logged out; False when they were not logged in, or (with *token*) are by another one."""
        with self._locked():
            logins = self._read()
            login = logins.get(user_key(user))
            if login is None or token not in {None, login[self._field]}:
                return False
            del logins[user_key(user)]
            self._write(logins)
        return True

    def _locked(self) -> FileLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self._path}.lock")

    def _read(self) -> dict[str, dict[str, str | float]]:
        try:
            logins: dict[str, dict[str, str | float]] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            # Without the original, whose text may be cut out of the file.
            raise ValueError(f"{self._path} is no JSON: remove it, and log in again") from None
        return logins

    def _write(self, logins: dict[str, dict[str, str | float]]) -> None:
        """Replace the file; mkstemp makes files for the owner alone."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.stem}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(logins, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)
