"""Overviews: no extreme is lost, nothing is read twice or missed, and without them everything is read all the same."""

import shutil

import numpy as np
import pytest

from pellucid.results import codec
from pellucid.server.frames import build_frame
from pellucid.store import appender as appender_module
from pellucid.store import flushing as flushing_module
from pellucid.store import overview as overview_module
from pellucid.store.rows import BlockLayout
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter

LAYERS = ["first", "second", "third"]
COLUMNS = ("examples", "activation_mean", "weight_norm")
LAYOUT = BlockLayout(COLUMNS, {"layer": LAYERS})


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch):
    monkeypatch.setattr(appender_module, "_SEALED_BYTES", 4_000)
    monkeypatch.setattr(appender_module, "_SUMMARISED_BYTES", 1_000)
    monkeypatch.setattr(flushing_module, "FLUSH_INTERVAL_S", 3600)
    monkeypatch.setattr(overview_module, "_FAN", 3)
    monkeypatch.setattr(overview_module, "_GROUP_ROWS", 20)
    monkeypatch.setattr(overview_module, "_MOST_ROWS", {"steps": 100, "layers": 12, "histograms": 12})


def record(writer, steps, seed=0):
    """Three layers, the second missing at every third step; all values."""
    generator = np.random.default_rng(seed)
    values = {}
    for step in steps:
        figures = generator.standard_normal((3, 3)).astype(np.float32)
        figures[:, 0] = 128
        given = np.ones((3, 3), dtype=bool)
        given[1] = step % 3 > 0
        given[2, 2] = False
        values[step] = figures.astype(float), given
        writer.extend_block("layers", LAYOUT, step, figures.copy(), given)
        if step % 400 == 399:
            writer.flush()
    return values


@pytest.fixture
def long_run(runs_dir):
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        values = record(writer, range(6_000))
    return writer.path, values


def history(values, layer, column):
    place = LAYERS.index(layer)
    return {step: figures[place, column] for step, (figures, given) in values.items() if given[place].any()}


def test_blocks_come_back_as_rows(long_run):
    path, values = long_run
    rows = open_run(path).table("layers", layer="second").to_pandas()
    expected = history(values, "second", 1)
    assert rows["step"].tolist() == list(expected)
    assert rows["activation_mean"].tolist() == list(expected.values())
    assert (rows["examples"] == 128).all()
    assert rows["gradient_norm"].isna().all()
    third = open_run(path).table("layers", layer="third")
    assert third["weight_norm"].null_count == len(third)


@pytest.mark.parametrize("layer", LAYERS)
def test_an_overview_keeps_order_ends_and_extremes(long_run, layer):
    path, values = long_run
    assert len(list((path / "overview/layers").iterdir())) > 1
    run = open_run(path)
    rows, places = run.overview("layers", layer=layer)
    assert places is not None
    assert (np.diff(places) > 0).all()
    assert places[-1] < run.row_count("layers")
    steps = rows["step"].to_pylist()
    expected = history(values, layer, 1)
    assert steps == sorted(set(steps))
    assert len(steps) < len(expected) / 4
    assert (steps[0], steps[-1]) == (min(expected), max(expected))
    means = rows["activation_mean"].to_pylist()
    assert (min(means), max(means)) == (min(expected.values()), max(expected.values()))
    assert [expected[step] for step in steps] == means
    frame = build_frame(run, "layers", points=100, layer=layer)
    assert frame.sampled
    arrays = codec.unpack(frame.payload)[1]
    assert arrays["activation_mean"].max() == max(expected.values())
    assert (np.diff(arrays["step"]) > 0).all()


def test_all_layers_at_once_come_in_the_order_of_recording(long_run):
    path, _ = long_run
    rows, _ = open_run(path).overview("layers")
    told = list(zip(rows["step"].to_pylist(), rows["layer"].to_pylist(), strict=True))
    assert told == sorted(told, key=lambda pair: (pair[0], LAYERS.index(pair[1])))
    assert set(rows["layer"].to_pylist()) == set(LAYERS)


def test_without_overviews_or_with_damaged_ones_the_rows_are_read(long_run):
    path, _ = long_run
    for damaged in (path / "overview/layers").iterdir():
        damaged.write_bytes(b"PAR1 nothing PAR1")
    rows, places = open_run(path).overview("layers", layer="first")
    assert (len(rows), places) == (6_000, None)
    shutil.rmtree(path / "overview")
    assert len(open_run(path).overview("layers", layer="first")[0]) == 6_000


def test_an_overview_of_rows_taken_back_is_not_shown(long_run):
    path, _ = long_run
    kept = path.parent / "kept"
    shutil.copytree(path / "overview", kept)
    with RunWriter.resume(path, after_step=2_000) as writer:
        values = record(writer, range(2_001, 6_000), seed=1)
    shutil.copytree(kept, path / "overview", dirs_exist_ok=True)  # as if the writer had died before it deleted them
    rows, _ = open_run(path).overview("layers", layer="first")
    expected = history(values, "first", 1)
    seen = dict(zip(rows["step"].to_pylist(), rows["activation_mean"].to_pylist(), strict=True))
    assert all(expected[step] == mean for step, mean in seen.items() if step > 2_000)
    assert max(seen.values()) >= max(expected.values())
    shutil.rmtree(kept)


