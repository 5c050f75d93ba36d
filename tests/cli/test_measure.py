"""``pellucid measure`` on a run that a fit made."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from pellucid.cli.main import app as whole_app
from pellucid.cli.measure import KINDS, measure_command
from pellucid.errors import DataError, RunNotFoundError, SettingsError
from pellucid.results.input_folding import InputFolding
from pellucid.results.neuron_surface import NeuronSurface
from pellucid.store.run import open_run
from pellucid.training.fit import fit
from pellucid.training.measured import MEASURES, Request, measure_run
from pellucid.training.measured_plane import read_plane
from pellucid.training.measured_run import checkpoint_names
from pellucid.training.run_examples import load_run_examples
from pellucid.training.trained import load_network

app = typer.Typer()
app.command("measure")(measure_command)
runner = CliRunner()

RELU = {"kind": "mlp", "widths": (8, 8), "activation": "relu", "normalization": "none", "dropout": 0.0}


def _call(*words: str) -> str:
    outcome = runner.invoke(app, list(words), env={"COLUMNS": "110"})
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    fit("iris", epochs=3, network=RELU, lenses=("collapse",), runs_dir=folder)
    return str(folder)


def test_the_command_offers_what_the_table_holds() -> None:
    assert tuple(sorted(MEASURES)) == KINDS
    assert "measure" in {command.name for command in whole_app.registered_commands}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_kept_in_the_run(runs, kind) -> None:
    said = json.loads(_call(kind, "latest", "--runs-dir", runs, "--json"))
    run = open_run("latest", runs)
    (kept,) = said["results"]
    assert kept["name"] in run.result_names()
    result = run.result(kept["name"])
    assert result.schema == kept["schema"]
    assert len(run.result_bytes(kept["name"])) == kept["bytes"]
    assert kept["name"] in _call(kind, "latest", "--runs-dir", runs)


def test_a_surface_is_the_run_networks_own(runs) -> None:
    _call("surface", "latest", "--plane", "features:0,2", "--layer", "output", "--resolution", "9", "--runs-dir", runs)
    run = open_run("latest", runs)
    found = run.result("neuron_surface")
    assert isinstance(found, NeuronSurface)
    model, _ = load_network(run)
    s, t = np.meshgrid(found.s, found.t)
    points = found.plane.origin + s.reshape(-1, 1) * found.plane.u + t.reshape(-1, 1) * found.plane.v
    with torch.no_grad():
        true = model.double()(torch.tensor(points)).numpy().T.reshape(-1, 9, 9)
    assert found.layers[0].values == pytest.approx(true, abs=1e-5)
    inputs = load_run_examples(run).inputs.double().numpy()
    assert found.plane.points == pytest.approx(inputs[:, [0, 2]])


def test_checkpoints_are_measured_in_one_plane_and_aligned(runs) -> None:
    said = json.loads(_call("folding", "latest", "--checkpoints", "--runs-dir", runs, "--json"))
    run = open_run("latest", runs)
    names = [one["name"] for one in said["results"]]
    assert names == [f"input_folding_epoch_{epoch:04d}" for epoch in range(len(checkpoint_names(run)))]
    results = [run.result(name) for name in names]
    assert all(isinstance(one, InputFolding) for one in results)
    assert [one.aligned_to for one in results] == ["layers"] + ["reference"] * (len(names) - 1)
    assert all(np.array_equal(one.lines, results[0].lines) for one in results)


def test_classes_of_all_checkpoints_are_drawn_as_those_of_the_last_network(runs) -> None:
    (final,) = json.loads(_call("classes", "latest", "--runs-dir", runs, "--json"))["results"]
    said = json.loads(_call("classes", "latest", "--checkpoints", "--runs-dir", runs, "--json"))
    run = open_run("latest", runs)
    last = run.result(final["name"])
    results = [run.result(one["name"]) for one in said["results"]]
    assert len(results) > 1
    for one in results:
        assert one.axes == pytest.approx(last.axes, abs=1e-12)
        assert one.point_classes.tolist() == last.point_classes.tolist()
    # In these axes a picture is the class coordinates along them, whatever network it is of.
    assert results[0].points == pytest.approx(results[0].point_places @ last.axes, abs=1e-5)


def test_planes_by_name_number_and_layer(runs) -> None:
    examples = load_run_examples(open_run("latest", runs))
    names = examples.feature_names
    by_name = read_plane(f"features:{names[1]},{names[3]}", examples)
    by_number = read_plane("features:1,3", examples)
    assert by_name.labels == by_number.labels == (names[1], names[3])
    corners = read_plane("examples:0,5,9", examples)
    assert corners.point_classes[:3].tolist() == examples.targets[[0, 5, 9]].tolist()
    layer = next(name for name, module in examples.model.named_modules() if isinstance(module, torch.nn.ReLU))
    assert read_plane(f"latent:{layer}", examples).layer == layer
    assert read_plane(f"latent:{layer}:0,3", examples).u_range[1] >= 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("volume",), "no measure"),
        (("surface", "latest", "--plane", "x"), "no plane"),
        (("surface", "latest", "--plane", "features:0,99"), "no feature"),
        (("surface", "latest", "--plane", "features:a,b"), "not 2 numbers"),
        (("surface", "latest", "--plane", "examples:0,1,9999"), "no example"),
        (("surface", "latest", "--layer", "nowhere"), "no layer"),
        (("surface", "latest", "--split", "x"), "no split"),
        (("jacobian", "latest", "--example", "9999"), "no example"),
        (("line", "latest", "--example", "9999"), "no example"),
        (("line", "latest", "--example", "3", "--to", "9999"), "no example"),
        (("line", "latest", "--example", "3", "--to", "3"), "same point"),
        (("weight", "latest", "--layer", "nowhere"), "no weights of 'nowhere'"),
        (("weight", "latest", "--index", "0,999"), "no entry"),
        (("weight", "latest", "--index", "a"), "names no entry"),
        (("calibration", "latest", "--scale", "magic"), "no scaling 'magic'"),
        (("margins", "latest", "--scale", "temperature"), "margins has no scaling"),
    ],
)
def test_bad_words_are_told_with_a_remedy(runs, words, says) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        _call(*words, "--runs-dir", runs)
    assert caught.value.remedy


def test_what_is_asked_of_unseen_examples_takes_the_test_split(runs) -> None:
    for kind, split in (("calibration", "test"), ("margins", "test"), ("robustness", "test"), ("collapse", "train")):
        (kept,) = json.loads(_call(kind, "latest", "--runs-dir", runs, "--json"))["results"]
        assert open_run("latest", runs).result(kept["name"]).split == split, kind
        assert kept["name"].endswith(f"_{split}")


def test_without_a_test_split_the_training_split_is_taken(runs, monkeypatch) -> None:
    monkeypatch.setattr("pellucid.training.measured.splits_of", lambda _run: ("train",))
    ((name, _),) = measure_run(open_run("latest", runs), Request("calibration"))
    assert name == "calibration_train"


@pytest.mark.parametrize("method", ["temperature", "vector", "isotonic"])
def test_a_scaling_is_fitted_on_validation_and_kept_beside_the_plain_figures(runs, method) -> None:
    words = ("calibration", "latest", "--runs-dir", runs, "--scale", method)
    (kept,) = json.loads(_call(*words, "--json"))["results"]
    assert kept["name"] == f"calibration_test_{method}"
    run = open_run("latest", runs)
    result = run.result(kept["name"])
    assert result.scaling.method == method
    held_out, test = load_run_examples(run, "validation"), load_run_examples(run, "test")
    assert result.scaling.fitted_on == f"validation, {len(held_out.inputs)} examples"
    with torch.no_grad():
        outputs = [one.model.double()(one.inputs.double()) for one in (held_out, test)]
    mean = float(torch.nn.functional.cross_entropy(outputs[1], test.targets))
    assert result.scaling.before.nll == pytest.approx(mean, rel=1e-5)
    if method == "temperature":  # the oracle: a fine grid over T
        grid = torch.logspace(-3, 3, 6001, dtype=torch.float64)
        losses = torch.stack([torch.nn.functional.cross_entropy(outputs[0] / t, held_out.targets) for t in grid])
        best = float(grid[losses.argmin()])
        assert float(result.scaling.parameters[0, 0]) == pytest.approx(best, rel=3e-3)
        assert result["accuracy"] == result.scaling.before.accuracy
    assert "before" in _call(*words)


def test_a_scaling_of_validation_itself_is_fitted_in_folds(runs) -> None:
    words = ("calibration", "latest", "--runs-dir", runs, "--scale", "temperature", "--split", "validation")
    (kept,) = json.loads(_call(*words, "--json"))["results"]
    assert "folds" in open_run("latest", runs).result(kept["name"]).scaling.fitted_on


def test_a_line_leads_from_one_example_to_another(runs) -> None:
    (kept,) = json.loads(_call("line", "latest", "--example", "4", "--to", "9", "--runs-dir", runs, "--json"))[
        "results"
    ]
    run = open_run("latest", runs)
    assert kept["name"] == "regions_on_line"
    examples = load_run_examples(run)
    model = examples.model.double()

    def ends(first: int, last: int) -> np.ndarray:
        with torch.no_grad():
            return model(examples.inputs[[first, last]].double()).numpy()

    assert run.result("regions_on_line").outputs[[0, -1]] == pytest.approx(ends(4, 9))
    _call("line", "latest", "--example", "4", "--runs-dir", runs)
    first = next(place for place, one in enumerate(examples.targets) if one != examples.targets[4])
    assert run.result("regions_on_line").outputs[[0, -1]] == pytest.approx(ends(4, first))


def test_a_weight_is_moved_by_layer_and_index(runs) -> None:
    words = ("weight", "latest", "--runs-dir", runs, "--json")
    (kept,) = json.loads(_call(*words, "--layer", "output", "--index", "1,3"))["results"]
    run = open_run("latest", runs)
    found, examples = run.result(kept["name"]), load_run_examples(run)
    assert (found.parameter, found.index) == ("output.weight", (1, 3))
    weight = dict(examples.model.named_parameters())["output.weight"]
    assert found.value == pytest.approx(float(weight[1, 3].detach()))
    moved = found.weight[len(found.weight) // 3]
    with torch.no_grad():
        weight[1, 3] = moved
        loss = torch.nn.functional.cross_entropy(examples.model(examples.inputs), examples.targets)
    assert found.loss_at(moved) == pytest.approx(float(loss), rel=1e-4)
    _call("weight", "latest", "--runs-dir", runs, "--layer", "output.bias", "--index", "2")
    assert run.result("weight_curve").parameter == "output.bias"
    _call("weight", "latest", "--runs-dir", runs)
    last = dict(load_run_examples(run).model.named_parameters())["output.weight"].detach()
    assert abs(run.result("weight_curve").value) == pytest.approx(float(last.abs().max()))


def test_a_run_without_checkpoints_says_so(runs, monkeypatch) -> None:
    run = open_run("latest", runs)
    monkeypatch.setattr(type(run), "file_names", lambda *_: ["final.safetensors"])
    with pytest.raises(RunNotFoundError, match="no weights of its epochs"):
        checkpoint_names(run)


def test_text_is_sliced_in_a_layer_only(tmp_path) -> None:
    path = tmp_path / "texts.csv"
    lines = [
        f'"{"good fine nice" if place % 2 else "bad poor sad"} thing {place % 7}",{place % 2}' for place in range(60)
    ]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    run = fit(path, epochs=1, target="label", text="text", runs_dir=tmp_path / "runs")
    examples = load_run_examples(run)
    with pytest.raises(DataError, match="tokens"):
        read_plane("pca", examples)
    with pytest.raises(DataError, match="no line from one text to another"):
        next(measure_run(run, Request("line")))
    wide = [name for name, module in examples.model.named_modules() if isinstance(module, torch.nn.Linear)]
    ((_, found),) = measure_run(run, Request("surface", f"latent:{wide[0]}", resolution=5))
    assert np.isfinite(found.layers[-1].values).all()
