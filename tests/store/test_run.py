"""Reading: only what is asked for, from damaged, foreign and living runs alike."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import RunCorruptedError, RunNotFoundError, RunTooNewError, SettingsError
from pellucid.store import appender as appender_module
from pellucid.store import flushing as flushing_module
from pellucid.store import rows as rows_module
from pellucid.store import segments as segments_module
from pellucid.store.rows import RowBuffer
from pellucid.store.run import open_run
from pellucid.store.segments import Segment, resolve_segments
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter


@pytest.fixture
def layered(runs_dir):
    """A run with three segments of each of two tables; layer ``a`` in every second row."""
    writer = RunWriter.create(runs_dir, name="layered", kind="watch")
    for part in range(3):
        numbers = list(range(part * 10, part * 10 + 10))
        writer.extend("steps", {"step": numbers, "loss": np.array(numbers) / 4})
        layers = ["ab"[number % 2] for number in numbers]
        writer.extend("layers", {"step": numbers, "layer": layers, "weight_norm": np.array(numbers, "float32")})
        writer.flush()
    writer.close()
    return writer.path


def test_columns_rows_and_layers_may_be_chosen(layered):
    run = open_run(layered)
    chosen = run.table("layers", columns=["weight_norm", "step"], after=15, layer="b")
    assert chosen.column_names == ["weight_norm", "step"]
    assert chosen["step"].to_pylist() == [15, 17, 19, 21, 23, 25, 27, 29]
    assert chosen["weight_norm"].to_pylist() == [15, 17, 19, 21, 23, 25, 27, 29]
    assert run.table("layers", layer="none").num_rows == 0
    assert run.table("steps", after=99).schema.equals(TABLES["steps"])
    assert run.table("steps", after=-5).num_rows == 30
    assert run.table("events").num_rows == run.row_count("events") == 0


def test_every_beginning_and_end_is_cut_right(layered):
    run = open_run(layered)
    for after in range(31):
        assert run.table("steps", after=after)["step"].to_pylist() == list(range(after, 30))


def test_only_the_needed_segments_are_read(layered, monkeypatch):
    read: list[Segment] = []
    original = segments_module.read_segment

    def spy(folder, table, segment, columns=None):
        read.append(segment)
        return original(folder, table, segment, columns)

    monkeypatch.setattr(segments_module, "read_segment", spy)
    open_run(layered).table("steps", after=20)
    assert [(segment.first, segment.last) for segment in read] == [(20, 29)]


def test_kinds_of_histograms_may_be_chosen(writer):
    counts = np.arange(64)
    for kind in ("weight", "gradient", "weight"):
        writer.append("histograms", step=1, layer="a", kind=kind, low=0.0, high=1.0, counts=counts)
    writer.close()
    run = open_run(writer.path)
    assert run.table("histograms", kind="weight", layer="a").num_rows == 2
    assert run.table("histograms", columns=["step"], kind="gradient")["step"].to_pylist() == [1]


def test_unknown_tables_and_columns_are_named(layered):
    run = open_run(layered)
    with pytest.raises(SettingsError, match="no table 'stepz'") as caught:
        run.row_count("stepz")
    assert "histograms" in caught.value.remedy
    with pytest.raises(SettingsError, match="no column losss"):
        run.table("steps", columns=["losss"])
    with pytest.raises(SettingsError, match="no column layer"):
        run.table("steps", layer="a")


def test_a_truncated_segment_is_left_out_and_the_rest_is_read(layered):
    _, middle, _ = sorted((layered / "segments/steps").iterdir())
    middle.write_bytes(middle.read_bytes()[:-20])
    run = open_run(layered)
    assert run.table("steps")["step"].to_pylist() == [*range(10), *range(20, 30)]
    assert len(run.warnings) == 1
    assert middle.name in run.warnings[0]
    assert run.row_count("steps") == 30  # the next row's number
    assert run.table("layers").num_rows == 30


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\0" * 1000])
def test_a_segment_that_is_no_parquet(layered, content):
    first, *_ = sorted((layered / "segments/steps").iterdir())
    first.write_bytes(content)
    run = open_run(layered)
    assert run.table("steps")["step"].to_pylist() == list(range(10, 30))
    assert len(run.warnings) == 1


def test_a_lost_segment_is_a_gap_with_a_warning(layered):
    _, middle, _ = sorted((layered / "segments/steps").iterdir())
    middle.unlink()
    run = open_run(layered)
    assert run.table("steps", after=5)["step"].to_pylist() == [*range(5, 10), *range(20, 30)]
    assert run.warnings == ("rows 10 to 19 of the table steps are missing",)


def test_a_segment_whose_name_lies_is_left_out(layered):
    *_, last = sorted((layered / "segments/steps").iterdir())
    last.rename(last.with_name(last.name.replace("29", "40", 1)))
    run = open_run(layered)
    assert run.table("steps").num_rows == 20
    assert "holds 10 rows, not 21" in run.warnings[0]


def test_a_writer_goes_on_behind_damage(layered, monkeypatch):
    monkeypatch.setattr(appender_module, "_FAN", 2)
    first, *_ = sorted((layered / "segments/steps").iterdir())
    first.write_bytes(b"")
    with RunWriter.resume(layered) as writer:
        for step in range(30, 34):
            writer.append("steps", step=step)
            writer.flush()
            writer._flusher._merge()
    assert open_run(layered).table("steps")["step"].to_pylist() == list(range(10, 34))


def test_foreign_files_beside_the_segments_are_passed_over(layered):
    folder = layered / "segments/steps"
    for name in ("readme.txt", "x.parquet", "000000000030-000000000029-aaaaaaaa.parquet", "half.parquet.partial"):
        (folder / name).write_bytes(b"?")
    run = open_run(layered)
    assert run.table("steps").num_rows == 30
    assert run.warnings == ()


def test_a_table_of_the_future_is_refused(layered):
    first, *_ = sorted((layered / "segments/steps").iterdir())
    rows = pq.read_table(first).replace_schema_metadata({b"pellucid.tables": b"99"})
    pq.write_table(rows, first)
    with pytest.raises(RunTooNewError, match="newer Pellucid"):
        open_run(layered).table("steps")


def test_other_tools_read_the_segments(layered):
    pattern = str(layered / "segments/steps/*.parquet")
    total = duckdb.sql(f"select count(*), sum(loss), min(step) from '{pattern}'").fetchall()
    assert total == [(30, sum(range(30)) / 4, 0)]
    labels = duckdb.sql(f"select distinct layer from '{layered}/segments/layers/*.parquet' order by 1").fetchall()
    assert labels == [("a",), ("b",)]
    frame = pd.concat(map(pd.read_parquet, sorted((layered / "segments/steps").iterdir())))
    assert frame["step"].tolist() == list(range(30))


def test_a_snapshot_stands_while_the_run_goes_on(layered):
    run = open_run(layered)
    assert run.row_count("steps") == 30
    with RunWriter.resume(layered) as writer:
        writer.append("steps", step=30)
    assert run.row_count("steps") == run.table("steps").num_rows == 30
    assert run.refresh().row_count("steps") == run.table("steps").num_rows == 31


def test_a_snapshot_survives_merging(layered, monkeypatch):
    run = open_run(layered)
    assert run.row_count("steps") == 30
    monkeypatch.setattr(appender_module, "_FAN", 2)
    with RunWriter.resume(layered) as writer:
        writer.append("steps", step=30)
        writer.flush()
        writer._flusher._merge()
    assert len(list((layered / "segments/steps").iterdir())) == 1
    assert run.table("steps", after=7)["step"].to_pylist() == list(range(7, 30))


def test_a_snapshot_of_a_rewound_run_sees_the_present_rows(layered):
    run = open_run(layered)
    assert run.row_count("steps") == 30
    RunWriter.resume(layered, after_step=12).close()
    assert run.table("steps")["step"].to_pylist() == list(range(13))


def test_files_that_keep_vanishing_are_an_error_and_no_endless_loop(layered, monkeypatch):
    def vanish(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(segments_module, "read_segment", vanish)
    with pytest.raises(RunCorruptedError, match="vanish"):
        open_run(layered).table("steps")


def test_reading_all_the_while_it_is_written_and_merged(runs_dir, monkeypatch):
    monkeypatch.setattr(appender_module, "_FAN", 3)
    monkeypatch.setattr(flushing_module, "FLUSH_INTERVAL_S", 0.001)
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    stop = threading.Event()
    faults: list[object] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        seen = 0
        run = open_run(writer.path)
        while not stop.is_set():
            run.refresh()
            count = run.row_count("steps")
            after = max(0, count - 50)
            rows = run.table("steps", columns=["step"], after=after)["step"].to_pylist()
            if rows != list(range(after, count)) or count < seen or run.warnings:
                faults.append((rows[:3], rows[-3:], after, count, seen, run.warnings))
            seen = count
            reads += 1

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    step = 0
    while reads < 200 and not faults:
        writer.extend("steps", {"step": list(range(step, step + 5))})
        step += 5
        writer.flush()
    stop.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert faults == []
    assert open_run(writer.path).table("steps")["step"].to_pylist() == list(range(step))


def test_the_number_of_files_stays_small(writer):
    appender = writer._flusher.tables["steps"]
    with writer._flusher.io_lock:
        for step in range(600):
            appender.buffer.append({"step": step, "loss": 1 / (step + 1)})
            appender.flush()
            appender.merge()
    assert len(list((writer.path / "segments/steps").iterdir())) <= 2 * appender_module._FAN
    assert open_run(writer.path).table("steps")["step"].to_pylist() == list(range(600))


def test_sealed_segments_are_not_merged_again(writer, monkeypatch):
    monkeypatch.setattr(appender_module, "_SEALED_BYTES", 1)
    appender = writer._flusher.tables["steps"]
    with writer._flusher.io_lock:
        for step in range(20):
            appender.buffer.append({"step": step})
            appender.flush()
            assert not appender.merge()


def test_rewinding(layered):
    for after, expected in ((22, 23), (9, 10), (9, 10), (100, 10), (0, 1), (-1, 0)):
        writer = RunWriter.resume(layered, after_step=after)
        writer.close()
        run = open_run(layered)
        for table in ("steps", "layers"):
            assert run.table(table)["step"].to_pylist() == list(range(expected))
        assert writer.elapsed_before_s == 0.0
    assert run.manifest.resumes == 6


def test_rewinding_to_nothing_takes_rows_without_a_step_and_damage_along(layered):
    first, *_ = sorted((layered / "segments/layers").iterdir())
    first.write_bytes(b"")
    with RunWriter.resume(layered) as writer:
        writer.append("events", kind="note", message="no step")
        writer.append("events", step=-1, kind="note", message="before the first")
    RunWriter.resume(layered, after_step=50).close()
    assert open_run(layered).row_count("events") == 2
    RunWriter.resume(layered, after_step=-1).close()
    run = open_run(layered)
    assert [run.row_count(table) for table in TABLES] == [0] * len(TABLES)


def test_a_rewind_note_that_is_damaged_is_named(layered):
    (layered / "rewind.json").write_text("[]")
    with pytest.raises(RunCorruptedError, match="rewind") as caught:
        open_run(layered).table("steps")
    assert caught.value.place.endswith("rewind.json")


def test_time_goes_on_from_the_last_row_that_can_be_read(writer):
    for step in range(2):
        writer.append("steps", step=step, time_s=step + 0.5)
        writer.flush()
    writer.close()
    *_, last = sorted((writer.path / "segments/steps").iterdir())
    last.write_bytes(b"")
    resumed = RunWriter.resume(writer.path)
    assert resumed.elapsed_before_s == 0.5
    resumed.close()


def test_time_goes_on_where_it_ended(writer):
    writer.append("steps", step=0, time_s=1.5)
    writer.append("metrics", step=0, time_s=2.25, split="train", metric="loss", value=1.0)
    writer.close()
    resumed = RunWriter.resume(writer.path)
    assert resumed.elapsed_before_s == 2.25
    assert resumed.elapsed_s() > 2.25
    resumed.close()


def test_more_labels_than_a_column_can_tell_apart(monkeypatch):
    monkeypatch.setattr(rows_module, "_MOST_LABELS", 3)
    buffer = RowBuffer("metrics")
    buffer.extend({"metric": ["a", "b", None, "c", "d", "a"]})
    assert buffer.drain()["metric"].to_pylist() == ["a", "b", None, "c", None, "a"]
    assert "more than 3 different labels" in buffer.problems[0]


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.data(),
)
def test_any_merged_segments_beside_their_parts_cover_every_row_once(sizes, data):
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    parts = [Segment(low, high - 1, "0" * 8) for low, high in itertools.pairwise(edges)]
    begin = data.draw(st.integers(0, len(sizes) - 1))
    end = data.draw(st.integers(begin + 1, len(sizes)))
    merged = Segment(edges[begin], edges[end] - 1, "1" * 8)
    left = data.draw(st.lists(st.sampled_from(parts[begin:end]), unique=True))  # not yet deleted
    found = data.draw(st.permutations([*parts[:begin], *left, merged, *parts[end:]]))
    chosen, superseded, gaps = resolve_segments(found)
    covered = [row for segment in chosen for row in range(segment.first, segment.last + 1)]
    assert covered == list(range(edges[-1]))
    assert gaps == []
    assert sorted([*chosen, *superseded]) == sorted(found)


def test_a_run_opens_without_torch(layered):
    code = f"""