def test_a_writer_that_goes_on_merges_what_is_there(long_run):
    path, values = long_run
    with RunWriter.resume(path) as writer:
        values |= record(writer, range(6_000, 9_000), seed=2)
    names = [each.name for each in (path / "overview/layers").iterdir()]
    segments = len(list((path / "segments/layers").iterdir()))
    assert len(names) < segments
    expected = history(values, "third", 1)
    means = open_run(path).overview("layers", layer="third")[0]["activation_mean"].to_pylist()
    assert (min(means), max(means)) == (min(expected.values()), max(expected.values()))


def test_overviews_of_segments_that_are_merged_go_with_them(runs_dir, monkeypatch):
    monkeypatch.setattr(appender_module, "_SMALLEST_TIER_BYTES", 100)
    monkeypatch.setattr(appender_module, "_FAN", 3)
    monkeypatch.setattr(appender_module, "_SEALED_BYTES", 60_000)
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        values = {}
        for first in range(0, 6_000, 100):
            values |= record(writer, range(first, first + 100), seed=first)
            writer.flush()
            writer._flusher._merge()
        folder = writer.path / "overview/layers"
        segments = len(list((writer.path / "segments/layers").iterdir()))
        assert 0 < len(list(folder.iterdir())) <= segments
        rows, places = open_run(writer.path).overview("layers", layer="first")
    assert places is not None
    expected = history(values, "first", 1)
    means = rows["activation_mean"].to_pylist()
    assert (min(means), max(means)) == (min(expected.values()), max(expected.values()))
    assert rows["step"].to_pylist() == sorted(set(rows["step"].to_pylist()))
    with RunWriter.resume(writer.path):
        pass
    again = open_run(writer.path).overview("layers", layer="first")[0]
    assert again["activation_mean"].to_pylist() == means


def test_histograms_are_thinned_evenly(runs_dir):
    generator = np.random.default_rng(0)
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        for first in range(0, 4_000, 400):
            steps = np.arange(first, first + 400)
            counts = generator.integers(0, 1000, (400, 64))
            for kind in ("weight", "gradient"):
                rows = {"step": steps, "layer": "only", "kind": kind, "low": -1.0, "high": 1.0, "counts": counts}
                writer.extend("histograms", {**rows, "elements": 64})
            writer.flush()
    rows, places = open_run(writer.path).overview("histograms", layer="only", kind="weight")
    assert places is not None
    assert set(rows["kind"].to_pylist()) == {"weight"}
    whole = open_run(writer.path).table("histograms", layer="only", kind="weight")
    known = dict(zip(whole["step"].to_pylist(), whole["counts"].to_pylist(), strict=True))
    assert all(known[row["step"]] == row["counts"] for row in rows.to_pylist())
    assert max(np.diff(rows["step"].to_pylist())) < 200
    for most in (1, 7, 50):
        document, arrays = codec.unpack(build_frame(open_run(writer.path), "histograms", points=most).payload)
        labels = document["columns"]["kind"]["labels"]
        for kind in ("weight", "gradient"):
            steps = arrays["step"][arrays["kind"] == labels.index(kind)]
            assert 0.6 * most <= len(steps) <= most
            assert steps[-1] == 3_999
            assert most < 7 or (steps[0] == 0 and np.diff(steps).max() < 4 * 4_000 / most)


def test_one_odd_step_among_a_hundred_thousand_is_drawn(runs_dir):
    """Of every column of the steps' table, however few rows are shown."""
    generator = np.random.default_rng(0)
    steps, odd = 100_000, {"loss": 61_803, "gradient_norm": 27_182, "step_time_s": 31_415}
    columns = {name: generator.random(steps).astype(np.float32) for name in odd}
    for name, step in odd.items():
        columns[name][step] = 50.0
    columns["loss"][odd["loss"] + 1] = -50.0
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        for first in range(0, steps, 5_000):
            number = np.arange(first, first + 5_000)
            own = {name: values[number] for name, values in columns.items()}
            writer.extend("steps", {"step": number, "epoch": 0, "time_s": number * 0.01, "batch_size": 8, **own})
            writer.flush()
    run = open_run(writer.path)
    rows, places = run.overview("steps")
    assert places is not None
    assert places.tolist() == rows["step"].to_pylist()
    assert len(rows) < steps / 8
    assert rows["step"].to_pylist() == sorted(set(rows["step"].to_pylist()))
    for points in (2_000, 20):
        arrays = codec.unpack(build_frame(run, "steps", points=points).payload)[1]
        assert len(arrays["step"]) <= points
        assert arrays["step"][[0, -1]].tolist() == [0, steps - 1]
        assert np.diff(arrays["step"]).max() <= 2 * 8 * steps / points  # as finely at the beginning as at the end
        for name, step in odd.items():
            assert arrays["step"][arrays[name] == 50.0].tolist() == [step]
        assert arrays["step"][arrays["loss"] == -50.0].tolist() == [odd["loss"] + 1]
