"""The second net for secrets: whatever still carries one is cleaned before it is logged, raised or stored."""

from __future__ import annotations

import json
import logging
from functools import cache
from urllib.parse import quote_plus

from lastfm_crawl.config import SECRETS, secret

MASK = "***"
#: Secrets that were not in the environment, such as session keys.
_hidden: dict[str, None] = {}


def hide(text: str) -> None:
    """From now on *text* is a secret like those of the environment."""
    _hidden[text] = None


def _forms() -> tuple[str, ...]:
    """Each secret as it is, and as it looks in a URL and in JSON."""
    return _spelt((*(value for name in SECRETS if (value := secret(name))), *_hidden))


@cache
def _spelt(values: tuple[str, ...]) -> tuple[str, ...]:
    in_json = (json.dumps(value, ensure_ascii=ascii_only)[1:-1] for value in values for ascii_only in (True, False))
    return tuple(dict.fromkeys([*values, *map(quote_plus, values), *in_json]))


def redact(text: str) -> str:
    """*text* without any secret."""
    for form in _forms():
        text = text.replace(form, MASK)
    return text


def redact_bytes(body: bytes) -> bytes:
    """*body* without any secret: a service may repeat a key in its answer."""
    for form in _forms():
        if (encoded := form.encode()) in body:
            body = body.replace(encoded, MASK.encode())
    return body


class RedactingFilter(logging.Filter):
    """Cleans log records: message, arguments and traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, cleaned."""
        forms = _forms()
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  (the handler reports it as logging does, with the arguments as they are)
            record.msg, record.args = f"{record.msg!r} with arguments that do not fit", None
            message = record.msg
        # The arguments, too: a LOG_FORMAT may show them, and the message need not show all of them.
        shown = f"{message}{record.args or ''}"
        if any(form in shown for form in forms):
            record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text and any(form in record.exc_text for form in forms):
            record.exc_text, record.exc_info = redact(record.exc_text), None
        return True


def clean_logs() -> None:
    """Put a :class:`RedactingFilter` on every handler of the root logger that has none."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(f, RedactingFilter) for f in handler.filters):
            handler.addFilter(RedactingFilter())
