"""One JSON object to a URL. The URL is a secret of its own kind: whoever has it can post."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)
_TIMEOUT = 10  # seconds


async def post(url: str, content: Mapping[str, Any]) -> None:
    """POST *content* to *url*, off the event loop. A webhook that fails is logged, without its URL; never raises."""
    try:
        await asyncio.to_thread(_post, url, json.dumps(content).encode())
    except (OSError, ValueError, HTTPException) as exc:
        logger.warning("a webhook could not be told: %s", type(exc).__name__)


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310  (the owner's own setting)
        pass
