"""Sums up to every place of an axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import take, wide
from pellucid.core.rules.movement import copied
from pellucid.core.rules.sums import Block, Index, Sum, column, single

__all__ = ["RULES", "RunningSum"]


class RunningSum(Rule):
    """Sums of all entries up to each place; an entry's gradient is the sum of those from its place on."""

    names = ("cumsum",)
    signature = "input, dim, *, dtype=None"
    formula = r"y_i=\sum_{j\le i}x_j"
    derivative = r"\frac{\partial L}{\partial x_j}=\sum_{i\ge j}\frac{\partial L}{\partial y_i}"

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x = args["input"].detach()
        total = self._summed(wide(x), args["dim"], before=True)
        return (total.to(outputs[0].dtype if outputs else args.get("dtype") or x.dtype),)

    def _summed(self, x: Tensor, dim: int, *, before: bool) -> Tensor:
        """Sums with a triangular matrix of ones: over the places up to each one, or from it on."""
        if x.ndim == 0:
            return x
        size = x.shape[dim]
        ones = torch.ones(size, size, dtype=x.dtype, device=x.device)
        matrix = torch.tril(ones) if before else torch.triu(ones)
        return (x.movedim(dim, -1) @ matrix.T).movedim(-1, dim)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x = args["input"]
        if not x.dtype.is_floating_point:
            return {}
        return {"input": self._summed(wide(upstream(outputs, grads)), args["dim"], before=False).to(x.dtype)}

    def _block(self, name: str, tensor: Tensor, index: Index, dim: int, places: range) -> Block:
        """The entries at some places along the axis."""
        where = torch.tensor([[*index[:dim], p, *index[dim + 1 :]] for p in places], dtype=torch.int64)
        where = where.reshape(len(places), tensor.ndim)
        return single(name, column(name, where, take(tensor, where)))

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        if not index:
            return Sum.of([copied("input", args["input"], ())])
        dim = args["dim"] % len(index)
        return Sum.of([self._block("input", args["input"], index, dim, range(index[dim] + 1))])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        if not index:
            return Sum.of([copied("grad", grad, ())])
        dim = args["dim"] % len(index)
        return Sum.of([self._block("grad", grad, index, dim, range(index[dim], grad.shape[dim]))])


RULES: tuple[Rule, ...] = (RunningSum(),)
