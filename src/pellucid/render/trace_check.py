"""What was verified of a trace, as a table by oracle with the disagreements in full, and the errors as bars."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from pellucid.render.parts import ACCENT, PALETTE, QUIET, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.trace_check import CheckedStep, TraceCheck, Verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "trace_check"
_ORDER: tuple[Verdict, ...] = ("bit-equal", "within bound", "disagrees", "opaque", "not comparable")
_MOST_LISTED = 20


@renderer(_STEM, "rich")
def _rich(result: TraceCheck) -> Group:
    """A line for each oracle, then everything that disagrees, then what nothing could verify and why."""
    from rich.console import Group

    parts: list[object] = [make_table(_title(result), ("oracle", *_ORDER, "error ÷ bound", "worst at"), _rows(result))]
    wrong = [item for item in result.checks if item.verdict == "disagrees"]
    if wrong:
        rows = [
            (_place(item), item.oracle, number(item.error, 3), number(item.bound, 3), item.detail) for item in wrong
        ]
        parts.append(make_table("Disagreements", ("step", "oracle", "error", "bound", "where"), rows[:_MOST_LISTED]))
    unseen = [item for item in result.checks if item.verdict in ("opaque", "not comparable")]
    if unseen:
        reasons = Counter((item.name, item.oracle, item.detail) for item in unseen).most_common(_MOST_LISTED)
        rows = [(name, oracle, str(count), detail) for (name, oracle, detail), count in reasons]
        parts.append(make_table("Not verified", ("op", "oracle", "steps", "why"), rows, text_columns=2))
    parts.append(result.bound)
    return Group(*parts)  # type: ignore[arg-type]  # tables and texts


def _title(result: TraceCheck) -> str:
    seen = result.steps - result.opaque_steps
    verdict = "everything compared agrees" if result.agrees else "NOT EVERYTHING AGREES"
    return f"{result.model}: {verdict}; {seen} of {result.steps} steps have a rule"


def _rows(result: TraceCheck) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for oracle in dict.fromkeys(item.oracle for item in result.checks):
        items = [item for item in result.checks if item.oracle == oracle]
        counts = Counter(item.verdict for item in items)
        worst = max((item for item in items if not math.isnan(item.error)), key=_ratio, default=None)
        ratio = "–" if worst is None else number(_ratio(worst), 2)
        shown = [str(counts[verdict]) if counts[verdict] else "·" for verdict in _ORDER]
        rows.append((oracle, *shown, ratio, "" if worst is None or not worst.error else _place(worst)))
    return rows


def _ratio(item: CheckedStep) -> float:
    """The error in units of what rounding allows."""
    if item.error == 0:
        return 0.0
    return item.error / item.bound if item.bound > 0 else math.inf


def _place(item: CheckedStep) -> str:
    step = f"step {item.step} " if item.step >= 0 else ""
    return f"{step}{item.name}" + (f" in {item.module}" if item.module else "")


@renderer(_STEM, "frame")
def _frame(result: TraceCheck) -> pandas.DataFrame:
    """One row a comparison."""
    import pandas

    columns = ("name", "module", "oracle", "verdict", "error", "bound", "detail")
    return pandas.DataFrame(
        {column: [getattr(item, column) for item in result.checks] for column in columns},
        index=pandas.Index([item.step for item in result.checks], name="step"),
    )


@renderer(_STEM, "plot")
def _plot(result: TraceCheck, ax: Axes | None = None) -> Axes:
    """Draw each comparison's error in units of its bound; exact ones lie at the lower edge."""
    ax = make_axes(ax)
    floor = 1e-4
    for place, oracle in enumerate(dict.fromkeys(item.oracle for item in result.checks)):
        items = [item for item in result.checks if item.oracle == oracle and not math.isnan(item.error)]
        heights = [max(floor, min(_ratio(item), 1e6)) for item in items]
        if items:
            ax.scatter(range(len(items)), heights, s=12, color=PALETTE[place % len(PALETTE)], label=oracle)
    ax.axhline(1, color=ACCENT, linestyle="--", linewidth=1)
    ax.axhline(floor, color=QUIET, linewidth=0.6)
    ax.set_yscale("log")
    ax.set_xlabel("comparison")
    ax.set_ylabel("error ÷ bound")
    ax.set_title(_title(result))
    ax.legend(fontsize="small")
    return ax
