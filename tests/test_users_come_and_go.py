"""Users who go, come back, or never were: what a crawl asks of them, what it keeps, and that a replay knows it all."""

from __future__ import annotations

import pytest
from test_crawl import succeed
from test_replay import assert_rebuilt

from lastfm_crawl.sandbox import Faults, World, serve

HISTORY = "SELECT status FROM lastfm_user_statuses WHERE lower(username) = %s ORDER BY since"
CHECKS = "SELECT u.name, f.total FROM fetches f JOIN users u ON u.id = f.user_id WHERE method = 'user.page' ORDER BY 1"
NO_ROBOTS = "User-agent: *\nDisallow: /user/\n"


def world():
    return World.of(
        {"RJ": ["ann", "bob"], "ann": ["RJ"], "bob": ["RJ"], "cy": []},
        {name: [(f"Artist of {name}", 7)] for name in ("RJ", "ann", "bob", "cy")},
    )


@pytest.fixture
def sandbox(project):
    with serve(world(), Faults()) as sandbox:
        project.url = sandbox.url
        project.environment = {"LASTFM_URL": sandbox.site_url}
        yield sandbox


def statuses(project, user):
    return [status for (status,) in project.query(HISTORY, user)]


def heads(sandbox):
    return [call.user for call in sandbox.calls("user.page")]


def robots(sandbox):
    return sandbox.calls("aoty.robots")


# --- gone and back ------------------------------------------------------------------------------------------------


def test_a_user_who_goes_and_comes_back(project, sandbox):
    succeed(project.crawl("friends", seeds="RJ"))
    succeed(project.crawl("top_artists"))
    sandbox.turn("deleted", "ann")
    succeed(project.crawl("top_artists", max_age=0))
    assert statuses(project, "ann") == ["ok", "not_found"]
    assert project.query("SELECT artist_name FROM lastfm_user_artists WHERE lastfm_username = 'ann'")
    sandbox.log.clear()
    succeed(project.crawl("loved_tracks"))
    assert not sandbox.calls(user="ann")  # believed for 30 days
    sandbox.turn("ok", "ann")
    succeed(project.crawl("top_artists", max_age=0))
    assert statuses(project, "ann") == ["ok", "not_found", "ok"]
    assert statuses(project, "bob") == ["ok"]
    shown = project.run("status", "--user", "ann").stdout.splitlines()
    assert [line.split()[2] for line in shown if line.startswith("2")] == ["ok", "not_found", "ok"]
    sandbox.log.clear()
    succeed(project.crawl("loved_tracks"))
    assert {call.user for call in sandbox.log} == {"ann"}  # what was left
    succeed(project.crawl("friends", seeds="RJ", max_age=0))
    assert_rebuilt(project)


@pytest.mark.slow
def test_what_was_asked_while_they_were_gone_is_asked_again(project, sandbox):
    sandbox.turn("deleted", "bob")
    succeed(project.crawl("friends", seeds="RJ"))
    succeed(project.crawl("top_artists", users="bob,ann", max_age=0))
    assert statuses(project, "bob") == ["not_found"]
    sandbox.turn("ok", "bob")
    succeed(project.crawl("loved_tracks", users="bob", max_age=0))
    assert statuses(project, "bob") == ["not_found", "ok"]
    sandbox.log.clear()
    succeed(project.crawl("top_artists"))
    succeed(project.crawl("friends", seeds="RJ"))
    asked = [(call.method, call.user) for call in sandbox.log if call.user in {"ann", "bob"}]
    assert asked == [("user.getTopArtists", "bob"), ("user.getFriends", "bob")]
    assert_rebuilt(project)


# --- validate=head ------------------------------------------------------------------------------------------------


