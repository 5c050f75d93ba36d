"""``pellucid measure collapse`` on runs that a fit made."""

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from pellucid.cli.measure import measure_command
from pellucid.results.neural_collapse import NeuralCollapse
from pellucid.results.regression_collapse import RegressionCollapse
from pellucid.store.run import open_run
from pellucid.training.fit import fit
from pellucid.training.run_examples import load_run_examples

app = typer.Typer()
app.command("measure")(measure_command)


def measured(folder, run, split):
    outcome = CliRunner().invoke(
        app, ["collapse", run, "--split", split, "--runs-dir", str(folder), "--json"], catch_exceptions=False
    )
    assert outcome.exit_code == 0, outcome.output
    opened = open_run(run, folder)
    return opened, opened.result(json.loads(outcome.stdout)["results"][0]["name"])


def test_the_test_split_is_judged_by_the_training_centres(tmp_path):
    network = {"kind": "mlp", "widths": (8, 8), "activation": "relu", "normalization": "none", "dropout": 0.0}
    run = fit("iris", epochs=3, network=network, runs_dir=tmp_path).id
    opened, result = measured(tmp_path, run, "test")
    assert isinstance(result, NeuralCollapse)
    assert result.split == "test"
    assert result.class_names == ("setosa", "versicolor", "virginica")
    train, test = load_run_examples(opened, "train"), load_run_examples(opened, "test")
    head = [one for one in test.model.modules() if isinstance(one, torch.nn.Linear)][-1]
    held = []
    head.register_forward_pre_hook(lambda _module, given: held.append(given[0]))
    with torch.no_grad():
        train.model.load_state_dict(test.model.state_dict())
        test.model(train.inputs)
        output = test.model(test.inputs)
    features, others = held
    centres = torch.stack([features[train.targets == c].double().mean(0) for c in range(3)])
    nearest = torch.cdist(others.double(), centres).argmin(1)
    assert result["nc4"] == pytest.approx(float((output.argmax(1) != nearest).double().mean()))


def test_a_regression_is_measured_as_one(tmp_path):
    run = fit("diabetes", epochs=2, runs_dir=tmp_path).id
    _, result = measured(tmp_path, run, "train")
    assert isinstance(result, RegressionCollapse)
    assert result.targets == 1
    assert 0 <= result["nrc1"] <= 1
