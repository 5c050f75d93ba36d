"""``pellucid runs`` and ``pellucid export`` as a person calls them."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from pellucid.cli.export import export_command
from pellucid.cli.runs import age_of, match_runs, runs_command
from pellucid.errors import RunNotFoundError, SettingsError, StorageError
from pellucid.store.export import export_run
from pellucid.store.listing import RunSummary
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter

app = typer.Typer()
app.command("runs")(runs_command)
app.command("export")(export_command)
runner = CliRunner()


def _call(*words: str) -> str:
    outcome = runner.invoke(app, list(words), env={"COLUMNS": "200"})
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.fixture
def runs(tmp_path):
    """Two runs: one with rows in four tables, one that failed."""
    folder = tmp_path / "runs"
    with RunWriter.create(folder, name="digits", kind="fit", task="classification", epochs_planned=5) as writer:
        for step in range(4):
            writer.append("steps", step=step, loss=[0.5, float("nan"), None, 0.1][step])
            writer.append("layers", step=step, layer="conv, 1", weight_norm=step / 2)
        writer.append("histograms", step=0, layer="a", kind="weight", low=-1, high=1, counts=np.arange(64))
        writer.append("metrics", step=3, split="test", metric="accuracy", value=0.96875)
        writer.update(epoch=5, metrics={"accuracy": 0.96875, "f1": 0.5, "loss": 0.25})
    failed = RunWriter.create(folder, name="wine", kind="watch", task="regression")
    failed.close("failed", "ValueError: no")
    return folder


def test_runs_are_shown_as_a_table(runs):
    shown = _call("runs", "--runs-dir", str(runs))
    lines = [line.split() for line in shown.splitlines() if "20" in line]
    assert len(lines) == 2
    for expected in ("digits", "finished", "accuracy 0.9688", "f1 0.5", "5/5", "wine", "failed"):
        assert expected in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_ids_are_shown_whole_in_every_width(runs, columns):
    outcome = runner.invoke(app, ["runs", "--runs-dir", str(runs)], env={"COLUMNS": str(columns)})
    lines = outcome.stdout.splitlines()
    for run in runs.iterdir():
        assert any(line.split()[:1] == [run.name] for line in lines)
    assert max(len(line) for line in lines) <= columns
    assert ("accuracy 0.9688" in outcome.stdout) == (columns >= 80)


def test_runs_are_filtered_by_words(runs):
    shown = _call("runs", "WINE", "failed", "--runs-dir", str(runs))
    assert "wine" in shown
    assert "digits" not in shown
    assert "no runs that match" in _call("runs", "wine", "finished", "--runs-dir", str(runs))


def test_runs_as_json(runs):
    listed = json.loads(_call("runs", "--json", "--runs-dir", str(runs)))["runs"]
    assert {run["name"]: run["status"] for run in listed} == {"digits": "finished", "wine": "failed"}


def test_no_runs_yet(tmp_path):
    said = _call("runs", "--runs-dir", str(tmp_path / "none"))
    assert "There are no runs in" in said
    assert "pellucid fit" in said


def test_a_damaged_run_is_shown_among_the_others(runs):
    broken = runs / "20200101-000000-x-0000"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    shown = _call("runs", "--runs-dir", str(runs))
    assert "unreadable" in shown
    assert "digits" in shown


def test_markup_in_a_figure_is_shown_as_it_is(runs):
    with RunWriter.create(runs, name="x", kind="fit") as writer:
        writer.update(metrics={"[red]x[/red]": 1.0})
    assert "[red]x[/red]" in _call("runs", "--runs-dir", str(runs))


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (61, "1 min"), (7200, "2 h"), (200_000, "2 d"), (-10, "0 s")]
)
def test_ages(seconds, said):
    began = datetime(2026, 1, 1, tzinfo=UTC)
    now = datetime.fromtimestamp(began.timestamp() + seconds, UTC)
    assert age_of(began.isoformat(), now) == said


@pytest.mark.parametrize("damaged", ["", "soon", "2026-01-01T00:00:00"])
def test_an_age_that_cannot_be_known(damaged):
    assert age_of(damaged) == "?"


def test_words_match_in_any_field_and_case():
    listed = [RunSummary("1", name="Größe", model="CNN 3x3"), RunSummary("2", error="damaged")]
    assert [run.id for run in match_runs(listed, ["grösse"])] == ["1"]
    assert [run.id for run in match_runs(listed, ["cnn", "3X3"])] == ["1"]
    assert [run.id for run in match_runs(listed, ["damaged"])] == ["2"]
    assert [run.id for run in match_runs(listed, [])] == ["1", "2"]


def test_export_to_csv(runs, tmp_path):
    out = tmp_path / "out"
    said = _call("export", "digits", "--to", "csv", "-o", str(out), "--runs-dir", str(runs))
    assert sorted(path.name for path in out.iterdir()) == ["histograms.csv", "layers.csv", "metrics.csv", "steps.csv"]
    assert "steps.csv  (4 rows)" in said
    with (out / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["loss"] for row in rows] == ["0.5", "nan", "", "0.1"]
    with (out / "layers.csv").open(newline="") as file:
        assert [row["layer"] for row in csv.DictReader(file)] == ["conv, 1"] * 4
    counts = pd.read_csv(out / "histograms.csv").filter(like="counts_")
    assert counts.columns.tolist() == [f"counts_{index}" for index in range(64)]
    assert counts.iloc[0].tolist() == list(range(64))


def test_export_to_parquet_says_json(runs, tmp_path):
    out = tmp_path / "out"
    words = ("export", "digits", "--to", "parquet", "-o", str(out), "--table", "steps", "--json")
    document = json.loads(_call(*words, "--runs-dir", str(runs)))
    assert document["files"] == [{"table": "steps", "path": str(out / "steps.parquet"), "rows": 4}]
    assert document["run"] == open_run("digits", runs).id
    written, kept = pq.read_table(out / "steps.parquet"), open_run("digits", runs).table("steps")
    assert written.schema.equals(kept.schema)
    pd.testing.assert_frame_equal(written.to_pandas(), kept.to_pandas())


def test_export_makes_a_folder_of_its_own(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _call("export", "digits", "--table", "metrics", "--runs-dir", str(runs))
    assert (tmp_path / f"{open_run('digits', runs).id}-export" / "metrics.csv").exists()


def test_export_says_what_it_left_out(runs, tmp_path):
    (segment,) = (open_run("digits", runs).path / "segments/steps").iterdir()
    segment.write_bytes(b"")
    words = ["export", "digits", "-o", str(tmp_path / "out"), "--table", "steps", "--runs-dir", str(runs)]
    outcome = runner.invoke(app, words)
    assert outcome.exit_code == 0
    assert "Left out: a segment of the table steps cannot be read" in outcome.stderr


def test_export_refuses_what_is_not_there(runs, tmp_path):
    with pytest.raises(RunNotFoundError):
        _call("export", "nothing", "--runs-dir", str(runs))
    run = open_run("digits", runs)
    with pytest.raises(SettingsError, match="no table stepz"):
        export_run(run, tmp_path / "out", "csv", ["stepz"])
    with pytest.raises(SettingsError, match="'xlsx'"):
        export_run(run, tmp_path / "out", "xlsx")  # pyright: ignore[reportArgumentType]  # a caller's mistake
    with pytest.raises(StorageError, match="no recorded rows"):
        export_run(open_run("wine", runs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_nothing_half_written(runs, tmp_path, monkeypatch):
    from pyarrow import csv as arrow_csv

    def fail(rows, path):
        Path(path).write_text("step,")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrow_csv, "write_csv", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        export_run(open_run("digits", runs), tmp_path / "out")
    assert not (tmp_path / "out").exists()
