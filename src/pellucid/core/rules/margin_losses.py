"""Losses that ask for a margin and no more: what is right by that much costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.activations import sigmoid, softplus
from pellucid.core.rules.base import Arguments, Rule
from pellucid.core.rules.distances import RowRule
from pellucid.core.rules.elementwise import Slopes
from pellucid.core.rules.losses import EntryLoss

__all__ = ["RULES", "HingeEmbedding", "MarginRanking", "MultiMargin", "MultilabelMargin", "SoftMargin"]


class SoftMargin(EntryLoss):
    """ln(1 + e^{−t x}), t = ±1; slope −t σ(−t x)."""

    names = ("soft_margin_loss",)
    signature = "input, target, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=\ln(1+e^{-t\,x})"

    @override
    def entries(self, args: Arguments) -> Tensor:
        return softplus(-args["target"] * args["input"])

    @override
    def slopes(self, args: Arguments) -> Slopes:
        x, t = args["input"], args["target"]
        return {"input": -t * sigmoid(-t * x), "target": -x * sigmoid(-t * x)}


class HingeEmbedding(EntryLoss):
    """x where t = 1, max(0, margin − x) where t = −1."""

    names = ("hinge_embedding_loss",)
    signature = "input, target, margin=1.0, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=x\text{ if }t=1,\;\max(0,m-x)\text{ if }t=-1"

    @override
    def entries(self, args: Arguments) -> Tensor:
        x, t, margin = args["input"], args["target"], args["margin"]
        return torch.where(t != 1, (margin - x).clamp(min=0), 0.0) + torch.where(t != -1, x, 0.0)

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        return args["input"].abs() + abs(args["margin"])

    @override
    def slopes(self, args: Arguments) -> Slopes:
        x, t, margin = args["input"], args["target"], args["margin"]
        return {"input": torch.where(t != 1, -(margin - x >= 0).to(x.dtype), 0.0) + torch.where(t != -1, 1.0, 0.0)}


class MarginRanking(EntryLoss):
    """max(0, −t (x₁ − x₂) + margin): the first should be larger where t = 1; at the hinge the slope is taken."""

    names = ("margin_ranking_loss",)
    signature = "input1, input2, target, margin=0, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=\max(0,-t(x_1-x_2)+m)"

    @override
    def entries(self, args: Arguments) -> Tensor:
        return (-args["target"] * (args["input1"] - args["input2"]) + args["margin"]).clamp(min=0)

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        return args["input1"].abs() + args["input2"].abs() + abs(args["margin"])

    @override
    def slopes(self, args: Arguments) -> Slopes:
        t, gap = args["target"], args["input1"] - args["input2"]
        active = (-t * gap + args["margin"] >= 0).to(torch.float64)
        return {"input1": -t * active, "input2": t * active, "target": -gap * active}

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return super().forward(dict(args) | {"input": args["input1"]} if outputs is None else args, outputs)


class MultiMargin(RowRule):
    """Σ max(0, margin − x_y + x_j)ᵖ/C over the wrong classes j: the right score should lead by the margin."""

    names = ("multi_margin_loss",)
    signature = "input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=\frac{w_y}{C}\sum_{j\neq y}\max(0,m-x_y+x_j)^p"
    operands = ("input",)

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, weight, power = tensors[0], args.get("weight"), int(args["p"])
        target = args["target"].reshape(x.shape[:-1])[..., None]
        wrong = torch.arange(x.shape[-1]) != target
        over = torch.where(wrong, args["margin"] - x.gather(-1, target) + x, 0.0)
        short = over.clamp(min=0)
        scale = torch.ones_like(target, dtype=x.dtype) if weight is None else weight.detach().to(x.dtype)[target]
        scale = scale / x.shape[-1]
        slope = (over > 0).to(x.dtype) if power == 1 else 2 * short
        slope = slope.scatter_add(-1, target, -slope.sum(-1, keepdim=True)) * scale
        return ((short if power == 1 else short * short) * scale).sum(-1), (slope,)


class MultilabelMargin(RowRule):
    """Σ max(0, 1 − (x_y − x_j))/C over right classes y and wrong ones j; the target lists the right, ended by −1."""

    names = ("multilabel_margin_loss",)
    signature = "input, target, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=\frac1C\sum_{y}\sum_{j\text{ wrong}}\max(0,1-x_y+x_j)"
    operands = ("input",)

    @override
    def rows(self, args: Arguments, tensors: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, target = tensors[0], args["target"]
        listed = (target >= 0).to(torch.int64).cumprod(-1).bool()
        right = (torch.nn.functional.one_hot(target.clamp(min=0), x.shape[-1]) * listed[..., None]).amax(-2).bool()
        counts = right[..., :, None] & ~right[..., None, :]
        over = torch.where(counts, 1 - x[..., :, None] + x[..., None, :], 0.0)
        active = ((over > 0) & counts).to(x.dtype)
        slope = (active.sum(-2) - active.sum(-1)) / x.shape[-1]
        return over.clamp(min=0).sum((-2, -1)) / x.shape[-1], (slope,)


RULES: tuple[Rule, ...] = (SoftMargin(), HingeEmbedding(), MarginRanking(), MultiMargin(), MultilabelMargin())
