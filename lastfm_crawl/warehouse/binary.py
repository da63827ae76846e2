"""PostgreSQL's binary COPY format, for columns of whole numbers: no text is made of them, and none parsed.

https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_INT4 = 23  # the type's oid
_FIELDS = struct.Struct("!h")
_INT4_FIELD = struct.Struct("!ii")
_INT8_FIELD = struct.Struct("!iq")
_EPOCH = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01
_ARRAY_FIELD = struct.Struct("!iiiiii")


def copy_data(rows: Iterable[bytes]) -> bytes:
    """The whole of a ``COPY … FROM STDIN (FORMAT binary)`` for *rows*."""
    return b"".join((_HEADER, *rows, _TRAILER))


def copy_into(cursor: psycopg.Cursor[Any], table: str, rows: Iterable[bytes]) -> None:
    """COPY *rows* into *table*. A page is one row of arrays: a third of the time of COPY row by row."""
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        copy.write(copy_data(rows))


def row(*fields: bytes) -> bytes:
    """One row of encoded *fields*."""
    return _FIELDS.pack(len(fields)) + b"".join(fields)


def int4(number: int) -> bytes:
    """An ``integer``. Raises struct.error for a number that is none."""
    return _INT4_FIELD.pack(4, number)


def timestamp(seconds: float) -> bytes:
    """A ``timestamptz`` of *seconds* since 1970, to the microsecond."""
    return _INT8_FIELD.pack(8, round(seconds * 1e6) - _EPOCH)


def int4_array(numbers: Sequence[int]) -> bytes:
    """An ``integer[]`` of one dimension. Raises OverflowError for a number that is no ``integer``."""
    values = array("i", numbers)
    elements = array("i", [4]) * (2 * len(values))  # each is its length, which is 4, and its value
    elements[1::2] = values
    if sys.byteorder == "little":
        elements.byteswap()
    content = elements.tobytes()
    return _ARRAY_FIELD.pack(20 + len(content), 1, 0, _INT4, len(values), 1) + content
