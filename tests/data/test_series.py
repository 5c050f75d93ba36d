"""Series against windows in closed form and figures from NumPy and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pellucid.data.load import load_preparation, prepare
from pellucid.data.series import SeriesPreparation, prepare_series
from pellucid.data.settings import DataSettings
from pellucid.data.splits import split_rows
from pellucid.data.windows import WindowPlan, cut_windows, needed_rows, plan_windows
from pellucid.errors import DataError, RunCorruptedError, SettingsError


def settings(**more) -> DataSettings:
    return DataSettings(**{"series": ("value",), "window": 6, "horizon": 3, **more})


def table(folder, rows: int = 100, name: str = "a.csv", **columns) -> pd.DataFrame:
    """The value at step t is t, so that every window shows where it was cut."""
    times = pd.date_range("2024-01-01", periods=rows, freq="D")
    frame = pd.DataFrame({"when": times, "value": np.arange(rows, dtype=float), **columns})
    frame.to_csv(folder / name, index=False)
    return frame


def raw(prepared, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A split's windows in the series' own unit."""
    mean, std = prepared.target_scale
    split = prepared.splits[name]
    return split.inputs[..., 0].numpy() * std[0] + mean[0], split.targets.numpy() * std + mean


def test_windows_are_what_they_are_in_closed_form(tmp_path):
    table(tmp_path)
    prepared = prepare_series(tmp_path / "a.csv", settings())
    assert prepared.task == "regression"
    assert prepared.input_shape == (6, 1)
    assert prepared.target_names == ("value+1", "value+2", "value+3")
    assert prepared.outputs == 3
    for name, split in prepared.splits.items():
        inputs, targets = raw(prepared, name)
        np.testing.assert_allclose(inputs, split.rows[:, None] + np.arange(-5, 1), atol=1e-4)
        np.testing.assert_allclose(targets, split.rows[:, None] + np.arange(1, 4), atol=1e-4)
    # 70 training rows hold 70 - 9 + 1 windows; 15 rows of targets hold 15 - 3 + 1 horizons
    assert prepared.report.split_sizes == {"train": 62, "validation": 13, "test": 13}


@given(
    rows=st.integers(20, 200),
    window=st.integers(1, 20),
    horizon=st.integers(1, 8),
    stride=st.integers(1, 5),
)
def test_no_target_stands_in_two_splits_and_training_never_sees_validation(rows, window, horizon, stride):
    plan = WindowPlan(window, horizon, stride)
    parts = split_rows(rows, shuffle=False)
    starts = plan_windows(plan, parts)
    targets = {
        name: set(cut_windows(np.arange(rows), found + window, horizon).ravel()) for name, found in starts.items()
    }
    for name, found in starts.items():
        assert targets[name] <= set(parts[name].tolist())
        assert (found >= 0).all()
        assert (np.diff(found) == stride).all()
    training = cut_windows(np.arange(rows), starts["train"], window + horizon)
    assert training.size == 0 or training.max() < parts["validation"].min()
    # brute force: every start whose horizon lies in the part, from the first one on
    if stride == 1:
        for name, found in starts.items():
            expected = [
                s for s in range(rows) if set(range(s + window, s + window + horizon)) <= set(parts[name].tolist())
            ]
            assert found.tolist() == expected


@given(window=st.integers(1, 30), horizon=st.integers(1, 20))
def test_the_needed_length_is_the_shortest_that_works(window, horizon):
    plan = WindowPlan(window, horizon)
    needed = needed_rows(plan, (0.7, 0.15, 0.15))
    assert all(len(found) for found in plan_windows(plan, split_rows(needed, shuffle=False)).values())
    if needed > 6:
        shorter = plan_windows(plan, split_rows(needed - 1, shuffle=False))
        assert not all(len(found) for found in shorter.values())


