"""A data report as tables and as class balance or the target's histogram."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.render.parts import PALETTE, line_style, make_axes, make_table, number
from pellucid.results.data_report import ColumnReport, DataReport
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "data_report"
_MOST_LISTED = 40  # columns or classes before the rest is left out
_MOST_BARS = 30


@renderer(_STEM, "plot")
def _plot(result: DataReport, ax: Axes | None = None) -> Axes:
    """Draw each class's share of every split, or the target's histogram, or how the rows were split."""
    ax = make_axes(ax)
    target = next((column for column in result.columns if column.role == "target"), None)
    if result.classes:
        return _plot_balance(result, ax)
    if target is not None and target.histogram is not None and target.edges is not None:
        ax.stairs(target.histogram, target.edges, fill=True, color=PALETTE[0])
        ax.set_xlabel(target.name)
        ax.set_ylabel("rows")
        ax.set_title(f"{result.source}: the target")
        return ax
    ax.bar(list(result.split_sizes), list(result.split_sizes.values()), color=PALETTE[0])
    ax.set_ylabel("examples")
    ax.set_title(f"{result.source}: {result.split_method}")
    return ax


def _plot_balance(result: DataReport, ax: Axes) -> Axes:
    """Shares side by side: where splits are stratified, the bars of a class are level."""
    first = next(iter(result.class_counts.values()))
    shown = np.sort(np.argsort(-first, kind="stable")[:_MOST_BARS])
    width = 0.8 / len(result.class_counts)
    for index, (split, counts) in enumerate(result.class_counts.items()):
        share = counts[shown] / max(1, counts.sum())
        ax.bar(
            np.arange(len(shown)) + (index + 0.5) * width - 0.4, share, width, color=line_style(index)[0], label=split
        )
    ax.set_xticks(range(len(shown)), [result.classes[int(index)] for index in shown.tolist()])
    if len(shown) > 6:
        ax.tick_params(axis="x", rotation=60)
    ax.set_ylabel("share of the split")
    left_out = len(result.classes) - len(shown)
    ax.set_title(f"{result.source}: classes" + (f" ({left_out} rarer ones left out)" if left_out else ""))
    ax.legend(fontsize="small")
    return ax


@renderer(_STEM, "frame")
def _frame(result: DataReport) -> pandas.DataFrame:
    """One row a column: what it is, what was done to it, and its figures."""
    import pandas

    names = ("kind", "role", "missing", "distinct", "mean", "std", "low", "median", "high")
    columns: dict[str, Any] = {name: [getattr(column, name) for column in result.columns] for name in names}
    columns["treatment"] = ["; ".join(column.treatment) for column in result.columns]
    columns["note"] = [column.note for column in result.columns]
    return pandas.DataFrame(columns, index=pandas.Index([column.name for column in result.columns], name="column"))


@renderer(_STEM, "rich")
def _rich(result: DataReport) -> Group:
    """The facts, the classes, the columns, and what looks suspicious."""
    from rich.console import Group

    parts: list[Any] = [make_table(f"Data: {result.source}", ("fact", "value"), _facts(result), text_columns=2)]
    if result.classes:
        parts.append(_class_table(result))
    if result.columns:
        listed = result.columns[:_MOST_LISTED]
        left_out = len(result.columns) - len(listed)
        title = f"Columns ({left_out} more left out)" if left_out else "Columns"
        rows = [_column_row(column) for column in listed]
        parts.append(
            make_table(title, ("column", "kind", "role", "what was done", "missing", "distinct"), rows, text_columns=4)
        )
    suspicious = [(f"{suspect.column}: {suspect.reason}",) for suspect in result.leakage]
    suspicious += [(warning,) for warning in result.warnings]
    if suspicious:
        parts.append(make_table("Look at this", ("warning",), suspicious))
    return Group(*parts)


def _facts(result: DataReport) -> list[tuple[str, str]]:
    """What there is to say of the whole source, by name."""
    splits = ", ".join(f"{count:,} {split}" for split, count in result.split_sizes.items())
    facts = [
        ("kind", f"{result.modality}, {result.task}"),
        ("rows used", f"{result.rows:,}"),
        ("split", f"{splits} ({result.split_method})"),
        ("numbers an example", f"{result.features_out:,}"),
    ]
    if result.rows_without_target:
        facts.append(("rows without target", f"{result.rows_without_target:,}, left out"))
    if result.duplicate_rows:
        facts.append(("duplicate rows", f"{result.duplicate_rows:,}"))
    if result.duplicates_across_splits:
        facts.append(("of them across splits", f"{result.duplicates_across_splits:,} stand in training too"))
    return [*facts, *result.facts.items()]


def _class_table(result: DataReport) -> Any:
    """Counts of the classes by split, the commonest in training first if there are many."""
    first = next(iter(result.class_counts.values()))
    order = np.arange(len(result.classes))
    if len(order) > _MOST_LISTED:
        order = np.argsort(-first, kind="stable")[:_MOST_LISTED]
    rows = [
        (result.classes[index], *(f"{counts[index]:,}" for counts in result.class_counts.values())) for index in order
    ]
    left_out = len(result.classes) - len(order)
    title = f"Classes ({left_out} rarer ones left out)" if left_out else "Classes"
    return make_table(title, ("class", *result.class_counts), rows)


def _column_row(column: ColumnReport) -> tuple[str, ...]:
    """One line of the table of columns."""
    done = "; ".join(column.treatment)
    if column.note:
        done = f"{done}; {column.note}" if done else column.note
    return (column.name, column.kind, column.role, done, number(column.missing), number(column.distinct))
