"""``pellucid export``: a run's tables as CSV or Parquet files, or its series in an experiment tracker."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export_command"]


class _Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


def export_command(
    run: Annotated[str, typer.Argument(help="Id, beginning of an id, name or folder of a run, or 'latest'.")],
    *,
    to: Annotated[_Format, typer.Option("--to", help="Format of the files, or the tracker.")] = _Format.CSV,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the files; for mlflow the experiment, for wandb the project."),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table (steps, layers …); may be given repeatedly.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")] = False,
    runs_dir: Annotated[str | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
) -> None:
    """Write what a run recorded as one file a table, for a spreadsheet, pandas or DuckDB; or send it to a tracker."""
    import importlib
    import json

    from pellucid.store.export import export_run
    from pellucid.store.run import open_run

    opened = open_run(run, runs_dir)
    if to in (_Format.TENSORBOARD, _Format.MLFLOW, _Format.WANDB):
        tracker = importlib.import_module(f"pellucid.integrations.{to.value}")
        sent = tracker.send_run(opened, "" if output is None else str(output))
        typer.echo(json.dumps({"run": opened.id, "to": to.value, "place": sent}) if as_json else f"{to.value}: {sent}")
        return
    folder = output or Path(f"{opened.id}-export")
    written = export_run(opened, folder, to.value, table)
    for warning in opened.warnings:
        typer.secho(f"Left out: {warning}", fg="yellow", err=True)
    if as_json:
        files = [{"table": each.table, "path": str(each.path), "rows": each.rows} for each in written]
        document = {"run": opened.id, "folder": str(folder), "files": files, "warnings": list(opened.warnings)}
        typer.echo(json.dumps(document))
        return
    for each in written:
        typer.echo(f"{each.path}  ({each.rows:,} rows)")