@pytest.mark.parametrize(
    ("scaling", "scaler", "names"),
    [
        ("auto", StandardScaler, ("mean_", "scale_")),
        ("minmax", MinMaxScaler, ("data_min_", "data_range_")),
        ("robust", RobustScaler, ("center_", "scale_")),
    ],
)
def test_the_scale_is_fitted_on_the_training_part_only(tmp_path, scaling, scaler, names):
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(5, 2, 70), generator.normal(500, 90, 30)])
    frame = table(tmp_path, value=values, other=generator.normal(1, 3, 100))
    both = settings(series=("value", "other"), scaling=scaling)
    prepared = prepare_series(tmp_path / "a.csv", both)
    fitted = scaler().fit(frame[["value", "other"]].to_numpy()[:70])
    expected = fitted.transform(frame[["value", "other"]].to_numpy())
    split = prepared.splits["test"]
    for inputs, targets, row in zip(split.inputs, split.targets, split.rows, strict=True):
        np.testing.assert_allclose(inputs, expected[row - 5 : row + 1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(targets, expected[row + 1 : row + 4, 0], rtol=1e-4, atol=1e-5)
    assert prepared.target_scale is not None
    for ours, name in zip(prepared.target_scale, names, strict=True):
        np.testing.assert_allclose(ours, np.repeat(getattr(fitted, name)[0], 3))


def test_what_is_saved_reads_the_same(tmp_path):
    table(tmp_path, value=np.sin(np.arange(100) / 3))
    prepared = prepare(tmp_path / "a.csv", settings(time="when"))
    prepared.preparation.save(tmp_path / "kept")
    loaded = load_preparation(tmp_path / "kept")
    assert isinstance(loaded, SeriesPreparation)
    read = loaded.read(tmp_path / "a.csv")
    assert len(read.inputs) == 100 - 9 + 1 + 1
    assert read.targets is not None
    assert torch.isnan(read.targets[-1]).all()
    assert not torch.isnan(read.targets[:-1]).any()
    places = {row: place for place, row in enumerate(read.identifiers["row"])}
    assert places[99] == len(read.inputs) - 1
    for split in prepared.splits.values():
        chosen = torch.tensor([places[row] for row in split.rows])
        assert torch.equal(split.inputs, read.inputs[chosen])
        assert torch.equal(split.targets, read.targets[chosen])
    assert read.identifiers["when"].iloc[-1].startswith("2024-04-09")
    shown = loaded.preview(np.array([99, 5]))
    np.testing.assert_allclose(shown["series"], np.sin(np.array([99, 5])[:, None] / 3 + np.arange(-5, 1) / 3))
    assert shown["texts"][1].startswith("up to 2024-01-06")
    (tmp_path / "a.csv").unlink()
    assert loaded.preview(np.array([99])) == {}


def test_a_new_series_as_long_as_a_window_is_forecast(tmp_path):
    table(tmp_path)
    preparation = prepare_series(tmp_path / "a.csv", settings()).preparation
    table(tmp_path, 6, "new.csv")
    read = preparation.read(tmp_path / "new.csv")
    assert read.inputs.shape == (1, 6, 1)
    assert read.targets is None
    table(tmp_path, 5, "new.csv")
    with pytest.raises(DataError, match="5 rows are fewer than one window of 6"):
        preparation.read(tmp_path / "new.csv")
    table(tmp_path, 9, "new.csv").drop(columns="value").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="no column 'value'"):
        preparation.read(tmp_path / "new.csv")


def test_a_time_column_orders_the_rows(tmp_path):
    frame = table(tmp_path)
    order = np.random.default_rng(0).permutation(100)
    frame.iloc[order].to_csv(tmp_path / "mixed.csv", index=False)
    sorted_, mixed = (prepare_series(tmp_path / name, settings(time="when")) for name in ("a.csv", "mixed.csv"))
    for name, split in sorted_.splits.items():
        assert torch.equal(split.inputs, mixed.splits[name].inputs)
        np.testing.assert_array_equal(order[mixed.splits[name].rows], split.rows)
    assert "sorted by 'when'" in " ".join(mixed.notes)
    assert [column.role for column in mixed.report.columns] == ["target", "time"]
    shown = mixed.preparation.preview(mixed.splits["test"].rows[:2])
    np.testing.assert_array_equal(shown["series"][:, -1], sorted_.splits["test"].rows[:2])


def test_missing_values_are_interpolated_and_counted(tmp_path):
    frame = table(tmp_path)
    frame.loc[[10, 11, 90], "value"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    prepared = prepare_series(tmp_path / "a.csv", settings())
    assert "3 missing values of 'value' are interpolated." in prepared.notes
    inputs, _ = raw(prepared, "train")
    np.testing.assert_allclose(inputs, prepared.splits["train"].rows[:, None] + np.arange(-5, 1), atol=1e-4)
    assert prepared.report.columns[0].missing == 3
    assert prepared.report.facts["missing"] == "3 values, interpolated"
    assert any("3 validation and test windows are scored on" in warning for warning in prepared.report.warnings)


def test_a_gap_between_the_splits_does_not_leak(tmp_path):
    frame = table(tmp_path)
    frame.loc[66:71, "value"] = None
    frame.loc[72:, "value"] = 1e6  # were it used to fill the gap, training would see it
    frame.to_csv(tmp_path / "a.csv", index=False)
    prepared = prepare_series(tmp_path / "a.csv", settings())
    inputs, targets = raw(prepared, "train")
    assert max(inputs.max(), targets.max()) == pytest.approx(65, abs=1e-3)
    assert prepared.target_scale is not None
    assert prepared.target_scale[0][0] == pytest.approx(np.arange(66).mean())


def test_a_limit_keeps_the_latest_rows(tmp_path):
    table(tmp_path)
    prepared = prepare_series(tmp_path / "a.csv", settings(limit=60))
    assert prepared.report.rows == 60
    inputs, _ = raw(prepared, "train")
    assert inputs.min() == pytest.approx(40, abs=1e-4)
    assert prepared.splits["test"].rows.max() == 96


def test_a_stride_thins_every_split(tmp_path):
    table(tmp_path)
    prepared = prepare_series(tmp_path / "a.csv", settings(stride=4))
    for split in prepared.splits.values():
        assert (np.diff(split.rows) == 4).all()


def test_folds_chain_forward_in_time(tmp_path):
    table(tmp_path)
    last = -1
    for fold in range(3):
        splits = prepare_series(tmp_path / "a.csv", settings(folds=3), fold=fold).splits
        assert splits["train"].rows.max() < splits["validation"].rows.min() < splits["test"].rows.min()
        assert splits["test"].rows.min() > last
        last = splits["test"].rows.max()


def test_the_report_compares_with_repeating_the_last_value(tmp_path):
    table(tmp_path)
    report = prepare_series(tmp_path / "a.csv", settings()).report
    expected = np.sqrt((1 + 4 + 9) / 3)  # the value rises by one a step
    assert f"RMSE {expected:.4g}" in report.facts["last value repeated"]
    assert report.columns[0].high == 99
    assert report.columns[0].histogram is not None
    assert report.columns[0].histogram.sum() == 100
    assert report.modality == "series"


def test_too_short_a_series_states_what_is_needed(tmp_path):
    table(tmp_path, 15)
    with pytest.raises(DataError) as caught:
        prepare_series(tmp_path / "a.csv", settings())
    needed = needed_rows(WindowPlan(6, 3), (0.7, 0.15, 0.15))
    assert f"{needed} are needed" in str(caught.value)
    table(tmp_path, needed)
    assert prepare_series(tmp_path / "a.csv", settings()).report.split_sizes["validation"] >= 1
    table(tmp_path, 3)
    with pytest.raises(DataError, match="3 rows are too few"):
        prepare_series(tmp_path / "a.csv", settings())


@pytest.mark.parametrize(
    ("column", "row", "cell", "message", "place"),
    [
        ("value", 7, "inf", "infinite", "row 8 below the header"),
        ("value", 7, "many", "'many' is not a number", "row 8 below the header"),
        ("when", 7, "soon", "'soon' is neither a date nor a number", "row 8 below the header"),
        ("when", 7, None, "1 rows have no time", "row 8 below the header"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, row, cell, message, place):
    frame = table(tmp_path).astype(object)
    frame.loc[row, column] = cell
    if cell == "many":  # one word among numbers would be read as a way to say "missing"
        frame.loc[20:, column] = [f"word{i}" for i in range(80)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError) as caught:
        prepare_series(tmp_path / "a.csv", settings(time="when"))
    assert message in caught.value.message
    assert place in caught.value.place


def test_bad_columns_and_settings_are_refused(tmp_path):
    frame = table(tmp_path, empty=None, who=[f"n{i}" for i in range(100)])
    path = tmp_path / "a.csv"
    cases = [
        (settings(series=()), SettingsError, "no series column"),
        (settings(series=("value", "value")), SettingsError, "named twice"),
        (settings(window=0), SettingsError, "window of 0"),
        (settings(horizon=-1), SettingsError, "horizon of -1"),
        (settings(task="classification"), SettingsError, "regression"),
        (settings(series=("valeu",)), DataError, "no column 'valeu'"),
        (settings(time="wen"), DataError, "no column 'wen'"),
        (settings(series=("empty",)), DataError, "every value is missing"),
        (settings(series=("who",)), DataError, "is not a number"),
    ]
    for wrong, kind, message in cases:
        with pytest.raises(kind, match=message):
            prepare_series(path, wrong)
    frame["when"] = frame["when"].iloc[np.arange(100) // 2].to_numpy()
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match="50 rows have the same time"):
        prepare_series(path, settings(time="when"))


def test_uneven_times_and_a_flat_series_are_warned_of(tmp_path):
    frame = table(tmp_path)
    frame.loc[50:, "when"] = frame.loc[50:, "when"] + pd.Timedelta(days=30)
    frame["value"] = 3.0
    frame.to_csv(tmp_path / "a.csv", index=False)
    warnings = " ".join(prepare_series(tmp_path / "a.csv", settings(time="when")).report.warnings)
    assert "1 step of 'when' is uneven, up to 31 times" in warnings
    assert "'value' never changes in the training part" in warnings


def test_a_frame_in_memory_and_a_damaged_preparation(tmp_path):
    frame = table(tmp_path)
    prepared = prepare_series(frame, settings())
    from_file = prepare_series(tmp_path / "a.csv", settings())
    assert torch.equal(prepared.splits["test"].inputs, from_file.splits["test"].inputs)
    prepared.preparation.save(tmp_path)
    document = json.loads((tmp_path / "preparation.json").read_text())
    del document["scale"]
    (tmp_path / "preparation.json").write_text(json.dumps(document))
    with pytest.raises(RunCorruptedError, match="series preparation cannot be read"):
        SeriesPreparation.load(tmp_path)
