"""What a fit says when it is over: the figures, where the run is, and what to do next."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pellucid.store.run import Run

__all__ = ["figures_of", "run_summary", "summary_json"]

_SPLITS = ("train", "validation", "test")
_ORDER = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "r2", "mae", "rmse", "loss")


def figures_of(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """The manifest's headline figures by split and name.

    >>> figures_of({"test_accuracy": 0.5, "train_loss": 1.0})
    {'train': {'loss': 1.0}, 'test': {'accuracy': 0.5}}
    """
    by_split: dict[str, dict[str, float]] = {}
    for split in (*_SPLITS, "folds"):
        found = {
            name.removeprefix(f"{split}_"): value for name, value in metrics.items() if name.startswith(f"{split}_")
        }
        if found:
            by_split[split] = found
    return by_split


def run_summary(run: Run) -> RenderableType:
    """A table of the figures by split, the cross-validation's spread, and the next command."""
    from rich.console import Group
    from rich.text import Text

    manifest = run.manifest
    lines: list[Any] = []
    parameters = f", {manifest.parameters:,} parameters" if manifest.parameters is not None else ""
    lines.append(Text(f"{manifest.model}{parameters} · {manifest.status} after {manifest.epoch} epochs"))
    if manifest.message:
        lines.append(Text(manifest.message[:1].upper() + manifest.message[1:], style="yellow"))
    figures = figures_of(manifest.metrics)
    lines.append(_table(figures))
    folds = figures.get("folds", {})
    spread = [
        f"{name} {value:.4g} ± {folds[f'{name}_std']:.2g}" for name, value in folds.items() if f"{name}_std" in folds
    ]
    if spread:
        lines.append(Text(f"Over {manifest.settings['data']['folds']} folds: {', '.join(spread)}"))
    lines.append(Text(f"Run: {run.location}"))
    elsewhere = _folder_option(run)
    if elsewhere and manifest.status == "stopped":
        lines.append(Text(f"Go on: pellucid fit --resume {run.id}{elsewhere}"))
    lines.append(Text(f"Look inside: pellucid open {run.id}{elsewhere}", style="bold"))
    return Group(*lines)


def _folder_option(run: Run) -> str:
    """``" --runs-dir FOLDER"`` where the commands that are proposed would look into another folder of runs."""
    import os
    import shlex

    from pellucid.store.locations import default_runs_dir, is_uri

    def full(folder: str) -> str:
        return folder.rstrip("/") if is_uri(folder) else os.path.realpath(folder)

    folder = run.location.rstrip("/").removesuffix(run.id).rstrip("/\\") or "."
    return "" if full(folder) == full(str(default_runs_dir())) else f" --runs-dir {shlex.quote(folder)}"


def _table(figures: dict[str, dict[str, float]]) -> RenderableType:
    from rich import box
    from rich.table import Table

    splits = [split for split in _SPLITS if split in figures]
    names = [name for name in _ORDER if any(name in figures[split] for split in splits)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right", style="bold" if split == "test" else "")
    for name in names:
        cells = [f"{figures[split][name]:.4f}" if name in figures[split] else "" for split in splits]
        table.add_row(_NAMES.get(name, name.replace("_", " ")), *cells)
    return table


_NAMES = {"macro_f1": "F1 (macro)", "r2": "R²", "mae": "MAE", "rmse": "RMSE", "loss": "loss (as trained)"}


def summary_json(run: Run) -> str:
    """The summary as one JSON object; a figure that is not finite is null."""
    manifest = run.manifest
    return json.dumps(
        {
            "run": run.id,
            "path": run.location,
            "status": manifest.status,
            "message": manifest.message,
            "model": manifest.model,
            "parameters": manifest.parameters,
            "epochs": manifest.epoch,
            "steps": manifest.step,
            "metrics": {name: value if math.isfinite(value) else None for name, value in manifest.metrics.items()},
        }
    )
