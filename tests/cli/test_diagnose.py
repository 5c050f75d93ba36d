"""``pellucid diagnose``: what it prints of a run made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pellucid.cli.main import main
from pellucid.store.added_results import add_result
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter
from tests.diagnosis.made_by_hand import evidence, loss


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """A finished run whose script gave a softmax to cross-entropy."""
    writer = RunWriter.create(tmp_path, name="train", kind="watch", settings={}, environment={})
    for step in range(20):
        writer.append("steps", step=step, loss=2.0 - 0.01 * step, time_s=float(step))
    writer.close("finished")
    script = evidence(
        "net = Sequential(Linear(4, 4), Softmax(dim=1))\n",
        np.linspace(2.0, 1.8, 20),
        losses=(loss(last_operation="softmax", rows_sum_to_one=1.0),),
    ).script
    run = open_run("latest", tmp_path)
    add_result(run, "watched_script", script)
    return run.path


def test_json_has_what_was_promised(watched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(watched), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "faulty"
    first = told["findings"][0]
    assert first["code"] == "softmax_before_ce"
    assert first["severity"] == "fault"
    assert 0 <= first["certainty"] <= 1
    assert {"where", "evidence", "fix"} <= set(first)
    assert first["where"]["line"] == 1


def test_the_terminal_shows_line_diff_and_what_would_prove_it_wrong(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(watched)]) == 0
    shown = capsys.readouterr().out
    assert "Faulty: 1 fault" in shown
    assert "train.py:1" in shown
    assert "+ net = Sequential(Linear(4, 4))" in shown
    assert "Wrong if" in shown
    assert "diagnosis" in open_run(watched).result_names()


def test_a_run_that_was_not_watched_is_an_error_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = RunWriter.create(tmp_path, name="fit", kind="fit", settings={}, environment={})
    writer.close("finished")
    assert main(["diagnose", "latest", "--runs-dir", str(tmp_path)]) == 1
    assert "pellucid run SCRIPT" in capsys.readouterr().err
