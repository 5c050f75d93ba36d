"""Dropout: entries (or whole channels) drawn to be 0, the others scaled up so that the mean stays.

Source: Srivastava et al. 2014. What was drawn is the call's ``mask`` (see ``drawing``). Without one it is read off: an
entry was kept if its output is not 0, and where the input itself is 0 the entry counts as dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.movement import copied
from pellucid.core.rules.sums import Index, Number, Sum, column, constant, single

__all__ = ["RULES", "AlphaDropout", "Dropout"]


class Dropout(Rule):
    """y = m x/(1 − p) with a drawn mask m of zeros and ones; slope m/(1 − p). Outside training y = x."""

    formula = r"y=\frac{m\,x}{1-p}"
    derivative = r"\frac{m}{1-p}"
    random = True
    signature = "input, p=0.5, training=True, inplace=False"

    def __init__(self, name: str, rank: int) -> None:
        self.names = (name,)
        self._rank = rank
        self.signature = (
            "dropout feature_dropout: input, p=0.5, training=True, inplace=False"
            " | input, p=0.5, training=False, inplace=False"
        )

    def _acts(self, args: Arguments) -> bool:
        """Whether anything was drawn."""
        return bool(args["training"] if "training" in args else args.get("train", True)) and float(args["p"]) > 0

    def mask(self, args: Arguments, outputs: Sequence[Tensor]) -> Tensor:
        """1 where the entry was kept, 0 where it was dropped."""
        recorded = args.get("mask")
        if isinstance(recorded, Tensor):
            return (recorded != 0).to(outputs[0].dtype)
        kept = outputs[0].detach() != 0
        if self._rank:
            lead = args["input"].ndim - self._rank if self._rank > 0 else 2
            axes = tuple(range(min(lead, kept.ndim), kept.ndim))
            kept = (kept.any(axes, keepdim=True) if axes else kept).expand(kept.shape)
        return kept.to(outputs[0].dtype)

    def _scale(self, args: Arguments) -> Number:
        """1/(1 − p); 0 where everything is dropped."""
        p = float(args["p"])
        return 0.0 if p >= 1 else 1 / (1 - p)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x = args["input"].detach()
        if not self._acts(args) or outputs is None:
            return (x,)
        return (torch.where(self.mask(args, outputs) != 0, x * self._scale(args), torch.zeros_like(x)),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad = upstream(outputs, grads)
        if not self._acts(args):
            return {"input": grad}
        return {"input": (grad * self.mask(args, outputs) * self._scale(args)).to(args["input"].dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        term = copied("input", args["input"], index)
        return self._sum(args, outputs, index, term.columns[0])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        return self._sum(args, outputs, index, column("grad", index, upstream(outputs, grads)[index]))

    def _sum(self, args: Arguments, outputs: Sequence[Tensor], index: Index, factor: Any) -> Sum:
        """The factor times mask and scale."""
        if not self._acts(args):
            return Sum.of([single(factor.name, factor)], note="nothing is dropped outside training")
        drawn = float(self.mask(args, outputs)[index])
        unseen = "mask" not in args and not self._rank and float(args["input"].detach()[index]) == 0
        note = "the input is 0, so that its output does not show what was drawn" if unseen else ""
        factors = factor, column("mask", index, drawn), constant("1/(1-p)", self._scale(args))
        return Sum.of([single(f"{factor.name} · mask / (1-p)", *factors)], note=note)


class AlphaDropout(Dropout):
    """Dropped entries become −λα, SELU's lowest value; y = a (m x − (1 − m) λα) + b keeps mean 0 and variance 1.

    a = 1/√((1 − p)(1 + p λ²α²)), b = a p λα. Source: Klambauer et al. 2017, section 3.
    """

    formula = r"y=a\,(m\,x-(1-m)\,\lambda\alpha)+b"
    derivative = r"a\,m"

    def _numbers(self, args: Arguments) -> tuple[Number, Number, Number]:
        """(a, what an entry that was kept has added, what a dropped one becomes)."""
        p = float(args["p"])
        if p >= 1:
            return 0.0, 0.0, 0.0
        scale = 1 / math.sqrt((1 - p) * (1 + p * _LOWEST * _LOWEST))
        return scale, scale * p * _LOWEST, scale * (p - 1) * _LOWEST

    @override
    def mask(self, args: Arguments, outputs: Sequence[Tensor]) -> Tensor:
        recorded = args.get("mask")
        if isinstance(recorded, Tensor):
            return recorded.to(outputs[0].dtype)
        dropped = self._numbers(args)[2]
        unit = 8 * torch.finfo(outputs[0].dtype).eps
        return ((outputs[0].detach() - dropped).abs() > unit * abs(dropped)).to(outputs[0].dtype)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x = args["input"].detach()
        if not self._acts(args) or outputs is None:
            return (x,)
        scale, added, dropped = self._numbers(args)
        return (torch.where(self.mask(args, outputs) != 0, scale * x + added, torch.full_like(x, dropped)),)

    @override
    def _scale(self, args: Arguments) -> Number:
        return self._numbers(args)[0]

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        term = copied("input", args["input"], index)
        if not self._acts(args):
            return Sum.of([term], note="nothing is dropped outside training")
        scale, added, dropped = self._numbers(args)
        if float(self.mask(args, outputs)[index]) == 0:
            return Sum.of([single("dropped", constant("-a(1-p)λα", dropped))], note="this entry was dropped")
        return Sum.of([single("a · input", constant("a", scale), *term.columns), single("b", constant("b", added))])


_LOWEST = 1.7580993408473766
"""λα of SELU."""

RULES: tuple[Rule, ...] = (
    Dropout("dropout", 0),
    *(Dropout(f"dropout{rank}d", rank) for rank in (1, 2, 3)),
    Dropout("feature_dropout", -1),
    AlphaDropout("alpha_dropout", 0),
    AlphaDropout("feature_alpha_dropout", 0),
)
