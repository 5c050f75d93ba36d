"""A cross-validation as a table of folds and as points with their mean and spread."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, choose, make_axes, make_table, number
from pellucid.results.cross_validation import CrossValidation
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "cross_validation"


@renderer(_STEM, "plot")
def _plot(result: CrossValidation, ax: Axes | None = None, metric: str | None = None) -> Axes:
    """Draw one metric's value on every fold, its mean as a line and one standard deviation as a band.

    ``metric`` is the first one unless named; metrics have scales of their own, so there is one a picture.
    """
    metric = choose(metric or next(iter(result.values)), tuple(result.values))
    ax = make_axes(ax, width=5.5, height=3.5)
    mean, std = result.mean[metric], result.std[metric]
    folds = np.arange(1, result.folds + 1)
    if np.isfinite(std):
        ax.axhspan(mean - std, mean + std, color=PALETTE[4], alpha=0.25, linewidth=0)
    ax.axhline(mean, color=ACCENT, linewidth=1.5)
    ax.plot(folds, result.values[metric], "o", color=PALETTE[0])
    ax.set_xticks(folds)
    ax.set_xlabel("fold")
    ax.set_ylabel(metric.replace("_", " "))
    ax.set_title(f"{result.method}: {number(mean)} ± {number(std, 2)}")
    return ax


@renderer(_STEM, "frame")
def _frame(result: CrossValidation) -> pandas.DataFrame:
    """One row a fold: how many examples it held out, and every metric on them."""
    import pandas

    folds = pandas.Index(range(1, result.folds + 1), name="fold")
    return pandas.DataFrame({"examples": result.sizes, **result.values}, index=folds)


@renderer(_STEM, "rich")
def _rich(result: CrossValidation) -> Table:
    """The folds, then mean and standard deviation."""
    rows = [
        (f"{fold + 1}", str(result.sizes[fold]), *(number(float(values[fold])) for values in result.values.values()))
        for fold in range(result.folds)
    ]
    rows.append(("mean", "", *(number(result.mean[metric]) for metric in result.values)))
    rows.append(("std", "", *(number(result.std[metric], 2) for metric in result.values)))
    columns = ("fold", "examples", *(metric.replace("_", " ") for metric in result.values))
    return make_table(f"Cross-validation, {result.method}", columns, rows)
