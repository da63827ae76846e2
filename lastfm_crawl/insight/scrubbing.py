"""Names of people out of records: lists, arguments of runs, and texts that name them in passing. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from lastfm_crawl.httpcache.keys import segment
from lastfm_crawl.items import user_key
from lastfm_crawl.warehouse.forgotten import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAMING = ("seeds", "users")


class Scrubber:
    """Knows *names*, whatever their case, and takes them out."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._keys = {user_key(name) for name in self.names}
        #: The folders of the store that are theirs.
        self.segments = {segment(key) for key in self._keys}
        forms = {form(key) for key in self._keys for form in (str, quote, quote_plus, segment, _escaped)}
        longest_first = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        # A name within a word, or within another name, is none.
        self._named = re.compile(rf"(?<![\w-])(?:{longest_first})(?![\w-])", re.IGNORECASE)

    def is_gone(self, name: str) -> bool:
        """Whether *name* is one of them."""
        return user_key(name) in self._keys

    def users(self, names: Iterable[str]) -> list[str]:
        """*names* without them."""
        return [name for name in names if not self.is_gone(name)]

    def arguments(self, given: Mapping[str, str]) -> dict[str, str]:
        """The arguments of a run without them; where nobody is left, something stands for that."""
        return {name: self._argument(text) if name in _NAMING else text for name, text in given.items()}

    def _argument(self, text: str) -> str:
        names = [part.strip() for part in text.split(",")]
        left = self.users(names)
        return text if len(left) == len(names) else ",".join(left) or NOBODY

    def texts(self, value: Any) -> Any:
        """*value*, a text or JSON with texts, with another word for them."""
        if isinstance(value, str):
            return self._named.sub(NOBODY, value)
        if isinstance(value, dict):
            return {name: self.texts(inner) for name, inner in value.items()}
        return [self.texts(inner) for inner in value] if isinstance(value, list) else value

    def state(self, content: Any) -> Any:
        """What is in a file of ``state/``: a list of users, the record of a run, or how far one is."""
        if isinstance(content, list):
            return [name for name in content if not (isinstance(name, str) and self.is_gone(name))]
        if not isinstance(content, dict):
            return content
        content = dict(content)
        if "arguments" in content:
            content["arguments"] = self.arguments(content["arguments"])
        for name in ("faults", "stats"):
            if name in content:
                content[name] = self.texts(content[name])
        if "discovery" in content:
            discovery = content["discovery"]
            content["discovery"] = {**discovery, "seed_users": self.users(discovery["seed_users"])}
        return content


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]
