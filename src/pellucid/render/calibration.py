"""Calibration as a table of figures, before and after a scaling, and as a reliability diagram."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.calibration import Calibration, CalibrationFigures
from pellucid.results.calibration_figures import BrierParts, ReliabilityBins
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "calibration"

_LABELS = {
    "accuracy": "accuracy",
    "confidence": "mean confidence",
    "ece": "ECE, bins of equal width",
    "ece_mass": "ECE, bins of equal mass",
    "mce": "MCE, the largest gap",
    "classwise_ece": "class-wise ECE",
    "adaptive_ece": "class-wise ECE, equal mass (adaptive)",
    "brier": "Brier score (0–2)",
    "nll": "negative log-likelihood (nats)",
}


@renderer(_STEM, "rich")
def _rich(result: Calibration) -> Table:
    """Every figure, before and after where the probabilities were scaled, and what they are to be read with."""
    sets = _sets(result)
    rows = [(label, *(number(getattr(one, name)) for one in sets.values())) for name, label in _LABELS.items()]
    quiet = [""] * (len(sets) - 1)
    last = result.figures
    if last.ece_chance == last.ece_chance:
        chance = f"{number(last.ece_chance, 3)}, below {number(last.ece_chance_high, 3)} in 95 %"
        rows.insert(3, ("ECE if every confidence were right", *quiet, chance))
    parts = result.brier
    rows += [
        ("Brier: reliability − resolution + uncertainty", *quiet, _sum(parts)),
        ("Brier: inside the bins", *quiet, number(parts.within_spread - parts.within_covariance, 3)),
        ("examples, classes, bins", *quiet, f"{result.examples:,}, {result.classes}, {len(result.width.counts)}"),
    ]
    if result.absent_classes:
        rows.append(("classes without an example", *quiet, ", ".join(map(str, result.absent_classes[:12]))))
    rows += _scaling_rows(result, quiet)
    return make_table(_title(result), ("figure", *sets), rows)


def _sum(parts: BrierParts) -> str:
    return f"{number(parts.reliability, 3)} − {number(parts.resolution, 3)} + {number(parts.uncertainty, 3)}"


def _scaling_rows(result: Calibration, quiet: list[str]) -> list[tuple[str, ...]]:
    scaling = result.scaling
    if scaling is None:
        return []
    rows = [("fitted on", *quiet, scaling.fitted_on)]
    if scaling.method == "temperature":
        shown = ", ".join(number(float(one), 4) for one in scaling.parameters[:, 0])
        rows.insert(0, ("temperature", *quiet, shown))
    return rows + [("note", *quiet, one) for one in scaling.notes]


def _title(result: Calibration) -> str:
    where = f" on {result.split}" if result.split else ""
    how = f", {result.scaling.method} scaling" if result.scaling else ""
    return f"Calibration{where}{how}"


def _sets(result: Calibration) -> dict[str, CalibrationFigures]:
    if result.scaling is None:
        return {"value": result.figures}
    return {"before": result.scaling.before, "after": result.figures}


@renderer(_STEM, "frame")
def _frame(result: Calibration, *, kind: str = "figures") -> pandas.DataFrame:
    """One row a figure; with ``kind="width"`` or ``"mass"`` a row a bin, with ``"classes"`` a row a class."""
    import pandas

    kind = choose(kind, ("figures", "width", "mass", "classes"))
    if kind == "figures":
        sets = {name: [getattr(one, key) for key in _LABELS] for name, one in _sets(result).items()}
        return pandas.DataFrame(sets, index=pandas.Index(list(_LABELS), name="figure"))
    if kind == "classes":
        names = result.class_names or tuple(map(str, range(result.classes)))
        return pandas.DataFrame({"error": result.class_errors}, index=pandas.Index(list(names), name="class"))
    bins = result.width if kind == "width" else result.mass
    columns = {
        "lower": bins.edges[:-1],
        "upper": bins.edges[1:],
        "count": bins.counts,
        "confidence": bins.confidence,
        "accuracy": bins.accuracy,
        "low": bins.low,
        "high": bins.high,
    }
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(bins.counts), name="bin"))


@renderer(_STEM, "plot")
def _plot(result: Calibration, ax: Axes | None = None, *, kind: str = "width") -> Axes:
    """Draw the reliability diagram: bins of equal width, or of equal mass (``kind="mass"``)."""
    ax = make_axes(ax, width=5.2, height=4.6)
    bins = result.width if choose(kind, ("width", "mass")) == "width" else result.mass
    ax.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle="--", label="as often right as sure")
    if result.scaling is not None and kind == "width":
        before = result.scaling.before_bins
        seen = before.counts > 0
        ax.plot(before.confidence[seen], before.accuracy[seen], "o:", color=QUIET, markersize=3, label="before")
    _draw_bins(ax, bins)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("confidence")
    ax.set_ylabel("share that is right")
    ax.legend(fontsize="small", loc="best")
    ax.set_title(
        f"{_title(result)}: ECE {number(bins.error, 3)}, accuracy {number(result.figures.accuracy, 3)}", size="medium"
    )
    return ax


def _draw_bins(ax: Axes, bins: ReliabilityBins) -> None:
    seen = bins.counts > 0
    widths = np.diff(bins.edges)[seen]
    left, height, sure = bins.edges[:-1][seen], bins.accuracy[seen], bins.confidence[seen]
    ax.bar(left, height, widths, align="edge", color=PALETTE[0], alpha=0.35, edgecolor="white", linewidth=0.5)
    ax.vlines(sure, height, sure, color=ACCENT, linewidth=5, alpha=0.6, label="gap")
    low, high = bins.low[seen], bins.high[seen]
    banded = np.isfinite(low)
    off = np.stack([height - low, high - height])[:, banded]
    ax.errorbar(
        sure[banded], height[banded], yerr=np.maximum(off, 0), fmt="o", color=PALETTE[0], markersize=3, capsize=2
    )
    for x, count in zip(left + widths / 2, bins.counts[seen], strict=True):
        ax.annotate(f"{count:,}", (x, 0.01), ha="center", va="bottom", size=6)
