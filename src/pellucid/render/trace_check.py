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
    from rich.table import Table

__all__: list[str] = []

_STEM = "trace_check"
_ORDER: tuple[Verdict, ...] = ("bit-equal", "within bound", "disagrees", "opaque", "not comparable")
_ALWAYS: tuple[Verdict, ...] = ("bit-equal", "within bound", "disagrees")
_MOST_LISTED = 20


@renderer(_STEM, "rich")
def _rich(result: TraceCheck) -> Group:
    """A line for each oracle, then everything that disagrees, then what nothing could verify and why."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[object] = [_counts(result)]
    places = [Text(line) for line in _worst_places(result)]
    parts.append(Padding(Group(*places), (0, 0, 1, 0)) if places else "")
    wrong = [item for item in result.checks if item.verdict == "disagrees"]
    if wrong:
        parts.append(Text("Disagreements", style="bold"))
        for item in wrong[:_MOST_LISTED]:
            sizes = f"error {number(item.error, 3)}, bound {number(item.bound, 3)}"
            parts.append(Padding(Text(f"{_place(item)}, {item.oracle}: {sizes}; {item.detail}"), (0, 0, 0, 2)))
        if len(wrong) > _MOST_LISTED:
            parts.append(Text(f"  … and {len(wrong) - _MOST_LISTED} more"))
        parts.append("")
    unseen = [item for item in result.checks if item.verdict in ("opaque", "not comparable")]
    if unseen:
        reasons = Counter((item.name, item.oracle, item.detail) for item in unseen).most_common(_MOST_LISTED)
        rows = [(name, oracle, detail, str(count)) for (name, oracle, detail), count in reasons]
        parts.append(make_table("Not verified", ("op", "oracle", "why", "steps"), rows, text_columns=3))
    parts.append(result.bound)
    return Group(*parts)  # type: ignore[arg-type]  # tables and texts


def _title(result: TraceCheck) -> str:
    seen = result.steps - result.opaque_steps
    verdict = "everything compared agrees" if result.agrees else "NOT EVERYTHING AGREES"
    return f"{result.model}: {verdict}; {seen} of {result.steps} steps have a rule"


def _by_oracle(result: TraceCheck) -> dict[str, list[CheckedStep]]:
    found: dict[str, list[CheckedStep]] = {}
    for item in result.checks:
        found.setdefault(item.oracle, []).append(item)
    return found


def _worst(items: list[CheckedStep]) -> CheckedStep | None:
    return max((item for item in items if not math.isnan(item.error)), key=_ratio, default=None)


def _counts(result: TraceCheck) -> Table:
    """How many comparisons ended how, by oracle; a verdict that nobody gave takes no room unless it is good to see."""
    given = {item.verdict for item in result.checks}
    verdicts = [verdict for verdict in _ORDER if verdict in given or verdict in _ALWAYS]
    rows: list[tuple[str, ...]] = []
    for oracle, items in _by_oracle(result).items():
        counts = Counter(item.verdict for item in items)
        worst = _worst(items)
        shown = [str(counts[verdict]) if counts[verdict] else "·" for verdict in verdicts]
        rows.append((oracle, *shown, "–" if worst is None else number(_ratio(worst), 2)))
    names = [verdict.replace(" ", "\n") for verdict in verdicts]
    table = make_table(_title(result), ("oracle", *names, "error ÷\nbound"), rows)
    for column in table.columns[1:]:
        column.no_wrap = True
    return table


def _worst_places(result: TraceCheck) -> list[str]:
    """Where each oracle found the largest error."""
    found = {oracle: _worst(items) for oracle, items in _by_oracle(result).items()}
    return [f"Worst {oracle}: {_place(item)}." for oracle, item in found.items() if item is not None and item.error]


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
