"""Regression collapse as a table of NRC1–NRC3, the features' spectrum, and NRC3 along its free constant."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.regression_collapse import RegressionCollapse
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "regression_collapse"
_SHOWN = 32
_SOURCE = "Andriopoulos, Dong, Guo, Zhao, Ross 2024"


@renderer(_STEM, "rich")
def _rich(result: RegressionCollapse) -> Table:
    """Every measure in a line, and what it was measured on."""
    rows = [
        (
            one.name,
            number(one.value),
            number(one.collapsed),
            "–" if math.isnan(one.error) else f"{one.error:.0e}",
            f"{one.formula}; {one.note}",
        )
        for one in result.quantities
    ]
    of = f" of {result.layer}" if result.layer else ""
    on = f" on {result.split}" if result.split else ""
    sizes = f"{result.examples:,} examples, {result.targets:,} targets, {result.features:,} features"
    table = make_table(
        f"Regression collapse{of}{on}: {sizes}", ("measure", "value", "collapsed", "rounding", "formula"), rows
    )
    table.columns[0].no_wrap, table.columns[-1].justify = True, "left"
    table.caption, table.caption_justify = (
        f"mean squared error {number(result.error)}; Andriopoulos et al. 2024",
        "left",
    )
    return table


@renderer(_STEM, "frame")
def _frame(result: RegressionCollapse, *, kind: str = "measures") -> pandas.DataFrame:
    """One row a measure, or (``kind="spectrum"``) one a principal direction of the features."""
    import pandas

    if choose(kind, ("measures", "spectrum")) == "spectrum":
        index = pandas.RangeIndex(1, len(result.spectrum) + 1, name="direction")
        return pandas.DataFrame({"share": result.spectrum}, index=index)
    fields = ("label", "value", "collapsed", "error", "formula", "source", "note")
    columns = {name: [getattr(one, name) for one in result.quantities] for name in fields}
    return pandas.DataFrame(columns, index=pandas.Index([one.name for one in result.quantities], name="measure"))


@renderer(_STEM, "plot")
def _plot(result: RegressionCollapse, ax: Axes | None = None, *, kind: str = "spectrum") -> Axes:
    """Draw the features' variance along their principal directions, or NRC3 over γ (``kind="gamma"``)."""
    ax = make_axes(ax)
    if choose(kind, ("spectrum", "gamma")) == "spectrum":
        shares = result.spectrum[:_SHOWN]
        places = np.arange(1, len(shares) + 1)
        ax.bar(places, np.maximum(shares, 1e-16), color=[PALETTE[0] if p <= result.targets else QUIET for p in places])
        ax.axvline(result.targets + 0.5, color=ACCENT, linestyle="--", label=f"{result.targets} targets")
        ax.set_yscale("log")
        ax.set_xlabel("principal direction of the features")
        ax.set_ylabel("share of their variance")
        ax.legend(fontsize="small")
    elif len(result.gammas):
        ax.plot(result.gammas, result.nrc3_curve, color=PALETTE[0])
        ax.plot(result.gamma, result["nrc3"], "o", color=ACCENT)
        ax.set_xlabel("√γ / √λ_min")
        ax.set_ylabel("NRC3")
    else:
        ax.text(0.5, 0.5, "of a single target NRC3 says nothing", ha="center", transform=ax.transAxes)
    ax.set_title(
        f"NRC1 {number(result['nrc1'], 3)}, NRC2 {number(result['nrc2'], 3)}, NRC3 {number(result['nrc3'], 3)}"
    )
    return ax
