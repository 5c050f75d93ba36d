"""What an optimiser's step adds to one weight, as exact terms.

Every optimiser below moves a weight w by a sum of terms; the gradient g is negated first if it maximises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pellucid.core.rules.sums import Block, Column, Number, Sum, constant, single
from pellucid.errors import SettingsError

__all__ = ["OPTIMIZERS", "Numbers", "update_terms"]

Numbers = Mapping[str, float]
"""One entry of each quantity of an optimiser's state, as PyTorch names them: ``exp_avg``, ``momentum_buffer`` …"""


def _product(label: str, *factors: tuple[str, float]) -> Block:
    """A term from its factors."""
    columns: list[Column] = [constant(name, value) for name, value in factors]
    return single(label, *columns)


def _number(value: Any) -> Number:
    """A setting as a float (a learning rate may be a tensor)."""
    return float(value)


def _decayed(
    group: Mapping[str, Any], weight: Number, gradient: Number
) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """The parts of the gradient that the optimiser works with: the loss's own, and L2 decay λ w."""
    sign = -1.0 if group.get("maximize") else 1.0
    own = [("sign", sign)] if sign < 0 else []
    parts = [("gradient", sign * gradient, [*own, ("gradient", gradient)])]
    decay = _number(group.get("weight_decay", 0))
    if decay:
        parts.append(("weight decay", decay * weight, [("weight_decay", decay), ("weight", weight)]))
    return parts


def _sgd(group: Mapping[str, Any], state: Numbers, weight: Number, gradient: Number) -> list[Block]:
    """SGD: −lr d with d = g + λ w. Nesterov: Sutskever et al. 2013.

    With momentum μ and dampening τ the buffer b ← μ b + (1 − τ) d (first step: b ← d) takes d's place; Nesterov takes
    d + μ b.
    """
    rate, momentum = _number(group["lr"]), _number(group.get("momentum", 0))
    parts = _decayed(group, weight, gradient)
    buffer = state.get("momentum_buffer")
    if not momentum:
        return [_product(label, ("-lr", -rate), *factors) for label, _, factors in parts]
    kept = 1.0 if buffer is None else 1 - _number(group.get("dampening", 0))
    nesterov = bool(group.get("nesterov"))
    reach = 1 + momentum * kept if nesterov else kept
    blocks = [
        _product(label, ("-lr", -rate), *([("1+μ(1-τ)" if nesterov else "1-τ", reach)] if reach != 1 else []), *factors)
        for label, _, factors in parts
    ]
    if buffer is not None:
        again = [("momentum", momentum)] * (2 if nesterov else 1)
        blocks.append(_product("momentum", ("-lr", -rate), *again, ("momentum_buffer", buffer)))
    return blocks


def _adam_denominator(group: Mapping[str, Any], state: Numbers, total: Number, step: Number) -> Number:
    """√v̂ + ε with v ← β₂ v + (1 − β₂) d², v̂ = v/(1 − β₂ᵗ); with amsgrad the largest v so far."""
    beta = _number(group["betas"][1])
    second = beta * state.get("exp_avg_sq", 0.0) + (1 - beta) * total * total
    if group.get("amsgrad"):
        second = max(second, state.get("max_exp_avg_sq", 0.0))
    return math.sqrt(second) / math.sqrt(1 - beta**step) + _number(group["eps"])


def _adam(group: Mapping[str, Any], state: Numbers, weight: Number, gradient: Number) -> list[Block]:
    """Adam: −lr m̂/(√v̂ + ε), m ← β₁ m + (1 − β₁) d, m̂ = m/(1 − β₁ᵗ), d = g + λ w (Kingma and Ba 2015, algorithm 1).

    AdamW: the decay is −lr λ w by itself and d = g (Loshchilov and Hutter 2019, algorithm 2).
    """
    rate, beta = _number(group["lr"]), _number(group["betas"][0])
    step = state.get("step", 0.0) + 1
    apart = bool(group.get("decoupled_weight_decay"))
    parts = _decayed({**group, "weight_decay": 0} if apart else group, weight, gradient)
    below = _adam_denominator(group, state, sum(value for _, value, _ in parts), step)
    scale = 1 / ((1 - beta**step) * below)
    share = ("1/((1-β₁ᵗ)(√v̂+ε))", scale)
    blocks = [_product(label, ("-lr", -rate), ("1-β₁", 1 - beta), *factors, share) for label, _, factors in parts]
    if state.get("exp_avg"):
        blocks.append(_product("momentum", ("-lr", -rate), ("β₁", beta), ("exp_avg", state["exp_avg"]), share))
    decay = _number(group.get("weight_decay", 0))
    if apart and decay:
        blocks.append(_product("weight decay", ("-lr", -rate), ("weight_decay", decay), ("weight", weight)))
    return blocks


