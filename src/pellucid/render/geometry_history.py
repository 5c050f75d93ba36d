"""The geometry along training: what the terminal phase did to it, every quantity over epochs, and the layers."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number
from pellucid.results.geometry_history import GeometryHistory, GeometrySeries, MeasuredTraining
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "geometry_history"

_SHOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "collapse": (
        ("collapse", "nc1"),
        ("collapse", "equinorm_centres"),
        ("collapse", "maximal_angle_centres"),
        ("collapse", "nc3"),
        ("collapse", "nc4"),
    ),
    "calibration": (
        ("calibration", "confidence"),
        ("calibration", "accuracy"),
        ("calibration", "ece"),
        ("calibration", "nll"),
    ),
    "margins": (
        ("margins", "output_median"),
        ("margins", "cosine_median"),
        ("margins", "feature_distance_low"),
        ("margins", "input_distance_median"),
    ),
    "robustness": (("robustness", "noise_0.2"), ("robustness", "fgsm_0.05"), ("robustness", "fgsm_0.2")),
    "errors": (
        ("errors", "error"),
        ("errors", "loss"),
        ("errors", "accuracy_clean"),
        ("errors", "accuracy_flipped"),
        ("errors", "accuracy_flipped_true"),
    ),
}
_DASHES = {"train": "-", "test": "--", "validation": "--", "": "-"}


def _of(result: GeometryHistory, lens: str, quantity: str, layer: str = "") -> list[GeometrySeries]:
    """A quantity on every split that has it."""
    found = [one for one in result.series if (one.lens, one.quantity, one.layer) == (lens, quantity, layer)]
    return sorted(found, key=lambda one: one.split != "train")


@renderer(_STEM, "rich")
def _rich(result: GeometryHistory) -> Table:
    """The main quantities of every lens at zero error and at the end, train and held out; below, what was found."""
    from rich.text import Text

    rows = [
        (
            one.label,
            one.split,
            number(_first(one), 3),
            number(_mean(one.at_zero), 3),
            number(_mean(one.final), 3),
            _moved(one),
        )
        for kind in ("errors", "collapse", "calibration", "margins", "robustness")
        for lens, quantity in _SHOWN[kind]
        for one in _of(result, lens, quantity)
    ]
    rows += [
        (one.label, "", number(_first(one), 3), number(_mean(one.at_zero), 3), number(_mean(one.final), 3), _moved(one))
        for one in _of(result, "weights", "distance")
    ]
    columns = ("quantity", "split", "first", "at zero error", "last", "moved")
    table = make_table(_title(result), columns, rows, text_columns=2)
    table.caption = Text("\n".join(_said(one) for one in result.runs))
    table.caption_justify = "left"
    return table


def _title(result: GeometryHistory) -> str:
    runs = f", {len(result.runs)} runs" if len(result.runs) > 1 else ""
    last = max((one.last for one in result.runs), default=0)
    return f"Geometry along {last} epochs of training{runs}"


def _said(run: MeasuredTraining) -> str:
    """What one run's epochs were."""
    if run.zero_error >= 0:
        text = f"training error 0 to stay from epoch {run.zero_error}"
        text += f" (first after epoch {run.first_zero})" if run.first_zero != run.zero_error else ""
        text += f", looked at after epoch {run.at_zero}" if run.at_zero != run.zero_error else ""
    elif run.first_zero >= 0:
        text = f"training error 0 after epoch {run.first_zero} for the first time, but not to stay"
    else:
        text = "the training error never came to 0: no terminal phase"
    best = f"; lowest {run.best_split} loss after epoch {run.best}" if run.best >= 0 else ""
    flipped = f"; {run.flipped:,} labels changed on purpose" if run.flipped else ""
    return f"{run.run}: {text}{best}{flipped}"


def _first(one: GeometrySeries) -> float:
    return float(one.values[0]) if len(one.values) else float("nan")


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _moved(one: GeometrySeries) -> str:
    """Which way it went in the terminal phase, and in how many runs."""
    runs = int(np.isfinite(one.at_zero).sum())
    if not runs:
        return "–"
    if runs == 1:
        return "fell" if one.falls else "rose" if one.rises else "stayed"
    count, word = max((one.falls, "fell"), (one.rises, "rose"))
    return f"{word} in {count} of {runs}" if count else "stayed"


