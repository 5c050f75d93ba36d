"""Curvature as a table of facts, its spectral density, and its largest eigenvalues with their errors."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.curvature import Curvature
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "curvature"
_MATRIX = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix"}


@renderer(_STEM, "rich")
def _rich(result: Curvature) -> Table:
    """Eigenvalues with their residuals, the verdict on the step size, the saddle check and what it cost."""
    rows = [
        (f"eigenvalue {place + 1}", f"{number(float(value), 6)} (residual {number(float(residual), 2)})")
        for place, (value, residual) in enumerate(zip(result.eigenvalues, result.residuals, strict=True))
    ]
    rows.append(("smallest eigenvalue", _smallest(result)))
    if result.stability is not None:
        verdict = "overshoots" if result.stability > result.stability_limit else "stable"
        shown = f"{number(result.stability, 3)} of {number(result.stability_limit, 3)}: {verdict}"
        rows.append(("learning rate × largest", shown))
    if result.trace is not None:
        rows.append(("trace", f"{number(result.trace, 4)} ± {number(result.trace_error, 2)} (standard error)"))
    if result.density is not None:
        share = f"{number(100 * result.density.negative, 3)} % ± {number(100 * result.density.negative_error, 2)} %"
        rows.append(("share of negative eigenvalues", share))
    rows += [
        ("loss, length of its gradient", f"{number(result.loss, 4)}, {number(result.gradient_norm, 3)}"),
        ("parameters, examples", f"{number(result.parameters)}, {number(result.examples)}"),
        ("products", ", ".join(f"{name} {count}" for name, count in result.products.items())),
    ]
    if not result.converged:
        rows.insert(
            0, ("not converged", f"some eigenvalue is not within {number(result.tolerance, 2)}: allow more steps")
        )
    title = f"Curvature of {result.loss_name}: {_MATRIX[result.matrix]} in {result.precision}"
    return make_table(title, ("fact", "value"), rows, text_columns=2)


def _smallest(result: Curvature) -> str:
    value = number(float(result.smallest[0]), 4)
    verdict = "the loss curves down along some direction" if result.descends else "no direction down was seen"
    return f"at most {value} (residual {number(float(result.smallest_residuals[0]), 2)}): {verdict}"


@renderer(_STEM, "frame")
def _frame(result: Curvature, *, kind: str = "eigenvalues") -> pandas.DataFrame:
    """One row an eigenvalue, or (``kind="density"``) one a point of the density's grid."""
    import pandas

    if choose(kind, ("eigenvalues", "density")) == "density":
        density = result.density
        points = {"eigenvalue": density.grid, "density": density.density, "error": density.error} if density else {}
        return pandas.DataFrame(points)
    columns = {"eigenvalue": result.eigenvalues, "residual": result.residuals, "bound": result.bounds}
    index = pandas.RangeIndex(1, len(result.eigenvalues) + 1, name="direction")
    return pandas.DataFrame(columns, index=index)


@renderer(_STEM, "plot")
def _plot(result: Curvature, ax: Axes | None = None, *, kind: str = "") -> Axes:
    """Draw the spectral density, logarithmic (``kind="density"``), or the eigenvalues (``kind="eigenvalues"``)."""
    ax = make_axes(ax)
    kind = choose(kind or ("density" if result.density else "eigenvalues"), ("density", "eigenvalues"))
    if kind == "density" and result.density is not None:
        _draw_density(result, ax)
    else:
        places = np.arange(1, len(result.eigenvalues) + 1)
        ax.errorbar(places, result.eigenvalues, yerr=result.bounds, fmt="o", color=PALETTE[0], capsize=3)
        ax.axhline(0, color=QUIET, linewidth=0.8)
        ax.set_xticks(places)
        ax.set_xlabel("direction")
        ax.set_ylabel("eigenvalue")
    if result.learning_rate:
        limit = result.stability_limit / result.learning_rate
        label = f"limit of the learning rate: {number(limit, 3)}"
        if kind == "density":
            ax.axvline(limit, color=ACCENT, linestyle="--", label=label)
        else:
            ax.axhline(limit, color=ACCENT, linestyle="--", label=label)
        ax.legend(fontsize="small")
    ax.set_title(f"{_MATRIX[result.matrix]}: largest eigenvalue {number(result.sharpness, 4)}")
    return ax


def _draw_density(result: Curvature, ax: Axes) -> None:
    density = result.density
    assert density is not None
    floor = 1e-3 / max(result.parameters, 1) / density.width
    ax.plot(density.grid, np.maximum(density.density, floor), color=PALETTE[0])
    low, high = density.density - density.error, density.density + density.error
    ax.fill_between(density.grid, np.maximum(low, floor), np.maximum(high, floor), color=PALETTE[0], alpha=0.25)
    ax.plot(result.eigenvalues, np.full(len(result.eigenvalues), floor), "v", color=ACCENT, clip_on=False)
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel("share of eigenvalues per unit")