import sys
from pellucid.store.run import list_runs, open_run
assert len(list_runs({str(layered.parent)!r})) == 1
assert not {{"pyarrow", "numpy", "pandas", "torch"}} & set(sys.modules), sorted(sys.modules)
assert open_run({str(layered)!r}).table("layers", layer="a").num_rows == 15
assert not {{"pandas", "torch"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_that_was_moved_or_deleted(layered, tmp_path):
    run = open_run(layered)
    shutil.move(layered, tmp_path / "elsewhere")
    assert open_run(tmp_path / "elsewhere").id == "elsewhere"
    with pytest.raises(RunNotFoundError, match="gone"):
        run.refresh()


def test_a_rewind_that_is_noted_while_a_reader_looks(layered, monkeypatch):
    from pellucid.store import rewind as rewind_module

    answers = [None, rewind_module.Rewind("f" * 8, committed=True, cuts={"steps": 10})]
    monkeypatch.setattr(rewind_module, "read_rewind", lambda folder: answers.pop(0) if len(answers) > 1 else answers[0])
    assert open_run(layered).row_count("steps") == 10


def test_the_repr_names_run_and_status(layered):
    assert repr(open_run(layered)) == f"<Run {layered.name} (finished)>"
    assert json.loads((layered / "run.json").read_text())["id"] == layered.name
