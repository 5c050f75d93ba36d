"""Activation functions. At a kink the slope is the one PyTorch takes, stated in the formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule
from pellucid.core.rules.elementary import tanh
from pellucid.core.rules.elementwise import Curve, Elementwise, Slopes
from pellucid.core.rules.sums import Index, Number, Sum

__all__ = ["RULES", "LeakyWithLearnedSlope", "RandomLeaky", "sigmoid", "softplus"]

_ALPHA, _SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
"""The constants of SELU (Klambauer et al. 2017, equation 2)."""
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ), written from the side that does not overflow."""
    decay = torch.exp(-x.abs())
    return torch.where(x >= 0, torch.ones_like(x), decay) / (1 + decay)


def softplus(x: Tensor) -> Tensor:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^{−|x|})."""
    return torch.where(x > 0, x, 0.0) + torch.log1p(torch.exp(-x.abs()))


def _normal_cdf(x: Tensor) -> Tensor:
    """Φ(x)."""
    return 0.5 * torch.erfc(-x / math.sqrt(2))


def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ exact or by tanh."""
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(_ROOT_2_OVER_PI * (x + 0.044715 * x**3)))
    return x * _normal_cdf(x)


def _gelu_slope(x: Tensor, y: Tensor, approximate: str = "none") -> Tensor:
    """Φ(x) + x φ(x)."""
    if approximate == "tanh":
        t = torch.tanh(_ROOT_2_OVER_PI * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT_2_OVER_PI * (1 + 3 * 0.044715 * x * x)
    return _normal_cdf(x) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _elu(x: Tensor, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0) -> Tensor:
    """x above 0, α(e^{cx} − 1) below, both scaled."""
    return scale * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0) * input_scale))


def _elu_slope(x: Tensor, y: Tensor, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0) -> Tensor:
    """1 above 0, α c e^{cx} elsewhere, both scaled."""
    return scale * torch.where(x > 0, 1.0, alpha * input_scale * torch.exp(x.clamp(max=0) * input_scale))


