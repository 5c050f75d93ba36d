"""Tables from file to tensors and back, against scikit-learn and by changing what must not matter."""

import json

import numpy as np
import pandas
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from pellucid.data.settings import DataSettings
from pellucid.data.table import TablePreparation, prepare_table
from pellucid.errors import DataError, RunCorruptedError, RunTooNewError, SettingsError


@pytest.fixture
def passengers():
    """A table like the Titanic's: missing values, mixed types, an identifier, names, tickets."""
    generator = np.random.default_rng(0)
    rows = 300
    sex = generator.choice(["male", "female"], rows)
    age = np.where(generator.random(rows) < 0.2, np.nan, generator.normal(30, 12, rows).round(1))
    return pandas.DataFrame(
        {
            "PassengerId": np.arange(1, rows + 1),
            "survived": ((sex == "female") ^ (generator.random(rows) < 0.2)).astype(int),
            "name": [f"Smith {number}, Mr. X" for number in range(rows)],
            "sex": sex,
            "age": age,
            "fare": generator.lognormal(3, 1, rows).round(2),
            "alone": generator.choice(["yes", "no"], rows),
            "boarded": pandas.Series(pandas.date_range("1912-04-01", periods=rows, freq="7h")).dt.strftime("%d.%m.%Y"),
            "embarked": generator.choice(["S", "C", "Q", None], rows, p=[0.7, 0.2, 0.05, 0.05]),
            "ship": "Titanic",
        }
    )


@pytest.fixture
def path(tmp_path, passengers):
    passengers.to_csv(tmp_path / "passengers.csv", index=False)
    return tmp_path / "passengers.csv"


SETTINGS = DataSettings(target="survived")


def test_a_mixed_table_becomes_tensors_with_everything_said(path):
    prepared = prepare_table(path, SETTINGS)
    assert prepared.task == "classification"
    assert prepared.classes == ("0", "1")
    assert {name: len(split) for name, split in prepared.splits.items()} == {"train": 210, "validation": 45, "test": 45}
    for split in prepared.splits.values():
        assert split.inputs.dtype == torch.float32
        assert split.inputs.shape[1:] == prepared.input_shape
        assert torch.isfinite(split.inputs).all()
    said = " ".join(prepared.notes)
    for words in ("two values", "'PassengerId' was dropped", "'name' was dropped", "'ship' was dropped", "stratified"):
        assert words in said
    names = prepared.preparation.feature_names
    assert {"age", "age is missing", "sex_male", "embarked_(missing)", "boarded: month", "alone"} <= set(names)


