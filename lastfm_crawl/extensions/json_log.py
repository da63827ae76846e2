"""``LOG_FORMAT=json``: a log that machines read, one JSON object a line, where Scrapy would write its own lines.

A library for this would be forty times as long, and what is special here would still be ours: which fields there are,
and that Scrapy's records carry whole spiders and crawlers along, which are no text.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

#: What every line says besides: which spider, and the id of the run once it is on record.
_about: dict[str, str] = {}
_handler: logging.Handler | None = None


class JsonLines(logging.Formatter):
    """``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, and where there are any ``spider``, ``run_id``,
    ``exception`` and ``stack`` as texts. All of it is ASCII: no encoding of a terminal or file makes it invalid."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  (whatever the arguments are: a line must not be lost)
            message = f"{record.msg!r} with arguments that do not fit"
        when = datetime.fromtimestamp(record.created, UTC)
        entry = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            **_about,
        }
        if spider := getattr(record, "spider", None):
            entry["spider"] = spider.name
        # A filter that cleans records may have left the text alone.
        if text := record.exc_text or (self.formatException(record.exc_info) if record.exc_info else ""):
            entry["exception"] = text
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry)


class JsonLog:
    """Scrapy's add-on, asked before it opens its log. Ends the process with one line when LOG_* cannot be meant."""

    @classmethod
    def update_pre_crawler_settings(cls, settings: BaseSettings) -> None:
        """Open a log of ours in the place of Scrapy's if that is wanted."""
        as_json = settings["LOG_FORMAT"] == "json"
        try:
            logging.NullHandler().setLevel(settings["LOG_LEVEL"])
        except (TypeError, ValueError):
            _refuse(f"LOG_LEVEL={settings['LOG_LEVEL']!r} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL")
        try:
            logging.Formatter(None if as_json else settings["LOG_FORMAT"])
        except ValueError:
            _refuse(f"LOG_FORMAT={settings['LOG_FORMAT']!r} is neither json nor a format of Python's logging")
        if as_json:
            settings.set("LOG_INSTALL_ROOT_HANDLER", False, "cmdline")
            install(_opened(settings), settings["LOG_LEVEL"])


def _refuse(why: str) -> None:
    sys.stderr.write(f"scrapy: {why}\n")
    sys.exit(2)


def _opened(settings: BaseSettings) -> logging.Handler:
    """Where Scrapy would log to."""
    if settings["LOG_FILE"]:
        mode = "a" if settings.getbool("LOG_FILE_APPEND") else "w"
        return logging.FileHandler(settings["LOG_FILE"], mode=mode, encoding=settings["LOG_ENCODING"])
    return logging.StreamHandler() if settings.getbool("LOG_ENABLED") else logging.NullHandler()


def install(handler: logging.Handler, level: str | int) -> None:
    """Log through *handler*, and no longer through the one before."""
    global _handler  # noqa: PLW0603  (a process has one log)
    if _handler is not None:
        logging.root.removeHandler(_handler)
        _handler.close()
    _handler = handler
    handler.setFormatter(JsonLines())
    handler.setLevel(level)
    logging.root.setLevel(logging.NOTSET)
    logging.root.addHandler(handler)


def about(**fields: str) -> None:
    """Have every line from now on say *fields*, and nothing else besides."""
    _about.clear()
    _about.update(fields)


def tell(command: str, lines: list[str]) -> None:
    """Write the last words of ``scrapy {command}`` to stderr, which may be a JSON log itself."""
    on_stderr = isinstance(_handler, logging.StreamHandler) and not isinstance(_handler, logging.FileHandler)
    for line in lines:
        text = f"scrapy {command}: {line}"
        if on_stderr:
            record = logging.LogRecord(f"lastfm_crawl.commands.{command}", logging.ERROR, "", 0, "%s", (text,), None)
            text = JsonLines().format(record)
        sys.stderr.write(f"{text}\n")
