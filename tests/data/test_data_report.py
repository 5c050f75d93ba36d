"""The data report of a table: figures against pandas and NumPy, duplicates and leakage planted on purpose."""

import numpy as np
import pandas
import pytest

from pellucid.data.leakage import find_leakage
from pellucid.data.settings import DataSettings
from pellucid.data.table import prepare_table
from pellucid.results.base import Result

ROWS = 400


@pytest.fixture
def frame():
    generator = np.random.default_rng(0)
    x = generator.lognormal(size=ROWS)
    x[:3] = 1e4
    return pandas.DataFrame(
        {
            "row_id": np.arange(ROWS),
            "x": np.where(generator.random(ROWS) < 0.1, np.nan, x),
            "color": generator.choice(["red", "green", "blue"], ROWS),
            "unused": generator.normal(size=ROWS),
            "label": generator.choice(["yes", "no"], ROWS, p=[0.3, 0.7]),
        }
    )


def report(frame, seed=0, **settings):
    return prepare_table(frame, DataSettings(**{"target": "label", **settings}), seed).report


def column(found, name):
    return next(column for column in found.columns if column.name == name)


def test_figures_are_those_of_pandas(frame):
    found = report(frame, drop=("unused",))
    x = column(found, "x")
    expected = frame["x"]
    assert (x.kind, x.role, x.missing, x.distinct) == ("number", "feature", expected.isna().sum(), expected.nunique())
    assert [x.mean, x.std, x.low, x.median, x.high] == pytest.approx(
        [expected.mean(), expected.std(ddof=0), expected.min(), expected.median(), expected.max()]
    )
    assert x.histogram.sum() == expected.notna().sum()
    assert (x.edges[0], x.edges[-1]) == (x.low, x.high)
    color = column(found, "color")
    counts = frame["color"].value_counts()
    assert dict(zip(color.top_values, color.top_counts, strict=True)) == counts.to_dict()
    assert [(c.name, c.kind, c.role) for c in found.columns] == [
        ("row_id", "identifier", "dropped"),
        ("x", "number", "feature"),
        ("color", "category", "feature"),
        ("unused", "number", "dropped"),
        ("label", "boolean", "target"),
    ]


def test_treatments_tell_the_fitted_numbers(frame):
    prepared = prepare_table(frame, DataSettings(target="label"))
    train = frame["x"][prepared.splits["train"].rows]
    low, middle, high = train.quantile([0.05, 0.5, 0.95])
    fences = (middle - 3 * (middle - low), middle + 3 * (high - middle))
    outside = ((train < fences[0]) | (train > fences[1])).sum()
    clipped = train.clip(*fences)
    filled = clipped.fillna(clipped.median())
    assert outside > 0
    assert column(prepared.report, "x").treatment == (
        f"winsorised to [{fences[0]:.4g}, {fences[1]:.4g}]: {outside} of {len(train)} training values",
        f"missing → median {clipped.median():.4g} (+ indicator)",
        f"standardised: mean {filled.mean():.4g}, std {filled.std(ddof=0):.4g}",
    )
    assert column(prepared.report, "color").treatment == ("one-hot: 3 features; unseen values count as none of them",)
    assert column(prepared.report, "label").treatment == ("numbered 0…1: no, yes",)
    assert column(prepared.report, "row_id").note


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scaling": "minmax"}, "scaled to 0…1 from"),
        ({"scaling": "robust"}, "scaled robustly: median"),
        ({"missing": "mean"}, "missing → mean"),
        ({"categories": "ordinal"}, "ordinal: 3 codes"),
    ],
)
def test_other_treatments_are_told(frame, settings, said):
    found = report(frame, **settings)
    assert said in " ".join(column(found, "x").treatment + column(found, "color").treatment)


def test_splits_and_classes_are_counted(frame):
    prepared = prepare_table(frame, DataSettings(target="label"))
    found = prepared.report
    assert found.split_sizes == {name: len(split) for name, split in prepared.splits.items()}
    assert sum(found.split_sizes.values()) == found.rows == ROWS
    for name, split in prepared.splits.items():
        expected = frame["label"][split.rows].value_counts()
        assert dict(zip(found.classes, found.class_counts[name], strict=True)) == expected.to_dict()
    assert found.split_method == "stratified by label"
    assert found.features_out == prepared.input_shape[0]


def test_duplicates_are_counted_within_and_across_splits(frame):
    frame = pandas.concat([frame, frame.head(50)], ignore_index=True).drop(columns="row_id")
    prepared = prepare_table(frame, DataSettings(target="label"))
    keys = pandas.Series([repr(row) for row in frame.itertuples(index=False)])
    train = set(keys[prepared.splits["train"].rows])
    across = sum(keys[row] in train for name in ("validation", "test") for row in prepared.splits[name].rows)
    assert prepared.report.duplicate_rows == 50
    assert prepared.report.duplicates_across_splits == across > 0
    assert any("stand in the training split too" in warning for warning in prepared.report.warnings)


def test_planted_leaks_are_found_and_innocent_features_are_not(frame):
    frame["copy"] = np.where(frame["label"] == "yes", "J", "N")
    frame["near"] = (frame["label"] == "yes") * 10.0 + np.random.default_rng(1).normal(size=ROWS)
    found = report(frame)
    assert {suspect.column for suspect in found.leakage} == {"copy", "near"}
    reasons = {suspect.column: suspect.reason for suspect in found.leakage}
    assert "under other names" in reasons["copy"]
    assert all(suspect.score >= 0.98 for suspect in found.leakage)
    assert sum("may leak" in warning for warning in found.warnings) == 2


def test_a_scaled_copy_of_a_quantity_leaks():
    generator = np.random.default_rng(0)
    y = generator.normal(size=500)
    features = pandas.DataFrame({"celsius": y * 1.8 + 32, "related": y + generator.normal(size=500)})
    suspects = find_leakage(features, y, "regression")
    assert [suspect.column for suspect in suspects] == ["celsius"]
    assert "nearly equals" in suspects[0].reason


def test_a_leak_by_missing_cells_is_found():
    label = np.arange(200) % 2
    outcome = np.where(label == 1, np.random.default_rng(0).normal(size=200), np.nan)
    suspects = find_leakage(pandas.DataFrame({"outcome": outcome}), label, "classification")
    assert [suspect.column for suspect in suspects] == ["outcome"]


def test_imbalance_rare_classes_and_small_splits_are_warned_of(frame):
    frame["label"] = ["common"] * (ROWS - 5) + ["odd"] * 4 + ["single"]
    said = " ".join(report(frame).warnings)
    assert "imbalanced: always answering 'common'" in said
    assert "'single' (1)" in said
    small = report(frame.drop(columns="label").assign(label=["a", "b"] * (ROWS // 2)).head(60))
    assert any("test split has only" in warning for warning in small.warnings)


def test_the_report_survives_its_payload(frame):
    found = report(frame)
    again = Result.from_bytes(found.to_bytes())
    assert again.to_bytes() == found.to_bytes()
    assert again.columns[1].treatment == found.columns[1].treatment


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_leak_among_very_many_features_is_found(task):
    rng = np.random.default_rng(0)
    features = pandas.DataFrame(rng.normal(size=(1000, 300)), columns=[f"g{number}" for number in range(300)])
    features["gap"] = np.nan
    y = rng.integers(0, 3, 1000) if task == "classification" else rng.normal(size=1000)
    features["leak"] = -2.0 * y + 1
    assert [suspect.column for suspect in find_leakage(features, y, task)] == ["leak"]
