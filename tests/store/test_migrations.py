"""A run of version 0 opens, and can be gone on with."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.store.run import list_runs, open_run
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter

_OLD_MANIFEST = {
    "schema": "run/0",
    "id": "20240101-120000-old-0001",
    "name": "old",
    "created": 1704110400.0,
    "updated": 1704110460.5,
    "done": True,
    "lr": 0.05,
    "settings": {"epochs": 2},
    "task": "regression",
    "metrics": {"r2": 0.5},
}


@pytest.fixture
def old(runs_dir):
    """As version 0 wrote it: other names in the manifest and in the tables, fewer columns, plain labels, no stamp."""
    folder = runs_dir / str(_OLD_MANIFEST["id"])
    tables = {
        "steps": {"step": [0, 1, 2], "time": [0.0, 0.5, 1.0], "loss": [3.0, 2.0, 1.0], "lr": [0.05, 0.05, 0.04]},
        "metrics": {"step": [2], "time": [1.0], "split": ["train"], "metric": ["r2"], "value": [0.5]},
    }
    for name, columns in tables.items():
        (folder / "segments" / name).mkdir(parents=True)
        rows = pa.table(columns)
        pq.write_table(rows, folder / f"segments/{name}/{0:012d}-{len(rows) - 1:012d}-00000000.parquet")
    (folder / "run.json").write_text(json.dumps(_OLD_MANIFEST))
    return folder


def test_the_manifest_of_version_0(old):
    manifest = open_run(old).manifest
    assert (manifest.schema, manifest.kind, manifest.status) == ("run/1", "fit", "finished")
    assert manifest.created_at == "2024-01-01T12:00:00.000+00:00"
    assert manifest.updated_at == "2024-01-01T12:01:00.500+00:00"
    assert manifest.settings == {"epochs": 2, "learning_rate": 0.05}
    assert manifest.metrics == {"r2": 0.5}
    assert [run.name for run in list_runs(old.parent)] == ["old"]


def test_the_tables_of_version_0(old):
    run = open_run(old)
    rows = run.table("steps")
    assert rows.schema.equals(TABLES["steps"])
    assert rows["learning_rate"].to_pylist() == [0.05, 0.05, 0.04]
    assert rows["time_s"].to_pylist() == [0.0, 0.5, 1.0]
    assert rows["gradient_norm"].null_count == 3
    assert run.table("steps", columns=["learning_rate"], after=2)["learning_rate"].to_pylist() == [0.04]
    assert run.table("metrics")["split"].to_pylist() == ["train"]
    assert run.warnings == ()


def test_an_unfinished_run_of_version_0_reads_as_interrupted(old):
    unfinished = {key: value for key, value in _OLD_MANIFEST.items() if key not in {"done", "updated", "lr"}}
    (old / "run.json").write_text(json.dumps(unfinished))
    run = open_run(old)
    assert run.status == "interrupted"
    assert run.manifest.updated_at == run.manifest.created_at
    assert run.manifest.settings == {"epochs": 2}


def test_going_on_with_a_run_of_version_0(old):
    with RunWriter.resume(old, after_step=1) as writer:
        assert writer.elapsed_before_s == 0.5
        writer.append("steps", step=2, learning_rate=0.03)
    run = open_run(old)
    assert run.table("steps", columns=["step", "learning_rate"]).to_pydict() == {
        "step": [0, 1, 2],
        "learning_rate": [0.05, 0.05, 0.03],
    }
    assert json.loads((old / "run.json").read_text())["schema"] == "run/1"
