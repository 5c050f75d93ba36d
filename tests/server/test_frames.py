"""Thinning: no extreme is lost, every series keeps its share, and a short table is left as it is."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.results import codec
from pellucid.server import frames
from pellucid.server.frames import build_frame
from pellucid.store.run import find_run
from pellucid.store.tables import HISTOGRAM_BINS
from pellucid.store.writer import RunWriter

ROWS = 20_000


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """20,000 steps with noise and one spike each way; 3 layers of different length; histograms of 2 layers."""
    generator = np.random.default_rng(0)
    loss = generator.normal(size=ROWS)
    loss[12_345], loss[6_789] = 50.0, -50.0
    loss[777] = np.nan
    runs_dir = tmp_path_factory.mktemp("long")
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        writer.extend("steps", {"step": np.arange(ROWS), "loss": loss, "gradient_norm": generator.random(ROWS)})
        for layer, rows in (("a", 5000), ("b", 300), ("c", 1)):
            mean = generator.normal(size=rows)
            writer.extend("layers", {"step": np.arange(rows), "layer": layer, "activation_mean": mean})
        for step in range(200):
            for layer in ("a", "b"):
                counts = np.full(HISTOGRAM_BINS, step, np.int32)
                writer.append("histograms", step=step, layer=layer, kind="weight", low=0.0, high=1.0, counts=counts)
    return find_run(writer.id, runs_dir), loss


def unpack(frame):
    return codec.unpack(frame.payload)


def test_a_spike_survives_thinning(long_run):
    run, loss = long_run
    frame = build_frame(run, "steps", points=500)
    document, arrays = unpack(frame)
    assert document["sampled"]
    assert (document["first_row"], document["next_row"]) == (0, ROWS)
    assert len(arrays["step"]) <= 500
    assert (np.nanmax(arrays["loss"]), np.nanmin(arrays["loss"])) == (50.0, -50.0)
    assert np.isnan(arrays["loss"]).any()
    assert (arrays["step"][0], arrays["step"][-1]) == (0, ROWS - 1)
    assert (np.diff(arrays["step"]) > 0).all()
    steps = arrays["step"].astype(int)
    assert np.array_equal(arrays["loss"], loss[steps], equal_nan=True)


def test_each_layer_is_thinned_by_itself(long_run):
    run, _ = long_run
    document, arrays = unpack(build_frame(run, "layers", points=400))
    labels = document["columns"]["layer"]["labels"]
    read = {name: arrays["activation_mean"][arrays["layer"] == code] for code, name in enumerate(labels)}
    whole = run.table("layers", columns=["layer", "activation_mean"]).to_pandas().groupby("layer", observed=True)
    for name, group in whole["activation_mean"]:
        assert len(read[name]) <= max(400, 1)
        assert read[name].max() == group.max()
        assert read[name].min() == group.min()
    assert {name: len(values) for name, values in read.items() if name != "a"} == {"b": 300, "c": 1}


def test_histograms_are_thinned_evenly_at_common_steps(long_run):
    run, _ = long_run
    document, arrays = unpack(build_frame(run, "histograms", points=60))
    steps = [arrays["step"][arrays["layer"] == code] for code in range(2)]
    assert np.array_equal(steps[0], steps[1])
    assert len(steps[0]) == 60
    assert (steps[0][0], steps[0][-1]) == (0, 199)
    assert set(np.diff(steps[0])) == {3, 4}
    assert np.array_equal(arrays["counts"], np.repeat(arrays["step"][:, None], HISTOGRAM_BINS, axis=1))
    assert document["sampled"]


def test_what_fits_is_left_as_it_is(long_run):
    run, _ = long_run
    frame = build_frame(run, "steps", after=ROWS - 100, points=100)
    assert (frame.rows, frame.sampled, frame.first_row, frame.next_row) == (100, False, ROWS - 100, ROWS)


def test_very_many_series_stay_below_the_limit(long_run, monkeypatch):
    run, _ = long_run
    monkeypatch.setattr(frames, "MOST_FRAME_BYTES", 30_000)
    frame = build_frame(run, "histograms", points=2000)
    assert 20_000 < len(frame.payload) < 40_000
    assert frame.sampled


@pytest.mark.parametrize("points", [1, 2, 3])
def test_even_one_point_is_an_answer(long_run, points):
    run, _ = long_run
    for table in ("steps", "layers", "histograms"):
        frame = build_frame(run, table, points=points)
        assert frame.rows >= 1
        assert frame.sampled


def test_a_nan_that_was_measured_differs_from_a_missing_figure(tmp_path):
    with RunWriter.create(tmp_path, name="diverged", kind="watch") as writer:
        for step, gradient in enumerate([1.0, None, float("nan"), float("inf"), None]):
            writer.append("steps", step=step, gradient_norm=gradient)
    document, arrays = unpack(build_frame(find_run(writer.id, tmp_path), "steps"))
    assert np.isnan(arrays["gradient_norm"]).tolist() == [False, True, True, False, True]
    column = document["columns"]["gradient_norm"]
    assert column["numbers"] == {"$array": "gradient_norm"}
    assert arrays[column["lost"]["$array"]].tolist() == [0, 0, 1, 0, 0]
    assert document["columns"]["loss"] == {"$array": "loss"}


def test_where_a_nan_was_measured_is_thinned_with_its_column(long_run):
    run, _ = long_run
    document, arrays = unpack(build_frame(run, "steps", points=500))
    lost = arrays[document["columns"]["loss"]["lost"]["$array"]].astype(bool)
    assert np.array_equal(lost, np.isnan(arrays["loss"]))
    assert arrays["step"][lost].tolist() == [777]


def test_missing_values_keep_a_columns_type(tmp_path):
    with RunWriter.create(tmp_path, name="gaps", kind="watch") as writer:
        writer.append("steps", step=0)
        writer.append("metrics", step=0, split=None, metric="accuracy", value=1.0)
        writer.append("histograms", step=0, layer="a", kind="weight")
        writer.append("histograms", step=1, layer="a", kind="weight", counts=np.arange(HISTOGRAM_BINS))
    run = find_run(writer.id, tmp_path)
    _, steps = unpack(build_frame(run, "steps"))
    assert steps["epoch"].dtype == steps["step"].dtype == np.float64
    assert np.isnan(steps["epoch"][0])
    document, metrics = unpack(build_frame(run, "metrics"))
    assert metrics["split"].tolist() == [-1]
    assert document["columns"]["metric"]["labels"] == ["accuracy"]
    _, histograms = unpack(build_frame(run, "histograms"))
    assert histograms["counts"].tolist() == [[0] * HISTOGRAM_BINS, list(range(HISTOGRAM_BINS))]
    _, empty = unpack(build_frame(run, "layers"))
    assert {len(array) for array in empty.values()} == {0}


@pytest.mark.parametrize("after", [0, 1, 7, 37])
def test_every_value_is_as_pandas_reads_it(tmp_path, after):
    generator = np.random.default_rng(after)
    with RunWriter.create(tmp_path, name="mixed", kind="watch") as writer:
        for row in range(40):
            known = {"layer": f"layer {row % 3}", "kind": "weight", "low": generator.normal(), "elements": 2**40 + row}
            known["counts"] = generator.integers(0, 9, HISTOGRAM_BINS)
            kept = {name: value for name, value in known.items() if generator.random() < 0.7}
            writer.append("histograms", step=row, **kept)
            if row % 9 == 0:
                writer.flush()
    run = find_run(writer.id, tmp_path)
    document, arrays = unpack(build_frame(run, "histograms", after=after))
    expected = run.table("histograms", after=after).to_pandas()
    assert document["next_row"] == 40
    for name, column in document["columns"].items():
        if "labels" in column:
            read = [column["labels"][code] if code >= 0 else None for code in arrays[name]]
            assert read == [value if isinstance(value, str) else None for value in expected[name]]
        elif name == "counts":
            wanted = [np.zeros(HISTOGRAM_BINS) if value is None else value for value in expected[name]]
            assert np.array_equal(arrays[name], np.stack(wanted))
        else:
            assert np.array_equal(arrays[name], expected[name].to_numpy(dtype=float, na_value=np.nan), equal_nan=True)
