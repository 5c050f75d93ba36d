"""A network's outline as a table of layers and as bars of their parameters."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.render.parts import PALETTE, make_axes, make_table
from pellucid.results.network_outline import NetworkOutline
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.table import Table

__all__: list[str] = []

_STEM = "network_outline"
_MOST_LISTED = 100


@renderer(_STEM, "plot")
def _plot(result: NetworkOutline, ax: Axes | None = None) -> Axes:
    """Draw how many parameters each layer holds, first layer on top."""
    layers = [layer for layer in result.layers if layer.parameters]
    ax = make_axes(ax, height=max(2.0, 1.0 + 0.28 * len(layers)))
    counts = [layer.parameters for layer in layers]
    bars = ax.barh(range(len(layers)), counts, color=PALETTE[0])
    ax.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize="small")
    ax.set_yticks(range(len(layers)), [layer.name for layer in layers])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set_xlabel("parameters")
    ax.set_title(f"{result.model}: {result.parameters:,} parameters")
    return ax


@renderer(_STEM, "frame")
def _frame(result: NetworkOutline) -> pandas.DataFrame:
    """One row a layer, in order of execution."""
    import pandas

    return pandas.DataFrame(
        {
            "kind": [layer.kind for layer in result.layers],
            "description": [layer.description for layer in result.layers],
            "input_shape": [layer.input_shape for layer in result.layers],
            "output_shape": [layer.output_shape for layer in result.layers],
            "parameters": [layer.parameters for layer in result.layers],
            "trainable_parameters": [layer.trainable_parameters for layer in result.layers],
            "calls": [layer.calls for layer in result.layers],
        },
        index=pandas.Index([layer.name for layer in result.layers], name="layer"),
    )


@renderer(_STEM, "rich")
def _rich(result: NetworkOutline) -> Table:
    """The layers with their shapes and parameters."""
    rows = [
        (layer.name, layer.kind, layer.description, _shape(layer.output_shape), f"{layer.parameters:,}")
        for layer in result.layers[:_MOST_LISTED]
    ]
    left_out = len(result.layers) - _MOST_LISTED
    if left_out > 0:
        rows.append((f"… and {left_out} more", "", "", "", ""))
    frozen = result.parameters - result.trainable_parameters
    title = f"{result.model}: {result.parameters:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
    return make_table(title, ("layer", "kind", "", "output", "parameters"), rows, text_columns=3)


def _shape(shape: tuple[int, ...]) -> str:
    """Sides with a × between; – where the output is no single tensor."""
    return " × ".join(map(str, shape)) if shape else "–"
