"""An explanation as an HTML fragment without scripts: equations as tables with a bar for each term."""

from __future__ import annotations

import math
from html import escape

from pellucid.render.explanation_latex import equation_latex
from pellucid.render.explanation_numbers import factor_number, show_sum
from pellucid.render.parts import ACCENT, PALETTE, QUIET
from pellucid.results.explanation import Equation, ExplainedTerm, Explanation

__all__ = ["as_html"]

_BAR = 120
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums"


def as_html(result: Explanation) -> str:
    """Title, equations with a bar for each term, notes, LaTeX to copy, and the calls to walk on with.

    Args:
        result: An explanation.
    """
    parts = [f"<h3>{escape(result.title)}</h3>"]
    parts.append(f"<p><code>{escape(result.symbol)}</code> = <b>{factor_number(result.value)}</b></p>")
    if result.source_text:
        place = f"{result.source_file}:{result.source_line}"
        parts.append(f"<p><small>{escape(place)}</small> <code>{escape(result.source_text)}</code></p>")
    parts += [_equation(equation) for equation in result.equations]
    if result.notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in result.notes) + "</ul>")
    if result.verified:
        parts.append(f"<p>Checked: {escape(result.verified)}</p>")
    if result.walk_on:
        calls = "<br>".join(f"<code>{escape(reference.call)}.explain()</code>" for reference in result.walk_on)
        parts.append(f"<p>Walk on:<br>{calls}</p>")
    return f"<section class='pellucid-result'>{''.join(parts)}</section>"


def _equation(equation: Equation) -> str:
    """Words, rule, table and the LaTeX to copy."""
    words = f"<p>{escape(equation.words)}</p>" if equation.words else ""
    rule = f"<p><code>{escape(f'{equation.symbol} = {equation.formula}')}</code></p>" if equation.formula else ""
    rows = "".join(_product_rows(equation) if equation.form == "product" else _sum_rows(equation))
    meanings = "".join(
        f"<dt><code>{escape(meaning.symbol)}</code></dt><dd>{escape(meaning.meaning)}</dd>"
        for meaning in equation.symbols
    )
    where = f"<dl>{meanings}</dl>" if meanings else ""
    latex = f"<details><summary>LaTeX</summary><pre>{escape(equation_latex(equation))}</pre></details>"
    return f"<h4>{escape(equation.title)}</h4>{words}{rule}<table><tbody>{rows}</tbody></table>{where}{latex}"


def _sum_rows(equation: Equation) -> list[str]:
    shown = show_sum(equation)
    written = [(term, value) for term, value in zip(equation.terms, shown.terms, strict=True)]
    if equation.others:
        written.append((ExplainedTerm(f"{equation.others:,} more", (), equation.others_value), shown.others))
    if shown.rounding:
        written.append((ExplainedTerm("rounding of the computation", (), equation.rounding), shown.rounding))
    largest = max((abs(term.value) for term, _ in written if math.isfinite(term.value)), default=0.0)
    rows = [_row(term, _product(term), value, largest) for term, value in written]
    sign = "≈" if equation.approximate else "="
    rows.append(
        f"<tr><td><b>{sign} {escape(equation.symbol)}</b></td><td></td>"
        f"<td style='{_NUMBER};border-top:1px solid {QUIET}'><b>{shown.value}</b></td><td></td></tr>"
    )
    return rows


def _product_rows(equation: Equation) -> list[str]:
    rows = [
        f"<tr><td>{'×' if place else ''}</td><td>{_name(term)}</td><td style='{_NUMBER}'>"
        f"{factor_number(term.value)}</td><td>{escape(term.label if term.factors else '')}</td></tr>"
        for place, term in enumerate(equation.terms)
    ]
    rows.append(
        f"<tr><td>=</td><td><b>{escape(equation.symbol)}</b></td><td style='{_NUMBER};border-top:1px solid {QUIET}'>"
        f"<b>{factor_number(equation.value)}</b></td><td></td></tr>"
    )
    return rows


def _row(term: ExplainedTerm, product: str, value: str, largest: float) -> str:
    return (
        f"<tr><td>{_name(term)}</td><td>{product}</td><td style='{_NUMBER}'>{value}</td>"
        f"<td>{_bar(term.value, largest)}</td></tr>"
    )


def _bar(value: float, largest: float) -> str:
    """A bar from the middle, to the right for positive terms; colour only repeats what the side says."""
    if not (largest and math.isfinite(value)):
        return ""
    width = _BAR / 2 * abs(value) / largest
    left = _BAR / 2 - (width if value < 0 else 0)
    colour = PALETTE[0] if value >= 0 else ACCENT
    return (
        f"<svg width='{_BAR}' height='10' aria-hidden='true'>"
        f"<rect x='{left:.1f}' width='{width:.1f}' height='10' fill='{colour}'/></svg>"
    )


def _name(term: ExplainedTerm) -> str:
    return escape(" · ".join(factor.symbol for factor in term.factors) or term.label)


def _product(term: ExplainedTerm) -> str:
    numbers = " × ".join(factor_number(factor.value) for factor in term.factors) if len(term.factors) > 1 else ""
    label = f" ({escape(term.label)})" if term.label and term.factors else ""
    return f"{numbers}{label}"
