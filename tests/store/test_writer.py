"""What is written is read back, whatever thread wrote it and whatever its values were."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import RunError, RunLockedError, RunNotFoundError, SettingsError
from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.store import creation as creation_module
from pellucid.store.rows import RowBuffer
from pellucid.store.run import open_run
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter


def test_a_new_run_is_a_complete_folder(runs_dir):
    writer = RunWriter.create(runs_dir, name="Zürich: 3 dice!", kind="watch", settings={"a": (1, 2)}, seed=7)
    assert re.fullmatch(r"\d{8}-\d{6}-zurich-3-dice-[0-9a-f]{4}", writer.id)
    assert [path.name for path in runs_dir.iterdir()] == [writer.id]
    document = json.loads((writer.path / "run.json").read_bytes())
    assert (document["schema"], document["status"], document["seed"]) == ("run/1", "running", 7)
    assert document["settings"] == {"a": [1, 2]}
    writer.close()


def test_an_id_that_is_taken_is_not_given_again(runs_dir, monkeypatch):
    given = iter(["20260101-000000-x-0000", "20260101-000000-x-0000", "20260101-000000-x-0001"])
    monkeypatch.setattr(creation_module, "new_run_id", lambda name: next(given))
    for expected in ("0000", "0001"):
        with RunWriter.create(runs_dir, name="x", kind="fit") as writer:
            assert writer.id.endswith(expected)
    assert sorted(path.name[-4:] for path in runs_dir.iterdir()) == ["0000", "0001"]


def test_rows_come_back_in_order_with_their_values(writer, steps):
    steps(writer, 0, 100)
    writer.flush()
    steps(writer, 100, 50)
    writer.close()
    rows = open_run(writer.path).table("steps")
    assert rows.schema.equals(TABLES["steps"])
    assert rows["step"].to_pylist() == list(range(150))
    assert rows["loss"].to_pylist() == [1 / (step + 1) for step in range(150)]
    assert rows["learning_rate"].null_count == 150


def test_rows_reach_the_disk_without_being_asked(writer, steps):
    steps(writer, 0, 10)
    arrived = threading.Event()
    for _ in range(2000):
        if open_run(writer.path).row_count("steps") == 10:
            arrived.set()
            break
        threading.Event().wait(0.005)
    assert arrived.is_set()


def test_columns_may_be_arrays_lists_or_one_value_for_all(writer):
    counts = np.arange(3 * 64, dtype=np.int64).reshape(3, 64)
    writer.extend(
        "histograms", {"step": 5, "layer": ["a", "b", "a"], "kind": "weight", "low": np.zeros(3), "counts": counts}
    )
    counts[:] = -1  # what the caller does later changes nothing
    row = np.arange(64)
    writer.append("histograms", step=6, layer="c", kind="gradient", counts=row)
    row[:] = -1
    writer.close()
    rows = open_run(writer.path).table("histograms")
    assert rows.schema.equals(TABLES["histograms"])
    assert rows["step"].to_pylist() == [5, 5, 5, 6]
    assert rows["layer"].to_pylist() == ["a", "b", "a", "c"]
    assert rows["kind"].to_pylist() == ["weight", "weight", "weight", "gradient"]
    expected = np.vstack([np.arange(3 * 64).reshape(3, 64), np.arange(64)])
    assert np.array_equal(np.array(rows["counts"].to_pylist()), expected)


def test_floats_that_are_no_numbers_survive(writer):
    for value in (math.nan, math.inf, -math.inf, None, np.float32(0.5)):
        writer.append("steps", step=0, loss=value)
    writer.update(metrics={"loss": math.nan, "best": -math.inf})
    writer.close()
    run = open_run(writer.path)
    losses = run.table("steps")["loss"].to_pylist()
    assert math.isnan(losses[0])
    assert losses[1:] == [math.inf, -math.inf, None, 0.5]
    assert math.isnan(run.manifest.metrics["loss"])
    assert run.manifest.metrics["best"] == -math.inf


def test_a_value_that_does_not_fit_becomes_null_and_an_event(writer):
    writer.append("steps", step=1, loss="much", batch_size=10**12)
    writer.append("steps", step=2, loss=0.5)
    writer.close()
    run = open_run(writer.path)
    assert run.table("steps", columns=["step", "loss", "batch_size"]).to_pylist() == [
        {"step": 1, "loss": None, "batch_size": None},
        {"step": 2, "loss": 0.5, "batch_size": None},
    ]
    messages = run.table("events")["message"].to_pylist()
    assert any("steps.loss cannot hold 'much'" in message for message in messages)
    assert any("steps.batch_size" in message for message in messages)


def test_wrong_names_and_lengths_are_refused_at_once(writer):
    with pytest.raises(SettingsError, match="no table 'stepz'"):
        writer.append("stepz", step=1)
    with pytest.raises(SettingsError, match="no column los"):
        writer.append("steps", los=1)
    with pytest.raises(SettingsError, match="not equally long"):
        writer.extend("steps", {"step": [1, 2], "loss": [1.0]})
    with pytest.raises(SettingsError, match="no field speed"):
        writer.update(speed=1)
    with pytest.raises(SettingsError, match="no field status"):
        writer.update(status="finished")
    with pytest.raises(SettingsError, match="cannot name a result"):
        writer.put_result("../x", LearningRateRange.__new__(LearningRateRange))  # refused by its name alone
    writer.close()
    assert open_run(writer.path).row_count("steps") == 0


def test_many_threads_lose_no_row(writer):
    def work(thread: int) -> None:
        for index in range(500):
            writer.append("steps", step=index, epoch=thread)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        writer.flush()
    writer.close()
    rows = open_run(writer.path).table("steps", columns=["epoch", "step"]).to_pandas()
    for _, group in rows.groupby("epoch"):
        assert group["step"].tolist() == list(range(500))
    assert len(rows) == 4000


def test_update_merges_metrics_and_replaces_the_rest(writer):
    writer.update(metrics={"accuracy": 0.5}, epoch=1)
    writer.update(metrics={"f1": 0.25}, epoch=2)
    writer.flush()
    manifest = open_run(writer.path).manifest
    assert manifest.metrics == {"accuracy": 0.5, "f1": 0.25}
    assert manifest.epoch == 2


def test_results_and_files_come_back(writer):
    rates = np.geomspace(1e-4, 1, 5)
    result = LearningRateRange(
        learning_rate=rates,
        loss=rates**2,
        smoothed_loss=rates,
        suggestion=0.1,
        steepest=0.2,
        diverged_at=None,
        optimizer="adam",
        reason="for the test",
    )
    writer.put_result("learning_rate_range", result)
    writer.put_file("preparation/pipeline.skops", b"\x00\x01")
    run = open_run(writer.path)
    assert run.result_names() == ["learning_rate_range"]
    assert run.result_bytes("learning_rate_range") == result.to_bytes()
    assert type(run.result("learning_rate_range")) is LearningRateRange
    assert run.read_file("preparation/pipeline.skops") == b"\x00\x01"
    assert run.file_names("preparation") == ["pipeline.skops"]
    with pytest.raises(RunNotFoundError, match="no result 'evaluation_test'") as caught:
        run.result("evaluation_test")
    assert "learning_rate_range" in str(caught.value)
    with pytest.raises(RunNotFoundError, match="no file x"):
        run.read_file("x")


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b", "a\0b", "./a"])
def test_files_cannot_be_written_or_read_outside_the_run(writer, relative):
    with pytest.raises(SettingsError, match="not a path inside a run"):
        writer.put_file(relative, b"")
    with pytest.raises(SettingsError, match="not a path inside a run"):
        open_run(writer.path).read_file(relative)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (None, "finished", ""),
        (ValueError("no"), "failed", "ValueError: no"),
        (KeyboardInterrupt(), "stopped", "interrupted by the keyboard"),
    ],
)
def test_how_the_block_ends_is_how_the_run_ended(runs_dir, error, status, message, steps):
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    try:
        with writer:
            steps(writer, 0, 3)
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    run = open_run(writer.path)
    assert (run.status, run.manifest.message, run.row_count("steps")) == (status, message, 3)


def test_closing_twice_is_closing_once_and_then_nothing_is_taken(writer):
    writer.close("stopped", "enough")
    writer.close("failed", "never")
    assert open_run(writer.path).manifest.message == "enough"
    with pytest.raises(RunError, match="closed"):
        writer.append("steps", step=1)


def test_a_program_that_forgets_to_close_loses_nothing(runs_dir):
    code = f"""
