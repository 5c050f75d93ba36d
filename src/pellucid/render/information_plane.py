"""The information plane: each layer's path, with the estimator, bins and noise that made it."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import QUIET, choose, line_style, make_axes, make_table, number
from pellucid.results.information_plane import InformationPlane, LayerInformation
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "information_plane"


@renderer(_STEM, "rich")
def _rich(result: InformationPlane) -> Table:
    """A row a layer, as it is at the last epoch: both estimators, and what they suppose."""
    rows = [
        (
            one.layer or "the network",
            f"{one.units}",
            number(float(one.binned_x[-1]), 4),
            number(float(one.binned_y[-1]), 4),
            f"{number(float(one.kernel_x_low[-1]), 4)} to {number(float(one.kernel_x_high[-1]), 4)}",
            f"{number(float(one.kernel_y_low[-1]), 4)} to {number(float(one.kernel_y_high[-1]), 4)}",
            f"{one.bins} from {number(one.bin_low, 3)} to {number(one.bin_high, 3)}",
        )
        for one in result.layers
    ]
    most = (number(result.input_entropy, 4), number(result.label_entropy, 4))
    rows.append(("at most", "", *most, *most, f"σ² = {number(result.noise, 3)}"))
    when = f" at epoch {result.epochs[-1]}" if result.epochs[-1] >= 0 else ""
    where = f" on {result.split}" if result.split else ""
    title = f"Information in bits{where}{when}: {result.examples:,} examples"
    columns = ("layer", "units", "I(X;T) bins", "I(T;Y) bins", "I(X;T) noise", "I(T;Y) noise", "bins")
    return make_table(title, columns, rows)


@renderer(_STEM, "frame")
def _frame(result: InformationPlane) -> pandas.DataFrame:
    """One row an epoch and layer."""
    import pandas

    keys = ("binned_x", "binned_y", "kernel_x_low", "kernel_x_high", "kernel_y", "kernel_y_low", "kernel_y_high")
    rows = [
        (one.layer, epoch, *(getattr(one, key)[place] for key in keys))
        for place, epoch in enumerate(result.epochs)
        for one in result.layers
    ]
    return pandas.DataFrame(rows, columns=["layer", "epoch", *keys]).set_index("layer")


@renderer(_STEM, "plot")
def _plot(result: InformationPlane, ax: Axes | None = None, *, kind: str = "bins") -> Axes:
    """Draw the plane by bins, or by the kernel's upper bounds with what they leave open (``kind="kernel"``)."""
    ax = make_axes(ax)
    kind = choose(kind, ("bins", "kernel"))
    for place, one in enumerate(result.layers):
        colour, _ = line_style(place)
        x, y = (one.binned_x, one.binned_y) if kind == "bins" else (one.kernel_x_high, one.kernel_y)
        label = f"{one.layer or 'the network'} ({one.units})"
        ax.plot(x, y, "-", color=colour, linewidth=1, alpha=0.6)
        ax.scatter(x, y, s=np.linspace(8, 40, len(x)), color=colour, label=label)
        if kind == "kernel":
            _draw_bounds(ax, one, colour)
    ax.axhline(result.label_entropy, color=QUIET, linewidth=0.8, linestyle="--")
    ax.axvline(result.input_entropy, color=QUIET, linewidth=0.8, linestyle="--")
    ax.set_xlabel("I(X;T) in bits")
    ax.set_ylabel("I(T;Y) in bits")
    ax.legend(fontsize="small", title="layer (units), later is larger" if len(result.epochs) > 1 else "layer (units)")
    bins = sorted({one.bins for one in result.layers})
    how = f"{bins[0]} bins a unit" if kind == "bins" else f"noise of σ² = {number(result.noise, 3)}"
    ax.set_title(f"Information plane, {how}, {result.examples:,} examples")
    return ax


def _draw_bounds(ax: Axes, one: LayerInformation, colour: str) -> None:
    """At the last epoch, what lies between the bounds."""
    ax.hlines(one.kernel_y[-1], one.kernel_x_low[-1], one.kernel_x_high[-1], color=colour, linewidth=1, linestyle=":")
    ax.vlines(one.kernel_x_high[-1], one.kernel_y_low[-1], one.kernel_y_high[-1], color=colour, linewidth=1, ls=":")
