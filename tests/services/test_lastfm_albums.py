"""user.getTopAlbums: what is asked, and every shape in which the answer comes."""

from __future__ import annotations

import json

import pytest

from lastfm_crawl.items import TopAlbumsPage
from lastfm_crawl.services.lastfm import METHODS, Call, get_top_albums, read, time_to_live
from lastfm_crawl.services.problems import Action, Problem

CALL = get_top_albums("RJ", 2, limit=50)
PAGING = {"user": "RJ", "page": "2", "perPage": "50", "total": "52", "totalPages": "2"}


def album(name: str = "Vespertine", rank: str = "51", **fields: object) -> dict[str, object]:
    """A row as Last.fm writes it."""
    return {
        "@attr": {"rank": rank},
        "name": name,
        "mbid": "0f3a0fe9-4ac6-35cc-b4b2-b8f7dd1a3a5c",
        "playcount": "12",
        "url": f"https://www.last.fm/music/Bj%C3%B6rk/{name}",
        "artist": {"name": "Björk", "mbid": "87c5dedd-371d-4a53-9f7f-80522fb7f3cb", "url": ""},
        "image": [{"size": "small", "#text": ""}],
        **fields,
    }


def page(rows: object, call: Call = CALL, **attr: object) -> TopAlbumsPage:
    """What the answer with these *rows* is read as."""
    answer = {"topalbums": {"album": rows, "@attr": {**PAGING, **attr}}}
    found = read(call, 200, json.dumps(answer).encode())
    assert isinstance(found, TopAlbumsPage), found
    return found


def test_the_question():
    assert CALL.method in METHODS
    assert CALL.store_key == "requests/user.getTopAlbums/rj/limit=50,page=2,period=overall.json.gz"
    assert Call.of(CALL.method, CALL.all_params) == CALL
    assert get_top_albums("RJ").list_params == "limit=1000,period=overall"


def test_a_page():
    found = page([album(), album("Debut", "52", mbid="", playcount="3")])
    assert (found.user, found.page, found.pages, found.total, found.received) == ("RJ", 2, 2, 52, 2)
    assert (found.period, found.params) == ("overall", "limit=50,period=overall")
    assert (found.ranks, found.playcounts) == ([51, 52], [12, 3])
    assert found.album_names() == [
        ("Björk", "Vespertine", "0f3a0fe9-4ac6-35cc-b4b2-b8f7dd1a3a5c"),
        ("Björk", "Debut", ""),
    ]
    assert time_to_live(CALL, found) is None


def test_a_list_of_one_may_come_as_its_only_element():
    assert page(album()).albums == ["Vespertine"]


@pytest.mark.parametrize("rows", [[], "", "\n", None])
def test_an_empty_list(rows):
    found = page(rows, total="0", totalPages="0")
    assert (found.albums, found.received, found.pages) == ([], 0, 0)


@pytest.mark.parametrize("field", ["@attr", "name", "mbid", "playcount", "url", "artist", "image"])
def test_a_missing_field_costs_nothing_else(field):
    row = album()
    del row[field]
    found = page([row])
    assert found.received == 1
    assert found.ranks[0] == 51  # without ranks the place in the list, which on this page is the same
    assert (found.artists, found.albums, found.playcounts) == (
        ["" if field == "artist" else "Björk"],
        ["" if field == "name" else "Vespertine"],
        [0 if field == "playcount" else 12],
    )


def test_an_artist_may_be_a_name_alone():
    assert page([album(artist="Björk")]).artists == ["Björk"]


def test_past_the_end_is_an_empty_page():
    found = read(CALL, 400, b'{"error": 6, "message": "no such page"}')
    assert isinstance(found, TopAlbumsPage)
    assert (found.page, found.pages, found.albums) == (2, 1, [])


def test_the_albums_of_somebody_else_are_not_taken():
    answer = {"topalbums": {"album": [album()], "@attr": {**PAGING, "user": "somebody"}}}
    found = read(CALL, 200, json.dumps(answer).encode())
    assert isinstance(found, Problem)
    assert found.kind == "wrong_user"


def test_no_such_user_is_believed_when_it_is_said_twice():
    found = read(CALL, 404, b'{"error": 6, "message": "User not found"}')
    assert isinstance(found, Problem)
    assert (found.rule.action, found.rule.status) == (Action.CONFIRM, "not_found")
