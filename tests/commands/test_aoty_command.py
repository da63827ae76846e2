"""scrapy aoty import: saved pages and tables of albumoftheyear.org."""

from __future__ import annotations

import pytest
from conftest import SHARED
from test_crawl import succeed

TABLE = """title,artist,release_date,genres,user_score,rating_count,album_link
Arrival,ABBA,"October 11, 1976",Pop,81,"1,204 ratings",https://www.albumoftheyear.org/album/11-abba-arrival.php
Ring Ring,ABBA,1973,Pop,NR,,https://www.albumoftheyear.org/album/12-abba-ring-ring.php
Too Much,ABBA,1974,Pop,140,3 ratings,https://www.albumoftheyear.org/album/13-abba-too-much.php
"""
PAGE = """<!DOCTYPE html><html><head>
<link rel="canonical" href="https://www.albumoftheyear.org/album/11-abba-arrival.php">
<script type="application/ld+json">{"@type":"MusicAlbum",
"@id":"https://www.albumoftheyear.org/album/11-abba-arrival.php","name":"Arrival",
"byArtist":{"@type":"MusicGroup","name":"ABBA"},
"datePublished":"1976-10-11","genre":["Pop"],
"aggregateRating":{"@type":"AggregateRating","name":"Critic Score","ratingValue":"77","ratingCount":4}}</script></head>
<body><div class="albumHeadline"></div><div class="albumUserScore"><a title="82.4">82</a></div>
<table class="trackListTable"><tr><td class="trackNumber">1</td>
<td class="trackTitle"><a href="/song/1-x/">Tiger</a></td></tr></table></body></html>"""
ROWS = "SELECT id, title, user_score, critic_score, source FROM aoty_albums ORDER BY id"


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "albums.csv"
    file.write_text(TABLE, encoding="utf-8")
    return file


def test_a_table_and_a_page_that_knows_more(project, table, tmp_path):
    result = succeed(project.run("aoty", "import", str(table)))
    assert "3 albums imported" in result.stdout
    assert project.query(ROWS) == [
        (11, "Arrival", 81, None, "csv"), (12, "Ring Ring", None, None, "csv"), (13, "Too Much", None, None, "csv"),
    ]  # fmt: skip
    pages = tmp_path / "pages" / "deep"
    pages.mkdir(parents=True)
    (pages / "arrival.html").write_text(PAGE, encoding="utf-8")
    succeed(project.run("aoty", "import", str(tmp_path / "pages")))
    succeed(project.run("aoty", "import", str(table)))  # says less: the page stays
    assert project.query(ROWS)[0] == (11, "Arrival", 82, 77, "page")
    assert project.query("SELECT album_id, place, title FROM aoty_tracks") == [(11, 1, "Tiger")]


def test_what_holds_no_album_is_named_and_the_rest_is_kept(project, table, tmp_path):
    table.write_text(TABLE + "Nowhere,Nobody,,,,,not an address\n", encoding="utf-8")
    result = project.run("aoty", "import", str(table))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "scrapy aoty: 1 skipped that hold no album: line 5"
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "moment.html").write_text("<html><title>Just a moment...</title></html>", encoding="utf-8")
    result = project.run("aoty", "import", str(folder))
    assert result.returncode == 1
    assert "moment.html" in result.stderr.splitlines()[-1]
    assert len(project.query(ROWS)) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "gone.csv cannot be read: No such file"),
        ("other.csv", "a,b\n1,2\n", "has no column album_link, artist, title"),
        ("empty", None, "cannot be read"),
    ],
)
def test_wrong_use_is_one_line(project, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    result = project.run("aoty", "import", str(tmp_path / name))
    assert result.returncode == 2
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not (SHARED / "aoty").is_dir(), reason="the recorded tables are not there")
def test_a_real_table_and_real_pages(project):
    assert "5,000 albums" in succeed(project.run("aoty", "import", str(SHARED / "aoty" / "top-5000-albums.csv"))).stdout
    result = succeed(project.run("aoty", "import", str(SHARED / "aoty" / "pages")))
    assert "Traceback" not in result.stderr
    ((album, user, critic),) = project.query(
        "SELECT title, user_score, critic_score FROM aoty_albums WHERE source = 'page'"
    )
    assert (album, user, critic) == ("Don't Be Dumb", 75, 70)
