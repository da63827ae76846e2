"""The store in a folder: atomic, on disk, and nothing that was answered is ever lost."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from lastfm_crawl.httpcache import StoreError, folder, open_store
from lastfm_crawl.httpcache.folder import FolderStorage
from lastfm_crawl.httpcache.storage import probe

KEY = "requests/user.getInfo/rj/all.json.gz"


@pytest.fixture
def store(tmp_path) -> FolderStorage:
    return FolderStorage(tmp_path / "store")


def files(store: FolderStorage) -> dict[str, bytes]:
    """Every file below the store, temporary ones included; only the lock of those who replace is left out."""
    found = [path for path in store.root.rglob("*") if path.is_file() and path != store.root / ".replacing"]
    return {path.relative_to(store.root).as_posix(): path.read_bytes() for path in found}


def archived(store: FolderStorage) -> list[bytes]:
    return [blob for name, blob in sorted(files(store).items()) if name.startswith("archive/")]


# --- round trips --------------------------------------------------------------------------------------------------


def test_nothing_is_below_a_file(store):
    store.put(KEY, b"1")
    assert store.get(f"{KEY}/below-a-file") is None


def test_putting_the_same_again_changes_nothing(store):
    store.put(KEY, b"1")
    before = (store.root / KEY).stat()
    store.put(KEY, b"1")
    after = (store.root / KEY).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files(store) == {KEY: b"1"}


def test_a_folder_that_somebody_removed_is_made_again(store):
    store.put(KEY, b"1")
    (store.root / KEY).unlink()
    (store.root / KEY).parent.rmdir()
    with contextlib.suppress(StoreError):  # the second attempt, which the middleware makes, is what counts
        store.put(KEY, b"2")
    store.put(KEY, b"2")
    assert store.get(KEY) == b"2"


def test_on_disk_with_its_name_before_it_is_acknowledged(store, monkeypatch):
    seen = []
    real = os.fsync

    def fsync(handle):
        real(handle)
        seen.append((store.root / KEY).read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    store.put(KEY, b"1")
    assert seen == [b"1"]


def test_what_cannot_be_synchronised_is_not_acknowledged(store, monkeypatch):
    def fsync(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="Input/output error"):
        store.put(KEY, b"1")


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_temporary_file_is_no_key(store):
    store.put(KEY, b"1")
    (store.root / KEY).with_name(".1-1.tmp").write_bytes(b"half")
    assert list(store.keys()) == [KEY]


def test_keys_of_a_store_that_is_not_there(store):
    assert list(store.keys()) == []


def test_no_key_leads_out_of_the_folder(store):
    with pytest.raises(StoreError, match="not a key"):
        store.put("requests/../../outside", b"1")
    assert not store.root.exists()
    assert not (store.root.parent / "outside").exists()


# --- where it is --------------------------------------------------------------------------------------------------


def test_locations(tmp_path):
    for location in (str(tmp_path / "a b"), f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a%20b"):
        store = open_store(location)
        assert isinstance(store, FolderStorage)
        assert store.root == tmp_path / "a b"


@pytest.mark.parametrize("location", ["s3://bucket/x", "http://host/x", "file://otherhost/x"])
def test_locations_of_no_storage(location):
    with pytest.raises(ValueError, match="RESPONSE_STORE"):
        open_store(location)


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "store").write_bytes(b"I am no folder")
    store = FolderStorage(tmp_path / "store")
    for failing in (lambda: store.put(KEY, b"1"), lambda: store.write(KEY, b"1"), lambda: probe(store)):
        with pytest.raises(StoreError, match="cannot write"):
            failing()


def test_a_folder_in_the_place_of_a_file(store):
    (store.root / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot read"):
        store.get(KEY)
    with pytest.raises(StoreError, match="cannot write"):
        store.put(KEY, b"1")
    with pytest.raises(StoreError, match="cannot delete"):
        store.delete(KEY)
    assert files(store) == {}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody can write to: /proc")
def test_a_file_system_that_takes_nothing():
    with pytest.raises(StoreError, match="cannot write"):
        FolderStorage(Path("/proc/store")).put(KEY, b"1")


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
@pytest.mark.parametrize("verb", ["put", "write"])
def test_a_full_disk(store, monkeypatch, verb, fails_at):
    """The first fsync is of the new file, the others of folders: the old answer is there after every one."""
    store.put(KEY, b"old")
    calls = []
    real = os.fsync

    def fsync(handle):
        calls.append(handle)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if fails_at > {"put": 3, "write": 1}[verb]:
        getattr(store, verb)(KEY, b"new")
        return
    with pytest.raises(StoreError, match="No space left"):
        getattr(store, verb)(KEY, b"new")
    found = files(store)
    assert b"old" in found.values()
    assert found[KEY] in {b"old", b"new"}
    assert not [name for name in found if name.endswith(".tmp")]
    monkeypatch.undo()
    store.put(KEY, b"new")
    assert store.get(KEY) == b"new"
    assert b"old" in archived(store)


SHORT_WRITE = """
import resource, sys
from pathlib import Path
from lastfm_crawl.httpcache import StoreError
from lastfm_crawl.httpcache.folder import FolderStorage
store = FolderStorage(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    store.put("requests/m/u/all.json.gz", b"x" * 5000)
except StoreError as exc:
    print(exc)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_with_room_for_a_part(store):
    """A write that fits in part is no error for the system: it writes what it can, and only the next one fails."""
    command = [sys.executable, "-c", SHORT_WRITE, str(store.root)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert "cannot write" in ended.stdout
    assert files(store) == {}


def test_a_write_that_fails_leaves_no_temporary_file(store, monkeypatch):
    store.put(KEY, b"old")

    def replace(*_args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(StoreError, match="Input/output error"):
        store.put(KEY, b"new")
    assert store.get(KEY) == b"old"
    assert not [name for name in files(store) if name.endswith(".tmp")]


def test_a_file_system_without_links(store, monkeypatch):
    def link(*_args, **_options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    for blob in (b"1", b"2", b"2"):
        store.put(KEY, blob)
    assert (store.get(KEY), archived(store)) == (b"2", [b"1"])
    assert len(files(store)) == 2


def test_two_writers_where_there_are_no_links(store, monkeypatch):
    """One is overtaken after it has seen that nothing is there."""
    other, threads, real = FolderStorage(store.root), [], os.path.exists

    def link(*_args, **_options):
        raise OSError(errno.EPERM, "Operation not permitted")

    def exists(path):
        found = real(path)
        if path == str(store.root / KEY) and not threads:
            threads.append(None)
            threads.append(overtaken_by(other.put, KEY, b"from the other"))
        return found

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os.path, "exists", exists)
    store.put(KEY, b"new")
    threads[1].join()
    assert {b"from the other", b"new"} == set(files(store).values())


def test_no_file_is_open_when_it_gets_its_name(store, tmp_path, monkeypatch):
    """Windows refuses that."""
    (tmp_path / "large").write_bytes(b"3")
    real, replaced = os.replace, []

    def replace(source, target):
        replaced.append(Path(source).name)
        assert replaced[-1] not in {Path(file.path).name for file in psutil.Process().open_files()}
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    store.put(KEY, b"1")
    store.put(KEY, b"2")
    store.write("state/progress.json", b"{}")
    store.write_file("exports/large", tmp_path / "large")
    assert len(replaced) == 3


def test_an_error_says_what_and_where(tmp_path):
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        FolderStorage(tmp_path / "store").put(KEY, b"1")
    assert KEY in str(caught.value)
    assert str(tmp_path / "store") in str(caught.value)
    assert "\n" not in str(caught.value)


# --- several writers ----------------------------------------------------------------------------------------------


def test_a_reader_never_sees_half_an_answer(store):
    blobs = [bytes([65 + number]) * 200_000 for number in range(4)]
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            seen.add(store.get(KEY))

    reader = threading.Thread(target=read)
    store.put(KEY, blobs[0])
    reader.start()
    for blob in blobs * 3:
        store.put(KEY, blob)
    done.set()
    reader.join()
    assert seen <= set(blobs)


def overtaken_by(work, *args) -> threading.Thread:
    """Let somebody else work now, for a second at most: with a lock they work as soon as it is free."""
    other = threading.Thread(target=work, args=args)
    other.start()
    other.join(1)
    return other


def test_two_writers_that_replace_one_answer(store):
    """Both archive the first answer; then the second writer replaces what the first one had just put."""
    other = FolderStorage(store.root)
    store.put(KEY, b"old")
    archive, threads = store._archive, []

    def archive_and_be_overtaken(key, path):
        archive(key, path)
        threads.append(overtaken_by(other.put, KEY, b"from the other"))

    store._archive = archive_and_be_overtaken
    store.put(KEY, b"new")
    threads[0].join()
    assert {b"old", b"from the other", b"new"} == set(files(store).values())


def test_two_storages_of_one_process(store, monkeypatch):
    """As two crawlers have in one process, or two containers, where every process is number 1, on a shared folder."""
    other = FolderStorage(store.root)
    real, threads = os.fsync, []

    def fsync(handle):
        monkeypatch.setattr(os, "fsync", real)
        real(handle)
        threads.append(overtaken_by(other.put, "requests/user.getInfo/rj/other.json.gz", b"other's"))

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.suppress(StoreError):
        store.put(KEY, b"own")
    threads[0].join()
    assert store.get(KEY) == b"own"
    assert store.get("requests/user.getInfo/rj/other.json.gz") == b"other's"


def test_two_replacements_in_one_tick_of_the_clock(store, monkeypatch):
    monkeypatch.setattr(folder.time, "time", lambda: 1_763_690_278.5)
    for blob in (b"1", b"2", b"3"):
        store.put(KEY, blob)
    assert sorted(files(store).values()) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("blob", [b"same", b"newer"])
def test_a_writer_that_fails_takes_nothing_away_from_another(store, monkeypatch, blob):
    """The first writer's answer has its name before it is on disk; whoever comes then is told that all is well."""
    other = FolderStorage(store.root)
    real, threads = os.fsync, []

    def fsync(_handle):
        monkeypatch.setattr(os, "fsync", real)
        threads.append(overtaken_by(other.put, KEY, blob))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.suppress(StoreError):
        store.put(KEY, b"same")
    threads[0].join()
    assert store.get(KEY) == blob


def test_a_folder_that_cannot_be_listed_is_not_empty(store, monkeypatch):
    store.put(KEY, b"x")

    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(folder.os, "scandir", denied)
    with pytest.raises(StoreError, match="Permission denied"):
        list(store.keys())
