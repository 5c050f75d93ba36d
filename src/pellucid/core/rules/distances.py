"""How alike rows of numbers are: cosine similarity, distances, and the losses made of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import linear_positions, reached, sum_to, wide
from pellucid.core.rules.losses import reduction_of
from pellucid.core.rules.sums import Column, Index, Number, Sum, column, constant, single

__all__ = [
    "RULES",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "DistanceMatrix",
    "PairwiseDistance",
    "RowRule",
    "TripletLoss",
    "cosine",
    "distance",
    "distance_slope",
]


def distance(difference: Tensor, p: Number) -> Tensor:
    """The p-norm of every row."""
    size = difference.abs()
    if math.isinf(p):
        return size.amax(-1)
    return (size**p).sum(-1) ** (1 / p) if p else (size != 0).to(size.dtype).sum(-1)


def distance_slope(difference: Tensor, p: Number) -> Tensor:
    """Its derivative, 0 where the distance is 0."""
    value, size = distance(difference, p)[..., None], difference.abs()
    if math.isinf(p):
        hit = (size == value).to(size.dtype)
        return difference.sign() * hit / hit.sum(-1, keepdim=True)
    ratio = size / torch.where(value == 0, 1.0, value)
    return torch.where(value == 0, 0.0, difference.sign() * ratio ** (p - 1)) if p else torch.zeros_like(size)


def cosine(a: Tensor, b: Tensor, eps: Number, *, apart: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(cosine of every pair of rows, its derivatives by both).

    Args:
        a: Rows.
        b: Rows.
        eps: Smallest norm (``apart``), or what is added to the squared norms.
        apart: Whether each norm is bounded by itself, as in ``cosine_similarity``.
    """
    squares = [(t * t).sum(-1, keepdim=True) for t in (a, b)]
    if apart:
        norms = [torch.sqrt(s).clamp(min=eps) for s in squares]
        pulls = [(torch.sqrt(s) >= eps).to(a.dtype) for s in squares]
    else:
        norms = [torch.sqrt(s + eps) for s in squares]
        pulls = [torch.ones_like(s) for s in squares]
    value = (a * b).sum(-1, keepdim=True) / (norms[0] * norms[1])
    by_a = b / (norms[0] * norms[1]) - pulls[0] * value * a / (norms[0] * norms[0])
    by_b = a / (norms[0] * norms[1]) - pulls[1] * value * b / (norms[1] * norms[1])
    return value[..., 0], by_a, by_b


