"""Robustness as a table of accuracies with their intervals, and as curves over the size of the disturbance."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import PALETTE, QUIET, choose, line_style, make_axes, make_table, number, share
from pellucid.results.rendering import renderer
from pellucid.results.robustness import Robustness, RobustnessCurve

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "robustness"


@renderer(_STEM, "rich")
def _rich(result: Robustness) -> Table:
    """A row a disturbance and size: how many stay right, and between which bounds that share lies."""
    rows = [("undisturbed", "0", share(result.accuracy), f"{share(result.low)}–{share(result.high)}", "")]
    for curve in result.curves:
        for place, size in enumerate(curve.sizes):
            interval = f"{share(float(curve.low[place]))}–{share(float(curve.high[place]))}"
            said = curve.settings if place == 0 else ""
            name = _name(curve) if place == 0 else ""
            rows.append((name, number(float(size), 3), share(float(curve.accuracy[place])), interval, said))
    if len(result.distance):
        rows.append(("median distance, DeepFool (L2)", number(result.median_distance, 4), "", "", "upper bound"))
    if result.distance_ratio == result.distance_ratio:
        rows.append(("DeepFool ÷ exact within the slice", number(result.distance_ratio, 3), "", "", "median"))
    where = f" on {result.split}" if result.split else ""
    inside = f", inputs in {number(result.bounds[0])} to {number(result.bounds[1])}" if result.bounds else ""
    title = f"Robustness{where}: {result.examples:,} examples{inside}"
    return make_table(title, ("disturbance", "size", "accuracy", "95 % interval", ""), rows)


@renderer(_STEM, "frame")
def _frame(result: Robustness, *, kind: str = "curves") -> pandas.DataFrame:
    """One row a disturbance and size, or (``kind="distances"``) one an example."""
    import pandas

    if choose(kind, ("curves", "distances")) == "distances":
        columns = {"deepfool": result.distance, "slice": result.slice_distance}
        return pandas.DataFrame({name: values for name, values in columns.items() if len(values)})
    rows = [
        (one.name, *values)
        for one in result.curves
        for values in zip(one.sizes, one.correct, one.accuracy, one.low, one.high, strict=True)
    ]
    frame = pandas.DataFrame(rows, columns=["disturbance", "size", "correct", "accuracy", "low", "high"])
    return frame.set_index("disturbance")


@renderer(_STEM, "plot")
def _plot(result: Robustness, ax: Axes | None = None, *, kind: str = "curves") -> Axes:
    """Draw the accuracies over the size, or how DeepFool's distances are spread (``kind="distances"``)."""
    ax = make_axes(ax)
    if choose(kind, ("curves", "distances")) == "distances":
        usable = result.distance[np.isfinite(result.distance) & (result.distance > 0)]
        ax.hist(usable, bins=40, color=PALETTE[0])
        ax.set_xlabel("‖δ‖₂ that DeepFool needed")
        ax.set_ylabel("examples")
        ax.set_title(f"Distance to the boundary, from above: median {number(result.median_distance, 3)}")
        return ax
    for place, one in enumerate(result.curves):
        colour, dash = line_style(place)
        sizes = np.concatenate([[0], one.sizes])
        middle, low, high = (
            np.concatenate([[first], rest])
            for first, rest in (
                (result.accuracy, one.accuracy),
                (result.low, one.low),
                (result.high, one.high),
            )
        )
        ax.plot(sizes, middle, "o", linestyle=dash, color=colour, markersize=3, label=_name(one))
        ax.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.axhline(result.accuracy, color=QUIET, linewidth=0.8)
    ax.set_xscale("symlog", linthresh=_smallest(result))
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1)
    ax.set_xlabel("size of the disturbance")
    ax.set_ylabel("accuracy")
    if result.curves:
        ax.legend(fontsize="small")
    ax.set_title(f"Robustness of {result.examples:,} examples")
    return ax


def _name(curve: RobustnessCurve) -> str:
    """The disturbance with what its sizes are in."""
    return curve.label if curve.norm in curve.label else f"{curve.label} ({curve.norm})"


def _smallest(result: Robustness) -> float:
    """The smallest size above 0."""
    sizes = np.concatenate([one.sizes for one in result.curves]) if result.curves else np.ones(1)
    return float(sizes[sizes > 0].min()) if (sizes > 0).any() else 1.0
