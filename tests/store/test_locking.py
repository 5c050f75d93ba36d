"""One run has one writer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from pellucid.errors import RunLockedError
from pellucid.store import lock as lock_module
from pellucid.store.filesystem import LocalFolder
from pellucid.store.lock import acquire_lock, writer_is_alive
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter


def test_a_second_writer_is_refused_and_told_by_whom(writer):
    with pytest.raises(RunLockedError, match=r"process \d+ on ") as caught:
        RunWriter.resume(writer.path)
    assert caught.value.place == str(writer.path)
    assert open_run(writer.path).status == "running"
    writer.close()
    RunWriter.resume(writer.path).close()


def test_a_writer_in_another_process_is_refused(writer):
    code = f"from pellucid.store.writer import RunWriter; RunWriter.resume({str(writer.path)!r}, after_step=-1)"
    writer.extend("steps", {"step": [0, 1]})
    writer.flush()
    told = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "RunLockedError" in told.stderr
    assert open_run(writer.path).row_count("steps") == 2


def test_only_one_of_many_resuming_at_once_gets_the_run(writer):
    writer.close()
    outcomes: list[object] = []
    barrier = threading.Barrier(6)

    def attempt() -> None:
        barrier.wait()
        try:
            outcomes.append(RunWriter.resume(writer.path))
        except RunLockedError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, RunWriter)]
    assert len(winners) == 1
    assert len(outcomes) == 6
    winners[0].close()


def test_readers_that_ask_whether_a_writer_lives_do_not_keep_one_out(writer):
    writer.close()
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            writer_is_alive(LocalFolder(writer.path))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(5):
        RunWriter.resume(writer.path).close()
    asking.set()
    thread.join()
    assert open_run(writer.path).manifest.resumes == 5


@pytest.fixture
def without_kernel_locks(monkeypatch):
    """A file system or an operating system that has no flock."""
    monkeypatch.setattr(lock_module, "fcntl", None)


@pytest.mark.usefixtures("without_kernel_locks")
def test_without_kernel_locks_a_heartbeat_keeps_others_out(tmp_path, monkeypatch):
    folder = LocalFolder(tmp_path)
    held = acquire_lock(folder, "11111111")
    assert writer_is_alive(folder)
    with pytest.raises(RunLockedError):
        acquire_lock(folder, "22222222")
    clock = lock_module.time.time
    monkeypatch.setattr(lock_module.time, "time", lambda: clock() + lock_module.STALE_S + 1)
    assert not writer_is_alive(folder)
    taken = acquire_lock(folder, "22222222")  # the first one is taken for dead
    held.release()  # and leaves the lock of its successor alone
    assert writer_is_alive(folder)
    taken.release()
    assert not writer_is_alive(folder)


@pytest.mark.usefixtures("without_kernel_locks")
def test_a_heartbeat_beats(tmp_path, monkeypatch):
    folder = LocalFolder(tmp_path)
    held = acquire_lock(folder, "11111111")
    first = json.loads(folder.read("lock"))["heartbeat"]
    held.beat()
    assert json.loads(folder.read("lock"))["heartbeat"] == first  # too early
    clock = lock_module.time.monotonic
    monkeypatch.setattr(lock_module.time, "monotonic", lambda: clock() + lock_module.HEARTBEAT_S)
    held.beat()
    assert json.loads(folder.read("lock"))["heartbeat"] > first


@pytest.mark.usefixtures("without_kernel_locks")
def test_a_whole_run_without_kernel_locks(runs_dir, steps):
    with RunWriter.create(runs_dir, name="x", kind="fit") as writer:
        steps(writer, 0, 5)
        with pytest.raises(RunLockedError):
            RunWriter.resume(writer.path)
        assert open_run(writer.path).status == "running"
    assert open_run(writer.path).status == "finished"
    RunWriter.resume(writer.path).close()
