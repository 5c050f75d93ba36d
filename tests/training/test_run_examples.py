"""A run's network with its own prepared examples, measured under the names of its preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.lenses.local_linear_models import measure_local_linear_models
from pellucid.training.fit import fit
from pellucid.training.run_examples import load_run_examples


def test_a_runs_own_model_is_measured_under_the_names_of_its_preprocessing(tmp_path) -> None:
    table = tmp_path / "people.csv"
    rng = np.random.default_rng(0)
    rows = [f"{rng.integers(18, 80)},{rng.choice(['red', 'blue'])},{rng.choice(['yes', 'no'])}" for _ in range(120)]
    table.write_text("age,colour,bought\n" + "\n".join(rows) + "\n", encoding="utf-8")
    run = fit(table, runs_dir=tmp_path / "runs", target="bought", epochs=2, widths=(8, 8), activation="relu")
    train, test = load_run_examples(run), load_run_examples(run, "test")
    assert train.feature_names is not None
    assert "age" in train.feature_names
    assert any("colour" in name for name in train.feature_names)
    assert train.classes is not None
    assert set(train.classes) == {"yes", "no"}
    found = measure_local_linear_models(
        train.model,
        train.inputs,
        train.targets,
        feature_names=train.feature_names,
        classes=train.classes,
        held_out=(test.inputs, test.targets),
        unvisited=8,
    )
    assert found.error < 1e-10
    assert found.profile("age").feature == "age"
    assert found.held_out is not None
    network = train.model.double()(train.inputs.double()).detach().numpy()
    assert np.abs(found.apply(train.inputs.numpy(), found.data.region) - network).max() < 1e-10
    with pytest.raises(SettingsError, match="no split 'dev'"):
        load_run_examples(run, "dev")


def test_targets_of_a_regression_are_in_the_networks_unit(tmp_path) -> None:
    run = fit("diabetes", runs_dir=tmp_path, epochs=1, widths=(8,))
    examples = load_run_examples(run)
    assert examples.classes is None
    assert examples.output_names is not None
    assert abs(float(examples.targets.mean())) < 0.1
    assert examples.inputs.dtype == torch.float32
