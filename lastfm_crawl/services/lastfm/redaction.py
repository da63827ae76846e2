"""People out of answers that are about others: an answer about friends says of each of them what a profile says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class _Named(msgspec.Struct):
    name: str | None = None


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_name = msgspec.json.Decoder(_Named).decode
_BOM = b"\xef\xbb\xbf"


def without_friends(body: bytes, is_gone: Callable[[str], bool]) -> tuple[bytes, int]:
    """*body*, an answer of user.getFriends, without the entries of those whose name *is_gone*; how many these were.

    The other entries stay byte for byte, and so do all figures: they are what Last.fm counted. What is no such answer
    comes back as it is.
    """
    for take_out in (_cut, _rewritten):
        try:
            return take_out(body, is_gone)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            continue  # half a surrogate pair, which the fast way does not take; or an error, or nothing that we know
    return body, 0


def _cut(body: bytes, is_gone: Callable[[str], bool]) -> tuple[bytes, int]:
    answer = _decode_object(body.removeprefix(_BOM))
    friends = _decode_object(answer["friends"])
    listed = bytes(friends["user"])
    rows = _decode_rows(listed if listed[:1] == b"[" else b"[%b]" % listed)
    kept = [row for row in rows if not is_gone(_name(row))]
    if len(kept) == len(rows):
        return body, 0
    friends["user"] = msgspec.Raw(b"[%b]" % b",".join(map(bytes, kept)))
    answer["friends"] = msgspec.Raw(msgspec.json.encode(friends))
    return msgspec.json.encode(answer), len(rows) - len(kept)


def _name(row: msgspec.Raw) -> str:
    try:
        return _decode_name(row).name or ""
    except ValueError:
        return _name_of(json.loads(bytes(row)))


def _rewritten(body: bytes, is_gone: Callable[[str], bool]) -> tuple[bytes, int]:
    answer = json.loads(body.removeprefix(_BOM))
    listed = answer["friends"]["user"]
    rows = listed if isinstance(listed, list) else [listed]
    kept = [row for row in rows if not is_gone(_name_of(row))]
    if len(kept) == len(rows):
        return body, 0
    answer["friends"]["user"] = kept
    return json.dumps(answer, separators=(",", ":")).encode(), len(rows) - len(kept)


def _name_of(row: object) -> str:
    return str(row.get("name") or "") if isinstance(row, dict) else ""
