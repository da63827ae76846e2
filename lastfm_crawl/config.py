"""What the settings mean together, and where secrets come from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.conf import closest_scrapy_cfg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.settings import BaseSettings

#: Never in settings, arguments, URLs, logs or records: only in the environment.
SECRETS = ("LASTFM_API_KEY", "SPOTIFY_CLIENT_SECRET", "AOTY_PROXY_URL")


def env_file() -> Path:
    """The file beside scrapy.cfg whose variables count where the environment has none of that name."""
    return Path(closest_scrapy_cfg()).parent / ".env"


def secret(name: str) -> str | None:
    """The secret *name* from the environment (or ``.env``), or None; blanks around it are a copying mistake."""
    return os.environ.get(name, "").strip() or None


def refuse_secrets(given: Iterable[str]) -> None:
    """Raise ValueError when one of the names that were *given* on the command line is that of a secret."""
    names = {name.upper() for name in given}
    for name in SECRETS:
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
    return f"lastfm_crawl/0.1 (+{contact})" if contact else "lastfm_crawl/0.1"


def check(settings: BaseSettings) -> None:
    """Raise ValueError, one line that names the setting, for what cannot work."""
    for name in ("LASTFM_API_URL", "SPOTIFY_API_URL", "SPOTIFY_TOKEN_URL", "MUSICBRAINZ_API_URL", "AOTY_URL"):
        parts = urlsplit(settings[name])
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{name}={settings[name]!r} is not an http(s) URL")
    proxy = urlsplit(secret("AOTY_PROXY_URL") or "http://none")
    if proxy.scheme not in {"http", "https"} or not proxy.hostname:
        raise ValueError("AOTY_PROXY_URL is not an http(s) URL")  # its text may hold a password
    for name in ("ALERT_WEBHOOK", "JOB_WEBHOOK"):
        parts = urlsplit(settings[name] or "http://none")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{name} is not an http(s) URL")  # whoever has it can post
    dataset = settings["BIGQUERY_DATASET"]
    if dataset and not re.fullmatch(r"[a-z0-9.:-]+\.\w+", dataset):
        raise ValueError(f"BIGQUERY_DATASET={dataset!r} is not project.dataset")
    amounts = dict.fromkeys(
        ("DOWNLOAD_DELAY", "BACKOFF_FIRST", "BACKOFF_MAX", "PROGRESS_INTERVAL", "DOWNLOAD_TIMEOUT", "EXPORT_EVERY"),
        "seconds",
    )
    for name, unit in {**amounts, "LASTFM_STORAGE_CAP_MB": "megabytes"}.items():
        try:
            sensible = settings.getfloat(name) >= 0
        except (TypeError, ValueError):
            sensible = False
        if not sensible:
            raise ValueError(f"{name}={settings[name]!r} is not a number of {unit}")


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
