"""What our settings and secrets are in this run, and where each comes from, with nothing secret in it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from scrapy.settings import SETTINGS_PRIORITIES

from lastfm_crawl import config, reference
from lastfm_crawl.warehouse.database import check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.settings import Settings

MASK = "***"
#: What may stand in a connection string besides the password that nobody is to read.
_HIDDEN = ("password", "sslpassword", "oauth_client_secret")


class Value(NamedTuple):
    """A setting, or a secret: what may be shown of it, in which unit, and where it comes from.

    ``origin`` is ``-s``, ``environment``, ``.env``, ``derived`` (it follows from others), ``default``, or ``""`` for a
    secret that is not set.
    """

    name: str
    value: str
    unit: str
    origin: str
    section: str  # of settings.py; "secrets" for those
    meaning: str


def values(settings: Settings) -> list[Value]:
    """Every setting of ours and every secret."""
    file = config.env_file()
    read = dotenv_values(file) if file else {}
    derived = settings.copy()
    with suppress(ValueError):  # a value that is no number is shown as it is; `scrapy validate` says what is wrong
        config.ProjectAddon.update_settings(derived)
    found = []
    for setting in reference.settings():
        name = setting.name
        value = derived[name]
        if value != settings[name]:
            origin = "derived"
        elif (settings.getpriority(name) or 0) >= SETTINGS_PRIORITIES["cmdline"]:
            origin = "-s"
        else:
            origin = _variable(name, read) if setting.from_environment else ""
        shown = "" if value is None else show(name, str(value))
        if name == "DATABASE_URL" and not value:
            shown, origin = f"embedded PostgreSQL in {config.database_folder(settings)}", "derived"
        found.append(Value(name, shown, setting.unit, origin or "default", setting.section, setting.comment))
    for name in config.SECRETS:
        value = config.secret(name)
        shown = "" if value is None else _secret(name, value)
        found.append(Value(name, shown, "", _variable(name, read) if value else "", "secrets", ""))
    return found


def show(name: str, value: str) -> str:
    """*value* of the setting *name* without what would let somebody in: passwords, and whole webhooks."""
    if not value or name.endswith("_WEBHOOK"):
        return value and _length(value)
    if name.endswith("DATABASE_URL"):
        return _conninfo(value)
    return _url(value) if "://" in value else value


def _variable(name: str, read: Mapping[str, str | None]) -> str:
    """Where the environment variable *name* comes from; "" where there is none."""
    if name not in os.environ:
        return ""
    # The file never overrules the environment: where both say the same, it does not matter who did.
    return ".env" if read.get(name) == os.environ[name] else "environment"


def _secret(name: str, value: str) -> str:
    """That it is set. Of a URL also where it leads: it is what comes before the host that is secret."""
    if name.endswith("_URL") and "://" in value:
        return _url(value, whole=False)
    return _length(value)


def _url(value: str, *, whole: bool = True) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:  # what cannot be read cannot be masked either
        return f"{_length(value)}, not a URL"
    if not whole:
        parts = parts._replace(path="", query="", fragment="")
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{MASK if user else ''}{at}{host}"))


def _conninfo(value: str) -> str:
    """A connection string in libpq's own words, whichever form it was given in."""
    try:
        check_url(value)
        parts = conninfo_to_dict(value)
    except ValueError:  # what cannot be read cannot be masked either
        return f"{_length(value)}, not a connection URL"
    return make_conninfo("", **{key: MASK if key in _HIDDEN else text for key, text in parts.items()})


def _length(value: str) -> str:
    return f"set ({len(value)} characters)"
