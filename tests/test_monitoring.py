"""Monitors of whole runs: an answer that lost a field, a service that fails every third time, and silence otherwise."""

from __future__ import annotations

import json

from lastfm_crawl.sandbox import Faults, answers, demo_world, serve, synthetic_world

#: A thousand rows of top tracks: what a monitor needs to say something.
USERS = 20


def last_record(project):
    newest = max((project.data / "store" / "state" / "runs").iterdir())
    return json.loads(newest.read_bytes())


def ended(result):
    """The lines that say what went wrong."""
    return [line for line in result.stderr.splitlines() if line.startswith("scrapy crawl: ")]


def test_an_answer_that_loses_a_field(project, monkeypatch):
    with serve(synthetic_world(5 * USERS)) as sandbox:
        project.url = sandbox.url
        names = iter(sandbox.world.users)

        def crawl():
            return project.crawl("top_tracks", users=",".join(next(names) for _ in range(USERS)))

        first = crawl()
        assert first.returncode == 0, first.stderr[-2000:]
        verdicts = {verdict["name"]: verdict for verdict in last_record(project)["monitors"]}
        playcounts = "fields/user.getTopTracks/playcounts"
        assert verdicts[playcounts] == {"name": playcounts, "ok": True, "value": 1.0, "expected": "at least 0.9"}
        for day in ("20260101", "20260102"):
            project.execute(
                f"""
                INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', '{day}T000000Z-000000'))).*
                FROM runs r ORDER BY id DESC LIMIT 1
                """
            )
        assert crawl().returncode == 0

        with monkeypatch.context() as patch:
            patch.setattr(answers, "mbid_of", lambda *_: "")
            without = crawl()
        assert without.returncode == 1, without.stderr[-2000:]
        for line, name in zip(ended(without), ("artist_mbids", "track_mbids"), strict=True):
            assert line.startswith(f"scrapy crawl: 0% of 1,000 rows of user.getTopTracks have {name}, ")
            assert line.endswith(" are usual: has the answer changed its shape?")
        record = last_record(project)
        assert record["exit_code"] == 1
        assert [v["name"] for v in record["monitors"] if not v["ok"]] == [
            "usual/user.getTopTracks/artist_mbids",
            "usual/user.getTopTracks/track_mbids",
        ]
        assert len(record["faults"]) == 2

        with monkeypatch.context() as patch:
            plays = answers.TrackPlays
            patch.setattr(answers, "TrackPlays", lambda artist, track, _: plays(artist, track, ""))
            unplayed_run = crawl()
        assert unplayed_run.returncode == 1
        assert ended(unplayed_run)[0].startswith("scrapy crawl: 0% of 1,000 rows of user.getTopTracks have a playcount")
        assert crawl().returncode == 0


def test_a_service_that_fails_every_third_time(project):
    faults = Faults(slow=0)
    faults.script("*", kinds=["slow", "slow", "error_8_500"], times=None)
    with serve(demo_world(140), faults) as sandbox:
        project.url = sandbox.url
        result = project.crawl("friends", seeds="RJ")
        asked = len(sandbox.log)
    assert result.returncode == 1, result.stderr[-2000:]
    (line,) = ended(result)
    assert line.startswith(f"scrapy crawl: 33% of {asked} requests brought errors (error_8: {asked // 3}), more than")
    assert last_record(project)["stats"]["lastfm_crawl/errors/error_8"] == asked // 3


def test_a_fifth_of_faults_that_were_all_made_good(project):
    with serve(demo_world(140), Faults(rate=0.2, seed=4)) as sandbox:
        project.url = sandbox.url
        result = project.crawl("friends", seeds="RJ")
    assert result.returncode == 0, result.stderr[-2000:]
    assert 0.1 < next(v["value"] for v in last_record(project)["monitors"] if v["name"] == "errors") < 0.3
