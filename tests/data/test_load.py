"""Any source by its kind, folds of it, and preparations back from disk."""

import json

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from pellucid.data.folds import prepare_folds
from pellucid.data.load import load_preparation, prepare
from pellucid.data.settings import DataSettings
from pellucid.errors import RunCorruptedError, SettingsError, SourceNotFoundError


@pytest.mark.parametrize(
    ("name", "modality", "task", "classes"),
    [
        ("digits", "image", "classification", 10),
        ("iris", "table", "classification", 3),
        ("wine", "table", "classification", 3),
        ("breast_cancer", "table", "classification", 2),
        ("diabetes", "table", "regression", None),
        ("moons", "table", "classification", 2),
        ("names", "text", "classification", 5),
    ],
)
def test_embedded_sets_are_prepared_saved_and_read_again(tmp_path, name, modality, task, classes):
    prepared = prepare(name, seed=3)
    assert (prepared.modality, prepared.task) == (modality, task)
    assert classes is None or len(prepared.classes) == classes
    prepared.preparation.save(tmp_path)
    raw = load_preparation(tmp_path).read(name)
    for split in prepared.splits.values():
        assert torch.equal(raw.inputs[split.rows], split.inputs)
        assert torch.equal(raw.targets[split.rows], split.targets)


def test_digits_become_a_table_where_pixels_are_named():
    prepared = prepare("digits", DataSettings(features=("pixel_*",)))
    assert prepared.modality == "table"
    assert prepared.task == "classification"
    assert 50 < prepared.input_shape[0] <= 64


def test_files_are_dispatched_by_what_they_hold(tmp_path):
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "x": generator.normal(size=60).round(3),
            "said": ["fine day " + "ab"[n % 2] + f" {n % 7}" for n in range(60)],
            "y": ["u", "v"] * 30,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert prepare(tmp_path / "t.csv", DataSettings(target="y", features=("x",))).modality == "table"
    assert prepare(tmp_path / "t.csv", DataSettings(target="y", text="said")).modality == "text"
    series = prepare(tmp_path / "t.csv", DataSettings(series=("x",), window=5, horizon=2))
    assert series.modality == "series"
    for number in range(20):
        folder = tmp_path / "photos" / "uv"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (6, 6), dtype=np.uint8)).save(folder / f"{number}.png")
    assert prepare(tmp_path / "photos").modality == "image"


def test_an_existing_path_goes_before_an_embedded_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pandas.DataFrame({"a": np.arange(20.0) ** 2, "target": [0, 1] * 10}).to_csv("iris", index=False)
    assert prepare("iris").target_names == ("target",)


@pytest.mark.parametrize("name", ["diabetes", "iris"])
def test_folds_test_every_row_once_and_are_fitted_on_their_own_training_rows(name):
    folds = list(prepare_folds(name, DataSettings(folds=4), seed=1))
    assert len(folds) == 4
    tested = np.concatenate([fold.splits["test"].rows for fold in folds])
    assert sorted(tested) == list(range(folds[0].report.rows))
    assert "4 folds" in folds[0].report.split_method
    for fold in folds:
        mean = fold.splits["train"].inputs.double().mean(dim=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)


def test_one_fold_is_no_cross_validation():
    with pytest.raises(SettingsError, match="no cross-validation"):
        prepare_folds("iris", DataSettings(folds=1))


def test_a_source_that_is_nowhere_suggests_the_closest_name():
    with pytest.raises(SourceNotFoundError) as caught:
        prepare("breast_canser")
    assert "'breast_cancer'" in caught.value.remedy


def test_preparations_of_unknown_kinds_are_refused(tmp_path):
    (tmp_path / "preparation.json").write_text(json.dumps({"modality": "smell", "version": 1}))
    with pytest.raises(RunCorruptedError, match="smell"):
        load_preparation(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"scaling": "huge"}, {"missing": "guess"}, {"limit": 0}, {"folds": -1}, {"window": 0}]
)
def test_settings_that_do_not_exist_are_refused(wrong):
    with pytest.raises(SettingsError) as caught:
        prepare("iris", DataSettings(**wrong))
    assert caught.value.place == next(iter(wrong))
    assert caught.value.remedy
