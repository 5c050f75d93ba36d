"""From data to a finished run; a run killed at any moment goes on to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load

from pellucid.data.load import prepare
from pellucid.errors import (
    DataError,
    DeviceError,
    RunCorruptedError,
    RunError,
    SettingsError,
    StorageError,
    TrainingError,
)
from pellucid.store.run import open_run
from pellucid.training.checkpoints import FINAL, LAST, unpack_state
from pellucid.training.fit import fit
from pellucid.training.progress import Progress
from pellucid.training.resume import resume
from pellucid.training.settings import FitSettings
from pellucid.training.trained import load_network


class Telling(Progress):
    """Remembers, and does something at a given epoch."""

    def __init__(self, at=None, do=None):
        self.notes, self.stages, self.epochs = [], [], []
        self._at, self._do = at, do

    def note(self, text):
        self.notes.append(text)

    def stage(self, name):
        self.stages.append(name)

    def epoch(self, figures):
        self.epochs.append(figures)
        if figures.epoch == self._at:
            self._do()


def losses_of(run):
    rows = run.table("steps", columns=["step", "loss"]).to_pydict()
    return rows["step"], rows["loss"]


def metrics_of(run):
    columns = ["step", "epoch", "split", "metric", "value"]
    return run.table("metrics", columns=columns).to_pylist()


def weights_of(run):
    return load(run.read_file(FINAL))


def same(first, second):
    mine, other = weights_of(first), weights_of(second)
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


QUICK = {"epochs": 6, "widths": (8,), "dropout": 0.2, "patience": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    progress = Telling()
    run = fit("iris", runs_dir=tmp_path_factory.mktemp("runs"), name="a flower", progress=progress, **QUICK)
    return run, progress


def test_a_run_holds_all_that_belongs_to_it(finished):
    run, progress = finished
    manifest = run.manifest
    assert (run.status, manifest.name, manifest.kind) == ("finished", "a flower", "fit")
    assert (manifest.task, manifest.modality, manifest.epoch) == ("classification", "table", 6)
    assert run.result_names() == [
        "data_report",
        "evaluation_test",
        "evaluation_train",
        "evaluation_validation",
        "network_outline",
    ]
    assert run.row_count("steps") == manifest.step == 6 * 4
    assert run.row_count("layers") > 0
    assert manifest.environment["torch"] == torch.__version__
    assert manifest.parameters == sum(tensor.numel() for tensor in weights_of(run).values())
    assert manifest.metrics["test_accuracy"] == run.result("evaluation_test").accuracy
    assert progress.stages == ["reading the data", "training", "evaluating"]
    assert any(note.startswith("loss: ") for note in progress.notes)
    assert len(progress.epochs) == 6


def test_the_splits_are_those_of_the_preparation(finished):
    run, _ = finished
    import io

    frame = pd.read_parquet(io.BytesIO(run.read_file("splits.parquet")))
    prepared = prepare("iris")
    for split, part in prepared.splits.items():
        assert frame[frame["split"] == split]["row"].tolist() == part.rows.tolist()


def test_weights_are_kept_along_the_way(finished):
    run, _ = finished
    assert {f"epoch-000{epoch}.safetensors" for epoch in range(7)} <= set(run.file_names("checkpoints"))
    first, _ = load_network(run, "checkpoints/epoch-0000.safetensors")
    last, _ = load_network(run)
    at_six, _ = load_network(run, "checkpoints/epoch-0006.safetensors")
    by_name = [dict(model.state_dict()) for model in (first, last, at_six)]
    assert all(torch.equal(by_name[1][name], by_name[2][name]) for name in by_name[1])
    assert not all(torch.equal(by_name[0][name], by_name[1][name]) for name in by_name[1])


def test_the_same_seed_gives_the_same_run_and_the_callers_random_state_stays(finished, tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = fit("iris", runs_dir=tmp_path, watch=False, **QUICK)
    assert torch.equal(before, torch.get_rng_state())
    assert same(finished[0], again)  # and the watch changed nothing
    assert again.row_count("steps") == 0
    assert metrics_of(again) == metrics_of(finished[0])
    other = fit("iris", runs_dir=tmp_path, seed=1, watch=False, **QUICK)
    assert not same(again, other)


def test_resuming_a_finished_run_changes_nothing(finished):
    run, _ = finished
    before = weights_of(run)
    assert resume(run).manifest.resumes == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(run).items())


def test_ctrl_c_stops_cleanly_and_resume_equals_the_run_never_stopped(finished, tmp_path):
    progress = Telling(at=3, do=lambda: os.kill(os.getpid(), signal.SIGINT))
    run = fit("iris", runs_dir=tmp_path, progress=progress, **QUICK)
    assert run.status == "stopped"
    assert f"--resume {run.id}" in run.manifest.message
    assert "evaluation_test" in run.result_names()
    assert run.manifest.epoch == 3
    state = unpack_state(run.read_file(LAST))
    assert state["place"]["step"] == 12
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    going_on = resume(run.path)
    assert going_on.status == "finished"
    assert same(going_on, finished[0])
    assert losses_of(going_on) == losses_of(finished[0])
    assert metrics_of(going_on) == metrics_of(finished[0])
    mine, other = going_on.result("evaluation_test"), finished[0].result("evaluation_test")
    assert mine.log_loss == other.log_loss


def test_a_full_run_with_a_second_kind_of_data_early_stopping_and_a_rate_test(tmp_path):
    run = fit("diabetes", runs_dir=tmp_path, rate_test=True, epochs=40, patience=2, optimizer="sgd", schedule="plateau")
    found = run.result("learning_rate_range")
    assert run.manifest.settings["optimizer"]["learning_rate"] == found.suggestion
    assert run.manifest.metrics["test_r2"] == run.result("evaluation_test").r2
    assert run.manifest.metrics["validation_r2"] > 0.2
    evaluation = run.result("evaluation_test")
    assert evaluation.baseline_mae > evaluation.mae


def test_images_with_augmentation_and_folds_of_a_table(tmp_path):
    run = fit(
        "digits", runs_dir=tmp_path, epochs=1, channels=(4,), head_widths=(), augment=("shift", "noise"), limit=300
    )
    assert run.manifest.modality == "image"
    assert run.result("network_outline").layers
    folded = fit("iris", runs_dir=tmp_path, folds=3, **QUICK)
    found = folded.result("cross_validation")
    assert found.sizes.sum() == 150
    assert folded.manifest.metrics["folds_accuracy"] == pytest.approx(float(np.mean(found.values["accuracy"])))


def test_a_changed_file_is_not_trained_on_any_further(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.csv"
    pd.DataFrame({"a": rng.normal(size=90), "b": rng.normal(size=90), "y": np.arange(90) % 2}).to_csv(path, index=False)
    stop = Telling(at=1, do=lambda: os.kill(os.getpid(), signal.SIGINT))
    run = fit(path, runs_dir=tmp_path / "runs", target="y", progress=stop, **QUICK)
    path.write_text(path.read_text().replace("0\n", "1\n", 1))
    with pytest.raises(DataError, match="has changed"):
        resume(run)
    assert open_run(run.path).status == "stopped"
    path.unlink()
    with pytest.raises(DataError):
        resume(run)


def test_a_loss_that_explodes_leaves_a_failed_run_that_says_why(tmp_path):
    with pytest.raises(TrainingError) as caught:
        fit("diabetes", runs_dir=tmp_path, learning_rate=1e30, optimizer="sgd", epochs=20, clip=0.0)
    assert "--lr" in caught.value.remedy
    (folder,) = tmp_path.iterdir()
    run = open_run(folder)
    assert run.status == "failed"
    assert "not finite" in run.manifest.message


def test_what_cannot_be_is_refused_before_a_run_is_made(tmp_path):
    for error, changes in [
        (SettingsError, {"epochs": -1}),
        (SettingsError, {"network": "cnn"}),
        (SettingsError, {"precision": "float16"}),
        (DeviceError, {"device": "cuda:7"}),
        (SettingsError, {"device": "abacus"}),
        (SettingsError, {"augment": ("flip",)}),
    ]:
        with pytest.raises(error):
            fit("iris", runs_dir=tmp_path / "runs", **changes)
    assert not list((tmp_path / "runs").glob("*/run.json")) or not [
        run for run in (tmp_path / "runs").iterdir() if open_run(run).status != "failed"
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        fit("iris", runs_dir=tmp_path / "file" / "runs", **QUICK)


def test_damaged_checkpoints_are_refused(finished, tmp_path):
    import shutil

    run, _ = finished
    copy = tmp_path / run.id
    shutil.copytree(run.path, copy)
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**manifest, "status": "stopped"}))
    payload = (copy / LAST).read_bytes()
    (copy / LAST).write_bytes(payload[:-10])
    with pytest.raises(RunCorruptedError, match="checkpoint"):
        resume(copy)
    assert open_run(copy).status == "stopped"
    (copy / FINAL).write_bytes(payload)
    with pytest.raises(RunCorruptedError):
        load_network(open_run(copy))
    (copy / "run.json").write_text(json.dumps({**manifest, "kind": "watch"}))
    with pytest.raises(RunError, match="watch"):
        resume(copy)


CHILD = """
import sys
from pellucid.training.fit import fit
fit("digits", runs_dir=sys.argv[1], network="mlp", widths=(48,), dropout=0.3, epochs=25, patience=0, batch_size=32,
    augment=("noise",), schedule="cosine", device="cpu", threads=1)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run that the killed ones must equal, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", CHILD, str(folder)], check=True, timeout=120)
    return open_run("latest", folder), time.monotonic() - began