def _softplus(x: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Tensor:
    """ln(1 + e^{βx})/β, the line x above the threshold."""
    return torch.where(x * beta > threshold, x, softplus(x * beta) / beta)


def _softplus_slope(x: Tensor, y: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Tensor:
    """σ(βx), 1 above the threshold."""
    return torch.where(x * beta > threshold, 1.0, sigmoid(x * beta))


def _between(x: Tensor, low: Number, high: Number) -> Tensor:
    """1 strictly between the bounds, 0 elsewhere."""
    return ((x > low) & (x < high)).to(x.dtype)


def _bounded(x: Tensor, low: Number, high: Number) -> Tensor:
    """The number moved into [low, high]."""
    x = torch.where(x < low, torch.as_tensor(low, dtype=x.dtype), x)
    return torch.where(x > high, torch.as_tensor(high, dtype=x.dtype), x)


def _mish_slope(x: Tensor, y: Tensor) -> Tensor:
    """tanh(sp) + x (1 − tanh²(sp)) σ(x)."""
    t = torch.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _hardswish_slope(x: Tensor, y: Tensor) -> Tensor:
    """0 up to −3, x/3 + ½ between, 1 from 3 on."""
    return torch.where(x <= -3, 0.0, torch.where(x < 3, x / 3 + 0.5, 1.0))


def _threshold_slope(x: Tensor, y: Tensor, threshold: Number = 0.0, value: Number = 0.0) -> Tensor:
    """1 above the threshold."""
    return (x > threshold).to(x.dtype)


def _hardtanh(x: Tensor, min_val: Number = -1.0, max_val: Number = 1.0) -> Tensor:
    """The number moved into the range."""
    return _bounded(x, min_val, max_val)


def _hardtanh_slope(x: Tensor, y: Tensor, min_val: Number = -1.0, max_val: Number = 1.0) -> Tensor:
    """1 strictly inside."""
    return _between(x, min_val, max_val)


def _softshrink(x: Tensor, lambd: Number = 0.5) -> Tensor:
    """The number moved towards 0 by λ."""
    return torch.where(x > lambd, x - lambd, torch.where(x < -lambd, x + lambd, x * 0))


def _shrink_slope(x: Tensor, y: Tensor, lambd: Number = 0.5) -> Tensor:
    """0 in [−λ, λ], 1 outside."""
    return ((x > lambd) | (x < -lambd)).to(x.dtype)


def _relu(x: Tensor) -> Tensor:
    """x above 0, 0 elsewhere; NaN stays."""
    return torch.where(x <= 0, 0.0, x)


def _leaky(x: Tensor, negative_slope: Number = 0.01) -> Tensor:
    """x above 0, a x below."""
    return torch.where(x > 0, x, x * negative_slope)


class LeakyWithLearnedSlope(Elementwise):
    """PReLU: x above 0, aₖ x elsewhere, aₖ learned for each channel (He et al. 2015, equation 1).

    The slope by x is 1 or aₖ, that by aₖ is min(x, 0).
    """

    names = ("prelu",)
    signature = "input, weight"
    formula = r"y=\max(x,0)+a\min(x,0)"

    def _aligned(self, args: Arguments) -> dict[str, Any]:
        """The call with the slopes laid along the channels' axis."""
        x, weight = args["input"], args["weight"]
        rank = max(x.ndim - 2, 0)
        return dict(args) | {"weight": weight.reshape(-1, *[1] * rank) if weight.numel() > 1 else weight.reshape(())}

    @override
    def compute(self, args: Arguments) -> Any:
        return torch.where(args["input"] > 0, args["input"], args["weight"] * args["input"])

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        x = args["input"]
        return {"input": torch.where(x > 0, 1.0, args["weight"]), "weight": torch.where(x > 0, 0.0, x)}

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return super().forward(self._aligned(args), outputs)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        found = super().backward(self._aligned(args), outputs, grads)
        return found | {"weight": found["weight"].reshape(args["weight"].shape)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return super().entry(self._aligned(args), outputs, index)

    @override
    def then(self, args: Arguments) -> str:
        return rf"\max(s,0)+{float(args['weight']):g}\min(s,0)"

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        own = self._aligned(args)
        if argument == "weight":
            rank = own["weight"].ndim
            index = (*index, *[0] * (rank - 1)) if rank else ()
        return super().gradient_entry(own, outputs, grads, argument, index)


class RandomLeaky(Curve):
    """RReLU: a leaky rectifier whose slope is the middle of its range, or drawn for each entry when training.

    A drawn slope is read off the observed output: a = y / x.
    """

    def __init__(self) -> None:
        super().__init__("rrelu", r"\max(s,0)+a\min(s,0)", r"1\text{ or }a", self._leaky, self._leaky_slope)
        self.signature = "input, lower=0.125, upper=0.3333333333333333, training=False"

    @override
    def applies(self, args: Arguments) -> bool:
        return not args.get("training")

    def _leaky(self, x: Tensor, lower: Number = 0.125, upper: Number = 1 / 3, **_: Any) -> Tensor:
        """With the middle of the range."""
        return torch.where(x >= 0, x, x * ((lower + upper) / 2))

    def _leaky_slope(self, x: Tensor, y: Tensor, lower: Number = 0.125, upper: Number = 1 / 3, **_: Any) -> Tensor:
        """1 above 0, the middle of the range below."""
        return torch.where(x > 0, 1.0, (lower + upper) / 2)


RULES: tuple[Rule, ...] = (
    Curve("relu", r"\max(s,0)", r"[x>0]", _relu, lambda x, y: (x > 0).to(x.dtype)),
    Curve("relu6", r"\min(\max(s,0),6)", "[0<x<6]", lambda x: _bounded(x, 0, 6), lambda x, y: _between(x, 0, 6)),
    Curve(
        "leaky_relu",
        r"\max(s,0)+a\min(s,0)",
        r"1\text{ if }x>0\text{ else }a",
        _leaky,
        lambda x, y, negative_slope=0.01: torch.where(x > 0, 1.0, negative_slope),
        signature="input, negative_slope=0.01, inplace=False",
    ),
    Curve("sigmoid", r"\sigma(s)", "y(1-y)", sigmoid, lambda x, y: y * (1 - y)),
    Curve("tanh", r"\tanh s", "1-y^2", tanh, lambda x, y: 1 - y * y),
    Curve(
        "gelu", r"s\,\Phi(s)", r"\Phi(x)+x\,\varphi(x)", _gelu, _gelu_slope, signature="input, *, approximate='none'"
    ),
    Curve(
        "silu",
        r"s\,\sigma(s)",
        r"\sigma(x)(1+x(1-\sigma(x)))",
        lambda x: x * sigmoid(x),
        lambda x, y: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    ),
    Curve(
        "mish",
        r"s\tanh(\ln(1+e^s))",
        r"\tanh(p)+x\,(1-\tanh^2 p)\,\sigma(x),\;p=\ln(1+e^x)",
        lambda x: x * tanh(softplus(x)),
        _mish_slope,
    ),
    Curve(
        "softplus",
        r"\tfrac1\beta\ln(1+e^{\beta s})",
        r"\sigma(\beta x)",
        _softplus,
        _softplus_slope,
        signature="input, beta=1.0, threshold=20.0",
    ),
    Curve("logsigmoid", r"\ln\sigma(s)", r"\sigma(-x)", lambda x: -softplus(-x), lambda x, y: sigmoid(-x)),
    Curve(
        "elu",
        r"\max(s,0)+\alpha(e^{\min(s,0)}-1)",
        r"1\text{ if }x>0\text{ else }\alpha e^x",
        _elu,
        _elu_slope,
        signature="input, alpha=1.0, scale=1.0, input_scale=1.0",
    ),
    Curve(
        "selu",
        r"\lambda(\max(s,0)+\alpha(e^{\min(s,0)}-1))",
        r"\lambda\text{ if }x>0\text{ else }\lambda\alpha e^x",
        lambda x: _elu(x, _ALPHA, _SCALE),
        lambda x, y: _elu_slope(x, y, _ALPHA, _SCALE),
    ),
    Curve(
        "celu",
        r"\max(s,0)+\alpha(e^{\min(s,0)/\alpha}-1)",
        r"1\text{ if }x>0\text{ else }e^{x/\alpha}",
        lambda x, alpha=1.0: _elu(x, alpha, 1.0, 1 / alpha),
        lambda x, y, alpha=1.0: _elu_slope(x, y, alpha, 1.0, 1 / alpha),
        signature="input, alpha=1.0",
    ),
    Curve(
        "hardtanh",
        r"\min(\max(s,a),b)",
        "[a<x<b]",
        _hardtanh,
        _hardtanh_slope,
        signature="input, min_val=-1.0, max_val=1.0",
    ),
    Curve(
        "hardsigmoid",
        r"\min(\max(s+3,0),6)/6",
        "[-3<x<3]/6",
        lambda x: _bounded(x + 3, 0, 6) / 6,
        lambda x, y: _between(x, -3, 3) / 6,
    ),
    Curve(
        "hardswish",
        r"s\min(\max(s+3,0),6)/6",
        r"x/3+\tfrac12\text{ inside }(-3,3)",
        lambda x: x * _bounded(x + 3, 0, 6) / 6,
        _hardswish_slope,
    ),
    Curve("softsign", r"s/(1+|s|)", r"1/(1+|x|)^2", lambda x: x / (1 + x.abs()), lambda x, y: 1 / (1 + x.abs()) ** 2),
    Curve("tanhshrink", r"s-\tanh s", r"\tanh^2x", lambda x: x - tanh(x), lambda x, y: torch.tanh(x) ** 2),
    Curve(
        "softshrink",
        r"\operatorname{sign}(s)\max(|s|-\lambda,0)",
        r"[|x|>\lambda]",
        _softshrink,
        _shrink_slope,
        signature="input, lambd=0.5",
    ),
    Curve(
        "hardshrink",
        r"s\,[|s|>\lambda]",
        r"[|x|>\lambda]",
        lambda x, lambd=0.5: torch.where(x.abs() <= lambd, 0.0, x),
        _shrink_slope,
        signature="input, lambd=0.5",
    ),
    Curve(
        "threshold",
        r"s\text{ if }s>\theta\text{ else }v",
        r"[x>\theta]",
        lambda x, threshold=0.0, value=0.0: torch.where(x > threshold, x, value),
        _threshold_slope,
        signature="input, threshold, value, inplace=False",
    ),
    LeakyWithLearnedSlope(),
    RandomLeaky(),
)
