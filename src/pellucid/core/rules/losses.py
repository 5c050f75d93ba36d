"""Losses that compare a prediction with a target entry by entry, and what is made of the entries: mean, sum or all."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.activations import sigmoid, softplus
from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.elementwise import Slopes, at_positions, floating, widened
from pellucid.core.rules.indexing import aligned, grid, reached, sum_to, take, wide
from pellucid.core.rules.sums import Index, Number, Sum, column, constant, single

__all__ = [
    "RULES",
    "BinaryCrossEntropy",
    "BinaryCrossEntropyOfLogits",
    "DifferenceLoss",
    "Divergence",
    "EntryLoss",
    "GaussianLikelihood",
    "PoissonLikelihood",
    "reduction_of",
]


def reduction_of(args: Arguments) -> str:
    """``mean``, ``sum`` or ``none``, also from the old flags."""
    if args.get("size_average") is not None or args.get("reduce") is not None:
        if args.get("reduce") is False:
            return "none"
        return "sum" if args.get("size_average") is False else "mean"
    return args.get("reduction", "mean")


class EntryLoss(Rule):
    """ℓ(prediction, target) for every entry, then their mean (1/N: the loss should not grow with the batch) or sum."""

    derivative = r"\frac{\partial L}{\partial x_i}=\frac1N\,\ell'(x_i,t_i)"
    slope_cancels = True
    """Whether the slope is a difference that may come near 0."""

    @abstractmethod
    def entries(self, args: Arguments) -> Tensor:
        """The loss of every entry, from operands in float64."""

    @abstractmethod
    def slopes(self, args: Arguments) -> Slopes:
        """Its local derivatives."""

    def hidden(self, args: Arguments) -> Tensor | None:
        """The size of what cancels within an entry's loss, where more does than its value shows."""
        return None

    def divisor(self, args: Arguments, shape: torch.Size) -> Number:
        """What the sum is divided by."""
        count = math.prod(shape)
        return float({"mean": count, "batchmean": shape[0] if shape else 1}.get(reduction_of(args), 1))

    def _shape(self, args: Arguments) -> torch.Size:
        """The shape of the entries."""
        return torch.broadcast_shapes(*[v.shape for v in args.values() if isinstance(v, Tensor)])

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        losses = self.entries(widened(args)).expand(self._shape(args))
        if reduction_of(args) != "none":
            losses = losses.sum() / torch.tensor(float(self.divisor(args, losses.shape)), dtype=losses.dtype)
        return (losses.to(outputs[0].dtype if outputs else args["input"].dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        shape, found = self._shape(args), {}
        grad = wide(upstream(outputs, grads)) / self.divisor(args, shape)
        for name, slope in self.slopes(widened(args)).items():
            if floating(args.get(name)):
                share = (grad * slope).expand(shape)
                found[name] = sum_to(share, args[name].shape).to(args[name].dtype)
        return found

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        shape = self._shape(args)
        whole = reduction_of(args) != "none"
        where = grid(shape) if whole else torch.tensor([index], dtype=torch.int64).reshape(1, len(index))
        here = at_positions(args, where)
        columns = [column("entry loss", where, self.entries(here).expand(len(where)))]
        divisor = self.divisor(args, shape) if whole else 1
        if divisor != 1:
            columns.append(constant("1/N", 1 / divisor if divisor else math.nan, len(where)))
        hidden = self.hidden(here)
        inside = 0.0 if hidden is None or not divisor else float(hidden.abs().sum()) / abs(divisor)
        return replace(Sum.of([single(" · ".join(c.name for c in columns), *columns)]), inside=inside)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        shape, grad = self._shape(args), upstream(outputs, grads)
        where = reached(index, args[argument].shape, shape)
        slope = self.slopes(at_positions(args, where)).get(argument, torch.zeros(()))
        at = where if reduction_of(args) == "none" else where[:, :0]
        columns = [column("grad", at, take(grad, at))]
        columns.append(column(rf"\ell'({argument})", aligned(where, shape), torch.as_tensor(slope).expand(len(where))))
        divisor = self.divisor(args, shape)
        if divisor != 1:
            columns.append(constant("1/N", 1 / divisor, len(where)))
        # A slope such as p − t is rounded like its parts, which are about 1.
        inside = float(wide(columns[0].values).abs().sum()) / abs(divisor) if self.slope_cancels and divisor else 0.0
        return replace(Sum.of([single(" · ".join(c.name for c in columns), *columns)]), inside=inside)


class DifferenceLoss(EntryLoss):
    """A loss of the difference d = input − target alone; the slope by the target is minus that by the input.

    Args:
        names: Canonical names.
        formula: ℓ in LaTeX, with ``d``.
        value: ℓ(d, weight-free options).
        slope: ℓ'(d, options).
    """

    slope_cancels = False

    def __init__(self, names: str, formula: str, value: Callable[..., Tensor], slope: Callable[..., Tensor]) -> None:
        self.names = tuple(names.split())
        self.formula = rf"\ell={formula},\;d=x-t"
        self.signature = "input, target, size_average=None, reduce=None, reduction='mean', weight=None"
        self._value, self._slope = value, slope

    def _options(self, args: Arguments) -> dict[str, Any]:
        """Threshold of the bend."""
        return {k: args[k] for k in ("beta", "delta") if k in args}

    @override
    def divisor(self, args: Arguments, shape: torch.Size) -> Number:
        weight = args.get("weight")
        if weight is not None and reduction_of(args) == "mean" and self.names[0] != "huber_loss":
            return float(weight.expand(shape).sum())
        return super().divisor(args, shape)

    @override
    def entries(self, args: Arguments) -> Tensor:
        losses = self._value(args["input"] - args["target"], **self._options(args))
        return losses if args.get("weight") is None else losses * args["weight"]

    @override
    def slopes(self, args: Arguments) -> Slopes:
        slope = self._slope(args["input"] - args["target"], **self._options(args))
        slope = slope if args.get("weight") is None else slope * args["weight"]
        return {"input": slope, "target": -slope}


def _smooth(d: Tensor, beta: Number = 1.0) -> Tensor:
    """½ d²/β inside the bend, |d| − β/2 outside."""
    return torch.where(d.abs() < beta, 0.5 * d * d / beta if beta else d.abs(), d.abs() - 0.5 * beta)


def _smooth_slope(d: Tensor, beta: Number = 1.0) -> Tensor:
    """d/β inside the bend, the sign outside."""
    return torch.where(d.abs() < beta, d / beta if beta else d.sign(), d.sign())


def _huber(d: Tensor, delta: Number = 1.0) -> Tensor:
    """½ d² inside the bend, δ(|d| − δ/2) outside (Huber 1964)."""
    return torch.where(d.abs() <= delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta))


class BinaryCrossEntropy(EntryLoss):
    """−w (t ln p + (1 − t) ln(1 − p)), each logarithm at least −100; slope by p: w (p − t)/(p (1 − p))."""

    names = ("binary_cross_entropy",)
    signature = "input, target, weight=None, size_average=None, reduce=None, reduction='mean'"
    formula = r"\ell=-w\,(t\ln p+(1-t)\ln(1-p))"

    @override
    def entries(self, args: Arguments) -> Tensor:
        p, t, weight = args["input"], args["target"], args.get("weight")
        losses = -(t * torch.log(p).clamp(min=-100) + (1 - t) * torch.log(1 - p).clamp(min=-100))
        return losses if weight is None else losses * weight

    @override
    def slopes(self, args: Arguments) -> Slopes:
        p, t, weight = args["input"], args["target"], args.get("weight")
        slope = (p - t) / (p * (1 - p)).clamp(min=1e-12)
        by_target = torch.log(1 - p).clamp(min=-100) - torch.log(p).clamp(min=-100)
        scale = 1 if weight is None else weight
        return {"input": slope * scale, "target": by_target * scale}


class BinaryCrossEntropyOfLogits(EntryLoss):
    """w ((1 − t) z + (1 + (c − 1) t) ln(1 + e^{−z})), c the positive class's weight; without, the slope is σ(z) − t."""

    names = ("binary_cross_entropy_with_logits",)
    signature = "input, target, weight=None, size_average=None, reduce=None, reduction='mean', pos_weight=None"
    formula = r"\ell=w\,((1-t)z+(1+(c-1)t)\ln(1+e^{-z}))"

    @override
    def entries(self, args: Arguments) -> Tensor:
        z, t, weight, positive = args["input"], args["target"], args.get("weight"), args.get("pos_weight")
        losses = (1 - t) * z + (1 if positive is None else 1 + (positive - 1) * t) * softplus(-z)
        return losses if weight is None else losses * weight

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        z, t = args["input"], args["target"]
        return ((1 - t) * z).abs()

    @override
    def slopes(self, args: Arguments) -> Slopes:
        z, t, weight, positive = args["input"], args["target"], args.get("weight"), args.get("pos_weight")
        p, w, c = sigmoid(z), 1 if weight is None else weight, 1 if positive is None else positive
        slope = p - t if positive is None else (1 - t) * p + c * t * (p - 1)
        by_target = -z + (c - 1) * softplus(-z)
        return {"input": slope * w, "target": by_target * w, "pos_weight": t * softplus(-z) * w}


class Divergence(EntryLoss):
    """Kullback–Leibler: t (ln t − x), or eᵗ (t − x) where the target is a logarithm; 0 where t is 0. Slope by x: −t."""

    names = ("kl_div",)
    signature = "input, target, size_average=None, reduce=None, reduction='mean', log_target=False"
    formula = r"\ell=t(\ln t-x)"

    @override
    def entries(self, args: Arguments) -> Tensor:
        x, t = args["input"], args["target"]
        if args.get("log_target"):
            return torch.exp(t) * (t - x)
        return torch.where(t > 0, t * (torch.log(t.clamp(min=1e-300)) - x), 0 * x - t * x)

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        x, t = args["input"], args["target"]
        if args.get("log_target"):
            return torch.exp(t) * (t.abs() + x.abs())
        return t * (torch.log(t.clamp(min=1e-300)).abs() + x.abs())

    @override
    def slopes(self, args: Arguments) -> Slopes:
        x, t = args["input"], args["target"]
        if args.get("log_target"):
            return {"input": -torch.exp(t), "target": torch.exp(t) * (t - x + 1)}
        return {"input": -t, "target": torch.where(t > 0, torch.log(t) + 1 - x, -torch.inf - x)}


class GaussianLikelihood(EntryLoss):
    """½ (ln v + (x − t)²/v), v the variance but at least ε (through which the gradient passes); ½ ln 2π if ``full``."""

    names = ("gaussian_nll_loss",)
    signature = "input, target, var, full=False, eps=1e-6, reduction='mean'"
    formula = r"\ell=\tfrac12\left(\ln v+\frac{(x-t)^2}{v}\right)"

    @override
    def applies(self, args: Arguments) -> bool:
        var = args["var"]
        return isinstance(var, Number) or var.ndim == args["input"].ndim

    def _variance(self, args: Arguments) -> Tensor:
        """At least ε."""
        return torch.as_tensor(args["var"], dtype=torch.float64).clamp(min=args.get("eps", 1e-6))

    @override
    def entries(self, args: Arguments) -> Tensor:
        v, d = self._variance(args), args["input"] - args["target"]
        return 0.5 * (torch.log(v) + d * d / v) + (0.5 * math.log(2 * math.pi) if args.get("full") else 0.0)

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        v, d = self._variance(args), args["input"] - args["target"]
        return 0.5 * (torch.log(v).abs() + d * d / v) + 1.0

    @override
    def slopes(self, args: Arguments) -> Slopes:
        v, d = self._variance(args), args["input"] - args["target"]
        return {"input": d / v, "target": -d / v, "var": 0.5 * (1 / v - d * d / (v * v))}


class PoissonLikelihood(EntryLoss):
    """eˣ − t x where x is the log of the rate, x − t ln(x + ε) where it is the rate; Stirling's terms if ``full``."""

    names = ("poisson_nll_loss",)
    signature = "input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction='mean'"
    formula = r"\ell=e^x-t\,x"

    @override
    def entries(self, args: Arguments) -> Tensor:
        x, t = args["input"], args["target"]
        losses = torch.exp(x) - t * x if args.get("log_input", True) else x - t * torch.log(x + args["eps"])
        if args.get("full"):
            stirling = t * torch.log(t) - t + 0.5 * torch.log(2 * math.pi * t)
            losses = losses + torch.where(t > 1, stirling, 0.0)
        return losses

    @override
    def hidden(self, args: Arguments) -> Tensor | None:
        x, t = args["input"], args["target"]
        if args.get("log_input", True):
            return torch.exp(x) + (t * x).abs() + t.abs()
        return x.abs() + (t * torch.log(x + args["eps"])).abs() + t.abs()

    @override
    def slopes(self, args: Arguments) -> Slopes:
        x, t = args["input"], args["target"]
        logarithmic = args.get("log_input", True)
        stirling = torch.where(t > 1, torch.log(t) + 0.5 / t, 0.0) if args.get("full") else 0.0
        by_target = (-x if logarithmic else -torch.log(x + args["eps"])) + stirling
        return {"input": torch.exp(x) - t if logarithmic else 1 - t / (x + args["eps"]), "target": by_target}


RULES: tuple[Rule, ...] = (
    DifferenceLoss("mse_loss", "d^2", lambda d: d * d, lambda d: 2 * d),
    DifferenceLoss("l1_loss", "|d|", lambda d: d.abs(), lambda d: d.sign()),
    DifferenceLoss("smooth_l1_loss", r"\tfrac{d^2}{2\beta}\text{ or }|d|-\tfrac\beta2", _smooth, _smooth_slope),
    DifferenceLoss(
        "huber_loss",
        r"\tfrac12d^2\text{ or }\delta(|d|-\tfrac\delta2)",
        _huber,
        lambda d, delta=1.0: d.clamp(-delta, delta),
    ),
    BinaryCrossEntropy(),
    BinaryCrossEntropyOfLogits(),
    Divergence(),
    GaussianLikelihood(),
    PoissonLikelihood(),
)
