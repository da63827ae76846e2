"""A method that is added is whole: asked, read, empty past its end, and known to say whose it is."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from msgspec.structs import fields

from lastfm_crawl.items import Page
from lastfm_crawl.services import lastfm
from lastfm_crawl.services.lastfm.calls import PAGE_METHOD
from lastfm_crawl.services.lastfm.reading import _READERS
from lastfm_crawl.services.lastfm.shapes import Answer, Listing

NO_SUCH_PAGE = b'{"error": 6, "message": "no such page"}'
LISTS = {
    field.name: kind
    for field in fields(Answer)
    for kind in get_args(field.type)
    if inspect.isclass(kind) and issubclass(kind, Listing)
}


def questions() -> dict[str, lastfm.Call]:
    """What the package asks about a user, by method."""
    asked = {}
    for name in lastfm.__all__:
        function = getattr(lastfm, name)
        if name.startswith("get_") and "user" in (parameters := inspect.signature(function).parameters):
            needed = {p.name: 1 for p in parameters.values() if p.default is p.empty and p.name != "user"}
            call = function("rj", **needed)
            asked[call.method] = call
    del asked[PAGE_METHOD]  # the site's, which has no lists
    return asked


ASKED = questions()


def test_every_method_has_a_question_and_a_reader():
    assert ASKED.keys() == lastfm.METHODS - {PAGE_METHOD}
    assert _READERS.keys() == ASKED.keys() | {lastfm.TagsCall.method}


@pytest.mark.parametrize("call", ASKED.values(), ids=str)
def test_parameters_are_sorted_and_questions_are_known_again(call):
    assert list(call.params) == sorted(call.params)
    assert lastfm.call_of(call.method, call.all_params) == call


@pytest.mark.parametrize("call", [call for call in ASKED.values() if "page" in dict(call.params)], ids=str)
def test_past_the_end_is_an_empty_page(call):
    page = lastfm.read(call, 400, NO_SUCH_PAGE)
    assert isinstance(page, Page)
    assert (page.received, page.pages) == (0, 0)


@pytest.mark.parametrize("name", LISTS)
def test_every_list_can_say_whose_it_is(name):
    assert Answer(**{name: LISTS[name]()}).listing is not None
