"""Renderings that serve every result, where it has none of its own."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
import html
import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pellucid.render.parts import make_table, number
from pellucid.results.base import Result
from pellucid.results.rendering import render, renderer

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

__all__ = ["title_of"]

_TEXT_WIDTH = 100
_HTML_ROWS = 60


def title_of(result: Result) -> str:
    """What a kind of result is called: ``learning_rate_range/1`` is a "Learning rate range".

    Args:
        result: Any result.
    """
    return result.schema.partition("/")[0].replace("_", " ").capitalize()


@renderer("*", "frame")
def _frame(result: Result) -> pandas.DataFrame:
    """Every field that is one number, text or truth value, by its name."""
    import pandas

    fields = {name: value for name, value in _fields(result).items() if isinstance(value, bool | int | float | str)}
    return pandas.DataFrame({"value": list(fields.values())}, index=pandas.Index(list(fields), name="field"))


@renderer("*", "rich")
def _rich(result: Result) -> Table:
    """Every field in a line: numbers and texts themselves, of the rest how much there is."""
    rows = [(name.replace("_", " "), _summary(value)) for name, value in _fields(result).items()]
    return make_table(title_of(result), ("field", "value"), rows, text_columns=2)


@renderer("*", "text")
def _text(result: Result) -> str:
    """The rich rendering without colour."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=_TEXT_WIDTH,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
    )
    console.print(render(result, "rich"))
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())


@renderer("*", "html")
def _html(result: Result) -> str:
    """The plot, where there is one, as inline SVG, and the frame as a table."""
    frame: pandas.DataFrame = render(result, "frame")
    picture = _svg(result)
    figure = f"<figure style='margin:0'>{picture}</figure>" if picture else ""
    table = frame.to_html(
        border=0, max_rows=_HTML_ROWS, na_rep="–", float_format=number, index=bool(frame.index.name), escape=True
    )
    title = html.escape(title_of(result))
    return f"<section class='pellucid-result'><h3>{title}</h3>{figure}{table}</section>"


def _svg(result: Result) -> str:
    """The plot as an SVG element; '' if nothing draws this kind of result."""
    from matplotlib import rc_context  # pyright: ignore[reportUnknownVariableType]  # as above
    from matplotlib.figure import Figure

    # The same result gives the same text: ids come from a fixed salt, and no date is written.
    with rc_context({"svg.hashsalt": result.schema, "svg.fonttype": "none"}):
        figure = Figure(figsize=(6, 4), layout="constrained")
        try:
            result.plot(ax=figure.subplots())
        except NotImplementedError:
            return ""
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _fields(result: Result) -> dict[str, Any]:
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


def _summary(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[tuple[int, ...], np.dtype[Any]]", value)
        return " × ".join(map(str, array.shape)) + f" {array.dtype}"
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, tuple | dict):
        size = len(value)  # type: ignore[arg-type]  # its items may be anything
        return f"{size} {'entry' if size == 1 else 'entries'}"
    return type(value).__name__
