"""As much of Scrapyd's JSON API as ``scrapy schedule`` needs."""

from __future__ import annotations

import base64
import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lastfm_crawl import config
from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

#: The name under which scrapyd-deploy puts us there (scrapy.cfg).
PROJECT = "lastfm_crawl"
#: Seconds. The first job after a start waits for Scrapyd to ask the egg which spiders it has.
TIMEOUT = 60


class ScrapydError(CommandError):
    """Scrapyd is not there, or will not."""


class Job(NamedTuple):
    """A job in one of its states: pending, running or finished. Times are Scrapyd's, of its place, "" if yet to come.

    A job that was scheduled again under its id is there once for each time.
    """

    state: str
    id: str
    spider: str
    started: str
    ended: str
    log: str | None


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the password to another place."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Scrapyd:
    """The Scrapyd at *url*, which ends in a slash. All methods raise :class:`ScrapydError`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = build_opener(_NoRedirect).open
        self._headers = {}
        if name := config.secret("SCRAPYD_USERNAME"):
            login = f"{name}:{config.secret('SCRAPYD_PASSWORD') or ''}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"

    def schedule(
        self, spider: str, arguments: Mapping[str, str], settings: Mapping[str, str], job: str | None = None
    ) -> str:
        """Put a job into the queue, as *job* or under an id of Scrapyd's making; its id."""
        fields = [("project", PROJECT), ("spider", spider), *arguments.items()]
        fields += [("setting", f"{name}={value}") for name, value in settings.items()]
        if job is not None:
            fields.append(("jobid", job))
        return str(self._ask("schedule.json", fields, {"jobid"})["jobid"])

    def jobs(self) -> list[Job]:
        """What waits, what runs, and what has ended as far as Scrapyd remembers."""
        states = ("pending", "running", "finished")
        found = self._ask(f"listjobs.json?{urlencode({'project': PROJECT})}", expected={*states})
        return [
            Job(
                state,
                job["id"],
                job["spider"],
                (job.get("start_time") or "")[:19],
                (job.get("end_time") or "")[:19],
                job.get("log_url"),
            )
            for state in states
            for job in found[state]
        ]

    def cancel(self, job: str) -> None:
        """Take *job* out of the queue, or send it the one SIGINT that it ends in order on."""
        self._ask("cancel.json", [("project", PROJECT), ("job", job)])

    def told_to_stop(self, job: Job) -> bool:
        """Whether the running *job* has had its signal, whoever sent it: Scrapyd does not know, the job's log does.

        A log goes on where the last job of that id left it, so only lines since this one's start count.
        """
        try:
            return any(
                "[scrapy.crawler] INFO: Received SIG" in line and line[:19] >= job.started for line in self.log(job)
            )
        except ScrapydError as exc:
            if exc.code is not Exit.WRONG_USE:  # then there is no log yet
                raise
            return False

    def log(self, job: Job) -> Iterator[str]:
        """The lines of the job's log."""
        if not job.log:
            raise ScrapydError(Exit.WRONG_USE, f"job {job.id} has no log yet")
        # It is told from Scrapyd's own root, which may be a folder of a proxy's.
        with self._request(job.log.lstrip("/")) as response:
            try:
                for line in response:
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
            except (OSError, HTTPException) as exc:
                raise self._away(exc) from exc

    def _ask(
        self, path: str, fields: list[tuple[str, str]] | None = None, expected: AbstractSet[str] = frozenset()
    ) -> dict[str, Any]:
        """The answer to a GET, or with *fields* a POST, if it holds what is *expected*."""
        with self._request(path, urlencode(fields).encode() if fields else None) as response:
            try:
                answer = json.load(response)
            except ValueError:
                answer = None
            except (OSError, HTTPException) as exc:
                raise self._away(exc) from exc
        if isinstance(answer, dict) and answer.get("status") == "error":
            raise _refusal(str(answer.get("message", "")))
        if not isinstance(answer, dict) or not answer.keys() >= expected:
            raise ScrapydError(Exit.CRITICAL, f"{self._url} (SCRAPYD_URL) does not answer as Scrapyd does")
        return answer

    def _request(self, path: str, data: bytes | None = None) -> Any:
        request = Request(urljoin(self._url, path), data, self._headers)  # noqa: S310  (config.check)
        try:
            return self._open(request, timeout=TIMEOUT)
        except HTTPError as exc:
            exc.close()
            if exc.code == 401:
                line = f"{self._url} wants a login: see to SCRAPYD_USERNAME and SCRAPYD_PASSWORD"
                raise ScrapydError(Exit.CRITICAL, line) from None
            code = Exit.WRONG_USE if exc.code == 404 else Exit.CRITICAL
            raise ScrapydError(code, f"{self._url} (SCRAPYD_URL) answers {exc.code} {exc.reason} for {path}") from None
        except (OSError, HTTPException) as exc:
            raise self._away(exc) from exc

    def _away(self, exc: Exception) -> ScrapydError:
        why = exc.reason if isinstance(exc, URLError) else exc
        return ScrapydError(Exit.CRITICAL, f"Scrapyd cannot be reached at {self._url} (SCRAPYD_URL): {why}")


def _refusal(message: str) -> ScrapydError:
    """What an answer with the status "error" means."""
    line = (message.strip().splitlines() or ["it does not say why"])[-1]
    if line.startswith(("project '", "spider '")) and line.endswith("' not found"):
        return ScrapydError(Exit.WRONG_USE, f"Scrapyd: {line}; `scrapyd-deploy` sends it there")
    return ScrapydError(Exit.CRITICAL, f"Scrapyd refuses: {line}")