def test_numbers_are_what_scikit_learn_makes_of_the_training_rows(path, passengers):
    prepared = prepare_table(path, DataSettings(target="survived", outliers="none"))
    train = prepared.splits["train"].rows
    ages = passengers[["age"]].to_numpy()
    imputer = SimpleImputer(strategy="median").fit(ages[train])
    scaler = StandardScaler().fit(imputer.transform(ages[train]))
    expected = scaler.transform(imputer.transform(ages))[:, 0]
    column = prepared.preparation.feature_names.index("age")
    for split in prepared.splits.values():
        np.testing.assert_allclose(split.inputs[:, column].numpy(), expected[split.rows], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(split.targets.numpy(), passengers["survived"].to_numpy()[split.rows])


def test_what_stands_outside_training_changes_nothing_in_training(tmp_path, path, passengers):
    before = prepare_table(path, SETTINGS)
    changed = passengers.copy()
    outside = np.concatenate([before.splits["validation"].rows, before.splits["test"].rows])
    changed.loc[outside, "age"] = 5_000.0
    changed.loc[outside, "fare"] = np.nan
    changed.loc[outside, "embarked"] = "Nowhere"
    changed.to_csv(tmp_path / "changed.csv", index=False)
    after = prepare_table(tmp_path / "changed.csv", SETTINGS)
    assert torch.equal(before.splits["train"].inputs, after.splits["train"].inputs)
    assert not torch.equal(before.splits["test"].inputs, after.splits["test"].inputs)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl"])
def test_saved_loaded_and_read_again_raw_rows_give_the_same_inputs(tmp_path, path, passengers, suffix):
    prepared = prepare_table(path, SETTINGS)
    prepared.preparation.save(tmp_path / "preparation")
    loaded = TablePreparation.load(tmp_path / "preparation")
    other = tmp_path / f"new.{suffix}"
    write = {
        "csv": lambda: passengers.to_csv(other, index=False),
        "tsv": lambda: passengers.to_csv(other, index=False, sep="\t"),
        "parquet": lambda: passengers.to_parquet(other),
        "jsonl": lambda: passengers.to_json(other, orient="records", lines=True),
    }
    write[suffix]()
    raw = loaded.read(other)
    for split in prepared.splits.values():
        assert torch.equal(raw.inputs[split.rows], split.inputs)
        assert torch.equal(raw.targets[split.rows], split.targets)
    assert raw.identifiers["row"].tolist() == list(range(len(passengers)))
    assert raw.identifiers["name"].tolist() == passengers["name"].tolist()


def test_new_rows_keep_their_order_without_target_and_with_columns_beyond(tmp_path, path, passengers):
    prepared = prepare_table(path, SETTINGS)
    some = passengers.iloc[[250, 3, 77]].drop(columns=["survived", "ship"])
    some.insert(0, "extra", 1)
    some[some.columns[::-1]].to_csv(tmp_path / "new.csv", index=False)
    raw = prepared.preparation.read(tmp_path / "new.csv")
    assert raw.targets is None
    assert raw.identifiers["PassengerId"].tolist() == [251, 4, 78]
    everything = prepared.preparation.read(path)
    assert torch.equal(raw.inputs, everything.inputs[[250, 3, 77]])


def test_new_rows_may_hold_unseen_and_missing_values(tmp_path, path, passengers):
    preparation = prepare_table(path, SETTINGS).preparation
    new = passengers.head(4).copy()
    new["sex"] = ["diverse", None, "male", "male"]
    new["fare"] = [None, 1e9, 5.0, 5.0]
    new["survived"] = [0, 1, 7, None]
    new.to_csv(tmp_path / "new.csv", index=False)
    raw = preparation.read(tmp_path / "new.csv")
    assert torch.isfinite(raw.inputs).all()
    assert raw.targets.tolist() == [0, 1, -100, -100]


def test_a_missing_column_is_named(tmp_path, path, passengers):
    preparation = prepare_table(path, SETTINGS).preparation
    passengers.rename(columns={"age": "Age"}).drop(columns=["fare"]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="'age', 'fare'") as caught:
        preparation.read(tmp_path / "new.csv")
    assert "'Age'" in caught.value.remedy


def test_leading_zeros_of_categories_survive_a_file_of_numbers_only(tmp_path):
    codes = ["007", "042", "7a"] * 20
    pandas.DataFrame({"code": codes, "y": ["u", "v", "w"] * 20}).to_csv(tmp_path / "a.csv", index=False)
    preparation = prepare_table(tmp_path / "a.csv", DataSettings(target="y")).preparation
    (tmp_path / "new.csv").write_text("code\n007\n042\n")
    assert preparation.read(tmp_path / "new.csv").inputs.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_a_regression_target_is_standardised_by_its_training_rows(tmp_path):
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame({"x": generator.normal(size=100), "y": generator.normal(50, 9, 100)})
    prepared = prepare_table(frame, DataSettings(target="y"))
    mean, std = prepared.target_scale
    train = prepared.splits["train"]
    assert mean[0] == pytest.approx(frame["y"][train.rows].mean())
    assert std[0] == pytest.approx(frame["y"][train.rows].std(ddof=0))
    assert prepared.task == "regression"
    assert prepared.classes is None
    for split in prepared.splits.values():
        assert split.targets.shape == (len(split), 1)
        np.testing.assert_allclose(split.targets.numpy() * std + mean, frame[["y"]].to_numpy()[split.rows], rtol=1e-5)


def test_the_seed_decides_the_split(path):
    rows = [prepare_table(path, SETTINGS, seed).splits["test"].rows for seed in (0, 0, 1)]
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_groups_stay_together_and_time_orders(passengers):
    passengers["family"] = np.arange(300) % 40
    grouped = prepare_table(passengers, DataSettings(target="survived", group="family"))
    families = [set(passengers["family"][split.rows]) for split in grouped.splits.values()]
    assert sum(map(len, families)) == 40
    assert "family" not in grouped.preparation.feature_names
    passengers["when"] = np.arange(300)[::-1]
    ordered = prepare_table(passengers, DataSettings(target="survived", time="when", shuffle=False))
    assert (
        passengers["when"][ordered.splits["train"].rows].max() < passengers["when"][ordered.splits["test"].rows].min()
    )


def test_features_can_be_chosen_dropped_and_limited(passengers):
    prepared = prepare_table(
        passengers, DataSettings(target="survived", features=("a*", "fare"), drop=("alone",), limit=100)
    )
    assert prepared.preparation.feature_names == ("age", "fare", "age is missing")
    assert sum(map(len, prepared.splits.values())) == 100
    asked = prepare_table(passengers, DataSettings(target="survived", features=("PassengerId",)))
    assert asked.preparation.feature_names == ("PassengerId",)


def test_a_counter_is_kept_where_there_is_nothing_else():
    frame = pandas.DataFrame({"n": np.arange(50), "y": np.sin(np.arange(50) / 5)})
    assert prepare_table(frame, DataSettings(target="y")).input_shape == (1,)


def test_rows_with_missing_cells_or_targets_are_left_out_and_counted(passengers):
    passengers["survived"] = passengers["survived"].astype(float)
    passengers.loc[[4, 9], "survived"] = np.nan
    prepared = prepare_table(passengers, DataSettings(target="survived", features=("age", "fare"), missing="drop"))
    used = np.concatenate([split.rows for split in prepared.splits.values()])
    assert sorted(used) == np.flatnonzero(passengers[["survived", "age"]].notna().all(axis=1)).tolist()
    assert prepared.report.rows_without_target == 2
    assert prepared.classes == ("0", "1")


def test_rows_are_previewed_in_words(tmp_path, path):
    preparation = prepare_table(path, SETTINGS).preparation
    preparation.save(tmp_path / "p")
    lines = TablePreparation.load(tmp_path / "p").preview(np.array([2, 0]))["texts"]
    assert len(lines) == 2
    assert "sex " in lines[0]
    assert " · age " in lines[0]
    path.unlink()
    assert TablePreparation.load(tmp_path / "p").preview(np.array([2])) == {}
    assert (
        prepare_table(pandas.DataFrame({"x": range(3, 33), "y": [0, 1] * 15})).preparation.preview(np.array([0])) == {}
    )


def bad(**columns):
    generator = np.random.default_rng(0)
    return pandas.DataFrame({"x": generator.normal(size=40), "y": generator.integers(0, 2, 40)} | columns)


@pytest.mark.parametrize(
    ("frame", "target", "said"),
    [
        (bad(), "z", "no column 'z'"),
        (bad(y=[1] * 40), "y", "same in every row: '1'"),
        (bad(y=[None] * 40), "y", "missing in every row"),
        (bad(y=[f"row {number}" for number in range(40)]), "y", "40 classes in 40 rows"),
        (bad(x=[1.0] * 39 + [np.inf]), "y", "'x' holds 1 infinite value"),
        (bad(y=[0.5] * 39 + [-np.inf]), "y", "'y' holds 1 infinite value"),
        (bad(x=["same"] * 40), "y", "no column is left"),
        (bad(x=[np.nan] * 40), "y", "no column is left"),
        (bad().head(1), "y", "1 row is too few"),
        (bad().head(3), "y", "too few"),
    ],
)
def test_tables_that_cannot_be_used(frame, target, said):
    with pytest.raises(DataError) as caught:
        prepare_table(frame, DataSettings(target=target))
    assert said in caught.value.message
    assert caught.value.remedy


def test_an_infinite_value_names_its_row(tmp_path):
    bad(x=[1.0] * 20 + [np.inf] * 20).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError) as caught:
        prepare_table(tmp_path / "a.csv", DataSettings(target="y"))
    assert caught.value.place == f"{tmp_path / 'a.csv'}, column 'x', row 21 below the header"


