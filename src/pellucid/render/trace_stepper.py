"""The walk through a trace: its phases with counts as text, and its tensors as a strip of heat maps."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import choose, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.trace_stepper import StepperLayer, StepperStop, StepperValue, TraceStepper

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "trace_stepper"
_MOST_NAMED = 4
_MOST_DRAWN = 16
_PHASES = ("forward", "loss", "backward", "update")


@renderer(_STEM, "rich")
def _rich(result: TraceStepper) -> Group:
    """The phases with how many stops each has and what happens there, then the network if it is drawn by neurons."""
    from rich.console import Group

    rows = [(phase, str(len(stops)), _ways(result, stops)) for phase, stops in _by_phase(result).items() if stops]
    parts: list[object] = [make_table(_title(result), ("phase", "stops", "what happens"), rows, text_columns=3)]
    if result.network:
        layers = [_layer(layer) for layer in result.network]
        columns = ("layer", "units", "then", "largest outputs")
        parts.append(make_table("Neuron by neuron", columns, layers, text_columns=4))
    if result.note:
        parts.append(result.note)
    return Group(*parts)  # type: ignore[arg-type]  # tables and texts


def _title(result: TraceStepper) -> str:
    loss = "" if math.isnan(result.loss) else f", loss {number(result.loss)}"
    subject = f", {result.subject}" if result.subject else ""
    return f"{result.model}{subject}: a walk of {len(result.walk)} stops{loss}"


def _by_phase(result: TraceStepper) -> dict[str, list[StepperStop]]:
    return {phase: [stop for stop in result.walk if stop.phase == phase] for phase in _PHASES}


def _ways(result: TraceStepper, stops: list[StepperStop]) -> str:
    """The commonest operations, or how many parameters move."""
    if stops[0].phase == "update":
        moves = [result.values[stop.value].update_norm for stop in stops]
        known = [move for move in moves if math.isfinite(move)]
        moved = "1 parameter" if len(stops) == 1 else f"{len(stops)} parameters"
        return f"{result.optimizer} moves {moved}; the longest move is {number(max(known, default=0.0))}"
    counts = Counter(result.steps[stop.step].op for stop in stops)
    named = [f"{count} × {op}" if count > 1 else op for op, count in counts.most_common(_MOST_NAMED)]
    return ", ".join(named) + (f" and {len(counts) - _MOST_NAMED} other kinds" if len(counts) > _MOST_NAMED else "")


def _layer(layer: StepperLayer) -> tuple[str, ...]:
    """Name, size, activation and the strongest units of the first example."""
    order = np.argsort(-np.abs(np.nan_to_num(layer.outputs)), kind="stable")[:3]
    strongest = ", ".join(f"#{layer.shown_units[at]} = {number(float(layer.outputs[at]), 3)}" for at in order)
    return layer.module or "–", f"{layer.inputs} → {layer.units}", layer.activation or "–", strongest


@renderer(_STEM, "frame")
def _frame(result: TraceStepper) -> pandas.DataFrame:
    """One row a stop of the walk."""
    import pandas

    values = [result.values[stop.value] if stop.value >= 0 else None for stop in result.walk]
    steps = [result.steps[stop.step] if stop.step >= 0 else None for stop in result.walk]
    return pandas.DataFrame(
        {
            "phase": [stop.phase for stop in result.walk],
            "step": [stop.step for stop in result.walk],
            "op": ["update" if step is None else step.op for step in steps],
            "value": ["" if value is None else value.name for value in values],
            "shape": [() if value is None else value.shape for value in values],
            "minimum": [math.nan if value is None else value.minimum for value in values],
            "maximum": [math.nan if value is None else value.maximum for value in values],
            "gradient_norm": [math.nan if value is None else value.gradient_norm for value in values],
            "update_norm": [math.nan if value is None else value.update_norm for value in values],
        },
        index=pandas.RangeIndex(len(result.walk), name="position"),
    )


@renderer(_STEM, "plot")
def _plot(result: TraceStepper, ax: Axes | None = None, *, kind: str = "values") -> Axes:
    """Draw a strip of heat maps, each on a scale of its own: blue below zero, red above.

    ``kind="values"`` shows what each step of the forward pass made, ``"gradients"`` the loss's gradient by it in the
    order of the backward pass, ``"updates"`` the moves of the parameters.
    """
    choose(kind, ("values", "gradients", "updates"))
    phases = {"values": ("forward", "loss"), "gradients": ("backward",), "updates": ("update",)}[kind]
    ids = dict.fromkeys(stop.value for stop in result.walk if stop.phase in phases and stop.value >= 0)
    drawn = [(value, cells) for at in ids if (cells := _cells(value := result.values[at], kind)) is not None]
    ax = make_axes(ax, width=max(6.0, 0.9 * min(len(drawn), _MOST_DRAWN)), height=2.4)
    for place, (_, cells) in enumerate(drawn[:_MOST_DRAWN]):
        finite = np.abs(cells[np.isfinite(cells)])
        most = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        extent = (place + 0.05, place + 0.95, 0.0, 1.0)
        ax.imshow(cells, cmap="RdBu_r", vmin=-most, vmax=most, extent=extent, aspect="auto", interpolation="nearest")
    shown = drawn[:_MOST_DRAWN]
    ax.set_xlim(0, max(1, len(shown)))
    ax.set_ylim(0, 1)
    ax.set_xticks([place + 0.5 for place in range(len(shown))], [_label(value) for value, _ in shown], fontsize="small")
    for label in ax.get_xticklabels():
        label.set_rotation(30)
        label.set_horizontalalignment("right")
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    few = f", the first {len(shown)} of {len(drawn)}" if len(drawn) > len(shown) else ""
    ax.set_title(f"{_title(result)}\n{kind}{few}" if shown else f"{_title(result)}\nno {kind}")
    return ax


def _cells(value: StepperValue, kind: str) -> np.ndarray | None:
    """The picture that a kind of strip shows of a value; None where it has none."""
    cells = {"values": value.tensor, "gradients": value.gradient, "updates": value.update}[kind]
    return cells if cells is not None and cells.size else None


def _label(value: StepperValue) -> str:
    shape = " × ".join(map(str, value.shape)) or "1"
    return f"{value.name}\n{shape}"