def test_the_api_is_not_asked_about_who_has_no_profile_page(project, sandbox):
    result = project.crawl("top_artists", users="nobody,RJ,nobody else,cy", validate="head")
    succeed(result)
    assert "nobody has no profile page" in result.stderr
    assert {call.user for call in sandbox.calls("user.getTopArtists")} == {"RJ", "cy"}
    assert heads(sandbox) == ["nobody", "nobody", "RJ", "nobody else", "nobody else", "cy"]  # no page: asked twice
    assert len(robots(sandbox)) == 1
    assert all(not call.api_key for call in sandbox.calls("user.page"))
    assert project.query("SELECT username FROM lastfm_users ORDER BY 1") == [("RJ",), ("cy",)]
    assert project.query(CHECKS) == [("RJ", 1), ("cy", 1), ("nobody", 0), ("nobody else", 0)]
    sandbox.log.clear()
    succeed(project.crawl("top_artists", users="nobody,RJ", validate="head"))
    assert not sandbox.log  # known for a day, and RJ for good
    succeed(project.crawl("top_artists", users="nobody"))
    assert not heads(sandbox)
    assert {call.user for call in sandbox.log} == {"nobody"}  # without the argument the API has its say
    assert statuses(project, "nobody") == ["not_found"]
    assert_rebuilt(project)


def test_seeds_without_a_profile_page_are_no_seeds(project, sandbox):
    succeed(project.crawl("friends", seeds="nobody,RJ", validate="head"))
    assert heads(sandbox) == ["nobody", "nobody", "RJ"]
    assert not [call for call in sandbox.calls(user="nobody") if call.method != "user.page"]
    assert project.query("SELECT name FROM users WHERE seed_no IS NOT NULL") == [("RJ",)]
    assert_rebuilt(project)


def test_what_robots_txt_forbids_is_asked_of_the_api(project, sandbox):
    sandbox.robots = NO_ROBOTS
    result = project.crawl("top_artists", users="RJ,nobody,cy", validate="head", settings={"ROBOTSTXT_OBEY": 0})
    succeed(result)
    assert result.stderr.count("is not asked for profile pages (robots.txt does not allow it)") == 1
    assert not heads(sandbox)
    assert len(robots(sandbox)) == 1
    assert {call.user for call in sandbox.calls("user.getTopArtists")} == {"RJ", "nobody", "cy"}
    assert project.query(CHECKS) == []


@pytest.mark.parametrize("fault", ["error_29_429", "html_502"])
def test_a_site_that_does_not_answer_is_left_alone(project, sandbox, fault):
    sandbox.faults.script("user.page", "RJ", [fault])
    result = project.crawl("top_artists", users="RJ,cy", validate="head")
    succeed(result)
    assert result.stderr.count("the API is asked instead") == 1
    assert "Traceback" not in result.stderr
    assert heads(sandbox) == ["RJ"]
    assert {call.user for call in sandbox.calls("user.getTopArtists")} == {"RJ", "cy"}


def test_an_answer_about_one_page_says_nothing_of_the_others(project, sandbox):
    sandbox.faults.script("user.page", "RJ", ["error_8_302"])
    succeed(project.crawl("top_artists", users="RJ,cy", validate="head"))
    assert heads(sandbox) == ["RJ", "cy"]
    assert {call.user for call in sandbox.calls("user.getTopArtists")} == {"RJ", "cy"}


def test_nobody_is_asked_where_there_is_no_site(project, sandbox):
    project.environment = {"LASTFM_URL": "http://127.0.0.1:9/"}
    result = project.crawl("top_artists", users="RJ,cy", validate="head")
    succeed(result)
    assert result.stderr.count("the API is asked instead") == 1
    assert "Traceback" not in result.stderr


def test_without_the_argument_no_page_is_asked_for(project, sandbox):
    succeed(project.crawl("top_artists", users="RJ"))
    assert not heads(sandbox)
    assert not robots(sandbox)


def test_it_must_be_head(project):
    result = project.crawl("top_artists", users="RJ", validate="get")
    assert result.returncode == 2
    assert "validate='get' is wrong: it must be one of head" in result.stderr
