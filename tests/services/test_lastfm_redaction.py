"""An entry goes from an answer about friends, and all else stays byte for byte."""

from __future__ import annotations

import pytest

from lastfm_crawl.services import redacted, user_at
from lastfm_crawl.services.lastfm import without_friends


def gone(name: str) -> bool:
    return name.lower() in {"zoë", "6"}


BOB = '{"name":"Bob","url":"https:\\/\\/www.last.fm\\/user\\/Bob","playcount":"1.0e2","realname":"\\u00e9"}'
ZOE = '{"name":"Zo\\u00eb","recenttrack":{"artist":{"name":"Bob"}}}'
ATTR = '"@attr":{"user":"RJ","total":"2","totalPages":"1","page":"1","perPage":"500"}'


@pytest.mark.parametrize(
    ("rows", "left", "entries"),
    [
        (f"[{BOB},{ZOE}]", f"[{BOB}]", 1),
        (f"[{ZOE},{BOB},{ZOE}]", f"[{BOB}]", 2),
        (f"[{ZOE}]", "[]", 1),
        (ZOE, "[]", 1),
        ('[{"name":6},{"name":"\\ud800"}]', '[{"name":"\\ud800"}]', 1),
    ],
)
def test_entries_go_and_the_rest_stays(rows, left, entries):
    body = f'{{"friends":{{{ATTR},"user":{rows}}}}}'
    assert without_friends(body.encode(), gone) == (f'{{"friends":{{{ATTR},"user":{left}}}}}'.encode(), entries)
    assert without_friends(b"\xef\xbb\xbf" + body.encode(), gone)[1] == entries


@pytest.mark.parametrize(
    "body",
    [
        f'{{"friends": {{"user": [{BOB}], {ATTR}}}}}',
        '{"friends":{"user":"zoë","total":"0","#text":"\\n"}}',
        '{"error":6,"message":"no such page zoë"}',
        '{"friends":[]}',
        '{"friends":{"user":[1,null,"zoë"]}}',
        "[" * 100_000,
        "<html>",
        "",
    ],
)
def test_what_has_nothing_to_take_out_comes_back_as_it_is(body):
    assert without_friends(body.encode(), gone) == (body.encode(), 0)


def test_only_answers_about_friends_name_others():
    body = f'{{"friends":{{{ATTR},"user":[{ZOE}]}}}}'.encode()
    assert redacted("user.getFriends", body, gone)[1] == 1
    assert redacted("user.getTopArtists", body, gone) == (body, 0)


@pytest.mark.parametrize(
    ("key", "user"),
    [
        ("requests/user.getInfo/rj/all.json.gz", "rj"),
        ("archive/user.getFriends/test user/limit=500,page=1/20260101T000000Z.json.gz", "test user"),
        ("requests/spotify/top/rj/kind=artists.json.gz", "rj"),
        ("requests/spotify/artist/rj/all.json.gz", ""),
        ("requests/spotify/search/artist=rj.json.gz", ""),
        ("requests/track.getTopTags/rj/track=x.json.gz", ""),
        ("requests/musicbrainz/release/rj.json.gz", ""),
        ("state/progress.json", ""),
        ("requests", ""),
    ],
)
def test_whom_an_answer_is_about(key, user):
    assert user_at(key) == user
