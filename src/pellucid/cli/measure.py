"""``pellucid measure``: what a run's network computes: its surfaces, folds, regions, local models, curvature."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.results.base import Result
    from pellucid.store.run import Run

__all__ = ["KINDS", "measure_command"]

KINDS = (
    "calibration",
    "classes",
    "collapse",
    "curvature",
    "folding",
    "history",
    "information",
    "jacobian",
    "landscape",
    "layers",
    "line",
    "local",
    "margins",
    "regions",
    "robustness",
    "surface",
    "weight",
)
"""What can be measured; the table in ``training.measured`` says how."""


def measure_command(
    kind: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(KINDS)}.", show_default=False)],
    run: Annotated[str, typer.Argument(help="The run: its id, the beginning of one, its name, or latest.")] = "latest",
    *,
    plane: Annotated[
        str,
        typer.Option(
            help="Where: pca, features:i,j, examples:a,b,c, latent:LAYER, latent:LAYER:i,j; path, for landscape."
        ),
    ] = "pca",
    layer: Annotated[
        str | None, typer.Option(help="Only this layer, for surface and folding; whose weight is moved, for weight.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Whose examples to take: train, validation or test. By default train; "
            "for calibration, margins and robustness test, if the run has one.",
            show_default=False,
        ),
    ] = None,
    example: Annotated[
        int, typer.Option(min=0, help="Which example of the split, for jacobian; where a line begins; from 0.")
    ] = 0,
    to: Annotated[
        int | None, typer.Option(min=0, help="Which example a line ends at; by default the first of another class.")
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="Which entry of the layer's weight, such as 3,7; by default its largest.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="For calibration: temperature, vector or isotonic, fitted on the validation split."),
    ] = None,
    resolution: Annotated[int | None, typer.Option(min=2, help="Grid points or lines in each direction.")] = None,
    linearise: Annotated[
        float | None, typer.Option(help="For the regions of a smooth network: the error allowed in an output.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Measure every kept epoch of the run.")] = False,
    open_app: Annotated[bool, typer.Option("--open", help="Then show the run in the app.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was kept as JSON.")] = False,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.")] = None,
) -> None:
    """Measure what a trained network computes, and keep the result in its run, where the app and the report show it.

    pellucid measure surface latest --plane pca --open
    """
    from pellucid.errors import SettingsError
    from pellucid.store.run import open_run

    if kind not in KINDS:
        raise SettingsError(f"there is no measure {kind!r}", place="kind", remedy=f"use one of {', '.join(KINDS)}")
    opened = open_run(run, runs_dir)
    from pellucid.training.measured import Request, measure_run

    request = Request(
        kind,
        plane,
        layer,
        split,
        example,
        resolution,
        linearise=linearise,
        to=to,
        index=None if index is None else _places(index),
        scale=scale,
    )
    kept: list[dict[str, object]] = []
    began = time.perf_counter()
    for name, result in measure_run(opened, request, checkpoints=checkpoints):
        kept.append(_keep(opened, name, result, time.perf_counter() - began))
        if not as_json:
            _say(name, result, alone=not checkpoints)
        began = time.perf_counter()
    if as_json:
        import json

        typer.echo(json.dumps({"run": opened.id, "kind": kind, "results": kept}))
    if open_app:
        from pellucid.cli.open import open_command

        open_command(opened.id, port=None, browser=True, headless=False, as_json=False, runs_dir=_folder_of(opened))


def _places(text: str) -> tuple[int, ...]:
    """``3,7`` as numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        from pellucid.errors import SettingsError

        raise SettingsError(
            f"{text!r} names no entry", place="--index", remedy="write whole numbers with commas, counted from 0: 3,7"
        )
    return tuple(int(part) for part in parts)


def _keep(run: Run, name: str, result: Result, seconds: float) -> dict[str, object]:
    """Put it into the run; what there is to say of it."""
    from pellucid.store.added_results import add_result

    size = add_result(run, name, result)
    return {"name": name, "schema": result.schema, "bytes": size, "seconds": round(seconds, 3)}


def _say(name: str, result: Result, *, alone: bool) -> None:
    from rich.console import Console

    console = Console()
    if alone:
        console.print(result, highlight=False)
        console.print()
    console.print(f"kept in the run as {name}", highlight=False)


def _folder_of(run: Run) -> str:
    return run.location.replace("\\", "/").rstrip("/").rpartition("/")[0] or "."
