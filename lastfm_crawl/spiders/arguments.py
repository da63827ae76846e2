"""Spider arguments: what each may be, checked before the first request, with one line for what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import user_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class ArgumentError(ValueError):
    """A spider argument that cannot be meant: one line that names it and says what it may be."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: how its text is read (ValueError says what it should be), and its default or that it has none."""

    read: Callable[[str], Any]
    default: Any = None
    required: bool = False


def read_arguments(spider: str, known: Mapping[str, Argument], given: Mapping[str, str]) -> dict[str, Any]:
    """The values of all *known* arguments. Raises :class:`ArgumentError`.

    Names that begin with an underscore are Scrapyd's own (``_job``) and pass.
    """
    for name in given:
        if name not in known and not name.startswith("_"):
            raise ArgumentError(f"{spider} takes no argument {name!r}; it takes {', '.join(sorted(known))}")
    values = {}
    for name, argument in known.items():
        if name not in given:
            if argument.required:
                raise ArgumentError(f"{spider} needs -a {name}=…")
            values[name] = argument.default
            continue
        try:
            values[name] = argument.read(given[name])
        except ValueError as exc:
            raise ArgumentError(f"{spider}: {name}={given[name]!r} is wrong: {exc}") from None
    return values


def names(text: str) -> list[str]:
    """User names from ``a,b,c`` or ``@file`` (one a line); each once, whatever its case, in order."""
    if text.startswith("@"):
        try:
            parts = Path(text[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"the file cannot be read ({getattr(exc, 'strerror', None) or exc})") from None
    else:
        parts = text.split(",")
    found = each_once(filter(None, map(str.strip, parts)))
    if not found:
        raise ValueError("it names no user")
    for name in found:
        if any(ord(char) < 32 or "\ud800" <= char <= "\udfff" for char in name) or len(name) > 250:
            raise ValueError(f"{name[:40]!r} is no user name")
    return found


def each_once(users: Iterable[str]) -> list[str]:
    """*users* in order, each once whatever its case."""
    first: dict[str, str] = {}
    for user in users:
        first.setdefault(user_key(user), user)
    return list(first.values())


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.strip().isdecimal() or not 0 < int(text) < 2**31:
        raise ValueError("it must be a whole number from 1")
    return int(text)


def depth(text: str) -> int:
    """A whole number from 0."""
    if not text.strip().isdecimal() or int(text) >= 2**31:
        raise ValueError("it must be a whole number from 0")
    return int(text)


def days(text: str) -> float:
    """A number of days, as seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 100_000:
        raise ValueError("it must be a number of days")
    return value * 86_400


def day(text: str) -> int:
    """A day as 2026-11-21, or seconds since 1970, as the latter."""
    try:
        value = int(text) if text.strip().isdecimal() else int(datetime.fromisoformat(f"{text}T00:00:00Z").timestamp())
    except ValueError:
        value = -1
    if not 0 <= value < 2**31:
        raise ValueError("it must be a day as 2026-11-21, or seconds since 1970")
    return value


def year(text: str) -> int:
    """A year since 2002, when scrobbles begin, up to the present one."""
    value = int(text) if text.strip().isdecimal() else 0
    if not 2002 <= value <= datetime.now(UTC).year:
        raise ValueError("it must be a year from 2002 to the present one")
    return value


def switch(text: str) -> bool:
    """1 or 0."""
    if text not in {"0", "1"}:
        raise ValueError("it must be 0 or 1")
    return text == "1"


def one_of(*choices: str) -> Callable[[str], str]:
    """One of *choices*."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return text

    return read
