"""The JOBDIR: one run at a time, gone on with after a clean stop, set aside after any other."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from test_crawl import assert_equals_world, expected_artists, succeed

from lastfm_crawl import jobdir
from lastfm_crawl.jobdir import JobDir
from lastfm_crawl.sandbox import Faults, demo_world, serve


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "jobs" / "friends"


def enter(folder, spider="friends", **arguments):
    job = JobDir(folder, spider, arguments)
    return job, job.enter()


def run(folder, *, in_order=True, **arguments):
    job, line = enter(folder, **arguments)
    (folder / "requests.queue").mkdir(exist_ok=True)
    (folder / "requests.seen").write_bytes(b"seen")
    (folder / "spider.state").write_bytes(b"state")
    job.leave(in_order=in_order)
    return line


def aside(folder):
    return [path for path in folder.parent.iterdir() if path.name.startswith(f"{folder.name}.unclean-")]


def test_a_new_folder_and_one_left_in_order_are_gone_on_with(folder):
    assert run(folder, seeds="RJ") is None
    _, line = enter(folder, seeds="RJ")
    assert line is None
    assert aside(folder) == []
    assert (folder / "spider.state").read_bytes() == b"state"
    assert not (folder / "requests.queue").exists(), "the warehouse says what is left; both would ask twice"
    assert not (folder / "requests.seen").exists()


@pytest.mark.parametrize(
    ("leave", "why"),
    [
        (lambda folder: run(folder, seeds="RJ", in_order=False), "was not left in order"),
        (lambda folder: run(folder, seeds="other"), "another run (arguments {'seeds': 'other'}, now {'seeds': 'RJ'})"),
        (lambda folder: run(folder, spider="top_artists"), "another run (spider 'top_artists'"),
        (lambda folder: run(folder, seeds="RJ") or forge(folder, scrapy="2.18.0"), "another run (scrapy '2.18.0'"),
        (lambda folder: run(folder, seeds="RJ") or (folder / "stopped.json").write_text("{"), "cannot be read"),
        (lambda folder: run(folder, seeds="RJ") or (folder / "stopped.json").write_text("[]"), "cannot be read"),
        (lambda folder: folder.mkdir(parents=True) or (folder / "requests.seen").write_text(""), "by this project"),
    ],
)
def test_anything_else_is_set_aside_with_one_line(folder, leave, why):
    leave(folder)
    before = sorted(path.name for path in folder.iterdir() if path.name != "lock")
    _, line = enter(folder, seeds="RJ")
    assert why in line
    assert "\n" not in line
    (kept,) = aside(folder)
    assert str(kept) in line
    assert sorted(path.name for path in kept.iterdir()) == before, "nothing is deleted"
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "running.json"]


def forge(folder, **about):
    path = folder / "stopped.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **about}))


def test_scrapyds_job_id_is_no_change_of_arguments(folder):
    run(folder, seeds="RJ", _job="1")
    assert run(folder, seeds="RJ", _job="2") is None


def test_each_is_set_aside_under_a_name_of_its_own(folder):
    for _ in range(5):
        run(folder, in_order=False)
    assert len(aside(folder)) == 4


def test_only_what_scrapy_and_we_keep_there_is_set_aside(folder):
    """Somebody's JOBDIR is where the store is, or the log: moved away, every stored answer would be asked for again."""
    (folder / "store").mkdir(parents=True)
    (folder / "log").write_text("")
    assert run(folder, in_order=False) is None
    assert "was not left in order" in run(folder)
    (kept,) = aside(folder)
    assert sorted(path.name for path in kept.iterdir()) == [
        "requests.queue", "requests.seen", "running.json", "spider.state"
    ]  # fmt: skip
    assert {"store", "log"} < {path.name for path in folder.iterdir()}


def test_where_there_is_no_room_beside_it_it_is_set_aside_inside(folder, monkeypatch):
    """A mounted volume: nothing can be renamed out of it."""
    run(folder, in_order=False)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    assert "set aside as" in enter(folder)[1]
    (kept,) = folder.glob("unclean-*")
    assert (kept / "running.json").exists()
    assert aside(folder) == []


