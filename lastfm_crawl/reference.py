"""What our settings are called and mean, read from settings.py itself: written there, and nowhere a second time."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from importlib.resources import files
from typing import NamedTuple

#: The sections of settings.py that are for users to change; the others hold the house together.
SECTIONS = ("ours", "pace")
_UNITS = ("seconds", "megabytes", "rows", "connections")
_SECTION = re.compile(r"# --- (.+?) -+")


class Setting(NamedTuple):
    """A setting: its name, its default as one would write it ("" where there is none), its comment, its section.

    ``from_environment``: the environment variable of the same name, or ``.env``, may say otherwise; every setting
    yields to ``-s``.
    """

    name: str
    default: str
    comment: str
    section: str
    from_environment: bool

    @property
    def unit(self) -> str:
        """The unit of a number: the word that its comment begins with; "" where there is none."""
        first = re.split(r"\W", self.comment, maxsplit=1)[0].lower()
        return first if first in _UNITS else ""


def settings() -> list[Setting]:
    """The settings of :data:`SECTIONS`, in the order in which they stand in settings.py.

    A comment above several of them is that of each.
    """
    return read(files("lastfm_crawl").joinpath("settings.py").read_text(encoding="utf-8"))


def read(source: str) -> list[Setting]:
    """The same of a settings file that reads *source*."""
    above, behind = _comments(source)
    sections = {line: match[1] for line, text in above.items() if (match := _SECTION.match(text))}
    found: list[Setting] = []
    block = section = ""
    for node in ast.parse(source).body:
        before, section = section, next((name for line, name in reversed(sections.items()) if line < node.lineno), "")
        if node.lineno - 1 in above:
            block = _block(above, node.lineno - 1)
        elif section != before:
            block = ""
        if section in SECTIONS and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            comment = behind.get(node.end_lineno or node.lineno) or block
            value = node.value
            found.append(Setting(node.targets[0].id, _default(value), comment, section, isinstance(value, ast.Call)))
    return found


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Comments that have their line for themselves, and those behind a statement, by line."""
    above: dict[int, str] = {}
    behind: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.start[1]:
            behind[token.start[0]] = token.string.lstrip("#: ")
        elif token.type == tokenize.COMMENT:
            above[token.start[0]] = token.string
    return above, behind


def _block(above: dict[int, str], last: int) -> str:
    """The lines of comment that end in line *last*, as one."""
    first = last
    while first - 1 in above:
        first -= 1
    return " ".join(above[line].lstrip("#: ") for line in range(first, last + 1))


def _default(value: ast.expr) -> str:
    """What a value, or ``os.environ.get(name, value)``, says."""
    if isinstance(value, ast.Call):
        return _default(value.args[1]) if len(value.args) > 1 else ""
    if isinstance(value, ast.Constant):
        return "" if value.value is None else str(value.value)
    return ast.unparse(value)
