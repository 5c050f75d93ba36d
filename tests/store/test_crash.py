"""A writer may die at any instruction: every row it had written is there, once, in order."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from pellucid.store import appender as appender_module
from pellucid.store.appender import TableAppender
from pellucid.store.filesystem import PARTIAL, LocalFolder
from pellucid.store.rewind import finish_rewind, rewind_tables
from pellucid.store.run import list_runs, open_run
from pellucid.store.writer import RunWriter
from tests.store.crashing_folder import Crash, CrashingFolder

_MOST_MOMENTS = 400


def _steps_on_disk(path) -> list[int]:
    run = open_run(path)
    rows = run.table("steps", columns=["step"])["step"].to_pylist()
    assert run.warnings == ()
    assert run.row_count("steps") == len(rows)
    return rows


@pytest.fixture
def finished(runs_dir):
    """A finished run without rows."""
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    writer.close()
    return writer.path


def _write_until_crash(path, moments: int, segments: int) -> tuple[int, bool]:
    """Write two rows a segment, merging after each; say how many rows were surely written and whether all was."""
    sure = 0
    try:
        appender = TableAppender(CrashingFolder(path, moments), "steps", f"{moments:08x}")
        appender.take_over()
        for _ in range(segments):
            first = appender.next_row
            appender.buffer.extend({"step": [first, first + 1]})
            appender.flush()
            sure = first + 2
            appender.merge()
    except Crash:
        return sure, False
    return sure, True


def test_dying_at_every_moment_of_flushing_and_merging(finished, monkeypatch):
    monkeypatch.setattr(appender_module, "_FAN", 3)
    written = 0
    for moments in range(1, _MOST_MOMENTS):
        # Each life goes on with what the one before left behind, so that leftovers of many crashes meet.
        sure, complete = _write_until_crash(finished, moments, segments=5)
        rows = _steps_on_disk(finished)
        assert rows == list(range(len(rows)))
        assert len(rows) >= max(sure, written)
        written = len(rows)
        if complete:
            break
    else:
        pytest.fail("the number of moments was not enough")
    assert written > 20


def _fill(path) -> None:
    appender = TableAppender(LocalFolder(path), "steps", "aaaaaaaa")
    appender.take_over()
    # Steps go back once, as after a rewind of the caller's own: what stays is not simply a beginning.
    for steps in ([0, 1, 2], [3, 4, 5], [2, 6, 7], [8, 9]):
        appender.buffer.extend({"step": steps})
        appender.flush()


_KEPT = [0, 1, 2, 3, 4, 2]
_ALL = [0, 1, 2, 3, 4, 5, 2, 6, 7, 8, 9]


def test_dying_at_every_moment_of_a_rewind(runs_dir):
    for moments in range(1, _MOST_MOMENTS):
        writer = RunWriter.create(runs_dir, name=f"x{moments}", kind="fit")
        writer.close()
        _fill(writer.path)
        try:
            rewind_tables(CrashingFolder(writer.path, moments), "00000001", after_step=4)
            complete = True
        except Crash:
            complete = False
        assert _steps_on_disk(writer.path) in (_ALL, _KEPT)  # nothing between
        try:  # the next writer dies, too, while it clears up
            finish_rewind(CrashingFolder(writer.path, moments % 7 + 1))
        except Crash:
            assert _steps_on_disk(writer.path) in (_ALL, _KEPT)
        again = RunWriter.resume(writer.path, after_step=4)
        again.append("steps", step=5)
        again.close()
        assert _steps_on_disk(writer.path) == [*_KEPT, 5]
        assert not list(writer.path.rglob("*" + PARTIAL))
        assert not (writer.path / "rewind.json").exists()
        if complete:
            return
    pytest.fail("the number of moments was not enough")


_VICTIM = """
import os, signal, sys, time
import pyarrow as pa; pa.array([0])
from pellucid.store import flushing as module
from pellucid.store.writer import RunWriter

runs, delays = sys.argv[1], [float(word) for word in sys.argv[2:]]
for index, delay in enumerate(delays):
    child = os.fork()
    if child == 0:
        if index % 2:
            module.FLUSH_INTERVAL_S = 0.002  # many segments and merges: dying in the midst of one
        writer = RunWriter.create(runs, name="victim", kind="fit")
        step, last, lagged = 0, time.time(), 0.0
        while True:
            now = time.time()
            lagged += max(0.0, now - last - 0.02)  # how long the machine did not let us run
            last = now
            writer.extend("steps", {"step": [step, step + 1], "time_s": now, "loss": lagged})
            step += 2
            time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    killed = time.time()
    os.waitpid(child, 0)
    print(killed, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_random_moments(runs_dir):
    random.seed()
    delays = [str(random.uniform(0.02, 0.5)) for _ in range(18)] + ["1.6", "1.5", "1.7"]
    told = subprocess.run(
        [sys.executable, "-c", _VICTIM, str(runs_dir), *delays], check=True, capture_output=True, text=True
    )
    killed = [float(line) for line in told.stdout.split()]
    runs = {summary.id: summary for summary in list_runs(runs_dir)}
    assert len(killed) == len(delays)
    assert len(runs) >= len(delays) // 2  # the earliest deaths come before there is a run
    for run_id, summary in runs.items():
        assert summary.status == "interrupted"
        rows = open_run(run_id, runs_dir).table("steps", columns=["step", "time_s", "loss"]).to_pydict()
        assert rows["step"] == list(range(len(rows["step"])))
        assert _steps_on_disk(runs_dir / run_id) == rows["step"]
        if rows["step"]:
            death = min(time_s for time_s in killed if time_s >= rows["time_s"][-1])
            # A second, and the time for which an overloaded machine let nobody run.
            assert rows["time_s"][-1] >= death - 1.0 - rows["loss"][-1]
        resumed = RunWriter.resume(runs_dir / run_id)
        resumed.append("steps", step=len(rows["step"]))
        resumed.close()
        assert _steps_on_disk(runs_dir / run_id) == list(range(len(rows["step"]) + 1))


def test_a_run_half_created_is_no_run_and_is_swept(runs_dir):
    runs_dir.mkdir()
    hidden = runs_dir / f".20200101-000000-x-0000{PARTIAL}"
    hidden.mkdir()
    (hidden / "run.json").write_text("{")
    assert list_runs(runs_dir) == []
    RunWriter.create(runs_dir, name="y", kind="fit").close()
    assert hidden.exists()  # young: its writer may be at work
    os.utime(hidden, (0, 0))
    RunWriter.create(runs_dir, name="y", kind="fit").close()
    assert not hidden.exists()


def test_leftovers_of_a_merge_are_read_once_and_cleared_by_the_next_writer(writer, steps):
    steps(writer, 0, 20)
    writer.close()
    (whole,) = (writer.path / "segments/steps").iterdir()
    part = TableAppender(LocalFolder(writer.path), "steps", "cccccccc")
    part.buffer.extend({"step": list(range(10))})
    part.flush()  # rows 0 to 9 a second time, as a part that was not deleted yet
    assert len(list((writer.path / "segments/steps").iterdir())) == 2
    assert _steps_on_disk(writer.path) == list(range(20))
    RunWriter.resume(writer.path).close()
    assert list((writer.path / "segments/steps").iterdir()) == [whole]
