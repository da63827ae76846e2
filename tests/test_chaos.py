"""kill -9 at random moments, with a JOBDIR, again and again: afterwards nothing shows that it ever happened."""

from __future__ import annotations

import random
import subprocess
import time

import pytest
from test_crawl import succeed

from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.sandbox import Faults, demo_world, serve
from lastfm_crawl.services.lastfm import Call

USERS_A_KILL = 60  # so many that it is never done before the last
#: All that a reader can see but the times of the answers, which differ from run to run.
VIEWS = {
    "lastfm_users": {"discovered_at"},
    "lastfm_friends": set(),
    "lastfm_user_artists": {"imported_at"},
}


def rows(project) -> dict[str, list[str]]:
    """Every row of the views, without the times."""
    found = {}
    for view, times in VIEWS.items():
        columns = project.query("SELECT column_name FROM information_schema.columns WHERE table_name = %s", view)
        named = ", ".join(sorted(name for (name,) in columns if name not in times))
        found[view] = sorted(map(repr, project.query(f"SELECT {named} FROM {view}")))
    return found


def store_key(logged) -> str:
    """Where the answer to a question in the sandbox's log is stored."""
    params = {name: value for name, value in logged.params.items() if name not in {"user", "method", "format"}}
    return Call(logged.method, logged.user, tuple(sorted(params.items()))).store_key


def undisturbed(project, world, spiders) -> dict[str, list[str]]:
    """What the views show after runs that nobody disturbed; then the warehouse is empty again, and so is the store."""
    data = project.data
    project.data = data.with_name("undisturbed")
    with serve(world) as sandbox:
        project.url = sandbox.url
        for spider, arguments in spiders:
            succeed(project.crawl(spider, **arguments))
    found = rows(project)
    project.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    project.data = data
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kills"), [(1, 4), (2, 20)], ids=["4 kills", "20 kills"])
def test_killed_at_random_moments(project, seed, kills):
    users = USERS_A_KILL * kills
    world, rng = demo_world(users + 50), random.Random(seed)
    spiders = [("friends", {"seeds": "RJ", "max_users": str(users)}), ("top_artists", {})]
    expected = undisturbed(project, world, spiders)
    store = FolderStorage(project.data / "store")
    again, killed = [], 0
    with serve(world, Faults(rate=0.03, seed=seed, latency=0.05, kinds=["error_8_500"])) as sandbox:
        project.url = sandbox.url
        for spider, arguments in spiders:
            words = project.words(spider, {"JOBDIR": project.data / "jobs" / spider}, **arguments)
            for number in range(kills // 2):
                stored, asked = set(store.keys("requests/")), len(sandbox.log)
                process = project.start(*words, stderr=subprocess.DEVNULL)
                # Somewhere between its first steps and the middle of its work.
                until, enough = time.monotonic() + rng.uniform(0.3, 6), asked + rng.randint(1, USERS_A_KILL)
                # The last is killed when it has its JOBDIR: on a busy machine the time may be over before that.
                least = asked + (number == kills // 2 - 1)
                while process.poll() is None and (
                    len(sandbox.log) < least or (time.monotonic() < until and len(sandbox.log) < enough)
                ):
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.05))
                killed += process.poll() is None
                process.kill()
                process.wait()
                time.sleep(0.3)  # what it had given to the store is being stored
                again += [call for call in sandbox.log[asked:] if store_key(call) in stored]
            stored, asked = set(store.keys("requests/")), len(sandbox.log)
            result = succeed(project.run(*words))
            again += [call for call in sandbox.log[asked:] if store_key(call) in stored]
            assert "JOBDIR was not left in order (killed?): set aside as" in result.stderr
            assert "Traceback" not in result.stderr
            assert "scheduler/unserializable" not in result.stderr, "what a JOBDIR cannot keep is kept in memory"
        assert [call.as_json() for call in again] == []
        assert killed == kills
    assert len(expected["lastfm_users"]) == users < len(expected["lastfm_friends"])
    for view, seen in rows(project).items():
        assert seen == expected[view], view