def test_a_kill_while_setting_aside_is_finished_by_the_next_run(folder, monkeypatch):
    run(folder, in_order=False)
    real = Path.rename

    def dies(path, target):
        if path.name == "spider.state":
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            enter(folder)
    assert "was not left in order" in enter(folder)[1]
    kept = sorted(path.name for place in aside(folder) for path in place.iterdir())
    assert kept == ["requests.queue", "requests.seen", "running.json", "spider.state"]


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_a_link_leads_to_the_same_lock(folder):
    job, _ = enter(folder)
    link = folder.with_name("link")
    link.symlink_to(folder)
    with pytest.raises(ValueError, match="used by another run"):
        enter(link)
    job.leave(in_order=True)
    assert enter(link)[1] is None
    assert link.is_symlink()


def test_a_folder_that_was_removed_meanwhile_does_not_fail_the_run(folder):
    job, _ = enter(folder)
    shutil.rmtree(folder)
    job.leave(in_order=True)
    assert enter(folder)[1] is None


def test_two_runs_cannot_share_one(folder):
    job, _ = enter(folder)
    with pytest.raises(ValueError, match=rf"used by another run \(process {os.getpid()}\)"):
        enter(folder)
    assert (folder / "running.json").exists()
    job.leave(in_order=True)
    assert enter(folder)[1] is None


def take_and_die(folder):
    JobDir(folder, "friends", {}).enter()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_killed_run_leaves_no_lock(folder):
    process = multiprocessing.get_context("spawn").Process(target=take_and_die, args=(folder,))
    process.start()
    process.join()
    assert "was not left in order" in enter(folder)[1]


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="is not a folder"):
        enter(tmp_path / "file")
    with pytest.raises(ValueError, match="cannot be used"):
        enter(tmp_path / "file" / "below")
    with pytest.raises(ValueError, match="cannot be used"):
        enter(tmp_path / ("long" * 100))


