"""Fetch jobs in the warehouse: taken over by whoever runs them again, announced at every change, killed when silent."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from lastfm_crawl.warehouse import jobs
from lastfm_crawl.warehouse.jobs import Job, Progress

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def begin(connection, run="run-1", scope="recent_tracks", users=("rj",), year=None):
    """The same as the function of that name, of a history unless *scope* says otherwise."""
    return jobs.begin(connection, run, scope, "pages", users, year)


def finish(connection, status="completed", message=None, run="run-1", progress=None, since=LONG_AGO):
    return jobs.finish(connection, run, status, message, progress or {}, since)


def age(connection, seconds):
    connection.execute("UPDATE fetch_jobs SET updated_at = updated_at - make_interval(secs => %s)", [seconds])


def following(follower):
    """What *follower* has to say now."""
    told = []
    while (job := next(follower)) is not None:
        told.append(job)
    return told


def test_a_job_runs_and_ends(connection):
    [notice] = begin(connection)
    [job] = jobs.list_jobs(connection)
    assert job == Job.of(notice)
    assert (job.scope, job.username, job.year, job.status, job.phase) == (
        "recent_tracks", "rj", None, "running", "fetching",
    )  # fmt: skip
    assert (job.progress, job.total, job.unit) == (0, None, "pages")
    jobs.update(connection, "run-1", {job.id: Progress(2, 5)})
    [notice] = finish(connection)
    [job] = jobs.list_jobs(connection)
    assert job == Job.of(notice)
    assert (job.status, job.progress, job.total, job.error_message) == ("completed", 2, 5, None)
    assert job.created_at <= job.started_at <= job.finished_at == job.updated_at


def test_follower_sees_what_is_and_what_changes(connection, database_url):
    begin(connection, users=("a", "B"), year=2021)
    follower = jobs.follow(database_url, 0.2)
    assert {(job.username, job.year) for job in following(follower)} == {("a", 2021), ("B", 2021)}
    first = jobs.list_jobs(connection, username="A")[0]
    jobs.update(connection, "run-1", {first.id: Progress(1, 2)})
    assert [(job.username, job.progress, job.total) for job in following(follower)] == [("a", 1, 2)]
    finish(connection, "stopped", "ü\n\x01" * 2_000)
    told = following(follower)
    last = {job.username: job for job in told}
    assert [last[user].status for user in ("a", "B")] == ["stopped", "stopped"]
    assert last["B"].error_message == ("ü\n\x01" * 400)[:1000]


def test_a_message_of_any_length_is_kept_and_announced_cut(connection, database_url):
    begin(connection, users=["x" * 250])
    follower = jobs.follow(database_url, 0.2)
    following(follower)
    message = "\N{MAN AND WOMAN HOLDING HANDS}" * 9_000
    finish(connection, "failed", message)
    assert following(follower)[-1].error_message == message[:1000]
    assert jobs.list_jobs(connection)[0].error_message == message


def test_whoever_runs_a_job_again_takes_it_over(connection):
    [old] = begin(connection, users=["Ann"], year=2020)
    jobs.update(connection, "run-1", {old["id"]: Progress(3, 9)})
    [new] = begin(connection, "run-2", users=["ANN"], year=2020)
    assert (new["id"], new["username"], new["progress"], new["total"]) == (old["id"], "ANN", 0, None)
    assert new["created_at"] == old["created_at"]
    assert not jobs.update(connection, "run-1", {old["id"]: Progress(4, 9)}), "it is another's now"
    assert not finish(connection, "stopped", "late")
    [job] = jobs.list_jobs(connection)
    assert (job.run_id, job.status, job.progress) == ("run-2", "running", 0)


@pytest.mark.parametrize("other", [{"year": 2021}, {"scope": "top_artists"}, {"users": ["bob"]}, {"users": None}])
def test_jobs_differ_by_spider_user_and_year(connection, other):
    begin(connection, users=["ann"], year=2020)
    begin(connection, **{"users": ["ann"], "year": 2020, **other})
    assert len(jobs.list_jobs(connection)) == 2


def test_a_run_that_ended_begins_without_what_it_said(connection):
    begin(connection)
    finish(connection, "failed", "three pages were lost")
    [job] = [Job.of(notice) for notice in begin(connection, "run-2")]
    assert (job.status, job.error_message, job.finished_at) == ("running", None, None)


def test_a_silent_job_was_killed(connection, database_url, monkeypatch):
    begin(connection, users=["ann", "bob"])
    finish(connection)
    begin(connection, "run-2", users=["bob"])
    follower = jobs.follow(database_url, 0.2)
    following(follower)
    age(connection, jobs.SILENCE - 5)
    assert {job.status for job in jobs.list_jobs(connection)} == {"completed", "running"}
    following(follower)
    age(connection, 10)
    [job] = jobs.list_jobs(connection, running=True)
    assert (job.username, job.status) == ("bob", "killed")
    following(follower)  # that its time was changed is a sign of life; from now on there is silence
    monkeypatch.setattr(jobs.time, "monotonic", lambda now=jobs.time.monotonic: now() + jobs.SILENCE)
    assert [(job.username, job.status) for job in following(follower)] == [("bob", "killed")]
    assert following(follower) == [], "once"


VIEW = """
SELECT count(*) FILTER (WHERE augmentation_status = 'matched'),
       count(*) FILTER (WHERE augmentation_status = 'fuzzy_matched'),
       count(*) FILTER (WHERE augmentation_status = 'not_found')
