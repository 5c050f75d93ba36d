"""``pellucid trace``: one example through a run's network, step by step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pellucid.lenses.trace import Entry, Trace
    from pellucid.results.base import Result

__all__ = ["trace_command"]

_ENTRY = re.compile(r"(?P<name>[^\[\]]+)\[(?P<index>\s*-?\d+(?:\s*,\s*-?\d+)*\s*)\]")


def trace_command(
    run: Annotated[str, typer.Argument(help="The run: its id, the beginning of one, its name, or latest.")],
    *,
    example: Annotated[int, typer.Option("--example", "-e", min=0, help="Row of the training data, from 0.")] = 0,
    layer: Annotated[
        str | None, typer.Option(help="Explain a neuron of this layer: the strongest, unless --neuron says which.")
    ] = None,
    neuron: Annotated[int | None, typer.Option(min=0, help="Which neuron or channel of --layer, from 0.")] = None,
    gradient: Annotated[
        str | None, typer.Option(help="Explain the loss's gradient by one entry, such as 'output.weight[3,7]'.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Walk through it in the app: forward, back, update.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the run with this walk as one HTML file, to keep or to send.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Recompute everything, and say what was verified.")] = False,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
) -> None:
    """Follow one example through a trained network: every step, and how any one number in it came about.

    pellucid trace latest --example 12 --layer hidden1.linear --neuron 3
    """
    from pellucid.store.run import open_run

    if neuron is not None and layer is None:
        raise SettingsError("a neuron belongs to a layer", place="--neuron", remedy="give --layer as well")
    place = None if gradient is None else _parse_entry(gradient)
    opened = open_run(run, runs_dir)
    if show:
        from pellucid.cli.open import show_run

        show_run(opened, view={"tab": "trace", "example": example}, as_json=as_json)
        return
    if report is not None:
        from pellucid.cli.report import spare_others

        spare_others(report, "give another name")
    from pellucid.training.traced import trace_example

    traced, split = trace_example(opened, example)
    if report is not None:
        from pellucid.server.report import write_report

        stepper = traced.stepper(f"row {example} of the {split} split")
        size = write_report(opened, report, extra={"trace_stepper": stepper})
        _say_written(report, size, as_json)
        return
    results: list[Result] = [] if layer or place or check else [traced.outline(), traced.loss.explain()]
    if layer is not None:
        results.append(_neuron(traced, layer, neuron).explain())
    if place is not None:
        results.append(traced.gradient(*place).explain())
    if check:
        results.append(traced.check())
    _say(results, as_json, example, split)


def _parse_entry(text: str) -> tuple[str, tuple[int, ...]]:
    """``output.weight[3,7]`` as name and index."""
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        raise SettingsError(
            f"{text!r} names no entry",
            place="--gradient",
            remedy="write the name and the index, as in 'fc1.weight[3,7]'",
        )
    return found["name"], tuple(int(axis) for axis in found["index"].split(","))


def _neuron(traced: Trace, layer: str, neuron: int | None) -> Entry:
    """The neuron asked for; the one that says most where none was named."""
    module = traced[layer]
    if neuron is not None:
        return module.neuron(neuron)
    import torch

    output = module.output
    place = torch.unravel_index(output.abs().argmax(), output.shape)
    return module.entry(tuple(int(axis) for axis in place))


def _say_written(path: Path, size: int, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps({"path": str(path), "bytes": size}))
        return
    typer.echo(f"{path}  ({size / 1e6:.1f} MB)")


def _say(results: list[Result], as_json: bool, example: int, split: str) -> None:
    if as_json:
        import json

        from pellucid.results.codec import encode

        documents = [{"schema": result.schema, **encode(result)[0]} for result in results]
        typer.echo(json.dumps({"example": example, "split": split, "results": documents}, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    console.print(f"Row {example}, of the {split} split", highlight=False)
    for result in results:
        console.print()
        console.print(result, highlight=False)
