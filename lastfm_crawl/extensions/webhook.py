"""JSON objects to an owner's URL. The URL is a secret of its own kind, whoever has it can post: no error names it."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)
_TIMEOUT = 10  # seconds


class WebhookError(Exception):
    """What kind of failure it was, and nothing of the URL."""


def post(url: str, content: Mapping[str, Any]) -> None:
    """POST *content*, and wait for the answer. Raises :class:`WebhookError`."""
    body = json.dumps(content).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310  (the owner's own setting)
            pass
    except (OSError, ValueError, HTTPException) as exc:
        raise WebhookError(type(exc).__name__) from None


class Postbox:
    """Posts one object after another from a thread of its own; of what waits for a slow receiver the newest counts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: dict[int, Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self._closing = self._failed = False
        # A daemon: the process does not wait for a receiver that never answers.
        self._thread = threading.Thread(target=self._post_all, name="webhook", daemon=True)
        self._thread.start()

    def put(self, number: int, content: Mapping[str, Any]) -> None:
        """Post *content*, in place of what waits under the same *number*; returns at once."""
        with self._changed:
            self._waiting[number] = content
            self._changed.notify()

    def close(self, patience: float) -> None:
        """Wait until everything is posted, at most *patience* seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._warn("it takes too long")

    def _post_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                content = self._waiting.pop(next(iter(self._waiting)))
            try:
                post(self._url, content)
            except WebhookError as exc:
                self._warn(str(exc))

    def _warn(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            logger.warning("the webhook for jobs does not take what it is told: %s", why)
