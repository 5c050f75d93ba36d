"""Shares: softmax and its relatives, and gates (glu)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.activations import sigmoid
from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.groups import axes_of
from pellucid.core.rules.indexing import take, wide
from pellucid.core.rules.sums import Block, Column, Index, Sum, column, constant, single

__all__ = ["RULES", "Gate", "Softmax", "line"]


def line(index: Index, dim: int, size: int) -> Tensor:
    """The positions of the entries on the same line along an axis, one a row."""
    if not index:
        return torch.zeros(1, 0, dtype=torch.int64)
    where = torch.tensor([index]).repeat(size, 1)
    where[:, dim] = torch.arange(size)
    return where


class Softmax(Rule):
    """Each entry's share of the exponentials along an axis: pᵢ = e^{xᵢ − m} / Σⱼ e^{xⱼ − m}, m the largest (stability).

    ∂pⱼ/∂xᵢ = pⱼ (δᵢⱼ − pᵢ): raising one score takes from all the others.
    """

    cancels = True

    names = ("softmax", "softmin", "log_softmax")
    signature = "input, dim=None, dtype=None"

    def __init__(self, name: str) -> None:
        self.names = (name,)
        self._log, self._sign = name == "log_softmax", -1.0 if name == "softmin" else 1.0
        self.formula = r"y_i=x_i-\ln\sum_j e^{x_j}" if self._log else r"y_i=\frac{e^{x_i}}{\sum_j e^{x_j}}"
        self.derivative = r"\delta_{ij}-p_i" if self._log else r"p_j(\delta_{ij}-p_i)"

    def _dim(self, args: Arguments) -> int:
        """The axis (by PyTorch's old rule where none is given)."""
        rank = args["input"].ndim
        if args.get("dim") is None:
            return 0 if rank in (0, 1, 3) else 1
        return args["dim"] % max(rank, 1)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x, dim = args["input"].detach(), axes_of(self._dim(args), args["input"].ndim)
        scores = wide(x) * self._sign
        top = scores.amax(dim, keepdim=True) if scores.numel() else scores
        shifted = scores - top
        weight = torch.exp(shifted)
        total = weight.sum(dim, keepdim=True) if dim else weight
        value = shifted - torch.log(total) if self._log else weight / total
        return (value.to(outputs[0].dtype if outputs else args.get("dtype") or x.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, y = wide(upstream(outputs, grads)), wide(outputs[0].detach())
        dim = axes_of(self._dim(args), y.ndim)
        if self._log:
            found = grad - torch.exp(y) * (grad.sum(dim, keepdim=True) if dim else grad)
        else:
            found = y * (grad - ((grad * y).sum(dim, keepdim=True) if dim else grad * y))
        return {"input": (found * self._sign).to(args["input"].dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        x, dim = args["input"], self._dim(args)
        where = line(index, dim, x.shape[dim] if index else 1)
        scores = wide(take(x, where)) * self._sign
        top = float(scores.max())
        own = float(scores[index[dim] if index else 0]) - top
        name = "exp(m - input)" if self._sign < 0 else "exp(input - m)"
        then = rf"{own:.6g}-\ln s" if self._log else rf"e^{{{own:.6g}}}/s"
        terms = single(name, column(name, where, torch.exp(scores - top)))
        return Sum.of(
            [terms], then=then, result=outputs[0][index], note=f"m = {top:.6g} is the largest score of the line"
        )

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad, dim = upstream(outputs, grads), self._dim(args)
        place = index[dim] if index else 0
        where = line(index, dim, grad.shape[dim] if index else 1)
        y = wide(take(outputs[0], where))
        share = torch.exp(y) if self._log else y
        own = -share[place].expand(len(where)).clone()
        own[place] += 1
        columns = [column("grad", where, take(grad, where))]
        columns += [] if self._log else [column("output", where, y)]
        columns.append(column(r"\delta-p", None, own))
        columns += [constant("-1", -1.0, len(where))] if self._sign < 0 else []
        return Sum.of([single("grad · (δ - p)" if self._log else "grad · p · (δ - p)", *columns)])


class Gate(Rule):
    """GLU: the first half times the sigmoid of the second (Dauphin et al. 2017, equation 1); a σ(b)."""

    names = ("glu",)
    signature = "input, dim=-1"
    formula = r"y=a\,\sigma(b),\;x=[a;b]"
    derivative = r"\frac{\partial y}{\partial a}=\sigma(b),\;\frac{\partial y}{\partial b}=a\,\sigma(b)(1-\sigma(b))"

    def _halves(self, args: Arguments) -> tuple[Tensor, Tensor, int]:
        """Both halves in float64, and the axis."""
        x, dim = wide(args["input"].detach()), args["dim"] % args["input"].ndim
        half = x.shape[dim] // 2
        return x.narrow(dim, 0, half), x.narrow(dim, half, half), dim

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        a, b, _ = self._halves(args)
        return ((a * sigmoid(b)).to(args["input"].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        (a, b, dim), grad = self._halves(args), wide(upstream(outputs, grads))
        gate = sigmoid(b)
        return {"input": torch.cat([grad * gate, grad * a * gate * (1 - gate)], dim).to(args["input"].dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        a, b, dim = self._halves(args)
        other = (*index[:dim], index[dim] + a.shape[dim], *index[dim + 1 :])
        factors: list[Column] = [column("input", index, a[index]), column(r"\sigma(input)", other, sigmoid(b[index]))]
        return Sum.of([single("input · σ(input)", *factors)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        a, b, dim = self._halves(args)
        half = a.shape[dim]
        at = (*index[:dim], index[dim] % half, *index[dim + 1 :])
        gate = sigmoid(b[at])
        slope = gate if index[dim] < half else a[at] * gate * (1 - gate)
        terms: Block = single(
            "grad · slope",
            column("grad", at, upstream(outputs, grads)[at]),
            column(r"\partial y/\partial input", None, slope),
        )
        # What cancels in 1 − σ(b).
        inside = 0.0 if index[dim] < half else float((upstream(outputs, grads)[at] * a[at] * gate).abs())
        return replace(Sum.of([terms]), inside=inside)


RULES: tuple[Rule, ...] = (Softmax("softmax"), Softmax("log_softmax"), Softmax("softmin"), Gate())
