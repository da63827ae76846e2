"""What the settings mean together, and where secrets come from."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.conf import closest_scrapy_cfg

import lastfm_crawl
from lastfm_crawl import secret_manager

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.settings import BaseSettings

#: Never in settings, arguments, URLs, logs or records: only in the environment, or where it refers to.
SECRETS = ("LASTFM_API_KEY", "LASTFM_API_SECRET", "SPOTIFY_CLIENT_SECRET", "AOTY_PROXY_URL")
#: The same of commands alone. No crawl sends them, so no answer is searched for them: a name may well occur in one.
LOGINS = ("SCRAPYD_USERNAME", "SCRAPYD_PASSWORD")
#: Settings that are places on the web.
URLS = (
    "LASTFM_API_URL",
    "LASTFM_URL",
    "SPOTIFY_API_URL",
    "SPOTIFY_TOKEN_URL",
    "MUSICBRAINZ_API_URL",
    "AOTY_URL",
    "SCRAPYD_URL",
)
#: What these settings are, and the most they may be.
_NUMBERS = {
    **dict.fromkeys(
        ("DOWNLOAD_DELAY", "BACKOFF_FIRST", "BACKOFF_MAX", "PROGRESS_INTERVAL", "DOWNLOAD_TIMEOUT", "EXPORT_EVERY"),
        ("number of seconds", math.inf),
    ),
    "LASTFM_STORAGE_CAP_MB": ("number of megabytes", math.inf),
    **dict.fromkeys(
        ("MONITOR_MAX_ERRORS", "MONITOR_MIN_COVERAGE", "MONITOR_LOST_FIELD"), ("share, a number from 0 to 1", 1.0)
    ),
    "MONITOR_MIN_ROWS": ("number of rows", math.inf),
}
#: Values by reference. Not put into the environment: every process that we start would inherit them.
_fetched: dict[str, str] = {}


def project_folder() -> Path | None:
    """Where scrapy.cfg is. A job of Scrapyd's has none."""
    found = closest_scrapy_cfg()
    return Path(found).parent if found else None


def env_file() -> Path | None:
    """The file beside scrapy.cfg whose variables count where the environment has none of that name.

    One that lies where a Scrapyd was started is not meant for its jobs.
    """
    folder = project_folder()
    return folder / ".env" if folder else None


def secret(name: str) -> str | None:
    """The secret *name* from the environment (or ``.env``), or None; blanks around it are a copying mistake.

    Of a reference (``sm://…``) the value, once :func:`fetch_secrets` has had it; None before that.
    """
    value = os.environ.get(name, "").strip()
    return _fetched.get(value) if value.startswith(secret_manager.SCHEME) else value or None


def is_set(settings: BaseSettings, name: str) -> bool:
    """Whether the secret or setting *name* has a value; of a reference that is not read yet, that it is one."""
    return bool(os.environ.get(name, "").strip() if name in SECRETS else settings[name])


def fetch_secrets(*names: str) -> None:
    """Have the values of those of *names* (default: all secrets) that are references, each once in this process.

    Waits for the network: to be called before the event loop runs, or in a thread. Raises SecretUnavailableError.
    """
    for name in names or SECRETS:
        reference = os.environ.get(name, "").strip()
        if reference.startswith(secret_manager.SCHEME) and reference not in _fetched:
            _fetched[reference] = secret_manager.fetch(name, reference)


def refuse_secrets(given: Iterable[str]) -> None:
    """Raise ValueError, one line, when one of *given*, names of settings and arguments, is that of a secret."""
    names = {name.upper() for name in given}
    for name in (*SECRETS, *LOGINS):
        if name in names or name.partition("_")[2] in names:
            raise ValueError(f"{name} must come from the environment or .env: arguments show in the process list")


def store_location(settings: BaseSettings) -> str:
    """Where the response store is."""
    return settings["RESPONSE_STORE"] or str(Path(settings["DATA_DIR"], "store"))


def database_folder(settings: BaseSettings) -> Path:
    """Where the embedded PostgreSQL lives when no DATABASE_URL is set."""
    return Path(settings["DATA_DIR"], "postgres")


def spool_folder(settings: BaseSettings) -> Path:
    """Where answers wait that a far store did not take."""
    return Path(settings["DATA_DIR"], "spool")


def user_agent(settings: BaseSettings) -> str:
    """An honest User-Agent, with the contact when there is one."""
    contact = settings["CONTACT"]
    return f"lastfm_crawl/{lastfm_crawl.__version__}" + (f" (+{contact})" if contact else "")


def check(settings: BaseSettings) -> None:
    """Raise ValueError, one line that names the setting, for what cannot work."""
    if "@" in settings["SCRAPYD_URL"]:  # it is not quoted: it holds a password
        raise ValueError("SCRAPYD_URL holds a login: put it into SCRAPYD_USERNAME and SCRAPYD_PASSWORD")
    for name in URLS:
        if not _is_http(settings[name]):
            raise ValueError(f"{name}={settings[name]!r} is not an http(s) URL")
    private = {name: settings[name] for name in ("ALERT_WEBHOOK", "JOB_WEBHOOK")}
    for name, url in {**private, "AOTY_PROXY_URL": secret("AOTY_PROXY_URL")}.items():
        if url and not _is_http(url):
            raise ValueError(f"{name} is not an http(s) URL")  # it holds a password, or is one
    dataset = settings["BIGQUERY_DATASET"]
    if dataset and not re.fullmatch(r"[a-z0-9.:-]+\.\w+", dataset):
        raise ValueError(f"BIGQUERY_DATASET={dataset!r} is not project.dataset")
    if settings["METRICS_FILE"]:
        _check_metrics_file(settings["METRICS_FILE"])
    for name, (unit, most) in _NUMBERS.items():
        if not _is_number(settings, name, most):
            raise ValueError(f"{name}={settings[name]!r} is not a {unit}")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # its message quotes what stands before the host, which may be a password
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _check_metrics_file(path: str) -> None:
    if "%" in re.sub(r"%%|%\(spider\)s", "", path):
        raise ValueError(f"METRICS_FILE={path!r}: of % only %(spider)s is known; a % is written %%")
    folder = Path(path % {"spider": ""}).parent
    if not folder.is_dir():
        raise ValueError(f"METRICS_FILE={path!r}: there is no folder {folder}")


def _is_number(settings: BaseSettings, name: str, most: float) -> bool:
    try:
        return 0 <= settings.getfloat(name) <= most
    except (TypeError, ValueError):
        return False


class ProjectAddon:
    """Settings that follow from others, applied to every crawler (Scrapy's ADDONS)."""

    @staticmethod
    def update_settings(settings: BaseSettings) -> None:
        """Fill in what depends on DATA_DIR, CONTACT and DOWNLOAD_DELAY."""
        settings.set("RESPONSE_STORE", store_location(settings), "cmdline")
        settings.set("RESPONSE_SPOOL", str(spool_folder(settings)), "cmdline")
        if (settings.getpriority("USER_AGENT") or 0) < SETTINGS_PRIORITIES["project"]:
            settings.set("USER_AGENT", user_agent(settings), "addon")
        if not settings.getfloat("DOWNLOAD_DELAY"):
            # Its start delay would pace a crawl that is to be unpaced.
            settings.set("AUTOTHROTTLE_ENABLED", False, "cmdline")