@pytest.mark.parametrize("moment", [0.0, 0.35, 0.8])
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(undisturbed, tmp_path, moment):
    whole, _ = undisturbed
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)])
    try:
        folder = _wait_for_run(tmp_path, child)
        wanted = int(moment * whole.manifest.step)
        while child.poll() is None and _steps_in(folder) < wanted:
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    run = open_run(folder)
    assert run.status in ("interrupted", "finished")
    again = resume(run)
    assert again.status == "finished"
    assert same(again, whole)
    assert losses_of(again) == losses_of(whole)
    assert metrics_of(again) == metrics_of(whole)


def _wait_for_run(folder: Path, child: subprocess.Popen) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if found:
            return found[0]
        time.sleep(0.005)
    raise AssertionError("the run did not begin")


def _steps_in(folder: Path) -> int:
    return open_run(folder).row_count("steps")


def test_settings_given_whole_and_changed(tmp_path):
    settings = FitSettings(epochs=2, patience=0).with_changes(widths=(4,))
    run = fit("iris", settings, runs_dir=tmp_path, epochs=1)
    assert run.manifest.settings["network"]["widths"] == [4]
    assert run.manifest.epochs_planned == 1


@pytest.mark.parametrize("source", [123, None, {"a": [1, 2]}])
def test_what_is_no_source_is_refused(source, tmp_path):
    with pytest.raises(DataError, match="is no source"):
        fit(source, runs_dir=tmp_path)
