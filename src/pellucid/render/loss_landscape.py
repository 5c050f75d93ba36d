"""A loss landscape as contours, a surface or a curve, with the way that training took."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.loss_landscape import LossLandscape
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "loss_landscape"


@renderer(_STEM, "rich")
def _rich(result: LossLandscape) -> Table:
    """Where the loss is lowest, how far the axes go, and how much of the path the plane shows."""
    low = result.lowest
    finite = result.loss[np.isfinite(result.loss)]
    rows = [
        ("loss at the centre", number(result.center_loss, 6)),
        ("lowest on the grid", f"{number(low[2])} at ({number(low[0], 3)}, {number(low[1], 3)})"),
        ("highest on the grid", number(float(finite.max()) if len(finite) else None)),
        ("axes", "; ".join(result.labels)),
        ("one unit is, in parameter space", ", ".join(number(float(one), 3) for one in result.lengths)),
        ("normalisation", result.normalization),
        ("batch normalisation uses", f"{result.statistics} statistics"),
        ("not moved", ", ".join(result.fixed[:6]) + (" …" if len(result.fixed) > 6 else "") or "nothing"),
        ("parameters, examples", f"{number(result.parameters)}, {number(result.examples)}"),
    ]
    if np.isfinite(result.curvatures).all():
        bends = (number(float(value)) for value in np.diag(result.curvatures))
        rows.append(("curvature along the axes", ", ".join(bends)))
    if result.path is not None:
        rows.append(("checkpoints", number(len(result.path.loss))))
        rows.append(("farthest from the plane", number(float(result.path.distance.max()), 3)))
        if np.isfinite(result.path.explained).all():
            rows.append(("share of their variance in the plane", f"{100 * float(result.path.explained.sum()):.1f} %"))
    if result.not_finite:
        rows.append(("points without a finite loss", number(result.not_finite)))
    return make_table(_title(result), ("fact", "value"), rows, text_columns=2)


def _title(result: LossLandscape) -> str:
    named = {"random": "random directions", "path": "the training path", "given": "given directions"}
    return f"Landscape of {result.loss_name} along {named.get(result.directions, 'eigenvectors of the Hessian')}"


@renderer(_STEM, "frame")
def _frame(result: LossLandscape, *, kind: str = "grid") -> pandas.DataFrame:
    """One row a point of the grid, or (``kind="path"``) one a checkpoint."""
    import pandas

    if choose(kind, ("grid", "path")) == "path":
        path = result.path
        if path is None:
            return pandas.DataFrame(columns=["loss", "distance"])
        named = {name: path.coordinates[:, place] for place, name in enumerate("st"[: result.dimensions])}
        return pandas.DataFrame({**named, "loss": path.loss, "distance": path.distance, "length": path.length})
    across, up = np.meshgrid(result.s, result.t)
    columns = {"s": across.ravel(), "t": up.ravel(), "loss": result.loss.ravel()}
    return pandas.DataFrame(columns if result.dimensions == 2 else {name: columns[name] for name in ("s", "loss")})


@renderer(_STEM, "plot")
def _plot(result: LossLandscape, ax: Axes | None = None, *, kind: str = "", log: bool | None = None) -> Axes:
    """Draw contours (``kind="contour"``), a surface (``"surface"``) or the curve of the row t = 0 (``"curve"``)."""
    kind = choose(kind or ("contour" if result.dimensions == 2 else "curve"), ("contour", "surface", "curve"))
    if kind == "surface" and result.dimensions == 2:
        return _surface(result, ax, _is_log(result, log))
    ax = make_axes(ax)
    ax.set_title(_title(result))
    ax.set_xlabel(result.labels[0])
    if kind == "contour" and result.dimensions == 2:
        _contour(result, ax, _is_log(result, log))
    else:
        _curve(result, ax)
    return ax


def _is_log(result: LossLandscape, asked: bool | None) -> bool:
    """A logarithmic scale where the loss spans more than two orders of magnitude, unless asked otherwise."""
    finite = result.loss[np.isfinite(result.loss)]
    possible = len(finite) > 0 and float(finite.min()) > 0
    wide = possible and float(finite.max()) > 100 * float(finite.min())
    return possible and (wide if asked is None else asked)


def _contour(result: LossLandscape, ax: Axes, log: bool) -> None:
    heights = np.ma.masked_invalid(np.log10(result.loss) if log else result.loss)
    if float(np.ptp(heights)) > 0:
        filled = ax.contourf(result.s, result.t, heights, levels=24, cmap="viridis")
        ax.contour(result.s, result.t, heights, levels=12, colors="white", linewidths=0.4)
        ax.figure.colorbar(filled, ax=ax, label="log₁₀ loss" if log else "loss")
    ax.plot(0, 0, "*", color=ACCENT, markersize=11, label="present parameters")
    if result.path is not None:
        ax.plot(*result.path.coordinates.T, "o-", color="white", markeredgecolor=ACCENT, markersize=4, label="training")
    ax.set_xlim(result.s[0], result.s[-1])
    ax.set_ylim(result.t[0], result.t[-1])
    ax.set_ylabel(result.labels[1])
    ax.legend(fontsize="small")


def _surface(result: LossLandscape, ax: Axes | None, log: bool) -> Axes:
    """A surface needs axes of three dimensions: those given are replaced by such in the same place."""
    from matplotlib import pyplot

    if ax is None:
        three: Any = pyplot.figure(figsize=(6, 5), layout="constrained").add_subplot(projection="3d")
    elif getattr(ax, "name", "") == "3d":
        three = ax
    else:
        figure: Any = ax.figure
        three = figure.add_subplot(ax.get_subplotspec(), projection="3d")
        ax.remove()
    heights = np.log10(result.loss) if log else result.loss
    across, up = np.meshgrid(result.s, result.t)
    three.plot_surface(across, up, np.ma.masked_invalid(heights), cmap="viridis", linewidth=0, alpha=0.9)
    if result.path is not None:
        over = np.log10(np.maximum(result.path.loss, 1e-300)) if log else result.path.loss
        three.plot(*result.path.coordinates.T, over, "o-", color=ACCENT, markersize=3)
    three.set_xlabel(result.labels[0])
    three.set_ylabel(result.labels[1])
    three.set_zlabel("log₁₀ loss" if log else "loss")
    three.set_title(_title(result))
    return three


def _curve(result: LossLandscape, ax: Axes) -> None:
    row = result.loss[int(np.argmin(np.abs(result.t)))]
    ax.plot(result.s, row, color=PALETTE[0], label="loss")
    if np.isfinite(result.curvatures).all():
        parabola = result.parabola(result.s)
        ax.plot(result.s, parabola, "--", color=QUIET, label="parabola of the same slope and curvature")
        ax.legend(fontsize="small")
    ax.plot(0, result.center_loss, "*", color=ACCENT, markersize=11)
    ax.set_ylabel("loss")