from pellucid.store.writer import RunWriter
writer = RunWriter.create({str(runs_dir)!r}, name="x", kind="watch")
writer.extend("steps", {{"step": list(range(77))}})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    run = open_run("latest", runs_dir)
    assert run.row_count("steps") == 77
    assert run.status == "stopped"
    assert "ended before" in run.manifest.message


def _write_in_child(writer: RunWriter) -> None:
    writer.append("steps", step=666)
    writer.extend("steps", {"step": [666]})
    writer.update(message="child")
    writer.put_file("child", b"")
    writer.flush()
    writer.close("failed", "child")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_neither_writes_nor_unlocks(writer, steps):
    steps(writer, 0, 5)  # waiting in memory, also in the child's copy of it
    child = multiprocessing.get_context("fork").Process(target=_write_in_child, args=(writer,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert open_run(writer.path).status == "running"
    with pytest.raises(RunLockedError):
        RunWriter.resume(writer.path)
    writer.close()
    run = open_run(writer.path)
    assert run.table("steps")["step"].to_pylist() == list(range(5))
    assert (run.status, run.manifest.message, run.file_names()) == ("finished", "", ["lock", "run.json", "segments"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_that_outlives_the_writer_does_not_hold_its_lock(runs_dir):
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    release = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=release.wait, args=(60,))
    child.start()
    writer.close()
    RunWriter.resume(writer.path).close()
    release.set()
    child.join()


def test_a_pickled_writer_is_a_harmless_copy(writer):
    copy = pickle.loads(pickle.dumps(writer))  # our own bytes: what spawning a worker does
    assert copy.closed
    assert copy.id == writer.id
    _write_in_child(copy)
    writer.append("steps", step=1)
    writer.close()
    run = open_run(writer.path)
    assert run.table("steps")["step"].to_pylist() == [1]
    assert run.status == "finished"


_VALUES = st.one_of(st.none(), st.floats(width=32), st.integers(-(2**31), 2**31 - 1))


@settings(max_examples=40, deadline=None)
@given(
    entries=st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {}, optional={"step": st.integers(0, 2**40), "loss": _VALUES, "step_time_s": _VALUES}
            ),
            st.integers(1, 4).flatmap(
                lambda length: st.fixed_dictionaries({"loss": st.lists(_VALUES, min_size=length, max_size=length)})
            ),
        ),
        max_size=12,
    )
)
def test_any_mixture_of_rows_and_blocks_keeps_order_and_values(entries):
    buffer = RowBuffer("steps")
    expected = []
    for entry in entries:
        if isinstance(entry.get("loss"), list):
            buffer.extend(entry)
            expected += entry["loss"]
        else:
            buffer.append(entry)
            expected.append(entry.get("loss"))
    rows = buffer.drain()
    got = rows["loss"].to_pylist() if rows is not None else []
    assert np.array_equal(
        np.array(got, dtype=object).astype(float), np.array(expected, dtype=object).astype(float), equal_nan=True
    )
    assert [value is None for value in got] == [value is None for value in expected]
    assert buffer.drain() is None
    assert buffer.problems == []


def test_a_tensor_of_one_element_is_a_number(writer):
    torch = pytest.importorskip("torch")
    writer.append("steps", step=torch.tensor(3), loss=torch.tensor(0.5, requires_grad=True))
    writer.append("steps", step=4, loss=torch.ones(2))
    writer.close()
    assert open_run(writer.path).table("steps", columns=["step", "loss"]).to_pylist() == [
        {"step": 3, "loss": 0.5},
        {"step": 4, "loss": None},
    ]
