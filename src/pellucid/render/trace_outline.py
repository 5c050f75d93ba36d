"""A trace's steps as a table with shapes and ranges, and the range of values and gradients step by step."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pellucid.render.parts import ACCENT, PALETTE, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.trace_outline import StepOutline, TraceOutline

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "trace_outline"
_MOST_LISTED = 200
_SOURCE_WIDTH = 26


@renderer(_STEM, "rich")
def _rich(result: TraceOutline) -> Group:
    """The steps in order of execution, then the parameters with their gradients and moves."""
    from rich.console import Group

    rows = [_row(step) for step in result.steps[:_MOST_LISTED]]
    left_out = len(result.steps) - _MOST_LISTED
    if left_out > 0:
        rows.append(("…", f"{left_out} more", *[""] * 5))
    columns = ("step", "op", "module", "line", "shape", "values", "∂loss")
    steps = make_table(_title(result), columns, rows, text_columns=4)
    for name, column in zip(columns, steps.columns, strict=True):
        column.no_wrap = name not in ("op", "module", "line")
        column.min_width = 12 if name == "line" else None
    parts: list[object] = [steps]
    if result.parameters:
        weights = [
            (
                item.name,
                _shape(item.shape),
                number(item.weight_norm, 3),
                _known(item.gradient_norm),
                _known(item.update_norm),
            )
            for item in result.parameters[:_MOST_LISTED]
        ]
        names = ("parameter", "shape", "|weight|", "|gradient|", "|move|")
        parts.append(make_table(_moves(result), names, weights))
    if result.note:
        parts.append(result.note)
    return Group(*parts)  # type: ignore[arg-type]  # tables and texts


def _title(result: TraceOutline) -> str:
    loss = "" if math.isnan(result.loss) else f", loss {number(result.loss)}"
    opaque = sum(step.opaque for step in result.steps)
    hidden = f", {opaque} of them opaque (*)" if opaque else ""
    return f"{result.model}: {len(result.steps)} steps{hidden}{loss}"


def _moves(result: TraceOutline) -> str:
    return f"What {result.optimizer} would do" if result.optimizer else "Gradients by parameter"


def _row(step: StepOutline) -> tuple[str, ...]:
    mark = "*" if step.opaque else "_" if step.in_place else ""
    line = f"{step.source_line}: {step.source_text}" if step.source_text else ""
    if len(line) > _SOURCE_WIDTH:
        line = line[: _SOURCE_WIDTH - 1] + "…"
    call = f" ({step.call + 1})" if step.call else ""
    return (
        str(step.index),
        f"{step.op}{mark}",
        f"{step.module}{call}" if step.module else ("loss" if step.phase == "loss" else "–"),
        line,
        _shape(step.shape),
        _range(step.low, step.high),
        _range(step.gradient_low, step.gradient_high),
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "1"


def _range(low: float, high: float) -> str:
    """Least to largest; one number where they are the same; – where nothing was kept."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return number(low, 3) if low == high else f"{number(low, 3)} … {number(high, 3)}"


def _known(value: float) -> str:
    return number(value, 3)


@renderer(_STEM, "frame")
def _frame(result: TraceOutline) -> pandas.DataFrame:
    """One row a step."""
    import pandas

    steps = result.steps
    return pandas.DataFrame(
        {
            "phase": [step.phase for step in steps],
            "op": [step.op for step in steps],
            "module": [step.module for step in steps],
            "line": [f"{step.source_file}:{step.source_line}" if step.source_file else "" for step in steps],
            "shape": [step.shape for step in steps],
            "dtype": [step.dtype for step in steps],
            "low": [step.low for step in steps],
            "high": [step.high for step in steps],
            "gradient_low": [step.gradient_low for step in steps],
            "gradient_high": [step.gradient_high for step in steps],
            "in_place": [step.in_place for step in steps],
            "opaque": [step.opaque for step in steps],
        },
        index=pandas.Index([step.index for step in steps], name="step"),
    )


@renderer(_STEM, "plot")
def _plot(result: TraceOutline, ax: Axes | None = None) -> Axes:
    """Draw the largest magnitude of each step's values and of the loss's gradient by them, on a logarithmic scale."""
    ax = make_axes(ax)
    for name, colour, ends in (
        ("values", PALETTE[0], [(step.low, step.high) for step in result.steps]),
        ("gradient of the loss", ACCENT, [(step.gradient_low, step.gradient_high) for step in result.steps]),
    ):
        sizes = [max(abs(low), abs(high)) for low, high in ends]
        known = [(place, size) for place, size in enumerate(sizes) if size > 0 and math.isfinite(size)]
        if known:
            ax.plot(*zip(*known, strict=True), marker="o", markersize=3, color=colour, label=name)
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("largest magnitude")
    ax.set_title(_title(result))
    if ax.lines:
        ax.legend(fontsize="small")
    return ax