def test_a_folder_that_cannot_be_written_is_refused_and_free_again(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(jobdir, "_write", full)
        with pytest.raises(ValueError, match="No space left"):
            enter(folder)
    assert enter(folder)[1] is None


class TestCrawl:
    """As a user runs it."""

    @pytest.fixture
    def sandbox(self, project):
        with serve(demo_world(80), Faults(latency=0.05)) as sandbox:
            project.url = sandbox.url
            yield sandbox

    @pytest.fixture
    def words(self, project):
        return project.words("friends", {"JOBDIR": project.data / "job"}, seeds="RJ")

    def interrupted(self, project, sandbox, words, number=signal.SIGINT):
        process = project.start(*words, stderr=-1, text=True)
        while len(sandbox.log) < 30 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    def test_ctrl_c_and_again(self, project, sandbox, words):
        code, _ = self.interrupted(project, sandbox, words)
        assert code == 4
        asked = len(sandbox.log)
        result = succeed(project.run(*words))
        assert "set aside" not in result.stderr
        assert "scheduler/unserializable" not in result.stderr
        assert_equals_world(project, sandbox.world, "RJ")
        gone = {name for (name,) in project.query("SELECT lower(username) FROM lastfm_users WHERE status <> 'ok'")}
        questions = [(call.method, call.query) for call in sandbox.log if call.user.lower() not in gone]
        assert len(questions) == len(set(questions)), "nothing was asked for twice"
        assert len(sandbox.log) > asked

    def test_kill_and_again(self, project, sandbox, words):
        code, _ = self.interrupted(project, sandbox, words, signal.SIGKILL)
        assert code == -signal.SIGKILL
        result = succeed(project.run(*words))
        assert result.stderr.count("set aside as") == 1
        assert_equals_world(project, sandbox.world, "RJ")

    def test_ctrl_c_twice_and_again(self, project, sandbox, words):
        """The second one waits for nothing: nothing says that the queue was written."""
        sandbox.faults = Faults(latency=2)
        process = project.start(*words, stderr=-1, text=True)
        while len(sandbox.log) < 3 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 4
        sandbox.faults = Faults()
        result = succeed(project.run(*words))
        assert result.stderr.count("set aside as") == 1
        assert_equals_world(project, sandbox.world, "RJ")

    def test_a_stop_by_a_fault_leaves_it_in_order(self, project, sandbox, words):
        sandbox.faults.script("user.getFriends", kinds=["error_10_403"], times=None, pass_first=10)
        assert project.run(*words).returncode == 3
        sandbox.faults = Faults()
        result = succeed(project.run(*words))
        assert "set aside" not in result.stderr
        assert_equals_world(project, sandbox.world, "RJ")

    @pytest.mark.parametrize(
        ("marker", "why"),
        [
            ('{"scrapy": "2.18.0", "spider": "friends", "arguments": {"seeds": "RJ"}}', "scrapy '2.18.0', now"),
            ('{"scrapy": "', "its marker cannot be read"),
            (None, "was not left by this project"),
        ],
        ids=["another Scrapy", "spoilt", "none"],
    )
    def test_what_others_left_is_set_aside(self, project, sandbox, words, marker, why):
        """With a queue and a filter in it that would end the run, or keep it from asking."""
        job = project.data / "job"
        (job / "requests.queue").mkdir(parents=True)
        (job / "requests.queue" / "active.json").write_text("[0]")
        (job / "requests.queue" / "0").write_bytes(b"no queue")
        (job / "requests.seen").write_bytes(b"torn")
        (job / "spider.state").write_bytes(b"no pickle")
        if marker is not None:
            (job / "stopped.json").write_text(marker)
        result = succeed(project.run(*words))
        assert result.stderr.count("set aside as") == 1
        assert why in result.stderr
        (kept,) = aside(job)
        assert (kept / "requests.queue" / "0").read_bytes() == b"no queue"
        assert_equals_world(project, sandbox.world, "RJ")

    def test_the_data_folder_itself_as_jobdir_keeps_the_store_in_its_place(self, project, sandbox):
        words = project.words("friends", {"JOBDIR": project.data}, seeds="RJ")
        succeed(project.crawl("friends", seeds="RJ", max_users=5))
        self.interrupted(project, sandbox, words, signal.SIGKILL)
        succeed(project.run(*words))
        asked = len(sandbox.log)
        project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        succeed(project.run(*words))
        assert len(sandbox.log) == asked
        assert_equals_world(project, sandbox.world, "RJ")

    def test_top_artists_goes_on_where_it_was(self, project, sandbox, words):
        """Ctrl-C, then the same command, in the walk whose start() asks for everybody who is left."""
        succeed(project.run(*words))
        asked = len(sandbox.log)
        words = project.words("top_artists", {"JOBDIR": project.data / "artists", "CONCURRENT_REQUESTS": 4})
        process = project.start(*words, stderr=-1, text=True)
        while len(sandbox.log) < asked + 20 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 4
        result = succeed(project.run(*words))
        assert "set aside" not in result.stderr
        users = [call.user for call in sandbox.log[asked:] if call.status == 200]
        assert len(users) == len(set(users)), "nothing was asked for twice"
        members = [name for (name,) in project.query("SELECT username FROM lastfm_users")]
        found = project.query("SELECT lastfm_username, artist_name, playcount, rank FROM lastfm_user_artists")
        assert set(found) == expected_artists(sandbox.world, members)

    def test_the_second_of_two_refuses(self, project, sandbox, words):
        sandbox.faults = Faults(latency=1)
        process = project.start(*words, stderr=-1, text=True)
        while len(sandbox.log) < 5 and process.poll() is None:
            time.sleep(0.005)
        second = project.run(*words)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert second.returncode == 2
        assert "Traceback" not in second.stderr
        line = second.stderr.splitlines()[-1]
        assert f"used by another run (process {process.pid})" in line
        assert process.returncode == 4

    def test_once_more_after_the_end(self, project, sandbox, words):
        succeed(project.run(*words))
        asked = len(sandbox.log)
        succeed(project.run(*words))
        assert len(sandbox.log) == asked
        assert_equals_world(project, sandbox.world, "RJ")

    def test_a_jobdir_that_is_a_file(self, project):
        project.data.mkdir()
        (project.data / "job").write_bytes(b"")
        result = project.crawl("friends", seeds="RJ", settings={"JOBDIR": project.data / "job"})
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1].endswith("is not a folder")
        assert "Traceback" not in result.stderr
