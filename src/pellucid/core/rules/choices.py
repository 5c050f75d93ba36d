"""Choices between numbers: the larger one, by a condition or mask, and bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments
from pellucid.core.rules.elementwise import Elementwise, Parts, Slopes, as_tensor

__all__ = ["RULES", "Clamp", "Extreme", "MaskedFill", "Where"]


def _limit(bound: Any, value: Tensor) -> Tensor:
    """A bound as a tensor of the values' dtype."""
    return bound.to(value.dtype) if isinstance(bound, Tensor) else torch.tensor(bound, dtype=value.dtype)


class Extreme(Elementwise):
    """The larger (smaller) of two; the slope is 1 for the chosen one, ½ each at a tie."""

    signature = "input, other"

    def __init__(self, name: str, sign: int, ignores_nan: bool = False) -> None:
        self._sign, self._ignores_nan = sign, ignores_nan
        self.names = tuple(name.split())
        self.formula = r"y=\max(a,b)" if sign > 0 else r"y=\min(a,b)"

    @override
    def applies(self, args: Arguments) -> bool:
        return isinstance(args.get("other"), Tensor) and isinstance(args.get("input"), Tensor)

    @override
    def compute(self, args: Arguments) -> Any:
        a, b = args["input"], args["other"]
        wins = (a > b) if self._sign > 0 else (a < b)
        if a.dtype == torch.bool:
            return (a | b) if self._sign > 0 else (a & b)
        if self._ignores_nan:
            return torch.where(wins | torch.isnan(b), a, b)
        return torch.where(wins | torch.isnan(a), a, b)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        a, b = args["input"], args["other"]
        wins = torch.where((a > b) if self._sign > 0 else (a < b), 1.0, 0.0)
        wins = torch.where(a == b, 0.5, wins)
        return {"input": wins, "other": 1 - wins}

    @override
    def parts(self, args: Arguments) -> Parts:
        a, b = args["input"], args["other"]
        wins = bool(((a >= b) if self._sign > 0 else (a <= b)).all())
        wins = bool(torch.isnan(b if self._ignores_nan else a).all()) or wins
        chosen = "input" if wins else "other"
        return [(chosen, {chosen: args[chosen]})]


class Where(Elementwise):
    """One operand where the condition holds, the other elsewhere; the slope is 1 for the chosen one."""

    names = ("where",)
    signature = "where: condition, input, other"
    formula = r"y=\begin{cases}a&c\\b&\text{else}\end{cases}"

    @override
    def applies(self, args: Arguments) -> bool:
        return "other" in args

    @override
    def compute(self, args: Arguments) -> Any:
        holds = args["condition"].to(torch.bool)
        a, b = as_tensor(args["input"]), as_tensor(args["other"])
        shape = torch.broadcast_shapes(holds.shape, a.shape, b.shape)
        value = b.to(torch.promote_types(a.dtype, b.dtype)).expand(shape).clone()
        value[holds.expand(shape)] = a.to(value.dtype).expand(shape)[holds.expand(shape)]
        return value

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        holds = args["condition"].to(torch.float64)
        return {"input": holds, "other": 1 - holds}

    @override
    def parts(self, args: Arguments) -> Parts:
        chosen = "input" if bool(args["condition"].all()) else "other"
        return [(chosen, {chosen: args[chosen]})]


class MaskedFill(Elementwise):
    """A constant where the mask holds, the input elsewhere; no slope under the mask."""

    names = ("masked_fill",)
    signature = "input, mask, value"
    formula = r"y=\begin{cases}v&m\\x&\text{else}\end{cases}"

    @override
    def compute(self, args: Arguments) -> Any:
        x, mask = torch.broadcast_tensors(args["input"], args["mask"])
        return torch.where(mask, torch.as_tensor(args["value"], dtype=x.dtype), x)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        holds = args["mask"].to(torch.float64)
        return {"input": 1 - holds, "value": holds}

    @override
    def parts(self, args: Arguments) -> Parts:
        chosen = "value" if bool(args["mask"].all()) else "input"
        return [(chosen, {chosen: args[chosen]})]


class Clamp(Elementwise):
    """The input moved into [min, max]; slope 1 inside and on the bounds, 0 outside; a bound that acts has slope 1."""

    names = ("clamp", "clamp_min", "clamp_max")
    signature = "clamp: input, min=None, max=None | clamp_min: input, min | clamp_max: input, max"
    formula = r"y=\min(\max(x,\text{min}),\text{max})"

    @override
    def compute(self, args: Arguments) -> Any:
        value, low, high = args["input"], args.get("min"), args.get("max")
        if low is not None:
            value = torch.where(value < low, _limit(low, value), value)
        return value if high is None else torch.where(value > high, _limit(high, value), value)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        x, low, high = args["input"], args.get("min"), args.get("max")
        low = -math.inf if low is None else low
        high = math.inf if high is None else high
        inside = ((x >= low) & (x <= high)).to(torch.float64)
        low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in (low, high))
        return {
            "input": inside,
            "min": ((x < low) & (low < high)).to(torch.float64),
            "max": ((x > high) | (high < low)).to(torch.float64),
        }

    @override
    def then(self, args: Arguments) -> str:
        low, high = (args.get(name) for name in ("min", "max"))
        inner = "s" if low is None else rf"\max(s,{float(low):g})"
        return inner if high is None else rf"\min({inner},{float(high):g})"


RULES = (
    Extreme("maximum max", 1),
    Extreme("minimum min", -1),
    Extreme("fmax", 1, ignores_nan=True),
    Extreme("fmin", -1, ignores_nan=True),
    Where(),
    MaskedFill(),
    Clamp(),
)
