"""Functions of one number: powers, exponentials, logarithms, trigonometric and rounding functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.core.rules.elementary import (
    as_real,
    cosine,
    erf,
    erfc,
    exponential,
    logarithm,
    power,
    sine,
    sinh_cosh,
)
from pellucid.core.rules.elementwise import Curve
from pellucid.core.rules.sums import Number

__all__ = ["RULES"]

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _sign(x: Tensor) -> Tensor:
    """−1, 0 or 1."""
    if x.dtype == torch.bool:
        return x
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def _absolute(x: Tensor) -> Tensor:
    """|x|, 0 for both zeros."""
    return torch.where(x > 0, x, 0 - x)


def _root(x: Tensor) -> Tensor:
    """The square root, as a power."""
    return as_real(x) ** 0.5


def _round(x: Tensor, decimals: int = 0) -> Tensor:
    """The nearest whole number, halves to the even one."""
    scaled = x * 10.0**decimals if decimals else x
    low = torch.floor(scaled)
    rest = scaled - low
    up = (rest > 0.5) | ((rest == 0.5) & (low % 2 == 1))
    value = torch.where(up, low + 1, low)
    return value / 10.0**decimals if decimals else value


def _logit(x: Tensor, eps: Number | None = None) -> Tensor:
    """ln(x / (1 − x)), x first moved into [eps, 1 − eps]."""
    x = as_real(x) if eps is None else as_real(x).clamp(eps, 1 - eps)
    return torch.log(x / (1 - x))


def _logit_slope(x: Tensor, y: Tensor, eps: Number | None = None) -> Tensor:
    """1 / (x (1 − x)), 0 outside [eps, 1 − eps]."""
    slope = 1 / (x * (1 - x))
    return slope if eps is None else torch.where((x < eps) | (x > 1 - eps), 0.0, slope)


def _nan_to_num(
    x: Tensor, nan: Number | None = None, posinf: Number | None = None, neginf: Number | None = None
) -> Tensor:
    """NaN and the infinities replaced by numbers."""
    limits = torch.finfo(x.dtype)
    x = torch.where(torch.isnan(x), 0.0 if nan is None else nan, x)
    x = torch.where(x == torch.inf, limits.max if posinf is None else posinf, x)
    return torch.where(x == -torch.inf, limits.min if neginf is None else neginf, x)


def _asinh(x: Tensor) -> Tensor:
    """ln(x + √(x² + 1)) of |x| with the sign put back."""
    size = as_real(x).abs()
    return torch.where(x < 0, -1, 1) * torch.log1p(size + size * size / (1 + torch.sqrt(size * size + 1)))


def _atan(x: Tensor) -> Tensor:
    """The angle of 1 + ix."""
    return torch.atan2(as_real(x), torch.ones_like(as_real(x)))


def _sinc(x: Tensor) -> Tensor:
    """sin(πx)/(πx), 1 at 0."""
    scaled = math.pi * as_real(x)
    return torch.where(x == 0, 1.0, torch.sin(scaled) / torch.where(x == 0, 1.0, scaled))


def _expm1(x: Tensor) -> Tensor:
    """eˣ − 1 = 2 tanh(x/2) / (1 − tanh(x/2)), which does not cancel near 0."""
    half = torch.tanh(as_real(x) / 2)
    return torch.where(x.abs() < 1, 2 * half / (1 - half), torch.exp(as_real(x)) - 1)


def _log1p(x: Tensor) -> Tensor:
    """ln(1 + x) = 2 artanh(x / (2 + x)), which does not cancel near 0."""
    x = as_real(x)
    return torch.where(x.abs() < 0.5, 2 * torch.atanh(x / (2 + x)), torch.log(1 + x))


RULES = (
    Curve("neg", "-s", "-1", lambda x: 0 - x, lambda x, y: torch.full_like(y, -1)),
    Curve("positive", "s", "1", lambda x: x, lambda x, y: torch.ones_like(y)),
    Curve("abs", "|s|", r"\operatorname{sign}(x)", _absolute, lambda x, y: _sign(x)),
    Curve("sign sgn", r"\operatorname{sign}(s)", "0", _sign, None),
    Curve("square", "s^2", "2x", lambda x: x * x, lambda x, y: 2 * x),
    Curve("sqrt", r"\sqrt{s}", r"\frac{1}{2y}", _root, lambda x, y: 0.5 / y),
    Curve("rsqrt", r"1/\sqrt{s}", r"-\frac{1}{2}y^3", lambda x: 1 / _root(x), lambda x, y: -0.5 * y * y * y),
    Curve("reciprocal", "1/s", "-y^2", lambda x: 1 / as_real(x), lambda x, y: -y * y),
    Curve("exp", "e^{s}", "y", exponential, lambda x, y: y),
    Curve("exp2", "2^{s}", r"y\ln 2", lambda x: power(torch.full_like(as_real(x), 2), x), lambda x, y: y * math.log(2)),
    Curve("expm1", "e^{s}-1", "y+1", _expm1, lambda x, y: y + 1),
    Curve("log", r"\ln s", "1/x", logarithm, lambda x, y: 1 / x),
    Curve(
        "log2",
        r"\log_2 s",
        r"\frac{1}{x\ln 2}",
        lambda x: torch.log(as_real(x)) / math.log(2),
        lambda x, y: 1 / (x * math.log(2)),
    ),
    Curve(
        "log10",
        r"\log_{10} s",
        r"\frac{1}{x\ln 10}",
        lambda x: torch.log(as_real(x)) / math.log(10),
        lambda x, y: 1 / (x * math.log(10)),
    ),
    Curve("log1p", r"\ln(1+s)", r"\frac{1}{1+x}", _log1p, lambda x, y: 1 / (1 + x)),
    Curve("logit", r"\ln\frac{s}{1-s}", r"\frac{1}{x(1-x)}", _logit, _logit_slope, signature="input, eps=None"),
    Curve("sin", r"\sin s", r"\cos x", sine, lambda x, y: torch.cos(x)),
    Curve("cos", r"\cos s", r"-\sin x", cosine, lambda x, y: -torch.sin(x)),
    Curve("tan", r"\tan s", "1+y^2", lambda x: torch.sin(as_real(x)) / torch.cos(as_real(x)), lambda x, y: 1 + y * y),
    Curve(
        "asin",
        r"\arcsin s",
        r"\frac{1}{\sqrt{1-x^2}}",
        lambda x: torch.atan2(as_real(x), torch.sqrt((1 - x) * (1 + x))),
        lambda x, y: ((1 - x) * (1 + x)) ** -0.5,
    ),
    Curve(
        "acos",
        r"\arccos s",
        r"-\frac{1}{\sqrt{1-x^2}}",
        lambda x: torch.atan2(torch.sqrt((1 - x) * (1 + x)), as_real(x)),
        lambda x, y: -(((1 - x) * (1 + x)) ** -0.5),
    ),
    Curve("atan", r"\arctan s", r"\frac{1}{1+x^2}", _atan, lambda x, y: 1 / (1 + x * x)),
    Curve("sinh", r"\sinh s", r"\cosh x", lambda x: sinh_cosh(x)[0], lambda x, y: torch.cosh(x)),
    Curve("cosh", r"\cosh s", r"\sinh x", lambda x: sinh_cosh(x)[1], lambda x, y: torch.sinh(x)),
    Curve("asinh", r"\operatorname{arsinh} s", r"\frac{1}{\sqrt{x^2+1}}", _asinh, lambda x, y: (x * x + 1) ** -0.5),
    Curve(
        "acosh",
        r"\operatorname{arcosh} s",
        r"\frac{1}{\sqrt{x^2-1}}",
        lambda x: torch.log(x + torch.sqrt((x - 1) * (x + 1))),
        lambda x, y: ((x - 1) * (x + 1)) ** -0.5,
    ),
    Curve(
        "atanh",
        r"\operatorname{artanh} s",
        r"\frac{1}{1-x^2}",
        lambda x: 0.5 * (torch.log1p(as_real(x)) - torch.log1p(-as_real(x))),
        lambda x, y: 1 / ((1 - x) * (1 + x)),
    ),
    Curve(
        "sinc",
        r"\frac{\sin\pi s}{\pi s}",
        r"\frac{\cos\pi x-y}{x}",
        _sinc,
        lambda x, y: torch.where(x == 0, 0.0, (torch.cos(math.pi * x) - y) / x),
        parts=lambda x: 1 / x.abs().clamp(min=1e-300),
    ),
    Curve(
        "erf",
        r"\operatorname{erf}(s)",
        r"\frac{2}{\sqrt\pi}e^{-x^2}",
        erf,
        lambda x, y: _TWO_OVER_ROOT_PI * torch.exp(-x * x),
    ),
    Curve(
        "erfc",
        r"\operatorname{erfc}(s)",
        r"-\frac{2}{\sqrt\pi}e^{-x^2}",
        erfc,
        lambda x, y: -_TWO_OVER_ROOT_PI * torch.exp(-x * x),
    ),
    Curve(
        "lgamma",
        r"\ln|\Gamma(s)|",
        r"\psi(x)",
        lambda x: torch.special.multigammaln(x, 1),
        lambda x, y: torch.digamma(x),
    ),
    Curve("floor", r"\lfloor s\rfloor", "0", lambda x: x - torch.remainder(x, 1), None),
    Curve("ceil", r"\lceil s\rceil", "0", lambda x: x + torch.remainder(-x, 1), None),
    Curve("round", r"\operatorname{round}(s)", "0", _round, None, signature="input, *, decimals=0"),
    Curve("trunc", r"\operatorname{trunc}(s)", "0", lambda x: x - torch.fmod(x, 1), None),
    Curve("frac", r"s-\operatorname{trunc}(s)", "1", lambda x: torch.fmod(x, 1), lambda x, y: torch.ones_like(y)),
    Curve(
        "nan_to_num",
        r"\operatorname{num}(s)",
        r"[x\text{ finite}]",
        _nan_to_num,
        lambda x, y, **_: torch.isfinite(x).to(y.dtype),
        signature="input, nan=None, posinf=None, neginf=None",
    ),
    Curve(
        "deg2rad",
        r"\frac{\pi}{180}s",
        r"\frac{\pi}{180}",
        lambda x: x * (math.pi / 180),
        lambda x, y: torch.full_like(y, math.pi / 180),
    ),
    Curve(
        "rad2deg",
        r"\frac{180}{\pi}s",
        r"\frac{180}{\pi}",
        lambda x: x * (180 / math.pi),
        lambda x, y: torch.full_like(y, 180 / math.pi),
    ),
)
