"""A run's series in other trackers, read back by those trackers' own readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.store.run import Run
from pellucid.store.scalars import scalars_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(8, 3)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path_factory.mktemp("runs"), name="sent", every=2) as watched:
        for _ in range(6):
            loss = model(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watched.log(loss=loss)
        watched.log_metrics("validation", {"r2": 0.25, "worst": float("nan")})
    return watched.run


def test_series_are_those_of_the_tables(run: Run) -> None:
    series = {one.name: one for one in scalars_of(run)}
    table = run.table("steps").to_pandas()
    assert np.array_equal(series["step/loss"].values, table["loss"])
    assert series["validation/r2"].values.tolist() == [0.25]
    assert np.isnan(series["validation/worst"].values).all()
    assert series["layer/0/weight_norm"].steps.tolist() == [0, 2, 4]
    assert (np.diff(series["step/loss"].times_s) > 0).all()
    assert "layer/1/weight_norm" not in series  # a ReLU has no weights: null is no value


def test_tensorboard_reads_what_was_sent(run: Run, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    arguments = ["export", str(run.path), "--to", "tensorboard", "-o", str(tmp_path / "board")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    read = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    seen = read.Scalars("step/loss")
    assert [one.step for one in seen] == list(range(6))
    assert np.allclose([one.value for one in seen], run.table("steps")["loss"].to_pylist(), rtol=1e-6)


def test_mlflow_reads_what_was_sent(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    from pellucid.integrations.mlflow import send_run

    sent = send_run(run)
    history = mlflow.MlflowClient().get_metric_history(sent, "step/loss")
    assert np.allclose([one.value for one in history], run.table("steps")["loss"].to_pylist())


def test_wandb_takes_what_is_sent(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="W&B is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    from pellucid.integrations.wandb import send_run

    sent = send_run(run, "trials")
    assert list(tmp_path.glob(f"wandb/*{sent}/*.wandb"))
