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
    assert {job.status for job in told} == {"stopped"}
    assert told[0].error_message == ("ü\n\x01" * 400)[:1000]
