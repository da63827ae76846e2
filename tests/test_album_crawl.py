"""Top albums from the sandbox to the view: asked once, loaded, replayed, forgotten."""

from __future__ import annotations

from dataclasses import replace

from lastfm_crawl.sandbox import Faults, demo_world, serve

ALBUMS = "SELECT * FROM lastfm_user_albums ORDER BY username, rank"


def test_a_crawl_of_top_albums(project, empty_database_url):
    with serve(demo_world(20), Faults()) as sandbox:
        project.url = sandbox.url
        done = project.crawl("top_albums", users="RJ", limit=50)
        assert done.returncode == 0, done.stderr
        assert len(sandbox.calls("user.getTopAlbums")) == 1
        albums = project.query(ALBUMS)
        assert [row[5] for row in albums] == list(range(1, len(albums) + 1))
        assert 0 < len(albums) <= 50
        assert project.query("SELECT method, page, status, stored FROM fetches") == [
            ("user.getTopAlbums", 1, "ok", len(albums))
        ]

        before = len(sandbox.log)
        assert project.crawl("top_albums", users="RJ", limit=50).returncode == 0
        assert len(sandbox.log) == before  # what is there is not asked for again

    again = replace(project, database_url=empty_database_url)
    done = again.run("replay", "top_albums")
    assert done.returncode == 0, done.stderr
    assert again.query(ALBUMS) == albums

    done = project.run("forget", "RJ")
    assert done.returncode == 0, done.stderr
    assert project.query(ALBUMS) == project.query("SELECT name FROM albums") == []
    assert not list(project.data.rglob("*user.getTopAlbums/rj/*"))
