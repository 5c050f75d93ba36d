"""Elementary functions written in terms of others, accurate to a few units in the last place of float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["as_real", "cosine", "erf", "erfc", "exponential", "logarithm", "power", "sine", "sinh_cosh", "tanh"]


def as_real(x: Tensor) -> Tensor:
    """Integers and booleans as float64."""
    return x if x.dtype.is_floating_point else x.to(torch.float64)


def exponential(x: Tensor) -> Tensor:
    """eˣ = 1 + (eˣ − 1) for x ≥ 0 and its reciprocal below, where 1 + (eˣ − 1) would cancel."""
    grown = 1 + torch.expm1(as_real(x).abs())
    return torch.where(x >= 0, grown, 1 / grown)


def logarithm(x: Tensor) -> Tensor:
    """ln x = ln m + e·ln 2 with x = m·2ᵉ and m between √½ and √2, ln m = log1p(m − 1)."""
    mantissa, exponent = torch.frexp(as_real(x))
    small = mantissa < math.sqrt(0.5)
    mantissa = torch.where(small, mantissa * 2, mantissa)
    exponent = exponent.to(mantissa.dtype) - small.to(mantissa.dtype)
    value = torch.log1p(mantissa - 1) + exponent * math.log(2)
    value = torch.where(x == 0, -torch.inf, value)
    value = torch.where(x < 0, torch.nan, value)
    return torch.where((x == torch.inf) | torch.isnan(x), as_real(x), value)


def cosine(x: Tensor) -> Tensor:
    """The real part of e^{ix} (Euler)."""
    return torch.polar(torch.ones_like(as_real(x)), as_real(x)).real


def sine(x: Tensor) -> Tensor:
    """The imaginary part of e^{ix} (Euler)."""
    return torch.polar(torch.ones_like(as_real(x)), as_real(x)).imag


def tanh(x: Tensor) -> Tensor:
    """sign(x) · (1 − e^{−2|x|}) / (1 + e^{−2|x|})."""
    decay = torch.expm1(-2 * as_real(x).abs())
    return torch.where(x < 0, 1, -1) * decay / (decay + 2)


def sinh_cosh(x: Tensor) -> tuple[Tensor, Tensor]:
    """sinh = (m + m/(m+1))/2 and cosh = 1 + m²/(2(m+1)) with m = e^{|x|} − 1."""
    grown = torch.expm1(as_real(x).abs())
    half = (grown + grown / (grown + 1)) / 2
    big = torch.isinf(grown)
    cosh = torch.where(big, grown, 1 + grown * (grown / (2 * (grown + 1))))
    sinh = torch.where(big, grown, half)
    return torch.where(x < 0, -sinh, sinh), cosh


def erf(x: Tensor) -> Tensor:
    """2/√π Σ (−1)ⁿ x²ⁿ⁺¹ / (n!(2n+1)) near 0, where 1 − erfc(x) would cancel."""
    x = as_real(x)
    near = x.clamp(-0.5, 0.5)
    series, power_term = torch.zeros_like(x), near
    for n in range(14):
        series = series + power_term / (2 * n + 1)
        power_term = -power_term * near * near / (n + 1)
    far = torch.where(x < 0, torch.special.erfc(-x) - 1, 1 - torch.special.erfc(x))
    return torch.where(x.abs() < 0.5, series * (2 / math.sqrt(math.pi)), far)


def erfc(x: Tensor) -> Tensor:
    """e^{−x²} erfcx(x) for x > 0, 1 − erf(x) elsewhere."""
    x = as_real(x)
    return torch.where(x > 0, torch.exp(-x * x) * torch.special.erfcx(x.clamp(min=0)), 1 - torch.special.erf(x))


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """|b|ᵖ = e^{p ln|b|}, its sign by the parity of p; by repeated multiplication where p is a small whole number."""
    base, exponent = torch.broadcast_tensors(as_real(base), as_real(exponent))
    whole = exponent == exponent.trunc()
    size = torch.exp(exponent * torch.log(base.abs()))
    odd = whole & (exponent.abs() % 2 == 1)
    value = torch.where(base < 0, torch.where(odd, -size, torch.where(whole, size, torch.nan)), size)
    value = torch.where((exponent == 0) | (base == 1), 1.0, value)
    for count in set(exponent[whole & (exponent.abs() <= 16)].flatten().tolist()) if exponent.numel() else ():
        product = torch.ones_like(base)
        for _ in range(abs(int(count))):
            product = product * base
        value = torch.where(exponent == count, product if count >= 0 else 1 / product, value)
    return torch.where(exponent.abs() == 0.5, _root(base, exponent), value)


def _root(base: Tensor, exponent: Tensor) -> Tensor:
    """√b, or 1/√b where the exponent is negative."""
    root = torch.sqrt(base)
    return torch.where(exponent < 0, 1 / root, root)
