"""A layer as a map: its facts as a table, and the grid before and after as a drawing."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.layer_map import LayerMap
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "layer_map"


@renderer(_STEM, "rich")
def _rich(result: LayerMap) -> Table:
    """Shape, singular values, rank, and how well one matrix stands for all the layers."""
    values = result.singular_values
    shown = ", ".join(number(float(value), 4) for value in values[:6]) + (" …" if len(values) > 6 else "")
    rows = [
        ("matrix", f"{result.shape[0]} × {result.shape[1]}"),
        ("singular values" if result.singular_values_exact else "singular values (largest, by iteration)", shown),
        ("rank", f"{result.rank} of at most {min(result.shape)}"),
        ("error of the single matrix", number(result.composition_error, 2)),
        ("drawn plane carries", f"{100 * result.explained:.0f} % of the map's squared size"),
    ]
    if len(values) and values[-1] > 0:
        rows.insert(2, ("largest ÷ smallest", number(float(values[0] / values[-1]), 4)))
    if result.activation:
        rows.append(("then", result.activation))
    return make_table(_title(result), ("fact", "value"), rows, text_columns=2)


def _title(result: LayerMap) -> str:
    names = ", then ".join(result.layers)
    return f"{names}: " + ("one matrix for all of them" if len(result.layers) > 1 else "the layer as a map")


@renderer(_STEM, "frame")
def _frame(result: LayerMap) -> pandas.DataFrame:
    """One row a singular value."""
    import pandas

    index = pandas.RangeIndex(len(result.singular_values), name="direction")
    return pandas.DataFrame({"singular_value": result.singular_values}, index=index)


@renderer(_STEM, "plot")
def _plot(result: LayerMap, ax: Axes | None = None, *, kind: str = "grid") -> Axes:
    """Draw the grid as the map leaves it (``kind="grid"``) or the singular values (``kind="spectrum"``)."""
    ax = make_axes(ax)
    ax.set_title(_title(result))
    if choose(kind, ("grid", "spectrum")) == "spectrum":
        ax.plot(range(1, len(result.singular_values) + 1), result.singular_values, "o-", color=PALETTE[0], markersize=3)
        ax.set_xlabel("direction")
        ax.set_ylabel("singular value")
        return ax
    for lines, colour, name in (
        (result.grid, QUIET, "input"),
        (result.image, PALETTE[0], "after the matrix"),
        (result.activated, ACCENT, f"after {result.activation}"),
    ):
        for place, line in enumerate(lines):
            ax.plot(line[:, 0], line[:, 1], color=colour, linewidth=0.8, label=name if place == 0 else None)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("first direction")
    ax.set_ylabel("second direction")
    ax.legend(fontsize="small")
    return ax
