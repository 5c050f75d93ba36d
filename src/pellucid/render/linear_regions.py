"""The linear regions of a slice: their numbers and proofs as a table, and the cells as a drawing."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import SettingsError
from pellucid.render.parts import PALETTE, choose, make_axes, make_table, number
from pellucid.results.linear_regions import LinearRegions
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "linear_regions"
_OUTLINED = 5000


@renderer(_STEM, "rich")
def _rich(result: LinearRegions) -> Table:
    """How many cells, what bends them, and what was proved of them."""
    proofs = result.proofs
    area = f"{number(proofs.area, 6)} of {number(proofs.slice_area, 6)}"
    rows = [("cells", f"{result.cells:,}")]
    rows += [(f"after {kink.op} in {kink.module or 'the model'}", f"{kink.cells:,}") for kink in result.kinks]
    rows += [
        ("sum of the areas", area),
        ("vertices − edges + cells", f"{proofs.euler} (a disk has 1)"),
        ("edges that lead nowhere", str(proofs.open_edges)),
    ]
    if proofs.linearised:
        rows.append(("smooth: largest error at check points", number(proofs.linearised, 3)))
    elif proofs.checked:
        rows += [
            ("linear model against network, at vertices", f"{proofs.vertex_error:.1e} of the outputs' size"),
            ("the same at a point inside each", f"{proofs.inside_error:.1e}"),
        ]
    else:
        rows.append(("linear models against the network", "not measured"))
    rows += [
        ("vertices welded", str(proofs.welded)),
        ("lines left out as unclear", str(proofs.unclear)),
        ("cells thinner than 1e-9 of the slice", str(proofs.thin)),
        ("all of this holds", "yes" if proofs.hold else "no"),
    ]
    return make_table(f"{result.model}: linear regions of a slice", ("fact", "value"), rows, text_columns=2)


@renderer(_STEM, "frame")
def _frame(result: LinearRegions) -> pandas.DataFrame:
    """One row a cell: its corners, its area, where it lies, and what the network says there."""
    import pandas

    middles = _means(result, result.vertices)
    columns: dict[str, np.ndarray] = {
        "corners": np.diff(result.cell_start),
        "area": _areas(result),
        result.plane.labels[0]: middles[:, 0],
        result.plane.labels[1]: middles[:, 1],
    }
    if result.outputs.size:
        winner = _predictions(result)
        columns["prediction"] = np.array(result.classes)[winner] if result.classes else winner
    return pandas.DataFrame(columns, index=pandas.RangeIndex(result.cells, name="cell"))


@renderer(_STEM, "plot")
def _plot(result: LinearRegions, ax: Axes | None = None, *, colour: str = "cell", boundary: bool = True) -> Axes:
    """Draw the cells, each in a colour of its own (``"cell"``), or by ``"prediction"`` or first ``"output"``."""
    from matplotlib.collections import LineCollection, PolyCollection

    ax = make_axes(ax)
    polygons = np.split(result.vertices[result.cell_vertex], result.cell_start[1:-1])
    cells = PolyCollection(polygons, linewidths=0.3 if result.cells <= _OUTLINED else 0.0)
    cells.set_edgecolor("white" if result.cells <= _OUTLINED else "face")
    if choose(colour, ("cell", "prediction", "output")) == "cell":
        cells.set_facecolor([PALETTE[int(one) % len(PALETTE)] + "99" for one in _hash(result)])
    elif not result.outputs.size:
        raise SettingsError("no outputs were measured", place="colour", remedy="measure with outputs=True")
    elif colour == "prediction":
        cells.set_facecolor([PALETTE[int(one) % len(PALETTE)] + "99" for one in _predictions(result)])
    else:
        cells.set_array(_means(result, result.outputs)[:, 0])
    ax.add_collection(cells)
    if boundary and result.outputs.size:
        lines = [line.points for line in result.boundary()]
        ax.add_collection(LineCollection(lines, colors="black", linewidths=1.5))
    ax.set_xlim(*result.plane.u_range)
    ax.set_ylim(*result.plane.v_range)
    ax.set_xlabel(result.plane.labels[0])
    ax.set_ylabel(result.plane.labels[1])
    ax.set_title(f"{result.model}: {result.cells:,} linear regions")
    return ax


def _means(result: LinearRegions, values: np.ndarray) -> np.ndarray:
    """The mean of the corners' values, cell by cell: exact for a linear model, at the mean of the corners."""
    sums = np.add.reduceat(values[result.cell_vertex], result.cell_start[:-1], axis=0)
    return sums / np.diff(result.cell_start)[:, None]


def _predictions(result: LinearRegions) -> np.ndarray:
    """The class in the middle of each cell."""
    middle = _means(result, result.outputs)
    return (middle[:, 0] > 0).astype(np.int64) if middle.shape[1] == 1 else middle.argmax(1)


def _areas(result: LinearRegions) -> np.ndarray:
    ring, starts = result.vertices[result.cell_vertex], result.cell_start
    following = np.arange(1, len(ring) + 1)
    following[starts[1:] - 1] = starts[:-1]
    local = ring - np.repeat(ring[starts[:-1]], np.diff(starts), axis=0)
    cross = local[:, 0] * local[following, 1] - local[:, 1] * local[following, 0]
    return np.add.reduceat(cross, starts[:-1]) / 2


def _hash(result: LinearRegions) -> np.ndarray:
    """A number for each cell that its neighbours seldom share."""
    return (np.arange(result.cells, dtype=np.uint64) * np.uint64(11400714819323198485)) >> np.uint64(40)
