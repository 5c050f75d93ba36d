"""Neural collapse as a table of every measure with its convention, as points on a log axis, angles and lengths."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.collapse_quantities import CollapseQuantity
from pellucid.results.neural_collapse import NeuralCollapse
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "neural_collapse"
_KINDS = ("measures", "angles", "lengths", "directions")
_PLOTTED = (
    "nc1",
    "cdnv",
    "trace_ratio",
    "equinorm_centres",
    "equinorm_classifier",
    "equiangular_centres",
    "equiangular_classifier",
    "maximal_angle_centres",
    "maximal_angle_classifier",
    "nc3",
    "nc4",
)
_MOST_SHOWN = 60


@renderer(_STEM, "rich")
def _rich(result: NeuralCollapse) -> Table:
    """Every measure in a line: value, full collapse, rounding, source, formula and convention."""
    from rich.text import Text

    interval = any(not math.isnan(one.low) for one in result.quantities)
    columns = ("measure", "value", *(("95 % interval",) if interval else ()), "collapsed", "rounding", "", "formula")
    sources = list(dict.fromkeys(one.source for one in result.quantities))
    rows = [
        (
            one.name,
            number(one.value),
            *((_interval(one),) if interval else ()),
            number(one.collapsed),
            "–" if math.isnan(one.error) else f"{one.error:.0e}",
            f"[{sources.index(one.source) + 1}]",
            one.formula + (f"; {one.note}" if one.note else ""),
        )
        for one in result.quantities
    ]
    table = make_table(_title(result), columns, rows)
    table.columns[0].no_wrap, table.columns[-1].justify = True, "left"
    known = " · ".join(f"[{place}] {name}" for place, name in enumerate(sources, start=1))
    table.caption, table.caption_justify = Text(f"{_caption(result)}\n{known}"), "left"
    return table


def _title(result: NeuralCollapse) -> str:
    of = f" of {result.layer}" if result.layer else ""
    on = f" on {result.split}" if result.split else ""
    sizes = f"{result.examples:,} examples, {result.classes:,} classes, {result.features:,} features"
    return f"Neural collapse{of}{on}: {sizes}"


def _caption(result: NeuralCollapse) -> str:
    """What is said of the whole: accuracies, the reference and what was left out."""
    said = [f"reference: {result.reference}"]
    if not math.isnan(result.accuracy):
        said.append(f"accuracy {number(result.accuracy)}, by nearest centre {number(result.nearest_centre_accuracy)}")
    if result.empty_classes:
        said.append(f"left out, having no example: {_names(result, result.empty_classes)}")
    if result.single_classes:
        said.append(f"one example, so without variability: {_names(result, result.single_classes)}")
    if result.resamples:
        said.append(f"intervals from {result.resamples} resamples within classes")
    return "; ".join(said)


def _names(result: NeuralCollapse, places: tuple[int, ...]) -> str:
    names = [result.class_names[one] if result.class_names else str(one) for one in places]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _interval(one: CollapseQuantity) -> str:
    return "–" if math.isnan(one.low) or one.low == one.high else f"{number(one.low)} to {number(one.high)}"


@renderer(_STEM, "frame")
def _frame(result: NeuralCollapse, *, kind: str = "measures") -> pandas.DataFrame:
    """One row a measure, or (``kind="classes"``) one a class."""
    import pandas

    if choose(kind, ("measures", "classes")) == "classes":
        columns = {"examples": result.counts, "within": result.within, "centre_norm": result.centre_norms}
        if len(result.classifier_norms):
            columns["classifier_norm"] = result.classifier_norms
        names = list(result.class_names) or list(range(result.classes))
        return pandas.DataFrame(columns, index=pandas.Index(names, name="class"))
    fields = ("label", "value", "collapsed", "error", "low", "high", "formula", "source", "note", "group")
    columns = {name: [getattr(one, name) for one in result.quantities] for name in fields}
    return pandas.DataFrame(columns, index=pandas.Index([one.name for one in result.quantities], name="measure"))


@renderer(_STEM, "plot")
def _plot(result: NeuralCollapse, ax: Axes | None = None, *, kind: str = "measures") -> Axes:
    """Draw the measures on a log axis, the cosines between centres (``angles``), ``lengths`` or ``directions``.

    ``directions`` shows signal and noise along each direction that the centres span.
    """
    kind = choose(kind, _KINDS)
    ax = make_axes(ax, width=7.0, height=4.4)
    {"measures": _draw_measures, "angles": _draw_angles, "lengths": _draw_lengths, "directions": _draw_directions}[
        kind
    ](result, ax)
    return ax


def _draw_measures(result: NeuralCollapse, ax: Axes) -> None:
    shown = [one for one in result.quantities if one.name in _PLOTTED and not math.isnan(one.value)]
    places = np.arange(len(shown))[::-1]
    least = min((one.value for one in shown if one.value > 0), default=1.0) / 10
    for place, one in zip(places, shown, strict=True):
        value = max(one.value, least)
        reached = not math.isnan(one.collapsed)
        ax.plot(
            value, place, "o", color=PALETTE[0] if reached else QUIET, fillstyle="full" if one.value > 0 else "none"
        )
        if not math.isnan(one.low):
            ax.plot([max(one.low, least), max(one.high, least)], [place, place], color=PALETTE[0], linewidth=2)
        ax.annotate(number(one.value, 3), (value, place), (6, 3), textcoords="offset points", fontsize=8)
    ax.set_xscale("log")
    ax.margins(x=0.15)
    ax.set_yticks(places, [one.label for one in shown], fontsize=8)
    ax.set_xlabel("value (in collapse: 0)")
    ax.set_title(_short(result))


def _short(result: NeuralCollapse) -> str:
    on = f" on {result.split}" if result.split else ""
    return f"NC1{on}: {number(result['nc1'], 3)}"


def _draw_angles(result: NeuralCollapse, ax: Axes) -> None:
    count = len(result.cosines)
    if count < 2:
        ax.text(0.5, 0.5, "too many classes to keep every angle", ha="center", transform=ax.transAxes)
        return
    limit = max(float(np.abs(result.cosines - np.eye(count)).max()), 1e-12)
    image = ax.imshow(
        np.where(np.eye(count, dtype=bool), np.nan, result.cosines), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, label="cosine between centres")
    kept = [one for one in range(result.classes) if one not in result.empty_classes]
    if count <= _MOST_SHOWN:
        names = [result.class_names[one] if result.class_names else str(one) for one in kept]
        ax.set_xticks(range(count), names, rotation=90, fontsize=7)
        ax.set_yticks(range(count), names, fontsize=7)
    ax.set_title(f"a simplex has {number(-1 / (count - 1), 3)} everywhere")


def _draw_lengths(result: NeuralCollapse, ax: Axes) -> None:
    places = np.arange(result.classes)
    norms = [(result.centre_norms, "centres", PALETTE[0], "o")]
    if len(result.classifier_norms):
        norms.append((result.classifier_norms, "classifier's rows", ACCENT, "x"))
    for values, name, colour, mark in norms:
        mean = float(values[result.counts > 0].mean()) or 1.0
        ax.plot(places, values / mean, mark, color=colour, label=name)
    ax.axhline(1, color=QUIET, linewidth=0.8)
    ax.set_xlabel("class")
    ax.set_ylabel("length over the mean length")
    ax.set_title(f"equal lengths: std/mean {number(result['equinorm_centres'], 3)} of the centres")
    ax.legend(fontsize="small")


def _draw_directions(result: NeuralCollapse, ax: Axes) -> None:
    places = np.arange(1, len(result.strengths) + 1)
    ax.plot(
        places, result.strengths / max(int((result.counts > 0).sum()), 1), color=PALETTE[0], label="between classes"
    )
    ax.plot(places, np.maximum(result.strengths_within, 1e-300), color=ACCENT, label="within classes")
    ax.set_yscale("log")
    ax.set_xlabel("direction of the centres' span")
    ax.set_ylabel("variance")
    ax.set_title(f"{number(100 * result.inside, 3)} % of the within-class variance lies in this span")
    ax.legend(fontsize="small")