def _rmsprop(group: Mapping[str, Any], state: Numbers, weight: Number, gradient: Number) -> list[Block]:
    """RMSprop: −lr d/(√v + ε), v ← α v + (1 − α) d² (Tieleman and Hinton 2012); centred: v less the squared mean of d.

    With momentum the buffer b ← μ b + d/(√v + ε) takes the quotient's place.
    """
    rate, alpha = _number(group["lr"]), _number(group["alpha"])
    parts = _decayed(group, weight, gradient)
    total = sum(value for _, value, _ in parts)
    second = alpha * state.get("square_avg", 0.0) + (1 - alpha) * total * total
    if group.get("centered"):
        mean = alpha * state.get("grad_avg", 0.0) + (1 - alpha) * total
        second -= mean * mean
    share = ("1/(√v+ε)", 1 / (math.sqrt(max(second, 0.0)) + _number(group["eps"])))
    blocks = [_product(label, ("-lr", -rate), *factors, share) for label, _, factors in parts]
    momentum = _number(group.get("momentum", 0))
    if momentum and state.get("momentum_buffer"):
        buffer = ("momentum_buffer", state["momentum_buffer"])
        blocks.append(_product("momentum", ("-lr", -rate), ("momentum", momentum), buffer))
    return blocks


def _adagrad(group: Mapping[str, Any], state: Numbers, weight: Number, gradient: Number) -> list[Block]:
    """Adagrad: −lr/(1 + (t − 1) η) · d/(√s + ε), s ← s + d² (Duchi et al. 2011)."""
    step = state.get("step", 0.0) + 1
    rate = _number(group["lr"]) / (1 + (step - 1) * _number(group.get("lr_decay", 0)))
    parts = _decayed(group, weight, gradient)
    total = sum(value for _, value, _ in parts)
    below = math.sqrt(state.get("sum", 0.0) + total * total) + _number(group["eps"])
    return [_product(label, ("-lr", -rate), *factors, ("1/(√s+ε)", 1 / below)) for label, _, factors in parts]


OPTIMIZERS = {"SGD": _sgd, "Adam": _adam, "AdamW": _adam, "RMSprop": _rmsprop, "Adagrad": _adagrad}
"""The optimisers whose steps are written out, by the name of their class in ``torch.optim``."""


def update_terms(kind: str, group: Mapping[str, Any], state: Numbers, weight: Number, gradient: Number) -> Sum:
    """What one step adds to one weight, term by term: the gradient's share, the momentum's, the decay's.

    Args:
        kind: The optimiser's class, a key of ``OPTIMIZERS``.
        group: The parameter group's settings, as in ``optimizer.param_groups``.
        state: The weight's entry of every state tensor before the step; ``step`` as a number; empty before the first.
        weight: The weight before the step.
        gradient: The loss's gradient by the weight.

    Returns:
        Terms in float64 whose sum is the new weight less the old one, up to the rounding of the optimiser's own
        precision.

    Raises:
        SettingsError: The optimiser is not among them.

    >>> update_terms("SGD", {"lr": 0.1, "weight_decay": 0.5}, {}, weight=2.0, gradient=3.0).value
    -0.4
    """
    if kind not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise SettingsError(f"the step of {kind} is not written out", place=kind, remedy=f"use one of {known}")
    group = {**group, "decoupled_weight_decay": True} if kind == "AdamW" else group
    return Sum.of(OPTIMIZERS[kind](group, state, weight, gradient))
