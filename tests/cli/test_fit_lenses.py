"""``pellucid fit --lens`` and ``pellucid measure history``, as they are typed."""

from __future__ import annotations

import json

from pellucid.cli.main import main
from pellucid.results.geometry_history import GeometryHistory
from pellucid.store.run import open_run


def test_a_fit_is_measured_along_training_and_read_back(tmp_path, capfd):
    runs = str(tmp_path / "runs")
    words = ["fit", "iris", "--epochs", "3", "--lens", "collapse,calibration,margins", "--label-noise", "0.1"]
    assert main([*words, "--label-noise-seed", "4", "--runs-dir", runs, "--json"]) == 0
    capfd.readouterr()
    run = open_run("latest", runs)
    history = run.result("geometry_history")
    assert isinstance(history, GeometryHistory)
    assert history.lenses == ("collapse", "calibration", "margins")
    assert history.runs[0].flipped == round(0.1 * 105)
    assert history.get("nc1", split="test").epochs[-1] == 3
    (run.path / "results" / "geometry_history.safetensors").unlink()
    assert main(["measure", "history", "latest", "--runs-dir", runs, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in told["results"]] == ["geometry_history"]
    again = open_run("latest", runs).result("geometry_history")
    assert again.runs == history.runs


def test_a_run_without_lenses_says_what_to_type(tmp_path, capfd):
    runs = str(tmp_path / "runs")
    assert main(["fit", "iris", "--epochs", "1", "--runs-dir", runs, "--json"]) == 0
    capfd.readouterr()
    assert main(["measure", "history", "latest", "--runs-dir", runs]) != 0
    told = capfd.readouterr().err
    assert "no geometry along training" in told
    assert "--lens" in told


def test_an_unknown_lens_is_refused_with_those_there_are(tmp_path, capfd):
    assert main(["fit", "iris", "--lens", "colapse", "--runs-dir", str(tmp_path / "runs")]) != 0
    told = capfd.readouterr().err
    assert "collapse" in told
    assert "robustness" in told
    assert not (tmp_path / "runs").exists()
