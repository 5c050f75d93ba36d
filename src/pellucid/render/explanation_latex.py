"""An explanation's equations as LaTeX."""

from __future__ import annotations

import re

from pellucid.render.explanation_numbers import factor_number, show_sum
from pellucid.results.explanation import Equation, ExplainedTerm, Explanation

__all__ = ["as_latex", "equation_latex"]

_GREEK = [
    *(r"\alpha", r"\beta", r"\gamma", r"\delta", r"\epsilon", r"\eta", r"\theta", r"\lambda", r"\mu"),
    *(r"\rho", r"\sigma", r"\tau", r"\varphi", r"\omega"),
]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "^": r"\^{}",
    "~": r"\~{}",
}

_BEYOND_ASCII = {
    "′": "$'$",
    "…": r"\dots{}",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": "$-$",
    "∂": r"$\partial$",
    "√": r"$\surd$",
    "Σ": r"$\sum$",
    "∞": r"$\infty$",
    "²": "$^2$",
    **{chr(0x2080 + digit): f"$_{digit}$" for digit in range(10)},
    **dict(zip("αβγδεηθλμρστφω", (f"${name}$" for name in _GREEK), strict=True)),
}
"""What a text in LaTeX writes as mathematics: not every engine knows the letter itself."""

_TEXT = re.compile(r"\\text\{[^{}]*\}")

_IN_A_ROW = 2
"""Products of a sum in one row, so that a page holds it; of single factors twice as many."""


def as_latex(result: Explanation) -> str:
    """Every equation as an ``align*`` environment under its title.

    Args:
        result: An explanation.
    """
    return "\n\n".join(
        f"% {equation.title}\n\\begin{{align*}}\n{equation_latex(equation)}\n\\end{{align*}}"
        for equation in result.equations
    )


def equation_latex(equation: Equation) -> str:
    """One equation in three rows: the rule, the numbers over their symbols, the value."""
    sign = r"\approx" if equation.approximate else "="
    rows = [f"{equation.latex} &= {equation.formula_latex}"] if equation.formula_latex else []
    left = "" if rows else equation.latex + " "
    if equation.form == "product":
        factors = [_named(factor_number(term.value), _symbol(term)) for term in equation.terms]
        pieces = [factors[0], *(rf"\cdot {factor}" for factor in factors[1:])] if factors else []
        value = factor_number(equation.value)
    else:
        shown = show_sum(equation)
        pieces = [_term(term, value) for term, value in zip(equation.terms, shown.terms, strict=True)]
        if equation.others:
            pieces.append(_signed(shown.others, rf"\text{{{equation.others} more}}"))
        if shown.rounding:
            pieces.append(_signed(shown.rounding, r"\text{rounding}"))
        if pieces:
            pieces[0] = pieces[0].removeprefix("+ ")
        value = shown.value
    first, *more = _rows(pieces)
    rows += [f"{left}&{sign} {first}", *(rf"&\quad {row}" for row in more), f"&= {_number(value)}"]
    return _TEXT.sub(_plain, " \\\\\n".join(rows))


def _plain(found: re.Match[str]) -> str:
    """A text that any engine sets: names of quantities have underscores, symbols have primes and indices."""
    text = re.sub(r"(?<!\\)[_%#&]", lambda letter: "\\" + letter[0], found[0])
    return "".join(_BEYOND_ASCII.get(letter, letter) for letter in text)


def _rows(pieces: list[str]) -> list[str]:
    """The summands or factors, as many in a row as a page holds."""
    each = _IN_A_ROW if any(r"} \cdot \underbrace" in piece for piece in pieces) else 2 * _IN_A_ROW
    return [" ".join(pieces[at : at + each]) for at in range(0, len(pieces), each)] or [""]


def _term(term: ExplainedTerm, value: str) -> str:
    """A product of its factors where there are several, else the number over its name."""
    if len(term.factors) < 2:
        return _signed(value, _symbol(term))
    factors = [_named(factor_number(factor.value), factor.latex) for factor in term.factors]
    return "+ " + r" \cdot ".join(factors)


def _signed(value: str, name: str) -> str:
    sign = "-" if value.startswith("−") else "+"
    return f"{sign} {_named(value.lstrip('+−'), name)}"


def _named(value: str, name: str) -> str:
    number = _number(value)
    return rf"\underbrace{{{f'({number})' if number.startswith('-') else number}}}_{{{name}}}" if name else number


def _symbol(term: ExplainedTerm) -> str:
    return r" \cdot ".join(factor.latex for factor in term.factors) or rf"\text{{{_escape(term.label)}}}"


def _number(text: str) -> str:
    """A written number in LaTeX: its power of ten spelled out."""
    text = text.replace("−", "-").replace("∞", r"\infty").replace("nan", r"\text{nan}").lstrip("+")
    return re.sub(r"e([+-]\d+)$", lambda found: rf" \times 10^{{{int(found[1])}}}", text)


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
