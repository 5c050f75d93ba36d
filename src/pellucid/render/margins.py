"""Margins as a table of their quantiles, and as distributions."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number, share
from pellucid.results.margins import Margins
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "margins"


@renderer(_STEM, "rich")
def _rich(result: Margins) -> Table:
    """A row a kind of margin: how exact it is and how it is spread; what was left out."""
    rows = [
        (
            one.label,
            f"{one.exactness}, {one.unit}",
            *(number(value, 3) for value in (one.minimum, one.low, one.median, one.high, one.mean)),
            share(one.negative),
            f"{one.measured:,}",
        )
        for one in result.summaries
    ]
    rows += [("left out", note, *[""] * 7) for note in result.notes]
    where = f" on {result.split}" if result.split else ""
    title = f"Margins{where}: {result.examples:,} examples, accuracy {number(result.accuracy, 3)}"
    columns = ("margin", "", "least", "5 %", "median", "95 %", "mean", "negative", "examples")
    return make_table(title, columns, rows, text_columns=2)


@renderer(_STEM, "frame")
def _frame(result: Margins, *, kind: str = "summary") -> pandas.DataFrame:
    """One row a kind; with ``kind="examples"`` one an example, with ``"classes"`` the medians of every class."""
    import pandas

    kind = choose(kind, ("summary", "examples", "classes"))
    names = [one.name for one in result.summaries]
    if kind == "examples":
        columns = {name: getattr(result, name) for name in names}
        return pandas.DataFrame({"label": result.labels, "prediction": result.predictions, **columns})
    if kind == "classes":
        index = pandas.Index(list(result.class_names or map(str, range(result.classes))), name="class")
        return pandas.DataFrame({name: result.by_class(name) for name in names}, index=index)
    keys = ("minimum", "low", "median", "high", "mean", "negative", "measured")
    table = {key: [getattr(one, key) for one in result.summaries] for key in keys}
    return pandas.DataFrame(table, index=pandas.Index(names, name="margin"))


@renderer(_STEM, "plot")
def _plot(result: Margins, ax: Axes | None = None, *, kind: str = "output") -> Axes:
    """Draw how one kind of margin is spread, wrong predictions apart (``kind="output"``, ``"cosine"`` …)."""
    ax = make_axes(ax)
    one = result[choose(kind, [summary.name for summary in result.summaries])]
    values = np.asarray(getattr(result, one.name), dtype=np.float64)
    right = result.labels == result.predictions
    finite = np.isfinite(values)
    ax.set_title(f"{one.label}, {one.exactness}: median {number(one.median, 3)}")
    ax.set_xlabel(f"{one.label} ({one.unit})")
    ax.set_ylabel("examples")
    ax.axvline(0, color=QUIET, linewidth=0.8)
    if finite.any():
        edges: list[float] = np.histogram_bin_edges(values[finite], bins=40).tolist()
        ax.hist(values[finite & right], edges, color=PALETTE[0], alpha=0.8, label="right")
        ax.hist(values[finite & ~right], edges, color=ACCENT, alpha=0.8, label="wrong")
        ax.legend(fontsize="small")
    return ax