FROM lastfm_scrobbles
WHERE username = %s AND (%s::int IS NULL OR extract(year FROM scrobbled_at AT TIME ZONE 'UTC') = %s)
"""
JOBS = [("ann", None), ("ann", 2019), ("ann", 2020), ("ann", 2021), ("bob", None), ("nobody", None)]


@pytest.fixture
def listened(connection):
    """Two users whose plays are matched, fuzzy matched, not found, pending, and without an album."""
    connection.execute(
        """
        INSERT INTO users (key, name) VALUES ('ann', 'Ann'), ('bob', 'bob');
        INSERT INTO artists (name) VALUES ('Björk');
        INSERT INTO tracks (artist_id, name) VALUES (1, 't');
        INSERT INTO albums (artist_id, name, mbid)
        SELECT 1, 'album ' || n, CASE WHEN n % 2 = 0 THEN 'mbid-' || n ELSE '' END FROM generate_series(1, 8) n;
        INSERT INTO recordings (track_id, album_id, artist_mbid, track_mbid)
        SELECT 1, n, '', '' FROM generate_series(0, 8) n;
        INSERT INTO scrobbles (user_id, track_id, at, recording_id, seen_at)
        SELECT u, 1, timestamptz '2019-12-25 00:00Z' + n * interval '5 hours 7 minutes', 1 + (n * u) % 9, now()
        FROM generate_series(0, 400) n, generate_series(1, 2) u;
        INSERT INTO release_groups VALUES
            ('g', 'title', 'Björk', 1997, NULL, NULL, 'Album', '{}', 'web', '2020-06-01');
        """
    )
    answer(connection, "mbid-2")
    connection.execute(
        """
        INSERT INTO album_searches (artist, title, group_mbid, band, tier, score, runner_up, evidence, normaliser,
                                    first_searched_at, searched_at)
        SELECT 'Björk', 'album ' || n, CASE n WHEN 1 THEN 'g' END,
            CASE n WHEN 1 THEN 'accept' ELSE 'reject' END, '', 1, 0, '', 1, '2020-06-01', '2020-06-01'
        FROM generate_series(1, 3, 2) n
        """
    )
    for user, year in JOBS:
        begin(connection, f"{user} {year}", users=[user], year=year)


def answer(connection, mbid):
    connection.execute("INSERT INTO releases VALUES (%s, NULL, 'g', '2020-06-01', '2020-06-01')", [mbid])


def figures(connection):
    return {
        (job.username, job.year): (job.matched, job.fuzzy_matched, job.not_found) for job in jobs.list_jobs(connection)
    }


def expected(connection):
    names = {"ann": "Ann"}
    return {
        (user, year): connection.execute(VIEW, [names.get(user, user), year, year]).fetchone() for user, year in JOBS
    }


def test_a_history_job_counts_the_plays_that_have_a_year(connection, listened):
    for user, year in JOBS:
        [notice] = finish(connection, run=f"{user} {year}")
        assert (notice["matched"], notice["fuzzy_matched"]) == expected(connection)[user, year][:2]
    assert figures(connection) == expected(connection)
    assert all(expected(connection)["ann", None])
    assert expected(connection)["ann", 2019] != expected(connection)["ann", 2020]
    assert expected(connection)["nobody", None] == (0, 0, 0)


def test_new_years_change_the_jobs_that_they_concern(connection, listened):
    for user, year in JOBS[:-2]:
        finish(connection, run=f"{user} {year}")
    assert jobs.count_plays(connection) == []
    before = figures(connection)
    answer(connection, "mbid-4")
    changed = {(n["username"], n["year"]) for n in jobs.count_plays(connection)}
    now = expected(connection)
    assert changed == {job for job in JOBS[:-2] if now[job] != before[job]} != set()
    assert {job: figures(connection)[job] for job in JOBS[:-2]} == {job: now[job] for job in JOBS[:-2]}
    assert figures(connection)["bob", None] == (None, None, None), "it is still running"


@pytest.mark.parametrize(("since", "found"), [("2020-05-31", (1, 1, 1)), ("2020-06-02", (0, 0, 0))])
def test_a_run_that_looks_for_years_counts_what_it_found(connection, listened, since, found):
    begin(connection, "years", "musicbrainz", None)
    [notice] = finish(connection, run="years", since=datetime.fromisoformat(since))
    assert (notice["matched"], notice["fuzzy_matched"], notice["not_found"]) == found
    assert notice["phase"] == "augmenting"


@pytest.mark.parametrize("scope", ["spotify_artists", "spotify_tracks"])
def test_a_run_that_matches_counts_what_it_found(connection, scope):
    table = {"spotify_artists": "artist", "spotify_tracks": "track"}[scope]
    connection.execute("INSERT INTO artists (name) SELECT 'a' || n FROM generate_series(1, 5) n")
    connection.execute("INSERT INTO tracks (artist_id, name) SELECT n, 't' FROM generate_series(1, 5) n")
    connection.execute(
        f"""
        INSERT INTO {table}_matches ({table}_id, spotify_id, band, tier, score, runner_up, evidence, source,
                                     normaliser, catalogue, matched_at, first_searched_at, searched_at)
        SELECT n, CASE band WHEN 'reject' THEN NULL ELSE 'id' || n END, band, tier, 1, 0, '', 'search', 1, 0,
               now(), searched, searched
        FROM (VALUES (1, 'accept', 'exact', '2021-01-01Z'::timestamptz), (2, 'accept', 'fuzzy', '2021-01-01Z'),
                     (3, 'accept', 'fuzzy', '2021-01-01Z'), (4, 'reject', 'none', '2021-01-01Z'),
                     (5, 'accept', 'exact', '2019-01-01Z')) m (n, band, tier, searched)
        """
    )
    begin(connection, "match", scope, None)
    [notice] = finish(connection, run="match")
    assert (notice["matched"], notice["fuzzy_matched"], notice["not_found"], notice["phase"]) == (1, 2, 1, "matching")


def test_jobs_of_a_user_go_with_the_user(connection):
    begin(connection, users=["Ann"])
    begin(connection, users=["Ann"], scope="top_artists", year=None)
    begin(connection, users=None)
    connection.execute("DELETE FROM fetch_jobs WHERE lower(username) = 'ann'")
    assert [job.username for job in jobs.list_jobs(connection)] == [None]
