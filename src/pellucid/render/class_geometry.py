"""Classes among the vertices of their simplex, their likeness as a tree and a matrix, and the features they use."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.render.parts import PALETTE, QUIET, choose, make_axes, make_table, number, share
from pellucid.results.class_geometry import ClassGeometry, ReadableRotation
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "class_geometry"
_MOST_ROWS = 40


@renderer(_STEM, "rich")
def _rich(result: ClassGeometry) -> Table:
    """One row a class: who is nearest, what is left inside, and the features that it uses."""
    from rich.text import Text

    rows: list[tuple[str, ...]] = []
    order: list[int] = result.order.tolist()
    for row in order[:_MOST_ROWS]:
        texture = result.textures[row]
        rows.append(
            (
                result.class_names[row],
                _nearest(result, row),
                _used(result.rotation, row),
                number(int(result.counts[row])),
                number(texture.size, 3),
                number(texture.corrected, 2),
            )
        )
    columns = ("class", "most alike", "features", "examples", "spread", "p of clusters")
    title = _title(result)
    if len(order) > _MOST_ROWS:
        title += f": the first {_MOST_ROWS} of {len(order)} classes"
    table = make_table(title, columns, rows, text_columns=3)
    table.caption = Text("; ".join(_said(result)))
    table.caption_justify = "left"
    return table


def _title(result: ClassGeometry) -> str:
    on = f" on {result.split}" if result.split else ""
    return f"Class geometry{on}" + (f", into {result.layer}" if result.layer else "")


def _nearest(result: ClassGeometry, row: int) -> str:
    if not len(result.cosines):
        return "–"
    others = result.cosines[row].copy()
    others[row] = -np.inf
    best = int(others.argmax())
    return f"{result.class_names[best]} ({others[best]:+.2f})".replace("-", "−")


def _used(rotation: ReadableRotation | None, row: int) -> str:
    if rotation is None:
        return "–"
    return ", ".join(
        f"{rotation.features[one].name} {rotation.loadings[row, one]:+.3g}" for one in rotation.uses(row)
    ).replace("-", "−")


def _said(result: ClassGeometry) -> list[str]:
    said = [f"{share(result.gap)} from a simplex (0 is one)"]
    if not result.exact_simplex:
        said[0] += ", for which there are too few features"
    if result.groups:
        p_value = number(result.group_p_value, 2)
        said.append(f"cosines inside groups are {number(result.group_gap, 2)} above the others, p {p_value}")
    if result.rotation is not None:
        said.append(_verdict(result.rotation))
    return said


def _verdict(rotation: ReadableRotation) -> str:
    figures = f"density {share(rotation.density)}, by chance {share(float(rotation.null_density.mean()))}"
    figures += f", p {number(rotation.p_value, 2)}"
    if rotation.found:
        return f"the classes are made of fewer features than chance gives ({figures})"
    return f"there are no features to find: mixed classes can be turned as sparse ({figures})"


@renderer(_STEM, "frame")
def _frame(result: ClassGeometry, *, kind: str = "classes") -> pandas.DataFrame:
    """One row a class; or ``kind``: ``cosines``, ``loadings`` (class × feature), ``features`` (one row a feature)."""
    import pandas

    kind = choose(kind, ("classes", "cosines", "loadings", "features"))
    names = pandas.Index(result.class_names, name="class")
    if kind == "cosines":
        order = result.order if len(result.cosines) else np.arange(0)
        called = [result.class_names[one] for one in order]
        index = pandas.Index(called, name="class")
        return pandas.DataFrame(result.cosines[np.ix_(order, order)], index=index, columns=called)
    rotation = result.rotation
    if kind in ("loadings", "features") and rotation is None:
        return pandas.DataFrame()
    if kind == "loadings" and rotation is not None:
        return pandas.DataFrame(rotation.loadings, index=names, columns=[one.name for one in rotation.features])
    if kind == "features" and rotation is not None:
        rows = [
            {
                "share": one.share,
                "classes": ", ".join(
                    f"{result.class_names[row]} {rotation.loadings[row, place]:+.3g}" for row in one.classes
                ),
                "neurons": ", ".join(
                    f"{neuron} {weight:+.2f}" for neuron, weight in zip(one.neurons, one.neuron_weights, strict=True)
                ),
            }
            for place, one in enumerate(rotation.features)
        ]
        return pandas.DataFrame(rows, index=pandas.Index([one.name for one in rotation.features], name="feature"))
    columns: dict[str, Any] = {
        "examples": result.counts,
        "spread": [one.size for one in result.textures],
        "cluster_index": [one.index for one in result.textures],
        "cluster_index_by_chance": [one.null_index for one in result.textures],
        "p_value": [one.p_value for one in result.textures],
        "corrected": [one.corrected for one in result.textures],
        "features": [_used(rotation, row) for row in range(len(names))],
    }
    return pandas.DataFrame(columns, index=names)


@renderer(_STEM, "plot")
def _plot(
    result: ClassGeometry, ax: Axes | None = None, *, kind: str = "simplex", classes: tuple[str, str, str] | None = None
) -> Axes:
    """Draw the classes on the ``simplex``, its ``corner`` of three, the ``cosines``, the ``tree`` or the ``loadings``.

    Args:
        result: What to draw.
        ax: Axes to draw on.
        kind: Which picture.
        classes: The three of the corner; the first three by default.
    """
    kind = choose(kind, ("simplex", "corner", "cosines", "tree", "loadings"))
    ax = make_axes(ax, width=5.5, height=5.0)
    if kind == "simplex":
        _draw_simplex(result, ax)
    elif kind == "corner":
        _draw_corner(result, ax, classes)
    elif kind == "tree":
        _draw_tree(result, ax)
    else:
        _draw_matrix(result, ax, kind)
    return ax


def _colour(row: int) -> str:
    return PALETTE[row % len(PALETTE)]


def _draw_simplex(result: ClassGeometry, ax: Axes) -> None:
    """The picture whose vertices never move: a regular polygon, like classes side by side."""
    colours = [_colour(int(row)) for row in result.point_classes]
    ax.scatter(result.points[:, 0], result.points[:, 1], s=5, c=colours, alpha=0.35, linewidths=0)
    closed = [*result.order, result.order[0]]
    ax.plot(result.ideal[closed, 0], result.ideal[closed, 1], color=QUIET, linewidth=0.6)
    _draw_centres(ax, result.ideal, result.centres, result.class_names, range(len(result.class_names)))
    if len(result.classifier):
        ax.plot(result.classifier[:, 0], result.classifier[:, 1], "+", color="black", label="classifier")
    _finish(ax, f"{share(result.gap)} from a simplex")


def _draw_centres(ax: Axes, ideal: np.ndarray, centres: np.ndarray, names: tuple[str, ...], rows: Any) -> None:
    for place, row in enumerate(rows):
        ax.plot(*ideal[place, :2], "o", color=_colour(row), markerfacecolor="none", markersize=9)
        ax.plot(*centres[place, :2], "o", color=_colour(row), markeredgecolor="white", markersize=6)
        if place < _MOST_ROWS:
            at = (1.12 * float(ideal[place, 0]), 1.12 * float(ideal[place, 1]))
            ax.annotate(names[place], at, ha="center", va="center", fontsize="small")
    ax.plot([], [], "o", color=QUIET, markerfacecolor="none", label="ideal vertex")
    ax.plot([], [], "o", color=QUIET, label="class centre")


def _finish(ax: Axes, title: str) -> None:
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_axis_off()
    ax.legend(fontsize="small", loc="lower right")
    ax.set_title(title)


def _draw_corner(result: ClassGeometry, ax: Axes, classes: tuple[str, str, str] | None) -> None:
    from pellucid.errors import SettingsError

    names = classes or result.class_names[:3]
    if len(names) != 3 or not set(names) <= set(result.class_names) or not len(result.places):
        raise SettingsError("a corner has three classes", place="classes", remedy="name three classes of at most 256")
    ideal, centres, points = result.corner(*names)
    rows = [result.class_names.index(one) for one in names]
    owners = result.point_classes[np.isin(result.point_classes, rows)]
    ax.scatter(points[:, 0], points[:, 1], s=8, c=[_colour(int(row)) for row in owners], alpha=0.5, linewidths=0)
    closed = [0, 1, 2, 0]
    ax.plot(ideal[closed, 0], ideal[closed, 1], color=QUIET, linewidth=0.6)
    _draw_centres(ax, ideal, centres, tuple(names), rows)
    _finish(ax, " · ".join(names))


def _draw_tree(result: ClassGeometry, ax: Axes) -> None:
    from importlib import import_module

    dendrogram: Any = import_module("scipy.cluster.hierarchy").dendrogram  # scipy's own is without types

    if not len(result.tree):
        return
    dendrogram(result.tree, labels=list(result.class_names), ax=ax, color_threshold=0, above_threshold_color=PALETTE[0])
    ax.set_ylabel("1 − cosine of the centres, average linkage")
    ax.set_title("which classes are alike")


def _draw_matrix(result: ClassGeometry, ax: Axes, kind: str) -> None:
    order: list[int] = result.order.tolist()
    names = [result.class_names[one] for one in order]
    if kind == "cosines":
        values = result.cosines[np.ix_(order, order)] if len(result.cosines) else np.zeros((1, 1))
        columns, label, most = names, "cosine of the centres", 1.0
    elif result.rotation is not None:
        values = result.rotation.loadings[order]
        columns, label = [one.name for one in result.rotation.features], "loading of the centre"
        most = float(np.abs(values).max()) or 1.0
    else:
        return
    image = ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto" if kind == "loadings" else "equal")
    ax.figure.colorbar(image, ax=ax, label=label)
    if len(names) <= _MOST_ROWS:
        ax.set_yticks(range(len(names)), names)
    if len(columns) <= _MOST_ROWS:
        ax.set_xticks(range(len(columns)), columns, rotation=0 if kind == "loadings" else 90)
    if kind == "loadings" and result.rotation is not None:
        p_value = number(result.rotation.p_value, 2)
        ax.set_title(f"features of the classes: {'found' if result.rotation.found else 'none to find'}, p {p_value}")
