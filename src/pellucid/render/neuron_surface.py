"""Neurons over a slice: a table of the layers, one neuron as a heat map, as a surface or in its stages."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, choose, make_axes, make_table, number
from pellucid.results.neuron_surface import NeuronSurface, SurfaceLayer
from pellucid.results.rendering import renderer
from pellucid.results.slice_plane import SlicePlane

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = ["draw_points"]

_STEM = "neuron_surface"


@renderer(_STEM, "rich")
def _rich(result: NeuronSurface) -> Table:
    """One row a layer: its neurons, their range, and how exact the surface is."""
    rows = [
        (
            layer.name,
            layer.operation + (f", {layer.activation}" if layer.activation else ""),
            str(len(layer.units)),
            f"{number(_least(layer.low), 3)} … {number(_most(layer.high), 3)}",
            number(layer.precision_error, 2),
            number(layer.interpolation_error, 2),
        )
        for layer in result.layers
    ]
    columns = ("layer", "what", "neurons", "values", "off by", "between points")
    table = make_table(_title(result), columns, rows, text_columns=2)
    rows_, columns_ = len(result.t), len(result.s)
    said = f"{columns_} × {rows_} points, {result.evaluations:,} of them computed; errors against float64 at "
    said += f"{result.samples} points each"
    if result.nonfinite:
        said += f"; {result.nonfinite:,} values are not finite"
    table.caption = said
    table.caption_justify = "left"
    return table


def _title(result: NeuronSurface) -> str:
    return f"{result.model}: neurons over {result.plane.labels[0]} and {result.plane.labels[1]}"


def _least(values: np.ndarray) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")


def _most(values: np.ndarray) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")


@renderer(_STEM, "frame")
def _frame(result: NeuronSurface) -> pandas.DataFrame:
    """One row a neuron: its layer, its range, and the share of the slice on which it is above 0."""
    import pandas

    parts = [
        pandas.DataFrame(
            {
                "layer": layer.name,
                "unit": layer.units,
                "low": layer.low,
                "high": layer.high,
                "mean": layer.values.mean(axis=(1, 2), dtype=np.float64),
                "share_above_0": (layer.values > 0).mean(axis=(1, 2)),
            }
        )
        for layer in result.layers
    ]
    return pandas.concat(parts, ignore_index=True)


@renderer(_STEM, "plot")
def _plot(
    result: NeuronSurface,
    ax: Axes | None = None,
    *,
    layer: str = "",
    unit: int | None = None,
    kind: str = "map",
    into: int | None = None,
) -> Axes:
    """Draw one neuron (``kind="map"``), its graph (``"surface"``) or how it came about (``"stages"``)."""
    found = result.layer(layer)
    chosen = int(found.units[0]) if unit is None else unit
    kind = choose(kind, ("map", "surface", "stages"))
    if kind == "stages":
        return _plot_stages(result, found, chosen, into)
    values = result.surface(found.name, chosen)
    if kind == "surface":
        return _plot_graph(result, found, chosen, values)
    ax = make_axes(ax)
    _draw_map(ax, result, values)
    for line in result.contours(found.name, chosen):
        ax.plot(line[:, 0], line[:, 1], color="black", linewidth=1.2)
    draw_points(ax, result.plane)
    ax.set_title(f"{found.name}[{chosen}]" + (f", after {found.activation}" if found.activation else ""))
    return ax


def _draw_map(ax: Axes, result: NeuronSurface, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    most = float(np.abs(finite).max()) if len(finite) else 1.0
    extent = (*result.plane.u_range, *result.plane.v_range)
    image = ax.imshow(
        values, origin="lower", extent=extent, aspect="auto", cmap="RdBu_r", vmin=-(most or 1.0), vmax=most or 1.0
    )
    ax.figure.colorbar(image, ax=ax)
    ax.set_xlabel(result.plane.labels[0])
    ax.set_ylabel(result.plane.labels[1])


def draw_points(ax: Axes, plane: SlicePlane) -> None:
    """The examples of a slice, coloured by class, the farther ones smaller."""
    if plane.points is None or not len(plane.points):
        return
    classes = np.full(len(plane.points), -1) if plane.point_classes is None else plane.point_classes
    far = np.zeros(len(plane.points)) if plane.distances is None else plane.distances
    size = 14 / (1 + 3 * far / (float(far.max()) or 1.0))
    colours = [ACCENT if one < 0 else PALETTE[int(one) % len(PALETTE)] for one in classes]
    ax.scatter(plane.points[:, 0], plane.points[:, 1], s=size, c=colours, edgecolors="white", linewidths=0.3)


def _plot_graph(result: NeuronSurface, layer: SurfaceLayer, unit: int, values: np.ndarray) -> Axes:
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(6.0, 5.0), layout="constrained")
    ax = figure.add_subplot(projection="3d")
    s, t = np.meshgrid(result.s, result.t)
    getattr(ax, "plot_surface")(s, t, values, cmap="RdBu_r", linewidth=0, antialiased=False)  # noqa: B009 - 3-D axes
    ax.set_title(f"{layer.name}[{unit}]")
    ax.set_xlabel(result.plane.labels[0])
    ax.set_ylabel(result.plane.labels[1])
    return ax


def _plot_stages(result: NeuronSurface, layer: SurfaceLayer, unit: int, into: int | None) -> Axes:
    from matplotlib import pyplot

    stages = result.stages(layer.name, unit, into)
    figure, every = pyplot.subplots(1, len(stages), figsize=(3.2 * len(stages), 3.0), layout="constrained")
    for ax, stage in zip(every, stages, strict=True):
        _draw_map(ax, result, stage.values)
        ax.set_title(f"{stage.name}: {stage.formula}", fontsize="small")
    figure.suptitle(f"{layer.name}[{unit}]")
    return every[0]
