"""A network along a line: its pieces as a table, and its outputs as exact polylines."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import PALETTE, QUIET, make_axes, make_table, number
from pellucid.results.regions_on_line import RegionsOnLine
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "regions_on_line"
_MARKED = 200


@renderer(_STEM, "rich")
def _rich(result: RegionsOnLine) -> Table:
    """How many pieces, what bends them, and how straight they are."""
    rows = [("pieces", f"{result.pieces:,}"), ("length of the line", number(result.length, 4))]
    for one in result.operations:
        bends = int(((result.kinks >= one.first) & (result.kinks < one.first + one.quantities)).sum())
        rows.append((f"bends by {one.op} in {one.module or 'the model'}", f"{bends:,}"))
    crossings = result.crossings()
    shown = ", ".join(number(float(t), 4) for t in crossings[:6]) + (" …" if len(crossings) > 6 else "")
    rows += [
        ("the predicted class changes at t", shown or "nowhere"),
        ("further bends at the same places", str(result.coincident)),
        ("straight pieces against the network", f"{result.error:.1e} of the outputs' size"),
    ]
    return make_table(f"{result.model}: linear pieces along a line", ("fact", "value"), rows, text_columns=2)


@renderer(_STEM, "frame")
def _frame(result: RegionsOnLine) -> pandas.DataFrame:
    """One row a break: where it is, what bends there, and the outputs."""
    import pandas

    columns: dict[str, np.ndarray] = {"t": result.breaks, "kink": result.kinks}
    columns |= {_named(result, k): result.outputs[:, k] for k in range(result.outputs.shape[1])}
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(result.breaks), name="break"))


@renderer(_STEM, "plot")
def _plot(result: RegionsOnLine, ax: Axes | None = None) -> Axes:
    """Draw every output along the line, with a tick at every bend and a line where the prediction changes."""
    ax = make_axes(ax)
    for k in range(min(result.outputs.shape[1], 10)):
        ax.plot(result.breaks, result.outputs[:, k], color=PALETTE[k % len(PALETTE)], label=_named(result, k))
    if result.pieces <= _MARKED:
        ax.plot(result.breaks, np.full(len(result.breaks), result.outputs.min()), "|", color=QUIET)
    for t in result.crossings():
        ax.axvline(t, color=QUIET, linestyle="--", linewidth=0.8)
    ax.set_xlabel("t: from a (0) to b (1)")
    ax.set_ylabel("output")
    ax.set_title(f"{result.model}: {result.pieces:,} linear pieces")
    ax.legend(fontsize="small")
    return ax


def _named(result: RegionsOnLine, output: int) -> str:
    """A class, where each has an output of its own."""
    return result.classes[output] if len(result.classes) == result.outputs.shape[1] else f"output {output}"
