"""From JSON to structs whose fields may each be null or missing, for services whose answers we must bear with.

An answer of the usual shape is decoded straight into its struct; one in which something is of a wrong type is taken
apart field by field (:func:`_mended`), and what does not fit is as if it were missing: slow, but rare.
"""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from lastfm_crawl.items import name_fault

#: A count that a database column takes.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
AnyAnswer = TypeVar("AnyAnswer", bound=msgspec.Struct)
_BOM = b"\xef\xbb\xbf"


def parse(body: bytes, kind: type[AnyAnswer]) -> AnyAnswer:
    """*body* as a *kind*. Raises ValueError or RecursionError for what is no JSON object, and nothing else."""
    body = body.removeprefix(_BOM)
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.DecodeError:
        # Not as it should be: a wrong type, or half a surrogate pair. Rare, so this way may be slow.
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError(f"a JSON {type(value).__name__}, not an object") from None  # noqa: TRY004
        mended: AnyAnswer = _mended(value, kind)
        return mended


def _mended(value: Any, kind: Any) -> Any:
    """*value* as a *kind* (a struct, a list, a plain type, or one of these or None); None where it cannot be one."""
    kinds = [k for k in get_args(kind) if k is not NoneType]
    if get_origin(kind) is list:
        return [_mended(element, kinds[0]) for element in value] if isinstance(value, list) else None
    if get_origin(kind) is not Annotated and kinds:
        return _mended(value, kinds[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return kind(**{f.name: _mended(value.get(f.encode_name), f.type) for f in msgspec.structs.fields(kind)})
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).encode("utf-8", "replace").decode()
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None


def held(text: str | None) -> str:
    """*text*, or "" for what no database holds: it is worth less than its row."""
    return "" if text is None or name_fault(text) else text
