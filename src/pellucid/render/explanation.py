"""An explanation as text that reads like a worked example, as a frame of its terms, and as bars."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pellucid.render import explanation_html, explanation_latex
from pellucid.render.explanation_numbers import factor_number, show_sum
from pellucid.render.parts import ACCENT, PALETTE, QUIET, make_axes
from pellucid.results.explanation import Equation, ExplainedTerm, Explanation
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.text import Text

__all__: list[str] = []

_STEM = "explanation"
_WIDTH = 78

renderer(_STEM, "latex")(explanation_latex.as_latex)
renderer(_STEM, "html")(explanation_html.as_html)


@renderer(_STEM, "text")
def _text(result: Explanation) -> str:
    """Title, equations, notes, and where to go on."""
    lines = [result.title, "─" * min(_WIDTH, len(result.title))]
    lines.append(f"{result.symbol} = {factor_number(result.value)}")
    if result.source_text:
        lines.append(_shortened(f"{result.source_file}:{result.source_line}   {result.source_text}"))
    for number, equation in enumerate(result.equations, start=1):
        lines += ["", *_equation(equation, f"{number}. " if len(result.equations) > 1 else "")]
    if result.notes:
        lines.append("")
        for note in result.notes:
            lines += textwrap.wrap(note, _WIDTH, initial_indent="• ", subsequent_indent="  ")
    if result.verified:
        lines += ["", *textwrap.wrap(f"Checked: {result.verified}", _WIDTH, subsequent_indent="  ")]
    if result.walk_on:
        lines += ["", "Walk on:", *(f"  {reference.call}.explain()" for reference in result.walk_on)]
    return "\n".join(line.rstrip() for line in lines)


def _shortened(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _equation(equation: Equation, number: str) -> list[str]:
    """One equation: its title, the rule, the numbers in columns, what the letters mean."""
    lines = [f"{number}{equation.title}"]
    lines += textwrap.wrap(equation.words, _WIDTH - 3, initial_indent="   ", subsequent_indent="   ")
    if equation.formula:
        lines.append(f"   {equation.symbol} = {equation.formula}")
    rows = _product_rows(equation) if equation.form == "product" else _sum_rows(equation)
    lines += [f"     {row}" for row in rows]
    width = max((len(meaning.symbol) for meaning in equation.symbols), default=0)
    for meaning in equation.symbols:
        lines += textwrap.wrap(
            meaning.meaning,
            _WIDTH,
            initial_indent=f"   {meaning.symbol:<{width}} : ",
            subsequent_indent=" " * (width + 6),
        )
    return lines


def _sum_rows(equation: Equation) -> list[str]:
    """Names, products and values in three columns, a rule, and the sum."""
    shown = show_sum(equation)
    rows = [(_name(term), _product(term), value) for term, value in zip(equation.terms, shown.terms, strict=True)]
    if equation.others:
        rows.append((_others(equation), "", shown.others))
    if shown.rounding:
        rows.append(("rounding of the computation", "", shown.rounding))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    sign = "≈" if equation.approximate else "="
    left = f"{sign} {equation.symbol}"
    widths[0] = max(widths[0], len(left) - widths[1] - 2)
    widths[2] = max(widths[2], len(shown.value))
    if len(rows) == 1 and rows[0][0] == equation.formula:
        rows = []  # the rule says it already
    out = [f"{name:<{widths[0]}}  {product:<{widths[1]}}  {value:>{widths[2]}}" for name, product, value in rows]
    before = widths[0] + widths[1] + 4
    if rows and (len(rows) != 1 or rows[0][2].lstrip("+") != shown.value):
        out.append(" " * before + "─" * widths[2])
    out.append(f"{left:<{before}}{shown.value:>{widths[2]}}")
    return out


def _product_rows(equation: Equation) -> list[str]:
    """One factor a line, and the product."""
    rows = [
        (" " if place == 0 else "×", _name(term), factor_number(term.value), term.label if term.factors else "")
        for place, term in enumerate(equation.terms)
    ]
    rows.append(("≈" if equation.approximate else "=", equation.symbol, factor_number(equation.value), ""))
    width = max(len(row[1]) for row in rows)
    digits = max(len(row[2]) for row in rows)
    return [f"{sign} {name:<{width}}  {value:>{digits}}   {label}" for sign, name, value, label in rows]


def _name(term: ExplainedTerm) -> str:
    """The factors' symbols, or the label where there are none."""
    return " · ".join(factor.symbol for factor in term.factors) or term.label


def _product(term: ExplainedTerm) -> str:
    """The factors' numbers and what the term stands for; a single factor repeats nothing."""
    numbers = " × ".join(factor_number(factor.value) for factor in term.factors) if len(term.factors) > 1 else ""
    label = f"({term.label})" if term.label and term.factors else ""
    return "  ".join(part for part in (numbers, label) if part)


def _others(equation: Equation) -> str:
    return f"{equation.others:,} more term{'s' if equation.others > 1 else ''}"


@renderer(_STEM, "rich")
def _rich(result: Explanation) -> Text:
    """The text with its headings bold."""
    from rich.text import Text

    text = Text(_text(result))
    text.highlight_words([result.title, *(equation.title for equation in result.equations)], style="bold")
    return text


@renderer(_STEM, "frame")
def _frame(result: Explanation) -> pandas.DataFrame:
    """One row a term: its equation, its factors' product and its share of the sum."""
    import pandas

    rows = [
        (_name(term), equation.symbol, term.label, term.value)
        for equation in result.equations
        for term in _all_terms(equation)
    ]
    return pandas.DataFrame(
        [row[1:] for row in rows],
        index=pandas.Index([row[0] for row in rows], name="term"),
        columns=["quantity", "label", "value"],
    )


def _all_terms(equation: Equation) -> list[ExplainedTerm]:
    """The terms, with the remainder and the rounding as terms of their own."""
    terms = list(equation.terms)
    if equation.others:
        terms.append(ExplainedTerm(_others(equation), (), equation.others_value))
    if equation.form == "sum" and equation.rounding:
        terms.append(ExplainedTerm("rounding of the computation", (), equation.rounding))
    return terms


@renderer(_STEM, "plot")
def _plot(result: Explanation, ax: Axes | None = None, *, equation: int = 0) -> Axes:
    """Draw the terms of one equation as bars that add up to its value, largest on top."""
    ax = make_axes(ax)
    if not result.equations:
        ax.set_title(f"{result.symbol} = {factor_number(result.value)}")
        return ax
    chosen = result.equations[equation]
    terms = _all_terms(chosen)
    colours = [PALETTE[0] if term.value >= 0 else ACCENT for term in terms] + [QUIET]
    names = [_name(term) for term in terms] + [chosen.symbol]
    values = [*(term.value for term in terms), chosen.value]
    bars = ax.barh(range(len(values)), values, color=colours)
    ax.bar_label(bars, [factor_number(value) for value in values], padding=3, fontsize="small")
    ax.set_yticks(range(len(values)), names)
    ax.invert_yaxis()
    ax.axvline(0, color=QUIET, linewidth=0.8)
    ax.margins(x=0.2)
    ax.set_title(f"{result.title}: {chosen.title.lower()}")
    return ax
