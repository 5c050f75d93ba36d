"""A learning-rate range test as a table and as the curve of loss over rate."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, make_axes, make_table, number
from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "learning_rate_range"


@renderer(_STEM, "plot")
def _plot(result: LearningRateRange, ax: Axes | None = None) -> Axes:
    """Draw raw and smoothed loss over the rate, and mark the rate suggested."""
    ax = make_axes(ax)
    ax.plot(result.learning_rate, result.loss, color=QUIET, linewidth=0.8, alpha=0.6, label="each batch")
    ax.plot(result.learning_rate, result.smoothed_loss, color=PALETTE[0], label="smoothed")
    ax.axvline(result.suggestion, color=ACCENT, linestyle="--", label=f"suggested {number(result.suggestion, 2)}")
    ax.set_xscale("log")
    finite = result.smoothed_loss[np.isfinite(result.smoothed_loss)]
    if len(finite):
        # What comes after the loss blows up would flatten the part that matters.
        low, high = float(finite.min()), float(min(finite.max(), 2 * finite[0] - finite.min() + 1e-12))
        margin = 0.1 * max(high - low, 1e-12)
        ax.set_ylim(low - margin, high + margin)
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.set_title(f"learning-rate range test with {result.optimizer}")
    ax.legend(fontsize="small")
    return ax


@renderer(_STEM, "frame")
def _frame(result: LearningRateRange) -> pandas.DataFrame:
    """One row a step: the rate, the batch's loss and the smoothed one."""
    import pandas

    steps = pandas.RangeIndex(len(result.learning_rate), name="step")
    columns = {"learning_rate": result.learning_rate, "loss": result.loss, "smoothed_loss": result.smoothed_loss}
    return pandas.DataFrame(columns, index=steps)


@renderer(_STEM, "rich")
def _rich(result: LearningRateRange) -> Table:
    """The rate suggested, why, and where loss falls fastest and blows up."""
    rows = [
        ("suggested rate", number(result.suggestion, 3)),
        ("why", result.reason),
        ("loss falls fastest at", number(result.steepest, 3)),
        ("loss blows up at", "not in this range" if result.diverged_at is None else number(result.diverged_at, 3)),
        ("optimizer", result.optimizer),
        ("rates tried", f"{len(result.learning_rate)}, {_span(result.learning_rate)}"),
    ]
    return make_table("Learning-rate range", ("fact", "value"), rows, text_columns=2)


def _span(rates: np.ndarray) -> str:
    return f"{number(float(rates[0]), 2)} to {number(float(rates[-1]), 2)}" if len(rates) else "none"
