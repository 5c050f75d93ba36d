"""Collapse over the layers: a table with the law and the tunnel, its curves, and how alike layers are."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number, share
from pellucid.results.layer_collapse import LayerCollapse
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "layer_collapse"


@renderer(_STEM, "rich")
def _rich(result: LayerCollapse) -> Table:
    """One row a layer; below it the law of separation and where the tunnel begins."""
    from rich.text import Text

    rows = [
        (
            one.name + (" ←" if index == result.tunnel else ""),
            f"{one.features} ({one.reduction})",
            number(one.separation, 4),
            number(one.quantities["nc1"], 3),
            number(one.quantities["cdnv"], 3),
            share(one.quantities["nearest_centre_accuracy"]),
            number(one.effective_rank, 3),
            number(one.rank),
        )
        for index, one in enumerate(result.layers)
    ]
    columns = ("into", "features", "separation D", "NC1", "CDNV", "nearest centre right", "effective rank", "rank")
    table = make_table(_title(result), columns, rows, text_columns=2)
    table.caption = Text(_law(result) + "; " + _tunnel(result))
    table.caption_justify = "left"
    return table


def _title(result: LayerCollapse) -> str:
    on = f" on {result.split}" if result.split else ""
    return f"{result.model}{on}: collapse from layer to layer, {result.examples:,} examples of {result.classes} classes"


def _law(result: LayerCollapse) -> str:
    if np.isnan(result.decay):
        return "too few layers for a law of separation"
    return f"D ≈ {number(result.decay_start, 3)} · {number(result.decay, 3)}^layer, R² {share(result.decay_fit)}"


def _tunnel(result: LayerCollapse) -> str:
    if result.tunnel < 0:
        return "no tunnel: the nearest centre gains until the last layer"
    name, percent = result.layers[result.tunnel].name, number(100 * result.tunnel_share, 3)
    return f"← the tunnel begins at what goes into {name}: from there on {percent} % of the last layer's accuracy"


@renderer(_STEM, "frame")
def _frame(result: LayerCollapse, *, kind: str = "layers") -> pandas.DataFrame:
    """One row a layer with every measure, or (``kind="cka"``) the alignment of each two layers."""
    import pandas

    names = [one.name for one in result.layers]
    if choose(kind, ("layers", "cka")) == "cka":
        return pandas.DataFrame(result.cka, index=pandas.Index(names, name="into"), columns=names)
    rows = [
        {
            "features": one.features,
            "reduction": one.reduction,
            "separation": one.separation,
            "effective_rank": one.effective_rank,
            "participation": one.participation,
            "rank": one.rank,
        }
        | one.quantities
        for one in result.layers
    ]
    return pandas.DataFrame(rows, index=pandas.Index(names, name="into"))


@renderer(_STEM, "plot")
def _plot(result: LayerCollapse, ax: Axes | None = None, *, kind: str = "separation") -> Axes:
    """Draw D with its law (``kind="separation"``), decoding and rank (``"tunnel"``), or ``"cka"`` between layers."""
    ax = make_axes(ax)
    kind = choose(kind, ("separation", "tunnel", "cka"))
    names, places = [one.name for one in result.layers], np.arange(len(result.layers))
    if kind == "cka":
        image = ax.imshow(result.cka, vmin=0, vmax=1, cmap="viridis")
        ax.figure.colorbar(image, ax=ax, label="linear CKA")
        ax.set_yticks(places, names)
        ax.set_title("how alike layers are")
    elif kind == "tunnel":
        right, ranks = result.along("nearest_centre_accuracy"), result.along("effective_rank")
        ax.plot(places, right, "o-", color=PALETTE[0], label="nearest centre right")
        ax.plot(
            places, ranks / max(float(ranks.max()), 1e-300), "s--", color=PALETTE[1], label="effective rank ÷ largest"
        )
        ax.axhline(result.accuracy, color=QUIET, linewidth=0.8, label="the model itself")
        if result.tunnel >= 0:
            ax.axvspan(result.tunnel, places[-1], color=QUIET, alpha=0.15, label="tunnel")
        ax.legend(fontsize="small")
        ax.set_title(_tunnel(result).removeprefix("← "), fontsize="small", wrap=True)
    else:
        ax.semilogy(places, result.along("separation"), "o", color=PALETTE[0], label="D = Tr(SS_W SS_B†)")
        if not np.isnan(result.decay):
            ax.semilogy(places, result.decay_start * result.decay**places, color=ACCENT, label="law")
        ax.set_ylabel("separation D")
        ax.legend(fontsize="small")
        ax.set_title(_law(result))
    ax.set_xticks(places, names)
    ax.set_xlabel("what goes into")
    return ax
