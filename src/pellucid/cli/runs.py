"""``pellucid runs``: which runs there are."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pellucid.store.listing import RunSummary

__all__ = ["age_of", "match_runs", "runs_command"]

_WIDE = 120
_ROOM = {"age": 43, "status": 13, "epochs": 51, "figures": 35}
"""Columns beside the id, and from which room beside it each is shown."""
_SPLITS = ("test_", "validation_", "train_")
_STYLES = {"running": "cyan", "finished": "green", "stopped": "yellow", "interrupted": "yellow", "failed": "red"}


def runs_command(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only runs that have all these words in id, name, status, task …")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
    runs_dir: Annotated[str | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
) -> None:
    """List the runs of a folder, newest first."""
    from pellucid.store.listing import list_runs
    from pellucid.store.locations import default_runs_dir

    folder = runs_dir or str(default_runs_dir())
    found = match_runs(list_runs(folder), words or [])
    if as_json:
        import json

        typer.echo(json.dumps({"runs": [each.to_json() for each in found]}))
        return
    if not found:
        wanted = f" that match {' '.join(words)}" if words else ""
        typer.echo(f"There are no runs{wanted} in {folder}. Make one with `pellucid fit`.")
        return
    from pellucid.cli.console import PatientConsole

    console = PatientConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = PatientConsole(width=_WIDE)  # a file or a pipe is as wide as need be
    console.print(_table(found, console.width))


def match_runs(runs: list[RunSummary], words: list[str]) -> list[RunSummary]:
    """Runs in whose id, name, status, kind, task, modality, source, model or error every word occurs, in any case."""

    def text(run: RunSummary) -> str:
        parts = (run.id, run.name, run.status, run.kind, run.task, run.modality, run.source, run.model, run.error)
        return " ".join(parts).casefold()

    return [run for run in runs if all(word.casefold() in text(run) for word in words)]


def age_of(created_at: str, now: datetime | None = None) -> str:
    """How long ago that was, in the largest unit that fits.

    >>> age_of("2026-01-01T10:00:00+00:00", datetime(2026, 1, 1, 13, 30, tzinfo=UTC))
    '3 h'
    """
    try:
        since = (now or datetime.now(UTC)) - datetime.fromisoformat(created_at)
    except (ValueError, TypeError):  # damaged, or without a time zone
        return "?"
    seconds = max(0, int(since.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _table(runs: list[RunSummary], width: int) -> Table:
    """Ids whole, for they are copied; in a narrow terminal fewer columns instead."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    left = width - max(len(run.id) for run in runs)
    shown = [heading for heading, room in _ROOM.items() if left >= room]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=max(len(run.id) for run in runs))
    for heading in shown:
        table.add_column(heading, no_wrap=heading != "figures", overflow="fold")
    for run in runs:
        status = "unreadable" if run.error else run.status
        cells = {
            "age": "" if run.error else age_of(run.created_at),
            "status": Text(status, style="red" if run.error else _STYLES.get(run.status, "")),
            "epochs": "" if run.error else _epochs(run),
            "figures": Text(run.error or _figures(run, 2 if width >= _WIDE else 1)),
        }
        table.add_row(run.id, *(cells[heading] for heading in shown))
    return table


def _figures(run: RunSummary, most: int) -> str:
    """The headline figures: the test split's first, then validation's; others as the run's maker ordered them."""
    ranked = sorted(run.metrics.items(), key=lambda figure: _split_rank(figure[0]))
    return "\n".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in ranked[:most])


def _split_rank(name: str) -> int:
    return next((rank for rank, split in enumerate(_SPLITS) if name.startswith(split)), len(_SPLITS))


def _epochs(run: RunSummary) -> str:
    if run.epoch is None:
        return ""
    return f"{run.epoch}/{run.epochs_planned}" if run.epochs_planned else str(run.epoch)
