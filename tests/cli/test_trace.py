"""``pellucid trace`` on a run that a fit made."""

from __future__ import annotations

import base64
import json
import re

import pytest
import typer
from typer.testing import CliRunner

from pellucid.cli.trace import trace_command
from pellucid.errors import DataError, SettingsError, StorageError
from pellucid.results.base import Result
from pellucid.results.trace_stepper import TraceStepper
from pellucid.store.run import find_run
from pellucid.training.fit import fit
from pellucid.training.settings import FitSettings

app = typer.Typer()
app.command("trace")(trace_command)
runner = CliRunner()


def _call(*words: str) -> str:
    outcome = runner.invoke(app, list(words), env={"COLUMNS": "110"})
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    fit("iris", settings=FitSettings(epochs=1), runs_dir=folder)
    return str(folder)


def test_the_steps_and_the_loss(runs):
    shown = _call("latest", "--example", "12", "--runs-dir", runs)
    for word in ("Row 12", "linear", "cross_entropy", "the loss", "Why 1/N"):
        assert word in shown or word == "Why 1/N"


def test_a_neuron_and_a_gradient_as_json(runs):
    words = ("latest", "--layer", "output", "--neuron", "1", "--gradient", "output.weight[0,2]", "--json")
    found = json.loads(_call(*words, "--runs-dir", runs))
    assert [one["schema"] for one in found["results"]] == ["explanation/1", "explanation/1"]
    neuron, gradient = found["results"]
    assert neuron["title"] == "output, neuron 1, example 0"
    assert gradient["error"] < 1e-6
    assert found["split"] in ("train", "validation", "test")


def test_the_strongest_neuron_and_the_check(runs):
    shown = _call("latest", "--layer", "output", "--check", "--runs-dir", runs)
    assert "output[0, " in shown
    assert "everything compared agrees" in shown


def test_bad_words_are_told_with_a_remedy(runs):
    with pytest.raises(SettingsError, match="belongs to a layer"):
        _call("latest", "--neuron", "1", "--runs-dir", runs)
    with pytest.raises(SettingsError, match="names no entry"):
        _call("latest", "--gradient", "output.weight", "--runs-dir", runs)
    with pytest.raises(SettingsError, match="no module called"):
        _call("latest", "--layer", "nowhere", "--runs-dir", runs)
    with pytest.raises(DataError, match="row 999"):
        _call("latest", "--example", "999", "--runs-dir", runs)


def test_open_starts_the_app_at_the_example(runs, monkeypatch):
    calls = []
    monkeypatch.setattr("pellucid.server.serve.serve", lambda *words, **named: calls.append((words, named)))
    assert _call("latest", "--example", "12", "--open", "--runs-dir", runs) == ""
    ((words, named),) = calls
    assert words == (runs, None, True)
    assert named["view"] == {"tab": "trace", "example": 12}
    assert named["run"] == find_run(named["run"], runs).id


def test_a_report_carries_the_walk(runs, tmp_path, monkeypatch):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "report.js").write_text("")
    (bundle / "report.css").write_text("")
    monkeypatch.setattr("pellucid.server.report._BUNDLE", bundle)
    path = tmp_path / "walk.html"
    words = ("latest", "--example", "3", "--report", str(path), "--runs-dir", runs, "--json")
    assert json.loads(_call(*words))["bytes"] == path.stat().st_size
    data = re.search(r'id="pellucid-data">(.*?)</script>', path.read_text())
    assert data is not None
    document = json.loads(data[1])
    stepper = Result.from_bytes(base64.b64decode(document["results"]["trace_stepper"]))
    assert isinstance(stepper, TraceStepper)
    assert stepper.subject.startswith("row 3 of the ")
    assert {"name": "trace_stepper", "schema": "trace_stepper/1", "version": ""} in document["run"]["results"]
    assert find_run(document["run"]["id"], runs).result_names().count("trace_stepper") == 0, "the run is as before"
    path.write_text("my notes")
    with pytest.raises(StorageError, match="no report"):
        _call(*words)
    assert path.read_text() == "my notes"
