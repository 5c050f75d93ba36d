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
    fit("iris", epochs=3, network=RELU, runs_dir=folder)
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
    ],
)
def test_bad_words_are_told_with_a_remedy(runs, words, says) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        _call(*words, "--runs-dir", runs)
    assert caught.value.remedy


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
    wide = [name for name, module in examples.model.named_modules() if isinstance(module, torch.nn.Linear)]
    ((_, found),) = measure_run(run, Request("surface", f"latent:{wide[0]}", resolution=5))
    assert np.isfinite(found.layers[-1].values).all()