class RowRule(Rule):
    """One number for every row of some operands, which broadcast; perhaps their mean or sum."""

    cancels = True

    bounded = False
    """Whether what it makes of a row lies between −1 and 1, as a cosine does."""
    operands: tuple[str, ...] = ("x1", "x2")
    derivative = r"\frac{\partial L}{\partial x}=\frac1N\,\frac{\partial L}{\partial y}\,\frac{\partial y}{\partial x}"

    @abstractmethod
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(value of every row, slopes by every operand); the operands are broadcast, their rows last."""

    def axis(self, args: Arguments, rank: int) -> int:
        """The axis along which rows lie."""
        return rank - 1

    def reduces(self, args: Arguments) -> str:
        """``mean``, ``sum`` or ``none``."""
        return reduction_of(args) if "reduction" in args else "none"

    def _shape(self, args: Arguments) -> tuple[torch.Size, int]:
        """The operands' common shape and the rows' axis in it."""
        shape = torch.broadcast_shapes(*[args[name].shape for name in self.operands])
        return shape, self.axis(args, len(shape))

    def _computed(self, args: Arguments) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Values and slopes, from the operands in float64."""
        shape, axis = self._shape(args)
        return self.rows(args, [wide(args[n].detach()).expand(shape).movedim(axis, -1) for n in self.operands])

    def _divisor(self, args: Arguments, values: Tensor) -> Number:
        """N for ``mean``."""
        return float(values.numel()) if self.reduces(args) == "mean" else 1.0

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        values, _ = self._computed(args)
        if self.reduces(args) != "none":
            values = values.sum() / self._divisor(args, values)
        elif args.get("keepdim"):
            values = values.unsqueeze(self._shape(args)[1])
        return (values.to(args[self.operands[0]].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        (values, slopes), (_, axis) = self._computed(args), self._shape(args)
        grad = wide(upstream(outputs, grads)) / self._divisor(args, values)
        grad = grad.reshape(values.shape) if self.reduces(args) == "none" else grad.expand(values.shape)
        found: dict[str, Tensor] = {}
        for name, slope in zip(self.operands, slopes, strict=True):
            share = (grad[..., None] * slope).movedim(-1, axis)
            found[name] = sum_to(share, args[name].shape).to(args[name].dtype)
        return found

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        values, _ = self._computed(args)
        if self.reduces(args) == "none":
            row = Sum.of([single("row", column("row", index, outputs[0].detach()[index]))], note=self.__doc__ or "")
            return replace(row, inside=self._size(args))
        divisor = self._divisor(args, values)
        places = torch.arange(values.numel())
        where = torch.stack(torch.unravel_index(places, values.shape), 1) if values.ndim else places[:, None][:, :0]
        columns = [column("row loss", where, values.reshape(-1))]
        columns += [constant("1/N", 1 / divisor, values.numel())] if divisor != 1 else []
        inside = values.numel() / divisor * self._size(args)
        return replace(Sum.of([single(" · ".join(c.name for c in columns), *columns)]), inside=inside)

    def _size(self, args: Arguments) -> float:
        """How large the parts are of which a row's loss is the difference."""
        if self.bounded:
            return 1.0
        return 1.0 + max(float(wide(args[n].detach()).square().sum(-1).sqrt().max()) for n in self.operands)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        (values, slopes), (shape, axis) = self._computed(args), self._shape(args)
        grad = upstream(outputs, grads)
        whole = grad.reshape(values.shape) if self.reduces(args) == "none" else grad.expand(values.shape)
        where = reached(index, args[argument].shape, shape)
        rows = torch.cat([where[:, :axis], where[:, axis + 1 :]], 1)
        slope = slopes[self.operands.index(argument)].movedim(-1, axis)
        number = linear_positions(rows, values.shape)
        columns: list[Column] = [column("grad", rows, whole.reshape(-1)[number])]
        columns.append(
            column(rf"\partial y/\partial {argument}", where, slope.reshape(-1)[linear_positions(where, shape)])
        )
        divisor = self._divisor(args, values)
        columns += [constant("1/N", 1 / divisor, len(where))] if divisor != 1 else []
        # A unit vector is taken away from another, over the row's length: the slope may come near 0 and is rounded so.
        own = axis - len(shape) + args[argument].ndim
        row = args[argument].detach()[tuple(slice(None) if k == own else i for k, i in enumerate(index))]
        length = float(wide(row).square().sum().sqrt())
        inside = float(wide(columns[0].values).abs().sum()) / divisor * (1 + 1 / max(length, 1e-12))
        return replace(Sum.of([single(" · ".join(c.name for c in columns), *columns)]), inside=inside)


class CosineSimilarity(RowRule):
    """The cosine of the angle between two rows: their product over both norms (at least ε)."""

    names = ("cosine_similarity",)
    bounded = True
    signature = "x1, x2, dim=1, eps=1e-8"
    formula = r"y=\frac{a\cdot b}{\max(|a|,\varepsilon)\max(|b|,\varepsilon)}"

    @override
    def axis(self, args: Arguments, rank: int) -> int:
        return args["dim"] % rank

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        value, by_a, by_b = cosine(tensors[0], tensors[1], float(args["eps"]), apart=True)
        return value, (by_a, by_b)


class PairwiseDistance(RowRule):
    """The p-norm of the difference of two rows (ε added to each number)."""

    names = ("pairwise_distance",)
    signature = "x1, x2, p=2.0, eps=1e-6, keepdim=False"
    formula = r"y=\left(\sum_i|a_i-b_i+\varepsilon|^p\right)^{1/p}"

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        difference, p = tensors[0] - tensors[1] + args["eps"], float(args["p"])
        slope = distance_slope(difference, p)
        return distance(difference, p), (slope, -slope)


class CosineEmbeddingLoss(RowRule):
    """1 − cos for pairs that belong together (t = 1), max(0, cos − margin) for the others."""

    names = ("cosine_embedding_loss",)
    bounded = True
    signature = "input1, input2, target, margin=0, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=1-\cos(a,b)\text{ if }t=1,\;\max(0,\cos(a,b)-m)\text{ if }t=-1"
    operands = ("input1", "input2")

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        value, by_a, by_b = cosine(tensors[0], tensors[1], 1e-12, apart=False)
        together = args["target"] == 1
        over = value - args["margin"]
        apart = args["target"] == -1
        losses = torch.where(together, 1 - value, torch.where(apart, over.clamp(min=0), 0.0))
        sign = torch.where(together, -1.0, (apart & (over >= 0)).to(value.dtype))[..., None]
        return losses, (sign * by_a, sign * by_b)


class TripletLoss(RowRule):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin): the positive should be nearer by the margin.

    With ``swap`` the nearer of d(anchor, negative) and d(positive, negative) counts (Balntas et al. 2016).
    """

    names = ("triplet_margin_loss",)
    signature = (
        "anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None,"
        " reduction='mean'"
    )
    formula = r"\ell=\max(0,d(a,p)-d(a,n)+m)"
    operands = ("anchor", "positive", "negative")

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        anchor, positive, negative = tensors
        p, eps = float(args["p"]), args["eps"]
        near, far, cross = anchor - positive + eps, anchor - negative + eps, positive - negative + eps
        d_near, d_far, d_cross = (distance(d, p) for d in (near, far, cross))
        swapped = (d_cross < d_far) if args.get("swap") else torch.zeros_like(d_far, dtype=torch.bool)
        losses = d_near - torch.where(swapped, d_cross, d_far) + args["margin"]
        active = (losses >= 0).to(near.dtype)[..., None]
        s_near, s_far, s_cross = (active * distance_slope(d, p) for d in (near, far, cross))
        use = swapped[..., None]
        by_anchor = s_near - torch.where(use, 0.0, s_far)
        by_positive = -s_near - torch.where(use, s_cross, 0.0)
        return losses.clamp(min=0), (by_anchor, by_positive, torch.where(use, s_cross, s_far))


class DistanceMatrix(RowRule):
    """The p-norm of the difference of every row of one matrix and every row of another."""

    names = ("cdist",)
    signature = "x1, x2, p=2.0, compute_mode=None"
    formula = r"y_{ij}=\left(\sum_k|a_{ik}-b_{jk}|^p\right)^{1/p}"

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        difference, p = tensors[0] - tensors[1], float(args["p"])
        slope = distance_slope(difference, p)
        return distance(difference, p), (slope, -slope)

    def _apart(self, args: Arguments) -> dict[str, Any]:
        """Each row of the first beside all rows of the second."""
        return {**args, "x1": args["x1"].unsqueeze(-2), "x2": args["x2"].unsqueeze(-3)}

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return super().forward(self._apart(args), outputs)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        found = super().backward(self._apart(args), outputs, grads)
        return {name: share.reshape(args[name].shape) for name, share in found.items()}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return super().entry(self._apart(args), outputs, index, output)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        own = (*index[:-1], 0, index[-1]) if argument == "x1" else (*index[:-2], 0, *index[-2:])
        return super().gradient_entry(self._apart(args), outputs, grads, argument, own)


RULES: tuple[Rule, ...] = (
    DistanceMatrix(),
    CosineSimilarity(),
    PairwiseDistance(),
    CosineEmbeddingLoss(),
    TripletLoss(),
)
