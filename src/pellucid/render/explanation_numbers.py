"""Numbers of an equation, written so that the terms shown add up to the sum shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.results.explanation import Equation

__all__ = ["ShownSum", "apportion", "factor_number", "show_sum"]

_SIGNIFICANT = 5
_PLAIN = (1e-3, 1e6)
"""Largest magnitudes between these are written without a power of ten."""


@dataclass(frozen=True)
class ShownSum:
    """The numbers of one sum as they are written, all with the same decimals and the same power of ten."""

    terms: tuple[str, ...]  # each with its sign
    others: str  # '' where every term is shown
    rounding: str  # '' where it is too small to be seen
    value: str
    exponent: int  # every number is to be multiplied by 10 ** exponent; it stands in the numbers of the text already
    decimals: int


def show_sum(equation: Equation) -> ShownSum:
    """Write the numbers of a sum so that what is shown adds up exactly.

    Every number is rounded to the same decimals, up or down, each by less than one unit of the last place, such that
    the rounded terms add up to the rounded sum (Hamilton's largest-remainder method, as seats are shared out).

    Args:
        equation: A sum; nan and infinities are written as they are, and then nothing is balanced.
    """
    parts = [term.value for term in equation.terms]
    has_others = equation.others > 0
    if has_others:
        parts.append(equation.others_value)
    exponent, decimals = _scale(parts, equation.value)
    unit = 10.0 ** (exponent - decimals)
    has_rounding = math.isfinite(equation.rounding) and abs(equation.rounding) >= 0.5 * unit
    if has_rounding:
        parts.append(equation.rounding)
    if not all(map(math.isfinite, [*parts, equation.value])):
        shown = [factor_number(part) for part in parts]
        total = factor_number(equation.value)
    else:
        scaled = [part / unit for part in parts]
        whole = round(equation.value / unit)
        shown = [_digits(count, decimals, exponent, signed=True) for count in apportion(scaled, whole)]
        total = _digits(whole, decimals, exponent, signed=False)
    rounding = shown.pop() if has_rounding else ""
    others = shown.pop() if has_others else ""
    return ShownSum(tuple(shown), others, rounding, total, exponent, decimals)


def apportion(parts: Sequence[float], whole: int) -> list[int]:
    """Integers next to ``parts`` that add up to ``whole``; those furthest from an integer move first.

    >>> apportion([0.4, 0.4, 0.2], 1)
    [1, 0, 0]
    >>> apportion([2.5, -1.5], 1)
    [3, -2]
    """
    counts = [round(part) for part in parts]
    missing = whole - sum(counts)
    step = 1 if missing > 0 else -1
    # The ones that lost most by rounding are the first to get it back.
    order = sorted(range(len(parts)), key=lambda place: -step * (parts[place] - counts[place]))
    for place in order[: abs(missing)]:
        counts[place] += step
    return counts


def factor_number(value: float) -> str:
    """A number by itself: five significant digits, no more than it has.

    >>> factor_number(-0.5), factor_number(0.123456), factor_number(1.5e-7), factor_number(float("nan"))
    ('−0.5', '0.12346', '1.5e−07', 'nan')
    """
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return "0" if value == 0 else f"{value:.{_SIGNIFICANT}g}".replace("-", "−")


def _scale(parts: Sequence[float], total: float) -> tuple[int, int]:
    """Power of ten and decimals: five digits of the largest number, three of the sum where that costs at most four."""
    finite = [abs(part) for part in [*parts, total] if math.isfinite(part)]
    largest = max(finite, default=0.0)
    if largest == 0:
        return 0, 0
    size = math.floor(math.log10(largest))
    exponent = 0 if _PLAIN[0] <= largest < _PLAIN[1] else size
    left = size - exponent
    decimals = max(0, 4 - left if left >= 0 else 3 - left)
    if math.isfinite(total) and total:
        needed = 2 - (math.floor(math.log10(abs(total))) - exponent)
        decimals = max(decimals, min(needed, decimals + 4))
    if all(float(part).is_integer() and abs(part) < _PLAIN[1] for part in [*parts, total] if math.isfinite(part)):
        return 0, 0
    return exponent, decimals


def _digits(count: int, decimals: int, exponent: int, *, signed: bool) -> str:
    """An integer number of last places as a decimal number; exact, for it never becomes a float again."""
    text = str(abs(count)).rjust(decimals + 1, "0")
    text = f"{text[:-decimals]}.{text[-decimals:]}" if decimals else text
    sign = "−" if count < 0 else "+" if signed and count else ""
    power = f"e{exponent:+03d}".replace("-", "−") if exponent else ""
    return f"{sign}{text}{power}"
