"""``pellucid fit`` as a person runs it: what it says where, how it is stopped, and who may stop listening."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

import pellucid.training.fit
from pellucid.cli.console import PatientConsole
from pellucid.cli.main import main
from pellucid.cli.progress import TerminalProgress
from pellucid.store.run import open_run
from pellucid.training.progress import EpochFigures

FIGURES = EpochFigures(3, 10, 60, {"train": {"loss": 0.31}, "validation": {"loss": 0.4, "accuracy": 0.88}}, True)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_shows_the_bar_and_the_figures_in_any_width(columns):
    screen = io.StringIO()
    progress = TerminalProgress(Console(file=screen, force_terminal=True, width=columns, color_system=None))
    progress.begin_training(epochs=10, epoch=0, steps_per_epoch=20)
    progress.step(5)
    progress.epoch(FIGURES)
    progress.end_training()
    shown = screen.getvalue()
    assert "epoch 4/10" in shown
    assert "━━━" in shown
    assert "train loss 0.31 · validation loss 0.4" in shown


def test_without_a_terminal_there_are_lines_only():
    said = io.StringIO()
    progress = TerminalProgress(Console(file=said, width=80))
    progress.stage("training")
    progress.begin_training(epochs=10, epoch=0, steps_per_epoch=20)
    progress.epoch(FIGURES)
    progress.end_training()
    progress.note("[b]as written[/b]")
    assert said.getvalue().splitlines() == ["Training", "· [b]as written[/b]"]


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_a_reader_that_has_gone_does_not_end_the_training(error):
    class Gone(io.StringIO):
        def write(self, text):
            raise error

    progress = TerminalProgress(PatientConsole(file=Gone()))
    progress.stage("training")
    progress.note("nobody reads this")
    progress.warn("nor this")


def test_json_is_all_that_stands_on_standard_output(tmp_path, capfd):
    folder = tmp_path / "my rüns"
    out = tmp_path / "out.csv"
    for words in (
        ["fit", "iris", "--epochs", "1"],
        ["runs"],
        ["predict", "latest", "--split", "test", "-o", str(out)],
        ["export", "latest", "-o", str(tmp_path / "tables")],
        ["report", "latest", "-o", str(tmp_path / "report.html")],
    ):
        assert main([*words, "--json", "--runs-dir", str(folder)]) == 0
        shown = capfd.readouterr()
        assert isinstance(json.loads(shown.out), dict)
        assert not shown.err


def test_the_next_commands_name_a_folder_of_runs_that_is_not_the_usual_one(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PELLUCID_RUNS", str(tmp_path / "usual"))
    assert main(["fit", "iris", "--epochs", "1"]) == 0
    assert "--runs-dir" not in capfd.readouterr().out
    assert main(["fit", "iris", "--epochs", "1", "--runs-dir", str(tmp_path / "other one")]) == 0
    assert f"--runs-dir '{tmp_path / 'other one'}'" in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_before_training_says_how_to_go_on(monkeypatch, capfd, tmp_path, number):
    def interrupted(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(pellucid.training.fit, "fit", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["fit", "iris", "--runs-dir", str(tmp_path)]) == 130
    assert "pellucid fit --resume" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fit_that_is_asked_to_stop_can_be_resumed(tmp_path, number):
    words = [sys.executable, "-m", "pellucid", "fit", "iris", "--epochs", "100000", "--patience", "0"]
    child = subprocess.Popen(
        [*words, "--runs-dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/checkpoints/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(number)
        shown, said = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, said
    (folder,) = tmp_path.iterdir()
    assert open_run(folder).status == "stopped"
    assert f"pellucid fit --resume {folder.name}" in shown
    assert "test" in shown  # it is evaluated as it stands
