"""``pellucid report``: a run as one HTML file that opens without Pellucid and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["report_command", "spare_others"]


def report_command(
    run: Annotated[str, typer.Argument(help="Id, beginning of an id, name or folder of a run, or 'latest'.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. [default: <run id>.html]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is no report of Pellucid.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")] = False,
    runs_dir: Annotated[str | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
) -> None:
    """Write a run as one self-contained HTML file, to keep or to send to someone."""
    import json

    from pellucid.server.report import write_report
    from pellucid.store.run import open_run

    opened = open_run(run, runs_dir)
    path = output or Path(f"{opened.id}.html")
    if not force:
        spare_others(path, "give another name with -o, or overwrite it with --force")
    size = write_report(opened, path)
    if as_json:
        typer.echo(json.dumps({"run": opened.id, "path": str(path), "bytes": size}))
        return
    for name in _damaged_results(opened):
        typer.echo(f"Warning: the result {name} is damaged and was left out.", err=True)
    typer.echo(f"{path}  ({size / 1e6:.1f} MB)")
    if opened.status == "running":
        typer.echo("The run is still going on: the report shows it as it stood just now.")


def spare_others(path: Path, remedy: str) -> None:
    """Refuse to overwrite a file that is no report.

    Args:
        path: The file to write.
        remedy: What to do instead.

    Raises:
        StorageError: It is there, and no report.
    """
    from pellucid.errors import StorageError
    from pellucid.server.report import is_report

    if path.exists() and not path.is_dir() and not is_report(path):
        raise StorageError("the file is there and is no report of Pellucid", place=str(path), remedy=remedy)


def _damaged_results(run: Run) -> list[str]:
    """The names of results that cannot be read."""
    from pellucid.errors import RunError

    damaged = []
    for name in run.result_names():
        try:
            run.result(name)
        except RunError:
            damaged.append(name)
    return damaged
