"""Sums, means, extremes, spreads and norms over axes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.elementary import power
from pellucid.core.rules.groups import axes_of, group_key, group_positions, member, restored
from pellucid.core.rules.indexing import wide
from pellucid.core.rules.sums import Column, Index, Number, Sum, column, constant, single

__all__ = [
    "RULES",
    "LogSumExp",
    "Mean",
    "MeanWithoutNaN",
    "Norm",
    "Product",
    "Reduction",
    "StandardDeviation",
    "SumWithoutNaN",
    "Total",
    "Variance",
]


class Reduction(Rule):
    """One number for each group of entries; the gradient by an entry is the group's times the local slope."""

    signature = "input, dim=None, keepdim=False, *, dtype=None"
    derivative = r"\frac{\partial L}{\partial x_i}=\frac{\partial L}{\partial y}\,\frac{\partial y}{\partial x_i}"

    @abstractmethod
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        """The reduction of float64 numbers, the axes kept as length 1."""

    @abstractmethod
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        """The local derivative, broadcastable to the input; y has the axes kept."""

    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        """The terms of one group: label and factors."""
        return "input", [column("input", where, x)]

    def then(self, x: Tensor, args: Arguments) -> str:
        """What is made of the sum of the terms."""
        return ""

    def axes(self, args: Arguments) -> tuple[int, ...]:
        """The axes reduced."""
        return axes_of(args.get("dim"), args["input"].ndim)

    def _whole(self, args: Arguments) -> tuple[Tensor, tuple[int, ...], bool]:
        """The input in float64, the axes, and whether they are kept."""
        x = args["input"].detach()
        return wide(x), self.axes(args), bool(args.get("keepdim"))

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x, axes, keepdim = self._whole(args)
        value = self.value(x, axes, args)
        shape = [n for k, n in enumerate(value.shape) if keepdim or k not in axes]
        dtype = outputs[0].dtype if outputs else (args.get("dtype") or args["input"].dtype)
        return (value.reshape(shape).to(dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x, axes, keepdim = self._whole(args)
        if not args["input"].dtype.is_floating_point:
            return {}
        grad = restored(wide(upstream(outputs, grads)), axes, keepdim)
        y = restored(wide(outputs[0].detach()), axes, keepdim)
        return {"input": (grad * self.slope(x, y, axes, args)).expand(x.shape).to(args["input"].dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        x, key, group = self._group(args, index)
        y = wide(outputs[0].detach()[index])
        label, columns = self.factors(group.reshape(-1), y, group_positions(key, x.shape), args)
        then = self.then(group.reshape(-1), args)
        return Sum.of([single(label, *columns)], then=then, result=outputs[0][index] if then else None)

    def _group(self, args: Arguments, index: Index) -> tuple[Tensor, tuple[Any, ...], Tensor]:
        """The input, the key of one output entry's group, and the group in float64."""
        x = args["input"].detach()
        key = group_key(index, self.axes(args), x.ndim, bool(args.get("keepdim")))
        return x, key, wide(x[key])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        kept, place = member(index, self.axes(args), bool(args.get("keepdim")))
        _, _, group = self._group(args, kept)
        slope = self.slope(group, wide(outputs[0].detach()[kept]), tuple(range(group.ndim)), args)
        local = float(slope.expand(group.shape)[place]) if isinstance(slope, Tensor) else float(slope)
        at_output = column("grad", kept, upstream(outputs, grads)[kept])
        return Sum.of([single("grad · ∂y/∂input", at_output, constant(r"\partial y/\partial input", local))])


def _count(x: Tensor, axes: Sequence[int]) -> int:
    """The number of entries in a group."""
    return math.prod(x.shape[axis] for axis in axes)


class Total(Reduction):
    """The sum; every entry has slope 1."""

    names = ("sum",)
    formula = r"y=\sum_i x_i"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        ones = [torch.ones(x.shape[axis], 1, dtype=x.dtype) for axis in axes]
        for axis, vector in zip(axes, ones, strict=True):
            x = (x.movedim(axis, -1) @ vector).movedim(-1, axis)
        return x

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        return 1.0


class SumWithoutNaN(Total):
    """The sum of the entries that are numbers; the others have slope 0."""

    names = ("nansum",)

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        return super().value(torch.where(torch.isnan(x), 0.0, x), axes, args)

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        return (~torch.isnan(x)).to(x.dtype)

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        kept = ~torch.isnan(x)
        return "input", [column("input", where[kept], x[kept])]


class Mean(Reduction):
    """The sum over the number of entries; every entry has slope 1/N."""

    names = ("mean",)
    formula = r"y=\frac1N\sum_i x_i"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        count = _count(x, axes)
        return x.sum(axes, keepdim=True) / count if axes else x

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        return 1.0 / max(_count(x, axes), 1)

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        return "input · 1/N", [column("input", where, x), constant("1/N", 1 / max(len(x), 1), len(x))]


class MeanWithoutNaN(Mean):
    """The mean of the entries that are numbers; each of them has slope 1/n."""

    names = ("nanmean",)
    formula = r"y=\frac1n\sum_{i\text{ not NaN}}x_i"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        there = (~torch.isnan(x)).to(x.dtype)
        return torch.nan_to_num(x, posinf=torch.inf, neginf=-torch.inf).sum(axes, keepdim=True) / there.sum(
            axes, keepdim=True
        )

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        there = (~torch.isnan(x)).to(x.dtype)
        return there / there.sum(axes, keepdim=True)

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        kept = (~torch.isnan(x)).nonzero().reshape(-1)
        return "input", [column("input", where[kept], x[kept]), constant("1/n", 1 / max(len(kept), 1), len(kept))]


class Variance(Reduction):
    """The mean squared distance from the mean, over N − correction; slope 2 (x − mean)/(N − correction)."""

    cancels = True

    names = ("var",)
    signature = "input, dim=None, *, correction=1, keepdim=False | input, dim=None, unbiased=True, keepdim=False"
    formula = r"y=\frac{1}{N-c}\sum_i(x_i-\bar x)^2"

    @override
    def axes(self, args: Arguments) -> tuple[int, ...]:
        dim = args.get("dim")
        return axes_of(None if isinstance(dim, bool) else dim, args["input"].ndim)

    def _divisor(self, count: int, args: Arguments) -> Number:
        """N − correction, not below 0."""
        unbiased = args["dim"] if isinstance(args.get("dim"), bool) else args.get("unbiased")
        correction = args.get("correction", 1) if unbiased is None else int(unbiased)
        return max(count - (1 if correction is None else correction), 0)

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        count = _count(x, axes)
        deviation = x - x.sum(axes, keepdim=True) / count if axes else x * 0
        squares = (deviation * deviation).sum(axes, keepdim=True) if axes else deviation
        return squares / torch.tensor(self._divisor(count, args), dtype=x.dtype)

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        mean = x.mean(axes, keepdim=True) if axes else x
        return 2 * (x - mean) / self._divisor(_count(x, axes), args)

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        deviation = column("x - mean", where, x - x.mean())
        divisor = self._divisor(len(x), args)
        share = constant("1/(N-c)", 1 / divisor if divisor else math.inf, len(x))
        return "(x - mean)² / (N-c)", [deviation, deviation, share]


class StandardDeviation(Variance):
    """The root of the variance; slope (x − mean)/((N − correction) y), 0 where y is 0."""

    names = ("std",)
    formula = r"y=\sqrt{\frac{1}{N-c}\sum_i(x_i-\bar x)^2}"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        return super().value(x, axes, args) ** 0.5

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        return torch.where(y == 0, 0.0, super().slope(x, y, axes, args) / (2 * y))

    @override
    def then(self, x: Tensor, args: Arguments) -> str:
        return r"\sqrt{s}"


class Norm(Reduction):
    """The p-norm (2 by default); slope sign(x) (|x|/y)ᵖ⁻¹, 0 where y is 0; p = ∞ shares among the largest."""

    signature = (
        "norm: input, p='fro', dim=None, keepdim=False, *, dtype=None"
        " | linalg_vector_norm: input, ord=2, dim=None, keepdim=False, *, dtype=None"
        " | linalg_norm: input, ord=None, dim=None, keepdim=False, *, dtype=None"
    )
    formula = r"y=\left(\sum_i|x_i|^p\right)^{1/p}"

    def __init__(self, name: str) -> None:
        self.names = (name,)
        self._may_be_matrix_norm = name == "linalg_norm"

    def _order(self, args: Arguments) -> Number:
        """p."""
        order = args.get("p", args.get("ord"))
        return 2.0 if order in (None, "fro") else float(order)

    @override
    def applies(self, args: Arguments) -> bool:
        order = args.get("p", args.get("ord"))
        if isinstance(order, str):
            return order == "fro"
        return not self._may_be_matrix_norm or order is None or len(self.axes(args)) == 1

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        order, size = self._order(args), x.abs()
        if not axes:
            return size
        if math.isinf(order):
            return size.amax(axes, keepdim=True) if order > 0 else size.amin(axes, keepdim=True)
        if order == 0:
            return (x != 0).to(x.dtype).sum(axes, keepdim=True)
        if order == 1:
            return size.sum(axes, keepdim=True)
        scale = size.amax(axes, keepdim=True)
        scale = torch.where((scale == 0) | torch.isinf(scale), 1.0, scale)
        return scale * power((power(size / scale, _like(x, order))).sum(axes, keepdim=True), _like(x, 1 / order))

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        order, sign = self._order(args), torch.sign(x)
        if order == 0:
            return torch.zeros_like(x)
        if math.isinf(order):
            hit = (x.abs() == y).to(x.dtype)
            return sign * hit / hit.sum(axes, keepdim=True) if axes else sign
        if order == 1:
            return sign
        return torch.where(y == 0, 0.0, sign * power(x.abs() / torch.where(y == 0, 1.0, y), _like(x, order - 1)))

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        order = self._order(args)
        if order == 2:
            return "input²", [column("input", where, x), column("input", where, x)]
        if math.isinf(order):
            hit = int((x.abs() == y).nonzero()[0]) if bool((x.abs() == y).any()) else 0
            return "|input|", [column("|input|", where[hit : hit + 1], x[hit : hit + 1].abs())]
        return f"|input|^{order:g}", [column(f"|input|^{order:g}", where, power(x.abs(), _like(x, order)))]

    @override
    def then(self, x: Tensor, args: Arguments) -> str:
        order = self._order(args)
        return "" if order in (0, 1) or math.isinf(order) else r"\sqrt{s}" if order == 2 else rf"s^{{1/{order:g}}}"


def _like(x: Tensor, number: Number) -> Tensor:
    """A number as a tensor of the same precision."""
    return torch.tensor(number, dtype=x.dtype)


class Product(Reduction):
    """The product; the slope by an entry is the product of all others."""

    names = ("prod",)
    signature = "input, dim=None, keepdim=False, *, dtype=None"
    formula = r"y=\prod_i x_i"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        for axis in axes:
            x = (
                x.cumprod(axis).narrow(axis, x.shape[axis] - 1, 1)
                if x.shape[axis]
                else torch.ones_like(x.sum(axis, True))
            )
        return x

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        zeros = x == 0
        count = zeros.sum(axes, keepdim=True)
        others = torch.where(zeros, 1.0, x)
        rest = self.value(others, axes, args)
        return torch.where(count == 0, rest / others, torch.where((count == 1) & zeros, rest, 0.0))

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        columns = [column("input", where[i : i + 1], x[i : i + 1]) for i in range(len(x))]
        return "product of all", columns or [constant("1", 1.0)]


class LogSumExp(Reduction):
    """ln Σ eˣ, taken at the largest entry so that nothing overflows; the slope is the entry's share, softmax."""

    cancels = True

    names = ("logsumexp",)
    signature = "input, dim, keepdim=False"
    formula = r"y=\ln\sum_i e^{x_i}"

    @override
    def value(self, x: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor:
        if not axes:
            return x
        top = x.amax(axes, keepdim=True)
        top = torch.where(torch.isinf(top), 0.0, top)
        return top + torch.log(torch.exp(x - top).sum(axes, keepdim=True))

    @override
    def slope(self, x: Tensor, y: Tensor, axes: tuple[int, ...], args: Arguments) -> Tensor | Number:
        return torch.exp(x - torch.where(torch.isinf(y), 0.0, y))

    @override
    def factors(self, x: Tensor, y: Tensor, where: Tensor, args: Arguments) -> tuple[str, list[Column]]:
        return "exp(input - m)", [column("exp(input - m)", where, torch.exp(x - x.max()))]

    @override
    def then(self, x: Tensor, args: Arguments) -> str:
        return rf"{float(x.max()):.6g}+\ln s"


RULES: tuple[Rule, ...] = (
    Total(),
    SumWithoutNaN(),
    Mean(),
    MeanWithoutNaN(),
    Variance(),
    StandardDeviation(),
    *(Norm(name) for name in ("norm", "linalg_vector_norm", "linalg_norm")),
    Product(),
    LogSumExp(),
)
