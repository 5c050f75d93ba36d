"""The local linear map at an input: its facts as a table, its spectrum, and its directions as pictures."""

# matplotlib and numpy leave much untyped, which strict checking would report at every call.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.input_jacobian import InputJacobian
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "input_jacobian"
_BARS = 40


@renderer(_STEM, "rich")
def _rich(result: InputJacobian) -> Table:
    """Size, singular values, ranks, the share of the biases, and how all this was computed."""
    values = result.singular_values
    shown = ", ".join(number(float(value), 4) for value in values[:6]) + (" …" if len(values) > 6 else "")
    rows = [
        ("input → output", f"{_shape(result.input_shape)} → {_shape(result.output_shape)}"),
        ("singular values" if result.complete else "singular values (the largest, by iteration)", shown),
        ("residual of the triples", number(result.residual, 2)),
        ("Frobenius norm", number(result.frobenius_norm, 4) + _error(result.frobenius_error)),
        ("stable rank ‖J‖²/σ₁²", number(result.stable_rank, 4)),
        ("entropy rank", number(result.entropy_rank, 4) if result.complete else "– (needs all singular values)"),
        ("rank", str(result.rank) if result.complete else "– (needs all singular values)"),
        ("f(x) = Jx + b: share of b", number(result.bias_share, 3)),
        ("computed in", f"{result.precision}, {result.products:,} products with J or Jᵀ"),
    ]
    basis = result.eigenbasis
    if basis is not None:
        strongest = ", ".join(number(float(value), 4) for value in basis.values[:6])
        rows += [
            ("eigenvalues of (J + Jᵀ)/2", strongest + (" …" if len(basis.values) > 6 else "")),
            ("‖J − Jᵀ‖ ÷ ‖J + Jᵀ‖", number(basis.asymmetry, 3)),
            ("dimensions kept (trace of J)", number(basis.dimensions, 4) + _error(basis.dimensions_error)),
        ]
    return make_table(_title(result), ("fact", "value"), rows, text_columns=2)


def _title(result: InputJacobian) -> str:
    return f"{result.model}: the local linear map at one input"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "1"


def _error(error: float) -> str:
    return f" ± {number(error, 2)}" if error > 0 else ""


@renderer(_STEM, "frame")
def _frame(result: InputJacobian, *, kind: str = "spectrum") -> pandas.DataFrame:
    """One row a singular value (``kind="spectrum"``), input (``"features"``) or eigenvector (``"eigenvalues"``)."""
    import pandas

    choose(kind, ("spectrum", "features", "eigenvalues"))
    if kind == "spectrum":
        index = pandas.RangeIndex(len(result.singular_values), name="direction")
        return pandas.DataFrame({"singular_value": result.singular_values}, index=index)
    if kind == "eigenvalues":
        basis = result.eigenbasis
        kept = 0 if basis is None else len(basis.vectors)
        columns = {} if basis is None else {"eigenvalue": basis.values[:kept], "input": basis.input_parts}
        columns |= {} if basis is None else {"output": basis.output_parts}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(kept, name="eigenvector"))
    names = result.feature_names or tuple(map(str, range(result.input.size)))
    columns = {"input": result.input.ravel()}
    for place, row in enumerate(result.matrix[:16]):
        columns[f"d {result.output_names[place]}" if result.output_names else f"d output {place}"] = row
    return pandas.DataFrame(columns, index=pandas.Index(names, name="feature"))


@renderer(_STEM, "plot")
def _plot(result: InputJacobian, ax: Axes | None = None, *, kind: str = "spectrum", direction: int = 0) -> Axes:
    """Draw the singular values (``kind="spectrum"``), the eigenvalues (``"eigenvalues"``), or one direction: what the
    network notices (``"input direction"``), what it makes of it (``"output direction"``), or an ``"eigenvector"``.
    """
    choose(kind, ("spectrum", "eigenvalues", "input direction", "output direction", "eigenvector"))
    ax = make_axes(ax)
    basis = result.eigenbasis
    if kind in ("eigenvalues", "eigenvector") and basis is None:
        from pellucid.errors import SettingsError

        raise SettingsError(
            "the network's output has another shape than its input, so that there are no eigenvectors",
            place=f'kind="{kind}"',
            remedy='use kind="spectrum" or "input direction"',
        )
    if kind == "spectrum" or (kind == "eigenvalues" and basis is not None):
        return _spectrum(result, ax, kind)
    if kind == "eigenvector" and basis is not None:
        vectors, shape, value = (
            basis.vectors,
            result.input_shape,
            f"eigenvalue {number(float(basis.values[direction]))}",
        )
        names = result.feature_names
    else:
        inward = kind == "input direction"
        vectors = result.right if inward else result.left
        shape = result.input_shape if inward else result.output_shape
        names = result.feature_names if inward else result.output_names
        value = f"singular value {number(float(result.singular_values[direction]))}"
    _direction(ax, vectors[direction], shape, names)
    ax.set_title(f"{kind} {direction}: {value}")
    return ax


def _spectrum(result: InputJacobian, ax: Axes, kind: str) -> Axes:
    basis = result.eigenbasis
    if kind == "eigenvalues" and basis is not None:
        values, name = basis.values, "eigenvalue of (J + Jᵀ)/2"
    else:
        values, name = result.singular_values, "singular value"
    ax.plot(range(1, len(values) + 1), values, "o-", color=PALETTE[0], markersize=3)
    if kind == "spectrum" and not math.isnan(result.entropy_rank):
        ax.axvline(result.entropy_rank, color=ACCENT, linestyle="--", linewidth=1, label="entropy rank")
    ax.axvline(max(result.stable_rank, 1e-9), color=QUIET, linestyle=":", linewidth=1.2, label="stable rank")
    ax.set_xlabel("direction")
    ax.set_ylabel(name)
    ax.set_title(_title(result))
    ax.legend(fontsize="small")
    return ax


def _direction(ax: Axes, vector: np.ndarray, shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    """A picture of a vector of image shape (its channels' mean), else its largest entries as bars."""
    if len(shape) >= 2 and min(shape[-2:]) > 1:
        picture = vector.reshape(-1, *shape[-2:]).mean(axis=0)
        size = float(np.abs(picture).max()) or 1.0
        ax.imshow(picture, cmap="RdBu_r", vmin=-size, vmax=size)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    order = np.argsort(-np.abs(vector), kind="stable")[:_BARS][::-1]
    labels = [names[at] if names else str(at) for at in order]
    ax.barh(labels, vector[order], color=PALETTE[0])
    ax.tick_params(axis="y", labelsize="small" if len(order) < 20 else "xx-small")
    ax.axvline(0, color=QUIET, linewidth=0.8)
    ax.set_xlabel("part of the direction")