@renderer(_STEM, "frame")
def _frame(result: GeometryHistory, *, kind: str = "changes") -> pandas.DataFrame:
    """One row a quantity, at zero error and at the end; or (``kind="series"``) one row a quantity and epoch."""
    import pandas

    if choose(kind, ("changes", "series")) == "series":
        parts = [
            {
                "split": one.split,
                "lens": one.lens,
                "layer": one.layer,
                "quantity": one.quantity,
                "epoch": one.epochs,
                "value": one.values,
                "low": one.low,
                "high": one.high,
            }
            for one in result.series
        ]
        return pandas.concat([pandas.DataFrame(part) for part in parts], ignore_index=True)
    rows = [
        {
            "split": one.split,
            "lens": one.lens,
            "layer": one.layer,
            "quantity": one.quantity,
            "label": one.label,
            "first": _first(one),
            "at_zero_error": _mean(one.at_zero),
            "last": _mean(one.final),
            "falls": one.falls,
            "rises": one.rises,
            "runs": int(np.isfinite(one.at_zero).sum()),
        }
        for one in result.series
    ]
    return pandas.DataFrame(rows).set_index("quantity")


@renderer(_STEM, "plot")
def _plot(
    result: GeometryHistory,
    ax: Axes | None = None,
    *,
    kind: str = "",
    quantity: str = "separation",
    split: str = "train",
) -> Axes:
    """Draw a lens's main quantities over epochs on logarithmic axes, with the terminal phase shaded.

    ``kind`` is ``collapse``, ``calibration``, ``margins``, ``robustness``, ``errors``, or ``layers`` for a heat map of
    ``quantity`` (``separation``, ``nc1`` …) over layers and epochs on ``split``; by default what was measured first.
    """
    kinds = [name for name in _SHOWN if name == "errors" or name in result.lenses]
    kinds += ["layers"] if "layers" in result.lenses else []
    kind = choose(kind or kinds[0], kinds)
    ax = make_axes(ax)
    if kind == "layers":
        return _plot_layers(result, ax, quantity, split)
    for index, (lens, name) in enumerate(_SHOWN[kind]):
        for one in _of(result, lens, name):
            color, epochs = PALETTE[index % len(PALETTE)], np.maximum(one.epochs, 0.5)
            label = one.label if one.split in ("train", "") else None
            ax.plot(epochs, one.values, _DASHES.get(one.split, "-"), marker=".", color=color, label=label)
            if np.isfinite(one.low).any():
                ax.fill_between(epochs, one.low, one.high, color=color, alpha=0.12, linewidth=0)
    if kind == "collapse":
        ax.set_yscale("log")
    if result.held_out:
        ax.plot([], [], "--", color=QUIET, label=f"dashed: {result.held_out}")
    _mark_epochs(result, ax)
    ax.legend(fontsize="x-small")
    ax.set_title(_title(result))
    return ax


def _mark_epochs(result: GeometryHistory, ax: Axes) -> None:
    """A logarithmic axis with 0 at its left end, the terminal phase, and where early stopping would have ended."""
    from matplotlib.ticker import FuncFormatter

    def say(epoch: float, _place: int) -> str:
        return "0" if epoch == 0.5 else f"{epoch:g}"

    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(say))
    ax.set_xlabel("epochs done (the untrained network at the left end)")
    phase = result.terminal_phase
    if phase is not None:
        ax.axvspan(phase.start, phase.end, color=QUIET, alpha=0.15, label="terminal phase: training error 0")
    best = [one.best for one in result.runs if one.best >= 0]
    if best:
        ax.axvline(float(np.median(best)), color=ACCENT, linewidth=0.8, linestyle=":", label="lowest held-out loss")


def _plot_layers(result: GeometryHistory, ax: Axes, quantity: str, split: str) -> Axes:
    """One quantity over layers and epochs as colours, in logarithms."""
    rows = [result.get(quantity, split=split, lens="layers", layer=layer) for layer in result.layers]
    values = np.stack([one.values for one in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        image = ax.imshow(np.log10(values), aspect="auto", cmap="viridis")
    ax.figure.colorbar(image, ax=ax, label=f"log₁₀ {rows[0].label}")
    ax.set_yticks(range(len(result.layers)), result.layers)
    epochs = rows[0].epochs
    ax.set_xticks(range(len(epochs)), [str(epoch) for epoch in epochs], fontsize="x-small")
    phase = result.terminal_phase
    if phase is not None:
        begin = int(np.searchsorted(epochs, phase.start))
        ax.axvline(begin - 0.5, color=ACCENT, linewidth=1.5)
    ax.set_xlabel("epochs done" + ("; right of the line the training error is 0" if phase else ""))
    ax.set_ylabel("features that go into")
    ax.set_title(f"{rows[0].label} on {split}")
    return ax
