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
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

__all__: list[str] = []

_STEM = "trace_outline"
_MOST_LISTED = 200
_ROOM = 42
"""What operation, module and source line need; where whole ranges leave less, the largest magnitudes are shown."""

_DITTO = "″"
"""Stands for the same line as above."""

_GAP = 3
"""What rich puts between two columns."""


@renderer(_STEM, "rich")
def _rich(result: TraceOutline) -> _Page:
    """The steps in order of execution, then the parameters with their gradients and moves."""
    return _Page(result)


class _Page:
    """The tables, laid out for the width at hand: a line a step, the source and whole ranges where there is room."""

    def __init__(self, result: TraceOutline) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich prints."""
        yield self._steps(options.max_width)
        if self._result.parameters:
            yield self._parameters(options.max_width)
        if self._result.note:
            yield self._result.note

    def _steps(self, width: int) -> Table:
        listed = self._result.steps[:_MOST_LISTED]
        for whole in (True, False):
            numbers = ("shape", "values", "∂loss") if whole else ("shape", "|value| ≤", "|∂loss| ≤")
            cells = [(_shape(step.shape), *_ranges(step, whole)) for step in listed]
            room = width - sum(max(map(len, column)) for column in zip(numbers, *cells, strict=True)) - 7 * _GAP - 4
            if room >= _ROOM:
                break
        texts = ("op", "module", "line") if room >= _ROOM else ("op", "module")
        op = min(max((len(step.op) + 1 for step in listed), default=2), max(8, room // len(texts)))
        module = min(max((len(_module(step)) for step in listed), default=6), max(8, (room - op) // (len(texts) - 1)))
        op, module = max(op, len("op")), max(module, len("module"))
        lines = [_line(step) for step in listed]
        rows: list[tuple[str, ...]] = [
            (
                str(step.index),
                _cut(f"{step.op}{'*' if step.opaque else '_' if step.in_place else ''}", op),
                _cut_left(_module(step), module),
                *([_cut(line if line != above else _DITTO, room - op - module)] if "line" in texts else []),
                *values,
            )
            for step, values, line, above in zip(listed, cells, lines, ["", *lines], strict=False)
        ]
        left_out = len(self._result.steps) - len(listed)
        if left_out > 0:
            rows.append(("…", f"{left_out} more", *[""] * (len(texts) + 2)))
        table = make_table(_title(self._result), ("step", *texts, *numbers), rows, text_columns=1 + len(texts))
        for column in table.columns:
            column.no_wrap = True
        return table

    def _parameters(self, width: int) -> Table:
        listed = self._result.parameters[:_MOST_LISTED]
        room = width - max(len(_shape(item.shape)) for item in listed) - 40
        rows = [
            (
                _cut_left(item.name, max(12, room)),
                _shape(item.shape),
                number(item.weight_norm, 3),
                number(item.gradient_norm, 3),
                number(item.update_norm, 3),
            )
            for item in listed
        ]
        names = ("parameter", "shape", "|weight|", "|gradient|", "|move|")
        return make_table(_moves(self._result), names, rows)


def _title(result: TraceOutline) -> str:
    loss = "" if math.isnan(result.loss) else f", loss {number(result.loss)}"
    opaque = sum(step.opaque for step in result.steps)
    hidden = f", {opaque} of them opaque (*)" if opaque else ""
    steps = "1 step" if len(result.steps) == 1 else f"{len(result.steps)} steps"
    return f"{result.model}: {steps}{hidden}{loss}"


def _moves(result: TraceOutline) -> str:
    return f"What {result.optimizer} would do" if result.optimizer else "Gradients by parameter"


def _module(step: StepOutline) -> str:
    call = f" ({step.call + 1})" if step.call else ""
    return f"{step.module}{call}" if step.module else ("loss" if step.phase == "loss" else "–")


def _line(step: StepOutline) -> str:
    return f"{step.source_line}: {step.source_text}" if step.source_text else ""


def _ranges(step: StepOutline, whole: bool) -> tuple[str, str]:
    """The values' range and the gradient's; their largest magnitudes where there is little room."""
    ends = ((step.low, step.high), (step.gradient_low, step.gradient_high))
    one, two = (_range(*pair) if whole else number(max(map(abs, pair)), 3) for pair in ends)
    return one, two


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _cut_left(text: str, width: int) -> str:
    """The end of a qualified name says more than its beginning."""
    return text if len(text) <= width else "…" + text[len(text) - max(width - 1, 0) :]


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "1"


def _range(low: float, high: float) -> str:
    """Least to largest; one number where they are the same; – where nothing was kept."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return number(low, 3) if low == high else f"{number(low, 3)} … {number(high, 3)}"


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