def test_a_target_that_nobody_named_is_guessed_only_from_a_usual_name():
    assert prepare_table(bad()).target_names == ("y",)
    with pytest.raises(SettingsError, match="no target"):
        prepare_table(bad().rename(columns={"y": "result"}))


def test_regression_of_names_is_refused():
    with pytest.raises(DataError, match="no numbers"):
        prepare_table(bad(y=["a", "b"] * 20), DataSettings(target="y", task="regression"))


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        ([3, 10, 1] * 20, "classification", ("1", "3", "10")),
        ([3.0, 10.0, np.nan] * 20, "classification", ("3", "10")),
        (["10", "9", "b"] * 20, "classification", ("9", "10", "b")),
        ([True, False, True] * 20, "classification", ("False", "True")),
        (list(range(60)), "regression", None),
        ([0.5, 1.5, 2.5] * 20, "regression", None),
        ([0.5, 1.5] * 30, "classification", ("0.5", "1.5")),
    ],
)
def test_the_task_is_inferred(cells, task, classes):
    frame = pandas.DataFrame({"x": np.random.default_rng(0).normal(size=60), "y": cells})
    prepared = prepare_table(frame, DataSettings(target="y"))
    assert (prepared.task, prepared.classes) == (task, classes)


def test_damaged_preparations_are_refused(tmp_path, path):
    prepare_table(path, SETTINGS).preparation.save(tmp_path / "p")
    document = json.loads((tmp_path / "p/preparation.json").read_text())

    def refused(match, error=RunCorruptedError):
        with pytest.raises(error, match=match):
            TablePreparation.load(tmp_path / "p")

    for key in ("columns", "target", "seed"):
        (tmp_path / "p/preparation.json").write_text(json.dumps({k: v for k, v in document.items() if k != key}))
        refused("damaged")
    (tmp_path / "p/preparation.json").write_text(json.dumps(document | {"version": 99}))
    refused("newer", RunTooNewError)
    (tmp_path / "p/preparation.json").write_text("{")
    refused("damaged")
    (tmp_path / "p/preparation.json").write_text(json.dumps(document))
    whole = (tmp_path / "p/transformer.skops").read_bytes()
    (tmp_path / "p/transformer.skops").write_bytes(whole[: len(whole) // 2])
    refused("cannot be read")
    (tmp_path / "p/transformer.skops").unlink()
    refused("cannot be read")


def test_numbers_too_large_for_single_precision_are_refused():
    frame = bad(x=np.random.default_rng(0).normal(size=40) * 1e60)
    assert torch.isfinite(prepare_table(frame).splits["train"].inputs).all()
    with pytest.raises(DataError, match="too large") as caught:
        prepare_table(frame, DataSettings(scaling="none"))
    assert "'x'" in caught.value.place


def test_pandas_own_types_are_read_like_plain_ones():
    plain = pandas.DataFrame(
        {"a": [1.0, np.nan, 3.0, 7.0] * 10, "b": [True, False, None, True] * 10, "c": ["u", "v", "w", "u"] * 10}
    ).assign(y=["p", "q"] * 20)
    nullable = plain.astype({"a": "Int64", "b": "boolean", "c": "category"})
    first, second = prepare_table(plain), prepare_table(nullable)
    assert first.preparation.feature_names == second.preparation.feature_names
    assert torch.equal(first.splits["train"].inputs, second.splits["train"].inputs)
    assert torch.equal(second.preparation.read(plain).inputs, first.preparation.read(nullable).inputs)


def test_a_column_that_is_empty_in_new_rows_is_filled(tmp_path, path, passengers):
    preparation = prepare_table(path, SETTINGS).preparation
    new = passengers.head(3).assign(age=None, sex=None, alone=None, boarded=None)
    new.to_csv(tmp_path / "new.csv", index=False)
    assert torch.isfinite(preparation.read(tmp_path / "new.csv").inputs).all()
    assert torch.isfinite(preparation.read(new).inputs).all()


def test_rows_without_a_group_are_groups_of_their_own(passengers):
    passengers["family"] = ["f1", "f2", None] * 100
    prepared = prepare_table(passengers, DataSettings(target="survived", group="family"))
    assert any("100 rows without a group" in note for note in prepared.notes)
