"""The pieces that every rendering shares: axes, colours that colour-blind people tell apart, tables, numbers."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = ["ACCENT", "PALETTE", "QUIET", "choose", "line_style", "make_axes", "make_table", "number", "share"]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#4D4D4D")
"""The colours of Okabe and Ito (2008), the yellow darkened so that it is seen on white."""

ACCENT = PALETTE[5]
"""For the one thing to look at."""

QUIET = "#8A8A8A"
"""For reference lines and what is only context."""

_LINE_STYLES = ("-", "--", ":", "-.")


def make_axes(ax: Axes | None, *, width: float = 6.0, height: float = 4.0) -> Axes:
    """The axes given, or new ones of a figure of ``width`` × ``height`` inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def line_style(index: int) -> tuple[str, str]:
    """Colour and dash of the ``index``-th line, so that lines differ in more than colour after the eighth."""
    return PALETTE[index % len(PALETTE)], _LINE_STYLES[index // len(PALETTE) % len(_LINE_STYLES)]


def make_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> Table:
    """A rich table whose first ``text_columns`` columns are text and the rest numbers, aligned right.

    Cells are shown as they are: nothing in them is taken for rich's markup.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if index < text_columns else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, in plain notation where that is short; – for None and nan.

    >>> number(0.123456), number(1234567.0), number(float("nan")), number(3)
    ('0.1235', '1,234,567', '–', '3')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 10 ** (digits - 1) and abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def share(value: float | None) -> str:
    """A share of 1 with three decimals, so that a column of them lines up; – for None and nan.

    >>> share(0.7), share(1.0), share(float("nan"))
    ('0.700', '1.000', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def choose(kind: str, allowed: Sequence[str]) -> str:
    """``kind``, if it is one of those a result can be drawn or tabulated as.

    Raises:
        SettingsError: it is none of them.
    """
    from pellucid.errors import SettingsError

    if kind not in allowed:
        raise SettingsError(f"there is no kind {kind!r} of it", place="kind", remedy=f"use one of {', '.join(allowed)}")
    return kind
