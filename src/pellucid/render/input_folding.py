"""How the input's plane is folded: a table of the layers, and the grid as each leaves it."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import SettingsError
from pellucid.render.parts import ACCENT, PALETTE, QUIET, make_axes, make_table, number
from pellucid.results.input_folding import FoldingStage, InputFolding
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "input_folding"


@renderer(_STEM, "rich")
def _rich(result: InputFolding) -> Table:
    """One row a layer: what is seen of it, and what became of the plane."""
    rows = [
        (
            stage.name,
            stage.operation + (f", {stage.activation}" if stage.activation else ""),
            str(stage.units),
            "as it is" if stage.direct else _percent(stage.explained),
            number(stage.stretch, 3),
            _percent(stage.collapsed),
            number(stage.moved, 2),
        )
        for stage in result.stages
    ]
    columns = ("layer", "what", "units", "seen", "area ×", "collapsed", "moved")
    title = f"{result.model}: the plane of {result.plane.labels[0]} and {result.plane.labels[1]}, layer by layer"
    table = make_table(title, columns, rows, text_columns=2)
    if result.nonfinite:
        table.caption = f"{result.nonfinite:,} values are not finite"
        table.caption_justify = "left"
    return table


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


@renderer(_STEM, "frame")
def _frame(result: InputFolding) -> pandas.DataFrame:
    """One row a layer."""
    import pandas

    names = ("operation", "activation", "units", "direct", "explained", "stretch", "collapsed", "moved")
    columns = {name: [getattr(stage, name) for stage in result.stages] for name in names}
    return pandas.DataFrame(columns, index=pandas.Index([stage.name for stage in result.stages], name="layer"))


@renderer(_STEM, "plot")
def _plot(result: InputFolding, ax: Axes | None = None, *, layer: str | None = None) -> Axes:
    """Draw the grid and the examples as one layer leaves them; without one, all layers side by side."""
    if layer is not None or ax is not None:
        ax = make_axes(ax)
        _draw(ax, result, _stage(result, layer or result.stages[-1].name))
        return ax
    from matplotlib import pyplot

    columns = min(4, len(result.stages))
    rows = -(-len(result.stages) // columns)
    figure, every = pyplot.subplots(
        rows, columns, figsize=(3.0 * columns, 3.0 * rows), layout="constrained", squeeze=False
    )
    for place, one in enumerate(every.flat):
        if place < len(result.stages):
            _draw(one, result, result.stages[place])
        else:
            one.set_axis_off()
    figure.suptitle(f"{result.model}: how the input's plane is folded")
    return every[0, 0]


def _stage(result: InputFolding, name: str) -> FoldingStage:
    for stage in result.stages:
        if stage.name == name:
            return stage
    shown = ", ".join(stage.name for stage in result.stages)
    raise SettingsError(f"layer {name!r} was not measured", place="layer", remedy=f"name one of {shown}")


def _draw(ax: Axes, result: InputFolding, stage: FoldingStage) -> None:
    half = len(stage.lines) // 2
    for place, line in enumerate(stage.lines):
        ax.plot(line[:, 0], line[:, 1], color=PALETTE[4] if place < half else QUIET, linewidth=0.7)
    if len(stage.points):
        classes = result.point_classes
        colours = [ACCENT if one < 0 else PALETTE[int(one) % len(PALETTE)] for one in classes]
        ax.scatter(stage.points[:, 0], stage.points[:, 1], s=8, c=np.array(colours), zorder=3)
    seen = "" if stage.direct else f" ({_percent(stage.explained)} seen)"
    ax.set_title(f"{stage.name}{seen}", fontsize="small")
