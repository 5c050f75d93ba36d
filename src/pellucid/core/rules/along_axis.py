"""Running products and running log-sum-exps: every output of an axis sees the entries up to its place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import take, wide
from pellucid.core.rules.sums import Index, Sum, column, single

__all__ = ["RULES", "AlongAxis", "RunningLogSumExp", "RunningProduct"]


class AlongAxis(Rule):
    """Each output of an axis is a function of its whole row; an input's gradient is the sum over the row's outputs."""

    signature = "input, dim, *, dtype=None"
    derivative = (
        r"\frac{\partial L}{\partial x_j}=\sum_i\frac{\partial L}{\partial y_i}\frac{\partial y_i}{\partial x_j}"
    )

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """The outputs, from rows in float64 along the last axis."""

    @abstractmethod
    def slopes(self, x: Tensor) -> Tensor:
        """∂y_i/∂x_j with the axes i and j last."""

    @abstractmethod
    def then(self) -> str:
        """How the result comes from the row's entries so far, in LaTeX."""

    def _rows(self, args: Arguments) -> tuple[Tensor, int]:
        """The input in float64 with the axis last, and which axis it is."""
        x = wide(args["input"].detach())
        dim = int(args["dim"]) % max(x.ndim, 1)
        return (x.reshape(1) if not x.ndim else x.movedim(dim, -1)), dim

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        rows, dim = self._rows(args)
        x = args["input"]
        made = self.value(rows)
        made = made.reshape(()) if not x.ndim else made.movedim(-1, dim)
        return (made.to(outputs[0].dtype if outputs else args.get("dtype") or x.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        rows, dim = self._rows(args)
        x, grad = args["input"], wide(upstream(outputs, grads))
        grad = grad.reshape(1) if not x.ndim else grad.movedim(dim, -1)
        found = (grad[..., None, :] @ self.slopes(rows))[..., 0, :]
        return {"input": (found.reshape(()) if not x.ndim else found.movedim(-1, dim)).to(x.dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        dim = int(args["dim"]) % max(len(index), 1)
        places = [(*index[:dim], k, *index[dim + 1 :]) for k in range(index[dim] + 1)] if index else [()]
        where = torch.tensor(places, dtype=torch.int64).reshape(len(places), len(index))
        terms = single("input", column("input", where, take(args["input"], where)))
        return Sum.of([terms], then=self.then(), result=outputs[0].detach()[index])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        rows, dim = self._rows(args)
        grad = upstream(outputs, grads)
        row = rows[(*index[:dim], *index[dim + 1 :])] if index else rows
        place = index[dim] if index else 0
        slope = self.slopes(row)[:, place]
        later = range(place, len(row))
        places = [(*index[:dim], k, *index[dim + 1 :]) for k in later] if index else [()]
        where = torch.tensor(places, dtype=torch.int64).reshape(len(places), len(index))
        columns = column("grad", where, take(grad, where)), column(r"\partial y/\partial input", None, slope[place:])
        return Sum.of([single("grad · ∂y/∂input", *columns)])


class RunningProduct(AlongAxis):
    """The product of all entries up to each place; the slope by one is the product of the others."""

    names = ("cumprod",)
    formula = r"y_i=\prod_{j\le i}x_j"

    @override
    def value(self, x: Tensor) -> Tensor:
        made, total = [], torch.ones(x.shape[:-1], dtype=x.dtype)
        for entry in x.unbind(-1):
            total = total * entry
            made.append(total)
        return torch.stack(made, -1) if made else x

    @override
    def slopes(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        columns = []
        for j in range(size):
            others = x.clone()
            others[..., j] = 1.0
            slope = self.value(others)
            columns.append(torch.where(torch.arange(size) >= j, slope, 0.0))
        return torch.stack(columns, -1)

    @override
    def then(self) -> str:
        return r"\textstyle\prod_j x_j"


class RunningLogSumExp(AlongAxis):
    """The logarithm of the sum of the exponentials up to each place; the slopes are shares, as softmax gives them."""

    names = ("logcumsumexp",)
    cancels = True
    formula = r"y_i=\ln\sum_{j\le i}e^{x_j}"

    @override
    def value(self, x: Tensor) -> Tensor:
        if not x.shape[-1]:
            return x
        made = []
        for place in range(x.shape[-1]):
            top = self._top(x, place)
            made.append(torch.exp(x[..., : place + 1] - top).sum(-1).log() + top[..., 0])
        return torch.stack(made, -1)

    def _top(self, x: Tensor, place: int) -> Tensor:
        """The largest so far; 0 where that is infinite."""
        top = x[..., : place + 1].amax(-1, keepdim=True)
        return torch.where(top.isfinite(), top, 0.0)

    @override
    def slopes(self, x: Tensor) -> Tensor:
        y = self.value(x)
        ones = torch.tril(torch.ones(x.shape[-1], x.shape[-1], dtype=x.dtype))
        return torch.where(ones > 0, torch.exp(x[..., None, :] - y[..., :, None]), 0.0)

    @override
    def then(self) -> str:
        return r"\ln\textstyle\sum_j e^{x_j}"


RULES: tuple[Rule, ...] = (RunningProduct(), RunningLogSumExp())
