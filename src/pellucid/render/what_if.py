"""One number changed, as a table of before and after, and the outputs' moves as bars."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, QUIET, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.what_if import WhatIf

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "what_if"
_MOST_LISTED = 8
_DIGITS = 6


def _entry(result: WhatIf) -> str:
    return f"{result.name}[{', '.join(map(str, result.index))}]"


@renderer(_STEM, "rich")
def _rich(result: WhatIf) -> Group:
    """The entry, the loss with the slope's promise beside it, and the outputs that moved most."""
    from rich.console import Group

    rows = [(_entry(result), *_three(result.before, result.after))]
    if not math.isnan(result.loss_before):
        rows.append(("loss", *_three(result.loss_before, result.loss_after)))
    if not math.isnan(result.slope):
        rows.append(("loss, by the slope alone", *_three(result.loss_before, result.predicted_loss)))
    moves = np.abs(result.output_after.astype(np.float64) - result.output_before.astype(np.float64))
    for place in np.argsort(-moves, kind="stable")[:_MOST_LISTED]:
        if moves[place] > 0:
            pair = float(result.output_before[place]), float(result.output_after[place])
            rows.append((_output(result, int(place)), *_three(*pair)))
    title = f"What if {_entry(result)} were {number(result.after, _DIGITS)}?"
    words: list[str] = []
    if not math.isnan(result.slope):
        words.append(_slope_words(result))
    size = int(np.prod(result.output_shape))
    words.append(f"{result.changed_outputs:,} of {size:,} output{'s' if size != 1 else ''} changed. The model did not.")
    if result.note:
        words.append(result.note)
    return Group(make_table(title, ("", "before", "after", "change"), rows), "\n".join(words))


def _slope_words(result: WhatIf) -> str:
    promised = result.predicted_loss - result.loss_before
    came = result.loss_after - result.loss_before
    return (
        f"The slope ∂loss/∂{result.name} = {number(result.slope, 5)} promised {_signed(promised)}; it came to "
        f"{_signed(came)}. The rest, {_signed(came - promised)}, is curvature and kinks, which a slope does not see."
    )


def _three(before: float, after: float) -> tuple[str, str, str]:
    return number(before, _DIGITS), number(after, _DIGITS), _signed(after - before)


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value, _DIGITS - 2)


def _output(result: WhatIf, place: int) -> str:
    index = np.unravel_index(place, result.output_shape) if result.output_shape else ()
    return f"{result.output_name}[{', '.join(str(int(axis)) for axis in index)}]"


@renderer(_STEM, "frame")
def _frame(result: WhatIf) -> pandas.DataFrame:
    """The entry, the loss and every output kept: before and after."""
    import pandas

    names = [_entry(result), "loss", *(_output(result, place) for place in range(len(result.output_before)))]
    return pandas.DataFrame(
        {
            "before": [result.before, result.loss_before, *map(float, result.output_before)],
            "after": [result.after, result.loss_after, *map(float, result.output_after)],
        },
        index=pandas.Index(names, name="quantity"),
    )


@renderer(_STEM, "plot")
def _plot(result: WhatIf, ax: Axes | None = None) -> Axes:
    """Draw the loss before, after, and as the slope promised it; without a loss, the outputs' moves."""
    ax = make_axes(ax)
    ax.set_title(f"{_entry(result)}: {number(result.before)} → {number(result.after)}")
    if math.isnan(result.loss_before):
        ax.bar(range(len(result.output_before)), result.output_after - result.output_before, color=ACCENT)
        ax.set_xlabel("output")
        ax.set_ylabel("change")
        return ax
    ends = [result.before, result.after]
    ax.plot(ends, [result.loss_before, result.loss_after], "o", color=ACCENT, label="loss")
    if not math.isnan(result.slope):
        ax.plot(ends, [result.loss_before, result.predicted_loss], "--", color=QUIET, label="the slope's line")
    ax.set_xlabel(_entry(result))
    ax.set_ylabel("loss")
    ax.legend(fontsize="small")
    return ax
