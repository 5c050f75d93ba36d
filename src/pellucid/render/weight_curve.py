"""The loss over one weight: a curve with the places where units switch, and a table of facts."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.weight_curve import WeightCurve

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "weight_curve"
_MOST_MARKS = 200
_DRAWN = 1001


@renderer(_STEM, "rich")
def _rich(result: WeightCurve) -> Table:
    """The weight as it is, where it would be best, what bends the curve, and how exact it is."""
    best, lowest = result.lowest
    rows = [
        ("weight as it is", number(result.value, 5)),
        ("loss and slope there", f"{number(result.loss_here, 5)}, {number(result.slope_here, 4)}"),
        ("range", f"{number(float(result.weight[0]))} to {number(float(result.weight[-1]))}"),
        ("lowest loss on it", f"{number(lowest, 5)} at {number(best, 4)}"),
        ("curve", "exact: every bend is known" if result.exact else f"sampled: {result.reason}"),
    ]
    if result.exact:
        rows.append(("bends", f"{number(len(result.bend_weight))} in {number(_owners(result))} examples"))
        rows.append(("outputs differ from the model's by", number(result.agreement, 2)))
    if result.bends_left_out:
        rows.append(("bends between points", number(result.bends_left_out)))
    rows += [
        ("error between points", number(result.interpolation_error, 2)),
        ("points, examples", f"{number(len(result.weight))}, {number(result.examples)}"),
    ]
    return make_table(_title(result), ("fact", "value"), rows, text_columns=2)


def _owners(result: WeightCurve) -> int:
    return len(np.unique(result.bend_example))


def _title(result: WeightCurve) -> str:
    return f"{result.loss_name} over {_name(result)}"


def _name(result: WeightCurve) -> str:
    return f"{result.parameter}[{', '.join(str(one) for one in result.index)}]"


@renderer(_STEM, "frame")
def _frame(result: WeightCurve, *, kind: str = "points") -> pandas.DataFrame:
    """One row a point of the curve, or (``kind="bends"``) one a unit that switches for an example."""
    import pandas

    if choose(kind, ("points", "bends")) == "bends":
        modules: list[str] = [result.modules[place] for place in result.bend_module]
        bends = {"weight": result.bend_weight, "example": result.bend_example}
        return pandas.DataFrame({**bends, "module": modules, "unit": result.bend_unit})
    sides = {"slope_left": result.slope_left, "slope_right": result.slope_right}
    return pandas.DataFrame({"weight": result.weight, "loss": result.loss, **sides})


@renderer(_STEM, "plot")
def _plot(result: WeightCurve, ax: Axes | None = None, *, kind: str = "loss") -> Axes:
    """Draw the loss (``kind="loss"``), its tangent and the bends below it, or the slope (``kind="slope"``)."""
    ax = make_axes(ax)
    ax.set_title(_title(result))
    ax.set_xlabel(_name(result))
    if choose(kind, ("loss", "slope")) == "slope":
        across = np.repeat(result.weight, 2)[1:-1]
        slopes = np.stack([result.slope_right[:-1], result.slope_left[1:]], 1).ravel()
        ax.plot(across, slopes, color=PALETTE[0])
        ax.plot(result.value, result.slope_here, "o", color=ACCENT)
        ax.set_ylabel("slope of the loss")
        return ax
    low, high = float(result.weight[0]), float(result.weight[-1])
    across = np.sort(np.append(np.linspace(low, high, _DRAWN), result.weight))
    loss = result.loss_at(across)
    ax.plot(across, loss, color=PALETTE[0])
    ax.plot(result.value, result.loss_here, "o", color=ACCENT, label=f"as it is: {number(result.value)}")
    reach = 0.1 * (high - low)
    tangent = np.array([-reach, reach])
    label = f"slope {number(result.slope_here, 3)}"
    ax.plot(result.value + tangent, result.loss_here + result.slope_here * tangent, color=ACCENT, label=label)
    if len(result.bend_weight):
        shown = result.bend_weight[:: max(1, len(result.bend_weight) // _MOST_MARKS)]
        floor = np.full(len(shown), float(np.nanmin(loss)))
        ax.plot(shown, floor, "|", color=QUIET, alpha=0.6, label="a unit switches for an example")
    ax.set_ylabel("loss")
    ax.legend(fontsize="small")
    return ax
