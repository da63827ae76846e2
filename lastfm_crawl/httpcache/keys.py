"""Keys of the store: readable paths that no user name can break out of."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from lastfm_crawl.httpcache.storage import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUFFIX = ".json.gz"
#: Bytes a path segment may have before it is cut; file systems allow 255, and the suffix needs room.
MAX_SEGMENT = 120
_HASH_CHARS = 16
# Names that Windows keeps for devices, with or without an extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

# What has a meaning to some system, what Google refuses in names, and halves of characters.
_NO_KEY = re.compile(r"[\\\0\r\n\ud800-\udfff]")


def segment(text: str) -> str:
    """One path segment for *text*: percent-encoded, at most :data:`MAX_SEGMENT` bytes, never empty, ``.`` or ``..``.

    Two different texts never give the same segment: what is cut or changed ends in a hash of the whole text.
    """
    encoded = quote(text, safe="=, +!@()[]{}'&;", errors="surrogatepass").replace("~", "%7E")
    # A trailing dot or blank is dropped by Windows, a leading dot hides the file and is how we name temporary ones.
    unsafe = not encoded or encoded[0] in ". " or encoded[-1] in ". " or _RESERVED.fullmatch(encoded)
    if not unsafe and len(encoded) <= MAX_SEGMENT:
        return encoded
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    readable = encoded.strip(". ")[: MAX_SEGMENT - _HASH_CHARS - 1]
    # Never end in the middle of a %XX escape.
    readable = re.sub(r"%.?$", "", readable)
    return f"{readable}~{digest}"


def request_key(parts: Iterable[str], params: Mapping[str, str]) -> str:
    """The key of an answer: ``requests/{part}/…/{k=v,k=v}.json.gz`` with the parameters sorted by name."""
    folders = "/".join(segment(part) for part in parts)
    joined = ",".join(f"{param_text(k)}={param_text(v)}" for k, v in sorted(params.items()))
    return f"requests/{folders}/{segment(joined or 'all')}{SUFFIX}"


def param_text(text: str) -> str:
    """*text* as it stands in ``k=v,k=v``: without the commas and equals signs that would make it ambiguous."""
    return text.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")


def check_key(key: str) -> None:
    """Raise :class:`StoreError` when *key* could lead out of a store, or could not be a name in every store."""
    if key.startswith("/") or _NO_KEY.search(key) or ".." in key.split("/"):
        raise StoreError(f"{key!r} is not a key of the store")


def archive_key(key: str, stamp: str) -> str:
    """Where the answer at *key* (``requests/…``) moves when a newer one replaces it; *stamp* is a UTC time."""
    path = key.removeprefix("requests/").removesuffix(SUFFIX)
    return f"archive/{path}/{stamp.replace(':', '')}{SUFFIX}"
