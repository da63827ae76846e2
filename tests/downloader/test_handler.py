"""The signing handler: what leaves it holds no credential, whatever went wrong below."""

from __future__ import annotations

import traceback
from urllib.parse import quote_plus

import pytest
from doubles import crawler_with
from scrapy import Request
from scrapy.exceptions import DownloadFailedError, DownloadTimeoutError
from scrapy.http import TextResponse

from lastfm_crawl.config import SECRETS
from lastfm_crawl.downloader import redact
from lastfm_crawl.downloader.handler import SigningHandler
from lastfm_crawl.logins import Logins
from lastfm_crawl.services import lastfm

API = "https://ws.audioscrobbler.com/2.0/"
VALUES = {
    name: f"http://me:canary0{name}@127.0.0.1:9" if name.endswith("URL") else f"canary0{name}+/é" for name in SECRETS
}
SESSION = "canary0session"


class AwkwardError(Exception):
    """One that takes more than a text, and shows its request."""

    def __init__(self, request, number):
        super().__init__(f"{number}: {request.url} {request.headers}")
        self.request = request


class Inner:
    """In the place of Scrapy's handler: does what the test says."""

    def __init__(self, act):
        self.act = act
        self.sent = []

    async def download_request(self, request):
        self.sent.append(request)
        return self.act(request)


@pytest.fixture
async def handler(monkeypatch, tmp_path):
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(redact, "_hidden", {})
    crawler = crawler_with(LASTFM_API_URL=API, SPOTIFY_API_URL=API, MUSICBRAINZ_API_URL=API, AOTY_URL=API,
                           DATA_DIR=str(tmp_path), DOWNLOAD_DELAY=0)  # fmt: skip
    Logins(crawler.settings, "lastfm").keep("rj", SESSION)
    return SigningHandler(crawler)


def everything(exc: BaseException | None) -> str:
    """All that a log or a record could make of an exception: texts, arguments, attributes, what led to it."""
    shown = ""
    while exc is not None:
        shown += repr(exc) + str(exc) + repr(exc.args) + repr(vars(exc)) + "".join(traceback.format_exception(exc))
        exc = exc.__cause__ or exc.__context__
    return shown


def plain_failure(request):
    raise DownloadTimeoutError(f"Getting {request.url} took longer than 60.0 seconds; {' '.join(VALUES.values())}")


def awkward_failure(request):
    raise AwkwardError(request, 5)


def failure_of_a_failure(request):
    try:
        plain_failure(request)
    except DownloadTimeoutError as exc:
        raise ConnectionError(request.url) from exc


@pytest.mark.parametrize("act", [plain_failure, awkward_failure, failure_of_a_failure])
@pytest.mark.parametrize("user", ["rj", "ann"])
async def test_no_exception_holds_a_secret(handler, act, user):
    handler._inner = inner = Inner(act)
    call = lastfm.get_recent_tracks(user, from_=0, to=9)
    with pytest.raises((DownloadFailedError, DownloadTimeoutError, ConnectionError)) as caught:
        await handler.download_request(Request(call.url(API), meta={"call": call}))
    assert (SESSION in inner.sent[0].url) == (user == "rj")
    assert caught.value.__cause__ is caught.value.__context__ is None
    shown = everything(caught.value)
    assert user in shown
    for value in (*VALUES.values(), SESSION):
        assert value not in shown
        assert quote_plus(value) not in shown


async def test_an_answer_is_that_to_the_question_without_credentials(handler):
    handler._inner = inner = Inner(lambda sent: TextResponse(sent.url, body=b"{}", request=sent))
    call = lastfm.get_info("rj")
    request = Request(call.url(API), meta={"call": call})
    response = await handler.download_request(request)
    assert SESSION in inner.sent[0].url
    assert response.url == request.url
    assert response.request is None
    assert SESSION not in repr(request.meta) + request.url
